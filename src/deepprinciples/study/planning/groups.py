"""Which arms share a compiled program: those whose static config is equal.

A float that is swept, or differs between arms, becomes an argument of the program; all else is compiled in, but for
which state of a run is judged, which is chosen between calls of the program. An arm that
lacks a cheap trick another arm has gets it at its neutral value, which is proven to change nothing; tricks that draw
random numbers, find eigenvalues or take another gradient at every step cost too much for that, and have the trait
`fill = False`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from deepprinciples.config import allowed_ranges, flatten
from deepprinciples.config.arms import FREE
from deepprinciples.config.dictionary import at
from deepprinciples.config.sections import form_of
from deepprinciples.learners.assembly.factories import trait
from deepprinciples.learners.assembly.from_config import KINDS, Config, replaced
from deepprinciples.stats import trials


class Arm(NamedTuple):
    """One method under comparison."""

    name: str
    config: Config
    changes: Mapping[str, Any]  # dotted path -> value, beside the config that all arms share
    space: trials.Space  # what it tunes
    floats: Mapping[str, float]  # dotted path -> value, of all that may be traced
    signature: str  # the static config: equal ones share a program


class Group(NamedTuple):
    """Arms that share a program. `config` is the first arm's; `values` hold what differs, for each arm."""

    arms: tuple[str, ...]
    config: Config
    names: tuple[str, ...]  # dotted paths of the traced hyper-parameters
    values: tuple[dict[str, float], ...]
    keeps: tuple[tuple[bool, int], ...] = ()  # of each arm: whether its best state is judged, and its train.patience


def arm_of(
    name: str, config: Config, tune: Mapping[str, Any] | None = None, changes: Mapping[str, Any] | None = None
) -> Arm:
    """Read off a resolved config what a study needs to know of an arm.

    Args:
        name: its name.
        config: its resolved config.
        tune: path -> {low, high, scale} of what it tunes.
        changes: what it changes of the config that all arms share, as the config has it.
    """
    leaves, ranges = flatten(config), allowed_ranges(config, KINDS)
    floats = {path: leaves[path] for path in ranges if isinstance(leaves.get(path), float)}
    static = {
        path: "traced" if path in floats else _named_value(value)
        for path, value in leaves.items()
        if path.split(".")[0] not in ("title", "study") and path not in FREE
    }
    changes = {path: value for path, value in (changes or {}).items() if path != "tune"}
    return Arm(name, config, changes, trials.space(tune or {}, ranges), floats, json.dumps(static))


def group_arms(arms: Sequence[Arm]) -> list[Group]:
    """Gather arms into groups of one program each."""
    pools: list[list[Arm]] = []
    for arm in arms:
        for index, pool in enumerate(pools):
            joined = _joined([*pool, arm])
            if joined is not None:
                pools[index] = joined
                break
        else:
            pools.append([arm])
    return [_group(pool) for pool in pools]


def _group(pool: Sequence[Arm]) -> Group:
    first = pool[0]
    swept = {path for arm in pool for path in arm.space}
    varies = lambda path: path in swept or any(arm.floats[path] != first.floats[path] for arm in pool)
    names = tuple(filter(varies, first.floats))
    values = tuple({path: arm.floats[path] for path in names} for arm in pool)
    keeps = tuple((arm.config["train"]["keep"] == "best", arm.config["train"]["patience"]) for arm in pool)
    return Group(tuple(arm.name for arm in pool), first.config, names, values, keeps)


def _joined(pool: Sequence[Arm]) -> list[Arm] | None:
    """Fill the arms' chains up to a common one; None where their static configs still differ."""
    filled: list[dict[str, Any]] = [{} for _ in pool]  # path of a chain -> what an arm has in its place
    first, *others = [form_of(arm.config, KINDS) for arm in pool]
    if any(form != first for form in others):
        return None
    for path, kind in first.chains.items():
        tables = [at(arm.config, path) for arm in pool]
        union = _union(tables)
        if union is None:
            return None
        for table, more in zip(tables, filled, strict=True):
            if len(table) == len(union):
                continue
            off = {key: _switched_off(kind, section, table) for key, section in union.items() if key not in table}
            if None in off.values():
                return None
            more[path] = {key: table.get(key, off.get(key)) for key in union}
    made = [_with_chains(arm, more) if more else arm for arm, more in zip(pool, filled, strict=True)]
    return made if len({arm.signature for arm in made}) == 1 else None


def _with_chains(arm: Arm, chains: Mapping[str, Any]) -> Arm:
    """Return an arm with other chains, and the space that it had."""
    return arm_of(arm.name, replaced(arm.config, chains), changes=arm.changes)._replace(space=arm.space)


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


def _named_value(value: Any) -> Any:
    """Name a value by its content where it is plain, else by its identity: a text may leave parts of it out."""
    if isinstance(value, (list, tuple)):
        return [_named_value(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _named_value(item) for key, item in value.items()}
    return value if isinstance(value, (bool, int, float, str, type(None))) else f"object {id(value)}"
