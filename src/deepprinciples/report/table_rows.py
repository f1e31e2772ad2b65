"""The page's tables as plain data: a title for each column and words for each cell, without any markup.

The templates turn them into HTML and escape every word. Numbers come with the summary; none are made here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from deepprinciples.report import formatting, search_text, selections
from deepprinciples.report.formatting import NOTHING

VERDICTS = ("better", "worse", "equivalent")  # those that say something have a color
_MOST = 24  # seeds named in a cell before "and k more"
_MODES = {"map": "one after another", "vmap": "side by side"}
_SHARES = ("search", "seed", "rest")
_ARM = ("arm", "text")


class Table(NamedTuple):
    """A table of the page.

    Attributes:
      label: what it holds, for those who cannot see it.
      head: (title, class) of each column; the class is "text", "short" or "".
      rows: cells, each a text, a list of names, a `Mark` or a `Bar`; the first of a row is a name or a list of names.
      keys: whether the titles after the second column are colors of a bar.
    """

    label: str
    head: Sequence[tuple[str, str]]
    rows: Sequence[Sequence[Any]]
    keys: bool = False


class Mark(NamedTuple):
    """A text, a colored word after it, and a small note in brackets."""

    text: str = ""
    word: str = ""
    kind: str = ""
    note: str = ""


class Bar(NamedTuple):
    """Shares of a whole, (name, share) each."""

    shares: list[tuple[str, float]]


def word(verdict: Any) -> Mark:
    """Return a verdict in words, with the class of its color."""
    known, conditional = search_text.verdict(verdict)
    kind = (known if known in VERDICTS else "other") + " soft" * conditional
    return Mark(word=formatting.name(verdict), kind=kind)


def strongest(summary: Mapping[str, Any]) -> str:
    """Return the color class of the headline: that of the first verdict that says something."""
    found = [search_text.verdict(row.get("verdict")) for row in formatting.rows(summary.get("comparisons"))]
    firm = next((known for known in VERDICTS if (known, False) in found), None)
    return firm or next((f"{known} soft" for known in VERDICTS if (known, True) in found), "other")


def confidence(summary: Mapping[str, Any]) -> str:
    """Return the confidence level as "95 %"."""
    level = formatting.finite(formatting.table(summary.get("protocol")).get("confidence"))
    return formatting.percent(0.95 if level is None else level)


def _mean(row: Mapping[str, Any], places: int | None) -> list[str]:
    interval = row.get("interval")
    mean = formatting.estimate(row.get("mean"), interval, places=places)
    return [mean, formatting.bounds(interval, places=places)]


def arms(summary: Mapping[str, Any]) -> Table:
    """Return the arms: mean, interval, diverged, tuned point, changes."""
    rows, body = formatting.rows(summary.get("arms")), []
    places = formatting.decimals(row.get("interval") for row in rows)
    for row in rows:
        share = formatting.pair(row.get("diverged_interval"))
        chance = f" ({' to '.join(map(formatting.percent, share))})" if share and row.get("diverged") else ""
        body.append([
            formatting.name(row.get("name")),
            *_mean(row, places),
            search_text.runs(row),
            formatting.number(row.get("diverged")) + chance,
            Mark(", ".join(search_text.tuned(row)) or NOTHING, "on the edge" * (row.get("on_edge") is True), "flag"),
            formatting.settings(row.get("changes")),
        ])  # fmt: skip
    head = [
        _ARM, (f"mean {formatting.name(summary.get('metric'))}", ""), (f"{confidence(summary)} interval", ""),
        ("seeds", ""), ("diverged", ""), ("tuned to", "text"), ("changes to the base", "text"),
    ]  # fmt: skip
    return Table("Arms", head, body)


def returns(summary: Mapping[str, Any]) -> Table:
    """Return the interquartile means of learners that act, and P(an arm's run beats one of another's)."""
    given = formatting.table(summary.get("returns"))
    rows, chances = formatting.rows(given.get("arms")), formatting.rows(given.get("improvement"))
    others = list(dict.fromkeys(str(row.get("b")) for row in chances))
    places, body = formatting.decimals(row.get("interval") for row in rows), []
    for row in rows:
        known = {str(one.get("b")): one for one in chances if one.get("a") == row.get("name")}
        cells = [known.get(other, {}) for other in others]
        interval = row.get("interval")
        body.append([
            formatting.name(row.get("name")),
            formatting.estimate(row.get("iqm"), interval, places=places),
            formatting.bounds(interval, places=places),
            *(_chance(one) for one in cells),
        ])  # fmt: skip
    head = [
        _ARM, ("interquartile mean", ""), (f"{confidence(summary)} interval", ""),
        *((f"P(better than {formatting.name(other)})", "") for other in others),
    ]  # fmt: skip
    return Table("Returns", head, body)


def _chance(row: Mapping[str, Any]) -> str:
    """Return a probability with its interval."""
    interval = row.get("interval")
    text = formatting.estimate(row.get("probability"), interval)
    return f"{text} {formatting.bounds(interval)}" if formatting.pair(interval) else text


def sizes(summary: Mapping[str, Any]) -> Table:
    """Return the sizes of the arms' models beside their means; no rows where all are alike."""
    keys, rows = formatting.sizes(summary), formatting.rows(summary.get("arms"))
    places = formatting.decimals(row.get("interval") for row in rows)
    body = [
        [formatting.name(row.get("name")), *(formatting.whole(formatting.table(row.get("size")).get(k)) for k in keys),
         *_mean(row, places)]
        for row in rows
    ]  # fmt: skip
    titles = {"parameters": "parameters", "bytes": "bytes", "multiply_adds": "multiply-adds an example"}
    head = [
        _ARM, *((titles[key], "") for key in keys), (f"mean {formatting.name(summary.get('metric'))}", ""),
        (f"{confidence(summary)} interval", ""),
    ]  # fmt: skip
    return Table("Sizes", head, body if keys else [])


