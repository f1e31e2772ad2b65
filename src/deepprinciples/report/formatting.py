"""Words and numbers as a reader sees them: one place that cleans, shortens and formats.

Everything the report shows passes through here, because names, titles and configs may come from anybody. Layout
and color do not belong here.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.cells import cell_len, set_cell_size

NOTHING = "–"
_MINUS = "\u2212"
_JOINERS = "\u200c\u200d"  # inside emoji and Persian words; harmless


def clean(value: Any, *, lines: bool = False) -> str:
    """Return the value as text without control, direction or surrogate characters.

    Terminal escapes, direction overrides and characters that XML forbids are dropped; white space becomes a blank.

    Args:
      value: anything; None becomes "".
      lines: keep line breaks and tabs (for a command or a config).

    Returns:
      Text that is safe to print in a terminal, but not yet escaped for HTML.
    """
    text = "" if value is None else str(value)
    if text.isprintable():  # most are, and figures are long
        return text
    return "".join(kept for kept in (_keep(char, lines) for char in text) if kept)


def _keep(char: str, lines: bool) -> str:
    if char in "\n\t":
        return char if lines else " "
    if char in "\u2028\u2029":
        return " "
    category = unicodedata.category(char)
    if category in ("Cc", "Cs") or (category == "Cf" and char not in _JOINERS):
        return ""
    return "" if ord(char) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(char) <= 0xFDEF else char


def name(value: Any) -> str:
    """Return a cleaned name on one line; "(unnamed)" where nothing is left."""
    return clean(value).strip() or "(unnamed)"


def shorten(value: Any, width: int) -> str:
    """Return a name of at most `width` columns; the middle is cut, because names often differ at their end."""
    text, tail = name(value), (width - 1) // 3
    if cell_len(text) <= width:
        return text
    head = set_cell_size(text, width - 1 - tail).rstrip()
    return head + "…" + set_cell_size(text[::-1], tail)[::-1].lstrip()


def finite(value: Any) -> float | None:
    """Return the value as a finite float, or None where it is not one."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, int) and value.bit_length() > 1023:  # a file may hold whole numbers that no float can
        return None
    return float(value) if math.isfinite(value) else None


def pair(value: Any) -> tuple[float, float] | None:
    """Return an interval as two finite floats, or None where it is not one."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        return None
    low, high = finite(value[0]), finite(value[1])
    return None if low is None or high is None else (low, high)


def number(value: Any, digits: int = 4) -> str:
    """Return a number with `digits` significant digits; other values as cleaned text."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        if math.isnan(value):
            return NOTHING
        text = f"{value:.{digits}g}"
        mantissa, _, exponent = text.partition("e")
        return f"{mantissa}e{int(exponent)}".replace("-", _MINUS) if exponent else text.replace("-", _MINUS)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(number(item, digits) for item in value) + "]"
    return name(value)


def _decimals(low: float, high: float) -> int | None:
    # Two significant digits of the half-width: more would be noise, less would hide a bound that touches zero.
    half = abs(high - low) / 2
    if half == 0 or max(abs(low), abs(high)) >= 1e5 or half < 1e-6:
        return None
    return min(6, max(0, 1 - math.floor(math.log10(half))))


def decimals(intervals: Iterable[Any]) -> int | None:
    """Return the decimals that suit a whole column of intervals, or None where none does."""
    found = [_decimals(*ends) for interval in intervals if (ends := pair(interval)) is not None and ends[0] != ends[1]]
    return max((places for places in found if places is not None), default=None) if None not in found else None


def estimate(value: Any, interval: Any = None, *, signed: bool = False, places: int | None = None) -> str:
    """Return a number with as many decimals as asked or as its interval deserves, with a sign where asked."""
    point, ends = finite(value), pair(interval)
    if point is None:
        return NOTHING
    if places is None and ends is not None:
        places = _decimals(*ends)
    text = number(point) if places is None else f"{point:.{places}f}".replace("-", _MINUS)
    return "+" + text if signed and point > 0 else text


def bounds(interval: Any, *, signed: bool = False, places: int | None = None) -> str:
    """Return an interval as "[low, high]" with sensible decimals."""
    ends = pair(interval)
    if ends is None:
        return NOTHING
    return "[" + ", ".join(estimate(end, interval, signed=signed, places=places) for end in ends) + "]"


def probability(value: Any) -> str:
    """Return a p-value with four decimals, or "< 0.0001"."""
    point = finite(value)
    if point is None:
        return NOTHING
    return "< 0.0001" if point < 1e-4 else f"{point:.4f}" if point < 0.1 else f"{point:.2f}"


def percent(value: Any) -> str:
    """Return a share in [0, 1] as percent."""
    point = finite(value)
    return NOTHING if point is None else f"{100 * point:.3g} %"


