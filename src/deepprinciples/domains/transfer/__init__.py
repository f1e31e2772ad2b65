"""Transfer learning: a network pretrained on ImageNet, and data sets of what its first layers make of pictures."""

from __future__ import annotations

from deepprinciples.domains.transfer.efficientnet import efficientnet_lite0
from deepprinciples.domains.transfer.trunk import trunk_features

TABLES = {
    "data": {"trunk_features": trunk_features},
    "model": {"efficientnet_lite0": efficientnet_lite0},
}
