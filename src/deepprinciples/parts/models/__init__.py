"""Models: what a config's `model` section can name. Adapters are in the modules beside, layers in `parts.layers`."""

from __future__ import annotations

from collections.abc import Callable

from deepprinciples.parts.models import autoencoders, generators
from deepprinciples.parts.models.cnn import cnn
from deepprinciples.parts.models.mlp import mlp
from deepprinciples.parts.models.recurrent import gru, lstm, rnn
from deepprinciples.parts.models.resnet import resnet
from deepprinciples.parts.models.sequence_to_sequence import seq2seq
from deepprinciples.parts.models.unet import unet
from deepprinciples.types import Model

TABLE = {f.__name__: f for f in (mlp, cnn, resnet, unet, lstm, gru, rnn, seq2seq)} | autoencoders.TABLE
# What makes examples of noise; its outputs are given the examples' shape.
GENERATORS: dict[str, Callable[..., Model]] = {"mlp": mlp, **generators.TABLE}
