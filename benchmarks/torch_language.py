"""The transformer of the workloads in PyTorch: its fused attention, and the module names of `deepprinciples export`."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import gelu, scaled_dot_product_attention

EPS = 1e-6  # of the norms, as ours


class Attention(nn.Module):
    """Causal attention of several heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, T, D] to [B, T, D]."""
        q, k, v = (one(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for one in (self.query, self.key, self.value))
        return self.output(scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and an mlp, each after a norm and added to the stream."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention_norm, self.mlp_norm = (nn.LayerNorm(width, eps=EPS) for _ in range(2))
        self.attention = Attention(width, heads)
        self.mlp = nn.ModuleDict({"hidden": nn.Linear(width, 4 * width), "output": nn.Linear(4 * width, width)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, T, D] to [B, T, D]."""
        x = x + self.attention(self.attention_norm(x))
        return x + self.mlp["output"](gelu(self.mlp["hidden"](self.mlp_norm(x))))


class Transformer(nn.Module):
    """Token ids with learned positions, two blocks, and the scores of the next token."""

    def __init__(self, vocabulary: int, length: int, width: int, heads: int = 4) -> None:
        super().__init__()
        tables = {"tokens": nn.Embedding(vocabulary, width), "positions": nn.Embedding(length, width)}
        self.embedding = nn.ModuleDict(tables)
        self.layer_00, self.layer_01 = Block(width, heads), Block(width, heads)
        self.output = nn.ModuleDict({"norm": nn.LayerNorm(width, eps=EPS), "linear": nn.Linear(width, vocabulary)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ids [B, T] to [B, vocabulary, T], the layout that the cross-entropy of PyTorch wants."""
        y = self.embedding["tokens"](x) + self.embedding["positions"].weight
        return self.output["linear"](self.output["norm"](self.layer_01(self.layer_00(y)))).transpose(1, 2)