def test_sets(summary: Mapping[str, Any]) -> Table:
    """Return the arms by test sets: means and intervals, those of the test split first."""
    sets = [{"name": "test split", "arms": summary.get("arms")}, *formatting.rows(summary.get("test_sets"))]
    columns = [formatting.rows(one.get("arms")) for one in sets]
    places = formatting.decimals(row.get("interval") for rows in columns for row in rows)
    body = [
        [formatting.name(rows[0].get("name")), *(" ".join(_mean(row, places)) for row in rows)]
        for rows in zip(*columns, strict=True)
    ]
    return Table("Further test sets", [_ARM, *((formatting.name(one.get("name")), "") for one in sets)], body)


def comparisons(summary: Mapping[str, Any]) -> Table:
    """Return the comparisons: difference, chance to win, p-values and the verdict in words."""
    rows, body = formatting.rows(summary.get("comparisons")), []
    places = formatting.decimals(row.get("interval") for row in rows)
    for row in rows:
        interval, chance, verdict = row.get("interval"), row.get("probability_interval"), word(row.get("verdict"))
        if row.get("meaningful") is False and search_text.verdict(row.get("verdict"))[0] in ("better", "worse"):
            verdict = verdict._replace(note="not shown to be meaningful")
        wins = formatting.estimate(row.get("probability"), chance)
        body.append([
            [formatting.name(row.get("a")), formatting.name(row.get("b"))],
            verdict,
            formatting.estimate(row.get("difference"), interval, signed=True, places=places),
            formatting.bounds(interval, signed=True, places=places),
            wins + (f" {formatting.bounds(chance)}" if formatting.pair(chance) else ""),
            *(formatting.probability(row.get(key)) for key in ("p", "p_adjusted")),
            search_text.pairs(row),
            *(formatting.number(row.get(key), 2) for key in ("correlation", "smallest_visible")),
        ])  # fmt: skip
    numbers = (
        "difference", f"{confidence(summary)} interval", "P(first wins)", "p", "p, Holm", "pairs of", "correlation",
        "smallest visible",
    )  # fmt: skip
    return Table("Comparisons", [("comparison", "text"), ("verdict", "short"), *((one, "") for one in numbers)], body)


