"""Cautious optimizers against masks worked by hand and the optimizers they are made of."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepprinciples.parts import optimizers

PARAMS = {"w": jnp.array([1.0, 2.0, 3.0, -4.0]), "alpha": jnp.array(0.5)}
GRADS = [
    {"w": jnp.array([1.0, 1.0, -1.0, 0.0]), "alpha": jnp.array(1.0)},
    {"w": jnp.array([-0.25, 1.0, -1.0, 1.0]), "alpha": jnp.array(1.0)},
    {"w": jnp.array([1.0, -0.125, -1.0, 1.0]), "alpha": jnp.array(-0.125)},
]


def directions(part, grads=GRADS):
    state, out = part.init(PARAMS), []
    for each in grads:
        updates, state = part.update(each, state, PARAMS)
        out.append(updates)
    return out


def test_heavy_ball_by_hand() -> None:
    """Lost: entries against the gradient move, or the others are not scaled up by entries over entries that move."""
    first, second, third = directions(optimizers.cautious_sgd(learning_rate=1.0, momentum=0.5))
    np.testing.assert_allclose(first["w"], -4 / 3 * np.array([1.0, 1.0, -1.0, 0.0]), rtol=1e-6)
    # m = (0.25, 1.5, -1.5, 1): the first entry points against its gradient
    np.testing.assert_allclose(second["w"], -4 / 3 * np.array([0.0, 1.5, -1.5, 1.0]), rtol=1e-6)
    # m = (1.125, 0.625, -1.75, 1.5): the second does now, and the lone entry of `alpha` too
    np.testing.assert_allclose(third["w"], -4 / 3 * np.array([1.125, 0.0, -1.75, 1.5]), rtol=1e-6)
    assert [float(u["alpha"]) for u in (first, second, third)] == [-1.0, -1.5, 0.0]


@pytest.mark.parametrize("name", ["adamw", "lion", "sgd"])
def test_neutral_is_the_optimizer_itself(name: str) -> None:
    """Lost: an arm with strength 0 is not the baseline; and at 1 no entry may go up against its gradient."""
    decay = {} if name == "sgd" else {"weight_decay": 0.1}
    hypers = {"learning_rate": 0.1, **({"momentum": 0.9} if name == "sgd" else decay)}

    def cautious(strength):
        return directions(optimizers.TABLE[f"cautious_{name}"](**hypers, strength=strength))

    plain = jax.jit(lambda: directions(optimizers.TABLE[name](**hypers)))()
    jax.tree.map(np.testing.assert_array_equal, jax.jit(cautious)(0.0), plain)
    lanes = jax.vmap(cautious)(jnp.array([0.3, 1.0]))
    for lane, strength in enumerate((0.3, 1.0)):
        one = cautious(strength)
        jax.tree.map(lambda a, b, i=lane: np.testing.assert_allclose(a[i], b, rtol=1e-5, atol=1e-7), lanes, one)
    shrink = {} if name == "sgd" else {"weight_decay": 0.0}
    for u, g in zip(directions(optimizers.TABLE[f"cautious_{name}"](**{**hypers, **shrink})), GRADS, strict=True):
        assert all(bool((a * b <= 0).all()) for a, b in zip(jax.tree.leaves(u), jax.tree.leaves(g), strict=True))


def test_tiny_entries_keep_their_sign() -> None:
    """Lost: directions and gradients whose product underflows stand still for ever."""
    grads = [{"w": jnp.full(4, 1e-30), "alpha": jnp.array(1e-30)}] * 2
    assert float(directions(optimizers.cautious_sgd(learning_rate=1.0), grads)[1]["w"][0]) < 0
