"""From sections to parts: whose random numbers, whose steps, which way is better."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from deepprinciples import config as configs
from deepprinciples.errors import ConfigError
from deepprinciples.learners.assembly import factories, from_config, measured

BASE = {
    "data": {"name": "wine", "batch_size": 16},
    "model": {"name": "mlp", "depth": 1, "width": 4},
    "loss": {"name": "softmax_cross_entropy"},
    "optimizer": {"name": "sgd", "learning_rate": 0.5},
    "train": {"steps": 10},
}


def resolved(**changes):
    return configs.resolve(configs.changes(BASE, changes), from_config.KINDS)


def updates(config, key=None):
    chain, params = factories.chain(config, 10), {"w": jnp.zeros((100, 100))}
    key = jax.random.key(0, impl="threefry2x32") if key is None else key
    return np.asarray(chain.update(params, chain.init(params), params, key=key, value=jnp.zeros(()))[0]["w"])


def test_two_noises_are_independent():
    """Two noises of one size would add up to one of twice the size, and not of 1.41 times."""
    noise = {"name": "noise", "strength": 0.1, "decay": 0.0}
    both = updates(resolved(transforms={"early": noise, "late": noise}))
    alone = [updates(resolved(transforms={name: noise})) for name in ("early", "late")]
    np.testing.assert_allclose(both, sum(alone), atol=1e-6)
    assert abs(np.corrcoef(alone[0].ravel(), alone[1].ravel())[0, 1]) < 0.05


def test_an_optimizer_that_draws_has_a_stream_of_its_own():
    """A noisy optimizer behind a noise transform would add the same numbers once more."""

    def noisy(*, learning_rate: float = 1.0):
        def update(grads, state, params=None, *, key, **extra):
            return jax.tree.map(
                lambda g: g + 0.1 * jax.random.normal(jax.random.fold_in(key, 0), g.shape), grads
            ), state

        return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)

    silent = updates(resolved(optimizer={"factory": noisy}))
    both = updates(resolved(optimizer={"factory": noisy}, transforms={"noise": {"strength": 0.1, "decay": 0.0}}))
    assert np.std(both) == pytest.approx(np.std(silent) * 2**0.5, rel=0.05)


def rates(schedule, steps=10):
    """Give the steps that sgd takes of a gradient of 1."""
    chain, params = factories.chain(resolved(schedule=schedule), steps), {"w": jnp.ones(())}
    state, found = chain.init(params), []
    for _ in range(steps):
        update, state = chain.update(params, state, params)
        found.append(-float(update["w"]))
    return found


def test_a_users_schedule_is_a_function_of_the_step():
    """A schedule of optax would be called with numbers from 0 to 1: the learning rate would never fall."""
    decay = functools.partial(optax.exponential_decay, 1.0, 2, 0.5)
    np.testing.assert_allclose(
        rates({"factory": lambda: decay()}), [0.5 * 0.5 ** (t / 2) for t in range(10)], rtol=1e-5
    )


def test_a_users_schedule_may_ask_for_the_number_of_steps_or_for_progress():
    """A cosine of optax needs its length, which only the run knows; a shape on [0, 1] could not be given."""

    def cosine(*, steps: int):
        return optax.cosine_decay_schedule(1.0, steps)

    def shape():
        return lambda progress: 0.5 * (1.0 + jnp.cos(jnp.pi * progress))

    shape.of_progress = True
    ours = rates({"name": "cosine"})
    np.testing.assert_allclose(rates({"factory": cosine}), ours, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(rates({"factory": shape}), ours, rtol=1e-5, atol=1e-7)


def hit_rate():
    return lambda outputs, targets: (jnp.argmax(outputs, -1) == targets).astype(jnp.float32)


def problems(config):
    return from_config.check(config, from_config.dataset(config))


def test_a_users_metric_says_which_values_are_better():
    """A metric that is better when higher would be minimized: the worst setting is chosen, the verdict upside down."""
    config = resolved(**{"study.metric": {"factory": hit_rate}})
    expected = 'study.direction: unknown for hit_rate (found None); set it to "max" or "min", or set hit_rate.direction'
    assert problems(config) == [f"{expected} in Python"]
    assert problems(resolved(**{"study.metric": {"factory": hit_rate}, "study.direction": "max"})) == []

    def marked():
        return hit_rate()

    def odd():
        return hit_rate()

    marked.direction, odd.direction = "max", "up"
    assert from_config.higher_is_better(resolved(**{"study.metric": {"factory": marked}}))
    assert "(found 'up')" in problems(resolved(**{"study.metric": {"factory": odd}}))[0]


def test_a_users_metric_with_the_name_of_ours_has_no_trait_of_ours():
    """A user's own `accuracy`, in errors, would be maximized because of its name."""

    def accuracy():
        return hit_rate()

    config = resolved(**{"study.metric": {"factory": accuracy}})
    assert "study.direction: unknown for accuracy" in problems(config)[0] and measured.worst(config) is None


