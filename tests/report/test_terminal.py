"""The terminal shows the verdict to a person, and nothing a name hides reaches the terminal itself."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from deepprinciples.report import search_text, terminal, terminal_sections


def shown(summary, *, terminal_like=False, width=80, encoding="utf-8", tell=terminal.verdict_table):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, newline="")
    color = "standard" if terminal_like else "auto"
    console = Console(file=stream, width=width, force_terminal=terminal_like, color_system=color)
    tell(summary, console)
    stream.flush()
    return raw.getvalue().decode(encoding)


def test_the_tables_fit_80_columns_and_hold_every_arm_and_verdict(study):
    """Lost otherwise: the verdict cannot be read where it is first seen."""
    _, summary, _ = study(seeds=6, layers=2, steps=4)
    out = shown(summary)
    lines = out.splitlines()
    for row in summary["arms"]:
        assert row["name"] in out
    for row in summary["comparisons"]:
        assert row["verdict"] in out
    assert summary["headline"] in lines and f"warning: {summary['warnings'][0]}" in lines
    assert "on the edge" in out and "1 of 6" in out and "1 min 28 s" in out
    sentences = {summary["headline"], f"warning: {summary['warnings'][0]}", search_text.can_show(summary)}
    assert sentences <= set(lines)
    assert max(len(line) for line in lines if line not in sentences) <= 80
    assert "\x1b" not in out  # piped: no color


def test_escape_sequences_and_markup_are_inert(study):
    """Lost otherwise: a name from a file recolors the terminal, moves its cursor or sets its title."""
    bad = "\x1b]0;owned\x07\x1b[2J[red]x[/red]\x9b31m\u202e\r"
    _, summary, _ = study(arms=("one" + bad, "two" + bad), seeds=6, layers=2, steps=4)
    summary |= {"title": bad, "headline": bad + "head", "metric": "m" + bad, "warnings": [bad]}
    summary["comparisons"][0]["verdict"] = "better" + bad
    out = shown(summary)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", out)
    colored = shown(summary, terminal_like=True, width=200)
    assert "[red]x[/red]" in colored
    rest = re.sub(r"\x1b\[[0-9;]*m", "", colored)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", rest)
    assert "\x1b[31mx" not in colored


def test_ascii_terminals_are_served(study):
    """Lost otherwise: `LC_ALL=C` turns the end of a long study into a traceback."""
    _, summary, _ = study(arms=("größe", "漢字"), seeds=6, layers=2, steps=4)
    summary["comparisons"][0]["difference"] = -0.3
    assert "-0.30" in shown(summary, encoding="ascii")


@pytest.mark.parametrize("terminal_like", [True, False])
def test_missing_values_are_no_reason_to_fail(study, terminal_like):
    """Lost otherwise: a value that could not be made hides the whole verdict."""
    _, summary, _ = study(arms=("one", "two"), seeds=6, layers=2, steps=4)
    shown(dict.fromkeys(summary), terminal_like=terminal_like)
    for key in ("arms", "comparisons"):
        shown(summary | {key: [dict.fromkeys(row) for row in summary[key]]}, terminal_like=terminal_like)


def test_plain_progress_is_seldom_and_tells_the_time_left():
    """Lost otherwise: a log file fills with thousands of lines, or says nothing for hours."""
    now = [100.0]
    stream = io.StringIO()
    with terminal.Progress(Console(file=stream, width=80), clock=lambda: now[0]) as bar:
        for done in range(101):
            bar.update(done, 100, "tuning [bold]\x1b[1m plain")
            now[0] += 1.0
        bar.update(100, 100, "again")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 21 and lines[0].startswith("  0%") and lines[-1].startswith("100%")
    assert lines[5] == " 25%  1 min 15 s left  tuning [bold][1m plain"
    assert "left" not in lines[-1] and "\x1b" not in stream.getvalue()


def test_progress_survives_strange_counts():
    """Lost otherwise: an empty or resumed job divides by zero or shows a negative time."""
    stream = io.StringIO()
    now = [0.0]
    bar = terminal.Progress(Console(file=stream), clock=lambda: now[0])
    for done, total in ((0, 0), (5, 3), (-1, 4), (2, 4)):
        now[0] += 10
        bar.update(done, total)
    bar.close()
    assert "-" not in stream.getvalue()


def test_the_bar_shows_words_as_text():
    """Lost otherwise: a bar on a terminal reads markup in an arm's name."""
    stream = io.StringIO()
    console = Console(file=stream, width=100, force_terminal=True, color_system=None)
    now = [0.0]
    with terminal.Progress(console, clock=lambda: now[0]) as bar:
        bar.update(0, 10, "start")
        now[0] = 20.0
        bar.update(5, 10, "arm [red]x[/red]\x1b]0;owned\x07")
    out = stream.getvalue()
    assert "50%" in out and "20 s left, arm [red]x[/red]]0;owned" in out and "\x07" not in out


