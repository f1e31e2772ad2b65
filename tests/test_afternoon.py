"""A stranger's afternoon: tasks that the toolkit does not know, each with public names only and in under 25 lines."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

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
