"""The perceptron and the convolutional networks compute what their formulas say."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from deepprinciples.errors import ConfigError
from deepprinciples.parts.models import TABLE, cnn, mlp, resnet
from deepprinciples.parts.models.layers import Step, dropout, layer_name
from deepprinciples.parts.models.windows import patches_convolution, pool
from deepprinciples.types import SLOPE

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (6, 5))
SMALL = {"outputs": 3, "depth": 3, "width": 4, "activation": "tanh", "bias_initializer": "ones"}


def dense(params, x):
    return x @ np.asarray(params["kernel"]) + np.asarray(params["bias"])


def run(model, x, *, key=None, train=False):
    params, state = model.init(KEY, x)
    return params, *model.apply(params, state, x, key=key, train=train)


def count(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(
    ("model", "shape", "expected"),
    [
        (mlp(outputs=10), (28, 28), 784 * 128 + 128 + 128 * 128 + 128 + 128 * 10 + 10),
        (mlp(outputs=10, depth=0), (40,), 40 * 10 + 10),
        (mlp(outputs=2, width=4, skip="highway"), (3,), (3 * 4 + 4) + 2 * (4 * 4 + 4) + (4 * 2 + 2)),
        (mlp(outputs=2, width=4, skip="dense"), (3,), (3 * 4 + 4) + (4 * 4 + 4) + (8 * 2 + 2)),
        (mlp(outputs=2, width=4, skip="rezero"), (3,), (3 * 4 + 4) + (4 * 4 + 4 + 1) + (4 * 2 + 2)),
        (mlp(outputs=2, width=4, normalization="layer"), (3,), (3 * 4 + 4 + 8) + (4 * 4 + 4 + 8) + (4 * 2 + 2)),
        (mlp(outputs=2, width=4, normalization="weight"), (3,), (3 * 4 + 8) + (4 * 4 + 8) + (4 * 2 + 2)),
        (cnn(outputs=10), (28, 28, 1), (9 * 16 + 16) + (9 * 16 * 32 + 32) + (7 * 7 * 32 * 10 + 10)),
        (cnn(outputs=10, width=4), (40, 1), (3 * 4 + 4) + (3 * 4 * 8 + 8) + (10 * 8 * 10 + 10)),
        (resnet(outputs=2, width=4, blocks=1, stages=1, normalization="none"), (8, 1), 16 + 2 * 52 + 10),
    ],
)
def test_parameters_are_counted_by_hand(model, shape, expected):
    """Two arms would differ in size where the user thinks they differ in method."""
    params, _ = jax.eval_shape(model.init, KEY, jnp.zeros((1, *shape)))
    assert count(params) == expected


def test_plain_perceptron_by_hand():
    """Every comparison on the plain network would be one on something else."""
    params, outputs, _, activations = run(mlp(**SMALL), X)
    a = np.asarray(X)
    for name in ("layer_00", "layer_01", "layer_02"):
        z = dense(params[name]["linear"], a)
        a = np.tanh(z)
        np.testing.assert_allclose(activations[name], a, atol=1e-6)
        np.testing.assert_allclose(activations[name + SLOPE], 1 - a**2, atol=1e-6)
    np.testing.assert_allclose(outputs, dense(params["output"], a), atol=1e-5)


@pytest.mark.parametrize("skip", ["residual", "rezero"])
def test_residual_perceptron_by_hand(skip):
    """A skip would add in the wrong place, or its scale would do nothing."""
    model = mlp(**SMALL, skip=skip, branch_scale=0.5)
    params, state = model.init(KEY, X)
    if skip == "rezero":
        assert params["layer_01"]["alpha"] == 0.0
    params = jax.tree.map(lambda leaf: leaf + 0.3 if leaf.ndim == 0 else leaf, params)
    outputs, _, activations = model.apply(params, state, X, key=None, train=False)
    s = dense(params["layer_00"]["linear"], np.asarray(X))
    for name in ("layer_01", "layer_02"):
        factor = 0.5 * (0.3 if skip == "rezero" else 1.0)
        s = s + factor * dense(params[name]["linear"], np.tanh(s))
        np.testing.assert_allclose(activations[name], s, atol=1e-5)
        np.testing.assert_allclose(activations[name + SLOPE], 1 - np.tanh(s) ** 2, atol=1e-5)
    np.testing.assert_allclose(outputs, dense(params["output"], np.tanh(s)), atol=1e-5)


def test_highway_and_dense_by_hand():
    """A gate would open the wrong way, or concatenation lose what was given."""
    params, outputs, _, _ = run(mlp(**SMALL, skip="highway"), X)
    a = np.tanh(dense(params["layer_00"]["linear"], np.asarray(X)))
    for name in ("layer_01", "layer_02"):
        gate = 1 / (1 + np.exp(1.0 - dense(params[name]["gate"], a)))
        a = gate * np.tanh(dense(params[name]["linear"], a)) + (1 - gate) * a
    np.testing.assert_allclose(outputs, dense(params["output"], a), atol=1e-5)

    params, outputs, _, _ = run(mlp(**SMALL, skip="dense"), X)
    a = np.tanh(dense(params["layer_00"]["linear"], np.asarray(X)))
    for name in ("layer_01", "layer_02"):
        a = np.concatenate([a, np.tanh(dense(params[name]["linear"], a))], axis=-1)
    np.testing.assert_allclose(outputs, dense(params["output"], a), atol=1e-5)


ALL_SKIPS = ("none", "residual", "highway", "dense", "rezero")
OFFERED = {"mlp": ALL_SKIPS, "cnn": ALL_SKIPS, "resnet": ("none", "residual", "rezero")}


@pytest.mark.parametrize(("name", "skip"), [(name, skip) for name, skips in OFFERED.items() for skip in skips])
@pytest.mark.parametrize("normalization", ["none", "batch", "layer", "group", "rms", "weight"])
def test_all_skips_and_normalizations_fit_together(name, skip, normalization):
    """A combination a config allows would fail when it is built."""
    sizes = {} if name == "resnet" else {"depth": 4}
    model = TABLE[name](outputs=3, width=4, skip=skip, normalization=normalization, **sizes)

    def call(x):
        params, state = model.init(KEY, x)
        return model.apply(params, state, x, key=KEY, train=True)[:2]

    for shape in ((2, 5, 2), (2, 7, 5, 2)):
        outputs, state = jax.eval_shape(call, jax.ShapeDtypeStruct(shape, jnp.float32))
        assert outputs.shape == (2, 3)
        assert set(state) == ({"batch_stats"} if normalization == "batch" else set())


def test_paired_arms_share_the_weights_of_the_same_layer():
    """Seed k would mean other weights in the arm with the trick, and pairing would gain nothing."""
    kernel = lambda **changes: mlp(**(SMALL | changes)).init(KEY, X)[0]["layer_01"]["linear"]["kernel"]  # noqa: E731
    plain = kernel()
    for changes in ({"skip": "residual"}, {"normalization": "layer"}, {"skip": "rezero"}, {"normalization": "weight"}):
        np.testing.assert_array_equal(kernel(**changes), plain)
    ratio = kernel(initializer="glorot_normal") / kernel(initializer="he_normal")
    np.testing.assert_allclose(ratio, ratio[0, 0] * np.ones((4, 4)), rtol=1e-5)


def test_weight_normalization_starts_plain_and_its_gradient_is_orthogonal():
    """The start would differ from the plain network's, or the norm of the kernel would still steer the function."""
    plain, normed = mlp(**SMALL), mlp(**SMALL, normalization="weight")
    params, state = normed.init(KEY, X)
    np.testing.assert_allclose(run(plain, X)[1], run(normed, X)[1], atol=1e-5)
    loss = lambda p: jnp.sum(jnp.sin(normed.apply(p, state, X, key=None, train=False)[0]))  # noqa: E731
    grads = jax.grad(loss)(params)["layer_01"]
    kernel = params["layer_01"]["linear"]["kernel"]
    np.testing.assert_allclose(jnp.sum(kernel * grads["linear"]["kernel"], axis=0), jnp.zeros(4), atol=1e-4)
    assert float(jnp.abs(grads["linear"]["kernel"]).max()) > 1e-2


