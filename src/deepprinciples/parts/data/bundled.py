"""Small real sets that scikit-learn carries inside its package: no download, no file to keep.

Generated sets (synthetic.py, mnist1d.py) and the user's own (own.py) live next door.
"""

from __future__ import annotations

import numpy as np

from deepprinciples.errors import DataError
from deepprinciples.parts.splitting.sources import Source


def digits(*, labels: tuple[int, ...] = ()) -> Source:
    """Load 1797 handwritten digits of 8 x 8 pixels, 10 classes.

    Pixels are counts 0..16, divided by 16. Source: UCI Optical Recognition of Handwritten Digits (test part), as
    scikit-learn ships it. License: CC BY 4.0 (UCI), BSD-3-Clause (scikit-learn).

    Args:
      labels: keep these digits alone, numbered from 0 in this order; () keeps all ten.

    Returns:
      Source with inputs [1797, 8, 8, 1] in [0, 1] and targets [1797].

    Raises:
      DataError: if a label is no digit, or stands there twice.

    References: Alpaydin, Kaynak, "Cascading classifiers", Kybernetika 34 (1998).
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    images = (data.images / 16).astype(np.float32)[:, :, :, None]  # [N, 8, 8, 1]
    if not labels:
        return Source(images, data.target, "classification", 10)
    if len(set(labels)) < len(labels) or not set(labels) <= set(range(10)):
        raise DataError(f"data.labels: found {list(labels)}, expected different digits from 0 to 9")
    kept = np.isin(data.target, labels)
    numbers = np.argmax(data.target[kept][:, None] == np.array(labels)[None], axis=1)
    return Source(images[kept], numbers, "classification", len(labels), class_names=tuple(map(str, labels)))


def breast_cancer() -> Source:
    """Load 569 breast tumors described by 30 measurements of cell nuclei; 0 malignant, 1 benign.

    Source: UCI Breast Cancer Wisconsin (Diagnostic), as scikit-learn ships it. License: CC BY 4.0 (UCI), BSD-3-Clause
    (scikit-learn).

    Returns:
      Source with inputs [569, 30] and targets [569] (212 malignant, 357 benign).

    References: Street, Wolberg, Mangasarian, "Nuclear feature extraction for breast tumor diagnosis", SPIE 1905 (1993).
    """
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    return Source(data.data, data.target, "classification", 2)


def wine() -> Source:
    """Load 178 Italian wines of 3 growers described by 13 chemical measurements.

    Source: UCI Wine, as scikit-learn ships it. License: CC BY 4.0 (UCI), BSD-3-Clause (scikit-learn).

    Returns:
      Source with inputs [178, 13] and targets [178] (59, 71 and 48 of each class).

    References: Aeberhard, Forina, "Wine", UCI Machine Learning Repository (1992).
    """
    from sklearn.datasets import load_wine

    data = load_wine()
    return Source(data.data, data.target, "classification", 3)


def diabetes() -> Source:
    """Load 442 diabetes patients: 10 measurements, and the disease's progression after a year (25 to 346).

    The measurements are in their own units; sex is 1 or 2. Source: Efron and others, as scikit-learn ships it.
    License: BSD-3-Clause (scikit-learn).

    Returns:
      Source with inputs [442, 10] and real targets [442].

    References: Efron, Hastie, Johnstone, Tibshirani, "Least angle regression", arXiv:math/0406456.
    """
    from sklearn.datasets import load_diabetes

    data = load_diabetes(scaled=False)
    return Source(data.data, data.target, "regression", 1)
