"""The arms of a comparison and the space each is tuned in, as the config gives them.

An arm is a table of changes to the config around it. What the arms then cost or score is for the study.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from deepprinciples.config.dictionary import at, changes, flatten, names_part
from deepprinciples.config.schema import Field, Registry, convert, fields
from deepprinciples.config.sections import LOADED, fields_of, keywords, resolve_base
from deepprinciples.config.wording import quoted, shown, suggestion, word
from deepprinciples.errors import ConfigError

FIXED = ("title", "test_sets", "train", "study", "arms", "schema_version")  # what an arm may not change
FREE = ("train.keep", "train.patience")  # but these: they change neither the steps of an arm nor its program

_MOST_ARMS = 1000


class ResolvedArm(NamedTuple):
    """One arm of a config."""

    edits: dict[str, Any]  # dotted path -> value, and `tune`
    config: Mapping[str, Any]  # whole, without `arms`; [study] is the same in all
    space: dict[str, Any]  # what it tunes: path -> {low, high, scale}


def only_arms(config: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return a config with some of its arms.

    Raises:
        ConfigError: one of the names is no arm of the config.
    """
    arms = config.get("arms", {})
    arms = arms if isinstance(arms, Mapping) else {}
    known = ", ".join(map(str, arms))
    problems = [
        f"--arm: no arm {quoted(name)}{suggestion(name, arms)} (arms: {known})" for name in names if name not in arms
    ]
    if problems:
        raise ConfigError(*problems)
    return {**config, "arms": {name: arm for name, arm in arms.items() if name in names}}


def resolve_arms(
    arms: Any, base: Mapping[str, Any], base_problems: list[str], kinds: Registry
) -> tuple[dict[str, ResolvedArm], list[str]]:
    """Check all arms against the resolved base; return them and the problems."""
    if not isinstance(arms, Mapping):
        return {}, [f"arms: expected a table of arms by name, found {shown(arms)}"]
    if len(arms) > _MOST_ARMS:
        return {}, [f"arms: expected at most {_MOST_ARMS}, found {len(arms)}"]
    out, problems = {}, []
    shared = base.get("study", {}).get("tune", {}) if isinstance(base.get("study"), Mapping) else {}
    places = []
    for name, given in arms.items():
        path = f"arms.{word(name)}"
        if not isinstance(given, Mapping):
            problems.append(f"{path}: expected a table of changes, found {shown(given)}")
            continue
        if not isinstance(name, str) or not name.strip() or len(name) > 100 or not name.isprintable():
            problems.append(f"{path}: expected a name of 1 to 100 printable characters")
        edits, config = _arm(given, path, base, base_problems, shared, kinds, problems)
        known, own = dict(fields_of(config, kinds)), edits.get("tune", {})
        places.append(known)
        problems += _wrong_paths(own, f"{path}.tune", [known])
        free = {place for place, field in known.items() if field.sweepable}
        tuned = {place: dict(limits) for place, limits in {**shared, **own}.items() if place in free}
        out[str(name)] = ResolvedArm(edits, config, tuned)
    broken = {_section(problem) for problem in base_problems}
    whole = {path: limits for path, limits in shared.items() if path.split(".")[0] not in broken}
    problems += _wrong_paths(whole, "study.tune", places or [dict(fields_of(base, kinds))])
    return out, problems


def _follows_data(key: str, edits: Mapping[str, Any], base: Mapping[str, Any]) -> bool:
    """Check whether an edit changes a further test set of the base for an arm that has data in another form."""
    head, _, rest = key.partition(".")
    others = any(one.split(".")[0] == "data" for one in edits)
    return head == "test_sets" and others and rest.split(".")[0] in base.get(head, {})


def _arm(
    given: Mapping[str, Any], path: str, base: Mapping[str, Any], base_problems: list[str], shared: Mapping[str, Any],
    kinds: Registry, problems: list[str],
) -> tuple[dict[str, Any], Mapping[str, Any]]:  # fmt: skip
    """Return the changes of an arm as {dotted path: value}, and its whole config."""
    edits = {key: value for name, item in given.items() if name != "tune" for key, value in _edits(str(name), item)}
    found: list[str] = []
    fixed = [
        key for key in edits if key.split(".")[0] in FIXED and key not in FREE and not _follows_data(key, edits, base)
    ]
    found += [f"{word(key)}: an arm may not change it; it is the same for all arms" for key in fixed]
    config: Mapping[str, Any] = base
    try:
        config = resolve_base(changes(base, {k: v for k, v in edits.items() if k not in fixed}), kinds, found)
    except ConfigError as error:
        found += [] if base_problems else error.problems  # a broken section cannot be changed; it is reported already
    own = search_space(given["tune"], "tune", found) if "tune" in given else {}
    found += set_and_tuned(edits, {**shared, **own})
    broken = {_section(problem) for problem in base_problems}
    repeated = [p for p in found if p in base_problems or ("missing" in p and _section(p) in broken)]
    problems += [f"{path}.{problem}" for problem in found if problem not in repeated]
    return {**edits, **({"tune": own} if own else {})}, config


