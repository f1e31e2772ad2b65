"""Cards: what the user reads about a part, taken from its signature and its docstring, and nowhere else.

The tables are handed in, so this module imports no part and no jax. Plain text, at most 80 columns. The cards of our
parts are kept in `cards.json`, which `catalogue` writes, so that `list` and `show` do not wait for the parts.
"""

from __future__ import annotations

import inspect
import json
import re
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

from deepprinciples.config.schema import REQUIRED, Field, fields
from deepprinciples.config.wording import plural, quoted, singular, suggestion
from deepprinciples.errors import ConfigError

Tables = Mapping[str, Mapping[str, Callable[..., Any]]]
KEPT = Path(__file__).with_name("cards.json")


class Card(NamedTuple):
    """What a user reads about a part: its line in a list, and all of it."""

    summary: str
    text: str


Cards = Mapping[str, Mapping[str, Card]]  # kind -> name -> card

_WIDTH = 80
_HEADING = re.compile(r"(Args|Returns|Raises|Expect|Costs|References?|Examples?): ?(.*)")
# The headed parts of a docstring that are shown below the hyper-parameters, in this order, and what a card calls them.
SECTIONS = {
    "Returns": "Gives",
    "Raises": "Raises",
    "Expect": "What to expect",
    "Costs": "What it costs",
    "Descent": "Steps to a thousandth of the loss",
    "References": "References",
}
_PROSE = ("Expect", "Costs")  # their lines end where the source line did, which means nothing


def cards_of(tables: Tables) -> dict[str, dict[str, Card]]:
    """Make the card of every part: what it does, formula, hyper-parameters with marks, what to expect, references."""
    return {
        kind: {name: Card(parsed(one)["summary"], _text(kind, name, one)) for name, one in sorted(table.items())}
        for kind, table in tables.items()
    }


def kept() -> Cards:
    """Read the cards of our own parts, as `catalogue` has written them."""
    found = json.loads(KEPT.read_text(encoding="utf-8"))
    return {kind: {name: Card(*card) for name, card in table.items()} for kind, table in found.items()}


def list_parts(cards: Cards, kind: str | None = None) -> str:
    """List the parts of one kind with a line each, or the names of all kinds.

    Raises:
        ConfigError: there is no such kind.
    """
    if kind is None:
        blocks = [_filled(f"{name}: ", ", ".join(sorted(table))) for name, table in cards.items()]
        return "\n".join([*blocks, "", "deepprinciples list KIND tells a line about each."])
    table = cards[_kind(cards, kind)]
    width = max((len(name) for name in table), default=0) + 2
    return "\n".join(_filled(name.ljust(width), card.summary) for name, card in sorted(table.items()))


def card(cards: Cards, kind: str, name: str) -> str:
    """Return the card of one part.

    Args:
        cards: kind -> name -> card.
        kind: such as "model"; the plural is understood too.
        name: such as "mlp".

    Raises:
        ConfigError: there is no such kind or part.
    """
    kind = _kind(cards, kind)
    if name not in cards[kind]:
        names = ", ".join(sorted(cards[kind]))
        guess = suggestion(name, cards[kind])
        raise ConfigError(f"show: no {singular(kind)} {quoted(name)}{guess} ({plural(kind)}: {names})")
    return cards[kind][name].text


def _text(kind: str, name: str, factory: Callable[..., Any]) -> str:
    text = parsed(factory)
    lines = [f"{name} ({singular(kind)})", "", _filled("", text["summary"])]
    if text["body"]:
        lines += ["", _wrapped(text["body"])]
    known = fields(factory)
    if known:
        lines += ["", "Hyper-parameters (s = can be swept):"]
        described = arguments(text["Args"])
        lines += [_row(field, described.get(field.name, ""), neutral_of(factory)) for field in known.values()]
    text["Descent"] = descent_of(factory)
    for heading, title in SECTIONS.items():
        if text[heading]:
            words = " ".join(text[heading].split()) if heading in _PROSE else text[heading]
            lines += ["", f"{title}:", _wrapped(words)]
    return "\n".join(lines)


def kind_of(cards: Cards, name: str) -> str:
    """Return the kind that has a part of this name.

    Raises:
        ConfigError: no kind has one, or several have.
    """
    kinds = [kind for kind, table in cards.items() if name in table]
    if len(kinds) == 1:
        return kinds[0]
    if kinds:
        ways = " or ".join(f"deepprinciples show {kind} {name}" for kind in kinds)
        raise ConfigError(f"show: {quoted(name)} is a part of {len(kinds)} kinds; give the kind too: {ways}")
    every = {one for table in cards.values() for one in table}
    raise ConfigError(f"show: no part {quoted(name)}{suggestion(name, every)}; deepprinciples list shows all of them")