def test_batch_normalization_keeps_running_statistics():
    """Evaluation would use the statistics of the test batch, or never learn any."""
    model = mlp(outputs=3, depth=1, width=4, normalization="batch", activation="identity")
    params, state = model.init(KEY, X)
    z = dense(params["layer_00"]["linear"], np.asarray(X))
    _, new_state, activations = model.apply(params, state, X, key=None, train=True)
    stats = new_state["batch_stats"]["layer_00"]["norm"]
    np.testing.assert_allclose(stats["mean"], 0.1 * z.mean(0), atol=1e-6)
    np.testing.assert_allclose(stats["var"], 0.9 + 0.1 * z.var(0), rtol=1e-5)
    np.testing.assert_allclose(activations["layer_00"], (z - z.mean(0)) / np.sqrt(z.var(0) + 1e-5), atol=1e-5)
    _, same, activations = model.apply(params, new_state, X, key=None, train=False)
    jax.tree.map(np.testing.assert_array_equal, same, new_state)
    expected = (z - np.asarray(stats["mean"])) / np.sqrt(np.asarray(stats["var"]) + 1e-5)
    np.testing.assert_allclose(activations["layer_00"], expected, atol=1e-5)


def test_dropout_keeps_the_mean_and_draws_anew_for_each_layer():
    """The rate would rescale the signal, or every layer drop the same units."""
    x = jnp.ones((200, 200))
    drop = lambda rate, number: dropout(x, Step(KEY, True, rate, 1.0, {}), number)  # noqa: E731
    dropped = drop(0.25, 0)
    np.testing.assert_allclose(np.unique(dropped), [0.0, 4 / 3], rtol=1e-6)
    assert abs(float(dropped.mean()) - 1.0) < 4 * np.sqrt(0.25 / 0.75 / 40000)
    assert 0.3 < float(jnp.mean((drop(0.5, 0) == 0) != (drop(0.5, 1) == 0))) < 0.7
    np.testing.assert_array_equal(drop(jnp.float32(0.0), 0), x)
    gradient = jax.grad(lambda v: dropout(v, Step(KEY, True, jnp.float32(1.0), 1.0, {}), 0).sum())(x)
    np.testing.assert_array_equal(gradient, jnp.zeros_like(x))


