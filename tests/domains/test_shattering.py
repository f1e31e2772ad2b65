"""Gradients of orthogonal inputs, where their correlation is known by hand."""

from __future__ import annotations

import jax
import pytest

from deepprinciples.domains.shattering import gradient_correlation

KEY = jax.random.key(0)


def test_a_linear_network_has_one_gradient():
    """Lost: the upper end of the scale; gradients of all inputs are the same where nothing bends."""
    assert gradient_correlation(KEY, depth=2, width=32, networks=2, activation="identity") == pytest.approx(1.0)


@pytest.mark.parametrize(("model", "expected"), [({}, 0.5), ({"skip": "residual"}, 0.75)], ids=["plain", "residual"])
def test_one_layer_of_relu_halves_the_correlation(model, expected):
    """Lost: the first factor of theory; half of the units that one input opens are open for an orthogonal one.

    A skip carries as much gradient as the branch does, and all of it alike: (1 + 1/2) / 2.
    """
    found = gradient_correlation(KEY, depth=1, width=128, networks=8, **model)
    assert found == pytest.approx(expected, rel=0.05)
