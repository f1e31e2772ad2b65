"""The perceptron and the convolutional networks compute what their formulas say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from deepprinciples.domains.detection.detector import detector
from deepprinciples.domains.style.perceptual import feature_network, transfer_network
from deepprinciples.domains.transfer.efficientnet import efficientnet_lite0
from deepprinciples.errors import ConfigError
from deepprinciples.parts.layers.hidden_layers import Step, dropout, layer_name, pool, product
from deepprinciples.parts.models import TABLE, cnn, mlp, resnet
from deepprinciples.types import ACTIVATION_DERIVATIVE

# compiling is most of the time here, so XLA optimizes little
KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (6, 5))
SMALL = {"outputs": 3, "depth": 3, "width": 4, "activation": "tanh", "bias_initializer": "ones"}


def dense(params, x):
    return x @ np.asarray(params["kernel"]) + np.asarray(params["bias"])


def run(model, x, change=lambda params: params):
    @jax.jit
    def call(x):
        params, state = model.init(KEY, x)
        params = change(params)
        return params, *model.apply(params, state, x, key=None, train=False)

    return jax.device_get(call(x))


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
        (  # first convolution, block, its gate, block, shortcut and gate, outputs
            resnet(outputs=2, width=4, blocks=1, normalization="none", skip="highway"),
            (8, 1),
            16 + 2 * 52 + (4 * 4 + 4) + (3 * 4 * 8 + 8) + (3 * 8 * 8 + 8) + 2 * (4 * 8 + 8) + (8 * 2 + 2),
        ),
        (  # first convolution, block, block on 8 channels, shortcut, outputs on 16
            resnet(outputs=2, width=4, blocks=1, normalization="none", skip="dense"),
            (8, 1),
            16 + 2 * 52 + 2 * (3 * 8 * 8 + 8) + (8 * 8 + 8) + (16 * 2 + 2),
        ),
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
        np.testing.assert_allclose(activations[name + ACTIVATION_DERIVATIVE], 1 - a**2, atol=1e-6)
    np.testing.assert_allclose(outputs, dense(params["output"], a), atol=1e-5)


@pytest.mark.parametrize("skip", ["residual", "rezero"])
def test_residual_perceptron_by_hand(skip):
    """A skip would add in the wrong place, or its scale would do nothing."""
    learned = lambda params: jax.tree.map(lambda leaf: leaf + 0.3 if leaf.ndim == 0 else leaf, params)
    params, outputs, _, activations = run(mlp(**SMALL, skip=skip, branch_scale=0.5, stream_scale=0.9), X, learned)
    if skip == "rezero":
        np.testing.assert_allclose(params["layer_01"]["alpha"], 0.0 + 0.3)
    s = dense(params["layer_00"]["linear"], np.asarray(X))
    for name in ("layer_01", "layer_02"):
        factor = 0.5 * (0.3 if skip == "rezero" else 1.0)
        s = 0.9 * s + factor * dense(params[name]["linear"], np.tanh(s))
        np.testing.assert_allclose(activations[name], s, atol=1e-5)
        np.testing.assert_allclose(activations[name + ACTIVATION_DERIVATIVE], 1 - np.tanh(s) ** 2, atol=1e-5)
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


def test_paired_arms_share_the_weights_of_the_same_layer():
    """Seed k would mean other weights in the arm with the trick, and pairing would gain nothing."""
    changes = [{"skip": "residual"}, {"skip": "rezero"}, {"normalization": "layer"}, {"normalization": "weight"}]
    changes += [{"initializer": "glorot_normal"}, {"initializer": "he_normal"}, {}]
    models = [mlp(**(SMALL | change)) for change in changes]
    kernels = jax.jit(lambda: [model.init(KEY, X)[0]["layer_01"]["linear"]["kernel"] for model in models])()
    *same, glorot, he, plain = kernels
    for kernel in same:
        np.testing.assert_array_equal(kernel, plain)
    ratio = glorot / he
    np.testing.assert_allclose(ratio, ratio[0, 0] * np.ones((4, 4)), rtol=1e-5)


def test_weight_normalization_starts_plain_and_its_gradient_is_orthogonal():
    """The start would differ from the plain network's, or the norm of the kernel would still steer the function."""
    plain, normed = mlp(**SMALL), mlp(**SMALL, normalization="weight")
    params, outputs, state, _ = run(normed, X)
    np.testing.assert_allclose(run(plain, X)[1], outputs, atol=1e-5)
    loss = lambda p: jnp.sum(jnp.sin(normed.apply(p, state, X, key=None, train=False)[0]))
    grads = jax.device_get(jax.jit(jax.grad(loss))(params))["layer_01"]
    kernel = params["layer_01"]["linear"]["kernel"]
    np.testing.assert_allclose(np.sum(kernel * grads["linear"]["kernel"], axis=0), np.zeros(4), atol=1e-4)
    assert np.abs(grads["linear"]["kernel"]).max() > 1e-2


