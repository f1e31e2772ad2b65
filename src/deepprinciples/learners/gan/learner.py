"""One step of a GAN, whatever the order of its updates. To the engine it is any learner."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from deepprinciples.engine.lane import evaluation
from deepprinciples.engine.streams import lane_key
from deepprinciples.kernels.keys import fold_in, stream
from deepprinciples.learners import averaging
from deepprinciples.learners.gan.players import Setup, begin, is_off
from deepprinciples.learners.gan.updates import EVALUATIONS, GanState, Played, UpdateConfig, field, inputs_of, play
from deepprinciples.types import Array, Batch, Info, Learner, Metric, PyTree

BETWEEN = 8  # pictures along a way from one sample to another


def learner_of(
    *,
    setup: Setup,
    example: Batch,
    config: UpdateConfig,
    metrics: Mapping[str, Metric] | None = None,
    snapshots: int = 0,
) -> Learner:
    """Make the learner of a generator and a discriminator; `updates` has the formulas.

    Of the config, `update` is the order of moves, and `n_critic` the updates of the discriminator before each of the
    generator, each on its own share of the batch. Floats, all *Sweepable*: `consensus`, the strength of that term
    (*Neutral: 0.0*); `weight_clip`, the bound on every parameter of the discriminator (*Neutral: inf*); `average`, the
    decay of the generator's moving average, which is evaluated in its place (*Neutral: 0.0*); `instance_noise`, the
    standard deviation of noise on all that is shown (*Neutral: 0.0*); with `anneal_noise` it falls to 0 over `steps`.

    Args:
        setup: the two and what is between them.
        example: a batch [1, ...] that fixes the shapes.
        config: how they are updated.
        metrics: by name; their outputs are samples, their targets real examples.
        snapshots: samples kept at every evaluation, from the same noise.

    Returns:
        A `Learner`.

    References:
        arXiv:1406.2661 (GAN), arXiv:1807.02629 (extragradient), arXiv:1705.10461 (consensus),
        arXiv:1701.07875 (weight clipping), arXiv:1610.04490 (instance noise), arXiv:1806.04498 (averages).
    """

    def init(key: Array) -> GanState:
        labels = jnp.repeat(jnp.asarray(example.targets), setup.pac_size, axis=0)
        shown = setup.shown(jnp.repeat(jnp.asarray(example.inputs), setup.pac_size, axis=0), labels)
        generator = begin(setup.generator, stream(key, "init"), jnp.zeros((1, setup.latent + setup.classes)))
        discriminator = begin(setup.discriminator, stream(key, "discriminator"), shown)
        average = None if is_off(config.average) else generator.params
        average_state = None if average is None else generator.model_state
        return GanState(generator, discriminator, average, jnp.zeros((), jnp.int32), average_state)

    def step(state: GanState, batch: Batch, key: Array) -> tuple[GanState, Info]:
        played = play(setup, config, state, batch, key)
        return played.state, _info(setup, config, state, played, batch, stream(key, "round"))

    measured = metrics or {}

    def evaluate(state: GanState, batch: Batch, key: Array) -> Mapping[str, PyTree]:
        """Return the discriminator's loss on a batch and as many samples, and what the metrics make of the two."""
        d = state.discriminator
        made = _samples(setup, state, key, batch)
        whole = len(made) // setup.pac_size * setup.pac_size

        def on(x: Array) -> Array:
            labels = batch.targets[:whole]
            return setup.judge(d.params, d.model_state, x[:whole], labels, lane_key(0), train=False)[0]

        packs = setup.loss.discriminator(on(batch.inputs), on(made))
        loss = jnp.concatenate([jnp.repeat(packs, setup.pac_size), jnp.full(len(made) - whole, jnp.mean(packs))])
        return {**{name: metric.statistics(made, batch.inputs) for name, metric in measured.items()}, "loss": loss}

    finalize_for_eval = None if is_off(config.average) else functools.partial(_finalized, setup, config)
    shown_samples = (lambda state: _snapshots(setup, state, snapshots)) if snapshots else None
    cost = EVALUATIONS[config.update] + config.n_critic - 1
    return Learner(init, step, evaluate, cost, measured, shown_samples, finalize_for_eval)


