"""The studies of `verdict` as a careful user of PyTorch would run them: a process of one thread for each core.

The arms, searches, trials, seeds and steps are those of the config. A run is evaluated once, at its end; there are no
curves, probes, statistics or report. `python benchmarks/torch_study.py CONFIG.json ARRAYS.npz` runs one.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

CLIP = "transforms.clip_by_global_norm"


class Deep(nn.Module):
    """A perceptron of equally wide layers, with the norms, skips and first weights of an arm."""

    def __init__(self, arm: dict[str, Any], inputs: int, outputs: int) -> None:
        super().__init__()
        width, depth = arm["model.width"], arm["model.depth"]
        self.linear = nn.ModuleList(nn.Linear(inputs if k == 0 else width, width) for k in range(depth))
        layered = arm.get("model.normalization") == "layer"
        self.norms = nn.ModuleList(nn.LayerNorm(width) if layered else nn.Identity() for _ in range(depth))
        self.output, self.skip = nn.Linear(width, outputs), arm.get("model.skip") == "residual"
        for layer in (*self.linear, self.output):
            if arm["model.initializer.name"] == "glorot_normal":
                nn.init.xavier_normal_(layer.weight)
            else:
                nn.init.normal_(layer.weight, std=arm["model.initializer.stddev"])
            nn.init.zeros_(layer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, ...] to [B, outputs]."""
        x = x.flatten(1)
        stream = torch.zeros(())
        for number, (linear, norm) in enumerate(zip(self.linear, self.norms, strict=True)):
            stream = stream + linear(x) if self.skip and number else linear(x)
            x = torch.tanh(norm(stream))
        return self.output(x)


