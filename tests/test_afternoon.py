"""A stranger's afternoon: tasks that the toolkit does not know, each with public names only and in under 25 lines.

What stands between "# docs: NAME" and "# docs: end" is shown in docs/tasks_of_your_own.md, and a test holds both alike.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import deepprinciples as dp

# fmt: off

PAGE = Path(__file__).parents[1] / "docs" / "tasks_of_your_own.md"
BLOCKS = {
    name: textwrap.dedent(code).strip()
    for name, code in re.findall(r"# docs: (\w+)\n(.*?) *# docs: end", Path(__file__).read_text(encoding="utf-8"), re.S)
}


@pytest.mark.parametrize("name", BLOCKS)
def test_the_page_shows_what_was_run(name):
    """Lost when it fails: a reader copies code that nobody tried."""
    lines = [line for line in f"```python\n{BLOCKS[name]}\n```".splitlines() if line.strip()]
    shown = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert "\n".join(lines) in "\n".join(shown)
    assert len(lines) - 2 < 25
    assert not re.search(r"deepprinciples\.\w|\b_\w", BLOCKS[name])


def test_own_detection_loss_with_dict_targets_and_a_metric_of_the_split(tmp_path):
    """Lost when it fails: data with boxes and masks, and every score that is no mean over examples."""
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 6, (1200, 2))
    images = rng.normal(0, 0.1, (1200, 8, 8, 1))
    for image, (y, x) in zip(images, corners, strict=True):
        image[y : y + 3, x : x + 3] = 1.0
    boxes = np.concatenate([corners, corners + 3], axis=1) / 8  # [N, 4], from 0 to 1
    # docs: detection
    def box_loss():
        return lambda outputs, targets: jnp.mean((outputs - targets["box"]) ** 2, axis=1)

    def half_found():  # the share of boxes that overlap by more than half, over the whole split
        def overlap(outputs, targets):
            area = lambda low, high: jnp.prod(jnp.maximum(high - low, 0.0), axis=1)
            (a, b), (c, d) = (jnp.split(box, 2, axis=1) for box in (outputs, targets["box"]))
            both = area(jnp.maximum(a, c), jnp.minimum(b, d))
            return both / (area(a, b) + area(c, d) - both)

        share = lambda overlaps, weights: jnp.sum((overlaps > 0.5) * weights) / jnp.sum(weights)
        return dp.Metric(overlap, share, reduce="gather", direction="max", worst=0.0)

    config = {
        "data": {"name": "examples", "inputs": images, "targets": {"box": boxes, "corner": corners}, "outputs": 4},
        "model": "mlp",
        "loss": {"factory": box_loss},
        "optimizer": {"name": "adam", "learning_rate": 3e-3},
        "study": {"metric": {"factory": half_found}},
        "train": {"steps": 800},
    }
    run = dp.train(config, tmp_path / "run")
    # docs: end
    assert run.results.score.item() > 0.8


def test_own_ctc_task(tmp_path):
    """Lost when it fails: labels of varying length beside their lengths."""
    rng = np.random.default_rng(0)
    labels, lengths = rng.integers(1, 5, (300, 4)), rng.integers(1, 5, 300)
    padding = np.arange(4)[None] >= lengths[:, None]
    sounds = np.repeat(np.eye(5)[np.where(padding, 0, labels)], 3, axis=1)  # [N, 12, 5]: three frames a label
    sounds[:, ::3] = np.eye(5)[0]  # the first of them is a pause
    sounds += rng.normal(0, 0.3, sounds.shape)
    # docs: ctc
    def ctc():
        def loss(outputs, targets):  # outputs [B, T, 5], class 0 is the pause
            padding = targets["padding"].astype(jnp.float32)
            return optax.ctc_loss(outputs, jnp.zeros(outputs.shape[:2]), targets["labels"], padding)

        return loss

    def right_lengths():  # 1 where the best path, without repeats and pauses, has as many labels as the word
        def right(outputs, targets):
            best = jnp.argmax(outputs, axis=-1)
            starts = (best > 0) & (best != jnp.pad(best, ((0, 0), (1, 0)))[:, :-1])
            return (jnp.sum(starts, axis=1) == jnp.sum(~targets["padding"], axis=1)).astype(jnp.float32)

        right.direction = "max"
        return right

    targets = {"labels": labels, "padding": padding}
    config = {
        "data": {"name": "examples", "inputs": sounds, "targets": targets, "outputs": 5},
        "model": {"name": "lstm", "width": 16, "readout": "every"},
        "loss": {"factory": ctc},
        "optimizer": {"name": "adam", "learning_rate": 1e-2},
        "study": {"metric": {"factory": right_lengths}},
    }
    run = dp.train(config | {"train": {"steps": 300}}, tmp_path / "run")
    # docs: end
    assert run.results.score.item() > 0.8


def test_own_reinforce_learner(tmp_path):
    """Lost when it fails: a task without data, whose score is a return."""
    pays = jnp.array([0.2, 0.5, 0.8])  # what each arm of a bandit pays, and how often
    # docs: reinforce
    @dp.traits(metrics={"reward": "max"})
    def reinforce(*, optimizer, episodes: int = 32, entropy: dp.Scalar = 0.01):
        def step(state, batch, key):
            actions = jax.random.categorical(key, state.params, shape=(episodes,))
            rewards = jax.random.uniform(jax.random.fold_in(key, 1), (episodes,)) < pays[actions]

            def loss(params):
                log_p = jax.nn.log_softmax(params)
                gain = jnp.mean(log_p[actions] * (rewards - jnp.mean(rewards)))
                return entropy * jnp.sum(log_p * jnp.exp(log_p)) - gain

            value, grads = jax.value_and_grad(loss)(state.params)
            updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
            info = dp.Info(value, state.params, grads, updates, opt_state, {}, dict)
            return dp.State(state.params + updates, (), opt_state), info

        def evaluate(state, batch, key):
            reward = jnp.sum(jax.nn.softmax(state.params) * pays)[None]
            return {"reward": reward, "loss": -reward}

        return dp.Learner(lambda key: dp.State(jnp.zeros(3), (), optimizer.init(jnp.zeros(3))), step, evaluate)

    config = {"learner": {"factory": reinforce}, "optimizer": {"name": "adam", "learning_rate": 0.1}}
    config |= {"train": {"steps": 100}, "study": {"seeds": 8}, "arms": {"plain": {}, "free": {"learner.entropy": 1.0}}}
    run = dp.compare(config, tmp_path / "run")
    # docs: end
    assert run.results.score.sel(arm="plain").mean() > 0.7 > run.results.score.sel(arm="free").mean()
    assert len(run.summary["programs"]) == 1  # entropy is a float: both arms are lanes of one program


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
        "loss": "mse",
        "optimizer": "adam",
        "train": {"steps": 200, "seeds": 2},
        "study": {"metric": {"factory": rank_correlation}, "also": ["mae"]},
    }
    run = dp.train(config, tmp_path / "run")
    # docs: end
    assert (run.results.score > 0.3).all() and "test_mae" in run.results


def test_own_optimizer_with_traits(tmp_path):
    """Lost when it fails: a trick of one's own that shares a program with the arms that lack it."""
    # docs: traits
    def shrink_large(*, strength: dp.types.Strength = 0.1):
        """Multiply a gradient by 1 / (1 + strength |g|), element by element. *Neutral: 0.0*."""
        shrunk = lambda grads: jax.tree.map(lambda g: g / (1.0 + strength * jnp.abs(g)), grads)
        return optax.stateless(lambda grads, params: shrunk(grads))

    shrink_large = dp.traits(neutral={"strength": 0.0})(shrink_large)
    config = {
        "data": {"name": "wine"},
        "model": "mlp",
        "loss": "softmax_cross_entropy",
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "transforms": {"shrink": {"factory": shrink_large, "strength": 0.0}},
        "train": {"steps": 100},
        "study": {"seeds": 6},
        "arms": {"plain": {}, "shrunk": {"transforms.shrink.strength": 1.0}},
    }
    run = dp.compare(config, tmp_path / "run")
    # docs: end
    assert len(run.summary["programs"]) == 1
    with pytest.raises(dp.errors.ConfigError, match="strength: expected a number of at least 0"):
        dp.compare({**config, "arms": {"plain": {}, "odd": {"transforms.shrink.strength": -1.0}}}, tmp_path / "odd")


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
    # docs: end
    frozen, slow, full = run.results.score.mean("seed").values
    assert frozen < slow < full
    assert len(run.summary["programs"]) == 1  # a factor is a float: the arms are lanes of one program


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
        logits = net.output(torch.relu(net.layer_00(torch.tensor(images))))
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
    # docs: end
    assert run.results.score.sel(arm="pretrained").mean() > 0.9 > run.results.score.sel(arm="scratch").mean()
