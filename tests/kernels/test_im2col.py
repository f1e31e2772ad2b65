"""Convolution and pooling against the library's plain versions: values and gradients."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from deepprinciples.kernels import convolution
from deepprinciples.kernels.convolution import convolve
from deepprinciples.kernels.im2col import windows
from deepprinciples.kernels.pooling import avg_pool, max_pool

# (spatial axes, window, strides, padding, dilation, groups): odd sizes, and windows that overlap, touch or leave gaps
CONVOLUTIONS = [
    ((7,), (3,), (1,), "SAME", (1,), 1),
    ((8,), (4,), (3,), "VALID", (1,), 2),
    ((9,), (3,), (2,), [(2, 0)], (2,), 1),
    ((7, 6), (3, 3), (1, 1), "SAME", (1, 1), 1),
    ((7, 6), (5, 2), (2, 1), "SAME", (1, 2), 4),
    ((8, 9), (2, 3), (3, 2), "VALID", (2, 1), 2),
    ((5, 5), (1, 1), (2, 2), "VALID", (1, 1), 1),
    ((3, 4, 5), (2, 2, 2), (1, 2, 1), "SAME", (1, 1, 1), 1),
]
POOLS = [
    ((8,), (2,), (2,), "VALID"),
    ((7,), (3,), (2,), "SAME"),
    ((7, 6), (2, 2), (2, 2), "VALID"),
    ((6, 9), (2, 3), (2, 3), "VALID"),
    ((7, 6), (3, 3), (2, 2), "SAME"),
    ((7, 5), (2, 3), (1, 2), [(1, 0), (1, 1)]),
]


def normal(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def with_gradients(f, *args):
    """Return f's values and the gradients of a sum with fixed weights, so that no two entries count alike."""
    out, back = jax.vjp(f, *args)
    return out, *back(jnp.cos(jnp.arange(out.size, dtype=out.dtype)).reshape(out.shape))


def assert_twins(ours, library, *args, scale=1.0):
    exact = args[0].dtype == np.float64
    pairs = jax.jit(lambda *a: (with_gradients(ours, *a), with_gradients(library, *a)))(*args)
    for mine, theirs in zip(*pairs, strict=True):
        assert mine.dtype == args[0].dtype
        np.testing.assert_allclose(mine, theirs, atol=(1e-12 if exact else 1e-4) * scale)


def plain_convolution(x, w, strides, padding, dilation, groups):
    letters = "DHW"[3 - len(strides) :]
    order = (f"N{letters}C", f"{letters}IO", f"N{letters}C")
    return lax.conv_general_dilated(
        x, w, strides, padding, rhs_dilation=dilation, dimension_numbers=order, feature_group_count=groups
    )