def _finalized(setup: Setup, config: UpdateConfig, state: GanState, batches: Batch, key: Array) -> GanState:
    """Measure the statistics of the averaged generator on noise, for batches [K, B, ...]; those at hand at decay 0."""
    count, size = batches.targets.shape[:2]
    noise = jax.vmap(lambda number: setup.noise(fold_in(key, number), size))(jnp.arange(count))
    asked = batches._replace(inputs=jax.vmap(setup.asked)(noise, batches.targets))
    kept = state.generator.model_state
    model = setup.generator.model
    passed = lambda params, begun, batch: model.apply(params, begun, batch.inputs, key=key, train=True)[1]
    own = averaging.statistics(passed, state.average, kept, asked)
    pick = lambda old, new: jnp.where(jnp.asarray(config.average) == 0.0, old, new)
    return state._replace(average_state=jax.tree.map(pick, kept, own))


def _samples(setup: Setup, state: GanState, key: Array, batch: Batch) -> Array:
    noise = setup.noise(key, len(batch.inputs))
    made, _, _ = setup.generate(state.making, state.making_state, noise, batch.targets, train=False)
    return made


def _snapshots(setup: Setup, state: GanState, count: int) -> dict[str, Array]:
    """Make `count` samples, and some along a quarter circle through the noise from the first of them to the second.

    Of a conditional generator the classes of the samples come too, [count].
    """
    noise = setup.noise(lane_key(evaluation.SEED), max(count, 2))
    turn = jnp.linspace(0.0, jnp.pi / 2, BETWEEN)[:, None]
    line = jnp.cos(turn) * noise[:1] + jnp.sin(turn) * noise[1:2]
    labels = jnp.arange(count) % max(setup.classes, 1)
    asked = {"samples": (noise[:count], labels), "interpolation": (line, jnp.zeros(BETWEEN, jnp.int32))}
    make = lambda one: setup.generate(state.making, state.making_state, *one, train=False)[0]
    classes = {"sample_class": labels} if setup.classes else {}
    return {name: make(one) for name, one in asked.items()} | classes


def _apart(examples: Array) -> Array:
    """Return the mean distance between neighbors in a batch."""
    flat = examples.reshape(len(examples), -1)
    return jnp.mean(jnp.linalg.norm(flat - jnp.roll(flat, 1, axis=0), axis=1))


def _named(generator: Any, discriminator: Any) -> dict[str, Any]:
    """Put what belongs to both players into one setup, "generator.layer_00" and so on."""
    both = {"generator": generator, "discriminator": discriminator}
    tables = {name: one if isinstance(one, Mapping) else {"params": one} for name, one in both.items()}
    return {f"{name}.{key}": value for name, one in tables.items() for key, value in one.items()}


def _info(setup: Setup, config: UpdateConfig, before: GanState, played: Played, batch: Batch, key: Array) -> Info:
    after, at = played.state, played.field
    seen_g, seen_d = at.seen

    def spread() -> Array:
        own = jax.tree.map(lambda a: a[None], batch)
        ready = after if after.average is None else _finalized(setup, config, after, own, stream(key, "settle"))
        return _apart(_samples(setup, ready, key, batch)) / jnp.maximum(_apart(batch.inputs), 1e-30)

    def rotation() -> Array:
        one = inputs_of(config, batch, key, before.step)
        pair = [(f.generator, f.discriminator) for f in (field(setup, before, one), field(setup, after, one))]
        return optax.tree.vdot(*pair) / jnp.maximum(optax.tree.norm(pair[0]) * optax.tree.norm(pair[1]), 1e-30)

    measures: dict[str, Callable[[], Array]] = {
        "discriminator_real": lambda: jnp.mean(jax.nn.sigmoid(seen_d.real)),
        "discriminator_fake": lambda: jnp.mean(jax.nn.sigmoid(seen_d.fake)),
        "critic_gap": lambda: jnp.mean(seen_d.real) - jnp.mean(seen_d.fake),
        "penalty": lambda: seen_d.penalty,
        "generator_loss": lambda: seen_g.loss,
        "generator_gradient": lambda: optax.tree.norm(at.generator),
        "discriminator_gradient": lambda: optax.tree.norm(at.discriminator),
        "diversity": spread,
        "rotation": rotation,
    }
    g, d = before.generator, before.discriminator
    return Info(
        loss=seen_d.loss,
        params=_named(g.params, d.params),
        grads=_named(at.generator, at.discriminator),
        updates=_named(*played.updates),
        opt_state=_named(after.generator.opt_state, after.discriminator.opt_state),
        activations=_named(seen_g.activations, seen_d.activations),
        activation_grads=dict,
        measures=measures,
    )
