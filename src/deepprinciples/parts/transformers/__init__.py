"""Transformers: one stack of blocks over a sequence, and an encoder with a decoder."""

from __future__ import annotations

from deepprinciples.parts.transformers.encoder_decoder import encoder_decoder
from deepprinciples.parts.transformers.transformer import transformer

TABLE = {f.__name__: f for f in (transformer, encoder_decoder)}
