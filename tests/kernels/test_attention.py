"""Attention by JAX's own function against ours, values and gradients, and which of the two is taken."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepprinciples.kernels.sequences import attention
from deepprinciples.kernels.sequences.attention import MASKED, attend

RNG = np.random.default_rng(0)
Q, K, V = (RNG.standard_normal((2, heads, 3, 5), dtype=np.float32) for heads in (4, 2, 2))
LATER = np.where(np.arange(5)[:, None] > np.arange(5), np.float32(MASKED), 0.0)[None, None]  # [1, 1, K, Q]
PADDED = np.where(np.arange(5) < [[5], [3]], 0.0, np.float32(MASKED))[:, None, :, None]  # [B, 1, K, 1]
BIASES: dict[str, Any] = {
    "none": None,
    "causal": LATER,
    "padding": PADDED,
    "distances": (LATER - RNG.random((1, 4, 5, 5))).astype(np.float32),
}


@pytest.mark.parametrize("name", BIASES)
def test_the_stock_kernel_gives_the_same_values_and_gradients(name: str) -> None:
    """Lost: a study that says something else on a GPU than on a CPU."""
    weights = RNG.standard_normal(Q.shape, dtype=np.float32)

    def value(given: Any, kernels: str) -> Any:
        y = attend(*given, kernels=kernels)
        return jnp.sum(weights * y), y

    given = (Q, K, V, BIASES[name])
    both = jax.jit(lambda given: [jax.grad(value, has_aux=True)(given, kernels) for kernels in ("auto", "stock")])
    ours, stock = both(given)
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(stock), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_which_kernel_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: the speed of a GPU, or a cap or a dropout that is left out in silence."""
    taken = []
    monkeypatch.setattr(attention, "stock_attend", lambda q, *rest: taken.append(len(rest)) or q)
    for backend, expected in (("cpu", ["stock"]), ("gpu", ["auto", "stock"]), ("tpu", ["stock"])):
        monkeypatch.setattr(jax, "default_backend", lambda backend=backend: backend)
        for kernels in ("auto", "stock"):
            taken.clear()
            attend(Q, K, V, LATER, kernels=kernels)
            assert bool(taken) == (kernels in expected), (backend, kernels)
    taken.clear()
    attend(Q, K, V, None, cap=2.0, kernels="stock")
    attend(Q, K, V, None, cap=jnp.float32(math.inf), kernels="stock")  # a tracer may be any number
    attend(Q, K, V, None, factors=jnp.ones((2, 4, 5, 5)), kernels="stock")
    assert not taken
