"""Compare training methods as one compiled JAX program: many seeds, many settings, an honest verdict.

    import deepprinciples as dp
    run = dp.compare({"data": {"name": "digits"}, "model": {"name": "mlp"}, ..., "arms": {"plain": {}, ...}})
    run.summary["headline"], run.results, run.report("report.html")

Names are imported when they are first used, so that `import deepprinciples` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deepprinciples.runs.directory import load as load
    from deepprinciples.study.command import compare as compare
    from deepprinciples.study.command import extend as extend
    from deepprinciples.study.command import find_rate as find_rate
    from deepprinciples.study.command import resume as resume
    from deepprinciples.study.command import train as train
    from deepprinciples.study.exchange import export_parameters as export_parameters
    from deepprinciples.study.exchange import import_parameters as import_parameters
    from deepprinciples.study.probing import probe as probe
    from deepprinciples.study.replay import replay as replay

_HOMES = {
    "compare": "deepprinciples.study.command",
    "train": "deepprinciples.study.command",
    "extend": "deepprinciples.study.command",
    "find_rate": "deepprinciples.study.command",
    "resume": "deepprinciples.study.command",
    "probe": "deepprinciples.study.probing",
    "replay": "deepprinciples.study.replay",
    "load": "deepprinciples.runs.directory",
    "export_parameters": "deepprinciples.study.exchange",
    "import_parameters": "deepprinciples.study.exchange",
    **dict.fromkeys(
        ("Info", "Learner", "Metric", "Model", "Objective", "Scalar", "State", "traits"), "deepprinciples.types"
    ),
}
_ROOMS = frozenset({"config", "errors", "parts", "report", "runs", "study", "engine", "types"})
__all__ = [
    "compare", "export_parameters", "extend", "find_rate", "import_parameters", "load", "probe", "replay", "resume",
    "train",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _ROOMS:
        return importlib.import_module(f"deepprinciples.{name}")
    raise AttributeError(f"module 'deepprinciples' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