def test_batch_normalization_keeps_running_statistics():
    """Evaluation would use the statistics of the test batch, or never learn any."""
    model = mlp(outputs=3, depth=1, width=4, normalization="batch", activation="identity")
    params, state = jax.device_get(jax.jit(model.init)(KEY, X))
    z = dense(params["layer_00"]["linear"], np.asarray(X))
    call = jax.jit(lambda state, train: model.apply(params, state, X, key=None, train=train), static_argnums=1)
    _, new_state, activations = call(state, True)
    stats = new_state["batch_stats"]["layer_00"]["norm"]
    np.testing.assert_allclose(stats["mean"], 0.1 * z.mean(0), atol=1e-6)
    np.testing.assert_allclose(stats["var"], 0.9 + 0.1 * z.var(0), rtol=1e-5)
    np.testing.assert_allclose(activations["layer_00"], (z - z.mean(0)) / np.sqrt(z.var(0) + 1e-5), atol=1e-5)
    _, same, activations = call(new_state, False)
    jax.tree.map(np.testing.assert_array_equal, same, new_state)
    expected = (z - np.asarray(stats["mean"])) / np.sqrt(np.asarray(stats["var"]) + 1e-5)
    np.testing.assert_allclose(activations["layer_00"], expected, atol=1e-5)


def test_dropout_keeps_the_mean_and_draws_anew_for_each_layer():
    """The rate would rescale the signal, or every layer drop the same units."""
    x = jnp.ones((200, 200))
    drop = jax.jit(lambda rate, number: dropout(x, Step(KEY, True, rate, 1.0, {}), number))
    dropped = drop(0.25, 0)
    np.testing.assert_allclose(np.unique(dropped), [0.0, 4 / 3], rtol=1e-6)
    assert abs(float(dropped.mean()) - 1.0) < 4 * np.sqrt(0.25 / 0.75 / 40000)
    assert 0.3 < float(jnp.mean((drop(0.5, 0) == 0) != (drop(0.5, 1) == 0))) < 0.7
    np.testing.assert_array_equal(drop(jnp.float32(0.0), 0), x)
    gradient = jax.jit(jax.grad(lambda v: dropout(v, Step(KEY, True, jnp.float32(1.0), 1.0, {}), 0).sum()))(x)
    np.testing.assert_array_equal(gradient, jnp.zeros_like(x))


def convolve(x, w, stride):
    order = ("NHC", "HIO", "NHC") if x.ndim == 3 else ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, w, (stride,) * (x.ndim - 2), "SAME", dimension_numbers=order)


def pooled(x):
    window = (1, *(2,) * (x.ndim - 2), 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID") if min(x.shape[1:-1]) > 1 else x


@pytest.mark.parametrize("shape", [(2, 8, 3), (2, 7, 3), (2, 6, 5, 3), (2, 1, 4, 3)])
def test_pool_equals_reduce_window(shape):
    """Pooling would mix positions, or fail on odd edges."""
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    np.testing.assert_array_equal(*jax.jit(lambda x: (pool(x, "auto"), pooled(x)))(x))
    np.testing.assert_array_equal(*jax.jit(lambda x: (pool(x, "stock"), pooled(x)))(x))


def test_convolutional_network_equals_library_calls():
    """The network would pool, activate or flatten in another order than its formula."""
    x = jax.random.normal(KEY, (2, 8, 6, 3))
    params, outputs, _, _ = run(cnn(outputs=3, width=4, bias_initializer="ones"), x)

    @jax.jit
    def library(x):
        for name in ("layer_00", "layer_01"):
            x = jnp.maximum(pooled(convolve(x, params[name]["linear"]["kernel"], 1) + 1.0), 0.0)
        return x.reshape(2, -1)

    np.testing.assert_allclose(outputs, dense(params["output"], np.asarray(library(x))), atol=1e-5)


@pytest.mark.parametrize("skip", ["residual", "highway", "dense"])
def test_residual_network_equals_library_calls(skip):
    """A skip would read or join something else than its formula, or the shortcut of a stage be left out."""
    x = jax.random.normal(KEY, (2, 7, 3))
    model = resnet(outputs=3, width=4, blocks=1, skip=skip, branch_scale=0.5, normalization="none", activation="tanh")
    params, outputs, _, activations = run(model, x)

    @jax.jit
    def library(x):
        streams = [convolve(x, params["layer_00"]["linear"]["kernel"], 1)]
        for name, stride in (("layer_01", 1), ("layer_02", 2)):
            w = {part: leaves["kernel"] for part, leaves in params[name].items()}
            s, a = streams[-1], jnp.tanh(streams[-1])
            branch = convolve(jnp.tanh(convolve(a, w["first"], stride)), w["second"], 1)
            s = convolve(a, w["shortcut"], 2) if stride == 2 else s
            if skip == "residual":
                branch = s + 0.5 * branch
            elif skip == "highway":
                gate = 1 / (1 + jnp.exp(1.0 - convolve(a, w["gate"], stride)))
                branch = gate * branch + (1 - gate) * s
            else:
                branch = jnp.concatenate([s, branch], axis=-1)
            streams.append(branch)
        return streams

    streams = library(x)
    assert streams[-1].shape == (2, 4, 16 if skip == "dense" else 8)
    for number, stream in enumerate(streams):
        np.testing.assert_allclose(activations[layer_name(number, 3)], stream, atol=1e-5)
    np.testing.assert_allclose(outputs, dense(params["output"], np.tanh(streams[-1]).mean(axis=1)), atol=1e-5)


def test_deep_convolutional_network_spreads_its_stages():
    """Depth and stages would not mean what the card says."""
    model = cnn(outputs=2, depth=5, stages=2, width=4)
    call = lambda x: model.apply(*model.init(KEY, x), x, key=None, train=False)[2]
    activations = jax.eval_shape(call, jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.float32))
    shapes = [activations[layer_name(number, 5)].shape[1:] for number in range(5)]
    assert shapes == [(8, 8, 4), (8, 8, 4), (4, 4, 4), (4, 4, 8), (2, 2, 8)]


