"""Metrics of a whole split, on the device and on the host, in a run that is stopped, resumed and extended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_runs import STUDY, stopped_at, told

import deepprinciples as dp
from deepprinciples.domains.registry import TABLES
from deepprinciples.study.plugins import add_parts

PLUGIN = '''
import numpy as np
from sklearn.metrics import f1_score
import deepprinciples as dp

def library_f1():
    """Leave F1 to scikit-learn, on the host."""
    def look(outputs, targets):
        return {"answer": outputs.argmax(-1), "label": targets}
    def compute(rows, weights):
        kept = weights > 0
        return f1_score(rows["label"][kept], rows["answer"][kept], average="macro")
    def per_class(rows, weights):
        kept = weights > 0
        return f1_score(rows["label"][kept], rows["answer"][kept], average=None, labels=[0, 1, 2])
    return dp.Metric(look, compute, per_class, reduce="gather", host=True)

library_f1.direction, library_f1.worst = "max", 0.0
TABLES = {"metric": {"library_f1": library_f1}}
'''


@pytest.fixture
def study(tmp_path: Path) -> Iterator[dict[str, Any]]:
    (tmp_path / "own.py").write_text(PLUGIN)
    add_parts(tmp_path / "own.py")
    arms = {name: STUDY["arms"][name] for name in ("plain", "momentum")}  # type: ignore[index]
    sets = {"whole": {"name": "wine", "part": "all"}}
    yield {**STUDY, "arms": arms, "test_sets": sets, "study": {
        **STUDY["study"], "metric": "library_f1", "also": ["roc_auc"], "searches": 3, "trials": 2, "tuning_seeds": 1,
    }, "metrics": {"ours": {"name": "f1", "average": "macro"}}}  # type: ignore[dict-item]  # fmt: skip
    del TABLES["metric"]["library_f1"]  # type: ignore[attr-defined]


def test_resumed_and_extended_to_the_same_bits(
    study: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: a preempted machine, or more seeds, would change a score that is computed on the host."""
    whole = dp.compare(study, tmp_path / "whole")
    found = whole.results
    np.testing.assert_allclose(found.test_ours, found.score, atol=1e-6)
    np.testing.assert_allclose(found.test_ours_per_class, found.test_library_f1_per_class, atol=1e-6)
    assert found.test_set_ours_per_class.dims == ("arm", "seed", "test_set", "class")
    for count in (1, 4):
        assert stopped_at(count, ("compare", study), tmp_path / str(count), monkeypatch)
        assert told(dp.resume(tmp_path / str(count)).path) == told(whole.path), count
    longer = dp.add_seeds(whole.path, 5, tmp_path / "longer").results
    assert longer.isel(seed=slice(3), search=slice(3)).identical(found)