class LayerNorm(nn.Module):
    """Layer norm over the channels of maps [B, C, H, W] that lie channels last."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalize each place."""
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Convolutional(nn.Module):
    """Convolutions 3x3 in two stages that end with a pool, and a dense layer, channels last in memory."""

    def __init__(self, arm: dict[str, Any], shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        width, depth = arm["model.width"], arm["model.depth"]
        channels = [shape[-1], *(width * 2 ** (2 * k // depth) for k in range(depth))]
        made = {"batch": nn.BatchNorm2d, "layer": LayerNorm}.get(arm.get("model.normalization"), nn.Identity)
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1) for before, after in zip(channels, channels[1:], strict=False)
        )
        self.norms = nn.ModuleList(map(made, channels[1:]))
        self.skip, self.half = arm.get("model.skip") == "residual", depth // 2
        self.output = nn.Linear(channels[-1] * (shape[0] // 4) * (shape[1] // 4), outputs)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, C, H, W] to [B, outputs]."""
        stream = torch.zeros(())
        for number, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            after = layer(x)
            stream = stream + after if self.skip and stream.shape == after.shape else after
            stream = nn.functional.max_pool2d(stream, 2) if (number + 1) % self.half == 0 else stream
            x = torch.relu(norm(stream))
        return self.output(x.flatten(1))


class Recurrent(nn.Module):
    """A recurrent network that is read at its last step."""

    def __init__(self, arm: dict[str, Any], features: int, outputs: int) -> None:
        super().__init__()
        made = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[arm["model.name"]]
        self.layer = made(features, arm["model.width"], batch_first=True)
        self.output = nn.Linear(arm["model.width"], outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, T, F] to [B, outputs]."""
        return self.output(self.layer(x)[0][:, -1])


def module(arm: dict[str, Any], shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Build the network of an arm for examples of a shape."""
    if arm["model.name"] == "mlp":
        return Deep(arm, math.prod(shape), outputs)
    if arm["model.name"] == "cnn":
        return Convolutional(arm, shape, outputs)
    return Recurrent(arm, shape[-1], outputs)


class Data:
    """The three parts of a data set, as tensors."""

    def __init__(self, path: str) -> None:
        found = np.load(path)
        self.shape = found["train_inputs"].shape[1:]
        self.inputs = {part: torch.from_numpy(found[f"{part}_inputs"]) for part in ("train", "validation", "test")}
        self.targets = {part: torch.from_numpy(found[f"{part}_targets"]) for part in self.inputs}
        self.classes = not self.targets["train"].is_floating_point()
        self.outputs = int(self.targets["train"].max()) + 1 if self.classes else 1
        if len(self.shape) == 3:
            for part, x in self.inputs.items():
                self.inputs[part] = x.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        if self.classes:
            self.targets = {part: y.long() for part, y in self.targets.items()}


_DATA: list[Data] = []  # of a worker


def begin(path: str) -> None:
    """Prepare a worker: one thread, and the data."""
    torch.set_num_threads(1)
    _DATA.append(Data(path))


def train(task: tuple[dict[str, Any], float, int, str]) -> float:
    """Train one network and score it: the accuracy, or minus the mean squared error, on a part of the data."""
    arm, rate, seed, part = task
    data = _DATA[0]
    torch.manual_seed(seed)
    network, size = module(arm, data.shape, data.outputs), arm["data.batch_size"]
    optimizer = optimizer_of(arm, network, rate)
    loss: Callable[..., torch.Tensor] = cross_entropy if data.classes else mse_loss
    inputs, targets = data.inputs["train"], data.targets["train"]
    clip = arm.get(f"{CLIP}.max_norm")
    order = torch.empty(0, dtype=torch.int64)
    for _ in range(arm["train.steps"]):
        if len(order) < size:
            order = torch.randperm(len(inputs))
        index, order = order[:size], order[size:]
        optimizer.zero_grad(set_to_none=True)
        loss(network(inputs[index]), targets[index]).backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(network.parameters(), clip)
        optimizer.step()
    network.eval()
    with torch.no_grad():
        outputs, targets = network(data.inputs[part]), data.targets[part]
        found = (outputs.argmax(-1) == targets).float().mean() if data.classes else -mse_loss(outputs, targets)
    return float(found) if math.isfinite(float(found)) else -math.inf


def optimizer_of(arm: dict[str, Any], network: nn.Module, rate: float) -> torch.optim.Optimizer:
    """Build the optimizer of an arm, fused."""
    if arm["optimizer.name"] == "adam":
        return torch.optim.Adam(network.parameters(), rate, fused=True)
    return torch.optim.SGD(network.parameters(), rate, momentum=arm.get("optimizer.momentum", 0.0), fused=True)


def study(config: dict[str, Any], path: str) -> dict[str, float]:
    """Search the rate of each arm in independent searches, train what each chose on fresh seeds; the arms' means."""
    arms, plan = config["arms"], config["study"]
    low, high = (math.log(plan["tune"]["optimizer.learning_rate"][end]) for end in ("low", "high"))
    drawn = np.random.default_rng(0)
    rates = np.exp(drawn.uniform(low, high, (plan["searches"], plan["trials"])))
    tried = [
        (name, search, rate, seed)
        for name in arms
        for search in range(plan["searches"])
        for rate in rates[search]
        for seed in range(plan["tuning_seeds"])
    ]
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with multiprocessing.get_context("spawn").Pool(count, begin, (path,)) as pool:
        found = pool.map(train, [(arms[a], rate, seed, "validation") for a, _, rate, seed in tried], chunksize=1)
        scores: dict[tuple[str, int], dict[float, list[float]]] = {}
        for (arm, search, rate, _), score in zip(tried, found, strict=True):
            scores.setdefault((arm, search), {}).setdefault(rate, []).append(score)
        chosen = {key: max(of, key=lambda rate, of=of: float(np.mean(of[rate]))) for key, of in scores.items()}
        report = [
            (arm, rate, 1000 + search * plan["seeds"] + seed)
            for (arm, search), rate in chosen.items()
            for seed in range(plan["seeds"])
        ]
        last = pool.map(train, [(arms[arm], rate, seed, "test") for arm, rate, seed in report], chunksize=1)
    of_arm: dict[str, list[float]] = {}
    for (arm, _, _), score in zip(report, last, strict=True):
        of_arm.setdefault(arm, []).append(score)
    return {arm: float(np.mean(of)) for arm, of in of_arm.items()}


if __name__ == "__main__":
    print(json.dumps(study(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), sys.argv[2])))
