"""Which examples are held out: cuts that depend on `split_seed` alone, and further sets to test on."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import numpy as np

from deepprinciples.errors import DataError
from deepprinciples.parts.files.array_files import shown
from deepprinciples.parts.splitting import trees
from deepprinciples.parts.splitting.array_checks import plural
from deepprinciples.parts.splitting.corruptions import Corruption, Severity, corrupted
from deepprinciples.parts.splitting.sources import Checked, Source, checked, narrowed
from deepprinciples.types import Range, Seed, Split

HeldOut = Annotated[float, Range("(0, 1)", "give the share of the examples, such as 0.2")]


class Shares(NamedTuple):
    """How examples are cut: see the keywords of `prepare`."""

    validation: HeldOut = 0.2
    test: HeldOut = 0.2
    split_seed: Seed = 0


class TestSet(NamedTuple):
    """A further set to test on; which of its examples, those that the cut of [data] holds out or all; how corrupted."""

    source: Source
    part: Literal["test", "all"] = "test"
    corrupt: Corruption = "none"
    severity: Severity = 3


def cut(
    parts: dict[str, Split],
    task: str,
    shares: Shares,
    train_size: int = 0,
    where: str = "data",
    groups: np.ndarray | None = None,
) -> dict[str, Split]:
    """Cut what the set does not ship out of the training part; examples of one of the `groups` [N] stay together."""
    y, total = parts["train"].targets, parts["train"].size
    sizes = {}
    for name, share in (("test", shares.test), ("validation", shares.validation)):
        if name in parts:
            continue
        if not 0 < share < 1:
            raise DataError(f"{where}.{name}: found {share}, expected a share between 0 and 1, such as 0.2")
        sizes[name] = round(share * total)
        if sizes[name] == 0:
            raise DataError(
                f"{where}.{name}: a share of {share} of {plural(total, 'example')} leaves none; raise it or give more "
                "data"
            )
    labels = y if task == "classification" and y.ndim == 1 else None
    order = split_order(labels, total, shares.split_seed) if groups is None else _by_group(labels, groups, shares)
    if groups is not None:
        sizes = _whole_groups(sizes, groups[order], where)
    rest = total - sum(sizes.values())
    if rest < 1:
        raise DataError(
            f"{where}.{next(iter(sizes))}: {' and '.join(f'{n} {s}' for n, s in sizes.items())} of "
            f"{plural(total, 'example')} leave none for training; lower the shares"
        )
    if not 0 <= train_size <= rest:
        raise DataError(f"{where}.train_size: found {train_size}, expected 0 (all) to {rest}, the training part's size")
    found = dict(parts)
    start = 0
    for name, size in {**sizes, "train": train_size or rest}.items():
        if name == "train" and groups is not None:  # a large group shall not fill a small part
            left = np.sort(order[start:])
            order[start:] = left[split_order(None if labels is None else labels[left], rest, shares.split_seed)]
        chosen = np.sort(order[start : start + size])
        if size < total:
            found[name] = Split(*(trees.take(side, chosen) for side in parts["train"]))
        start += size
    return found


def _by_group(labels: np.ndarray | None, groups: np.ndarray, shares: Shares) -> np.ndarray:
    """Shuffle whole groups as `split_order` does examples; the first example of a group gives its class."""
    _, firsts, group = np.unique(groups, return_index=True, return_inverse=True)
    order = split_order(None if labels is None else labels[firsts], len(firsts), shares.split_seed)
    return np.argsort(np.argsort(order)[group], kind="stable")


def _whole_groups(sizes: dict[str, int], groups: np.ndarray, where: str) -> dict[str, int]:
    """Move the end of each part to the nearest end of a group; `groups` are those of the examples in order."""
    ends = np.append(np.flatnonzero(groups[1:] != groups[:-1]) + 1, len(groups))
    found, start = {}, 0
    for name, size in sizes.items():
        later = ends[ends > start]
        if len(later) < 2:
            raise DataError(
                f"{where}.{name}: {plural(len(ends), 'group')} of examples that belong together are too few for the "
                "parts; lower the shares or give more data"
            )
        end = int(later[np.argmin(np.abs(later[:-1] - (start + size)))])
        found[name], start = end - start, end
    return found


def split_order(labels: np.ndarray | None, total: int, seed: int) -> np.ndarray:
    """Shuffle examples so that every run of neighbors holds the classes in proportion.

    The j-th of the n_c (shuffled) examples of class c gets place (j + 1/2) / n_c; examples are sorted by place.

    Returns:
      A permutation of 0..N-1; cut anywhere, each piece is stratified to within one example a class. Without labels [N]
      it is a plain shuffle.
    """
    order = np.random.RandomState(seed).permutation(total)
    if labels is None:
        return order
    place = np.empty(total)
    shuffled = labels[order]
    for label in np.unique(labels):
        members = np.flatnonzero(shuffled == label)
        place[members] = (np.arange(members.size) + 0.5) / members.size
    return order[np.argsort(place, kind="stable")]


def test_set(name: str, given: TestSet, data: Checked, train: Split, shares: Shares, channels: str) -> Split:
    """Check a further test set, and take the examples that it is made of.

    Raises:
      DataError: if the set cannot be used, or its examples look different from those of the training part `train`.
    """
    where, source = f"test_sets.{name}", given.source
    if source.stream is not None:
        raise DataError(f"{where}: found a stream; give its examples as arrays")
    if source.token_names and data.source.token_names and source.token_names != data.source.token_names:
        raise DataError(
            f"{where}: its token ids stand for other tokens than those of [data]; expected the same ones, as those of "
            'tokens = "bytes" are'
        )
    if bool(source.leaves) != bool(data.source.leaves) or source.vocabulary != data.source.vocabulary:
        raise DataError(f"{where}: found other data than in [data]; expected the same factory, or one like it")
    if source.class_names and source.leaves is None:
        source = _renumbered(source, data.source.class_names, where)
    if not source.outputs:
        source = source._replace(outputs=data.outputs)
    if source.leaves and not source.leaves.classes and data.source.task == "classification":
        source = source._replace(leaves=source.leaves._replace(classes=data.outputs))
    made = checked(source, channels, where)
    if made.source.task != data.source.task or made.outputs != data.outputs:
        raise DataError(
            f"{where}: found {made.source.task} of {plural(made.outputs, 'output')}; expected {data.source.task} of "
            f"{data.outputs}, as in [data]"
        )
    whole = given.part == "all"
    parts = made.parts if whole else _test_part(made, shares, where)
    found, like = narrowed(trees.joined(list(parts.values()))), narrowed(train)
    trees.refuse_other(found.inputs, like.inputs, f"{where}.inputs")
    trees.refuse_other(found.targets, like.targets, f"{where}.targets")
    draw = np.random.RandomState(shares.split_seed)
    return corrupted(found, given.corrupt, given.severity, like, draw, where)


def _test_part(made: Checked, shares: Shares, where: str) -> dict[str, Split]:
    return {"test": cut(made.parts, made.source.task, shares, where=where, groups=made.source.groups)["test"]}


def _renumbered(source: Source, names: tuple[str, ...], where: str) -> Source:
    """Number the classes of a further test set, which may lack some, as those of [data] are."""
    for name in source.class_names:
        if name not in names:
            known = ", ".join(names[:20]) or "numbers"
            raise DataError(f'{where}: found the class "{shown(name)}", expected those of [data]: {known}')
    numbers = np.array([names.index(name) for name in source.class_names])
    targets = np.asarray(source.targets)
    targets = np.where(targets < 0, targets, numbers[targets])  # -1 is no label
    return source._replace(targets=targets, outputs=len(names), class_names=names)