def _section(problem: str) -> str:
    return problem.split(".")[0].split(":")[0]


def set_and_tuned(edits: Mapping[str, Any], space: Iterable[str]) -> list[str]:
    """List the tuned paths that changes set to one value, by themselves or in a table: the value would not count."""
    given = {leaf for path, value in edits.items() for leaf in flatten({path: value})}
    return [f"{word(path)}: is both set and tuned; drop one of them" for path in space if path in given]


def tuned_everywhere(config: Mapping[str, Any]) -> list[str]:
    """List the paths that a config, not yet resolved, tunes in every arm."""
    shared = _paths(at(config, "study.tune"))
    arms = config.get("arms")
    own = [_paths(at(arm, "tune")) for arm in arms.values()] if isinstance(arms, Mapping) else []
    return shared + [path for path in (own[0] if own else []) if all(path in one for one in own)]


def _paths(space: Any) -> list[str]:
    return [path for path, _ in _ranges("", space)] if isinstance(space, Mapping) else []


def _edits(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Write the changes of an arm as {dotted path: value}; a table that names a part is one value."""
    if isinstance(value, Mapping) and value and not names_part(value):
        for key, item in value.items():
            yield from _edits(f"{path}.{key}", item)
    else:
        yield path, value


def search_space(value: Any, path: str, problems: list[str]) -> dict[str, dict[str, Any]]:
    """Check a search space on its own: {path: {low, high, scale}}."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        problems.append(f"{path}: expected a table of paths, found {shown(value)}")
        return {}
    out = {}
    for key, limits in _ranges("", value):
        where = f"{path}.{word(key)}"
        if not isinstance(limits, Mapping):
            problems.append(f"{where}: expected {{ low = ..., high = ..., scale = ... }}, found {shown(limits)}")
            continue
        found: list[str] = []
        one = keywords(fields(_range), limits, where, "a search space", Registry({}), found, False)
        if not found:
            found += _wrong_range(one, where)
        problems += found
        if not found:
            out[key] = one
    return out


def _range(*, low: float, high: float, scale: Literal["log", "linear"] = "log") -> None:
    """Serve as the schema of one tuned path."""


def _ranges(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        here = f"{path}.{key}" if path else str(key)
        if isinstance(item, Mapping) and item and not {"low", "high", "scale"} & set(item):
            yield from _ranges(here, item)
        else:
            yield here, item


def _wrong_range(limits: Mapping[str, Any], path: str) -> Iterator[str]:
    low, high = limits["low"], limits["high"]
    if low >= high:
        yield f"{path}: expected low below high, found low = {low!r} and high = {high!r}"
    if limits["scale"] == "log" and low <= 0:
        yield f'{path}.low: a log scale needs a number above 0, found {low!r}; write scale = "linear" or raise it'


def _wrong_paths(space: Mapping[str, Any], where: str, places: list[dict[str, Field]]) -> Iterator[str]:
    """Find tuned paths that no place has, that fix the program, or whose ends a place does not allow."""
    known = {path: field for place in places for path, field in place.items()}
    names = [path for path, field in known.items() if field.sweepable]
    for path in space:
        if path not in known:
            guess = suggestion(path, names) or ";"
            yield f"{where}.{word(path)}: no such path{guess.removesuffix(';')} (sweepable: {', '.join(names)})"
        elif path.split(".")[0] in LOADED:
            leaf = path.split(".")[-1]
            yield f"{where}.{path}: data are loaded before anything is trained; compare values of {leaf} as arms"
        elif not known[path].sweepable:
            noun = {int: "a whole number", bool: "a switch", float: "a number"}.get(known[path].hint, "a choice")
            leaf = path.split(".")[-1]
            yield f"{where}.{path}: is {noun} and fixes the program; compare values of {leaf} as arms"
        else:
            yield from dict.fromkeys(
                problem
                for place in places
                if path in place
                for problem in _ends_outside(place[path], space[path], f"{where}.{path}")
            )


def _ends_outside(field: Field, limits: Mapping[str, Any], path: str) -> Iterator[str]:
    for end in ("low", "high"):
        try:
            convert(field, limits[end])
        except ValueError as error:
            yield f"{path}.{end}: {error}"