@pytest.mark.parametrize(("batch", "dtype"), [(1, np.float32), (33, np.float64)])  # the large one lies batch last
@pytest.mark.parametrize(("spatial", "window", "strides", "padding", "dilation", "groups"), CONVOLUTIONS)
def test_convolution_is_the_library_convolution(spatial, window, strides, padding, dilation, groups, batch, dtype):
    """Networks would compute another function, or learn by a wrong gradient."""
    with jax.enable_x64(dtype == np.float64):
        x, w = normal(batch, *spatial, 4, dtype=dtype), normal(*window, 4 // groups, 8, dtype=dtype, seed=1)
        ours = lambda x, w: convolve(x, w, strides, padding, rhs_dilation=dilation, feature_group_count=groups)
        library = lambda x, w: plain_convolution(x, w, strides, padding, dilation, groups)
        assert_twins(ours, library, x, w)


@pytest.mark.parametrize(("spatial", "window", "strides", "padding", "dilation", "groups"), CONVOLUTIONS)
def test_other_devices_use_their_own_kernels(spatial, window, strides, padding, dilation, groups, monkeypatch):
    """A GPU would multiply patches that are as large as nine pictures, which nobody has measured there."""
    x, w = normal(3, *spatial, 4), normal(*window, 4 // groups, 8, seed=1)
    ours = lambda x, w: convolve(x, w, strides, padding, rhs_dilation=dilation, feature_group_count=groups)
    expected = ours(x, w)
    assert "conv_general_dilated" not in str(jax.make_jaxpr(ours)(x, w))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    again = lambda x, w: convolve(x, w, strides, padding, rhs_dilation=dilation, feature_group_count=groups)
    assert "conv_general_dilated" in str(jax.make_jaxpr(again)(x, w))
    np.testing.assert_allclose(again(x, w), expected, atol=1e-4)


PLAIN = [case for case in CONVOLUTIONS if case[-1] == 1 and set(case[2]) == {1}]
PLAIN += [
    ((7, 6), (3, 2), (1, 1), [(2, 0), (0, 1)], (1, 1), 1),
    ((7, 6), (3, 3), (1, 1), "VALID", (2, 1), 1),
    ((9,), (3,), (1,), [(0, 3)], (2,), 1),
    ((5,), (2,), (1,), [(3, 2)], (1,), 1),  # windows that meet nothing but padding
    ((4, 5, 6), (2, 3, 2), (1, 1, 1), "SAME", (1, 1, 1), 1),
]
ADDED = [(*case, added) for case in PLAIN for added in range(len(case[0]) + 1)]


@pytest.mark.parametrize(("spatial", "window", "strides", "padding", "dilation", "groups", "added"), ADDED)
def test_products_may_be_added_along_any_number_of_axes(
    spatial, window, strides, padding, dilation, groups, added, monkeypatch
):
    """A network would compute another function for some numbers of channels: they choose what is copied."""
    monkeypatch.setattr(convolution, "_axes_to_add", lambda kernel, cut: added)
    with jax.enable_x64(True):
        x, w = normal(33, *spatial, 5, dtype=np.float64), normal(*window, 5, 3, dtype=np.float64, seed=1)
        ours = lambda x, w: convolve(x, w, strides, padding, rhs_dilation=dilation)
        library = lambda x, w: plain_convolution(x, w, strides, padding, dilation, groups)
        assert_twins(ours, library, x, w)


def test_what_moves_the_fewest_rows_is_chosen():
    """Lost: a fifth of a U-Net's time, which went into nine copies of each map."""

    def chosen(kernel, channels, features, strides=(1, 1)):
        cut = windows((14, 14), (kernel, kernel), strides, "SAME")
        return convolution._axes_to_add(jnp.zeros((kernel, kernel, channels, features)), cut)

    assert chosen(3, 1, 16) == 0 and chosen(3, 16, 32, (2, 2)) == 0
    assert chosen(3, 16, 16) == chosen(3, 16, 32) == chosen(3, 32, 16) == chosen(5, 4, 8) == 1
    assert chosen(3, 32, 1) == chosen(3, 64, 16) == 2


def test_the_curvature_of_a_convolution_to_few_channels_is_that_of_the_library_convolution():
    """Lost: the probes of curvature of a U-Net, which take the derivative of its gradient once more."""
    with jax.enable_x64(True):
        x, w = normal(4, 5, 6, 7, dtype=np.float64), normal(3, 3, 7, 3, dtype=np.float64, seed=1)
        turn = normal(*w.shape, dtype=np.float64, seed=2)

        def product(convolution):
            energy = lambda w: jnp.sum(jnp.sin(convolution(x, w)))
            return jax.jit(lambda w: jax.jvp(jax.grad(energy), (w,), (turn,))[1])(w)

        ours = product(lambda x, w: convolve(x, w, (1, 1), "SAME"))
        library = product(lambda x, w: plain_convolution(x, w, (1, 1), "SAME", (1, 1), 1))
        np.testing.assert_allclose(ours, library, atol=1e-10)


@pytest.mark.parametrize("batch", [1, 33])
def test_convolution_is_the_same_for_lanes_side_by_side(batch):
    """Lanes under vmap would mix their kernels."""
    x, w = normal(2, batch, 6, 5, 4), normal(2, 3, 3, 4, 8, seed=1)
    ours = jax.vmap(lambda x, w: convolve(x, w, (1, 1), "SAME"))
    library = lambda x, w: jnp.stack([plain_convolution(x[i], w[i], (1, 1), "SAME", (1, 1), 1) for i in range(2)])
    assert_twins(ours, library, x, w)


def test_linen_takes_the_convolution_as_its_hook():
    """A layer of Linen with its own options (dilated inputs, masks of its own shape) would break on our kernel."""
    x = normal(2, 7, 6, 4)
    for options in (
        {"kernel_dilation": 2},
        {"feature_group_count": 2},
        {"input_dilation": 2, "padding": [(1, 1), (1, 1)]},
        {"padding": "CIRCULAR"},
    ):
        stock, ours = (
            nn.Conv(6, (3, 3), **options, conv_general_dilated=hook) for hook in (lax.conv_general_dilated, convolve)
        )
        params = stock.init(jax.random.key(0), x)
        np.testing.assert_allclose(ours.apply(params, x), stock.apply(params, x), atol=1e-5)


@pytest.mark.parametrize(("batch", "dtype"), [(1, np.float32), (33, np.float64)])  # the large one lies batch last
@pytest.mark.parametrize(("spatial", "window", "strides", "padding"), POOLS)
def test_pools_are_the_library_pools(spatial, window, strides, padding, batch, dtype):
    """Pooling would mix positions, or send gradients to the wrong ones."""
    with jax.enable_x64(dtype == np.float64):
        x = normal(batch, *spatial, 4, dtype=dtype)
        for ours, library in ((max_pool, nn.max_pool), (avg_pool, nn.avg_pool)):
            assert_twins(
                lambda x, f=ours: f(x, window, strides, padding), lambda x, f=library: f(x, window, strides, padding), x
            )
        bare = {"count_include_pad": False}
        assert_twins(
            lambda x: avg_pool(x, window, strides, padding, **bare),
            lambda x: nn.avg_pool(x, window, strides, padding, **bare),
            x,
        )


@pytest.mark.parametrize(("window", "strides"), [((2, 2), (2, 2)), ((3, 3), (1, 1))])
def test_of_equal_entries_one_alone_gets_the_gradient(window, strides):
    """On flat parts of an image the gradient would be counted more than once."""
    x = np.zeros((1, 6, 6, 1), np.float32)
    assert_twins(lambda x: max_pool(x, window, strides), lambda x: nn.max_pool(x, window, strides), x)


@pytest.mark.parametrize("batch", [1, 33])
def test_pools_work_lane_by_lane(batch):
    """Lanes under vmap would pool over each other."""
    x = normal(2, batch, 6, 4, 2)
    f = lambda x: max_pool(x, (2, 2), (2, 2))
    assert_twins(jax.vmap(f), lambda x: jnp.stack([f(x[0]), f(x[1])]), x)


def test_a_value_that_is_not_a_number_stays_one():
    """A diverged lane would look healthy behind a pool."""
    x = normal(1, 4, 1)
    x[0, 1, 0] = np.nan
    assert np.isnan(max_pool(x, (2,), (2,))[0, 0, 0])


@pytest.mark.parametrize("batch", [1, 33])
@pytest.mark.parametrize(("shape", "window"), [((7, 6), (2, 2)), ((9,), (3,))])
def test_a_pool_inside_the_convolution_is_a_pool_after_it(shape, window, batch):
    """The shortcut for the usual pair of layers would compute something else than the pair."""
    x, w = normal(batch, *shape, 4), normal(*(3,) * len(shape), 4, 8, seed=1)
    ones = (1,) * len(shape)
    assert_twins(
        lambda x, w: convolve(x, w, ones, "SAME", pool_window=window),
        lambda x, w: nn.max_pool(plain_convolution(x, w, ones, "SAME", ones, 1), window, window),
        x,
        w,
    )


def test_arrays_of_numpy_are_convolved_outside_of_compiled_functions() -> None:
    """A user who calls a model on NumPy arrays in a shell would get an error about layouts."""
    x, w = (np.asarray(normal(*shape)) for shape in ((3, 6, 5, 4), (3, 3, 4, 8)))
    np.testing.assert_allclose(convolve(x, w, (1, 1), "SAME"), convolve(jnp.asarray(x), w, (1, 1), "SAME"), atol=1e-6)
