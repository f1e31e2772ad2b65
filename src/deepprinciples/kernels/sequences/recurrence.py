"""Recurrent cells over whole sequences, with the gradient through time written by hand.

Autodiff of a scan adds up the gradient of the recurrent kernel inside the backward loop and stores every intermediate.
Here the forward loop stores the factors the chain rule needs, the backward loop holds one product with the transposed
kernel and a few multiplications, and the gradient of the kernel is one product after it. What comes before the
recurrence (the input projection) and after it is not part of this module.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from deepprinciples.types import Array

Cell = Literal["lstm", "gru", "rnn"]
Kernels = Literal["auto", "stock"]
GATES = {"lstm": 4, "gru": 3, "rnn": 1}
Function = Callable[..., Any]
Carry = tuple[Array, ...]
Advance = Callable[[Carry, Array, Array, Function], tuple[Carry, Array]]


class Sequence(NamedTuple):
    """What is read at each step besides the projected inputs; None costs nothing."""

    push: Array | None  # [T, B, H]
    mask: Array | None  # [T, B, 1]


class Rule(NamedTuple):
    """One step of a cell with its gradient, elementwise in all but the product with the kernel.

    forward(carry, x, recurrent, act) -> (carry, read, factors), where act(x) = (activation(x), its slope), and the
    first factor is as wide as x: it takes the place of x;
    backward(d_carry, d_read, factors) -> (d_recurrent, d_inputs, d_carry), d_recurrent [B, G H] is the gradient of
    h @ kernel and takes the place of the first factor, d_inputs are the blocks of the gradient of x that differ from
    it, at the end of the last axis, and d_carry leaves out what goes through the kernel.
    """

    forward: Callable[[Carry, Array, Array, Function], tuple[Carry, Array, tuple[Array, ...]]]
    backward: Callable[[Carry, Array, tuple[Array, ...]], tuple[Array, tuple[Array, ...], Carry]]


def lstm_step(
    carry: Carry, x: Array, recurrent: Array, activation: Function, shown: Function = lambda c: c
) -> tuple[Carry, Array]:
    """Take one step of an LSTM; the output gate sees `shown`(c)."""
    h, c = carry
    i, f, g, o = jnp.split(x + recurrent, 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * activation(g)
    read = shown(c)
    return (jax.nn.sigmoid(o) * activation(read), c), read


def _gru(carry: Carry, x: Array, recurrent: Array, activation: Function) -> tuple[Carry, Array]:
    (h,) = carry
    x_r, x_z, x_n = jnp.split(x, 3, axis=-1)
    h_r, h_z, h_n = jnp.split(recurrent, 3, axis=-1)
    z = jax.nn.sigmoid(x_z + h_z)
    n = x_n + jax.nn.sigmoid(x_r + h_r) * h_n
    return ((1.0 - z) * activation(n) + z * h,), n


def _rnn(carry: Carry, x: Array, recurrent: Array, activation: Function) -> tuple[Carry, Array]:
    del carry
    return (activation(x + recurrent),), x + recurrent


CELLS: dict[str, Advance] = {"lstm": lstm_step, "gru": _gru, "rnn": _rnn}


def _apart(x: Any) -> Any:
    # XLA's CPU compiler leaves a loop that computes several tanh of slices of one array unvectorized: it is three
    # times slower. On other devices one fused loop is best.
    return lax.optimization_barrier(x) if jax.default_backend() == "cpu" else x


def _sigmoid(x: Array) -> Array:
    return 0.5 * _apart(jnp.tanh(0.5 * x)) + 0.5


def _lstm_forward(carry: Carry, x: Array, recurrent: Array, act: Function) -> tuple[Carry, Array, tuple[Array, ...]]:
    _, c = carry
    z = _apart(x + recurrent)
    i, f, _, o = jnp.split(_sigmoid(z), 4, axis=-1)
    width = c.shape[-1]
    g, slope_g = act(z[:, 2 * width : 3 * width])
    new = f * c + i * g
    y, slope_c = act(new)
    gates = (g * i * (1.0 - i), c * f * (1.0 - f), i * slope_g, y * o * (1.0 - o))
    return (o * y, new), new, (jnp.concatenate(gates, axis=-1), o * slope_c, f)


def _lstm_backward(d_carry: Carry, d_read: Array, factors: tuple[Array, ...]) -> tuple[Array, tuple, Carry]:
    dh, dc = d_carry
    gates, to_c, f = factors
    dc = dc + dh * to_c + d_read
    return gates * jnp.concatenate([dc, dc, dc, dh], axis=-1), (), (jnp.zeros_like(dh), dc * f)


def _gru_forward(carry: Carry, x: Array, recurrent: Array, act: Function) -> tuple[Carry, Array, tuple[Array, ...]]:
    (h,) = carry
    width = h.shape[-1]
    r, z = jnp.split(_sigmoid((x + recurrent)[:, : 2 * width]), 2, axis=-1)
    h_n = recurrent[:, 2 * width :]
    n = x[:, 2 * width :] + r * h_n
    y, slope = act(n)
    gates = jnp.concatenate([h_n * r * (1.0 - r), (h - y) * z * (1.0 - z), r], axis=-1)
    return ((1.0 - z) * y + z * h,), n, (gates, (1.0 - z) * slope, z)


def _gru_backward(d_carry: Carry, d_read: Array, factors: tuple[Array, ...]) -> tuple[Array, tuple, Carry]:
    (dh,) = d_carry
    gates, to_n, z = factors
    dn = dh * to_n + d_read
    return gates * jnp.concatenate([dn, dh, dn], axis=-1), (dn,), (dh * z,)


def _rnn_forward(carry: Carry, x: Array, recurrent: Array, act: Function) -> tuple[Carry, Array, tuple[Array, ...]]:
    del carry
    z = x + recurrent
    y, slope = act(z)
    return (y,), z, (slope,)


def _rnn_backward(d_carry: Carry, d_read: Array, factors: tuple[Array, ...]) -> tuple[Array, tuple, Carry]:
    (dh,) = d_carry
    return dh * factors[0] + d_read, (), (jnp.zeros_like(dh),)


RULES = {
    "lstm": Rule(_lstm_forward, _lstm_backward),
    "gru": Rule(_gru_forward, _gru_backward),
    "rnn": Rule(_rnn_forward, _rnn_backward),
}


def start(cell: str, projected: Array, kernel: Array) -> Carry:
    """Return the state of zeros before the first step."""
    zeros = jnp.zeros((projected.shape[1], kernel.shape[0]), projected.dtype)
    return (zeros, zeros) if cell == "lstm" else (zeros,)


def keep(mask: Array | None, new: Carry, old: Carry) -> Carry:
    """Leave masked sequences as they were."""
    return new if mask is None else tuple(jnp.where(mask, a, b) for a, b in zip(new, old, strict=True))


def _at(buffer: Array, t: Array) -> Array:
    return lax.dynamic_index_in_dim(buffer, t, 0, keepdims=False)


def _put(buffer: Array, x: Array, t: Array) -> Array:
    return lax.dynamic_update_index_in_dim(buffer, x, t, 0)


def _run(step: Function, cell: str, projected: Array, kernel: Array, along: Sequence, reverse: bool) -> tuple:
    """Scan `step(carry, x, h @ kernel) -> (carry, read, factors)`; gives hidden [T, B, H], read [T, B, H], factors."""

    def body(state: tuple[Carry, Array], inputs: tuple[Array, Sequence]) -> tuple[tuple[Carry, Array], tuple]:
        carry, buffer = state
        t, (push, mask) = inputs
        new, read, factors = step(carry, _at(buffer, t), carry[0] @ kernel)
        h, *rest = keep(mask, new, carry)
        buffer = _put(buffer, factors[0], t) if factors else buffer
        return ((h if push is None else h + push, *rest), buffer), (h, read, factors[1:])

    state = (start(cell, projected, kernel), projected)
    (_, buffer), (hidden, read, more) = lax.scan(body, state, (jnp.arange(len(projected)), along), reverse=reverse)
    return hidden, read, (buffer, *more)


def _stock(
    cell: str, act: Function, reverse: bool, projected: Array, kernel: Array, along: Sequence
) -> tuple[Array, Array]:
    def body(carry: Carry, inputs: tuple[Array, Sequence]) -> tuple[Carry, tuple[Array, Array]]:
        x, (push, mask) = inputs
        new, read = CELLS[cell](carry, x, carry[0] @ kernel, act)
        h, *rest = keep(mask, new, carry)
        return (h if push is None else h + push, *rest), (h, read)

    return lax.scan(body, start(cell, projected, kernel), (projected, along), reverse=reverse)[1]


def _hand_written(cell: str, activation: Function, reverse: bool) -> Function:
    """Make f(projected, kernel, along, constants) -> (hidden, read), with activation(x, *constants)."""
    rule = RULES[cell]

    def run(differentiated: bool, projected: Array, kernel: Array, along: Sequence, constants: list) -> tuple:
        def act(x: Array) -> tuple[Array, Array]:
            x = _apart(x)
            return _apart(jax.jvp(lambda x: activation(x, *constants), (x,), (jnp.ones_like(x),)))

        def step(carry: Carry, x: Array, recurrent: Array) -> tuple:
            new, read, factors = rule.forward(carry, x, recurrent, act)
            return new, read, factors if differentiated else ()

        return _run(step, cell, projected, kernel, along, reverse)

    def forward(*arguments: Any) -> tuple[tuple[Array, Array], tuple]:
        hidden, read, factors = run(True, *arguments)
        return (hidden, read), (hidden, factors, *arguments)

    def backward(saved: tuple, cotangents: tuple[Array, Array]) -> tuple:
        hidden, (buffer, *more), projected, kernel, (push, mask), constants = saved
        transposed = kernel.T

        def body(state: tuple[Carry, Array], inputs: tuple) -> tuple[tuple[Carry, Array], tuple]:
            carry, buffer = state
            t, d_hidden, d_read, more, mask = inputs
            out = (carry[0] + d_hidden, *carry[1:])
            zeros = tuple(jnp.zeros_like(a) for a in out)
            factors = (_at(buffer, t), *more)
            d_recurrent, d_inputs, (dh, *rest) = rule.backward(keep(mask, out, zeros), d_read, factors)
            passed = (dh + d_recurrent @ transposed, *rest)
            if mask is not None:
                passed = tuple(a + jnp.where(mask, 0.0, b) for a, b in zip(passed, out, strict=True))
            return (passed, _put(buffer, d_recurrent, t)), (d_inputs, None if push is None else carry[0])

        state = (start(cell, projected, kernel), buffer)
        inputs = (jnp.arange(len(projected)), *cotangents, more, mask)
        (_, d_recurrent), (d_inputs, d_push) = lax.scan(body, state, inputs, reverse=not reverse)
        same = d_recurrent.shape[-1] - sum(a.shape[-1] for a in d_inputs)
        d_projected = jnp.concatenate([d_recurrent[..., :same], *d_inputs], axis=-1) if d_inputs else d_recurrent
        carried = hidden if push is None else hidden + push
        none = jnp.zeros_like(carried[:1])
        before = jnp.concatenate([carried[1:], none] if reverse else [none, carried[:-1]])
        d_kernel = _flat(before).T @ _flat(d_recurrent)
        return d_projected, d_kernel, Sequence(d_push, None), _of_constants(cotangents, *saved[2:])

    def _of_constants(cotangents: tuple, projected: Array, kernel: Array, along: Sequence, constants: list) -> list:
        # By plain autodiff: nothing of it is run unless somebody reads the gradient of a hyper-parameter.
        if not constants:
            return []
        twin = lambda c: _stock(cell, lambda x: activation(x, *c), reverse, projected, kernel, along)
        return jax.vjp(twin, constants)[1](cotangents)[0]

    function = jax.custom_vjp(lambda *arguments: run(False, *arguments)[:2])
    function.defvjp(forward, backward)
    return function


def _flat(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])


def recur(
    cell: Cell,
    projected: Array,
    kernel: Array,
    *,
    activation: Function,
    push: Array | None = None,
    mask: Array | None = None,
    reverse: bool = False,
    kernels: Kernels = "auto",
) -> tuple[Array, Array]:
    """Run a recurrent cell over sequences, from a state of zeros.

    lstm: i, f, g, o = x_t + h_{t-1} U; c_t = sig(f) c_{t-1} + sig(i) act(g); h_t = sig(o) act(c_t)
    gru:  r, z = sig(x_t + h_{t-1} U); n = x_n + r h_{t-1} U_n; h_t = (1 - z) act(n) + z h_{t-1}
    rnn:  h_t = act(x_t + h_{t-1} U)

    Args:
        cell: which.
        projected: [T, B, G H], the x_t: inputs times their kernel plus bias; gates side by side, G = 4, 3 or 1.
        kernel: [H, G H], U.
        activation: elementwise; it may close over tracers, and their gradient is right too.
        push: [T, B, H], added to h_t on its way to the next step, but not to what comes out.
        mask: [T, B] of booleans; where False, h and c stay what they were, and so the step puts out its last h.
        reverse: run from the last step to the first.
        kernels: "auto" has a gradient written by hand, for reverse mode once; "stock" is the plain scan.

    Returns:
        h_t [T, B, H] before the push, and what the last activation of each step read, [T, B, H] (c_t, n or the sum;
        where masked, what it would have read).
    """
    along = Sequence(push, None if mask is None else mask[..., None])
    if kernels == "stock":
        return _stock(cell, activation, reverse, projected, kernel, along)
    example = jnp.zeros(projected.shape[1:-1] + kernel.shape[:1], projected.dtype)
    converted, constants = jax.closure_convert(activation, example)
    return _hand_written(cell, converted, reverse)(projected, kernel, along, constants)


@jax.custom_vjp
def project(x: Array, kernel: Array) -> Array:
    """Multiply x [T, B, F] by a kernel [F, G H]: autodiff would transpose the long gradient to get the kernel's."""
    return x @ kernel


def _project_backward(saved: tuple[Array, Array], d_projected: Array) -> tuple[Array, Array]:
    x, kernel = saved
    return d_projected @ kernel.T, _flat(x).T @ _flat(d_projected)


project.defvjp(lambda x, kernel: (x @ kernel, (x, kernel)), _project_backward)
