"""Compare training methods as one compiled JAX program: many seeds, many settings, an honest verdict.

    import deepprinciples as dp
    run = dp.compare({"data": {"name": "digits"}, "model": {"name": "mlp"}, ..., "arms": {"plain": {}, ...}})
    run.summary["headline"], run.results, run.to_dataframe(), run.plot.curves(), run.report("report.html")

Names are imported when they are first used, so that `import deepprinciples` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deepprinciples import parts as parts
    from deepprinciples import types as types
    from deepprinciples.learners.objective import minimize as minimize
    from deepprinciples.parts import style_transfer as style  # noqa: F401
    from deepprinciples.scripts import experiment as experiment
    from deepprinciples.scripts import load_config as load_config
    from deepprinciples.study import anomaly as anomaly
    from deepprinciples.study import stats as stats
    from deepprinciples.study import theory as theory
    from deepprinciples.study.across_tasks import rank as rank
    from deepprinciples.study.command import compare as compare
    from deepprinciples.study.command import extend as extend
    from deepprinciples.study.command import find_rate as find_rate
    from deepprinciples.study.command import resume as resume
    from deepprinciples.study.command import train as train
    from deepprinciples.study.exchange import export_parameters as export_parameters
    from deepprinciples.study.exchange import import_parameters as import_parameters
    from deepprinciples.study.finished_run import Run as Run
    from deepprinciples.study.finished_run import load as load
    from deepprinciples.study.judging import judge as judge
    from deepprinciples.study.probing import probe as probe
    from deepprinciples.study.protocol import Progress as Progress
    from deepprinciples.study.replay import replay as replay
    from deepprinciples.study.trained import load_model as load_model

_EXPORTS = {  # name -> the module that holds it
    "minimize": "deepprinciples.learners.objective",
    "experiment": "deepprinciples.scripts",
    "load_config": "deepprinciples.scripts",
    "rank": "deepprinciples.study.across_tasks",
    "compare": "deepprinciples.study.command",
    "train": "deepprinciples.study.command",
    "extend": "deepprinciples.study.command",
    "find_rate": "deepprinciples.study.command",
    "resume": "deepprinciples.study.command",
    "export_parameters": "deepprinciples.study.exchange",
    "import_parameters": "deepprinciples.study.exchange",
    **dict.fromkeys(
        ("Aux", "Info", "Learner", "Metric", "Model", "Objective", "Scalar", "State", "traits"), "deepprinciples.types"
    ),
    "Run": "deepprinciples.study.finished_run",
    "load": "deepprinciples.study.finished_run",
    "judge": "deepprinciples.study.judging",
    "probe": "deepprinciples.study.probing",
    "Progress": "deepprinciples.study.protocol",
    "replay": "deepprinciples.study.replay",
    "load_model": "deepprinciples.study.trained",
}
_MODULES = {
    "anomaly": "deepprinciples.study.anomaly",
    "stats": "deepprinciples.study.stats",
    "style": "deepprinciples.parts.style_transfer",
    "theory": "deepprinciples.study.theory",
}
_SUBMODULES = frozenset({"config", "errors", "parts", "report", "runs", "study", "engine", "types"})
__all__ = [*sorted({*_EXPORTS, *_MODULES, "errors", "parts", "types"})]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name == "parts":  # with all its kinds, so that dp.parts.models and the others are there
        importlib.import_module("deepprinciples.parts.tables")
    if name in _SUBMODULES:
        return importlib.import_module(f"deepprinciples.{name}")
    raise AttributeError(f"module 'deepprinciples' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
