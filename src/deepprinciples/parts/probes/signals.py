"""Probes of how a signal travels: through time, through the whole network, and how far the weights have come.

They read what `Info` offers beyond a step's own values: the model as a function, and the weights it started from. A
learner that does not offer it (a game) is measured as nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from deepprinciples.kernels.linear_algebra import singular_values
from deepprinciples.parts.probes.flow import over_layers
from deepprinciples.types import ACTIVATION_DERIVATIVE, AUXILIARY, GATE_VALUES, Array, Count, Info, PyTree, Range

Measured = dict[str, Any]
Probe = Callable[[Info], Measured]
TINY = 1e-30


def _layers(params: PyTree) -> dict[str, PyTree]:
    if not isinstance(params, Mapping):
        return {"params": params}
    return {str(name): branch for name, branch in params.items() if jax.tree.leaves(branch)}


def travel() -> Probe:
    """Measure how far the weights are from where they began, and how long the step is.

    Formula: distance = |theta_t - theta_0|, update_norm = |delta theta_t|, by layer. The path is the sum of all
    update norms; a distance that stays far below it means that steps undo each other.

    Returns:
        (info) -> {"distance": {layer: scalar}, "update_norm": {layer: scalar}}.

    Expect: distance like the root of the steps where they are random, like the steps where they agree.

    Costs: the initialization once more at a probed step, about two steps of a small net.

    References:
        arXiv:1705.08741 (distance grows with the logarithm of the steps).
    """

    def probe(info: Info) -> Measured:
        if info.start is None or info.gradient is None:
            return {}
        now, begun, moved = _layers(info.params), _layers(info.start()), _layers(info.updates)
        return {
            "distance": {name: _norm(jax.tree.map(jnp.subtract, now[name], begun[name])) for name in now},
            "update_norm": {name: _norm(moved[name]) for name in now},
        }

    return probe


def _norm(tree: PyTree) -> Array:
    return jnp.sqrt(sum((jnp.sum(jnp.square(a)) for a in jax.tree.leaves(tree)), start=jnp.zeros(())))


def activation_change() -> Probe:
    """Measure how far what each layer gives has moved from what it gave at the start, on the same examples.

    Formula: sqrt(mean over batch and units of (h_l(theta_t) - h_l(theta_0))^2), in evaluation mode.

    Measured after some steps at several widths it is the coordinate check of muP.

    Returns:
        (info) -> {"activation_change": {layer: scalar}}; nothing for a learner without a start or one forward pass.

    Expect: after a few steps of Adam it grows with the width in layers that read a hidden layer, more so in the
        outputs; level with a model's width_base. 0 before the first step.

    Costs: the initialization once more at a probed step, and two forward passes.

    References:
        arXiv:2203.03466, section D.1.
    """

    def probe(info: Info) -> Measured:
        if info.start is None or info.forward is None or info.batch is None:
            return {}
        now, begun = (info.forward(params, info.batch.inputs)[1] for params in (info.params, info.start()))
        seen = {name: now[name] - begun[name] for name in now if not name.endswith(AUXILIARY)}
        change = over_layers(lambda h: jnp.sqrt(jnp.mean(jnp.square(h))), seen)
        return {"activation_change": change} if seen else {}

    return probe


def dormant_units(*, threshold: Annotated[float, Range("[0, inf)")] = 0.025) -> Probe:
    """Measure the share of units that give almost nothing, against the others of their layer.

    Formula: s_i = mean |h_i| over the batch / mean of that over the layer's units; share of s_i <= threshold.

    Args:
        threshold: scores up to it count as dormant.

    Returns:
        (info) -> {"dormant_units": {layer: share in [0, 1]}}.

    Expect: grows over a run, faster where targets change.

    Costs: hardly anything.

    References:
        arXiv:2302.12902.
    """

    def share(h: Array) -> Array:
        each = jnp.mean(jnp.abs(h.reshape(-1, h.shape[-1])), axis=0)
        return jnp.mean(each <= threshold * jnp.mean(each))

    def probe(info: Info) -> Measured:
        named = [name for name in info.activations if name + ACTIVATION_DERIVATIVE in info.activations]
        return {"dormant_units": {name: share(info.activations[name]) for name in named}} if named else {}

    return probe


def gradient_histogram() -> Probe:
    """Measure how the sizes of all gradient entries are spread over the decades.

    Formula: the share of entries with 10^k <= |g| < 10^(k+1), k from -9 to 1; what is smaller (zeros too) or larger
    counts in the first or the last.

    Returns:
        (info) -> {"gradient_histogram": {"decade_00", ..., "decade_10": share}}, from k = -9 up.

    Expect: moves down as a whole where a net converges, and grows a tail where it is about to diverge.

    Costs: hardly anything.

    References:
        arXiv:2102.06604 (Cockpit).
    """
    edges = 10.0 ** jnp.arange(-8, 2, dtype=jnp.float32)

    def probe(info: Info) -> Measured:
        sizes = [jnp.abs(g).reshape(-1) for g in jax.tree.leaves(info.grads)]
        total = sum(g.size for g in sizes)
        above = [sum(jnp.sum(g >= edge) for g in sizes) / total for edge in edges]
        shares = [a - b for a, b in zip([jnp.ones(()), *above], [*above, jnp.zeros(())], strict=True)]
        return {"gradient_histogram": {f"decade_{k:02d}": share for k, share in enumerate(shares)}}

    return probe


def gradient_through_time() -> Probe:
    """Measure how much of a recurrent net's gradient reaches back in time, and its recurrent kernel's growth.

    Formula: sqrt of the mean over examples of |B dL/dh_{T-1-lag}|^2, the whole gradient of the last recurrent layer's
    hidden state, for lags 0, 1, 2, 4, ... and T - 1; recurrent_radius = the largest |eigenvalue| over the gates'
    kernels [H, H], as |W^1024|^(1/1024).

    Returns:
        (info) -> {"gradient_through_time": {"lag_0000", ...: scalar}, "recurrent_radius": {layer: scalar}}; nothing for
        models that are not recurrent. Where outputs are read at every step, early states have losses of their own.

    Expect: falls by a factor with each step back where the recurrent kernel is small, stays level with forget gates
        near 1.

    Costs: hardly anything beside gradient_mean_square.

    References:
        arXiv:1211.5063.
    """

    def probe(info: Info) -> Measured:
        found = {name: _recurrent(branch) for name, branch in _layers(info.params).items()}
        kernels = {name: kernel for name, kernel in found.items() if kernel is not None}
        names = [name for name in sorted(kernels) if info.activations.get(name, jnp.zeros(())).ndim == 3]
        grads = info.activation_grads() if names else {}
        if not names or names[-1] not in grads:
            return {}
        g = grads[names[-1]]  # [B, T, H]
        size, length = g.shape[0], g.shape[1]
        norms = jnp.sqrt(jnp.mean(jnp.sum(jnp.square(g * size), axis=-1), axis=0))[::-1]  # [T], by lag
        lags = sorted({0, length - 1, *(2**k for k in range(length.bit_length()) if 2**k < length)})
        return {
            "gradient_through_time": {f"lag_{lag:04d}": norms[lag] for lag in lags},
            "recurrent_radius": {name: _radius(kernel) for name, kernel in kernels.items()},
        }

    return probe


def _recurrent(branch: PyTree) -> Array | None:
    """Find the recurrent kernel [H, gates H] in a layer's parameters."""
    for path, leaf in jax.tree_util.tree_flatten_with_path(branch)[0]:
        if "recurrent" in [str(getattr(key, "key", "")) for key in path] and leaf.ndim == 2:
            return leaf
    return None


