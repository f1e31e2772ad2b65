"""Generators make maps of the promised shape, and their quick upsampling is the library's to the last digit."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from deepprinciples.errors import ConfigError
from deepprinciples.kernels.upsampling import enlarge, upsample_convolve
from deepprinciples.parts.models import cnn
from deepprinciples.parts.models.generators import TABLE, resize_cnn, transposed_cnn
from deepprinciples.types import ACTIVATION_DERIVATIVE

# compiling is most of the time here, so XLA optimizes little
KEY = jax.random.key(0)
Z = jax.random.normal(jax.random.key(1), (3, 4))
every = pytest.mark.parametrize("name", sorted(TABLE))


def call(model, z=Z, train=False):
    def run(z):
        params, state = model.init(KEY, z)
        return params, *model.apply(params, state, z, key=KEY, train=train)

    return jax.device_get(jax.jit(run)(z))


def test_both_ways_up_are_promised():
    """A generator would be reachable by no config."""
    assert set(TABLE.values()) == {resize_cnn, transposed_cnn}


@every
@pytest.mark.parametrize("shape", [(7, 5, 3), (8, 8, 1), (9, 2), (1, 1)])
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_outputs_have_the_shape_of_an_example(name, shape, depth):
    """Real and generated examples would not fit into one batch."""
    model = TABLE[name](shape=shape, depth=depth, width=4)
    _, outputs, state, activations = jax.eval_shape(
        lambda z: (None, *model.apply(*model.init(KEY, z), z, key=None, train=True)), Z
    )
    assert outputs.shape == (3, *shape) and state == {}
    start = [-(-n // 2**depth) for n in shape[:-1]]
    names = [f"layer_{number:02d}" for number in range(depth + 1)]
    for number, layer in enumerate(names):
        expected = (3, *(n * 2**number for n in start), 4)
        assert activations[layer].shape == activations[layer + ACTIVATION_DERIVATIVE].shape == expected
    assert set(activations) == {*names, *(n + ACTIVATION_DERIVATIVE for n in names), "output"}


class Twin(nn.Module):
    """The same networks out of Linen's and NumPy's own words."""

    name_of: str
    kernel: int
    axes: int

    @nn.compact
    def __call__(self, z):
        window, layers = (self.kernel,) * self.axes, []
        x = nn.Dense(2 ** (self.axes - 1) * 3 * 4, name="layer_00")(z)
        x = jnp.tanh(x.reshape(-1, *((3, 2) if self.axes == 2 else (3,)), 4))
        for number in (1, 2):
            layers.append(x)
            if self.name_of == "transposed_cnn":
                x = nn.ConvTranspose(4, window, (2,) * self.axes, name=f"layer_{number:02d}")(x)
            else:
                for axis in range(1, self.axes + 1):
                    x = jnp.repeat(x, 2, axis=axis)
                x = nn.Conv(4, window, name=f"layer_{number:02d}")(x)
            x = jnp.tanh(x)
        return nn.Conv(3, window, name="output")(x)


@every
@pytest.mark.parametrize(
    ("axes", "kernel"), [(2, 3), *(pytest.param(*one, marks=pytest.mark.slow) for one in ((2, 4), (1, 5)))]
)
def test_generators_equal_linens_layers(name, kernel, axes):
    """A comparison of ways up would be one of something else than the paper's, here and in the gradient."""
    shape = (11, 7, 3) if axes == 2 else (11, 3)
    twin = Twin(name, kernel, axes)
    crop = (slice(None), *(slice(n) for n in shape[:-1]))
    options = {"shape": shape, "width": 4, "kernel": kernel, "activation": "tanh", "bias_initializer": "he_normal"}
    quick, stock = (TABLE[name](**options, kernels=kernels) for kernels in ("auto", "stock"))
    params = jax.jit(quick.init)(KEY, Z)[0]
    renamed = {n: p["linear"] if n != "output" else p for n, p in params.items()}
    outputs = {
        "auto": lambda z: quick.apply(params, {}, z, key=None, train=False)[0],
        "stock": lambda z: stock.apply(params, {}, z, key=None, train=False)[0],
        "twin": lambda z: twin.apply({"params": renamed}, z)[crop],
    }

    @jax.jit
    def both(z):
        pulled = {n: jax.vjp(f, z) for n, f in outputs.items()}
        return {n: (y, pull(jnp.cos(jnp.arange(y.size).reshape(y.shape) * 1.0))[0]) for n, (y, pull) in pulled.items()}

    results = jax.device_get(both(Z))
    assert np.abs(results["twin"][0]).min(axis=(0, -1)).max() > 0
    for kernels in ("auto", "stock"):
        for ours, theirs in zip(results[kernels], results["twin"], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("how", ["repeat", "zeros"])
def test_upsampling_equals_convolving_the_larger_map(how):
    """A window of another width would miss a neighbor."""
    x = jax.random.normal(KEY, (2, 5, 3))
    for width in (1, 2, 3, 4, 5, 7):
        w = jax.random.normal(KEY, (width, 3, 2))
        large = lax.conv_general_dilated(enlarge(x, how), w, (1,), "SAME", dimension_numbers=("NHC", "HIO", "NHC"))
        np.testing.assert_allclose(upsample_convolve(x, w, (1,), "SAME", how=how), large, atol=1e-5)


def test_upsampling_by_hand():
    """A weight would meet the wrong neighbor, which training hides."""
    x = jnp.array([1.0, 10.0]).reshape(1, 2, 1)
    w = jnp.array([2.0, 3.0, 5.0]).reshape(3, 1, 1)
    made = {how: upsample_convolve(x, w, (1,), "SAME", how=how).ravel() for how in ("repeat", "zeros")}
    # repeated: 0 | 1 1 10 10 | 0, stuffed: 0 | 0 1 0 10 | 0
    np.testing.assert_allclose(made["repeat"], [3 + 5, 2 + 3 + 50, 2 + 30 + 50, 20 + 30])
    np.testing.assert_allclose(made["zeros"], [5, 3, 2 + 50, 30])


@every
def test_resizing_builds_in_no_checkerboard(name):
    """The reason to prefer one way up would not hold in this implementation."""
    model = TABLE[name](shape=(16, 1), depth=1, width=1, activation="identity", initializer="ones")
    flat = call(model, jnp.ones((1, 1)))[3]["layer_01"][0, 2:-2, 0]  # away from the edges
    assert (np.ptp(flat) == 0) == (name == "resize_cnn")


@every
@pytest.mark.parametrize(
    "normalization", ["none", "batch", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("weight", "spectral"))]
)
def test_lanes_equal_a_loop(name, normalization):
    """Many seeds in one program would not be the runs they stand for, or a weight get no gradient."""
    model = TABLE[name](shape=(6, 5, 2), width=4, depth=1, activation="tanh", normalization=normalization)
    params, state = jax.jit(jax.vmap(model.init, in_axes=(0, None)))(jax.random.split(KEY, 2), Z)
    assert set(state) == ({"batch_stats"} if normalization in ("batch", "spectral") else set())

    def one(lane):
        return jax.grad(lambda p: jnp.mean(jnp.sin(model.apply(p, lane[1], Z, key=None, train=True)[0])))(lane[0])

    wide, loop = jax.jit(lambda lanes: (jax.vmap(one)(lanes), jax.lax.map(one, lanes)))((params, state))
    for (path, a), b in zip(jax.tree.leaves_with_path(wide), jax.tree.leaves(loop), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
        unused = normalization == "batch" and str(path[-2:]).count("linear") and str(path[-1]).count("bias")
        assert unused or np.abs(a).max() > 1e-6, path  # the mean of the batch swallows what a bias adds


def test_bound_keeps_outputs_where_the_data_are():
    """Generated images would leave the range of the real ones, and be told apart by that alone."""
    options = {"shape": (4, 4, 1), "width": 4, "bias_initializer": "ones"}
    free, bound = (call(resize_cnn(**options, bound=bound)) for bound in (False, True))
    np.testing.assert_allclose(bound[1], np.tanh(free[1]), atol=1e-6)
    np.testing.assert_array_equal(bound[3]["output"], bound[1])


@every
def test_taps_give_the_gradient_of_every_activation(name):
    """The backward half of the gradient-flow evidence would be wrong: compared with finite differences."""
    model = TABLE[name](shape=(5, 3, 2), width=3, activation="tanh", bound=True)
    assert model.takes_perturbations
    params, _, _, activations = call(model)
    names = [n for n in activations if not n.endswith(ACTIVATION_DERIVATIVE)]
    assert set(names) == set(params)
    random = np.random.default_rng(1)
    directions = {n: random.normal(size=activations[n].shape).astype("float32") for n in names}

    def loss(lengths):
        perturbations = {n: length * directions[n] for length, n in zip(lengths, names, strict=True)}
        outputs, state, _ = model.apply(params, {"perturbations": perturbations}, Z, key=None, train=False)
        assert state == {}
        return jnp.sum(jnp.sin(outputs))

    steps = 0.01 * jnp.eye(len(names))
    ahead, back = jax.jit(jax.vmap(loss))(jnp.concatenate([steps, -steps])).reshape(2, -1)
    gradients = jax.jit(jax.grad(loss))(jnp.zeros(len(names)))
    np.testing.assert_allclose((ahead - back) / 0.02, gradients, rtol=0.02, atol=1e-3)
    assert (abs(gradients) > 0.05).all()


def test_what_a_generator_makes_a_network_of_the_same_shape_reads():
    """The two players could not be put together."""
    images = call(transposed_cnn(shape=(6, 6, 1), width=4))[1]
    assert call(cnn(outputs=1, width=4), images)[1].shape == (3, 1)


@pytest.mark.parametrize(("attempt", "error", "words"), [
    (lambda: resize_cnn(shape=(5,)), ConfigError, r"resize_cnn.shape: found \(5,\); expected \(height"),
    (lambda: transposed_cnn(shape=(2, 2, 2, 1)), ConfigError, "transposed_cnn.shape"),
    (lambda: transposed_cnn(shape=(4, 1), kernel=1), ConfigError, "kernel: found 1; expected at least 2"),
    (lambda: resize_cnn(shape=(4, 1)).init(KEY, jnp.ones((2, 4, 1))), ValueError, r"found float32 \[B, 4, 1\]"),
    (lambda: resize_cnn(shape=(4, 1)).init(KEY, jnp.ones((2, 4), int)), ValueError, "latents must be floats"),
])  # fmt: skip
def test_what_cannot_be_generated_is_refused_in_one_line(attempt, error, words):
    """A user would read a traceback from inside a convolution."""
    with pytest.raises(error, match=words) as caught:
        attempt()
    assert "\n" not in str(caught.value)