def divergence(results: xr.Dataset) -> Table | None:
    """Return which seeds of which arm diverged, and at which step; None where that was not recorded."""
    at = selections.diverged(results)
    if at is None:
        return None
    seeds, names = selections.labels(results, "seed"), selections.labels(results, "arm")
    trials, blocks = _lost_trials(results), selections.take(results, "block", ("seed",))
    causes = selections.words(results, "diverged_by", ("arm", "seed"))
    body = []
    for arm, where in enumerate(at):
        lost = np.flatnonzero(np.isfinite(where))
        why = ["" if causes is None or not causes[arm, k] else f" ({formatting.name(causes[arm, k])})" for k in lost]
        which = [f"seed {formatting.name(seeds[k])} at step {int(where[k])}{w}" for k, w in zip(lost, why, strict=True)]
        more = [f"and {lost.size - _MOST} more"] if lost.size > _MOST else []
        failed, tried = trials[arm] if trials else (0, 0)
        if lost.size or failed:
            count = f"{lost.size} of {where.size}"
            if tried and lost.size and blocks is not None:
                count += f", in {len(set(blocks[lost]))} of {search_text.count(len(set(blocks)), 'search')}"
            tuning = f"{failed} of {tried}" if tried else NOTHING
            body.append([formatting.name(names[arm]), count, tuning, "; ".join([*which[:_MOST], *more]) or "none"])
    head = [_ARM, ("diverged seeds", ""), ("diverged tuning runs", ""), ("which, and when", "text")]
    return Table("What diverged", head, body)


def _lost_trials(results: xr.Dataset) -> list[tuple[int, int]]:
    """Return for each arm how many tuning runs diverged, and how many there were; empty where nothing was tuned."""
    at = selections.take(results, "tuning_diverged_at", ("arm", "search", "trial", "replicate"))
    points = selections.take(results, "tuning_point", ("arm", "search", "trial", "parameter"))
    if at is None or points is None:
        return []
    tried = np.isfinite(points).any(axis=3)  # searches that were extended have more trials than the others
    return [(int((one[made] >= 0).sum()), int(made.sum()) * one.shape[-1]) for one, made in zip(at, tried, strict=True)]


def programs(summary: Mapping[str, Any]) -> Table:
    """Return the compiled programs that a study ran as."""
    body = [
        [
            formatting.number(row.get("group")),
            [formatting.name(arm) for arm in row.get("arms") or []] or NOTHING,
            *(formatting.number(row.get(key)) for key in ("lanes", "width", "devices")),
            _MODES.get(str(row.get("mode")), NOTHING),
            f"{formatting.number(row['compiles'])} ×" if row.get("compiles") is not None else NOTHING,
            *(formatting.duration(row.get(key)) for key in ("compile_seconds", "run_seconds")),
        ]
        for row in formatting.rows(summary.get("programs"))
    ]
    head = [
        ("program", ""), ("arms", "text"), ("lanes", ""), ("width", ""), ("devices", ""), ("lanes run", "text"),
        ("compiled", ""), ("compiling", ""), ("running", ""),
    ]  # fmt: skip
    return Table("Compiled programs", head, body)


def layouts(summary: Mapping[str, Any]) -> list[str]:
    """Return the layouts that each program was measured in, a sentence each."""
    found = []
    for row in formatting.rows(summary.get("programs")):
        tried = [
            f"{_MODES.get(str(one.get('mode')), '?')}, {formatting.number(one.get('width'))} wide: "
            f"{formatting.number(one.get('ms_per_model_step'))} ms a model-step"
            for one in formatting.rows(row.get("measured"))
        ]
        group = formatting.number(row.get("group"))
        found += [f"Program {group} was measured in {len(tried)} shapes; {'; '.join(tried)}."] * bool(tried)
    return found


def rates(summary: Mapping[str, Any]) -> Table:
    """Return what a range test of learning rates saw of each arm."""
    titles = ("falls fastest", "is lowest", "breaks", "breaks, over seeds", "tune in")
    rows = [
        [formatting.name(row.get("name")), *formatting.rate_cells(row), formatting.clean(row.get("note"))]
        for row in formatting.rows(summary.get("rates"))
    ]
    return Table("Learning rates", [_ARM, *((title, "") for title in titles), ("note", "text")], rows)


def mapping(values: Any) -> Table:
    """Return a dict of words."""
    rows = [[formatting.name(key), formatting.setting(value)] for key, value in formatting.table(values).items()]
    return Table("Values", [("what", "text"), ("value", "text")], rows)


