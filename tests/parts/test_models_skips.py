"""Every model takes every skip with every normalization, and trains with them in many lanes at once."""

import itertools
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepprinciples.parts.layers.keywords import Normalization, Skip
from deepprinciples.parts.models import TABLE

KEY = jax.random.key(0)
SKIPS, NORMALIZATIONS = get_args(Skip), get_args(Normalization)
SHAPES = {
    "mlp": [(4, 5, 2)],
    "lstm": [(4, 3, 2)],
    "cnn": [(4, 5, 2), (4, 7, 5, 2)],
    "resnet": [(4, 5, 2), (4, 7, 5, 2)],
}
# compiling is most of the time here, so XLA optimizes little


def test_the_choices_are_those_users_are_promised():
    """A skip or a normalization would be missing from every model at once."""
    assert SKIPS == ("none", "residual", "highway", "dense", "rezero")
    assert NORMALIZATIONS == (
        "none", "batch", "ghost", "layer", "group", "instance", "rms", "weight", "weight_standardized", "spectral"
    )  # fmt: skip


def combinations():
    """List every skip with every normalization of every model; all but a third of them are left to `make long`."""
    every = itertools.product(sorted(SHAPES), SKIPS, NORMALIZATIONS)
    return [pytest.param(*one, marks=[pytest.mark.slow] if number % 3 else []) for number, one in enumerate(every)]


@pytest.mark.parametrize(("name", "skip", "normalization"), combinations())
def test_all_skips_and_normalizations_fit_together(name, skip, normalization):
    """A combination a config allows would fail when it is built."""
    sizes = {"resnet": {"blocks": 1}, "cnn": {"depth": 3, "stages": 0}}.get(name, {"depth": 2})
    model = TABLE[name](outputs=3, width=4, skip=skip, normalization=normalization, **sizes)

    def call(x):
        params, state = model.init(KEY, x)
        return model.apply(params, state, x, key=KEY, train=True)[:2]

    turn = SKIPS.index(skip) + NORMALIZATIONS.index(normalization)  # each sees signals and images
    shape = SHAPES[name][turn % len(SHAPES[name])]
    if normalization == "instance" and name == "mlp":
        with pytest.raises(ValueError, match="instance normalization of .* 1 value to each statistic"):
            jax.eval_shape(call, jax.ShapeDtypeStruct(shape, jnp.float32))
        return
    outputs, state = jax.eval_shape(call, jax.ShapeDtypeStruct(shape, jnp.float32))
    assert outputs.shape == (4, 3)
    assert set(state) == ({"batch_stats"} if normalization in ("batch", "ghost", "spectral") else set())


# Each takes ten seconds to compile: long_skips.py runs them, and `make long` that.
SLOW = [
    ("lstm", {"depth": 2, "skip": "dense", "normalization": "weight"}),
    ("resnet", {"blocks": 1, "skip": "dense", "normalization": "none"}),
]


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("cnn", {"depth": 2, "skip": "highway", "normalization": "spectral"}),
        ("resnet", {"blocks": 1, "skip": "highway", "normalization": "none"}),
    ],
)
def test_lanes_train_as_they_would_alone(name, changes):
    """Many seeds in one program would not be the runs they stand for, or a weight get no gradient or NaN."""
    x = jax.random.normal(KEY, SHAPES[name][0])
    model = TABLE[name](outputs=3, width=4, activation="tanh", dropout=jnp.float32(0.2), **changes)
    keys = jax.random.split(KEY, 2)
    params, state = jax.jit(jax.vmap(model.init, in_axes=(0, None)))(keys, x)

    def one(lane):
        loss = lambda p: jnp.mean(jnp.sin(model.apply(p, lane[1], x, key=lane[2], train=True)[0]))
        return jax.grad(loss)(lane[0])

    both = jax.jit(lambda lanes: (jax.vmap(one)(lanes), jax.lax.map(one, lanes)))((params, state, keys))
    together, looped = jax.device_get(both)
    for (path, wide), alone in zip(jax.tree.leaves_with_path(together), jax.tree.leaves(looped), strict=True):
        assert np.isfinite(wide).all() and np.abs(wide).max() > 0, path
        assert not np.allclose(wide[0], wide[1]), path
        np.testing.assert_allclose(wide, alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_weight_normalized_cells_start_plain_and_their_gradient_is_orthogonal(cell):
    """The start would differ from the plain cell's, or the norm of a kernel would still steer the function."""
    x = jax.random.normal(KEY, (2, 5, 3))
    plain, normed = (
        TABLE[cell](outputs=2, width=4, bias_initializer="ones", normalization=n) for n in ("none", "weight")
    )

    @jax.jit
    def call(x):
        outputs = lambda model, p: model.apply(p, {}, x, key=None, train=False)[0]
        params = normed.init(KEY, x)[0]
        grads = jax.grad(lambda p: jnp.sum(jnp.sin(outputs(normed, p))))(params)
        doubled = jax.tree.map_with_path(lambda path, p: p * (1 + ("'kernel'" in str(path))), params["layer_00"])
        same = [outputs(normed, p) for p in (params, {**params, "layer_00": doubled})]
        return params["layer_00"]["forward"], grads["layer_00"]["forward"], outputs(plain, plain.init(KEY, x)[0]), same

    params, grads, expected, same = jax.device_get(call(x))
    for outputs in same:
        np.testing.assert_allclose(outputs, expected, atol=1e-5)
    for part in ("input", "recurrent"):
        products = np.sum(params[part]["kernel"] * grads[part]["kernel"], axis=0)
        np.testing.assert_allclose(products, np.zeros_like(products), atol=1e-5)
        assert np.abs(grads[part]["kernel"]).max() > 1e-2
        assert np.abs(grads[f"{part}_scale"]["scale"]).max() > 1e-2
