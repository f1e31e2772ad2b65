"""Settings of the whole suite: two CPU devices, quick compiling, no silent rank promotion, no network."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Most tests run a few steps on a few numbers: compiling takes their time. With XLA_FLAGS="" they are compiled as for a
# user; `make test` does so with the engine and the numbers from theory, `make long` with all.
QUICK = ("--xla_backend_optimization_level=0", "--xla_cpu_use_fusion_emitters=false")


def _known(flag: str) -> bool:
    """Tell whether this jaxlib has a flag; it would end the process over one that it does not know."""
    probe = [sys.executable, "-c", "import jax; jax.jit(lambda: 0)()"]
    return subprocess.run(probe, env={**os.environ, "XLA_FLAGS": flag}, capture_output=True).returncode == 0


os.environ.setdefault("JAX_PLATFORMS", "cpu")
if "XLA_FLAGS" not in os.environ:  # set once: the workers inherit it
    os.environ["XLA_FLAGS"] = " ".join(filter(_known, QUICK))

# Workers and child processes share what one of them has compiled.
os.environ.setdefault("DEEPPRINCIPLES_CACHE", str(Path(__file__).parents[1] / ".pytest_cache" / "programs"))

import jax  # noqa: E402

jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("the tests use no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


# A worker takes a whole file. These take longest, and begun last they would leave the other workers waiting.
FIRST = (
    "test_docs", "test_small_parts", "test_gan_studies", "test_promises", "test_exchange", "test_models_generators",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, and mark what `choose_slow.py` has chosen."""
    items.sort(key=lambda item: item.path.stem not in FIRST)
    slow = set((Path(__file__).parent / "slow.txt").read_text(encoding="utf-8").splitlines())
    for item in items:
        if item.nodeid in slow:
            item.add_marker("slow")


SMALL_STUDY = {  # wine, two arms that share a program and one that does not
    "title": "Small",
    "data": {"name": "wine", "batch_size": 16},
    "model": {"name": "mlp", "depth": 1, "width": 6},
    "loss": {"name": "softmax_cross_entropy"},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "train": {"steps": 20, "probes": ["gradient_norm", "trigger_rate"], "probe_every": 4},
    "study": {
        "metric": "accuracy", "searches": 7, "trials": 3, "tuning_seeds": 2, "seeds": 1,
        "tune": {"optimizer.learning_rate": {"low": 1e-3, "high": 1.0, "scale": "log"}},
    },
    "arms": {
        "plain": {},
        "clipping": {"transforms.clip_by_global_norm": {"max_norm": 0.5}},
        "tanh": {"model.activation": "tanh"},
    },
}  # fmt: skip


def _make(arms=None, **changes):
    """Give a config of its own to change, such as `small(**{"train.steps": 3})`; `arms` replaces the arms."""
    import copy

    from deepprinciples import config as configs

    config = copy.deepcopy(SMALL_STUDY)
    if arms is not None:
        config["arms"] = arms
    return configs.changes(config, changes)


def _run(config, data=None, progress=None):
    """Run a config's protocol without writing anything."""
    from deepprinciples.study import protocol
    from deepprinciples.study.planning import plan

    planned = plan.resolve("compare", config)
    planned = planned if data is None else planned._replace(data=data)
    return protocol.run_study(planned, progress=progress or protocol.Progress())


@pytest.fixture(scope="session", name="small")
def _small():
    return _make


@pytest.fixture(scope="session", name="finish")
def _finish():
    return _run


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """Run the study of SMALL_STUDY once: a `Run`."""
    import deepprinciples as dp

    return dp.compare(SMALL_STUDY, tmp_path_factory.mktemp("study") / "small")
