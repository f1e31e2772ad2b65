"""Does a GAN know what it has never seen, better than an autoencoder or an isolation forest?

    python experiments/gan_anomaly.py [steps=1500] [seeds=20]

Varies: what scores an example. Trained on normal examples alone (benign tissue; digits without the nine) are a GAN,
scored by its discriminator, by the distance to the nearest example it makes, and by the distance in its
discriminator's features to the nearest training example; an autoencoder, scored by reconstruction; an isolation forest.
Looks at: the area under the ROC curve on test data, with intervals over seeds and verdicts against the autoencoder.
Time on 2 cores: 2 minutes with much other work beside it.
Found on 2026-11-28: The distance in the discriminator's features beats the autoencoder on both tasks (0.951 against
0.926 on tissue, 0.884 against 0.816 on digits); the discriminator itself is worse on both (0.369, 0.635); the forest is
best on tissue (0.956) and poor on digits (0.685). 20 seeds, all told apart.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import jax
import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits

import deepprinciples as dp
from deepprinciples.parts.models.autoencoders import autoencoder
from deepprinciples.parts.models.mlp import mlp
from deepprinciples.study import anomaly, verdicts
from deepprinciples.study.statistics import mean_interval

ADAM = {"name": "adam", "learning_rate": 1e-3}
NET = {"depth": 2, "width": 64}
GAN = {"game": {"latent": 16, "average": 0.99}, "generator": {"model": {"name": "mlp", **NET}, "optimizer": ADAM},
       "discriminator": {"model": {"name": "mlp", **NET}, "optimizer": ADAM, "penalties": {"r1": {"strength": 0.1}}},
       "study": {"metric": {"name": "sliced_wasserstein", "projections": 32}}}  # fmt: skip
CODER = {"model": {"name": "autoencoder", "latent": 8}, "loss": {"name": "mse"}, "optimizer": ADAM,
         "study": {"metric": "reconstruction_error"}}  # fmt: skip


def trained(config: dict, task: anomaly.Task, out: Path, **train: int) -> list[dict]:
    """Train on the normal examples; give the parameters of every seed."""
    data = {"name": "arrays", "inputs": task.train, "targets": np.zeros(len(task.train)), "task": "regression"}
    ae = {"reconstruct": True} if "model" in config else {}
    run = dp.train({**config, "data": {**data, **ae, "standardize": False}, "train": {**train, "probes": []}}, out)
    kept = dp.runs.arrays.load_arrays(run.path / "parameters.safetensors")
    return [kept[f"seed-{seed}"] for seed in range(train["seeds"])]


def scores(task: anomaly.Task, gan: dict, coder: dict, seed: int) -> dict[str, np.ndarray]:
    """Score the test examples in every way."""
    judge, maker, copier = mlp(outputs=1, **NET), mlp(outputs=task.test.shape[1], **NET), autoencoder(
        outputs=0, shape=task.test.shape[1:], latent=8)  # fmt: skip
    ask = lambda model, params, x: model.apply(params, {}, x, key=None, train=False)
    logits, _, seen = ask(judge, gan["discriminator"], task.test)
    features = [np.asarray(a["layer_01"]) for a in (seen, ask(judge, gan["discriminator"], task.train)[2])]
    made = ask(maker, gan["generator"], jax.random.normal(jax.random.key(seed), (2000, 16)))[0]
    copied = ask(copier, coder, task.test)[0]
    return {
        "autoencoder": np.mean((np.asarray(copied) - task.test) ** 2, axis=1),
        "discriminator": -np.asarray(logits)[:, 0],
        "nearest_made": anomaly.nearest(task.test, np.asarray(made)),
        "feature_distance": anomaly.nearest(*features),
        "isolation_forest": anomaly.isolation(task.train, task.test, seed=seed),
    }


def main(*changes: str) -> dict[str, dict[str, float]]:
    """Run both tasks and say what was found; the mean areas by task and score."""
    given = {"steps": 1500, "seeds": 20, **{key: int(value) for key, _, value in (c.partition("=") for c in changes)}}
    tissue, digits = load_breast_cancer(), load_digits()
    tasks = {"tissue": (tissue.data, tissue.target == 0), "digits": (digits.data, digits.target == 9)}
    found = {}
    for name, (inputs, strange) in tasks.items():
        task = anomaly.task(inputs, strange)
        with tempfile.TemporaryDirectory() as folder:
            nets = [trained(config, task, Path(folder) / str(k), **given) for k, config in enumerate((GAN, CODER))]
        rows = [scores(task, gan, coder, seed) for seed, (gan, coder) in enumerate(zip(*nets, strict=True))]
        areas = {key: np.array([anomaly.roc_auc(row[key], task.strange) for row in rows]) for key in rows[0]}
        for key, values in areas.items():
            mean, low, high = mean_interval(values)
            print(f"{name:>7} {key:>17}: ROC-AUC {mean:.3f} [{low:.3f}, {high:.3f}]")
        names, table = list(areas), np.stack(list(areas.values()))
        pairs = [(k, 0) for k in range(1, len(names))]
        for row in verdicts.compare(
            table, ~np.isfinite(table), names, pairs=pairs, higher_is_better=True, metric="AUC"
        ):
            print("       ", row["sentence"])
        found[name] = {key: float(values.mean()) for key, values in areas.items()}
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
