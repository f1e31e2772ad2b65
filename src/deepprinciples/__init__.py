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
    from deepprinciples import stats as stats
    from deepprinciples import types as types
    from deepprinciples.analysis.exchange import export_parameters as export_parameters
    from deepprinciples.analysis.exchange import import_parameters as import_parameters
    from deepprinciples.analysis.probing import probe as probe
    from deepprinciples.analysis.rank import rank as rank
    from deepprinciples.analysis.replay import replay as replay
    from deepprinciples.analysis.tracking import track as track
    from deepprinciples.domains import anomaly as anomaly
    from deepprinciples.domains import detection as detection
    from deepprinciples.domains import driving as driving
    from deepprinciples.domains import speech as speech
    from deepprinciples.domains import theory as theory
    from deepprinciples.domains.control import Environment as Environment
    from deepprinciples.domains.style import transfer as style  # noqa: F401
    from deepprinciples.learners.objective import minimize as minimize
    from deepprinciples.results.finished_run import Run as Run
    from deepprinciples.results.finished_run import load as load
    from deepprinciples.results.trained_model import load_model as load_model
    from deepprinciples.scripts import experiment as experiment
    from deepprinciples.scripts import load_config as load_config
    from deepprinciples.stats.judging import judge as judge
    from deepprinciples.study.commands import add_seeds as add_seeds
    from deepprinciples.study.commands import compare as compare
    from deepprinciples.study.commands import lr_find as lr_find
    from deepprinciples.study.commands import resume as resume
    from deepprinciples.study.commands import train as train
    from deepprinciples.study.protocol import Progress as Progress
    from deepprinciples.types import Aux as Aux
    from deepprinciples.types import Info as Info
    from deepprinciples.types import Learner as Learner
    from deepprinciples.types import Metric as Metric
    from deepprinciples.types import Model as Model
    from deepprinciples.types import Objective as Objective
    from deepprinciples.types import Scalar as Scalar
    from deepprinciples.types import State as State
    from deepprinciples.types import traits as traits

    __version__: str

_HELD = {  # module -> the names that are taken from it
    "analysis.exchange": "export_parameters import_parameters",
    "analysis.probing": "probe",
    "analysis.rank": "rank",
    "analysis.replay": "replay",
    "analysis.tracking": "track",
    "domains.control": "Environment",
    "learners.objective": "minimize",
    "results.finished_run": "Run load",
    "results.trained_model": "load_model",
    "scripts": "experiment load_config",
    "stats.judging": "judge",
    "study.commands": "add_seeds compare lr_find resume train",
    "study.protocol": "Progress",
    "types": "Aux Info Learner Metric Model Objective Scalar State traits",
}
_EXPORTS = {name: f"deepprinciples.{module}" for module, names in _HELD.items() for name in names.split()}
_MODULES = {name: f"deepprinciples.domains.{name}" for name in ("anomaly", "detection", "driving", "speech", "theory")}
_MODULES |= {"stats": "deepprinciples.stats", "style": "deepprinciples.domains.style.transfer"}
_SUBMODULES = frozenset({"config", "errors", "parts", "report", "runs", "study", "engine", "types"})
__all__ = [*sorted({*_EXPORTS, *_MODULES, "errors", "parts", "types"})]


def _import(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("deepprinciples")
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name == "parts":  # with all its kinds, so that dp.parts.models and the others are there
        importlib.import_module("deepprinciples.parts.tables")
    if name in _SUBMODULES:
        return importlib.import_module(f"deepprinciples.{name}")
    raise AttributeError(f"module 'deepprinciples' has no attribute {name!r}")


if not TYPE_CHECKING:  # which would make every name there is
    __getattr__ = _import


def __dir__() -> list[str]:
    return sorted(__all__)