@pytest.mark.parametrize("name", terminal_sections.TABLE)
def test_the_sections_fit_80_columns_and_survive_what_is_missing(name, study):
    """Lost otherwise: `--show` wraps its table into pieces, or ends in a traceback after an hour of training."""
    _, summary, _ = study(seeds=6, layers=2, steps=4)
    out = shown(summary, tell=terminal_sections.TABLE[name])
    assert all(row["name"] in out for row in summary["arms"]) and "\x1b" not in out
    sentences = (terminal_sections.LUCK, terminal_sections.RANGE, "With ")
    assert max(len(line) for line in out.splitlines() if not line.startswith(sentences)) <= 80
    assert "did not keep" in shown({}, tell=terminal_sections.TABLE[name])
    assert "nothing was tuned" in shown({name: []} | {"budget": {"arms": []}}, tell=terminal_sections.TABLE[name])
    for broken in ([{}, {"parameters": 3, "setting": "x"}], {"arms": [{}, {"trials": [1], "expected": [2]}]}, 7):
        shown({name: broken, "metric": None}, tell=terminal_sections.TABLE[name])
    shown(summary, encoding="ascii", tell=terminal_sections.TABLE[name])
    _, summary, _ = study(arms=("plain", "clip_by_global_norm"), seeds=6, layers=2, steps=4)
    narrow = shown(summary, width=60, tell=terminal_sections.TABLE[name])
    assert "clip_by_global_norm " in narrow and max(len(x) for x in narrow.splitlines() if x.startswith(" ")) <= 60


def test_the_section_of_a_budget_says_who_leads(study):
    """Lost otherwise: which method to take for a small budget."""
    _, summary, _ = study(arms=("one", "two"), seeds=6, layers=2, steps=4)
    out = shown(summary, tell=terminal_sections.budget)
    assert "With 1 to 3 trials two leads." in out and "With 4 to 8 trials one, two are level." in out
    first = summary["budget"]["arms"][0]
    assert f"{first['expected'][0]:.4g} ± {first['spread'][0]:.2g}" in out
    (head,) = [line for line in out.splitlines() if line.startswith(" arm")]
    assert head.split() == ["arm", "1", "trial", "2", "trials", "4", "trials", "8", "trials"]


def test_a_range_test_prints_lines_to_paste(range_test):
    """Lost otherwise: a line that a narrow terminal broke in two, which no config takes."""
    _, summary, _ = range_test(arms=("plain", 'arm with a "name"'))
    for terminal_like in (False, True):
        out = shown(summary, terminal_like=terminal_like, width=60)
        plain = re.sub(r"\x1b\[[0-9;]*m", "", out)
        assert f"[arms.plain]\n{summary['rates'][0]['tune']}\n" in plain
        assert '[arms."arm with a \\"name\\""]\n' in plain
    summary["rates"] = [summary["rates"][0] | {"name": "run", "note": "nothing broke"}]
    out = shown(summary)
    assert f"[study]\n{summary['rates'][0]['tune']}\n" in out and "run: nothing broke" in out


@pytest.mark.parametrize("width", [60, 80, 100])
def test_the_verdict_stands_second_and_no_word_is_broken(width, study):
    """Lost otherwise: on a narrow terminal the verdict reads `bette`, and names break inside words."""
    arms = ("plain", "glorot", "clip_by_global_norm", "skip", "layer_norm", "adam", "longest of all the names")
    _, summary, _ = study(arms=arms, seeds=6, layers=2, steps=4)
    out = shown(summary, width=width)
    head, below = out.split("Comparisons (")
    assert below.splitlines()[2].split()[:2] == ["comparison", "verdict"]
    words = set(out.split())
    for row in summary["comparisons"]:
        assert set(f"{row['a']} {row['b']} {row['verdict']}".split()) <= words
    assert "learning_rate" in words and {"[+0.40,", "+0.63]"} <= words and "\u2026" not in out
    table = [line for line in out.splitlines() if line.startswith(" ")]
    assert max(map(len, table)) <= width
    assert "1 of 6" in head and "on the edge" in head


def test_a_narrower_terminal_still_gets_names_and_verdicts(study):
    """Lost otherwise: a small window ends a long study in a traceback or an empty table."""
    _, summary, _ = study(arms=("plain", "clip_by_global_norm"), seeds=6, layers=2, steps=4)
    shown(summary, width=1)
    for width in (30, 40):
        out = "".join(shown(summary, width=width).split())
        assert "Comparisons" in out and "better" in out and "glob" in out


def test_a_verdict_on_settings_is_softer(study):
    """Lost otherwise: "better" from three searches shines as green as one from thirty."""
    _, summary, _ = study(arms=("a", "b"), seeds=6, layers=2, steps=4)
    for verdict, code in (
        ("better", "32"), ("better for the settings found", "2;32"), ("worse for the settings found", "2;31"),
        ("cannot be judged", ""), ("no evidence for the settings found", ""),
    ):  # fmt: skip
        summary["comparisons"][0]["verdict"] = verdict
        out = shown(summary, terminal_like=True, width=120)
        assert (f"\x1b[{code}m{verdict}" if code else f" {verdict}") in out


def test_a_warning_is_called_so_once(study):
    """Lost otherwise: `warning: warning: ...`."""
    _, summary, _ = study(arms=("a", "b"), seeds=6, layers=2, steps=4)
    out = shown(summary | {"warnings": ["warning: one class only", "another"]})
    assert "warning: one class only" in out.splitlines() and "warning: another" in out.splitlines()


def test_a_note_is_no_warning(study):
    """Lost otherwise: what is harmless, such as float64 that became float32, worries a reader as a warning."""
    _, summary, _ = study(seeds=6, layers=2, steps=4)
    out = shown(summary | {"warnings": ["note: inputs: float64 values were narrowed to float32"]})
    assert "note: inputs: float64 values were narrowed to float32" in out.splitlines()
