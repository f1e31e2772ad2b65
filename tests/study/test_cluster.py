"""A study on a Dask cluster of two worker processes has the bits of one process, with a dead worker too."""

import os
import signal
import socket
import sys

import distributed
import pytest
import xarray as xr

import deepprinciples as dp
from deepprinciples.errors import ConfigError, ResourceError
from deepprinciples.learners import TABLES
from deepprinciples.study import cluster, plugins

CONNECT = socket.socket.connect  # before the fixture that takes the network away
CONFIG = {
    "data": {"name": "wine", "batch_size": 16},
    "model": {"name": "mlp", "depth": 1, "width": 4},
    "loss": "softmax_cross_entropy",
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "train": {"steps": 20, "probes": [], "max_parallel": 1},
    "study": {"seeds": 16},
    "arms": {"plain": {}, "tanh": {"model.activation": "tanh"}},
}

PLUGIN = """
import jax
import optax


def halves(*, factor: float = 0.5):
    return optax.stateless(lambda updates, params: jax.tree.map(lambda g: factor * g, updates))


TABLES = {"transforms": {"halves": halves}}
"""


@pytest.fixture(autouse=True)
def _this_machine_only(_no_network, monkeypatch):
    """Let sockets reach this machine: scheduler and workers talk by them."""

    def connect(self, address):
        assert address[0] in ("127.0.0.1", "::1"), address
        return CONNECT(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)


def trained():
    """Tell in a worker whether it has trained a shard."""
    from deepprinciples.study import shards

    return shards._bench.cache_info().misses > 0


def local(workers):
    return distributed.LocalCluster(
        n_workers=workers, threads_per_worker=1, dashboard_address=None, memory_limit=0, host="127.0.0.1"
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return dp.compare(CONFIG, tmp_path_factory.mktemp("alone") / "run").results


@pytest.fixture(scope="module")
def two():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", CONNECT)
        with local(2) as found, distributed.Client(found) as client:
            yield client


def test_two_workers_give_the_bits_of_one_process(two, alone, tmp_path):
    """Lost: the verdict of a cluster is not that of one machine, or one of its machines is idle."""
    results = dp.compare(CONFIG, tmp_path / "run", executor=two).results
    xr.testing.assert_identical(results, alone)
    assert all(two.run(trained).values()), "one of the workers had nothing to do"


def test_a_worker_that_dies_costs_nothing_but_time(two, alone, tmp_path):
    """Lost: a study of days ends with one machine, or a shard that was trained again has other bits."""
    dead, after = [], []

    def kill(steps):
        after.extend([steps] if dead else [])
        if steps and not dead:
            dead.extend(two.run(os.getpid).values())
            os.kill(dead[0], signal.SIGKILL)

    results = dp.compare(CONFIG, tmp_path / "run", executor=two, progress=dp.Progress(advance=kill)).results
    xr.testing.assert_identical(results, alone)
    assert len(after) > 4, "it died when all was done"
    two.wait_for_workers(2)
    assert dead[0] not in two.run(os.getpid).values()


def test_a_cluster_that_is_not_there_is_one_line(tmp_path, monkeypatch):
    """Lost: a screen of Dask's own errors, or a run directory without a run."""
    with pytest.raises(ConfigError, match="found 4, expected dask:tcp://HOST:PORT, or a Client"):
        dp.compare(CONFIG, tmp_path / "run", executor=4)
    monkeypatch.setattr(cluster, "CONNECTING", 0.5)
    with pytest.raises(ResourceError, match="no Dask scheduler answers at tcp://127.0.0.1:1 .*start one with"):
        dp.compare(CONFIG, tmp_path / "run", executor="dask:tcp://127.0.0.1:1")
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    with local(0) as empty, pytest.raises(ResourceError, match="has no worker for .*start some with: dask worker tcp"):
        dp.compare(CONFIG, tmp_path / "run", executor=f"dask:{empty.scheduler_address}")
    assert not (tmp_path / "run").exists()


def forget():
    """Take the package from a worker that has not imported it."""
    sys.modules["deepprinciples.study"] = None


def test_a_worker_without_the_package_is_one_line(tmp_path):
    """Lost: which machine lacks what."""
    with local(1) as one, distributed.Client(one) as client:
        client.run(forget)
        with pytest.raises(ResourceError, match="a worker has no module deepprinciples.study; give it the deepprinc"):
            dp.compare(CONFIG, tmp_path / "run", executor=client)


def test_parts_of_a_plugin_reach_the_workers(two, tmp_path):
    """Lost: one's own method on a cluster."""
    path = tmp_path / "halves.py"
    path.write_text(PLUGIN)
    plugins.add_parts(path)
    try:
        config = {**CONFIG, "arms": {"plain": {}, "halved": {"transforms.halves": {"factor": 0.5}}}}
        results = dp.compare(config, tmp_path / "run", executor=two).results
        xr.testing.assert_identical(results, dp.compare(config, tmp_path / "alone").results)
    finally:
        del TABLES["transforms"]["halves"]
        plugins.added.remove(path)
