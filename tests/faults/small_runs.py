"""Small runs to stop, kill and replay: a study, a training and a game, each of some hundred steps in all."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

import deepprinciples as dp
from deepprinciples.errors import Stopped
from deepprinciples.runs import directory
from deepprinciples.study import progress_store

STUDY = {
    "title": "Small",
    "data": {"name": "wine", "batch_size": 16},
    "model": {"name": "mlp", "depth": 1, "width": 6},
    "loss": {"name": "softmax_cross_entropy"},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "train": {"steps": 20, "probes": ["gradient_norm"], "probe_every": 2, "checkpoint_seconds": 0,
              "parallel": "map"},
    "study": {
        "metric": "accuracy", "searches": 7, "trials": 3, "tuning_seeds": 2, "seeds": 1,
        "tune": {"optimizer.learning_rate": {"low": 1e-3, "high": 1.0, "scale": "log"}},
    },
    "arms": {"plain": {}, "momentum": {"optimizer.momentum": 0.5}, "tanh": {"model.activation": "tanh"}},
}  # fmt: skip
NET = {"model": {"name": "mlp", "depth": 1, "width": 4}, "optimizer": {"name": "adam", "learning_rate": 1e-2}}
GAME = {
    "data": {"name": "gaussian_ring", "size": 120, "batch_size": 8},
    "learner": {"name": "gan", "latent": 2, "average": 0.9, "snapshots": 5},
    "generator": NET,
    "discriminator": NET,
    "train": {"steps": 20, "seeds": 2, "probes": ["players"], "checkpoint_seconds": 0},
    "study": {"metric": "modes_covered"},
}
KINDS = {"compare": ("compare", STUDY), "train": ("train", STUDY), "game": ("train", GAME)}
TIMES = {"cost", "programs", "command"}


def told(path: Path) -> dict[str, Any]:
    """Give all that a run says, but for the times it took and the warning that it was resumed."""
    summary = json.loads((path / "summary.json").read_text())
    found = {name: (path / name).read_bytes() for name in ("results.nc", "metrics.jsonl", "config.toml")}
    if (path / "parameters.safetensors").exists():
        found["parameters"] = (path / "parameters.safetensors").read_bytes()
    return {**found, "summary": {key: value for key, value in summary.items() if key not in TIMES}}


def stopped_at(
    count: int, kind: str | tuple[str, dict[str, Any]], folder: Path, monkeypatch: pytest.MonkeyPatch, *,
    resume_hint: str = "deepprinciples resume {}",
) -> bool:  # fmt: skip
    """Run, and take a signal at the given look at the clock between two calls; tell whether it came to that."""
    command, config = KINDS[kind] if isinstance(kind, str) else kind
    looks = []

    def is_time(self: progress_store.ProgressStore) -> bool:
        looks.append(1)
        if len(looks) == count:
            self.stop.receive(signal.SIGTERM, None)
        return True

    with monkeypatch.context() as patch:
        patch.setattr(progress_store.ProgressStore, "_is_time", is_time)
        try:
            getattr(dp, command)(config, folder)
        except Stopped as stopped:
            assert str(stopped) == f"stopped by SIGTERM; go on with: {resume_hint.format(folder)}"
            assert directory.status(folder)["state"] == "stopped"
            return True
    return False
