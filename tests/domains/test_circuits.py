"""Circuits: gates against Kronecker products and PennyLane, gradients by shifted angles, and what does not fit."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import deepprinciples as dp
from deepprinciples.domains.circuits import gates
from deepprinciples.domains.circuits.circuit import circuit, memory
from deepprinciples.domains.circuits.expectation import expectation
from deepprinciples.errors import ConfigError

X, Y, Z = (np.array(one, complex) for one in ([[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]))
KEY = jax.random.key(0)
ANGLES = np.random.default_rng(0).uniform(-np.pi, np.pi, (2, 3, 3)).astype(np.float32)
PARAMS = {"layer_00": {"angles": ANGLES[0]}, "layer_01": {"angles": ANGLES[1]}, "output": {"scale": jnp.ones(3)}}
FEATURES = jnp.asarray(
    [[0.4116305363741328, 1.0425133694426776, -0.12853466294403426, 1.3664634705496859]], jnp.float32
)


def on(qubits: int, placed: dict[int, np.ndarray]) -> np.ndarray:
    """Write a product of gates on single qubits as one matrix [2^qubits, 2^qubits]."""
    return functools.reduce(np.kron, [placed.get(qubit, np.eye(2)) for qubit in range(qubits)])


def controlled(a: int, b: int, gate: np.ndarray) -> np.ndarray:
    """Write a gate on qubit b of three where qubit a is 1 as one matrix."""
    up, down = np.diag([1.0, 0.0]), np.diag([0.0, 1.0])
    return on(3, {a: up}) + on(3, {a: down}) @ on(3, {b: gate})


def random_state(qubits: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    state = rng.normal(size=(2, 2**qubits)) + 1j * rng.normal(size=(2, 2**qubits))
    return (state / np.linalg.norm(state, axis=1, keepdims=True)).astype(np.complex64)


@pytest.mark.parametrize(("gate", "pauli"), [(gates.rx, X), (gates.ry, Y), (gates.rz, Z)])
@pytest.mark.parametrize("qubit", [0, 1, 2])
def test_rotations_are_exponentials_of_pauli_matrices(gate, pauli, qubit: int) -> None:
    """Lost: a rotation about the wrong axis, of twice the angle, or of another qubit."""
    state, angle = random_state(3), 0.7
    matrix = np.cos(angle / 2) * np.eye(2) - 1j * np.sin(angle / 2) * pauli
    ours = gates.apply(jnp.asarray(state), gate(jnp.float32(angle)), qubit)
    np.testing.assert_allclose(ours, state @ on(3, {qubit: matrix}).T, atol=1e-6)


def test_a_ladder_is_its_matrices() -> None:
    """Lost: a sign that flips between qubits that are no neighbors, or a qubit counted from the other end."""
    np.testing.assert_array_equal(gates.ladder(3), np.diag(controlled(0, 1, Z) @ controlled(1, 2, Z)).real)


def test_a_state_is_that_of_pennylane() -> None:
    """Lost: gates right one by one, in an order that nobody else has.

    PennyLane 0.45.1, default.qubit: Hadamard(0); CNOT((0, 2)); RX(0.3, 1); RY(0.7, 2); CZ((2, 1)); RZ(1.1, 0);
    CNOT((1, 0)); state().
    """
    state = gates.apply(gates.zero_state(1, 3), jnp.asarray((X + Z) / 2**0.5, jnp.complex64), 0)
    state = gates.apply(state @ controlled(0, 2, X).T, gates.rx(jnp.float32(0.3)), 1)
    state = gates.apply(state, gates.ry(jnp.float32(0.7)), 2) @ controlled(2, 1, Z).T
    state = gates.apply(state, gates.rz(jnp.float32(1.1)), 0) @ controlled(1, 0, X).T
    real = [0.559919, 0.204387, -0.018939, -0.051883, -0.204387, 0.559919, -0.051883, 0.018939]
    imaginary = [-0.34329, -0.12531, 0.03089, 0.084624, -0.12531, 0.34329, -0.084624, 0.03089]
    np.testing.assert_allclose(state[0], np.array(real) + 1j * np.array(imaginary), atol=2e-6)


@pytest.mark.parametrize(
    ("observable", "expected"),
    [
        ("local", [0.03408153042799045, 0.13929867802331009, -0.19805887169116293]),
        ("global", [-0.4149782685325757, -0.37134703331771773, 0.0854673084699796]),
    ],
)
def test_outputs_are_those_of_pennylane(observable: str, expected: list[float]) -> None:
    """Lost: the circuit on the card, the order in which it reads features, or its observables.

    PennyLane 0.45.1, default.qubit, with the angles above in float64 and x = rng.normal(size=4) drawn after them:
    turned = angles + 0.5 * x[np.arange(18).reshape(2, 3, 3) % 4]; in each layer RX, RY, RZ of every qubit by turned,
    then CZ((0, 1)), CZ((1, 2)); expval of Z(0), Z(1), Z(2), and of Z(0) Z(1) Z(2), Z(1) Z(2), Z(0) Z(2).
    """
    model = circuit(outputs=3, qubits=3, depth=2, observable=observable, input_scale=0.5)  # type: ignore[arg-type]
    outputs = model.apply(PARAMS, {}, FEATURES, key=None, train=False)[0]
    np.testing.assert_allclose(outputs[0], expected, atol=1e-6)


def test_gradients_are_differences_of_shifted_angles() -> None:
    """Lost: the gradient: (E(t + pi / 2) - E(t - pi / 2)) / 2 is exact for every angle (arXiv:1803.00745)."""
    model = circuit(outputs=1, qubits=3, depth=2, observable="global", input_scale=0.5)

    def value(angles):
        params = {
            "layer_00": {"angles": angles[0]},
            "layer_01": {"angles": angles[1]},
            "output": {"scale": jnp.ones(1)},
        }
        return model.apply(params, {}, FEATURES, key=None, train=True)[0][0, 0]

    steps = jnp.eye(ANGLES.size).reshape(-1, *ANGLES.shape) * jnp.pi / 2
    both = jax.jit(jax.vmap(value))(jnp.concatenate([ANGLES[None] + steps, ANGLES[None] - steps])).reshape(
        2, *ANGLES.shape
    )
    np.testing.assert_allclose(jax.jit(jax.grad(value))(ANGLES), (both[0] - both[1]) / 2, atol=1e-5)


def test_a_circuit_keeps_the_contract_of_models() -> None:
    """Lost: lanes of one program, an evaluation that needs no key, the gradient of the activation, or seeds."""

    def run(key, scale, perturbation):
        model = circuit(outputs=2, qubits=2, depth=2, input_scale=scale, output_scale=2.0, initializer="orthogonal")
        x = jnp.arange(6.0).reshape(2, 3) / 5
        params, state = model.init(key, x)
        given = {"perturbations": {"output": perturbation}}
        outputs, after, activations = model.apply(params, given, x, key=None, train=True)
        assert (
            model.takes_perturbations and model.per_example and state == {} == after and set(activations) == {"output"}
        )
        return jnp.sum(jnp.sin(outputs)), (params, outputs)

    keys, scales, nothing = jax.random.split(KEY, 2), jnp.array([0.0, 1.5]), jnp.zeros((2, 2))
    wide = jax.vmap(jax.value_and_grad(run, argnums=2, has_aux=True), in_axes=(0, 0, None))
    (_, (params, outputs)), slopes = jax.jit(wide)(keys, scales, nothing)
    alone = run(keys[1], scales[1], nothing)[1][1]
    np.testing.assert_allclose(outputs[1], alone, atol=1e-5)
    np.testing.assert_allclose(slopes, jnp.cos(outputs), atol=1e-6)
    assert jax.tree.map(jnp.shape, params) == {
        "layer_00": {"angles": (2, 2, 3)}, "layer_01": {"angles": (2, 2, 3)}, "output": {"scale": (2, 2)},
    }  # fmt: skip
    np.testing.assert_allclose(outputs[0, 0], outputs[0, 1], atol=1e-6)  # input_scale 0.0 leaves the data out
    assert not np.allclose(params["layer_00"]["angles"][0], params["layer_00"]["angles"][1])
    assert not np.allclose(params["layer_00"]["angles"][0], params["layer_01"]["angles"][0])


def test_whole_turns_are_as_flat_as_theory_says() -> None:
    """Lost: barren plateaus: over random states the variance of dE/dt is 2^-(qubits + 1) (arXiv:1803.11173)."""
    draw = functools.partial(dp.parts.initializers.uniform, bound=jnp.pi)
    model = circuit(outputs=1, qubits=4, depth=12, observable="global", initializer=draw(), input_scale=0.0)
    params = jax.jit(jax.vmap(lambda key: model.init(key, jnp.zeros((1, 1)))[0]))(jax.random.split(KEY, 300))
    value = lambda p: expectation()(model.apply(p, {}, jnp.zeros((1, 1)), key=None, train=True)[0], None)[0]
    found = jax.jit(jax.vmap(jax.grad(value)))(params)
    squares = [jnp.mean(jnp.square(found[f"layer_{k:02d}"]["angles"])) for k in range(4, 9)]
    assert np.mean(squares) == pytest.approx(2**-5, rel=0.1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"depth": 1}, "found 13 features; expected at most one for each of 9 rotations (1 layers x 3 qubits"),
        ({"qubits": 2}, "found 3 outputs; expected at most 2 with 2 qubits"),
        ({"qubits": 30}, "take 292,057,776,128 bytes for a batch of 1; expected at most"),
        ({"qubits": 31}, "model.qubits"),
        ({"initializer": lambda: lambda key, shape, dtype: jnp.ones(shape, jnp.complex64)}, "complex64; expected real"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(changes: dict, words: str) -> None:
    """Lost: a machine that swaps for an hour, features that nobody reads, or imaginary angles."""
    if callable(changes.get("initializer")):
        changes = {"initializer": {"factory": changes["initializer"]}}
    config = {
        "data": {"name": "wine", "batch_size": 16},
        "model": {"name": "circuit", "qubits": 3, **changes},
        "loss": {"name": "softmax_cross_entropy"},
        "optimizer": {"name": "adam"},
        "train": {"steps": 2},
        "study": {"metric": "accuracy"},
    }
    with pytest.raises(ConfigError) as caught:
        dp.train(config)
    assert words in str(caught.value) and "\n" not in str(caught.value).strip()


def test_the_memory_of_the_machine_is_asked_for() -> None:
    """Lost: the limit would be that of another machine."""
    assert 2**28 < memory() < 2**46
