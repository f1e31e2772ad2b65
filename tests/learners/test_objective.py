"""Tasks with one loss and one optimizer beside supervised training: what `minimize` makes of an objective."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

import deepprinciples as dp
from deepprinciples.kernels.keys import stream
from deepprinciples.learners.objective import objective_of
from deepprinciples.parts.models.mlp import mlp
from deepprinciples.types import Batch


def masked(*, data, model, optimizer, metrics, example, hidden: dp.Scalar = 0.5):
    """Learn to fill in numbers that were left out: no label is read."""

    def loss(params, state, batch, key):
        kept = jax.random.uniform(stream(key, "mask"), batch.inputs.shape) > hidden
        made, state, seen = model.apply(params, state, batch.inputs * kept, key=key, train=True)
        errors = jnp.where(kept, 0.0, (made - batch.inputs) ** 2)
        return jnp.sum(errors, axis=1) / jnp.maximum(jnp.sum(~kept, axis=1), 1), dp.Aux(state, seen)

    predict = lambda params, state, inputs: model.apply(params, state, inputs, key=None, train=False)[0]
    objective = dp.Objective(lambda key, batch: model.init(key, batch.inputs), loss, predict)
    return dp.minimize(objective, optimizer=optimizer, example=example, metrics=metrics)


def reader():
    """Read the error of the whole pictures, with the model itself."""
    error = lambda predict, targets: jnp.mean((predict(targets) - targets) ** 2, axis=1)
    error.direction, error.on_model = "min", True
    return error


def test_masked_training_is_a_learner_of_one_objective(tmp_path):
    """Lost when it fails: contrastive and masked tasks need a learner written from nothing."""
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(400, 2)) @ rng.normal(size=(2, 12))).astype(np.float32)  # of rank 2
    config = {
        "data": {"name": "examples", "inputs": rows, "targets": rows, "batch_size": 32},
        "learner": {"factory": masked},
        "model": {"name": "mlp", "depth": 2, "width": 32},
        "optimizer": {"name": "adam", "learning_rate": 3e-3},
        "train": {"steps": 600, "probes": ["gradient_norm", "update_ratio"]},
        "study": {"metric": {"factory": reader}, "seeds": 6},
        "arms": {"half": {}, "nine_tenths": {"learner.hidden": 0.9}},
    }
    run = dp.compare(config, tmp_path / "run")
    half, most = (run.results.test_loss.sel(arm=arm).mean().item() for arm in ("half", "nine_tenths"))
    assert half < 0.25 * rows.var() < most  # what is left tells the rest, as long as it is enough
    assert len(run.summary["programs"]) == 1
    assert np.isfinite(run.results.score).all()


def test_supervised_training_is_minimize_of_its_objective():
    """Lost when it fails: the two would drift apart."""
    model, batch = mlp(outputs=3, width=4), Batch(np.ones((8, 5), np.float32), np.zeros(8, np.int32))
    loss = optax.softmax_cross_entropy_with_integer_labels
    one = dp.minimize(objective_of(model, loss), optimizer=optax.sgd(0.1), example=batch)
    state = one.init(jax.random.key(0))
    after, info = one.step(state, batch, jax.random.key(1))

    def value(params):
        return jnp.mean(
            loss(model.apply(params, state.model_state, batch.inputs, key=None, train=False)[0], batch.targets)
        )

    expected = jax.tree.map(lambda p, g: p - 0.1 * g, state.params, jax.grad(value)(state.params))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), after.params, expected)
    np.testing.assert_allclose(info.loss, value(state.params), rtol=1e-6)
    np.testing.assert_allclose(
        one.evaluate(after, batch, jax.random.key(0))["loss"].mean(), value(after.params), rtol=1e-6
    )
