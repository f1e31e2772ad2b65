"""One small study for many tests: wine, two arms that share a program and one that does not."""

import copy

import pytest

import deepprinciples as dp
from deepprinciples import config as configs
from deepprinciples.study import plan, protocol

CONFIG = {
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


def make(arms=None, **changes):
    """Give a config of its own to change, such as `small(**{"train.steps": 3})`; `arms` replaces the arms."""
    config = copy.deepcopy(CONFIG)
    if arms is not None:
        config["arms"] = arms
    return configs.changes(config, changes)


def run(config, data=None, progress=None):
    """Run a config's protocol without writing anything."""
    planned = plan.resolve("compare", config)
    planned = planned if data is None else planned._replace(data=data)
    return protocol.run_study(planned, progress=progress or protocol.Progress())


@pytest.fixture(scope="session", name="small")
def _small():
    return make


@pytest.fixture(scope="session", name="finish")
def _finish():
    return run


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """Run the study of CONFIG once: a `Run`."""
    return dp.compare(CONFIG, tmp_path_factory.mktemp("study") / "small")
