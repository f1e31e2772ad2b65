"""A study cut into shards: trained anywhere, in any order, stopped in the middle, it is the study of one process."""

import contextlib
import json
import os
import signal
import sys
import tomllib

import jax
import numpy as np
import pytest
import xarray as xr

import deepprinciples as dp
from deepprinciples.errors import ConfigError, IntegrityError, ResourceError, Stopped
from deepprinciples.runs import directory
from deepprinciples.study import cluster, protocol, shards
from deepprinciples.study.planning import plan

CLIPPING = {"transforms.clip_by_global_norm": {"max_norm": 0.5}}
CONFIG = {
    "data": {"name": "wine", "batch_size": 16},
    "model": {"name": "mlp", "depth": 1, "width": 4},
    "loss": "softmax_cross_entropy",
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "train": {"steps": 20, "probes": [], "seeds": 5},
}


def backwards(planned, machines=3):
    """Train shards in this process, the last one first."""
    order = lambda cut: reversed(range(len(cut)))
    return shards.executor(planned, machines, lambda cut: ((k, shards.train_shard(cut[k])) for k in order(cut)))


def finished(planned, executor=protocol.IN_THIS_PROCESS, **more):
    return protocol.run_study(planned, progress=protocol.Progress(), executor=executor, keep=1, **more)


def same_bits(one, other):
    """Compare all that two studies measured, but for times."""
    for name in one.outcomes:
        jax.tree.map(np.testing.assert_array_equal, *(f.outcomes[name]._replace(seconds=None) for f in (one, other)))
        for a, b in zip(one.searches[name], other.searches[name], strict=True):
            assert (a.points, a.best) == (b.points, b.best)
            np.testing.assert_array_equal(a.scores, b.scores)


def layouts_of(one):
    return {row["arms"][0]: row["shape"] for row in one.programs}


def test_rows_are_cut_into_whole_calls_and_put_together_in_their_order():
    """Lost: a seed has the score of another one, or the last seeds are missing."""
    rows = [(seed, [{}]) for seed in range(7)]
    assert [[seed for seed, _ in part] for part in shards.calls(rows, 3)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert shards.calls([], 3) == []
    assert protocol.rows_of_a_machine([30, 3, 1], 4) == [8, 2, 1], "two devices: no call leaves one of them idle"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"study.pruning": {"name": "successive_halving", "factor": 2, "rungs": 2}},
        {"train.keep": "best", "train.patience": 2},
    ],
)
def test_shards_in_any_order_give_the_bits_of_one_process(small, changes):
    """Lost: the verdict of a cluster is not that of one machine, or its trials are not pruned."""
    planned = plan.resolve("compare", small({"clipping": CLIPPING, "plain": {}}, **changes))
    there = finished(planned, backwards(planned))
    assert [row["machines"] for row in there.programs] == [3] * len(there.programs)
    assert any(row["shape"]["blocks"] * row["devices"] < 7 for row in there.programs), "nothing was cut"
    alone = finished(planned._replace(train=planned.train._replace(layouts=layouts_of(there))))
    same_bits(there, alone)


def test_a_stop_keeps_the_shards_that_are_done(tmp_path, monkeypatch):
    """Lost: a job that runs out of its time limit begins again, or a resumed study has other bits."""
    trained = []
    monkeypatch.setattr(
        shards, "train_shard", lambda one, train=shards.train_shard: (trained.append(one), train(one))[1]
    )

    @contextlib.contextmanager
    def opened(executor, planned):
        yield backwards(planned) if executor == "backwards" else shards.executor(planned, 3, in_order)

    def in_order(cut):
        yield 0, shards.train_shard(cut[0])
        os.kill(os.getpid(), signal.SIGTERM)
        yield None

    monkeypatch.setattr(cluster, "opened", opened)
    with pytest.raises(Stopped, match="stopped by SIGTERM"):
        dp.train(CONFIG, tmp_path / "run", executor="stopped")
    assert directory.status(tmp_path / "run")["state"] == "stopped" and len(trained) == 1
    there = dp.resume(tmp_path / "run", executor="backwards")
    assert [seed for one in trained for seed, _ in one.rows] == [0, 1, 4, 2, 3], "a shard was trained twice"
    again = tomllib.loads((there.path / directory.CONFIG).read_text())
    assert again["train"]["layouts"]["run"]["blocks"] == 1, "a repeat would have another layout"
    monkeypatch.undo()
    xr.testing.assert_identical(there.results, dp.train(again, tmp_path / "alone").results)


