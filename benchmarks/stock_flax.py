"""The same models in stock Flax Linen, as its examples write them, trained in a Python loop and in a scan."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
from serial_jax import Network, looped, scanned
from timing import Row, answer, rounds, row
from workloads import CLASSES, Effort, Workload, examples, scaled


class Mlp(nn.Module):
    """Two hidden layers of 128."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = nn.relu(nn.Dense(128)(x))
        x = nn.relu(nn.Dense(128)(x))
        return nn.Dense(CLASSES)(x)


class Cnn(nn.Module):
    """Two convolutions with pooling, and a dense layer of 64."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        for width in (16, 32):
            x = nn.relu(nn.max_pool(nn.Conv(width, (3, 3))(x), (2, 2), strides=(2, 2)))
        x = nn.relu(nn.Dense(64)(x.reshape(x.shape[0], -1)))
        return nn.Dense(CLASSES)(x)


class Lstm(nn.Module):
    """One LSTM of 64 units, read at its last step."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        return nn.Dense(CLASSES)(nn.RNN(nn.OptimizedLSTMCell(64))(x)[:, -1])


MODELS = {"mlp": Mlp, "cnn": Cnn, "lstm": Lstm}


def stock_model(workload: Workload) -> tuple[Network, Any]:
    """Build a stock model and its first parameters."""
    module = MODELS[workload.name]()
    return module.apply, jax.jit(module.init)(jax.random.key(0), examples(workload, 1)[0])


def both(workload: Workload, effort: Effort) -> list[Row]:
    """Measure the step in a Python loop and the scan, in turns."""
    steps = scaled(workload.stock_steps, effort)
    network, params = stock_model(workload)
    runs = {
        "stock flax, step loop": looped(network, params, workload, steps),
        "stock flax, scan": scanned(network, params, workload, steps),
    }
    times = rounds([run for run, _ in runs.values()], effort.repeats)
    return [row(workload.name, line, t, steps, runs[line][1]) for line, t in zip(runs, times, strict=True)]


if __name__ == "__main__":
    answer({"both": both})
