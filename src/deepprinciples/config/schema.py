"""What a section may hold, read from the signature of its factory: names, types, defaults, ranges.

The signature is the only schema, so this module holds no list of keys and no default. A range is part of an annotation,
`Annotated[Scalar, Range("[0, 1]")]`; a keyword of this package without one has the range that LIMITS gives its name. A
user's keywords have the ranges that their annotations state and no others. Single values are checked here, whole
configs in `config`. It imports no jax: `Scalar` and `Range` are known by their shape.
"""

from __future__ import annotations

import inspect
import math
import numbers
import os
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from deepprinciples.config.wording import in_words, joined, noun, plural, quoted, shown, suggestion

REQUIRED: Any = inspect.Parameter.empty

# Keyword of a factory of this package without a `Range` -> (interval, how to fix a value outside it). A round bracket
# leaves the end out: only "inf]" allows inf.
LIMITS: dict[str, tuple[str, str]] = {
    "learning_rate": ("(0, inf)", "give a positive rate such as 0.1"),
    "rate": ("[0, 1)", "0.0 switches it off"),
    **dict.fromkeys(("dropout", "drop_connect", "stochastic_depth"), ("[0, 1)", "0.0 switches it off")),
    **dict.fromkeys(("variational_dropout", "zoneout", "cell_zoneout"), ("[0, 1)", "0.0 switches it off")),
    "max_gradient": ("(0, inf]", "inf switches it off"),
    "strength": ("[0, inf)", "0.0 switches it off"),
    "max_norm": ("(0, inf]", "inf switches it off"),
    "max_value": ("(0, inf]", "inf switches it off"),
    **dict.fromkeys(("max_ratio", "max_rms"), ("(0, inf]", "inf switches it off")),
    "max_score": ("(0, inf]", "inf switches it off"),
    "eps": ("(0, inf)", "give a small positive number such as 1e-8"),
    "eps_root": ("[0, inf)", ""),
    "momentum": ("[0, 1)", "0.0 switches it off"),
    "weight_decay": ("[0, inf)", "0.0 switches it off"),
    "stddev": ("[0, inf)", ""),
    "temperature": ("(0, inf)", ""),
    "delta": ("[0, inf)", ""),
    "confidence": ("(0, 1)", "0.95 is usual"),
    "meaningful": ("[0.5, 1]", "0.75 is usual"),
    "validation": ("(0, 1)", "give the share of the examples, such as 0.2"),
    "test": ("(0, 1)", "give the share of the examples, such as 0.2"),
    "l1_share": ("[0, 1]", ""),
    "warmup": ("[0, 1)", "give the share of the steps, such as 0.1"),
    "depth": ("[0, 1000000]", ""),
    "level": ("(0, 1)", ""),
    "percentile": ("(0, 100]", ""),
    "radius": ("(0, inf)", ""),
    "cosine": ("[-1, 1)", "-1.0 switches it off"),
    **dict.fromkeys(("rho", "noise_multiplier", "step_size"), ("[0, inf)", "0.0 switches it off")),
    "clipping_threshold": ("(0, inf]", "inf switches it off"),
    "cycles": ("(0, inf)", ""),
    **dict.fromkeys(("decay", "decay_rate", "b1", "b2", "b3", "adam_b1", "adam_b2"), ("[0, 1)", "")),
    **dict.fromkeys(("gain", "bound", "noise", "final"), ("[0, inf)", "")),
    **dict.fromkeys(("seed", "data_seed", "split_seed"), ("[0, 4294967296)", "JAX takes other seeds for one of these")),
    **dict.fromkeys(("batch_size", "steps", "width", "embedding", "blocks", "kernel"), ("[1, inf)", "")),
    **dict.fromkeys(("length", "features", "symbols", "history", "k", "ns_steps"), ("[1, inf)", "")),
    **dict.fromkeys(("count", "tasks", "microbatch", "ghost_size", "projections"), ("[1, inf)", "")),
    **dict.fromkeys(("trials", "seeds", "tuning_seeds", "searches"), ("[1, 1000000]", "")),
    **dict.fromkeys(("evaluate_every", "probe_every", "lane_limit", "extend", "delay", "stages"), ("[0, inf)", "")),
    **dict.fromkeys(
        ("size", "train_size", "classes", "tokens", "vocabulary", "longest_lag", "max_size"), ("[0, inf)", "")
    ),
}


class Kinds(NamedTuple):
    """All that a config may name, handed in by the floor above.

    tables: kind -> name -> factory. functions: section without a name ("train", "study") -> function whose signature
    is its schema. extras: kind -> functions whose keywords belong to the section too. provided: kind -> parameters that
    the build supplies, so that a config may not.
    """

    tables: Mapping[str, Mapping[str, Callable[..., Any]]]
    functions: Mapping[str, Callable[..., Any]] = types.MappingProxyType({})
    extras: Mapping[str, tuple[Callable[..., Any], ...]] = types.MappingProxyType({})
    provided: Mapping[str, Collection[str]] = types.MappingProxyType({})


class Field(NamedTuple):
    """One keyword of a factory. `kind` is set for a nested part; `default` is REQUIRED where there is none.

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
            hint, stated = _without_range(hints.get(parameter.name, _type_of(parameter.default)))
            allowed = stated or (LIMITS.get(parameter.name) if _is_ours(factory) else None) or ("", "")
            kind = _nested_kind(hint)
            found[parameter.name] = Field(parameter.name, hint, parameter.default, kind, _is_scalar(hint), *allowed)
    return found


_known_fields = lru_cache(maxsize=2048)(_fields)


def _without_range(hint: Any) -> tuple[Any, tuple[str, str] | None]:
    """Take the `Range` out of an annotation: (the annotation without it, its interval and how to fix a value)."""
    if get_origin(hint) is Annotated:
        for word in get_args(hint)[1:]:
            if hasattr(word, "interval"):
                return get_args(hint)[0], (word.interval, word.fix)
    return hint, None


def open_ended(factory: Callable[..., Any]) -> bool:
    """Say whether a factory takes any keyword (`**kwargs`)."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def sweepable(factory: Callable[..., Any]) -> set[str]:
    """Name the keywords of a factory that may be swept: those annotated `Scalar`."""
    return {field.name for field in fields(factory).values() if field.sweepable}


def allowed(field: Field) -> str:
    """Return the interval that a keyword's values lie in, such as "[0, 1)"."""
    return field.interval or "(-inf, inf)"


def convert(field: Field, value: Any, names: Collection[str] = ()) -> Any:
    """Check one value against the type and the limits of its keyword.

    Args:
        field: the keyword.
        value: what the config holds; texts are never turned into numbers.
        names: where the keyword holds the name of a part, the names there are.

    Returns:
        The value in its one form: whole numbers become float where a float is meant, lists become tuples.

    Raises:
        ValueError: one clause, without the path: what was expected, what was found, how to mend it.
    """
    result = _typed(field.hint, value)
    names = () if get_origin(field.hint) is Literal else names  # `average` of F1 names no average of weights
    for item in result if isinstance(result, tuple) else (result,):
        if isinstance(item, str) and names and item not in names:
            kind = field.name.removesuffix("s")
            raise ValueError(f"no {kind} {quoted(item)}{suggestion(item, names)} ({plural(kind)}: {joined(names)})")
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
    """Help with the commonest slip, a number in quotes."""
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