def one_shard():
    """Cut a small study, and return the first shard of it as it is sent."""
    sent = []

    def keep(cut):
        sent.extend(cut)
        raise InterruptedError

    planned = plan.resolve("train", CONFIG)
    with pytest.raises(InterruptedError):
        finished(planned, shards.executor(planned, 3, keep))
    return sent[0]


def test_a_worker_that_would_give_other_bits_refuses():
    """Lost: a study of several versions of JAX, or of several programs, passes for one."""
    shard = one_shard()
    facts = json.loads(shard.study.facts)
    facts["fingerprint"]["versions"]["jax"] = "0.1"
    other = shard.study._replace(facts=json.dumps(facts))
    with pytest.raises(
        IntegrityError, match=r"fingerprint.versions.jax: found .*, expected 0.1 as where the study beg"
    ):
        shards.train_shard(shard._replace(study=other))
    with pytest.raises(IntegrityError, match="run is another program there"):
        shards.train_shard(shard._replace(identity="0"))
    more = json.dumps({**json.loads(shard.shape), "devices": 1000})
    with pytest.raises(ResourceError, match="found 2 devices, expected 1000"):
        shards.train_shard(shard._replace(shape=more))


def test_what_differs_from_machine_to_machine_and_changes_no_bit_is_let_be():
    """Lost: no cluster has nodes that are alike enough."""
    shard = one_shard()
    facts = json.loads(shard.study.facts)
    facts["fingerprint"] |= {"platform": "another kernel", "cores": 64, "devices": 64}
    facts["fingerprint"]["environment"]["CUDA_VISIBLE_DEVICES"] = "3"
    found = shards.train_shard(shard._replace(study=shard.study._replace(facts=json.dumps(facts))))
    assert len(found.diverged_at) == len(shard.rows)


def test_what_cannot_travel_is_refused_before_anything_runs(tmp_path):
    """Lost: an error of a worker, after minutes, about a value that was never sent."""
    x, y = np.random.RandomState(0).randn(60, 3).astype(np.float32), np.arange(60) % 3
    data = {"name": "arrays", "inputs": x, "targets": y, "batch_size": 10}
    with pytest.raises(ConfigError, match=r"data\.inputs: was given from Python and cannot travel"):
        dp.train({**CONFIG, "data": data}, tmp_path / "run", executor="dask:tcp://127.0.0.1:1")
    assert not (tmp_path / "run").exists()
    planned = plan.resolve("train", CONFIG)
    endless = planned._replace(data={"run": planned.data["run"]._replace(stream=[])})
    with pytest.raises(ConfigError, match="its data are a stream"):
        shards.study_text(endless)


@pytest.mark.parametrize("found", ["tcp://127.0.0.1:1", "dask:", "spark:x"])
def test_an_executor_that_is_none_is_one_line(found, tmp_path):
    """Lost: which words --executor takes."""
    with pytest.raises(ConfigError, match="expected dask:tcp://HOST:PORT"):
        dp.train(CONFIG, tmp_path / "run", executor=found)
    assert not (tmp_path / "run").exists()


def test_without_dask_it_says_what_to_install(tmp_path, monkeypatch):
    """Lost: the name of the extra."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ResourceError, match=r'pip install "deepprinciples\[cluster\]"'):
        dp.train(CONFIG, tmp_path / "run", executor="dask:tcp://127.0.0.1:1")
