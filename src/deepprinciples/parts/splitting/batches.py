"""Batches from the user's own loader, for data larger than memory.

Any loader that can be iterated again and again will do: a list, a PyTorch DataLoader, a tf.data or grain data set, or
a function that starts a new pass. Nothing of those libraries is imported; items go through `np.asarray`.
Every error names the batch, counted from 0. What an array must look like is decided in array_checks.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepprinciples.errors import DataError
from deepprinciples.parts.splitting.array_checks import plural, show
from deepprinciples.parts.splitting.trees import leaves_of, map_leaves
from deepprinciples.types import Split

WHERE = "data.batches"


@dataclass(frozen=True)
class Batches:
    """A re-iterable made of a function that starts a pass."""

    start: Callable[[], Iterator[Any]]

    def __iter__(self) -> Iterator[Any]:
        return self.start()


def unpacked(batches: Any, inputs: str, targets: str) -> Batches:
    """Turn a loader's tuples or dicts into pairs.

    Args:
      batches: an iterable that starts anew each time, or a function without arguments that returns an iterator.
      inputs: key of the inputs where a batch is a dict.
      targets: key of the targets where a batch is a dict.

    Returns:
      Re-iterable of (inputs, targets) pairs, untouched otherwise.

    Raises:
      DataError: for what can be read once only or is no iterable; while iterating, for a batch of the wrong form.
    """
    fix = "give a re-iterable (a list, a loader object, or a function that returns a new iterator)"
    source, kind = batches, type(batches).__name__
    if not hasattr(batches, "__iter__") and not hasattr(batches, "__getitem__"):
        if not callable(batches):
            raise DataError(f"{WHERE}: found {kind}, which is not iterable; {fix}")
        source = Batches(lambda: iter(batches()))
    elif iter(batches) is batches:
        raise DataError(f"{WHERE}: found a one-shot iterator ({kind}); {fix}")

    def start() -> Iterator[tuple[Any, Any]]:
        for k, batch in enumerate(numbered(source)):
            if isinstance(batch, Mapping):
                for name in (inputs, targets):
                    if name not in batch:
                        raise DataError(f'{WHERE}: batch {k} has no "{name}"; it has {", ".join(map(repr, batch))}')
                yield batch[inputs], batch[targets]
            elif isinstance(batch, tuple | list) and len(batch) == 2:
                yield batch[0], batch[1]
            else:
                raise DataError(
                    f"{WHERE}: batch {k} is a {type(batch).__name__}, expected a pair (inputs, targets) or a dict"
                )

    return Batches(start)


def numbered(batches: Iterable[Any]) -> Iterator[Any]:
    """Iterate; a loader's exception becomes the cause of a DataError that names the batch."""
    k = 0
    try:
        for batch in batches:
            yield batch
            k += 1
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{WHERE}: the loader failed at batch {k}: {type(error).__name__}: {error}") from error


def checked(batches: Iterable[Any], first: Split, converter: Callable[[Split, str], Split]) -> Batches:
    """Check and convert every batch while it streams by.

    All batches have the size of the first one, so that one compiled program serves them all; a smaller last batch is
    left out of the pass.

    Args:
      batches: re-iterable of (inputs, targets).
      first: the first batch, converted; the others must have its leaves and shapes, and get its types.
      converter: (batch, what its messages begin with) -> the converted batch.
    """
    expected = dict(leaves_of(first._asdict()))

    def convert(k: int, batch: tuple[Any, Any]) -> Split:
        split = converter(Split(*batch), f"{WHERE}: batch {k}")
        if _alike(split, first):  # nearly every batch; to look through trees takes longer than to train a small model
            return split
        found = dict(leaves_of(split._asdict()))
        if found.keys() != expected.keys():
            names = [", ".join(sorted(name.lstrip(".") for name in one)) for one in (found, expected)]
            raise DataError(f"{WHERE}: batch {k} has leaves {names[0]}, expected {names[1]} as in batch 0")
        for path, leaf in found.items():
            like = expected[path]
            if leaf.shape[1:] != like.shape[1:] or len(leaf) > len(like):
                raise DataError(
                    f"{WHERE}: batch {k} has {path.lstrip('.')} of shape {show(leaf.shape)}, expected "
                    f"{show(like.shape)} as in batch 0"
                )
        return Split(
            *(
                map_leaves(lambda leaf, path: leaf.astype(expected[path].dtype, copy=False), tree, f".{side}")
                for side, tree in split._asdict().items()
            )
        )

    def start() -> Iterator[Split]:
        size = first.size
        short = -1
        k = -1
        for k, batch in enumerate(numbered(batches)):
            if short >= 0:
                raise DataError(
                    f"{WHERE}: batch {k - 1} has {plural(short, 'example')}, expected {size}; "
                    f"only the last batch of a pass may be smaller"
                )
            split = convert(k, batch)
            if split.size < size:
                short = split.size
            else:
                yield split
        if k < 0:
            raise DataError(f"{WHERE}: a pass gave no batch; give a re-iterable with at least one")

    return Batches(start)


def _alike(split: Split, first: Split) -> bool:
    """Check whether both sides are arrays of the first batch's shapes and types; False for trees."""
    pairs = zip(split, first, strict=True)
    return all(isinstance(a, np.ndarray) and a.shape == b.shape and a.dtype == b.dtype for a, b in pairs)


def refuse_shuffled(stream: Iterable[Split], first: Split) -> None:
    """Raise where a pass begins with another batch: arms, seeds and a resumed run would not see the same."""
    again = next(iter(stream))
    pairs = zip(leaves_of(first._asdict()), leaves_of(again._asdict()), strict=True)
    if any(one.tobytes() != other.tobytes() for (_, one), (_, other) in pairs):
        raise DataError(
            f"{WHERE}: two passes begin with different batches, so arms and seeds would not train on the same; turn "
            f"shuffling and random changes off in the loader, or give a function that returns it with a fixed seed"
        )
