"""A script of a user who checks types strictly: `make test` checks this file, and nothing runs it."""

from pathlib import Path

import jax.numpy as jnp
import optax
import xarray as xr

import deepprinciples as dp


def halved(outputs: dp.types.Array, targets: dp.types.PyTree) -> dp.types.Array:
    """Be a metric of one's own."""
    return 0.5 * jnp.square(outputs - targets)


@dp.traits(neutral={"strength": 0.0})
def shrink(*, strength: dp.Scalar = 0.0) -> optax.GradientTransformation:
    """Be a gradient transform of one's own."""
    return optax.scale(1.0 - strength)


@dp.experiment("vanishing_gradients.toml")
def main(run: dp.Run) -> list[str]:
    """Print the headline."""
    return [str(run.summary["headline"])]


def verdicts(path: Path) -> list[str]:
    """Use what a run and its results offer."""
    run: dp.Run = dp.load(path)
    results: xr.Dataset = run.results
    again = dp.add_seeds(path, seeds=20)
    model, params = run.model(str(results.arm.values[0]), seed=0)
    outputs = model.predict(params, results.x.values)
    judged = dp.judge({"a": [0.1, 0.2, 0.3], "b": [0.2, 0.3, 0.4]}, metric=str(outputs))
    return [*judged.sentences, str(again.path), dp.__version__]