def sizes(summary: Mapping[str, Any]) -> list[str]:
    """Return which of parameters, bytes and multiply-adds differ between the models of the arms."""
    held = [table(row.get("size")) for row in rows(summary.get("arms"))]
    keys = ("parameters", "bytes", "multiply_adds")
    return [key for key in keys if len({finite(one.get(key)) for one in held} - {None}) > 1]


def whole(value: Any) -> str:
    """Return a count with its thousands apart."""
    point = finite(value)
    return NOTHING if point is None else f"{round(point):,}"


def duration(seconds: Any) -> str:
    """Return seconds as "0.42 s", "12 s", "3 min 20 s" or "2 h 5 min"."""
    point = finite(seconds)
    if point is None or point < 0:
        return NOTHING
    if point < 9.95:
        return f"{point:.2g} s"
    whole = round(point)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(point / 60)
    return f"{minutes // 60} h {minutes % 60} min"


def settings(values: Any, *, short: bool = False) -> str:
    """Return {path: value} as "path = value, ..."; `short` keeps the last word of a path where that is unambiguous."""
    if not isinstance(values, Mapping) or not values:
        return NOTHING
    words = last_words(values) if short else values
    return ", ".join(f"{name(word)} = {setting(value)}" for word, value in zip(words, values.values(), strict=True))


def last_words(paths: Iterable[Any]) -> list[str]:
    """Return the last word of each path, or the whole paths where two of them end alike."""
    whole = [str(path) for path in paths]
    last = [path.rsplit(".", 1)[-1] for path in whole]
    return last if len(set(last)) == len(last) else whole


def setting(value: Any) -> str:
    """Return one config value in a compact form, tables as {key = value}."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name(key)} = {setting(item)}" for key, item in value.items()) + "}"
    return number(value)


def rows(value: Any) -> list[Mapping[str, Any]]:
    """Return a list of dicts from a summary field that may be None, absent or of the wrong shape."""
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, (list, tuple)) else []


def table(value: Any) -> Mapping[str, Any]:
    """Return a dict from a summary field that may be None, absent or of the wrong shape."""
    return value if isinstance(value, Mapping) else {}


def sentences(value: Any) -> list[str]:
    """Return a list of cleaned sentences from a summary field that may be None or one string."""
    if isinstance(value, str):
        return [name(value)]
    return [name(item) for item in value] if isinstance(value, (list, tuple)) else []


def series(row: Mapping[str, Any], *keys: str) -> list[tuple[float, ...]]:
    """Return lists of numbers that stand side by side in a summary, as rows; what is no number is left out."""
    held = [values for key in keys if isinstance(values := row.get(key), (list, tuple))]
    if len(held) < len(keys):
        return []
    numbers = [
        [number for value in values if (number := finite(value)) is not None] for values in zip(*held, strict=False)
    ]
    return [tuple(row) for row in numbers if len(row) == len(keys)]


def share(value: Any) -> str:
    """Return a share in [0, 1] as whole percent: more digits would be noise."""
    point = finite(value)
    return NOTHING if point is None else f"{100 * point:.0f} %"


def shares(interval: Any) -> str:
    """Return an interval of shares as "62 to 93 %"."""
    ends = pair(interval)
    return NOTHING if ends is None else f"{100 * ends[0]:.0f} to {share(ends[1])}"


def parameters(row: Mapping[str, Any]) -> str:
    """Return what each hyper-parameter explains alone, and what only their combination does; or why it is not known."""
    known = rows(row.get("parameters"))
    if not known:
        return name(row.get("note")) if row.get("note") else ""
    words = last_words(one.get("path") for one in known)
    largest = sorted(zip(known, words, strict=True), key=lambda pair: -(finite(pair[0].get("share")) or 0.0))
    alone = [f"{name(word)} {share(one.get('share'))} ({shares(one.get('interval'))})" for one, word in largest]
    note = [name(row.get("note"))] if row.get("note") else []
    return "; ".join([*alone, f"jointly {share(row.get('jointly'))}", *note])


def paste(tested: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return lines of TOML that tune every arm in the range that a range test found for it."""
    lines = []
    for row in tested:
        if row.get("tune"):
            alone = row.get("name") == "run" and len(tested) == 1
            lines += ["[study]" if alone else f"[arms.{_key(name(row.get('name')))}]", clean(row["tune"])]
    return lines


def _key(word: str) -> str:
    plain = word.isascii() and word.replace("-", "").replace("_", "").isalnum()
    return word if plain else '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def rate_cells(row: Mapping[str, Any]) -> list[str]:
    """Return the rates a range test found for an arm: of the steepest fall, lowest, where it breaks, to tune in."""
    places = [number(row.get(key), 2) for key in ("steepest", "lowest", "breaks")]
    return [*places, _span(row.get("breaks_range"), 2), _span([row.get("low"), row.get("high")], 4)]


def _span(ends: Any, digits: int) -> str:
    found = pair(ends)
    return NOTHING if found is None else f"{number(found[0], digits)} to {number(found[1], digits)}"
