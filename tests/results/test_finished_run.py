"""A finished run in Python: tables that are tidy, figures by name, and how it shows itself."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

import deepprinciples as dp
from deepprinciples.runs import arrays, directory


def test_a_row_for_every_arm_and_seed(study: Any) -> None:
    """Lost: scores beside the settings that they were made with."""
    table = study.to_dataframe()
    found = study.results
    assert list(table.columns[:5]) == ["arm", "seed", "block", "accuracy", "loss"] and len(table) == found.score.size
    for row in table.itertuples():
        one = found.sel(arm=row.arm, seed=row.seed)
        assert (row.accuracy, row.loss, row.diverged_at) == (one.score, one.test_loss, one.diverged_at)
        trial = int(found.chosen_trial.sel(arm=row.arm, search=row.block))
        chosen = float(found.tuning_point.sel(arm=row.arm, search=row.block, trial=trial).squeeze())
        assert table.loc[row.Index, "optimizer.learning_rate"] == chosen


def test_a_row_for_every_trial(study: Any) -> None:
    """Lost: what the searches saw, beside what they chose."""
    table, found = study.trials(), study.results
    assert len(table) == found.tuning_score.size == 3 * 7 * 3 * 2
    assert table.groupby(["arm", "search"]).chosen.sum().eq(2).all()  # one trial, on two tuning seeds
    row = table.iloc[40]
    one = found.sel(arm=row.arm, search=row.search, trial=row.trial)
    assert row.score == one.tuning_score[row.replicate]
    assert row["optimizer.learning_rate"] == one.tuning_point.squeeze()
    assert list(dict.fromkeys(table.arm)) == ["plain", "clipping", "tanh"]


def test_without_tuning_there_are_no_trials(small: Any, tmp_path: Any) -> None:
    """Lost: a table of nothing, in place of an error; or a run of train without a table."""
    run = dp.train(small(**{"train.steps": 3, "train.seeds": 2}), tmp_path / "run")
    assert len(run.trials()) == 0 and "score" in run.trials()
    assert run.to_dataframe().arm.tolist() == ["run", "run"]


def test_figures_have_names(study: Any, tmp_path: Any) -> None:
    """Lost: a figure of the report for a talk or a paper."""
    assert {"curves", "validation", "train_loss", "forest", "gradient_norm"} <= set(dir(study.plot))
    assert isinstance(study.plot.curves(), Figure) and isinstance(study.plot.forest(), Figure)
    assert not (study.path / "figures").exists()
    study.report(tmp_path / "report.html", figures=True)
    written = {file.stem.replace("-", "_") for file in (tmp_path / "figures").glob("*.svg")}
    assert written == set(dir(study.plot)) - {"curves"}
    with pytest.raises(AttributeError, match="no figure 'nonsense' of this run; it has forest, "):
        study.plot.nonsense()
    assert not hasattr(study.plot, "_repr_mimebundle_")


def test_a_notebook_shows_the_verdict(study: Any) -> None:
    """Lost: the verdict where most people read it; or the style of everything else on the page."""
    html = study._repr_html_()
    assert study.summary["headline"].split(":")[0] in html and html.count('<img src="data:image/svg+xml;base64,') == 2
    assert "<script" not in html and html.count("src=") == 2
    style, _, body = html.partition("</style>")
    assert style.startswith("<style>.deepprinciples-run {") and style.strip().endswith("}")
    assert style.count("{") == style.count("}") and ":root" not in style and "body {" not in style.replace("tbody", "")
    ElementTree.fromstring(body.strip().replace("&nbsp;", " "))  # whole elements: nothing leaks


def test_a_run_prints_its_verdict(study: Any) -> None:
    """Lost: a prompt that fills with the text of a config."""
    assert repr(study) == f"Run({str(study.path)!r}): {study.summary['headline']}"


def test_methods_are_ranked_over_tasks(study: Any) -> None:
    """Lost: what several comparisons say together; ranks are those of the means, whichever direction is better."""
    other = study._replace(summary={**study.summary, "direction": "min"})
    found = dp.rank([study, study])
    means = [row["mean"] for row in study.summary["arms"]]
    np.testing.assert_array_equal(np.argsort(found.ranks), np.argsort([-mean for mean in means]))
    assert dp.rank([study, other]).ranks.tolist() == [2.0, 2.0, 2.0] and found.distance > 2
    assert str(found).startswith("Friedman over 2 tasks: p = ")
    assert isinstance(found.diagram().figure, Figure)
    arms = study.summary["arms"]
    fewer = study._replace(summary={**study.summary, "arms": arms[:2]})
    with pytest.raises(dp.errors.DataError, match="runs: found arms plain, clipping and plain, clipping, tanh"):
        dp.rank([study, fewer])


def test_a_report_without_a_path_is_that_of_the_run(study: Any) -> None:
    """Lost: `run.report()`, which is what a reader types first."""
    before = (study.path / "report.html").read_bytes()
    (study.path / "report.html").unlink()
    assert study.report() == study.path / "report.html" and study.path.joinpath("report.html").read_bytes() == before


def test_a_loop_over_results_reads_the_file_once(study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: seconds in every cell of a notebook; or the numbers of a run, to whoever changes what was read."""
    reads = []
    read = arrays.load_dataset
    monkeypatch.setattr(arrays, "load_dataset", lambda *given: reads.append(given) or read(*given))
    directory._results.cache_clear()
    before = study.results.score.values.copy()
    for _ in range(3):
        study.results.score[:] = -1.0
    np.testing.assert_array_equal(study.results.score, before)
    assert len(reads) == 1
