"""The learner of a game: two players, one step, whatever the order of their updates. The engine sees any other learner.

Simultaneous and alternating descent, extragradient and consensus steps differ in where the two gradients are taken;
that is all this room decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from deepprinciples.engine.players import (
    Judged,
    PlayerState,
    Round,
    Table,
    begin,
    discriminator_objective,
    generator_objective,
    move,
)
from deepprinciples.engine.streams import lane_key, stream
from deepprinciples.types import Array, Batch, Info, Learner, PyTree, SampleMetric, Scalar

Update = Literal["alternating", "simultaneous", "extragradient", "consensus"]
EVALUATIONS = {"alternating": 2, "simultaneous": 2, "extragradient": 4, "consensus": 4}
_BETWEEN = 8
_SAMPLES = 2**31 + 1  # seed of the noise that is judged: the same for every lane and every evaluation


class GameState(NamedTuple):
    """What a game carries from step to step."""

    generator: PlayerState
    discriminator: PlayerState
    average: PyTree  # of the generator's parameters; it makes the examples that are judged
    step: Array

    @property
    def params(self) -> dict[str, PyTree]:
        """Give the parameters that a run keeps."""
        return {"generator": self.average, "discriminator": self.discriminator.params}


class _Field(NamedTuple):
    """Both gradients at one point of the game."""

    generator: PyTree
    discriminator: PyTree
    judged: tuple[Judged, Judged]


def game(
    *,
    table: Table,
    example: Batch,
    steps: int,
    update: Update = "alternating",
    n_critic: int = 1,
    consensus: Scalar = 0.0,
    weight_clip: Scalar = jnp.inf,
    average: Scalar = 0.0,
    instance_noise: Scalar = 0.0,
    anneal: bool = True,
    metrics: Mapping[str, SampleMetric] | None = None,
    snapshots: int = 0,
) -> Learner:
    """Make the learner of a game between a generator and a discriminator.

    alternating:   d <- d - grad_d L_D(d, g), n_critic times; then g <- g - grad_g L_G(d, g)
    simultaneous:  both from the gradients at (d, g)
    extragradient: a step to (d', g'), undone; then both from the gradients at (d', g')
    consensus:     both from v + consensus grad (|v|^2 / 2), v = (grad_d L_D, grad_g L_G)

    Each gradient goes through its player's own transforms and optimizer.

    Args:
        table: the players and what is between them.
        example: a batch [1, ...] that fixes the shapes.
        steps: of the whole run; instance noise falls to 0 over them.
        update: the order of updates.
        n_critic: updates of the discriminator before each of the generator; each sees its own share of the batch.
        consensus: strength of the consensus term. *Sweepable.* *Neutral: 0.0.*
        weight_clip: bound on every parameter of the discriminator. *Sweepable.* *Neutral: inf.*
        average: decay of the generator's moving average, which is judged in its place. *Sweepable.* *Neutral: 0.0.*
        instance_noise: standard deviation of noise on all that is shown. *Sweepable.* *Neutral: 0.0.*
        anneal: let that noise fall to 0 in a line over the run.
        metrics: name -> metric of a set of samples.
        snapshots: samples kept at every evaluation, from the same noise.

    Returns:
        A `Learner` with `score`.

    References:
        arXiv:1406.2661 (GAN), arXiv:1807.02629 (extragradient), arXiv:1705.10461 (consensus),
        arXiv:1701.07875 (weight clipping), arXiv:1610.04490 (instance noise), arXiv:1806.04498 (averages).
    """

    def init(key: Array) -> GameState:
        labels = jnp.asarray(example.targets)
        noise = jnp.zeros((1, table.latent + table.classes))
        generator = begin(table.generator, stream(key, "init"), noise)
        shown = table.shown(jnp.repeat(jnp.asarray(example.inputs), table.pack, axis=0), jnp.repeat(labels, table.pack))
        discriminator = begin(table.discriminator, stream(key, "discriminator"), shown)
        return GameState(generator, discriminator, generator.params, jnp.zeros((), jnp.int32))

    def turn(batch: Batch, key: Array, step: Array) -> Round:
        left = jnp.maximum(0.0, 1.0 - step / steps) if anneal else 1.0
        return Round(batch, key, instance_noise * left)

    def field(state: GameState, one: Round) -> _Field:
        d, g = state.discriminator, state.generator
        (_, seen_d), grads_d = jax.value_and_grad(discriminator_objective, has_aux=True)(
            d.params, table, d.model_state, g, one
        )
        (_, seen_g), grads_g = jax.value_and_grad(generator_objective, has_aux=True)(
            g.params, table, g.model_state, d, one
        )
        return _Field(grads_g, grads_d, (seen_g, seen_d))

    def agreed(state: GameState, one: Round) -> _Field:
        """Add the gradient of half the squared norm of the field."""
        here = field(state, one)

        def energy(params: tuple[PyTree, PyTree]) -> Array:
            moved = state._replace(
                generator=state.generator._replace(params=params[0]),
                discriminator=state.discriminator._replace(params=params[1]),
            )
            there = field(moved, one)
            return 0.5 * optax.tree.norm((there.generator, there.discriminator), squared=True)

        more = jax.grad(energy)((state.generator.params, state.discriminator.params))
        add = lambda own, extra: jax.tree.map(lambda a, b: a + consensus * b, own, extra)  # noqa: E731
        return here._replace(generator=add(here.generator, more[0]), discriminator=add(here.discriminator, more[1]))

    def moved(state: GameState, at: _Field, key: Array) -> tuple[GameState, PyTree]:
        """Let both players step along a field; their model states are those the field left."""
        seen_g, seen_d = at.judged
        g, updates_g = move(table.generator, state.generator, at.generator, seen_g.loss, stream(key, "generator"))
        d, updates_d = move(table.discriminator, state.discriminator, at.discriminator, seen_d.loss, key)
        d = d._replace(params=_clipped(d.params, weight_clip), model_state=seen_d.state)
        return state._replace(generator=g._replace(model_state=seen_g.state), discriminator=d), (updates_g, updates_d)

    def alternate(state: GameState, batch: Batch, key: Array) -> tuple[GameState, _Field, PyTree]:
        shares = jax.tree.map(lambda a: a.reshape(n_critic, -1, *a.shape[1:]), batch)

        def critic(state: GameState, xs: tuple[Batch, Array]) -> tuple[GameState, tuple]:
            share, number = xs
            one = turn(share, jax.random.fold_in(stream(key, "critic"), number), state.step)
            d, g = state.discriminator, state.generator
            objective = jax.value_and_grad(discriminator_objective, has_aux=True)
            (_, seen), grads = objective(d.params, table, d.model_state, g, one)
            d, updates = move(table.discriminator, d, grads, seen.loss, one.key)
            d = d._replace(params=_clipped(d.params, weight_clip), model_state=seen.state)
            return state._replace(discriminator=d), (grads, seen, updates)

        if n_critic == 1:
            state, (grads_d, seen_d, updates_d) = critic(state, (batch, jnp.zeros((), jnp.int32)))
        else:
            state, all_of = jax.lax.scan(critic, state, (shares, jnp.arange(n_critic)))
            grads_d, seen_d, updates_d = jax.tree.map(lambda a: a[-1], all_of)
        one = turn(jax.tree.map(lambda a: a[-1], shares), stream(key, "generator"), state.step)
        d, g = state.discriminator, state.generator
        (_, seen_g), grads_g = jax.value_and_grad(generator_objective, has_aux=True)(
            g.params, table, g.model_state, d, one
        )
        g, updates_g = move(table.generator, g, grads_g, seen_g.loss, one.key)
        state = state._replace(generator=g._replace(model_state=seen_g.state))
        return state, _Field(grads_g, grads_d, (seen_g, seen_d)), (updates_g, updates_d)

    def step(state: GameState, batch: Batch, key: Array) -> tuple[GameState, Info]:
        one = turn(batch, stream(key, "round"), state.step)
        if update == "alternating":
            after, at, updates = alternate(state, batch, key)
        else:
            at = agreed(state, one) if update == "consensus" else field(state, one)
            if update == "extragradient":
                ahead, _ = moved(state, at, key)
                at = field(ahead, one)
            after, updates = moved(state, at, key)
        kept = jax.tree.map(lambda old, new: average * old + (1 - average) * new, state.average, after.generator.params)
        after = after._replace(average=kept, step=state.step + 1)

        def spread() -> Array:
            made = _samples(table, after, one.key, batch)
            return _apart(made) / jnp.maximum(_apart(batch.inputs), 1e-30)

        return after, _info(state, after, at, updates, lambda s: field(s, one), spread)

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
        flat = lambda a: a.reshape(-1, *a.shape[2:])  # noqa: E731
        flat_made, real, alive = flat(made), flat(batches.inputs), weights.reshape(-1)
        found = {name: metric.score(flat_made, real, alive) for name, metric in (metrics or {}).items()}
        losses = jax.lax.map(lambda batch: jnp.mean(evaluate(state, batch)["loss"]), batches)
        found["loss"] = jnp.mean(losses)
        return {**found, **(_snapshots(table, state, snapshots) if snapshots else {})}

    return Learner(init, step, evaluate, EVALUATIONS[update] + n_critic - 1, score)


def _clipped(params: PyTree, bound: Scalar) -> PyTree:
    return jax.tree.map(lambda a: jnp.clip(a, -bound, bound), params)


def _samples(table: Table, state: GameState, key: Array, batch: Batch) -> Array:
    noise = table.noise(key, len(batch.inputs))
    made, _, _ = table.generate(state.average, state.generator.model_state, noise, batch.targets, train=False)
    return made


def _snapshots(table: Table, state: GameState, count: int) -> dict[str, Array]:
    """Make `count` samples, and 8 along a quarter circle through the noise from the first of them to the second."""
    noise = table.noise(lane_key(_SAMPLES), max(count, 2))
    turn = jnp.linspace(0.0, jnp.pi / 2, _BETWEEN)[:, None]
    line = jnp.cos(turn) * noise[:1] + jnp.sin(turn) * noise[1:2]
    many = {"samples": noise[:count], "interpolation": line}
    made = {}
    for name, one in many.items():
        labels = jnp.arange(len(one)) % max(table.classes, 1) if name == "samples" else jnp.zeros(len(one), int)
        made[name], _, _ = table.generate(state.average, state.generator.model_state, one, labels, train=False)
    return made


def _apart(examples: Array) -> Array:
    """Give the mean distance between neighbors in a batch."""
    flat = examples.reshape(len(examples), -1)
    return jnp.mean(jnp.linalg.norm(flat - jnp.roll(flat, 1, axis=0), axis=1))


def _named(generator: Any, discriminator: Any) -> dict[str, Any]:
    """Put what belongs to both players into one table, "generator.layer_00" and so on."""
    both = {"generator": generator, "discriminator": discriminator}
    tables = {name: one if isinstance(one, Mapping) else {"params": one} for name, one in both.items()}
    return {f"{name}.{key}": value for name, one in tables.items() for key, value in one.items()}


def _info(before: GameState, after: GameState, at: _Field, updates: tuple, field: Callable, spread: Callable) -> Info:
    seen_g, seen_d = at.judged

    def measures() -> dict[str, Array]:
        one, two = field(before), field(after)
        pair = [(f.generator, f.discriminator) for f in (one, two)]
        norms = optax.tree.norm(pair[0]) * optax.tree.norm(pair[1])
        return {
            "discriminator_real": jnp.mean(jax.nn.sigmoid(seen_d.real)),
            "discriminator_fake": jnp.mean(jax.nn.sigmoid(seen_d.fake)),
            "critic_gap": jnp.mean(seen_d.real) - jnp.mean(seen_d.fake),
            "penalty": seen_d.penalty,
            "generator_loss": seen_g.loss,
            "generator_gradient": optax.tree.norm(at.generator),
            "discriminator_gradient": optax.tree.norm(at.discriminator),
            "diversity": spread(),
            "rotation": optax.tree.vdot(*pair) / jnp.maximum(norms, 1e-30),
        }

    g, d = before.generator, before.discriminator
    return Info(
        loss=seen_d.loss,
        params=_named(g.params, d.params),
        grads=_named(at.generator, at.discriminator),
        updates=_named(*updates),
        opt_state=_named(after.generator.opt_state, after.discriminator.opt_state),
        activations=_named(seen_g.activations, seen_d.activations),
        activation_grads=dict,
        measures=measures,
    )
