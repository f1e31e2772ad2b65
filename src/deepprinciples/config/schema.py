"""What a section may hold, read from the signature of its factory: names, types, defaults, ranges.

The signature is the only schema, so this module holds no list of keys, no default and no range: a range is part of an
annotation, `Annotated[Scalar, Range("[0, 1]")]`, in our factories as in a user's. Single values are checked here, whole
configs in `config`. It imports no jax: `Scalar` is known by its shape.
"""

from __future__ import annotations

import inspect
import math
import numbers
import os
import re
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from deepprinciples.config.wording import in_words, noun, quoted, shown, suggestion
from deepprinciples.errors import ConfigError
from deepprinciples.ranges import Range

REQUIRED: Any = inspect.Parameter.empty
_END = r"\s*[-+]?(?:inf|\d[\d.e+-]*|\.\d+)\s*"
_INTERVAL = re.compile(rf"[\[(]{_END},{_END}[\])]")


class Registry(NamedTuple):
    """All that a config may name, handed in by the floor above.

    tables: kind -> name -> factory. functions: section without a name ("train", "study") -> function whose signature
    is its schema. extras: kind -> functions whose keywords belong to the section too. provided: kind -> parameters that
    the build supplies, so that a config may not. asked: kind -> parameters that it supplies where they have no default.
    elsewhere: key -> its path in the sections of a config, for what stands in the wrong one.
    """

    tables: Mapping[str, Mapping[str, Callable[..., Any]]]
    functions: Mapping[str, Callable[..., Any]] = types.MappingProxyType({})
    extras: Mapping[str, tuple[Callable[..., Any], ...]] = types.MappingProxyType({})
    provided: Mapping[str, Collection[str]] = types.MappingProxyType({})
    asked: Mapping[str, Collection[str]] = types.MappingProxyType({})
    elsewhere: Callable[[], Mapping[str, str]] = dict


class Field(NamedTuple):
    """One keyword of a factory; `default` is REQUIRED where there is none.

    `kind` is set for a nested part, `items` for a list of parts, to their kind.
    `interval` is the range of its numbers, such as "[0, 1)", empty where there is none; `fix` ends the message about a
    number outside it.
    """

    name: str
    hint: Any
    default: Any
    kind: str | None
    sweepable: bool
    interval: str = ""
    fix: str = ""
    items: str | None = None

    @property
    def required(self) -> bool:
        """Check whether the keyword has no default."""
        return self.default is REQUIRED


def fields(factory: Callable[..., Any]) -> dict[str, Field]:
    """Read the keywords of a factory from its signature, in order; treat the result as read-only."""
    return _known_fields(factory) if _is_ours(factory) else _fields(factory)  # a user's function may change


def _is_ours(factory: Callable[..., Any]) -> bool:
    return str(getattr(factory, "__module__", "")).startswith("deepprinciples.")


def _fields(factory: Callable[..., Any]) -> dict[str, Field]:
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return {}
    try:
        hints = typing.get_type_hints(factory, include_extras=True)
    except (NameError, TypeError, AttributeError):
        hints = {}
    found = {}
    for parameter in parameters:
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            hint = hints.get(parameter.name, _type_of(parameter.default))
            stated = _range(hint)
            if stated and not _INTERVAL.fullmatch(stated.interval):
                where = f"{getattr(factory, '__name__', 'factory')}: {parameter.name}"
                raise ConfigError(f"{where}: Range({stated.interval!r}) is no interval; write such as '[0, 1)'")
            if stated and get_origin(hint) is Annotated:
                hint = get_args(hint)[0]
            kind, listed = _nested_kind(hint), get_args(hint)[:1] if get_origin(hint) is tuple else ()
            one = Field(parameter.name, hint, parameter.default, kind, _is_scalar(hint), *(stated or ()))
            found[parameter.name] = one._replace(items=next(map(_nested_kind, listed), None))
    return found


_known_fields = lru_cache(maxsize=2048)(_fields)


def _range(hint: Any) -> Range | None:
    """Find the `Range` in an annotation, also inside a union or a tuple; None where there is none."""
    if get_origin(hint) is Annotated:
        found = next((word for word in get_args(hint)[1:] if isinstance(word, Range)), None)
        return found or _range(get_args(hint)[0])
    return next(filter(None, map(_range, get_args(hint))), None)


