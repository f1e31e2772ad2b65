"""One config without its arms: every section looked up, every value checked, every default written out.

What is wrong is added to a list of problems and kept as it was given, so that one pass finds everything. Arms and
search spaces are in `arms`, single values in `schema`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import Any, NamedTuple

from deepprinciples.config.dictionary import at, names_part
from deepprinciples.config.schema import REQUIRED, Field, Registry, convert, fields, open_ended
from deepprinciples.config.wording import listed, quoted, shown, singular, suggestion, unknown_keys, word

DEFAULT_PARTS = {
    "gradient": "plain",
    "schedule": "constant",
    "weight_averaging": "none",
    "learner": "supervised",
    "groups": "group",
    "start": "start",
    "teacher": "teacher",
}
LOADED = ("data", "test_sets")  # kinds that are built before any program is traced: their values are never swept


class Schema(NamedTuple):
    """The sections of a config: dotted path -> kind of part, for one part or for a chain of parts by name."""

    sections: Mapping[str, str]
    chains: Mapping[str, str]


def _player(name: str, kind: str, more: Mapping[str, str]) -> Schema:
    chains = {"regularizers": "regularizers", "transforms": "transforms", **more}
    sections = {"model": kind, "optimizer": "optimizer", "schedule": "schedule"}
    return Schema(*({f"{name}.{key}": one for key, one in table.items()} for table in (sections, chains)))


# What a learner's factory asks for by keyword -> the sections that it is made of, in the order of a config.
READS = {
    "data": Schema({"data": "data"}, {"test_sets": "test_sets"}),
    "model": Schema({"model": "model"}, {}),
    "network": Schema({"model": "model"}, {}),
    "weights": Schema({}, {"weights": "weights"}),
    "loss": Schema({"loss": "loss"}, {}),
    "gradient": Schema({"gradient": "gradient"}, {}),
    "augment": Schema({}, {"augment": "augment"}),
    "regularizers": Schema({}, {"regularizers": "regularizers"}),
    "optimizer": Schema(
        {"optimizer": "optimizer", "schedule": "schedule"}, {"transforms": "transforms", "groups": "groups"}
    ),
    "weight_averaging": Schema({"weight_averaging": "weight_averaging"}, {}),
    "generator": _player("generator", "generator", {}),
    "discriminator": _player("discriminator", "model", {"penalties": "penalties"}),
    "metrics": Schema({}, {"metrics": "metric"}),
}
# Where there are no learners.
_USUAL = ("data", "model", "loss", "gradient", "optimizer", "weight_averaging", "augment", "regularizers")
FUNCTIONS = ("train", "study")  # sections without a name, whose schema is the signature of a function

CHAINS = tuple(dict.fromkeys(kind for form in READS.values() for kind in form.chains.values()))

_CHAIN_KEY = re.compile(r"[A-Za-z0-9_-]{1,100}")


def form_of(config: Mapping[str, Any], kinds: Registry) -> Schema:
    """Return the sections of a config: those that its learner asks for, and the learner's own."""
    factory = learner_of(config, kinds)
    asked = [name for name, field in fields(factory).items() if field.required] if factory else _USUAL
    forms = [form for name, form in READS.items() if name in asked]
    sections = {path: kind for form in forms for path, kind in form.sections.items()}
    sections |= {"learner": "learner"} if factory else {}
    return Schema(sections, {path: kind for form in forms for path, kind in form.chains.items()})


def _with_metrics(config: Mapping[str, Any], kinds: Registry) -> tuple[Mapping[str, Any], Registry]:
    """Add the metrics that a learner gives by itself to those there are; the first is its study's, if none is named."""
    own = getattr(learner_of(config, kinds), "metrics", None)
    if not isinstance(own, Mapping) or not own:
        return config, kinds
    tables = {**kinds.tables, "metric": {**kinds.tables.get("metric", {}), **dict.fromkeys(own, _given_by_the_learner)}}
    study = config.get("study", {})
    if isinstance(study, Mapping) and "metric" not in study:
        config = {**config, "study": {**study, "metric": next(iter(own))}}
    return config, kinds._replace(tables=tables)


