"""What a study would run and could show, known before it costs anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from deepprinciples.cli.main import app
from deepprinciples.stats import planning
from deepprinciples.study import commands
from deepprinciples.study.planning import outline

CONFIG = """
data = {name = "wine", batch_size = 16}
model = {name = "mlp", depth = 1, width = 8}
loss = "softmax_cross_entropy"
optimizer = {name = "sgd", learning_rate = 0.1}
train.steps = 20
[study]
searches = 8
trials = 4
seeds = 2
tune = {"optimizer.learning_rate" = {low = 1e-3, high = 1.0, scale = "log"}}
[arms.plain]
[arms.clipped]
"transforms.clip_by_global_norm" = {}
[arms.tanh]
"model.activation" = "tanh"
"""


def test_the_command_plans_and_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: a night of runs that could never have shown anything, and a run directory for a question."""
    monkeypatch.chdir(tmp_path)
    Path("c.toml").write_text(CONFIG)
    done = CliRunner().invoke(app, ["compare", "c.toml", "--plan"])
    assert done.exit_code == 0, done.output
    assert done.output.splitlines() == [
        "3 arms in 2 programs: plain, clipped; tanh",
        "144 runs of 20 steps; for each tuned arm 8 searches of 4 trials x 1 seed, and 2 fresh seeds of what each "
        "search chose",
        "2 comparisons of 8 searches: the smallest p after Holm is 0.016; a difference of 1.3 standard deviations "
        "(between searches) is found 4 times in 5",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["c.toml"]
    few = CliRunner().invoke(app, ["compare", "c.toml", "--plan", "study.searches=6"])
    assert "2 comparisons of 6 searches: cannot be judged; 7 are needed (study.searches = 7)" in few.output
    one = CliRunner().invoke(app, ["compare", "c.toml", "--plan", "study.searches=1"])
    assert "no claim about the methods, only for the settings found; set study.searches = 7" in one.output


def test_a_plan_is_the_study(small) -> None:
    """Lost: a plan that counts other runs than those that are made."""
    lines = commands.plan(small())
    assert lines[1].startswith("147 runs of 20 steps"), "as test_the_cost_counts_every_lane has it"
    untuned = commands.plan(small(**{"study.tune": {}, "study.seeds": 6}))
    assert untuned[1] == "18 runs of 20 steps, 6 seeds of each arm; nothing is tuned"
    assert "2 comparisons of 6 seeds: cannot be judged; 7 are needed (study.seeds = 7)" in untuned[2]


def test_pairs_of_searches_and_of_seeds_have_a_line_each(small) -> None:
    """Lost: that two arms which nothing tunes are compared seed by seed, beside others that searched."""
    rate = {"optimizer.learning_rate": {"low": 1e-3, "high": 1.0, "scale": "log"}}
    arms = {"plain": {}, "clipped": {"transforms.clip_by_global_norm": {}}, "tuned": {"tune": rate}}
    lines = commands.plan(small(arms, **{"study.tune": {}, "study.searches": 8, "study.seeds": 3}))
    assert lines[2].startswith("1 comparison of 8 searches: the smallest p after Holm is 0.016")
    assert lines[3].startswith("1 comparison of 24 seeds: the smallest p after Holm is 2.4e-07") and len(lines) == 4


@pytest.mark.parametrize(("blocks", "comparisons", "p"), [(10, 1, 2 / 2**10), (8, 4, 4 * 2 / 2**8), (6, 3, 6 / 2**6)])
def test_the_smallest_p(blocks: int, comparisons: int, p: float) -> None:
    """Lost: whether so many blocks can show anything at all. The sign-flip test has 2^n patterns."""
    able = planning.can_show(blocks, comparisons)
    assert able["p"] == p and (p <= 0.05) == (blocks >= able["needed"])
    assert able["difference"] == planning.minimum_detectable(1.0, blocks, alpha=(1 - 0.95) / comparisons)
    assert planning.can_show(1, 1)["difference"] is None
    assert "30 searches" in outline.what_can_be_seen(30, 1, 1, 0.95, by_search=True)


def test_evaluations_that_move_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: why a curve has points at 150, 300, ... although `evaluate_every = 130` was asked."""
    monkeypatch.chdir(tmp_path)
    Path("c.toml").write_text(CONFIG)
    ask = ["compare", "c.toml", "--plan", "train.steps=400"]
    note = (
        "note: evaluated every 150 steps, not 130: evaluations follow probed steps, every 25 here (train.probe_every)"
    )
    assert CliRunner().invoke(app, [*ask, "train.evaluate_every=130"]).output.splitlines()[-1] == note
    assert "note:" not in CliRunner().invoke(app, [*ask, "train.evaluate_every=100"]).output
