"""The learner of a game: two players, one step, whatever the order of their moves. To the engine it is any learner."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from deepprinciples.engine import averaging
from deepprinciples.engine.moves import EVALUATIONS, GameState, Played, Rules, field, play, round_of
from deepprinciples.engine.players import Table, begin, is_off
from deepprinciples.engine.streams import lane_key
from deepprinciples.kernels.keys import fold_in, stream
from deepprinciples.types import Array, Batch, Info, Learner, SampleMetric

BETWEEN = 8  # pictures along a way from one sample to another
_SAMPLES = 2**31 + 1  # seed of the noise that is judged: the same for every lane and every evaluation


def game(
    *,
    table: Table,
    example: Batch,
    rules: Rules,
    metrics: Mapping[str, SampleMetric] | None = None,
    snapshots: int = 0,
) -> Learner:
    """Make the learner of a game between a generator and a discriminator; `moves` has the formulas.

    Of the rules, `update` is the order of moves, and `n_critic` the updates of the discriminator before each of the
    generator, each on its own share of the batch. Floats, all *Sweepable*: `consensus`, the strength of that term
    (*Neutral: 0.0*); `weight_clip`, the bound on every parameter of the discriminator (*Neutral: inf*); `average`, the
    decay of the generator's moving average, which is judged in its place (*Neutral: 0.0*); `instance_noise`, the
    standard deviation of noise on all that is shown (*Neutral: 0.0*), which falls to 0 over `steps` with `anneal`.

    Args:
        table: the players and what is between them.
        example: a batch [1, ...] that fixes the shapes.
        rules: how they play.
        metrics: name -> metric of a set of samples.
        snapshots: samples kept at every evaluation, from the same noise.

    Returns:
        A `Learner` with `score`.

    References:
        arXiv:1406.2661 (GAN), arXiv:1807.02629 (extragradient), arXiv:1705.10461 (consensus),
        arXiv:1701.07875 (weight clipping), arXiv:1610.04490 (instance noise), arXiv:1806.04498 (averages).
    """

    def init(key: Array) -> GameState:
        labels = jnp.repeat(jnp.asarray(example.targets), table.pack, axis=0)
        shown = table.shown(jnp.repeat(jnp.asarray(example.inputs), table.pack, axis=0), labels)
        generator = begin(table.generator, stream(key, "init"), jnp.zeros((1, table.latent + table.classes)))
        discriminator = begin(table.discriminator, stream(key, "discriminator"), shown)
        average = None if is_off(rules.average) else generator.params
        average_state = None if average is None else generator.model_state
        return GameState(generator, discriminator, average, jnp.zeros((), jnp.int32), average_state)

    def step(state: GameState, batch: Batch, key: Array) -> tuple[GameState, Info]:
        played = play(table, rules, state, batch, key)
        return played.state, _info(table, rules, state, played, batch, stream(key, "round"))

    def evaluate(state: GameState, batch: Batch) -> Mapping[str, Array]:
        """Give the discriminator's loss on a batch and as many samples."""
        d = state.discriminator
        made = _samples(table, state, lane_key(_SAMPLES), batch)
        whole = len(made) // table.pack * table.pack

        def on(x: Array) -> Array:
            labels = batch.targets[:whole]
            return table.judge(d.params, d.model_state, x[:whole], labels, lane_key(0), train=False)[0]

        return {"loss": table.loss.discriminator(on(batch.inputs), on(made))}

    def score(state: GameState, batches: Batch, weights: Array) -> Mapping[str, Array]:
        keys = jax.vmap(lambda k: jax.random.fold_in(lane_key(_SAMPLES), k))(jnp.arange(len(weights)))
        made = jax.lax.map(lambda xs: _samples(table, state, xs[0], xs[1]), (keys, batches))
        flat_made, real = (a.reshape(-1, *a.shape[2:]) for a in (made, batches.inputs))
        alive = weights.reshape(-1)
        found = {name: metric.score(flat_made, real, alive) for name, metric in (metrics or {}).items()}
        found["loss"] = jnp.mean(jax.lax.map(lambda batch: jnp.mean(evaluate(state, batch)["loss"]), batches))
        return {**found, **(_snapshots(table, state, snapshots) if snapshots else {})}

    settle = None if is_off(rules.average) else functools.partial(_settled, table, rules)
    return Learner(init, step, evaluate, EVALUATIONS[rules.update] + rules.n_critic - 1, score, settle)


def _settled(table: Table, rules: Rules, state: GameState, batches: Batch, key: Array) -> GameState:
    """Measure the statistics of the averaged generator on noise, for batches [K, B, ...]; those at hand at decay 0."""
    count, size = batches.targets.shape[:2]
    noise = jax.vmap(lambda number: table.noise(fold_in(key, number), size))(jnp.arange(count))
    asked = Batch(jax.vmap(table.asked)(noise, batches.targets), batches.targets)
    kept = state.generator.model_state
    own = averaging.statistics(table.generator.model, state.average, kept, asked, key)
    pick = lambda old, new: jnp.where(jnp.asarray(rules.average) == 0.0, old, new)
    return state._replace(average_state=jax.tree.map(pick, kept, own))


def _samples(table: Table, state: GameState, key: Array, batch: Batch) -> Array:
    noise = table.noise(key, len(batch.inputs))
    made, _, _ = table.generate(state.making, state.making_state, noise, batch.targets, train=False)
    return made


def _snapshots(table: Table, state: GameState, count: int) -> dict[str, Array]:
    """Make `count` samples, and some along a quarter circle through the noise from the first of them to the second."""
    noise = table.noise(lane_key(_SAMPLES), max(count, 2))
    turn = jnp.linspace(0.0, jnp.pi / 2, BETWEEN)[:, None]
    line = jnp.cos(turn) * noise[:1] + jnp.sin(turn) * noise[1:2]
    labels = jnp.arange(count) % max(table.classes, 1)
    asked = {"samples": (noise[:count], labels), "interpolation": (line, jnp.zeros(BETWEEN, jnp.int32))}
    make = lambda one: table.generate(state.making, state.making_state, *one, train=False)[0]
    return {name: make(one) for name, one in asked.items()}


def _apart(examples: Array) -> Array:
    """Give the mean distance between neighbors in a batch."""
    flat = examples.reshape(len(examples), -1)
    return jnp.mean(jnp.linalg.norm(flat - jnp.roll(flat, 1, axis=0), axis=1))


def _named(generator: Any, discriminator: Any) -> dict[str, Any]:
    """Put what belongs to both players into one table, "generator.layer_00" and so on."""
    both = {"generator": generator, "discriminator": discriminator}
    tables = {name: one if isinstance(one, Mapping) else {"params": one} for name, one in both.items()}
    return {f"{name}.{key}": value for name, one in tables.items() for key, value in one.items()}


def _info(table: Table, rules: Rules, before: GameState, played: Played, batch: Batch, key: Array) -> Info:
    after, at = played.state, played.field
    seen_g, seen_d = at.seen

    def spread() -> Array:
        own = jax.tree.map(lambda a: a[None], batch)
        ready = after if after.average is None else _settled(table, rules, after, own, stream(key, "settle"))
        return _apart(_samples(table, ready, key, batch)) / jnp.maximum(_apart(batch.inputs), 1e-30)

    def rotation() -> Array:
        one = round_of(rules, batch, key, before.step)
        pair = [(f.generator, f.discriminator) for f in (field(table, before, one), field(table, after, one))]
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
