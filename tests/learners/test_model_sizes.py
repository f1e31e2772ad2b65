"""The size of a model against numbers by hand: what is stored, and the multiply-adds of one example."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepprinciples import config as configs
from deepprinciples.kernels.operation_counts import multiply_adds
from deepprinciples.learners.assembly import from_config
from deepprinciples.learners.model_sizes import shapes_of, size_of

RANDOM = np.random.default_rng(0)
LABELS = np.arange(40) % 3


def sized(inputs, model, **changes):
    base = {
        "data": {"name": "arrays", "inputs": inputs, "targets": LABELS, "batch_size": 4},
        "model": model,
        "loss": "softmax_cross_entropy",
        "optimizer": "adam",
    }
    config = configs.resolve(configs.changes(base, changes), from_config.KINDS)
    return size_of(shapes_of(config, from_config.dataset(config)), config)


VECTORS = RANDOM.normal(size=(40, 6)).astype(np.float32)
PICTURES = RANDOM.normal(size=(40, 8, 8, 2)).astype(np.float32)
SERIES = RANDOM.normal(size=(40, 7, 2)).astype(np.float32)
MLP = {"name": "mlp", "depth": 2, "width": 5}
DENSE = 6 * 5 + 5 * 5 + 5 * 3


@pytest.mark.parametrize(("inputs", "model", "parameters", "products"), [
    (VECTORS, MLP, DENSE + 5 + 5 + 3, DENSE),
    # Two windows of 3 x 3 over 8 x 8 places, pooled to 4 x 4 after the second, then all of them to 3 classes.
    (PICTURES, {"name": "cnn", "depth": 2, "width": 4, "stages": 1, "readout": "flatten"},
     9 * 2 * 4 + 4 + 9 * 4 * 4 + 4 + 64 * 3 + 3, 64 * 9 * 2 * 4 + 64 * 9 * 4 * 4 + 64 * 3),
    # Four gates from two inputs, a one (their bias) and four units, at seven steps; then three classes.
    (SERIES, {"name": "lstm", "width": 4}, 4 * (2 + 4) * 4 + 16 + 4 * 3 + 3, 7 * 4 * (2 + 1 + 4) * 4 + 4 * 3),
])  # fmt: skip
def test_multiply_adds_and_parameters_by_hand(inputs, model, parameters, products):
    """Lost: the axis that small networks are compared on."""
    assert sized(inputs, model) == {"parameters": parameters, "bytes": 4 * parameters, "multiply_adds": products}


def test_statistics_of_batch_normalization_are_stored_too():
    """Lost: bytes of a model that could not answer with what was counted."""
    plain, normed = sized(VECTORS, MLP), sized(VECTORS, {**MLP, "normalization": "batch"})
    more = normed["parameters"] - plain["parameters"]
    assert normed["bytes"] - plain["bytes"] == 4 * more + 4 * 2 * 2 * 5  # a mean and a variance of two layers


def test_the_width_at_which_weights_are_stored():
    """Lost: a verdict on size in which all arms have the size of floats."""
    biases = 13
    found = sized(VECTORS, MLP, **{"weights.quantize": {"bits": 8.0}})
    assert found == {"parameters": DENSE + biases, "bytes": DENSE + 4 * biases + 4 * 13, "multiply_adds": DENSE}
    found = sized(VECTORS, MLP, **{"weights.prune": {"sparsity": 0.5}})
    assert found["parameters"] == DENSE // 2 + biases
    assert found["bytes"] == 4 * (DENSE // 2 + biases) + 4 + 4 + 2  # a bit for each of 30, 25 and 15 weights
    found = sized(VECTORS, MLP, **{"weights.low_rank": {"rank": 1, "base": "none"}})
    assert found["parameters"] == 11 + 10 + 8 + biases and found["bytes"] == 4 * found["parameters"]
    assert found["multiply_adds"] == DENSE, "A B is no product with an example"


def test_loops_calls_and_choices_are_followed():
    """Lost: the products of a recurrent network, a rematerialized layer or a branch."""
    w, x = jnp.ones((3, 3)), jnp.ones((1, 3))

    def steps(w, x):
        def step(carry, _):
            return carry + jax.checkpoint(lambda c: c @ w)(x if carry is None else carry), w @ w

        return jax.lax.scan(step, jnp.zeros_like(x) + x, None, length=5)

    assert multiply_adds(steps, w, x) == 5 * 9
    late = lambda w, x: jax.lax.fori_loop(0, 4, lambda k, c: (c[1], c[0] @ w), (jnp.zeros((1, 3)), x))
    assert multiply_adds(late, w, x) == 4 * 9, "the first half depends on the example from the second round on"
    chosen = lambda w, x: jax.lax.cond(x[0, 0] > 0, lambda: x @ w, lambda: x @ w @ w)
    assert multiply_adds(chosen, w, x) == 2 * 9
    assert multiply_adds(lambda w, x: jax.jit(jax.nn.relu)(x @ w) @ (w @ w), w, x) == 2 * 9
    own = jax.custom_vjp(lambda x, w: x @ w)
    own.defvjp(lambda x, w: (x @ w, (x, w)), lambda kept, g: (g, g))
    assert multiply_adds(lambda w, x: own(x, w), w, x) == 9
    until = lambda w, x: jax.lax.while_loop(lambda c: jnp.sum(c) < 9, lambda c: c @ w, x)
    assert multiply_adds(until, w, x) is None
    image, kernel = jnp.ones((1, 6, 6, 4)), jnp.ones((3, 3, 2, 8))
    window = lambda k, x: jax.lax.conv_general_dilated(
        x, k, (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=2
    )
    assert multiply_adds(window, kernel, image) == 2 * 2 * 8 * 9 * 2
