"""Trees of inputs and targets from a config to a report, and what of ours cannot read them."""

import numpy as np
import pytest

import deepprinciples as dp
from deepprinciples.errors import ConfigError

RANDOM = np.random.default_rng(0)
PAIR = {"left": RANDOM.normal(size=(80, 3)), "right": RANDOM.normal(size=(80, 3))}
TARGETS = {"sum": (PAIR["left"] + PAIR["right"]).sum(1), "sign": (PAIR["left"][:, 0] > 0).astype(int)}
BASE = {
    "data": {"name": "examples", "inputs": PAIR, "targets": TARGETS, "batch_size": 16},
    "optimizer": {"name": "adam", "learning_rate": 1e-2},
    "train": {"steps": 60},
}


def two_towers(width: int = 8):
    def init(key, x):
        return {"w": np.zeros((6, 2), np.float32)}, {}

    def apply(params, state, x, *, key, train):
        import jax.numpy as jnp

        out = jnp.concatenate([x["left"], x["right"]], axis=1) @ params["w"]
        return {"sum": out[:, 0], "sign": out[:, 1]}, state, {"out": out}

    return dp.Model(init, apply)


def both():
    return lambda outputs, targets: (outputs["sum"] - targets["sum"]) ** 2


def error():
    metric = lambda outputs, targets: abs(outputs["sum"] - targets["sum"])
    metric.direction = "min"
    return metric


def config(**changes):
    return {**BASE, "model": {"factory": two_towers}, "loss": {"factory": both},
            "study": {"metric": {"factory": error}, "seeds": 6}} | changes  # fmt: skip


def test_a_comparison_over_trees(tmp_path):
    """Lost when it fails: probes, resuming, tuning or the report of data that are no single arrays."""
    tune = {"optimizer.learning_rate": {"low": 1e-3, "high": 1e-1}}
    study = {"metric": {"factory": error}, "searches": 6, "trials": 2, "seeds": 1, "tune": tune}
    arms = {"plain": {}, "clipped": {"transforms.clip_by_global_norm.max_norm": 0.5}}
    run = dp.compare(config(study=study, arms=arms), tmp_path / "run")
    assert run.summary["arms"][0]["mean"] < 1.0 and len(run.summary["programs"]) == 1
    assert "out" in run.results.layer.values
    assert (run.path / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loss": "softmax_cross_entropy"}, "loss.name: softmax_cross_entropy needs class labels, but data.name "
         "'examples' has a tree of targets; use one of your own that reads it"),
        ({"study": {"metric": "accuracy"}}, "study.metric.name: accuracy needs class labels"),
        ({"loss": "mse"}, "loss: does not fit data.name 'examples'"),
        ({"model": "mlp"}, "model.name: does not fit data.name 'examples'"),
        ({"augment": {"mixup": {}}}, "augment.mixup: mixup needs class labels, but data.name 'examples' has "
         "a tree of targets; remove it"),
        ({"loss": {"factory": lambda: lambda outputs, targets: outputs}}, "loss: does not fit data.name 'examples': "
         "gives a tree for 16 examples"),
        ({"study": {"metric": {"factory": lambda: lambda outputs, targets: outputs["sum"][:3]}, "direction": "max"}},
         "gives shape [3] for 16 examples, expected one value per example"),
        ({"study": {"metric": {"factory": lambda: dp.Metric(lambda o, t: o["sum"], lambda s, n: (s, s))},
                    "direction": "max"}}, "data.name 'examples': computes a tree, expected one number"),
    ],
)  # fmt: skip
def test_what_cannot_read_a_tree_is_told_in_one_line(changes, words, tmp_path):
    """Lost when it fails: a traceback from inside a trace."""
    with pytest.raises(ConfigError) as caught:
        dp.train(config(**changes), tmp_path / "run")
    assert any(words in line for line in caught.value.problems), caught.value.problems
    assert not (tmp_path / "run").exists()


def test_regularizers_do_not_learn_positions_without_a_label(tmp_path):
    """Lost when it fails: label smoothing would teach a class where nothing is labeled."""
    labels = RANDOM.integers(0, 2, (80, 5)).astype(int)
    labels[:, 0] = -1
    data = {"name": "examples", "inputs": RANDOM.normal(size=(80, 5, 2)), "targets": labels, "batch_size": 16}
    given = {
        "data": data,
        "model": {"name": "lstm", "width": 4, "readout": "every"},
        "loss": "softmax_cross_entropy",
        "optimizer": "adam",
        "train": {"steps": 5},
    }
    assert np.isfinite(dp.train(given, tmp_path / "run").results.score).all()
    with pytest.raises(ConfigError, match="label_smoothing needs class labels, but .* has positions without a label"):
        dp.train({**given, "augment": {"label_smoothing": {"strength": 0.1}}}, tmp_path / "smoothed")


def test_a_learner_whose_state_is_its_own(tmp_path):
    """Lost when it fails: `train` would end in an AttributeError after all the work."""
    import jax.numpy as jnp

    @dp.traits(metrics={"height": "max"})
    def climber(*, data, rate: dp.Scalar = 0.1):
        def step(state, batch, key):
            after = {"x": state["x"] + rate * jnp.mean(batch.inputs["left"] ** 2)}
            return after, dp.Info(-state["x"], state, after, after, (), {}, dict)

        rows = lambda state, batch, key: {
            "height": jnp.full(batch.size, state["x"]),
            "loss": -jnp.full(batch.size, 1.0),
        }
        return dp.Learner(lambda key: {"x": jnp.zeros(())}, step, rows)

    given = {"data": BASE["data"], "learner": {"factory": climber}, "train": {"steps": 20, "seeds": 2}}
    run = dp.train(given, tmp_path / "run")
    assert (run.results.score > 1.0).all() and run.results.attrs["metric"] == "height"
    assert not (run.path / "parameters.safetensors").exists()