def _kind(cards: Cards, kind: str) -> str:
    for known in cards:
        if kind in (known, singular(known), plural(known)):
            return known
    raise ConfigError(f"no kind {quoted(kind)}{suggestion(kind, cards)} (kinds: {', '.join(cards)})")


def neutral_of(factory: Callable[..., Any]) -> Mapping[str, float]:
    """Return the values that switch a part off, keyword -> value; empty where there are none."""
    return getattr(factory, "neutral", {})


def descent_of(factory: Callable[..., Any]) -> str:
    """Return how fast an optimizer goes down two known functions, in words; empty for other parts."""
    found = getattr(factory, "descent", {})
    takes_rate = "learning_rate" in inspect.signature(factory).parameters
    at = lambda rate: f" at learning_rate {value_of(rate)}" if takes_rate else ""
    named = {"parabola": "a parabola", "rosenbrock": "Rosenbrock's valley"}
    return "; ".join(f"{named[task]} {steps:,}{at(rate)}" for task, (rate, steps) in found.items())


def _row(field: Field, described: str, neutral: Mapping[str, float]) -> str:
    mark = "s" if field.sweepable else " "
    default = "required" if field.default is REQUIRED else f"= {value_of(field.default)}"
    head = f"  {mark} {field.name}: {type_of(field)} {default}"
    notes = [f"neutral {value_of(neutral[field.name])}"] if field.name in neutral else []
    if field.interval:
        notes.append(f"in {field.interval}")
    head += f"  ({'; '.join(notes)})" if notes else ""
    head = textwrap.fill(head, _WIDTH, subsequent_indent=" " * 6)
    return "\n".join(
        [head, textwrap.fill(unmarked(described), _WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)]
    ).rstrip()


def unmarked(described: str) -> str:
    """Take the marks out of what a docstring tells of a hyper-parameter; they are shown apart."""
    return re.sub(r"\s*\*(Sweepable|Neutral)[^*]*\*\.?", "", described).strip()


def value_of(value: Any) -> str:
    """Write a value as a config would."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(value_of(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {value_of(item)}" for key, item in value.items()) + " }"
    return "none" if value is None else str(getattr(value, "__name__", value))


def type_of(field: Field) -> str:
    """Name the type of a hyper-parameter in a person's words."""
    if field.kind:
        return singular(field.kind)
    if field.sweepable or field.hint is float:
        return "number"
    if get_origin(field.hint) is Literal:
        return " | ".join(str(choice) for choice in get_args(field.hint))
    words = {int: "whole number", bool: "true | false", str: "text"}
    return words.get(field.hint) or ("list" if get_origin(field.hint) is tuple else "any")


def _filled(head: str, text: str) -> str:
    return textwrap.fill(text or "-", _WIDTH, initial_indent=head, subsequent_indent=" " * len(head))


def _wrapped(text: str) -> str:
    """Fit text into the width; only a line too long for it is joined with the next, so that formulas keep shape."""
    lines: list[str] = []
    joins = False
    for line in text.splitlines():
        if joins and line and not re.match(r"\s|\w+:", line):
            lines[-1] += " " + line
        else:
            lines.append(line)
        joins = len(line) > _WIDTH - 2
    filled = [_hung(line) or [""] for line in lines]
    return "\n".join(("  " + piece).rstrip() for pieces in filled for piece in pieces)


def _hung(line: str) -> list[str]:
    indent = " " * (len(line) - len(line.lstrip()))
    return textwrap.wrap(line, _WIDTH - 2, subsequent_indent=indent + ("    " if re.match(r"\s*\w+: ", line) else ""))


def parsed(factory: Callable[..., Any]) -> dict[str, str]:
    """Cut a docstring into summary, body and its headed parts; what is absent is empty."""
    parts: dict[str, list[str]] = {name: [] for name in ("summary", "body", "Args", *SECTIONS)}
    here = "summary"
    for line in (inspect.getdoc(factory) or "").splitlines():
        heading = _HEADING.fullmatch(line)
        if heading:
            here = "References" if heading[1] == "Reference" else heading[1]
            if heading[2]:
                parts.setdefault(here, []).append(heading[2])
        elif here == "summary" and not line.strip():
            here = "body"
        else:
            parts.setdefault(here, []).append(line)
    return {name: textwrap.dedent("\n".join(lines)).strip() for name, lines in parts.items()}


def arguments(text: str) -> dict[str, str]:
    """Read `name: words` entries; further lines of an entry are indented."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in text.splitlines():
        match = re.match(r"(\w+(?:, \w+)*)(?: \([^)]*\))?: ?(.*)", line)
        if match and not line.startswith(" "):
            names = match[1].split(", ")
            found.update(dict.fromkeys(names, match[2]))
        else:
            for name in names:
                found[name] = f"{found[name]} {line.strip()}"
    return found
