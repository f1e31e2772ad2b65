"""Which arms share a compiled program: those whose static config is equal.

A float that is swept, or differs between arms, becomes an argument of the program; all else is compiled in. An arm that
lacks a cheap trick another arm has gets it at its neutral value, which is proven to change nothing; tricks that draw
random numbers, find eigenvalues or take another gradient at every step cost too much for that, and have the trait
`fill = False`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from deepprinciples.config import flatten, sweepable_paths
from deepprinciples.config.sections import at, form_of
from deepprinciples.learners.factories import trait
from deepprinciples.study.build import KINDS, Config, replaced


class Group(NamedTuple):
    """Arms that share a program. `config` is the first arm's; `values` hold what differs, for each arm."""

    arms: tuple[str, ...]
    config: Config
    names: tuple[str, ...]  # dotted paths of the traced hyper-parameters
    values: tuple[dict[str, float], ...]


def free_floats(config: Config) -> dict[str, float]:
    """Return the floats of a config that may be traced: dotted path -> value."""
    leaves = flatten(config)
    return {path: leaves[path] for path in sweepable_paths(config, KINDS) if isinstance(leaves.get(path), float)}


def group_arms(arms: Mapping[str, Config], tuned: Mapping[str, Sequence[str]]) -> list[Group]:
    """Gather arms into groups of one program each.

    Args:
        arms: name -> resolved config.
        tuned: name -> the paths this arm tunes.
    """
    pools: list[dict[str, Config]] = []
    for name, config in arms.items():
        for index, pool in enumerate(pools):
            joined = _joined({**pool, name: config})
            if joined is not None:
                pools[index] = joined
                break
        else:
            pools.append({name: config})
    return [_group(pool, tuned) for pool in pools]


def _group(pool: Mapping[str, Config], tuned: Mapping[str, Sequence[str]]) -> Group:
    floats = [free_floats(config) for config in pool.values()]
    first = floats[0]
    swept = {path for name in pool for path in tuned.get(name, ())}
    names = tuple(path for path in first if path in swept or any(other[path] != first[path] for other in floats))
    values = tuple({path: own[path] for path in names} for own in floats)
    return Group(tuple(pool), next(iter(pool.values())), names, values)


def _joined(pool: Mapping[str, Config]) -> dict[str, Config] | None:
    """Fill the arms' chains up to a common one; None where their static configs still differ."""
    filled: dict[str, dict[str, Any]] = {name: dict(config) for name, config in pool.items()}
    first, *others = [form_of(config, KINDS) for config in pool.values()]
    if any(form != first for form in others):
        return None
    for path, kind in first.chains.items():
        union = _union([at(config, path) for config in pool.values()])
        if union is None:
            return None
        for name, config in pool.items():
            table = {}
            for key, section in union.items():
                own = at(config, path).get(key)
                off = section if own is not None else _switched_off(kind, section, at(config, path))
                if off is None:
                    return None
                table[key] = own if own is not None else off
            filled[name] = replaced(filled[name], {path: table})
    signatures = {_signature(config) for config in filled.values()}
    return dict(filled) if len(signatures) == 1 else None


def _union(tables: Sequence[Config]) -> dict[str, Any] | None:
    """Merge ordered tables; None where two of them order the same keys differently."""
    merged: dict[str, Any] = {}
    for table in tables:
        for key, section in table.items():
            merged.setdefault(key, section)
    order = list(merged)
    for table in tables:
        positions = [order.index(key) for key in table]
        if positions != sorted(positions):
            return None
    return merged


def _switched_off(kind: str, section: Config, table: Config) -> dict[str, Any] | None:
    """Return a section at its neutral values, for an arm whose own table lacks it; None where it may not be filled."""
    neutral, fill = trait(kind, section, "neutral"), trait(kind, section, "fill")
    if not neutral or fill is False or (callable(fill) and not fill(section, table)):
        return None
    return {**section, **{keyword: float(value) for keyword, value in neutral.items()}}


def _signature(config: Config) -> str:
    """Write down the static config: all but titles, the study, and floats that may be traced."""
    free = free_floats(config)
    static = {key: value for key, value in config.items() if key not in ("title", "study", "arms")}
    leaves = {path: "traced" if path in free else _named_value(value) for path, value in flatten(static).items()}
    return json.dumps(leaves)


def _named_value(value: Any) -> Any:
    """Name a value by its content where it is plain, else by its identity: a text may leave parts of it out."""
    if isinstance(value, (list, tuple)):
        return [_named_value(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _named_value(item) for key, item in value.items()}
    return value if isinstance(value, (bool, int, float, str, type(None))) else f"object {id(value)}"
