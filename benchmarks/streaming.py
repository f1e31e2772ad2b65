"""Rows a second on a stream of batches: the reader alone, training on the same rows in memory, training on the stream.

The network is small, so that it is the reading that is measured. A run goes through as many rows as the effort says,
round and round over a million that lie in memory: the reader gives views of them, and costs next to nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from ours import runner
from timing import Row, against, answer, rounds, row
from workloads import Effort, Workload, scaled

from deepprinciples import config as configs
from deepprinciples.config.settings import Train
from deepprinciples.engine.population import use_all_cores
from deepprinciples.learners.assembly import from_config
from deepprinciples.study.planning import prepared_group
from deepprinciples.study.planning.groups import arm_of, group_arms

PASS, FEATURES, BATCH = 1_000_000, 16, 256
STEPS = 13_021  # times 3, in the full form, are 10 million rows
MODEL = {"name": "mlp", "depth": 1, "width": 8}
NAME = "stream_mlp"


def made(data: dict[str, Any], steps: int) -> prepared_group.Bench:
    """Compile a lane that trains on these data."""
    config = {
        "data": data,
        "model": MODEL,
        "loss": {"name": "softmax_cross_entropy"},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "train": {"steps": steps, "probes": ()},
        "study": {"metric": "accuracy"},
    }
    resolved = configs.resolve(config, from_config.KINDS, command="train")
    group = group_arms([arm_of("run", resolved)])[0]
    return prepared_group.set_up(group, from_config.dataset(resolved), Train(**resolved["train"]), [1])


def stream(workload: Workload, effort: Effort) -> list[Row]:
    """Measure the reader alone, training on resident data and training on the stream, in turns."""
    del workload
    use_all_cores()
    steps = scaled(STEPS, effort)
    inputs = np.random.default_rng(0).standard_normal((min(PASS, steps * BATCH), FEATURES), dtype=np.float32)
    targets = (inputs[:, 0] > 0).astype(np.int32)
    parts = {f"{part}_{key}": value[:BATCH] for part in ("validation", "test")
             for key, value in (("inputs", inputs), ("targets", targets))}  # fmt: skip

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(inputs) - BATCH + 1, BATCH):
            yield inputs[start : start + BATCH], targets[start : start + BATCH]

    def read(turn: int) -> None:
        del turn
        passes = itertools.chain.from_iterable(batches() for _ in itertools.count())
        for _ in itertools.islice(passes, steps):
            pass

    held = {"name": "arrays", "inputs": inputs, "targets": targets, "batch_size": BATCH, "standardize": False}
    resident, streamed = (
        made({**data, **parts}, steps) for data in (held, {"name": "stream", "batches": batches, "classes": 2})
    )
    times = rounds([read, runner(resident, 1), runner(streamed, 1)], effort.repeats)
    slower = [max(pair) for pair in zip(*times[:2], strict=True)]
    lines = ("reader alone", "resident", "stream")
    return [
        row(
            NAME, line, found, steps, 0.0, table="stream", million_rows_a_second=steps * BATCH / min(found) / 1e6,
            ratio=against(found, slower),
        )
        for line, found in zip(lines, times, strict=True)
    ]  # fmt: skip


if __name__ == "__main__":
    answer({"stream": stream})
