"""A circuit of layers as a model: rotations of every qubit by learned angles, to which the inputs are added."""

from __future__ import annotations

import os
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np

from deepprinciples.domains.circuits import gates
from deepprinciples.parts import initializers
from deepprinciples.parts.layers.design import resolve
from deepprinciples.parts.layers.hidden_layers import described, layer_name
from deepprinciples.parts.models.adapters import functions
from deepprinciples.types import Array, Count, Initializer, Model, Positive, PyTree, Range, Scalar

Observable = Literal["local", "global"]
TURNS = 3  # rotations of a qubit in a layer
Qubits = Annotated[int, Range("[1, 30]", "12 are quick on a CPU")]


def circuit(
    *,
    outputs: int,
    qubits: Qubits = 4,
    depth: Count = 4,
    observable: Observable = "local",
    initializer: Initializer | str = "normal",
    input_scale: Scalar = 1.0,
    output_scale: Positive = 1.0,
) -> Model:
    """Simulate a parametrized quantum circuit without noise, every state held as a whole.

    |psi> = product over layers of CZ(0, 1) CZ(1, 2) ... times Rz(t_2) Ry(t_1) Rx(t_0) of every qubit, on |0...0>
    t = angle + input_scale x_f: every rotation reads one feature f, in turn through layers, qubits and rotations, so
        that each is read again and again (data re-uploading)
    outputs_k = scale_k <psi| O_k |psi>, the scales learned from output_scale on

    Angles and scales are real; amplitudes are complex64. In [groups] a factor 0.0 on "output/scale" keeps the scale.

    Args:
        outputs: number of classes or regression targets.
        qubits: on a CPU up to about 12: each doubles time and memory.
        depth: layers.
        observable: "local": output k is Z of qubit k; "global": the first output is the product of Z over all qubits,
            the k-th further one that over all but the k-th.
        initializer: of the angles of a layer, [qubits, 3]: "normal" with a stddev of 2 pi draws whole turns as
            evenly as "uniform" with a bound of pi; that of 1 / sqrt(4 depth) is of arXiv:2203.09376.
        input_scale: radians for a unit of a feature; 0.0 leaves the data out. *Sweepable.*
        output_scale: first value of every scale; no expectation is beyond 1, and logits need more. *Sweepable.*

    Returns:
        A `Model` on inputs [B, ...], flattened: outputs [B, outputs]; its only activation is "output".

    Raises:
        ValueError: more features than rotations, more outputs than observables, complex parameters, or states of a
            batch that are larger than the machine's memory.

    Expect:
        With whole turns the variance of gradient_norm^2 falls by half or more with each qubit in a deep circuit with
        a global observable; near the identity it does not. Outputs are trigonometric polynomials of the features, of
        a degree that grows with how often each is read.

    Costs:
        3 qubits depth + outputs weights. Time of a step: some 12 qubits depth 2^qubits complex products an example,
        and the memory of depth states.

    References:
        arXiv:1907.02085 (re-uploading), arXiv:1803.00745 (gradients by shifts of angles), arXiv:1803.11173 (barren
        plateaus), arXiv:2001.00550 (local and global), arXiv:2203.09376 (the normal start).
    """
    draw = resolve(initializers.TABLE, initializer, "circuit.initializer")
    rotations = depth * qubits * TURNS
    choices = qubits if observable == "local" else qubits + 1
    if outputs > choices:
        raise ValueError(
            f"circuit: found {outputs} outputs; expected at most {choices} with {qubits} qubits and the observable "
            f'"{observable}"; raise qubits'
        )

    def features_of(x: Array) -> Array:
        if x.ndim < 2 or not jnp.issubdtype(x.dtype, jnp.floating):
            raise ValueError(f"circuit: inputs must be floats [batch, ...]; found {described(x)}")
        flat = x.reshape(x.shape[0], -1)
        if flat.shape[1] > rotations:
            raise ValueError(
                f"circuit: found {flat.shape[1]} features; expected at most one for each of {rotations} rotations "
                f"({depth} layers x {qubits} qubits x {TURNS}); raise depth or qubits"
            )
        need, have = x.shape[0] * (depth + qubits) * gates.BYTES * 2**qubits, memory()
        if need > have:
            raise ValueError(
                f"circuit: the states of {qubits} qubits in {depth} layers take {need:,} bytes for a batch of "
                f"{x.shape[0]}; expected at most the {have:,} of this machine; lower qubits or batch_size"
            )
        return flat

    def init(key: Array, x: Array) -> PyTree:
        features_of(x)
        # in a loop: otherwise XLA writes the generator out anew for every layer
        drawn = jax.lax.map(lambda own: draw(own, (qubits, TURNS), jnp.float32), jax.random.split(key, depth))
        layers = {layer_name(k, depth): {"angles": drawn[k]} for k in range(depth)}
        return {**layers, "output": {"scale": jnp.full((outputs,), output_scale, jnp.float32)}}

    def apply(params: PyTree, x: Array) -> Array:
        flat = features_of(x)
        angles = jnp.stack([params[layer_name(k, depth)]["angles"] for k in range(depth)])
        if jnp.iscomplexobj(angles):
            raise ValueError(f"circuit: found angles of {angles.dtype}; expected real floats; a phase is an angle too")
        read = np.arange(rotations).reshape(angles.shape) % flat.shape[1]
        turned = angles[:, None] + input_scale * jnp.moveaxis(flat[:, read], 0, 1)  # [depth, B, qubits, 3]
        state = jax.lax.scan(jax.checkpoint(_layer), gates.zero_state(x.shape[0], qubits), turned)[0]
        held = jnp.square(state.real) + jnp.square(state.imag)
        return (held @ signs(observable, qubits, outputs)) * params["output"]["scale"].reshape(1, -1)

    return functions(init, apply)._replace(per_example=True)


def _layer(state: Array, angles: Array) -> tuple[Array, None]:
    """Rotate every qubit by its three angles [B, qubits, 3], then flip the signs of the ladder."""
    turns = gates.rz(angles[..., 2]) @ gates.ry(angles[..., 1]) @ gates.rx(angles[..., 0])  # [B, qubits, 2, 2]

    def turn(state: Array, gate: Array) -> tuple[Array, None]:
        # The first qubit becomes the last, so that one small loop serves all: gates written out one after the other
        # are fused by XLA into code that takes half a minute to compile.
        turned = gates.apply(state, gate, 0)
        return turned.reshape(len(state), 2, -1).swapaxes(1, 2).reshape(state.shape), None

    state = jax.lax.scan(turn, state, jnp.moveaxis(turns, 1, 0))[0]
    return state * gates.ladder(angles.shape[1]).reshape(1, -1), None


def signs(observable: Observable, qubits: int, outputs: int) -> np.ndarray:
    """Return the eigenvalues of the observables for every entry of a state, [2^qubits, outputs]."""
    values = 1.0 - 2.0 * gates.bits(qubits)
    if observable == "global":
        values = np.prod(values, axis=1, keepdims=True) * np.concatenate([np.ones((2**qubits, 1)), values], axis=1)
    return values[:, :outputs].astype(np.float32)


def memory() -> int:
    """Return the bytes of memory of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