@pytest.mark.parametrize("shape", [(2, 7, 3), (2, 7, 6, 3)])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (1, 2), (3, 1), (3, 2), (5, 1)])
def test_patches_equal_the_library_convolution(shape, kernel, stride):
    """The fast convolution would be another one."""
    axes = len(shape) - 2
    x = jax.random.normal(KEY, shape)
    w = jax.random.normal(KEY, (*(kernel,) * axes, 3, 4))
    order = ("NHC", "HIO", "NHC") if axes == 1 else ("NHWC", "HWIO", "NHWC")
    strides = (stride,) * axes
    library = lax.conv_general_dilated(x, w, strides, "SAME", dimension_numbers=order)
    np.testing.assert_allclose(patches_convolution(x, w, strides, "SAME"), library, atol=1e-4)


@pytest.mark.parametrize("shape", [(2, 8, 3), (2, 7, 3), (2, 6, 5, 3), (2, 1, 4, 3)])
def test_pool_equals_reduce_window(shape):
    """Pooling would mix positions, or fail on odd edges."""
    x = jax.random.normal(KEY, shape)
    ones = (1, *(2,) * (len(shape) - 2), 1)
    expected = lax.reduce_window(x, -jnp.inf, lax.max, ones, ones, "VALID") if min(shape[1:-1]) > 1 else x
    np.testing.assert_array_equal(pool(x), expected)


def test_convolutional_network_equals_library_calls():
    """The network would pool, activate or flatten in another order than its formula."""
    x = jax.random.normal(KEY, (2, 8, 6, 3))
    params, outputs, _, _ = run(cnn(outputs=3, width=4, bias_initializer="ones"), x)
    convolve = functools.partial(
        lax.conv_general_dilated, window_strides=(1, 1), padding="SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    for name in ("layer_00", "layer_01"):
        x = convolve(x, params[name]["linear"]["kernel"]) + 1.0
        x = jnp.maximum(lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"), 0.0)
    np.testing.assert_allclose(outputs, dense(params["output"], np.asarray(x).reshape(2, -1)), atol=1e-5)


def test_deep_convolutional_network_spreads_its_stages():
    """Depth and stages would not mean what the card says."""
    model = cnn(outputs=2, depth=5, stages=2, width=4)
    call = lambda x: model.apply(*model.init(KEY, x), x, key=None, train=False)[2]  # noqa: E731
    activations = jax.eval_shape(call, jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.float32))
    shapes = [activations[layer_name(number, 5)].shape[1:] for number in range(5)]
    assert shapes == [(8, 8, 4), (8, 8, 4), (4, 4, 4), (4, 4, 8), (2, 2, 8)]


def test_pytorch_biases_see_their_fan_in():
    """The default of PyTorch, U(-b, b) with b = 1 / sqrt(fan_in) for biases too, could not be reproduced."""
    model = mlp(outputs=500, depth=1, width=500, initializer="pytorch_default", bias_initializer="pytorch_default")
    params, _ = model.init(KEY, jnp.ones((1, 16)))
    for leaf, bound in ((params["layer_00"]["linear"]["bias"], 1 / 4), (params["output"]["bias"], 500**-0.5)):
        assert 0.98 * bound < float(jnp.abs(leaf).max()) <= bound


def test_names_sort_in_the_order_of_the_layers():
    """Heat-maps of very deep networks would show their layers in the wrong order."""
    names = [layer_name(number, 120) for number in range(120)]
    assert names == sorted(names) and layer_name(3, 16) == "layer_03"


@pytest.mark.parametrize(
    ("model", "x", "words"),
    [
        (mlp(outputs=2), jnp.ones(3), "mlp: inputs must be floats"),
        (mlp(outputs=2), jnp.ones((2, 3), jnp.int32), "use model lstm for token ids"),
        (cnn(outputs=2), jnp.ones((2, 3)), r"cnn: .* found float32 \[B, 3\]; use model mlp"),
        (resnet(outputs=2), jnp.ones((2, 3)), r"resnet: .* found float32 \[B, 3\]; use model mlp"),
    ],
)
def test_inputs_of_the_wrong_rank_are_refused_in_one_line(model, x, words):
    """A user would read a traceback from inside a convolution."""
    with pytest.raises(ValueError, match=words) as caught:
        jax.eval_shape(model.init, KEY, x)
    assert "\n" not in str(caught.value)


def test_unknown_names_are_refused_with_the_known_ones():
    """A typing error would end in a bare KeyError."""
    with pytest.raises(ConfigError, match="mlp.activation: found 'rellu'; expected a function or one of .*relu"):
        mlp(outputs=2, activation="rellu")
