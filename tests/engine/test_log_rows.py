"""Logs packed into vectors, and back."""

import jax
import jax.numpy as jnp
import numpy as np

from deepprinciples.engine.lane.packed_log import pack, unpack, unpacked_shapes

TREE = {
    "loss": jnp.float32(1.5),
    "count": {"a": jnp.int32(3), "b": jnp.arange(4, dtype=jnp.int32).reshape(2, 2)},
    "histogram": jnp.arange(3.0),
    "empty": jnp.zeros((0, 2)),
}


def test_what_was_packed_comes_back():
    """A probe's value would stand under another layer's name."""
    assert jax.tree.all(
        jax.tree.map(lambda a, b: np.array_equal(a, b) and a.dtype == b.dtype, TREE, unpack(pack(TREE)))
    )
    assert set(pack(TREE).vectors) == {"float32", "int32"}


def test_rows_of_many_lanes_and_chunks():
    """Lanes and steps would change places."""
    scaled = lambda k: jax.tree.map(lambda a: a * k, TREE)
    rows = jax.jit(jax.vmap(jax.vmap(lambda k: pack(scaled(k)))))(jnp.arange(6, dtype=jnp.int32).reshape(2, 3))
    found, shapes = unpack(rows), unpacked_shapes(jax.eval_shape(lambda: rows))
    for lane in range(2):
        for chunk in range(3):
            own = jax.tree.map(lambda a, at=(lane, chunk): a[at], found)
            jax.tree.map(np.testing.assert_array_equal, own, scaled(3 * lane + chunk))
    assert jax.tree.map(lambda a: (a.shape, str(a.dtype)), found) == jax.tree.map(
        lambda a: (a.shape, str(a.dtype)), shapes
    )


def test_nothing_to_log():
    """A run without probes would fail."""
    assert unpack(pack({})) == {}