def _given_by_the_learner() -> None:
    """Stand for a metric that the learner's own evaluation gives."""


def learner_of(config: Mapping[str, Any], kinds: Registry) -> Callable[..., Any] | None:
    """Return the factory of a config's learner, the default one where the config names none that there is."""
    section, table = config.get("learner"), kinds.tables.get("learner", {})
    given = section if isinstance(section, Mapping) else {"name": section}
    if _is_factory(given.get("factory")):
        return given["factory"]
    name = given.get("name")
    return table.get(name if isinstance(name, str) and name in table else DEFAULT_PARTS["learner"])


def resolve_base(config: Mapping[str, Any], kinds: Registry, problems: list[str]) -> dict[str, Any]:
    """Check a config without arms and write out every default; add what is wrong to `problems`."""
    config, kinds = _with_metrics(config, kinds)
    form = form_of(config, kinds)
    functions = [name for name in FUNCTIONS if name in kinds.functions]
    paths = [*form.sections, *form.chains]
    known = ["title", *dict.fromkeys(path.split(".")[0] for path in paths), *functions, "arms"]
    learner = _name_of(config.get("learner", DEFAULT_PARTS["learner"]))
    owner = "a config" if learner == DEFAULT_PARTS["learner"] else f"a config with learner {learner}"
    unknown = [str(key) for key in config if key not in known]
    kinds = kinds._replace(elsewhere=cache(partial(_paths_of, config, form, functions, kinds)))
    unknown_keys(unknown, known, "", owner, problems, kinds.elsewhere)
    out: dict[str, Any] = {"title": config.get("title")}
    for table in [name for name in known if any(path.startswith(f"{name}.") for path in paths)]:
        keys = [path.partition(".")[2] for path in paths if path.startswith(f"{table}.")]
        given = config.get(table, {})
        if not isinstance(given, Mapping):
            problems.append(f"{table}: expected a table, found {shown(given)}")
            given = {}
        others = [str(key) for key in given if key not in keys]
        unknown_keys(others, keys, f"{table}.", table, problems, kinds.elsewhere)
    for path, kind in form.sections.items():
        value = at(config, path)
        if value is None and kind not in DEFAULT_PARTS:
            problems.append(f"{path}: missing; add [{path}] with a name ({listed(kind, kinds.tables)})")
        else:
            _put(out, path, _part(kind, value, path, DEFAULT_PARTS.get(kind), kinds, problems))
    for path, kind in form.chains.items():
        found = at(config, path)
        _put(out, path, resolve_chain(kind, {} if found is None else found, path, kinds, problems))
    for name in functions:
        out[name] = _function(name, config.get(name, {}), kinds, problems)
    if out["title"] is None:
        what = _name_of(out.get("model", out.get("learner")))
        out["title"] = f"{what} on {_name_of(out['data'])}" if "data" in out else what
    elif not isinstance(out["title"], str):
        problems.append(f"title: expected a text, found {shown(out['title'])}")
    return out


def _paths_of(config: Mapping[str, Any], form: Schema, functions: list[str], kinds: Registry) -> dict[str, str]:
    """Map the keys of a config's sections to their paths: what stands in the wrong one may belong into another."""
    known = {name: fields(kinds.functions[name]) for name in functions}
    for path, kind in form.sections.items():
        section = at(config, path)
        name = section.get("name") if isinstance(section, Mapping) else section
        if isinstance(name, str) and name in kinds.tables.get(kind, {}):
            known[path] = _schema(kinds.tables[kind][name], kind, kinds)
    parts = {part: f"{path}.{part}" for path, kind in form.chains.items() for part in kinds.tables.get(kind, {})}
    order = sorted(known, key=lambda name: name == "study" and "arms" in config)  # the last one wins
    return {**parts, **{key: f"{name}.{key}" for name in order for key in known[name]}}


def _put(out: dict[str, Any], path: str, value: Any) -> None:
    *parents, leaf = path.split(".")
    for key in parents:
        out = out.setdefault(key, {})
    out[leaf] = value


def _name_of(section: Any) -> str:
    found = (section.get("name") or section.get("factory")) if isinstance(section, Mapping) else section
    return str(getattr(found, "__name__", found))


