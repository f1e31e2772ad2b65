"""What a person asks when something looks wrong: which machine, which versions, and does it repeat itself?

JAX is imported after the first lines, which do not need it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from deepprinciples.runs.directory import fingerprint

if TYPE_CHECKING:
    import jax
    import numpy as np


def examine() -> Iterator[str]:
    """Return one line for each fact: versions, devices, environment, the cache, and the self-check."""
    facts = fingerprint()
    yield "versions: " + ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    yield f"machine: {facts['platform']}, {facts['cores']} cores"
    import jax

    from deepprinciples.engine import compile_cache
    from deepprinciples.engine.population import use_all_cores

    use_all_cores()
    yield "devices: " + ", ".join(f"{d.platform}:{d.id} ({d.device_kind})" for d in jax.devices())
    yield "environment: " + (", ".join(f"{k}={v}" for k, v in facts["environment"].items()) or "nothing set")
    yield f"cache of compiled programs: {compile_cache.described()}"
    same = repeats_itself()
    yield "determinism: the same training, done twice, gave " + ("the same bits" if same else "DIFFERENT bits")


def repeats_itself() -> bool:
    """Train a small network twice from scratch and compare every bit."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from deepprinciples.engine.streams import lane_key

    def fit() -> np.ndarray:
        weights = jax.random.normal(lane_key(0), (2, 64, 64)) / 8

        def step(w: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
            x = jax.random.normal(key, (32, 64))
            loss, grad = jax.value_and_grad(lambda w: jnp.mean(jnp.square(jnp.tanh(x @ w[0]) @ w[1] - x)))(w)
            return w - 0.1 * grad, loss

        out, _ = jax.jit(lambda w: jax.lax.scan(step, w, jax.random.split(lane_key(1), 20)))(weights)
        return np.asarray(out)

    first = fit()
    jax.clear_caches()
    return bool(np.array_equal(first, fit()))