def _radius(kernel: Array) -> Array:
    """Return the largest spectral radius over gates, by Gelfand's formula and ten squarings."""
    size = kernel.shape[0]
    gates = kernel.reshape(size, -1, size).swapaxes(0, 1)  # [gates, H, H]

    def square(carry: tuple[Array, Array], k: Array) -> tuple[tuple[Array, Array], None]:
        power, log = carry  # W^(2^k) = power * exp(log 2^k)
        size = jnp.maximum(jnp.sqrt(jnp.sum(jnp.square(power), axis=(1, 2))), TINY)
        power = power / size[:, None, None]
        return (power @ power, log + jnp.log(size) / 2.0**k), None

    (power, log), _ = jax.lax.scan(square, (gates, jnp.zeros(len(gates))), jnp.arange(10))
    last = jnp.maximum(jnp.sqrt(jnp.sum(jnp.square(power), axis=(1, 2))), TINY)
    return jnp.max(jnp.exp(log + jnp.log(last) / 2.0**10))


def gate_saturation(*, edge: Annotated[float, Range("[0, 0.5]")] = 0.1) -> Probe:
    """Measure how many gates of a recurrent net are as good as closed, and how many as good as open.

    Formula: gate_closed = share of values below edge, gate_open = share above 1 - edge, over units, examples and steps
    that are no padding.

    Args:
        edge: how near to 0 or 1 counts, in [0, 0.5].

    Returns:
        (info) -> {"gate_closed": {"layer_00.input", "layer_00.forget", "layer_00.output": share}, "gate_open": the
        same}, for a GRU "layer_00.reset" and "layer_00.update"; nothing for models without gates, or where a trick
        acts between the steps.

    Expect: none at a start with small weights; forget gates open where a net learns to keep something for long.
        Gates that are all closed or open pass hardly a gradient to what sets them.

    Costs: a product of all hidden states with the recurrent kernel.

    References:
        arXiv:1506.02078.
    """

    def probe(info: Info) -> Measured:
        found: dict[str, Array] = {}
        for key, values in info.activations.items():
            if key.endswith(GATE_VALUES):
                named = _GATES[values.shape[2]]
                found |= {f"{key.removesuffix(GATE_VALUES)}.{name}": values[:, :, k] for k, name in enumerate(named)}
        if not found:
            return {}
        seen = {name: jnp.maximum(jnp.sum(jnp.isfinite(values)), 1) for name, values in found.items()}
        return {
            "gate_closed": {name: jnp.sum(values < edge) / seen[name] for name, values in found.items()},
            "gate_open": {name: jnp.sum(values > 1.0 - edge) / seen[name] for name, values in found.items()},
        }

    return probe


