"""Rules: how a gradient is taken."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from deepprinciples.parts import rules


def test_plain_gradient_by_hand() -> None:
    """Lost: the loss, what comes beside it, and its gradient."""
    loss_fn = lambda w, x: (jnp.sum(x * w**2), {"x": x})  # noqa: E731
    (loss, aux), grads = rules.plain()(loss_fn)(jnp.array([1.0, 3.0]), jnp.array([2.0, 0.5]))
    assert float(loss) == 6.5
    np.testing.assert_array_equal(aux["x"], [2.0, 0.5])
    np.testing.assert_array_equal(grads, [4.0, 3.0])
