"""What a Dask scheduler reads of a shard: it imports this module, and neither JAX nor anything that a worker needs."""

from __future__ import annotations

from typing import Any


def train_shard(study: tuple[Any, ...], *shard: Any) -> Any:
    """Train a shard in a worker; see `shards.train_shard`.

    Args:
        study: the fields of a `StudyText`.
        shard: the other fields of a `Shard`.
    """
    from deepprinciples.study import shards

    return shards.train_shard(shards.Shard(shards.StudyText(*study), *shard))