def resolve_chain(kind: str, value: Any, where: str, kinds: Registry, problems: list[str]) -> Any:
    """Resolve a table of parts of one kind by name; add what is wrong to `problems`."""
    if not isinstance(value, Mapping):
        problems.append(f"{where}: expected a table of parts by name, found {shown(value)}")
        return value
    out = {}
    for key, one in value.items():
        path = f"{where}.{word(key)}"
        if not isinstance(key, str) or not _CHAIN_KEY.fullmatch(key):
            problems.append(f"{path}: expected a name of letters, digits, _ and -")
        if isinstance(one, Mapping) and not names_part(one):
            one = {"name": DEFAULT_PARTS.get(kind, str(key)), **one}
        out[key] = _part(kind, one, path, None, kinds, problems)
    return out


def _function(name: str, value: Any, kinds: Registry, problems: list[str]) -> Any:
    function = kinds.functions[name]
    if not isinstance(value, Mapping):
        problems.append(f"{name}: expected a table, found {shown(value)}")
        return value
    return keywords(fields(function), value, name, f"[{name}]", kinds, problems, open_ended(function))


def _part(kind: str, value: Any, path: str, default: Any, kinds: Registry, problems: list[str]) -> Any:
    """Resolve one section that names a part; what is wrong stays as it was given."""
    section = _merged(value, default)
    if not isinstance(section, Mapping):
        problems.append(f"{path}: expected the name of a {singular(kind)} or a table, found {shown(value)}")
        return value
    factory = _factory(kind, section, path, kinds, problems)
    if factory is None:
        return dict(section)
    head = "factory" if "factory" in section else "name"
    given = {key: item for key, item in section.items() if key != head}
    provided = kinds.provided.get(kind, ())
    for key in [key for key in given if key in provided]:
        problems.append(f"{path}.{key}: is supplied by the data; leave it out")
        del given[key]
    owner = section["name"] if head == "name" else _name_of(section)
    known = _schema(factory, kind, kinds)
    return {head: section[head], **keywords(known, given, path, owner, kinds, problems, open_ended(factory))}


def _merged(value: Any, default: Any) -> Any:
    """Read a bare name as a section; a table that names no part changes the default one."""
    if isinstance(value, str):
        return {"name": value}
    if value is None:
        value = {}
    if isinstance(value, Mapping) and not names_part(value) and isinstance(default, (str, Mapping)):
        return {**(_merged(default, None)), **value}
    return value


def _factory(kind: str, section: Mapping[str, Any], path: str, kinds: Registry, problems: list[str]) -> Any:
    if "factory" in section:
        factory = section["factory"]
        if not _is_factory(factory):
            found = shown(factory)
            problems.append(f"{path}.factory: expected a function from Python, found {found}; in a file give a name")
            return None
        if "name" in section:
            problems.append(f"{path}: name and factory are both given; keep one")
            return None
        return factory
    if "name" not in section:
        problems.append(f"{path}.name: missing ({listed(kind, kinds.tables)})")
        return None
    name, table = section["name"], kinds.tables.get(kind, {})
    if not isinstance(name, str):
        problems.append(f"{path}.name: expected the name of a {singular(kind)}, found {shown(name)}")
        return None
    if name not in table:
        where = path if path.endswith("]") or (kind in CHAINS and path.endswith(f".{name}")) else f"{path}.name"
        guess = suggestion(name, table)
        other = next((one for one, parts in kinds.tables.items() if name in parts), "")
        guess = guess or (f"; it is of the kind {other}" if other else "")
        problems.append(f"{where}: no {singular(kind)} {quoted(name)}{guess} ({listed(kind, kinds.tables)})")
    return table.get(name)


def _is_factory(value: Any) -> bool:
    return callable(value) and type(value).__hash__ is not None