def test_pytorch_biases_see_their_fan_in():
    """The default of PyTorch, U(-b, b) with b = 1 / sqrt(fan_in) for biases too, could not be reproduced."""
    model = mlp(outputs=500, depth=1, width=500, initializer="pytorch_default", bias_initializer="pytorch_default")
    params, _ = jax.jit(model.init)(KEY, jnp.ones((1, 16)))
    for leaf, bound in ((params["layer_00"]["linear"]["bias"], 1 / 4), (params["output"]["bias"], 500**-0.5)):
        assert 0.98 * bound < float(jnp.abs(leaf).max()) <= bound


PICTURES = {
    "cnn": lambda: TABLE["cnn"](outputs=3, depth=2, width=4, normalization="layer"),
    "resnet": lambda: TABLE["resnet"](outputs=3, blocks=1, width=4),
    "unet": lambda: TABLE["unet"](outputs=3, levels=2, width=4),
    "autoencoder": lambda: TABLE["autoencoder"](outputs=3, depth=1, width=4, latent=2, shape=(32, 32, 3)),
    "detector": lambda: detector(outputs=3, depth=1, width=4),
    "efficientnet_lite0": lambda: efficientnet_lite0(outputs=3),
    "transfer_network": lambda: transfer_network(width=4, blocks=1),
    "feature_network": lambda: feature_network(outputs=3, width=4, stages=2),
}


@pytest.mark.parametrize("name", PICTURES)
def test_maps_leave_a_compiled_function_as_they_lie_outside_of_it(name):
    """Lost: the numbers of a saliency map, permuted: JAX 0.10 misreads arrays that lie in another order."""
    model, x = PICTURES[name](), jax.random.normal(KEY, (2, 32, 32, 3)) / 5 + 0.5
    params, state = jax.jit(model.init)(KEY, x)

    def answers(x):
        return model.apply(params, state, x, key=None, train=False)[::2]

    def total(x):
        return sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(answers(x)[0]))

    for leaf in jax.tree.leaves((jax.jit(answers)(x), jax.jit(jax.grad(total))(x))):
        np.testing.assert_array_equal(jnp.abs(leaf), np.abs(np.asarray(leaf)))


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


def test_a_dense_map_of_pictures_is_a_plain_product_but_on_cpu(monkeypatch):
    """Lost: a GPU would compile the answers of a U-Net for each pixel as a convolution, with lanes one in groups."""
    x, kernel = np.random.default_rng(0).normal(size=(2, 4, 5, 3)), np.random.default_rng(1).normal(size=(3, 6))
    x, kernel = x.astype(np.float32), kernel.astype(np.float32)
    on_cpu = lambda x, kernel: product(x, kernel, None, "auto")
    np.testing.assert_allclose(jax.jit(on_cpu)(x, kernel), x @ kernel, atol=1e-5)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    elsewhere = lambda x, kernel: product(x, kernel, None, "auto")  # another function, or the first trace would be seen
    assert [str(one.primitive) for one in jax.make_jaxpr(elsewhere)(x, kernel).eqns] == ["dot_general"]