def promises(summary: Mapping[str, Any]) -> Table:
    """Return validation scores when a setting was chosen and with fresh seeds, of the arms that were tuned."""
    rows = [(row.get("name"), formatting.table(row.get("promise"))) for row in formatting.rows(summary.get("arms"))]
    places = formatting.decimals(one.get("interval") for _, one in rows if one)
    body = [
        [
            formatting.name(name),
            *(formatting.estimate(one.get(key), one.get("interval"), places=places) for key in ("promised", "fresh")),
            formatting.estimate(one.get("drop"), one.get("interval"), signed=True, places=places),
            formatting.bounds(one.get("interval"), signed=True, places=places),
            Mark("", "falls short" * (one.get("broken") is True), "flag"),
        ]
        for name, one in rows
        if one
    ]
    head = [_ARM, ("promised", ""), ("fresh", ""), ("drop", ""), (f"{confidence(summary)} interval", ""), ("", "short")]
    return Table("Promises", head, body)


def variance(summary: Mapping[str, Any]) -> Table:
    """Return where the spread of each arm's test scores comes from, of the arms where that is known."""
    body: list[list[Any]] = []
    for row in formatting.rows(summary.get("arms")):
        shares = {name: formatting.finite(formatting.table(row.get("variance")).get(name)) for name in _SHARES}
        if any(share is not None for share in shares.values()):
            bar = Bar([(name, min(1.0, max(0.0, share or 0.0))) for name, share in shares.items()])
            cells = [formatting.share(share) for share in shares.values()]
            if not search_text.in_searches(row):
                cells[0] = NOTHING  # an arm that was not tuned has no search to vary
            body.append([formatting.name(row.get("name")), bar, *cells])
    return Table("Shares of variance", [_ARM, ("", "short"), *((name, "") for name in _SHARES)], body, keys=True)


def importance(summary: Mapping[str, Any]) -> Table:
    """Return what the scores of the trials depend on, setting or seed; no rows where no arm has a number."""
    rows = formatting.rows(summary.get("importance"))
    known = any(row.get("setting") is not None or formatting.rows(row.get("parameters")) for row in rows)
    head = [
        _ARM, ("setting", ""), (f"{confidence(summary)} interval", ""), ("seed", ""),
        ("of what the setting decides", "text"),
    ]  # fmt: skip
    body = [
        [formatting.name(row.get("name")), formatting.share(row.get("setting")), formatting.shares(row.get("interval")),
         formatting.share(row.get("seed")), formatting.parameters(row)]
        for row in rows
    ]  # fmt: skip
    return Table("Importance", head, body if known else [])


def measures(results: xr.Dataset) -> list[Table]:
    """Return what probes measured at a single step: numbers of a whole net, then numbers of each layer."""
    whole = []
    for name in map(str, results.data_vars):
        values = selections.take(results, name, ("arm", "seed", "step"))
        if values is not None:
            held = values[np.isfinite(values)]
            whole.append([name.replace("_", " "), *map(_number, (np.median(held), held.min(), held.max()))])
    names = selections.labels(results, "layer")
    measured = [str(name) for name in results.data_vars if results[name].dims == ("arm", "seed", "step", "layer")]
    flat = [results[name].values.astype(float).reshape(-1, len(names)) for name in measured if names]
    columns = [selections.median(values, axis=0) for values in flat]
    layers = [[layer, *(_number(column[k]) for column in columns)] for k, layer in enumerate(names) if columns]
    head = [("measure", "text"), ("median over seeds", ""), ("least", ""), ("most", "")]
    by_layer = [("layer", "text"), *((name.replace("_", " "), "") for name in measured)]
    return [
        Table("Measures of the whole net", head, whole),
        Table("Measures of each layer, medians over seeds", by_layer, layers),
    ]


def _number(value: float) -> str:
    return formatting.number(float(value)) if np.isfinite(value) else NOTHING


def named(rows: Iterable[Mapping[str, Any]], key: str) -> list[str]:
    """Return the texts of a key, of the rows that have it."""
    return [formatting.name(row[key]) for row in rows if row.get(key) is not None]
