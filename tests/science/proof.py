"""Train at real size what others have published numbers of, and write a page of it: python tests/science/proof.py PAGE.

Every run goes through `dp.train`, as a user's does. The page has every figure against its goal; a goal that was missed
stands there as missed, and the exit code is 1. What takes seconds is a test; see test_every_number.py.
"""

from __future__ import annotations

import datetime
import math
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import blocks_proof
import flax.linen as nn
import numpy as np

import deepprinciples as dp
from deepprinciples.kernels.convolution import convolve
from deepprinciples.parts.data import mnist1d
from deepprinciples.parts.initializers import pytorch_default
from deepprinciples.parts.layers.design import row
from deepprinciples.parts.models import adapters
from deepprinciples.runs.directory import fingerprint
from deepprinciples.types import Array, Model

DRAW = pytorch_default()


class Figure(NamedTuple):
    """What was measured: a value for each seed, as told in the page, and whether it holds; None where it is no goal."""

    number: int
    what: str
    goal: str
    found: str
    holds: bool | None


class SkipMlp(nn.Module):
    """The perceptron of the MNIST-1D paper (arXiv:2011.14439): h = relu(A x), then h + relu(B h), then C."""

    width: int
    outputs: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = x.reshape(len(x), -1)
        h = nn.relu(dense(self.width, x.shape[-1], "first")(x))
        h = h + nn.relu(dense(self.width, self.width, "second")(h))
        return dense(self.outputs, self.width, "third")(h)


class Cnn(nn.Module):
    """The convolutional network of that paper: three convolutions of stride 2, with 25 channels each."""

    outputs: int
    channels: int = 25

    @nn.compact
    def __call__(self, x: Array) -> Array:
        for number, window in enumerate((5, 3, 3)):
            bias = row(DRAW, window * x.shape[-1])
            name = f"convolution_{number}"
            how = {"kernel_init": DRAW, "bias_init": bias, "conv_general_dilated": convolve, "name": name}
            x = nn.relu(nn.Conv(self.channels, (window,), 2, padding=1, **how)(x))
        x = x.reshape(len(x), -1)
        return dense(self.outputs, x.shape[-1], "output")(x)


def dense(features: int, fan_in: int, name: str) -> nn.Dense:
    """Make a dense layer that starts as PyTorch's: kernel and bias from U(-1, 1) / sqrt(fan_in)."""
    return nn.Dense(features, kernel_init=DRAW, bias_init=row(DRAW, fan_in), name=name)


def skip_mlp(*, width: int = 100, outputs: int) -> Model:
    """Give the paper's perceptron to a config."""
    return adapters.linen(SkipMlp(width, outputs))


def paper_cnn(*, outputs: int) -> Model:
    """Give the paper's convolutional network to a config."""
    return adapters.linen(Cnn(outputs))


def signals(in_order: bool) -> dict[str, Any]:
    """Make the data section: all 4,000 training signals, in batches of 100, in the published order or shuffled."""
    train, test = mnist1d.generate()
    x, y = train.inputs[..., None].astype(np.float32), train.targets
    held = {"inputs": test.inputs[..., None].astype(np.float32), "targets": test.targets}
    held = {f"{part}_{key}": value for part in ("validation", "test") for key, value in held.items()}
    if in_order:
        return {"name": "stream", "batches": [(x[i : i + 100], y[i : i + 100]) for i in range(0, 4000, 100)], **held}
    return {"name": "arrays", "inputs": x, "targets": y, "batch_size": 100, "standardize": False, **held}


# title -> model section, and the band of its mean test accuracy
PUBLISHED: dict[str, tuple[dict[str, Any], float, float]] = {
    "skip-MLP 40-100-100-10": ({"factory": skip_mlp, "width": 100}, 0.625, 0.665),
    "skip-MLP 40-256-256-10": ({"factory": skip_mlp, "width": 256}, 0.66, 0.70),
    "CNN, 25 channels, kernels 5/3/3, stride 2": ({"factory": paper_cnn}, 0.92, 0.95),
}
NEAREST = {"name": "mlp", "width": 100, "skip": "residual", "initializer": "pytorch_default"}


def mnist_1d_configs() -> Iterator[tuple[str, dict[str, Any], tuple[float, float] | None]]:
    """Give the runs on MNIST-1D: title, config, and the band where there is one."""
    rest = {"loss": {"name": "softmax_cross_entropy"}, "optimizer": {"name": "adam", "learning_rate": 1e-2}}
    for title, (model, low, high) in PUBLISHED.items():
        yield f"{title}, in order", {"data": signals(True), "model": model, **rest}, (low, high)
    beside = {title: model for title, (model, *_) in PUBLISHED.items() if "100" in title}
    beside |= {'our mlp, skip = "residual", width 100': {**NEAREST, "bias_initializer": "pytorch_default"}}
    for title, model in beside.items():
        yield f"{title}, shuffled", {"data": signals(False), "model": model, **rest}, None


