"""Models: what a config's `model` section can name. Their layers and adapters live in the rooms beside."""

from __future__ import annotations

from collections.abc import Callable

from deepprinciples.parts.models import autoencoders, generators
from deepprinciples.parts.models.cnn import cnn
from deepprinciples.parts.models.mlp import mlp
from deepprinciples.parts.models.recurrent import lstm
from deepprinciples.parts.models.resnet import resnet
from deepprinciples.types import Model

_NETWORKS = {f.__name__: f for f in (mlp, cnn, resnet, lstm)}
TABLE = {**_NETWORKS, **autoencoders.TABLE}
_OFF = {"dropout": 0.0, "branch_scale": 1.0, "stream_scale": 1.0, "drop_connect": 0.0, "stochastic_depth": 0.0}
NEUTRAL = {name: dict(_OFF) for name in _NETWORKS}
NEUTRAL["lstm"] |= {"variational_dropout": 0.0, "zoneout": 0.0, "cell_zoneout": 0.0, "max_gradient": float("inf")}
# What makes examples of noise; its outputs are given the examples' shape.
GENERATORS: dict[str, Callable[..., Model]] = {"mlp": mlp, **generators.TABLE}
