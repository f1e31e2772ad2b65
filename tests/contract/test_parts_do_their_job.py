"""Schedules hit their ends; optimizers and transforms keep types and are compiled once."""

from __future__ import annotations

import functools
import inspect

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from deepprinciples.parts import optimizers, schedules, transforms

KEY = jax.random.key(7, impl="threefry2x32")
START = {
    "kernel": jax.random.normal(jax.random.key(1), (4, 3)),
    "bias": jax.random.normal(jax.random.key(2), (3,)),
}


@pytest.mark.parametrize("name", schedules.TABLE)
def test_every_schedule_stays_finite_and_hits_its_ends(name: str) -> None:
    """Lost: a rate that is NaN in the last step, or a run that ends at another rate than its config says."""
    factory = schedules.TABLE[name]
    known = inspect.signature(factory).parameters
    shares = (0.1, 0.3, 1.0) if name == "inverse_sqrt" else (0.0, 0.3, 1.0)  # it has no form without a warm-up
    for warmup in shares if "warmup" in known else (None,):
        hypers = {} if warmup is None else {"warmup": warmup}
        factor = np.asarray(jax.jit(factory(**hypers))(jnp.linspace(0.0, 1.0, 1001)))
        assert factor.shape == (1001,) and np.isfinite(factor).all() and (factor >= 0).all()
        if warmup:
            assert factor[0] == 0.0 and np.all(np.diff(factor[: int(1000 * warmup)]) > 0)
        elif "warmup" in known:
            assert factor[0] == pytest.approx(1.0, abs=1e-6)
        if "final" in known and warmup != 1.0:
            last = factor[-2:].min() if name == "warm_restarts" else factor[-1]  # at 1 the next cycle begins
            assert last == pytest.approx(known["final"].default, abs=1e-3)


@pytest.mark.parametrize(("kind", "name"), [
    *(("optimizers", name) for name in optimizers.TABLE), *(("transforms", name) for name in transforms.TABLE),
])  # fmt: skip
def test_types_are_kept_and_nothing_is_compiled_twice(kind: str, name: str) -> None:
    """Lost: weights in bfloat16 that come back in float32, twice as large, and a compilation at every step."""
    chex.clear_trace_counter()
    part = optax.with_extra_args_support({"optimizers": optimizers, "transforms": transforms}[kind].TABLE[name]())
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), START)

    @functools.partial(chex.assert_max_traces, n=2)  # the first state may hold Python numbers
    def step(params, state, key):
        updates, state = part.update(jax.tree.map(lambda w: 0.1 * w, params), state, params, value=1.0, key=key)
        return optax.apply_updates(params, updates), state

    compiled, state = jax.jit(step), part.init(params)
    for t in range(4):
        params, state = compiled(params, state, jax.random.fold_in(KEY, t))
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(params)} == {"bfloat16"}