def adding_config(cell: str) -> dict[str, Any]:
    """Give the run on the adding problem: 60 steps, 32 units, Adam 3e-3, clipped at norm 1."""
    return {
        "data": {"name": "adding", "length": 60, "size": 50_000, "batch_size": 64},
        "model": {"name": cell, "width": 32},
        "loss": {"name": "mse"},
        "optimizer": {"name": "adam", "learning_rate": 3e-3},
        "transforms": {"clip_by_global_norm": {"max_norm": 1.0}},
        "study": {"metric": "mse"},
    }


def copying_config(delay: int) -> dict[str, Any]:
    """Give the run on the copy task: a tanh network of 32 units, Adam 3e-3, clipped at norm 1."""
    return {
        "data": {"name": "copy_memory", "delay": delay, "size": 20_000, "batch_size": 64},
        "model": {"name": "rnn", "width": 32, "readout": "every"},
        "loss": {"name": "softmax_cross_entropy"},
        "optimizer": {"name": "adam", "learning_rate": 3e-3},
        "transforms": {"clip_by_global_norm": {"max_norm": 1.0}},
        "study": {"metric": "cross_entropy"},
    }


def scores(config: Mapping[str, Any], steps: int, seeds: int) -> np.ndarray:
    """Train one method and judge it on the test split after its last step, [seeds]; a lane that diverged is NaN."""
    settings = {"steps": steps, "seeds": seeds, "probes": [], "evaluate_every": steps}
    with tempfile.TemporaryDirectory() as folder:
        found = dp.train({**config, "train": settings}, Path(folder) / "run").results
        return found.score.where(found.diverged_at < 0).sel(arm="run").values.astype(np.float64)


def mnist_1d(steps: int = 6000, seeds: int = 8) -> Iterator[Figure]:
    """Measure number 21: the accuracies of the paper's networks, by the mean over seeds."""
    for title, config, band in mnist_1d_configs():
        found = 100 * scores(config, steps, seeds)
        told = f"{found.mean():.2f} % ({found.min():.1f} to {found.max():.1f}, {seeds} seeds)"
        if band is None:
            yield Figure(21, title, "", told, None)
        else:
            low, high = 100 * band[0], 100 * band[1]
            yield Figure(21, title, f"{low:g} to {high:g} %", told, bool(low <= found.mean() <= high))


def adding(steps: int = 3000, seeds: int = 5) -> Iterator[Figure]:
    """Measure number 22: gates remember for 60 steps, the plain cell does not; always answering 1 gives 1/6."""
    found = {cell: scores(adding_config(cell), steps, seeds) for cell in ("lstm", "rnn")}
    solved = np.mean(found["lstm"] < 0.02)
    yield Figure(22, "adding problem, LSTM", "error below 0.02 in 80 % of seeds or more",
                 f"{100 * solved:.0f} % of {seeds} ({spread(found['lstm'])})", bool(solved >= 0.8))  # fmt: skip
    yield Figure(22, "adding problem, tanh network", "error above 0.12 in all seeds",
                 f"{int((found['rnn'] > 0.12).sum())} of {seeds} ({spread(found['rnn'])})",
                 bool((found["rnn"] > 0.12).all()))  # fmt: skip


def copying(steps: int = 1000, seeds: int = 4) -> Iterator[Figure]:
    """Measure number 22: without memory the cross-entropy of the copy task ends at 10 ln 8 / (T + 20)."""
    delay = 60
    plateau = 10 * math.log(8) / (delay + 20)
    found = scores(copying_config(delay), steps, seeds)
    yield Figure(22, f"copy task, T = {delay}, tanh network", f"within 2 % of {plateau:.5f}, all seeds",
                 f"{spread(found, 5)}, {seeds} seeds", bool((np.abs(found / plateau - 1) < 0.02).all()))  # fmt: skip


def blocks() -> Iterator[Figure]:
    """Measure number 20: the luck of the search is in the verdict."""
    for measure in (blocks_proof.simulated, blocks_proof.on_wine, blocks_proof.repeats):
        yield from (Figure(*row) for row in measure())


def spread(found: np.ndarray, digits: int = 4) -> str:
    """Tell the lowest, the median and the highest of some values."""
    low, middle, high = (f"{value:.{digits}f}" for value in (found.min(), np.median(found), found.max()))
    return f"{low} to {high}, median {middle}"