def open_ended(factory: Callable[..., Any]) -> bool:
    """Check whether a factory takes any keyword (`**kwargs`)."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def sweepable(factory: Callable[..., Any]) -> set[str]:
    """Name the keywords of a factory that may be swept: those annotated `Scalar`."""
    return {field.name for field in fields(factory).values() if field.sweepable}


def convert(field: Field, value: Any) -> Any:
    """Check one value against the type and the limits of its keyword.

    Args:
        field: the keyword.
        value: what the config holds; texts are never turned into numbers.

    Returns:
        The value in its one form: whole numbers become float where a float is meant, lists become tuples.

    Raises:
        ValueError: one clause, without the path: what was expected, what was found, how to fix it.
    """
    result = _typed(field.hint, value)
    for item in result if isinstance(result, tuple) else (result,):
        if isinstance(item, (int, float)) and not isinstance(item, bool):
            _within(field, item)
    return result


def _within(field: Field, number: float) -> None:
    if isinstance(number, float) and math.isnan(number):
        raise ValueError("expected a number, found nan")
    if isinstance(field.default, (int, float)) and number == field.default:
        return
    interval = field.interval or "(-inf, inf)"
    low, high = (float(end) for end in interval[1:-1].split(","))
    above = number >= low if interval[0] == "[" else number > low
    below = number <= high if interval[-1] == "]" else number < high
    if not (above and below):
        what = "a whole number" if isinstance(number, int) else "a number"
        fix = f"; {field.fix}" if field.fix else ""
        words = "that is finite" if number == math.inf == high else in_words(interval)
        raise ValueError(f"expected {what} {words}, found {shown(number)}{fix}")
    if isinstance(number, int) and not -(2**63) <= number < 2**63:
        raise ValueError(f"expected a whole number of at most 64 bits, found {shown(number)}")


def _typed(hint: Any, value: Any) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _typed(args[0], value)
    if _is_scalar(hint) or hint is float:
        return _number(value)
    if origin is Literal:
        if not any(type(value) is type(choice) and value == choice for choice in args):
            choices = ", ".join(quoted(choice) if isinstance(choice, str) else shown(choice) for choice in args)
            guess = suggestion(value, [choice for choice in args if isinstance(choice, str)])
            raise ValueError(f"expected one of {choices}, found {shown(value)}{guess}")
        return value
    if origin in (Union, types.UnionType):
        return _any_of(args, value)
    if origin is tuple or hint is tuple:
        return _tuple(args, value)
    return _plain(hint, origin, value)


def _plain(hint: Any, origin: Any, value: Any) -> Any:
    fits = True
    if hint is bool or hint is str:
        value = os.fspath(value) if hint is str and isinstance(value, os.PathLike) else value
        fits = isinstance(value, hint)
    elif hint is int:
        fits = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        value = int(value) if fits else value
    elif hint is type(None):
        fits = value is None
    elif hint is Path:
        fits = isinstance(value, (str, Path))
        value = str(value) if fits else value
    elif origin is Callable or hint is Callable:
        fits = callable(value)
    elif isinstance(origin or hint, type) and issubclass(origin or hint, Mapping):
        fits = isinstance(value, Mapping)
    if not fits:
        raise ValueError(f"expected {noun(hint)}, found {shown(value)}{_unquoted(hint, value)}")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ValueError(f"expected a number, found {shown(value)}{_unquoted(float, value)}")
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _any_of(hints: Iterable[Any], value: Any) -> Any:
    for hint in hints:
        try:
            return _typed(hint, value)
        except ValueError:
            continue
    raise ValueError(f"expected {' or '.join(noun(hint) for hint in hints)}, found {shown(value)}")


def _tuple(args: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"expected a list, found {shown(value)}")
    if not args:
        return tuple(value)
    hints = [args[0]] * len(value) if args[-1] is Ellipsis else list(args)
    if len(hints) != len(value):
        raise ValueError(f"expected a list of {len(hints)}, found a list of {len(value)}")
    result = []
    for index, (hint, item) in enumerate(zip(hints, value, strict=True)):
        try:
            result.append(_typed(hint, item))
        except ValueError as error:
            raise ValueError(f"item {index}: {error}") from None
    return tuple(result)


def _unquoted(hint: Any, value: Any) -> str:
    """Explain the most common mistake, a number in quotes."""
    if isinstance(value, str) and len(value) < 40 and hint in (int, float, bool):
        text = value.strip()
        try:
            float(text)
        except ValueError:
            return f"; write {text} without quotes" if hint is bool and text in ("true", "false") else ""
        return f"; write {text} without quotes" if hint is not bool else ""
    return ""


def _is_scalar(hint: Any) -> bool:
    if get_origin(hint) not in (Union, types.UnionType):
        return False
    args = get_args(hint)
    return float in args and any(getattr(arg, "__name__", "").endswith("Array") for arg in args)


def _nested_kind(hint: Any) -> str | None:
    """Find the kind in `Annotated[Callable, kind]`, also inside a union."""
    if get_origin(hint) is Annotated:
        base, *metadata = get_args(hint)
        return next((word for word in metadata if isinstance(word, str)), None) if base is not str else None
    if get_origin(hint) in (Union, types.UnionType):
        return next((kind for kind in map(_nested_kind, get_args(hint)) if kind), None)
    return None


def _type_of(default: Any) -> Any:
    return type(default) if isinstance(default, (bool, int, float, str, tuple, dict)) else Any
