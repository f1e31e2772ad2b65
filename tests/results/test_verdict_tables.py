"""The verdict table of a run for a paper, a page or a spreadsheet."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import pytest
from typer.testing import CliRunner

from deepprinciples.cli.main import app
from deepprinciples.errors import ConfigError
from deepprinciples.report import verdict_tables

HOSTILE = r"50% of A&B_{x}^2 ~ #1 $\input{/etc/passwd}$ | <b> `*`"
ROWS: list[dict[str, Any]] = [
    {"name": "plain", "n": 6, "diverged": 0, "mean": 0.91234, "interval": [0.9, 0.925]},
    {"name": HOSTILE, "n": 6, "diverged": 1, "mean": 0.85, "interval": [0.5, 0.9]},
    {"name": "[0.5em] star", "n": 6, "diverged": 0, "mean": None, "interval": [None, None]},
]
GAP = {"a": HOSTILE, "b": "plain", "difference": -0.06234, "interval": [-0.11, -0.0146], "p_adjusted": 0.00003}
SUMMARY: dict[str, Any] = {
    "metric": "top_k_accuracy",
    "protocol": {"confidence": 0.9},
    "arms": ROWS,
    "comparisons": [
        {**GAP, "verdict": "worse"},
        {**GAP, "a": "[0.5em] star", "b": HOSTILE, "p_adjusted": None, "verdict": "cannot be judged"},
    ],
}


def test_numbers_are_those_of_the_summary(study: Any) -> None:
    """Lost: a table in a paper that says what the run found; csv and pandas hold every digit."""
    frame, arms = study.table("pandas"), {row["name"]: row for row in study.summary["arms"]}
    compared = study.summary["comparisons"]
    assert frame.arm.tolist() == ["plain", "clipping", "tanh"] and frame.against.tolist() == ["", "plain", "plain"]
    for k, name in enumerate(frame.arm):
        assert [frame["mean"][k], frame.low[k], frame.high[k]] == [arms[name]["mean"], *arms[name]["interval"]]
    for k, row in enumerate(compared, 1):
        assert [frame.difference[k], frame.difference_low[k], frame.difference_high[k]] == [
            row["difference"], *row["interval"]
        ]  # fmt: skip
        assert (frame.p_adjusted[k], frame.verdict[k]) == (row["p_adjusted"], row["verdict"])
    lines = list(csv.DictReader(io.StringIO(study.table("csv"))))
    assert [float(line["mean"]) for line in lines] == frame["mean"].tolist()
    assert [float(line["p_adjusted"]) for line in lines[1:]] == [row["p_adjusted"] for row in compared]


def test_numbers_are_rounded_as_in_the_report() -> None:
    """Lost: as many digits as the intervals deserve, with the sign of a difference."""
    head, _, plain, worse, third = verdict_tables.markdown(SUMMARY).splitlines()
    assert head.startswith(
        r"| arm | mean top\_k\_accuracy | 90 % interval | compared with | difference | 90 % interval"
    )
    assert plain == "| plain | 0.912 | [0.900, 0.925] | – | – | – | – | – |"
    assert worse.endswith(r" | 0.850 | [0.500, 0.900] | plain | −0.062 | [−0.110, −0.015] | < 0.0001 | worse |")
    assert third.split(" | ")[1:3] == ["–", "–"] and third.endswith(" | – | cannot be judged |")


def test_what_breaks_a_page_of_latex_is_escaped() -> None:
    """Lost: a paper that compiles, whatever an arm is called; or a name that runs a command."""
    lines = verdict_tables.latex(SUMMARY).splitlines()
    assert lines[0] == r"\begin{tabular}{lrrlrrrl}" and lines[-1] == r"\end{tabular}"
    name = (
        r"50\% of A\&B\_\{x\}\textasciicircum{}2 \textasciitilde{} \#1 "
        r"\$\textbackslash{}input\{/etc/passwd\}\$ $|$ $<$b$>$ `*`"
    )
    assert (
        lines[5]
        == rf"{name} & 0.850 & [0.500, 0.900] & plain & $-$0.062 & [$-$0.110, $-$0.015] & $<$ 0.0001 & worse \\"
    )
    assert lines[6].startswith("{}[0.5em] star & -- & -- & 50")  # else LaTeX reads a length after \\
    rows = lines[2:3] + lines[4:-2]
    assert all(len(re.findall(r"(?<!\\)&", row)) == 7 and row.endswith(r" \\") for row in rows)
    assert "".join(lines).isascii()


def test_what_breaks_a_table_of_markdown_is_escaped() -> None:
    """Lost: the columns of a table; or a page into which the name of an arm puts a link or a tag."""
    table = verdict_tables.markdown(SUMMARY).splitlines()
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 9 for line in table)
    name = r"50% of A&amp;B\_{x}^2 \~ #1 \$\\input{/etc/passwd}\$ \| &lt;b&gt; \`\*\`"
    assert table[3].startswith(f"| {name} | ") and table[4].startswith("| &#91;0.5em] star | ")


def test_a_run_of_one_method_has_no_verdict(study: Any) -> None:
    """Lost: the mean and interval of `train`, beside columns of nothing."""
    alone = study._replace(summary={**study.summary, "arms": study.summary["arms"][:1], "comparisons": []})
    assert alone.table().splitlines()[0] == "| arm | mean accuracy | 95 % interval |"
    assert alone.table("latex").startswith("\\begin{tabular}{lrr}\n")
    with pytest.raises(ConfigError, match="form: found 'word', expected one of markdown, latex, csv, pandas"):
        study.table("word")
    with pytest.raises(ConfigError, match="is a run of lr-find, which has no verdict to tabulate"):
        study._replace(summary={**study.summary, "kind": "lr-find"}).table()


@pytest.mark.parametrize("form", ["markdown", "latex", "csv"])
def test_the_command_line_prints_the_table_alone(form: str, study: Any) -> None:
    """Lost: a table that can be written to a file by the shell."""
    done = CliRunner().invoke(app, ["report", str(study.path), "--table", form])
    assert (done.exit_code, done.output) == (0, study.table(form))
