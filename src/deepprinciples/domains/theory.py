"""What theory says of networks before training, to be set beside what was measured: `dp.theory.susceptibility(...)`."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from deepprinciples.domains.shattering import gradient_correlation
from deepprinciples.parts.initializers.mean_field import critical_variance, settled_variance, susceptibility

__all__ = [
    "critical_variance", "factor_per_layer", "gradient_correlation", "settled_variance", "signal", "susceptibility",
]  # fmt: skip


def signal(weight_variance: float, bias_variance: float) -> float:
    """Compute the mean square activation that a wide tanh network settles at.

    E[tanh(sqrt(q) z)^2] = (q - bias_variance) / weight_variance, q the settled variance of a layer's sums

    Args:
        weight_variance: of the weights times the width.
        bias_variance: of the biases.

    References: Poole et al., arXiv:1606.05340.
    """
    return float((settled_variance(weight_variance, bias_variance) - bias_variance) / weight_variance)


def factor_per_layer(values: ArrayLike) -> float:
    """Compute the factor by which a quantity grows a layer on its way back, from the last layer to the first.

    (first / last)^(1 / (layers - 1))

    Args:
        values: by layer, the first layer first, such as mean square gradients.
    """
    found = np.asarray(values, np.float64)
    return float((found[0] / found[-1]) ** (1 / (len(found) - 1)))