def keywords(
    known: Mapping[str, Field], given: Mapping[Any, Any], path: str, owner: str, kinds: Registry, problems: list[str],
    any_key: bool,
) -> dict[str, Any]:  # fmt: skip
    """Check the keywords of one factory and write out its defaults; `owner` is what a message calls it."""
    out: dict[str, Any] = {}
    for name, field in known.items():
        where = f"{path}.{name}"
        if name not in given and field.default is REQUIRED:
            problems.append(f"{where}: missing; {owner} needs it")
        elif field.kind and (name in given or isinstance(field.default, (str, Mapping))):
            out[name] = _part(
                field.kind, given.get(name), where, field.default or DEFAULT_PARTS.get(field.kind), kinds, problems
            )
        elif field.items:
            out[name] = _parts(field.items, given.get(name, field.default), where, kinds, problems)
        elif name in given or not field.kind:
            out[name] = _leaf(field, given.get(name, field.default), where, name in given, problems)
    others = {key: value for key, value in given.items() if key not in known}
    if any_key:
        return {**out, **others}
    unknown_keys([str(key) for key in others], list(known), f"{path}.", owner, problems, kinds.elsewhere)
    return out


def _parts(kind: str, value: Any, path: str, kinds: Registry, problems: list[str]) -> Any:
    """Resolve a list of different parts of one kind; one that takes no keywords stays a name."""
    if not isinstance(value, (list, tuple)):
        problems.append(f"{path}: expected a list, found {shown(value)}")
        return value
    found = [_part(kind, one, f"{path}[{index}]", None, kinds, problems) for index, one in enumerate(value)]
    which = [one.get("factory", one.get("name")) if isinstance(one, Mapping) else None for one in found]
    for index, (one, part) in enumerate(zip(which, found, strict=True)):
        if one is not None and one in which[:index]:
            first = f"{path}[{which.index(one)}]"
            problems.append(f"{path}[{index}]: is {quoted(_name_of(part))}, as {first} is; keep one of them")
    return tuple(part["name"] if isinstance(part, Mapping) and list(part) == ["name"] else part for part in found)


def _leaf(field: Field, value: Any, path: str, given: bool, problems: list[str]) -> Any:
    if not given and value is None:
        return None
    try:
        return convert(field, value)
    except ValueError as error:
        problems.append(f"{path}: {error}")
        return value


def allowed_ranges(config: Mapping[str, Any], kinds: Registry) -> dict[str, str]:
    """Map every sweepable path of a resolved config to the interval that its part accepts."""
    return {path: field.interval or "(-inf, inf)" for path, field in fields_of(config, kinds) if field.sweepable}


def fields_of(config: Mapping[str, Any], kinds: Registry) -> Iterator[tuple[str, Field]]:
    """List (dotted path, keyword) of every value in the sections and chains of a resolved config."""
    form = form_of(config, kinds)
    for path, kind in form.sections.items():
        for name, field in _fields_below(kind, at(config, path), path, kinds):
            yield name, field._replace(sweepable=field.sweepable and kind not in LOADED)
    for path, kind in form.chains.items():
        table = at(config, path)
        for key, value in table.items() if isinstance(table, Mapping) else ():
            yield from _fields_below(kind, value, f"{path}.{key}", kinds)


def _fields_below(kind: str, value: Any, path: str, kinds: Registry) -> Iterator[tuple[str, Field]]:
    if not isinstance(value, Mapping):
        return
    factory: Any = value.get("factory") or kinds.tables.get(kind, {}).get(str(value.get("name")))
    if _is_factory(factory):
        yield from _fields_within(_schema(factory, kind, kinds), value, path, kinds)


def _fields_within(
    known: Mapping[str, Field], value: Mapping[str, Any], path: str, kinds: Registry
) -> Iterator[tuple[str, Field]]:
    for field in known.values():
        if field.name in value:
            yield f"{path}.{field.name}", field
            if field.kind:
                yield from _fields_below(field.kind, value[field.name], f"{path}.{field.name}", kinds)


def _schema(factory: Callable[..., Any], kind: str, kinds: Registry) -> dict[str, Field]:
    """Join the keywords of a factory with those its section has besides, less what the build supplies."""
    known = dict(fields(factory))
    for extra in kinds.extras.get(kind, ()):
        known = {**known, **{name: field for name, field in fields(extra).items() if name not in known}}
    provided, asked = kinds.provided.get(kind, ()), kinds.asked.get(kind, ())
    return {n: field for n, field in known.items() if n not in provided and not (field.required and n in asked)}
