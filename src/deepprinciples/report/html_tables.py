"""The page's tables and lists as HTML: arms, comparisons, what diverged, cost, versions.

Every function returns finished HTML; every value goes through `formatting.escape`. The page decides the order; tables
of searches are in `search_tables`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from deepprinciples.report import formatting, search_text, selections

VERDICTS = ("better", "worse", "equivalent")  # those that say something have a color
_MOST = 24  # seeds named in a cell before "and k more"


def person(value: Any) -> str:
    """Return a name that cannot turn the direction of what stands around it."""
    return f"<bdi>{formatting.escape(formatting.name(value))}</bdi>"


def word(verdict: Any) -> str:
    """Return a verdict in words, with the color of the word."""
    known, conditional = search_text.verdict(verdict)
    kind = (known if known in VERDICTS else "other") + " soft" * conditional
    return f'<span class="word {kind}">{formatting.escape(formatting.name(verdict))}</span>'


def grid(head: Sequence[tuple[str, str]], body: Iterable[Sequence[str]], caption: str) -> str:
    """Return a table that scrolls in its own box.

    Args:
      head: (title, class) of each column; the class is "text", "short" or "".
      body: rows of cells that are HTML already.
      caption: what the table holds, for those who cannot see it.
    """
    titles = "".join(f'<th scope="col"{_kind(kind)}>{formatting.escape(title)}</th>' for title, kind in head)
    lines = []
    for cells in body:
        first = f'<th scope="row"{_kind(head[0][1])}>{cells[0]}</th>'
        rest = "".join(f"<td{_kind(kind)}>{cell}</td>" for cell, (_, kind) in zip(cells[1:], head[1:], strict=True))
        lines.append(f"<tr>{first}{rest}</tr>")
    label = formatting.escape(caption)
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{label}"><table><thead><tr>{titles}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _kind(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def arms(summary: Mapping[str, Any]) -> str:
    """Return the table of arms: mean, interval, diverged, tuned point, changes."""
    rows = formatting.rows(summary.get("arms"))
    metric, level = formatting.name(summary.get("metric")), confidence(summary)
    places = formatting.decimals(row.get("interval") for row in rows)
    head = [
        ("arm", "text"), (f"mean {metric}", ""), (f"{level} interval", ""), ("seeds", ""), ("diverged", ""),
        ("tuned to", "text"), ("changes to the base", "text"),
    ]  # fmt: skip
    return grid(head, [_arm(row, places) for row in rows], "Arms")


def test_sets(summary: Mapping[str, Any]) -> str:
    """Return the table of arms by test sets: means and intervals, those of the test split first."""
    sets = [{"name": "test split", "arms": summary.get("arms")}, *formatting.rows(summary.get("test_sets"))]
    columns = [formatting.rows(one.get("arms")) for one in sets]
    places = formatting.decimals(row.get("interval") for rows in columns for row in rows)
    head = [("arm", "text"), *((formatting.name(one.get("name")), "") for one in sets)]
    mean = lambda row: formatting.estimate(row.get("mean"), row.get("interval"), places=places)
    told = lambda row: f"{mean(row)} {formatting.bounds(row.get('interval'), places=places)}"
    body = [
        [person(rows[0].get("name")), *(formatting.escape(told(row)) for row in rows)]
        for rows in zip(*columns, strict=True)
    ]
    return grid(head, body, "Further test sets")


def _arm(row: Mapping[str, Any], places: int | None) -> list[str]:
    edge = ' <span class="word flag">on the edge</span>' if row.get("on_edge") is True else ""
    share = formatting.pair(row.get("diverged_interval"))
    chance = (
        f" ({formatting.percent(share[0])} to {formatting.percent(share[1])})" if share and row.get("diverged") else ""
    )
    return [
        person(row.get("name")),
        formatting.escape(formatting.estimate(row.get("mean"), row.get("interval"), places=places)),
        formatting.escape(formatting.bounds(row.get("interval"), places=places)),
        formatting.escape(search_text.runs(row)),
        formatting.escape(formatting.number(row.get("diverged")) + chance),
        formatting.escape(", ".join(search_text.tuned(row)) or formatting.NOTHING) + edge,
        formatting.escape(formatting.settings(row.get("changes"))),
    ]


def comparisons(summary: Mapping[str, Any]) -> str:
    """Return the table of comparisons: difference, chance to win, p-values and the verdict in words."""
    level, rows = confidence(summary), formatting.rows(summary.get("comparisons"))
    places = formatting.decimals(row.get("interval") for row in rows)
    head = [
        ("comparison", "text"), ("verdict", "short"), ("difference", ""), (f"{level} interval", ""),
        ("P(first wins)", ""), ("p", ""), ("p, Holm", ""), ("pairs of", ""), ("correlation", ""),
        ("smallest visible", ""),
    ]  # fmt: skip
    return grid(head, [_comparison(row, places) for row in rows], "Comparisons")


def _comparison(row: Mapping[str, Any], places: int | None) -> list[str]:
    plain = [
        formatting.estimate(row.get("difference"), row.get("interval"), signed=True, places=places),
        formatting.bounds(row.get("interval"), signed=True, places=places),
        formatting.estimate(row.get("probability"), row.get("probability_interval"))
        + (f" {formatting.bounds(chance)}" if formatting.pair(chance := row.get("probability_interval")) else ""),
        formatting.probability(row.get("p")),
        formatting.probability(row.get("p_adjusted")),
        search_text.pairs(row),
        formatting.number(row.get("correlation"), 2),
        formatting.number(row.get("smallest_visible"), 2),
    ]
    note = ""
    if row.get("meaningful") is False and search_text.verdict(row.get("verdict"))[0] in ("better", "worse"):
        note = ' <span class="small">(not shown to be meaningful)</span>'
    names = f"{person(row.get('a'))} − {person(row.get('b'))}"
    return [names, word(row.get("verdict")) + note, *(formatting.escape(cell) for cell in plain)]


def confidence(summary: Mapping[str, Any]) -> str:
    """Return the confidence level as "95 %"."""
    level = formatting.finite(formatting.table(summary.get("protocol")).get("confidence"))
    return formatting.percent(0.95 if level is None else level)


def strongest(summary: Mapping[str, Any]) -> str:
    """Return the color class of the headline: that of the first verdict that says something."""
    found = [search_text.verdict(row.get("verdict")) for row in formatting.rows(summary.get("comparisons"))]
    firm = next((known for known in VERDICTS if (known, False) in found), None)
    return firm or next((f"{known} soft" for known in VERDICTS if (known, True) in found), "other")


def divergence(results: xr.Dataset) -> str:
    """Return which seeds of which arm diverged, and at which step."""
    at = selections.diverged(results)
    if at is None:
        return "<p>Divergence was not recorded.</p>"
    seeds, names = selections.labels(results, "seed"), selections.labels(results, "arm")
    lost_trials = _lost_trials(results)
    blocks = selections.take(results, "block", ("seed",))
    causes = selections.words(results, "diverged_by", ("arm", "seed"))
    body: list[list[str]] = []
    for arm, where in enumerate(at):
        lost = np.flatnonzero(np.isfinite(where))
        why = [
            f" ({formatting.name(causes[arm, seed])})" if causes is not None and causes[arm, seed] else ""
            for seed in lost
        ]
        told = "; ".join(
            f"seed {formatting.name(seeds[seed])} at step {int(where[seed])}{cause}"
            for seed, cause in zip(lost[:_MOST], why[:_MOST], strict=True)
        )
        more = f"; and {lost.size - _MOST} more" if lost.size > _MOST else ""
        failed, tried = lost_trials[arm] if lost_trials else (0, 0)
        trials = f"{failed} of {tried}" if tried else formatting.NOTHING
        if lost.size or failed:
            count = f"{lost.size} of {where.size}"
            if tried and lost.size and blocks is not None:
                count += f", in {len(set(blocks[lost]))} of {search_text.count(len(set(blocks)), 'search')}"
            body.append(
                [person(names[arm]), count, formatting.escape(trials), formatting.escape(told or "none") + more]
            )
    if not body:
        return "<p>Nothing diverged.</p>"
    head = [("arm", "text"), ("diverged seeds", ""), ("diverged tuning runs", ""), ("which, and when", "text")]
    words = (
        "A run whose loss became non-finite ended there and counts as the worst outcome; none was dropped. In brackets "
        "is what was bad first: init (the loss of the initial weights), data (a number in the minibatch), update "
        "(where the steps had led). deepprinciples replay shows the steps before."
    )
    return f"<p>{words}</p>" + grid(head, body, "What diverged")


def _lost_trials(results: xr.Dataset) -> list[tuple[int, int]]:
    """Return for each arm how many tuning runs diverged, and how many there were; empty where nothing was tuned."""
    at = selections.take(results, "tuning_diverged_at", ("arm", "search", "trial", "replicate"))
    points = selections.take(results, "tuning_point", ("arm", "search", "trial", "parameter"))
    if at is None or points is None:
        return []
    tried = np.isfinite(points).any(axis=3)  # searches that were extended have more trials than the others
    return [(int((one[made] >= 0).sum()), int(made.sum()) * one.shape[-1]) for one, made in zip(at, tried, strict=True)]


def cost(summary: Mapping[str, Any]) -> str:
    """Return what the study cost, and the compiled programs it ran as."""
    values = formatting.table(summary.get("cost"))
    told = {
        "model steps": formatting.number(values.get("model_steps")),
        "gradient evaluations": formatting.number(values.get("gradient_evaluations")),
        "time": formatting.duration(values.get("seconds")),
        "compiling": formatting.duration(values.get("compile_seconds")),
        "running": formatting.duration(values.get("run_seconds")),
        "share of probes": formatting.percent(values.get("probe_share")),
    }
    programs = formatting.rows(summary.get("programs"))
    if not programs:
        return facts(told)
    head = [
        ("program", ""), ("arms", "text"), ("lanes", ""), ("width", ""), ("devices", ""), ("lanes run", "text"),
        ("compiled", ""), ("compiling", ""), ("running", ""),
    ]  # fmt: skip
    table = grid(head, [_program(row) for row in programs], "Compiled programs")
    shapes = [line for row in programs if (line := _shapes(row))]
    return facts(told) + table + (bullets(shapes) if shapes else "")


def _shapes(row: Mapping[str, Any]) -> str:
    """Tell the shapes a program was measured in, in a sentence; empty where none was."""
    tried = [
        f"{_MODES.get(str(one.get('mode')), '?')}, {formatting.number(one.get('width'))} wide: "
        f"{formatting.number(one.get('ms_per_model_step'))} ms a model-step"
        for one in formatting.rows(row.get("measured"))
    ]
    if not tried:
        return ""
    return f"Program {formatting.number(row.get('group'))} was measured in {len(tried)} shapes; {'; '.join(tried)}."


_MODES = {"map": "one after another", "vmap": "side by side"}


def _program(row: Mapping[str, Any]) -> list[str]:
    count = row.get("compiles")
    return [
        formatting.escape(formatting.number(row.get("group"))),
        ", ".join(person(arm) for arm in row.get("arms") or []) or formatting.NOTHING,
        formatting.escape(formatting.number(row.get("lanes"))),
        formatting.escape(formatting.number(row.get("width"))),
        formatting.escape(formatting.number(row.get("devices"))),
        formatting.escape(_MODES.get(str(row.get("mode")), formatting.NOTHING)),
        formatting.escape(f"{formatting.number(count)} ×" if count is not None else formatting.NOTHING),
        formatting.escape(formatting.duration(row.get("compile_seconds"))),
        formatting.escape(formatting.duration(row.get("run_seconds"))),
    ]


def facts(values: Mapping[str, str]) -> str:
    """Return short facts as a list of words and values; those without a value are left out."""
    told = {key: value for key, value in values.items() if value and value != formatting.NOTHING}
    cells = "".join(
        f"<div><dt>{formatting.escape(key)}</dt><dd>{formatting.escape(value)}</dd></div>"
        for key, value in told.items()
    )
    return f'<dl class="facts">{cells}</dl>' if cells else "<p>Not recorded.</p>"


def bullets(lines: Iterable[str]) -> str:
    """Return sentences as a list."""
    return "<ul>" + "".join(f"<li>{formatting.escape(line)}</li>" for line in lines) + "</ul>"


def rates(summary: Mapping[str, Any]) -> str:
    """Return what a range test of learning rates saw of each arm."""
    head = [
        ("arm", "text"), ("falls fastest", ""), ("is lowest", ""), ("breaks", ""), ("breaks, over seeds", ""),
        ("tune in", ""), ("note", "text"),
    ]  # fmt: skip
    return grid(head, [_rate(row) for row in formatting.rows(summary.get("rates"))], "Learning rates")


def _rate(row: Mapping[str, Any]) -> list[str]:
    cells = [*formatting.rate_cells(row), formatting.name(row.get("note")) if row.get("note") else ""]
    return [person(row.get("name")), *(formatting.escape(cell) for cell in cells)]


def mapping(values: Any) -> str:
    """Return a dict of words as a small table."""
    told = formatting.table(values)
    if not told:
        return ""
    return grid([("what", "text"), ("value", "text")], [_entry(*item) for item in told.items()], "Values")


def _entry(key: Any, value: Any) -> list[str]:
    return [person(key), formatting.escape(formatting.setting(value))]