def test_a_metric_cannot_be_called_loss():
    """A user's metric called loss would be replaced by the loss without a word."""

    def loss():
        return hit_rate()

    loss.direction = "max"
    assert (
        "study.metric: loss is the name of what is minimized"
        in problems(resolved(**{"study.metric": {"factory": loss}}))[0]
    )


TUNED = {
    **BASE,
    "study": {"tune": {"optimizer.learning_rate": {"low": 1e-3, "high": 1.0}}},
    "arms": {"a": {}, "b": {"model.width": 9}},
}


@pytest.mark.parametrize(
    "setting",
    ["optimizer.learning_rate=0.1", "optimizer={name = 'adam', learning_rate = 0.1}", "optimizer.learning_rate = 1"],
)
def test_a_tuned_value_is_not_set_by_hand(setting):
    """A value typed on the command line would not count, without a word."""
    with pytest.raises(ConfigError, match=r"^optimizer.learning_rate: is both set and tuned; drop one of them$"):
        configs.override(TUNED, [setting], command="compare")
    assert configs.override(TUNED, [setting])["optimizer"]["learning_rate"] in (0.1, 1)


def test_a_value_that_some_arms_tune_can_be_set_for_the_others():
    """What the arms that do not tune a value train with could not be changed."""
    own = {"tune": {"optimizer.momentum": {"low": 0.1, "high": 0.9, "scale": "linear"}}}
    setting = ["optimizer.momentum=0.5"]
    assert (
        configs.override({**BASE, "arms": {"a": own, "b": {}}}, setting, command="compare")["optimizer"]["momentum"]
        == 0.5
    )
    with pytest.raises(ConfigError, match="optimizer.momentum: is both set and tuned"):
        configs.override({**BASE, "arms": {"a": own, "b": own}}, setting, command="compare")


def test_an_arm_does_not_set_in_a_table_what_is_tuned():
    """The value in the table would not count, without a word."""
    arms = {"a": {}, "b": {"optimizer": {"name": "adam", "learning_rate": 0.1}}}
    with pytest.raises(ConfigError, match="arms.b.optimizer.learning_rate: is both set and tuned"):
        configs.resolve({**TUNED, "arms": arms}, from_config.KINDS)


def test_the_critics_schedule_ends_with_the_run():
    """With several updates of the critic in a step, its learning rate would be at the end of its schedule too early."""

    config = configs.resolve(
        {
            "data": {"name": "gaussian_ring", "size": 200, "batch_size": 20},
            "learner": {"name": "gan", "n_critic": 5},
            "generator": {"model": {"name": "mlp", "width": 4}, "optimizer": "sgd"},
            "discriminator": {
                "model": {"name": "mlp", "width": 4}, "optimizer": {"name": "sgd", "learning_rate": 0.02},
                "schedule": {"name": "step", "boundaries": [0.5], "factor": 0.0001},
            },
            "train": {"steps": 10}, "study": {"metric": "modes_covered"},
        },
        from_config.KINDS,
    )  # fmt: skip
    parts = from_config.dataset(config)
    learner = from_config.learner(config, parts)
    key = jax.random.key(0, impl="threefry2x32")
    batch = type(from_config.splits(parts)["train"])(*(np.asarray(array[:20]) for array in parts.train))
    step = jax.jit(lambda state, key: learner.step(state, batch, key)[0])
    state, moves = learner.init(key), []
    for number in range(10):
        after = step(state, jax.random.fold_in(key, number))
        moves.append(float(optax.tree.norm(optax.tree.sub(after.discriminator.params, state.discriminator.params))))
        state = after
    assert min(moves[:5]) > 50 * max(moves[5:])
