"""The proof that the luck of the search is in the verdict, simulated and on wine; a part of `make science`."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import search_luck
from search_luck import SURFACES, Protocol

import deepprinciples as dp
from deepprinciples.stats import verdicts

Row = tuple[int, str, str, str, bool | None]
README = {
    "data": {"name": "wine", "batch_size": 16},
    "model": {"name": "mlp", "depth": 2, "width": 32},
    "loss": {"name": "softmax_cross_entropy"},
    "optimizer": {"name": "sgd", "momentum": 0.9},
    "study": {
        "metric": "accuracy",
        "tune": {"optimizer.learning_rate": {"low": 1e-3, "high": 1.0, "scale": "log"}},
    },
    "arms": {"plain": {}, "clipped": {"transforms.clip_by_global_norm": {"max_norm": 1.0}}},
}


def simulated(studies: int = 400) -> Iterator[Row]:
    """Measure false claims, coverage and power on response surfaces, most with a fragile region."""
    for name, surface in SURFACES.items():
        found = search_luck.rates(surface, Protocol(), studies=studies)
        yield 20, f"A/A, simulated, {name}: false claims", "6 % or less", f"{found.claims:.1%}", found.claims <= 0.06
        what = f"A/A, simulated, {name}: intervals that hold 0"
        yield 20, what, "93 % or more", f"{found.coverage:.1%}", found.coverage >= 0.93
        powers = {
            gain: search_luck.rates(surface, Protocol(), studies=studies, gain=gain) for gain in (0.01, 0.02, 0.04)
        }
        least = min(one.coverage for one in powers.values())
        what = f"simulated, {name}, gains of 0.01, 0.02, 0.04: intervals that hold the true difference"
        yield 20, what, "93 % or more", f"{least:.1%} or more", least >= 0.93
        told = ", ".join(f"{one.claims:.0%} at +{gain:g}" for gain, one in powers.items())
        yield 20, f"simulated, {name}: power of 10 searches x (8 trials + 3 seeds)", "", told, None
    others = (Protocol(1, 8, 3, 30), Protocol(1, 8, 10, 30), Protocol(6, 8, 1, 5), Protocol(10, 8, 2, 3))
    for protocol in others:
        found = search_luck.rates(SURFACES["fragile"], protocol, studies=studies)
        shape = f"{protocol.searches} x ({protocol.trials} trials x {protocol.tuning_seeds} + {protocol.seeds} seeds)"
        told = f"{found.claims:.1%} about the method, {found.conditional:.1%} for the settings found"
        yield 20, f"A/A, simulated, fragile, {shape}: differences claimed", "", told, None


def on_wine(studies: int = 40, steps: int = 300) -> Iterator[Row]:
    """Measure false claims on wine: the README's arms searched 20 times a study, half of it against the other half."""
    count = 20 * studies
    config: dict[str, Any] = {**README, "train": {"steps": steps, "probes": []}}
    config["study"] = {**README["study"], "searches": count}
    found = compared(config)
    seeds = found.sizes["seed"] // count
    scores = found.score.values.reshape(2, studies, 2, 10 * seeds)  # [arm, study, half, seed]
    lost = (found.diverged_at.values >= 0).reshape(scores.shape)
    blocks = np.repeat(np.arange(10), seeds).tolist()
    judge = {"pairs": [(1, 0)], "higher_is_better": True, "bound": 0.0, "blocks": blocks, "tuned": {"a", "b"}}
    for arm, name in enumerate(found.arm.values):
        held = [verdicts.compare(scores[arm, k], lost[arm, k], ["a", "b"], **judge)[0] for k in range(studies)]
        false = np.mean([row["verdict"] in ("better", "worse") for row in held])
        covered = np.mean([row["interval"][0] <= 0 <= row["interval"][1] for row in held])
        told = f"{false:.1%} of {studies} studies; {covered:.1%} of the intervals hold 0"
        yield 20, f"A/A on wine, {name} against itself: false claims", "6 % or less", told, bool(false <= 0.06)
    pairs = scores.reshape(2, 2 * studies, -1), lost.reshape(2, 2 * studies, -1)
    words = Counter(
        verdicts.compare(pairs[0][:, k], pairs[1][:, k], ["a", "b"], **judge)[0]["verdict"] for k in range(2 * studies)
    )
    told = ", ".join(f"{word} {number}" for word, number in words.most_common())
    yield 20, f"the README's comparison on wine, {2 * studies} studies: verdicts", "", told, None


def repeats(steps: int = 300) -> Iterator[Row]:
    """Repeat the README's config with seven values of train.seed: the verdict must be the same."""
    found = []
    for seed in range(0, 7000, 1000):
        with tempfile.TemporaryDirectory() as folder:
            config = {**README, "train": {"steps": steps, "seed": seed}}
            (row,) = dp.compare(config, Path(folder) / "run").summary["comparisons"]
            found.append((row["verdict"], row["p_adjusted"]))
    words = {word for word, _ in found}
    told = f"{', '.join(sorted(words))} (p from {min(p for _, p in found):.2g} to {max(p for _, p in found):.2g})"
    yield 20, "the README's first config, train.seed 0, 1000, ..., 6000", "one verdict", told, len(words) == 1


def compared(config: dict[str, Any]) -> Any:
    """Run a comparison and return its results."""
    with tempfile.TemporaryDirectory() as folder:
        return dp.compare(config, Path(folder) / "run").results.load()
