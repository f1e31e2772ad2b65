"""The same models in stock Flax Linen, as its examples write them, trained in a Python loop and in a scan."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import numpy as np
from games import Players
from serial_jax import Network, looped, scanned
from timing import Row, answer, rounds, row
from workloads import CLASSES, LATENT, Effort, Workload, examples, scaled


class Mlp(nn.Module):
    """Two hidden layers of 128."""

    outputs: int = CLASSES

    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = nn.relu(nn.Dense(128)(x))
        x = nn.relu(nn.Dense(128)(x))
        return nn.Dense(self.outputs)(x)


class Cnn(nn.Module):
    """Two convolutions with pooling, and dense layers."""

    dense: tuple[int, ...] = (64, CLASSES)

    @nn.compact
    def __call__(self, x: Any) -> Any:
        for width in (16, 32):
            x = nn.relu(nn.max_pool(nn.Conv(width, (3, 3))(x), (2, 2), strides=(2, 2)))
        *hidden, outputs = self.dense
        x = x.reshape(x.shape[0], -1)
        for width in hidden:
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(outputs)(x)


class Painter(nn.Module):
    """A dense map of 7 x 7, doubled and convolved twice, and one more convolution."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = nn.relu(nn.Dense(7 * 7 * 32)(x)).reshape(-1, 7, 7, 32)
        for _ in range(2):
            x = nn.relu(nn.Conv(32, (3, 3))(x.repeat(2, axis=1).repeat(2, axis=2)))
        return nn.Conv(1, (3, 3))(x)


class Lstm(nn.Module):
    """One LSTM of 64 units, read at its last step."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        return nn.Dense(CLASSES)(nn.RNN(nn.OptimizedLSTMCell(64))(x)[:, -1])


MODELS = {"mlp": Mlp(), "cnn": Cnn(), "lstm": Lstm()}
PLAYERS = {"gan": Players(Mlp(784), Mlp(1)), "dcgan": Players(Painter(), Cnn((1,)))}


def stock_classifier(workload: Workload) -> tuple[Network, Any]:
    """Build a stock model and its first parameters."""
    module = MODELS[workload.name]
    return module.apply, jax.jit(module.init)(jax.random.key(0), examples(workload, 1)[0])


def stock_players(workload: Workload) -> tuple[Players, Players]:
    """Build two stock models and their first parameters."""
    players, shown = PLAYERS[workload.name], Players(np.zeros((1, LATENT), np.float32), examples(workload, 1)[0])
    first = [jax.jit(module.init)(jax.random.key(0), x) for module, x in zip(players, shown, strict=True)]
    return Players(*(module.apply for module in players)), Players(*first)


STOCK = {"classifier": stock_classifier, "game": stock_players}


def both(workload: Workload, effort: Effort) -> list[Row]:
    """Measure the step in a Python loop and the scan, in turns."""
    steps = scaled(workload.stock_steps, effort)
    network, params = STOCK[workload.kind](workload)
    runs = {
        "stock flax, step loop": looped(network, params, workload, steps),
        "stock flax, scan": scanned(network, params, workload, steps),
    }
    times = rounds([run for run, _ in runs.values()], effort.repeats)
    return [row(workload.name, line, t, steps, runs[line][1]) for line, t in zip(runs, times, strict=True)]


if __name__ == "__main__":
    answer({"both": both})
