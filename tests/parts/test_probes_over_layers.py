"""Layers of a shape go through a probe at once; each keeps its own value and its place."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepprinciples.parts.probes.flow import gradient_norm, over_layers, update_ratio
from deepprinciples.types import Info

SHAPES = {"b": (3, 2), "a": (4,), "c": (3, 2), "d": (2, 3), "e": (3, 2)}


def layers(scale=1.0):
    return {name: [scale * jnp.full(shape, k + 1.0)] for k, (name, shape) in enumerate(SHAPES.items())}


@pytest.mark.parametrize("lift", [lambda f: f, jax.jit, lambda f: lambda x: jax.tree.map(lambda a: a[0], jax.vmap(f)(
    jax.tree.map(lambda a: a[None], x)))])  # fmt: skip
def test_every_layer_keeps_its_own_value(lift):
    """A report would show one layer's gradient under the name of another."""
    found = lift(lambda tree: over_layers(lambda leaves: jnp.sum(leaves[0]), tree))(layers())
    assert {name: float(v) for name, v in found.items()} == {"b": 6.0, "a": 8.0, "c": 18.0, "d": 24.0, "e": 30.0}
    assert list(over_layers(lambda leaves: jnp.sum(leaves[0]), layers())) == list(SHAPES)


def test_types_are_not_mixed():
    """A stack of float32 and bfloat16 layers would round the one to the other."""
    found = over_layers(jnp.sum, {"x": jnp.full(4, 1 / 3), "y": jnp.full(4, 1 / 3, jnp.bfloat16)})
    assert found["x"].dtype == jnp.float32 and found["y"].dtype == jnp.bfloat16


def test_norms_and_ratios_of_each_layer():
    """A layer without weights would divide by zero, or a layer read its neighbor's weights."""
    params = {**layers(), "none": [jnp.zeros((3, 2))]}
    updates = {**layers(0.01), "none": [jnp.ones((3, 2))]}
    info = Info(*[None] * len(Info._fields))._replace(params=params, updates=updates, grads=updates)
    ratios = update_ratio()(info)["update_ratio"]
    assert float(ratios.pop("none")) == 0.0
    np.testing.assert_allclose(list(ratios.values()), 0.01, rtol=1e-6)
    norms = gradient_norm()(info)["gradient_norm"]
    for name, (leaf,) in updates.items():
        np.testing.assert_allclose(norms[name], np.linalg.norm(leaf), rtol=1e-6)
