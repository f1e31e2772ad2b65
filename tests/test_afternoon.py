"""A stranger's afternoon: tasks that the toolkit does not know, each with public names only and in under 25 lines."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax

import deepprinciples as dp

PLAIN = {"study": {"searches": 1}, "train": {"steps": 300, "seed": 0}}


def test_own_detection_loss_with_dict_targets_and_a_metric_of_the_split(tmp_path):
    """Lost when it fails: data with boxes and masks, and every score that is no mean over examples."""
    # docs: detection
    rng = np.random.default_rng(0)
    corner = rng.integers(0, 6, (400, 2))
    images = rng.normal(0, 0.1, (400, 8, 8, 1))
    for image, (y, x) in zip(images, corner, strict=True):
        image[y : y + 3, x : x + 3] = 1.0
    targets = {"box": np.concatenate([corner, corner + 3], axis=1) / 8, "label": np.ones(400, int)}

    def box_loss():
        return lambda outputs, targets: jnp.mean((outputs["box"] - targets["box"]) ** 2, axis=1)

    def hits():  # the share of boxes that overlap by more than half, of the whole split
        def overlap(outputs, targets):
            low = jnp.maximum(outputs["box"][:, :2], targets["box"][:, :2])
            high = jnp.minimum(outputs["box"][:, 2:], targets["box"][:, 2:])
            inside = jnp.prod(jnp.maximum(high - low, 0.0), axis=1)
            area = lambda box: jnp.prod(jnp.maximum(box[:, 2:] - box[:, :2], 0.0), axis=1)
            return {"iou": inside / (area(outputs["box"]) + area(targets["box"]) - inside)}

        count = lambda rows, weights: jnp.sum((rows["iou"] > 0.5) * weights) / jnp.sum(weights)
        return dp.Metric(overlap, count, reduce="gather", direction="max", worst=0.0)

    def finder(width: int = 64):

        def init(key, x):
            a, b = jax.random.split(key)
            return {"a": jax.random.normal(a, (64, width)) / 8, "b": jax.random.normal(b, (width, 4)) / 8}, {}

        def apply(params, state, x, *, key, train):
            return {"box": jnp.tanh(x.reshape(len(x), -1) @ params["a"]) @ params["b"]}, state, {}

        return dp.Model(init, apply)

    run = dp.train(
        {
            "data": {"name": "examples", "inputs": images, "targets": targets},
            "model": {"factory": finder},
            "loss": {"factory": box_loss},
            "optimizer": {"name": "adam", "learning_rate": 3e-3},
            "study": {"metric": {"factory": hits}},
            "train": {"steps": 400},
        },
        tmp_path / "run",
    )
    assert run.results.score.item() > 0.8
    # docs: end


def test_own_ctc_task(tmp_path):
    """Lost when it fails: labels of varying length beside their lengths."""
    # docs: ctc
    rng = np.random.default_rng(0)
    labels, lengths = rng.integers(1, 5, (300, 4)), rng.integers(1, 5, 300)
    padding = np.arange(4)[None] >= lengths[:, None]
    frames = np.repeat(np.eye(5)[np.where(padding, 0, labels)], 3, axis=1)  # [N, 12, 5]: three frames a label
    frames[:, ::3] = np.eye(5)[0]  # the first of them is a pause
    targets = {"labels": labels, "padding": padding}

    def ctc():
        def loss(outputs, targets):
            silence = jnp.zeros(outputs.shape[:2])
            return optax.ctc_loss(outputs, silence, targets["labels"], targets["padding"].astype(jnp.float32))

        return loss

    def whole_words():  # right if the best path, without repeats and pauses, is the word
        def right(outputs, targets):
            best = jnp.argmax(outputs, axis=-1)
            starts = (best != jnp.pad(best, ((0, 0), (1, 0)))[:, :-1]) & (best > 0)
            expected = jnp.sum(~targets["padding"], axis=1)
            return (jnp.sum(starts, axis=1) == expected).astype(jnp.float32)

        right.direction = "max"
        return right

    run = dp.train(
        {
            "data": {"name": "examples", "inputs": frames + rng.normal(0, 0.3, frames.shape), "targets": targets,
                     "outputs": 5},
            "model": {"name": "lstm", "width": 16, "readout": "every"},
            "loss": {"factory": ctc},
            "optimizer": {"name": "adam", "learning_rate": 1e-2},
            "study": {"metric": {"factory": whole_words}},
            "train": {"steps": 300},
        },
        tmp_path / "run",
    )  # fmt: skip
    assert run.results.score.item() > 0.8
    # docs: end


def test_own_reinforce_learner(tmp_path):
    """Lost when it fails: a task without data, whose score is a return."""

    # docs: reinforce
    @dp.traits(metrics={"reward": "max"})
    def reinforce(*, optimizer, episodes: int = 32, entropy: dp.Scalar = 0.01):
        pays = jnp.array([0.2, 0.5, 0.8])  # a bandit of three arms

        def init(key):
            params = jnp.zeros(3)
            return dp.State(params, (), optimizer.init(params))

        def step(state, batch, key):
            actions = jax.random.categorical(key, state.params, shape=(episodes,))
            rewards = jax.random.bernoulli(jax.random.fold_in(key, 1), pays[actions]).astype(jnp.float32)

            def loss(params):
                log_p = jax.nn.log_softmax(params)
                return -jnp.mean(log_p[actions] * (rewards - rewards.mean())) + entropy * jnp.sum(
                    log_p * jnp.exp(log_p)
                )

            value, grads = jax.value_and_grad(loss)(state.params)
            updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
            info = dp.Info(value, state.params, grads, updates, opt_state, {}, dict)
            return dp.State(state.params + updates, (), opt_state), info

        def evaluate(state, batch, key):
            reward = jnp.sum(jax.nn.softmax(state.params) * pays)
            return {"reward": reward[None], "loss": -reward[None]}

        return dp.Learner(init, step, evaluate)

    run = dp.compare(
        {
            "learner": {"factory": reinforce},
            "optimizer": {"name": "adam", "learning_rate": 0.1},
            "train": {"steps": 100},
            "study": {"seeds": 8},
            "arms": {"plain": {}, "free": {"learner.entropy": 1.0}},
        },
        tmp_path / "run",
    )
    assert run.results.score.sel(arm="plain").mean() > 0.7 > run.results.score.sel(arm="free").mean()
    assert len(run.summary["programs"]) == 1  # entropy is a float: both arms are lanes of one program
    # docs: end


def test_own_metric_on_the_host(tmp_path):
    """Lost when it fails: scores of other libraries, which compiled code cannot call."""
    # docs: host
    from scipy.stats import kendalltau

    def rank_correlation():
        rows = lambda outputs, targets: {"said": outputs[:, 0], "true": targets[:, 0]}
        tau = lambda rows, weights: kendalltau(rows["said"][weights > 0], rows["true"][weights > 0]).statistic
        return dp.Metric(rows, tau, reduce="gather", host=True, direction="max", worst=-1.0, best=1.0)

    config = {
        "data": {"name": "diabetes"},
        "model": {"name": "mlp", "depth": 1},
        "loss": {"name": "mse"},
        "optimizer": {"name": "adam"},
        "train": {"steps": 200, "seeds": 2},
        "study": {"metric": {"factory": rank_correlation}, "also": ["mae"]},
    }
    run = dp.train(config, tmp_path / "run")
    assert (run.results.score > 0.3).all() and "test_mae" in run.results
    # docs: end


def test_two_learning_rates(tmp_path):
    """Lost: fine-tuning, frozen features and everything between them as rows of one program."""
    # docs: groups
    config = {
        "data": {"name": "digits"},
        "model": {"name": "mlp", "depth": 2, "width": 16},
        "loss": {"name": "softmax_cross_entropy"},
        "optimizer": {"name": "adam", "learning_rate": 1e-2},
        "groups": {"backbone": {"match": "layer_*"}},  # paths such as layer_00/linear/kernel
        "train": {"steps": 100},
        "study": {"seeds": 4},
        "arms": {
            "frozen": {"groups.backbone.learning_rate": 0.0},
            "slow": {"groups.backbone.learning_rate": 0.1},
            "full": {"groups.backbone.learning_rate": 1.0},
        },
    }
    run = dp.compare(config, tmp_path / "run")
    frozen, slow, full = run.results.score.mean("seed").values
    assert frozen < slow < full
    assert len(run.summary["programs"]) == 1  # a factor is a float: the arms are lanes of one program
    # docs: end


def test_start_from_a_pytorch_module(tmp_path):
    """Lost: every model that was pretrained elsewhere."""
    # docs: start
    import torch
    from safetensors.torch import save_file
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)
    net = torch.nn.ModuleDict({"layer_00": torch.nn.Linear(64, 32), "output": torch.nn.Linear(32, 10)})
    adam = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(100):
        logits = net["output"](torch.relu(net["layer_00"](torch.tensor(images))))
        adam.zero_grad()
        torch.nn.functional.cross_entropy(logits, torch.tensor(labels)).backward()
        adam.step()
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    config = {
        "data": {"name": "arrays", "inputs": images, "targets": labels, "standardize": False},
        "model": {"name": "mlp", "depth": 1, "width": 32},
        "loss": "softmax_cross_entropy",
        "optimizer": "adam",
        "arms": {"scratch": {}, "pretrained": {"model.start": {"path": tmp_path / "net.safetensors"}}},
    }
    run = dp.compare({**config, "train": {"steps": 50}, "study": {"seeds": 4}}, tmp_path / "run")
    assert run.results.score.sel(arm="pretrained").mean() > 0.9 > run.results.score.sel(arm="scratch").mean()
    # docs: end