def machine() -> str:
    """Name the processor, its cores and the system; nothing that tells whose machine it is."""
    known = fingerprint()
    cores = f"{known['cores']} cores" if known["cores"] != 1 else "one core"
    return f"{known['processor'].partition(', instructions')[0]}, {cores} used, {platform.system()}"


HEAD = """# Science

What others have published, measured here. Written by `make science`; edits are lost. Numbers that take seconds are
tests: [test_every_number.py](../tests/science/test_every_number.py) lists all 23 and which test holds each.
"""
NOTES = """
## How to read this

- MNIST-1D (arXiv:2011.14439): Adam 1e-2, batches of 100, test accuracy after the last of 6,000 steps, mean over seeds
  (lowest to highest); weights and biases start as PyTorch's. *In order*: as that paper trains, the 4,000 signals pass
  in their own order, as a stream, so that seeds vary the first weights only. *Shuffled*: anew in every epoch, as our
  engine does with data in memory. The skip-MLP is the paper's: h = relu(A x), then h + relu(B h).
- Our nearest perceptron has no goal: `mlp` with skip "residual" adds before its activation, s = A x + B relu(A x) and
  C relu(s), where the paper's adds after it. Our `cnn` has one window for all layers and halves by maxima, not strides,
  so the paper's CNN and its skip-MLP are written in Flax for this page and trained through the adapter.
- Adding problem: T = 60, 32 units, 3,000 steps of 64 sequences from 30,000, Adam 3e-3, clipped at norm 1; mean squared
  error on 10,000 others. Always answering 1 has 1/6. Our recurrent kernels start orthogonal and keep lengths, which may
  be why some seeds of the tanh network learn the task.
- Copy task: cross-entropy on 4,000 sequences after 1,000 steps of a tanh network of 32 units, Adam 3e-3, clipped at
  norm 1. Whoever has no memory but knows where the blanks are ends at 10 ln 8 / (T + 20).
- Blocks (arXiv:2103.03098): an arm is tuned by 10 independent searches of 8 trials, each reports on 3 fresh seeds, and
  the mean of a search is what the test counts. Simulated: two arms that search on their own on one response surface,
  with 36 validation and 36 test examples (tests/science/search_luck.py); a gain is added to every run of one arm. On
  wine: one arm of the README's first config against itself, with other scrambles and other seeds.
- A lane that diverges would make its row NaN, and its goal missed.
"""


def page(figures: Sequence[Figure], seconds: float) -> str:
    """Write the page: conditions, goals, what stands beside them."""
    known, figures = fingerprint(), sorted(figures, key=lambda figure: figure.number)
    versions = ", ".join(f"{name} {version}" for name, version in known["versions"].items())
    missed = [figure for figure in figures if figure.holds is False]
    goals = [figure for figure in figures if figure.holds is not None]
    lines = [HEAD, f"- Date: {datetime.date.today().isoformat()}", f"- Machine: {machine()}", f"- Versions: {versions}"]
    lines += [f"- Command: `make science`, {seconds / 60:.0f} minutes", "", "## Goals", ""]
    lines += [f"{len(goals) - len(missed)} of {len(goals)} hold."]
    lines += [f"Missed: {figure.what}: {figure.found}, expected {figure.goal}." for figure in missed]
    lines += ["", "| number | what | goal | found | holds |", "|---|---|---|---|---|"]
    told = {True: "yes", False: "**missed**"}
    lines += [f"| {f.number} | {f.what} | {f.goal} | {f.found} | {told[bool(f.holds)]} |" for f in goals]
    lines += ["", "## Beside them", "", "| number | what | found |", "|---|---|---|"]
    lines += [f"| {f.number} | {f.what} | {f.found} |" for f in figures if f.holds is None]
    return "\n".join(lines) + "\n" + NOTES


def main(target: Path, measures: Sequence[Callable[[], Iterator[Figure]]] = (mnist_1d, copying, adding, blocks)) -> int:
    """Measure all, print each figure as it comes, write the page; 1 where a goal was missed."""
    begun, figures = time.monotonic(), []
    for measure in measures:
        for figure in measure():
            figures.append(figure)
            held = {True: "holds", False: "MISSED", None: "no goal"}[figure.holds]
            print(f"[{time.monotonic() - begun:.0f} s] {figure.what}: {figure.found}; {held} {figure.goal}", flush=True)
    target.write_text(page(figures, time.monotonic() - begun), encoding="utf-8")
    print(f"Written: {target}")
    return int(any(figure.holds is False for figure in figures))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
