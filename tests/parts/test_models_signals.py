"""Signals and gradients at the start are those of theory: the numbers the diagnostics are judged by."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepprinciples.parts.models import mlp
from deepprinciples.types import ACTIVATION_DERIVATIVE

# compiling is most of the time here, so XLA optimizes little
KEYS = jax.random.split(jax.random.key(0), 150)


def second_moments(inputs, width=64, **changes):
    """Mean of h^2 for every layer over many networks; all inputs are unit Gaussian."""
    model = mlp(outputs=1, width=width, **changes)

    def one(key):
        x = inputs * jax.random.normal(jax.random.fold_in(key, 7), (4, 32))
        params, state = model.init(key, x)
        return {n: jnp.mean(a**2) for n, a in model.apply(params, state, x, key=None, train=False)[2].items()}

    moments = jax.jit(jax.vmap(one))(KEYS)
    return np.array(
        [
            float(np.mean(v))
            for n, v in sorted(moments.items())
            if n.startswith("layer") and ACTIVATION_DERIVATIVE not in n
        ]
    )


@pytest.mark.parametrize(("initializer", "ratio"), [("he_normal", 1.0), ("glorot_normal", 0.5)])
def test_second_moment_of_a_relu_layer(initializer, ratio):
    """An initializer or a layer would shrink the signal unnoticed: He keeps it, Glorot halves it."""
    q = second_moments(1.0, depth=5, initializer=initializer)
    np.testing.assert_allclose((q[4] / q[0]) ** 0.25, ratio, rtol=0.03)


def test_residual_second_moment_doubles_with_a_he_branch():
    """The residual network would not be the one of theory: q_L = 2^L q_0."""
    q = second_moments(1.0, depth=5, skip="residual")
    np.testing.assert_allclose(q / q[0], 2.0 ** np.arange(5), rtol=0.06)


@pytest.mark.parametrize("normalization", ["layer", "rms"])
def test_residual_second_moment_grows_by_one_with_a_normalized_branch(normalization):
    """Normalization would sit outside the branch: q_L = L + 1 where q_0 = 1."""
    q = second_moments(0.5**0.5, depth=5, skip="residual", normalization=normalization)
    np.testing.assert_allclose(q, np.arange(5) + 1.0, rtol=0.06)


def test_rezero_is_the_identity_at_the_start():
    """ReZero would not start as the identity: its input-output Jacobian is exactly I."""
    model = mlp(outputs=2, depth=6, width=5, skip="rezero", activation="tanh")
    x = jnp.ones((1, 3))

    def last(push):
        params, state = model.init(KEYS[0], x)
        perturbations = {"perturbations": {"layer_00": push[None]}}
        return model.apply(params, {**state, **perturbations}, x, key=None, train=False)[2]["layer_05"][0]

    np.testing.assert_array_equal(jax.jit(jax.jacobian(last))(jnp.zeros(5)), jnp.eye(5))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, 0.0337), ({"skip": "residual"}, 0.140), ({"skip": "residual", "normalization": "rms"}, 0.394)],
    ids=["plain", "residual", "normalized"],
)
def test_gradient_correlation_between_orthogonal_inputs(changes, expected):
    """Shattered gradients (arXiv:1702.08591) would be measured wrong: He, ReLU, ten layers."""
    residual, width, inputs = "skip" in changes, 1024, 16  # narrower networks lie above the limit, as 1 / width
    model = mlp(outputs=8, depth=11 if residual else 10, width=width, **changes)
    last = "layer_10" if residual else "output"  # ten activations lie between the first sum and this one
    x = jnp.eye(inputs) * (inputs / 2) ** 0.5

    def one(key):
        params, state = model.init(key, x)

        def units(push):  # an input has no part in the other's units, so the sum keeps them apart
            perturbations = {"perturbations": {"layer_00": push}}
            activations = model.apply(params, {**state, **perturbations}, x, key=None, train=False)[2]
            return activations[last][:, :8].sum(axis=0), activations["layer_00" + ACTIVATION_DERIVATIVE]

        grads, slope = jax.jacrev(units, has_aux=True)(jnp.zeros((inputs, width)))  # [8, inputs, width]
        if not residual:  # from the gradient of a_0 to that of its sum
            grads = grads * slope[None]
        own = jnp.sum(grads**2)
        return (jnp.sum(grads.sum(axis=1) ** 2) - own) / (inputs - 1), own  # the mean over all pairs of inputs

    # here computing takes longer than compiling, so XLA optimizes as usual
    shared, own = jax.jit(lambda keys: jax.lax.map(one, keys))(KEYS[:4])
    np.testing.assert_allclose(float(shared.mean() / own.mean()), expected, rtol=0.08)