_GATES = {3: ("input", "forget", "output"), 2: ("reset", "update")}


def input_jacobian(*, examples: Count = 8) -> Probe:
    """Measure how the outputs of single examples follow their inputs.

    Formula, s the singular values of d outputs / d inputs [outputs, inputs] of an example, in evaluation mode:
    jacobian_largest and jacobian_smallest, means over examples of max s and min s; jacobian_mean_square, the mean of
    s^2. All near 1 is dynamical isometry.

    Args:
        examples: of the batch, the first ones.

    Returns:
        (info) -> {name: scalar}; nothing where inputs are token ids, or the outputs are no single array.

    Expect: all near 1 for orthogonal linear nets; spread over decades for deep nets off the critical line.

    Costs: a gradient of each output of a few examples, and a decomposition of each.

    References:
        arXiv:1711.04735.
    """

    def probe(info: Info) -> Measured:
        inputs = None if info.batch is None else info.batch.inputs
        if info.forward is None or not (isinstance(inputs, jax.Array) and jnp.issubdtype(inputs.dtype, jnp.floating)):
            return {}  # a tree of inputs has no one Jacobian either
        forward, params = info.forward, info.params
        if not isinstance(jax.eval_shape(forward, params, inputs[:1])[0], jax.ShapeDtypeStruct):
            return {}  # a table of outputs has no one Jacobian

        def outputs(example: Array) -> Array:
            return forward(params, example[None])[0].reshape(-1)

        jacobians = jax.lax.map(jax.jacrev(outputs), inputs[:examples])
        values = jax.lax.map(singular_values, jacobians.reshape(*jacobians.shape[:2], -1))  # [examples, min]
        return {
            "jacobian_largest": jnp.mean(jnp.max(values, axis=1)),
            "jacobian_smallest": jnp.mean(jnp.min(values, axis=1)),
            "jacobian_mean_square": jnp.mean(jnp.square(values)),
        }

    return probe


TABLE = {
    f.__name__: f
    for f in (
        travel,
        activation_change,
        dormant_units,
        gradient_histogram,
        gradient_through_time,
        gate_saturation,
        input_jacobian,
    )
}
