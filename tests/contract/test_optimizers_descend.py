"""Every optimizer goes down a parabola and Rosenbrock's valley in the steps that its card names."""

from __future__ import annotations

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from deepprinciples.parts import optimizers

CURVATURES = jnp.logspace(-1, 0, 12).reshape(4, 3)
STARTS = {
    "parabola": {"kernel": jax.random.normal(jax.random.key(1), (4, 3)), "bias": jnp.ones(3)},
    "rosenbrock": {"kernel": jnp.tile(jnp.array([[-1.2], [1.0]]), (1, 3))},
}


def parabola(params: Any) -> jax.Array:
    return jnp.sum(CURVATURES * params["kernel"] ** 2) + jnp.sum(params["bias"] ** 2)


def rosenbrock(params: Any) -> jax.Array:
    x, y = params["kernel"]
    return jnp.mean((1 - x) ** 2 + 100 * (y - x**2) ** 2)


def losses(name: str, task: str, rate: float, steps: int) -> np.ndarray:
    """Descend, and return the loss before each step."""
    factory, function = optimizers.TABLE[name], {"parabola": parabola, "rosenbrock": rosenbrock}[task]
    takes_rate = "learning_rate" in inspect.signature(factory).parameters
    part = optax.with_extra_args_support(factory(learning_rate=rate) if takes_rate else factory())

    def step(carry: Any, number: jax.Array) -> Any:
        params, state = carry
        value, grads = jax.value_and_grad(function)(params)
        updates, state = part.update(grads, state, params, value=value, key=jax.random.key(number))
        return (optax.apply_updates(params, updates), state), value

    start = STARTS[task]
    return np.asarray(jax.jit(lambda: jax.lax.scan(step, (start, part.init(start)), jnp.arange(steps))[1])())


def reached(values: np.ndarray) -> int | None:
    """Return the first step before which the loss was a thousandth of the first."""
    there = np.flatnonzero(values <= 1e-3 * values[0])
    return int(there[0]) if len(there) else None


@pytest.mark.parametrize("task", STARTS)
@pytest.mark.parametrize("name", optimizers.TABLE)
def test_it_descends_in_the_steps_that_its_card_names(name: str, task: str) -> None:
    """Lost: an optimizer that goes up, or stands still, and a card that names another's steps."""
    rate, steps = optimizers.TABLE[name].descent[task]
    found = reached(losses(name, task, rate, int(1.25 * steps) + 2))
    assert found is not None and found >= steps // 2
