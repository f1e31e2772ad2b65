"""From a dictionary to a config that can run: names looked up, values checked, every default written out.

`dictionary` reads and changes a config, `schema` checks values, `sections` resolves one config, `arms` the changes of a
comparison. What may be named comes in as `Registry`, so no part is known here by name and nothing imports jax. All
problems of a config are found in one pass and raised together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from deepprinciples.config import dictionary
from deepprinciples.config.arms import (
    ResolvedArm,
    only_arms,
    resolve_arms,
    search_space,
    set_and_tuned,
    tuned_everywhere,
)
from deepprinciples.config.dictionary import (
    SCHEMA_VERSION,
    changes,
    copy,
    dumps,
    flatten,
    load,
    marked,
    read,
    unflatten,
)
from deepprinciples.config.marks import described
from deepprinciples.config.schema import Registry, fields, sweepable
from deepprinciples.config.sections import allowed_ranges, resolve_base, resolve_chain
from deepprinciples.config.wording import quoted, shown
from deepprinciples.errors import ConfigError

__all__ = [
    "Registry",
    "ResolvedArm",
    "allowed_ranges",
    "changes",
    "described",
    "dumps",
    "fields",
    "flatten",
    "load",
    "marked",
    "only_arms",
    "override",
    "read",
    "resolve",
    "resolve_each",
    "resolve_parts",
    "shown",
    "sweepable",
    "unflatten",
]


def override(
    config: Mapping[str, Any], settings: Iterable[str], *, command: Literal["compare", "train"] = "train"
) -> dict[str, Any]:
    """Apply settings of the command line, PATH=VALUE, in order; see `dictionary.override`.

    Args:
        config: the config to start from; it is left as it is.
        settings: such as "optimizer.learning_rate=1e-3".
        command: "compare" tunes, so that a setting of a value that is tuned in every arm would not count.

    Raises:
        ConfigError: a setting cannot be read, or is of a tuned value.
    """
    settings = list(settings)
    given = dictionary.override(config, settings)
    found = set_and_tuned(dictionary.override({}, settings), tuned_everywhere(given)) if command == "compare" else []
    if found:
        raise ConfigError(*found)
    return given


def resolve(
    config: Mapping[str, Any], kinds: Registry, *, command: Literal["compare", "train"] = "train"
) -> dict[str, Any]:
    """Check a config and write out every default; resolving the result again gives the same.

    Args:
        config: nested plain values, as from `load`; from Python a section may hold {"factory": function} for a name.
        kinds: what may be named.
        command: "compare" asks for at least two arms.

    Returns:
        title, the sections in fixed order, and the arms as {name: {dotted path: value}}. Lists have become tuples.

    Raises:
        ConfigError: with every problem found, one line each.
    """
    return resolve_each(config, kinds, command=command)[0]


def resolve_each(
    config: Mapping[str, Any], kinds: Registry, *, command: Literal["compare", "train"] = "train"
) -> tuple[dict[str, Any], dict[str, ResolvedArm]]:
    """Resolve a config and each of its arms, once; see `resolve`.

    The space of an arm is the study's, as far as the arm has the paths, with the arm's own laid over it.

    Returns:
        (what `resolve` returns, its arms by name).
    """
    if not isinstance(config, Mapping):
        raise ConfigError(f"config: expected a table, found {shown(config)}")
    problems: list[str] = []
    given = copy(config)
    arms = given.pop("arms", {})
    _check_version(given)
    base = resolve_base(given, kinds, problems)
    if isinstance(base.get("study"), dict):
        base["study"]["tune"] = search_space(base["study"].get("tune"), "study.tune", problems)
    found, arm_problems = resolve_arms(arms, base, problems, kinds)
    problems += arm_problems
    if command == "compare" and not arm_problems:
        problems += _too_few(found)
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    return base | ({"arms": {name: one.edits for name, one in found.items()}} if found else {}), found


def resolve_parts(kind: str, sections: Mapping[str, Any], kinds: Registry) -> dict[str, Any]:
    """Check parts of one kind that stand in no config, and write out every default; see `resolve`.

    Args:
        kind: such as "attribution".
        sections: by name; a section without a name of a part is named by its key.
        kinds: what may be named.
    """
    problems: list[str] = []
    found = resolve_chain(kind, sections, kind, kinds, problems)
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    return dict(found)


def _check_version(config: dict[str, Any]) -> None:
    version = config.pop("schema_version", SCHEMA_VERSION)
    if version != SCHEMA_VERSION or isinstance(version, bool):
        found = f"{version}, written by a later version" if isinstance(version, int) else shown(version)
        raise ConfigError(f"schema_version: expected {SCHEMA_VERSION}, found {found}; upgrade deepprinciples")


def _too_few(arms: Mapping[str, Any]) -> list[str]:
    if len(arms) >= 2:
        return []
    found = f"one ({quoted(next(iter(arms)))})" if arms else "none"
    fix = "an empty table such as [arms.plain] stands for the config as it is"
    return [f"arms: a comparison needs at least 2, found {found}; add [arms.NAME] tables; {fix}"]
