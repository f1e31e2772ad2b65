"""How two players take turns: where their gradients are taken, and who moves when.

alternating:   d <- d - grad_d L_D(d, g), n_critic times; then g <- g - grad_g L_G(d, g)
simultaneous:  both from the gradients at (d, g)
extragradient: a step to (d', g'), undone; then both from the gradients at (d', g')
consensus:     both from v + consensus grad (|v|^2 / 2), v = (grad_d L_D, grad_g L_G)

Each gradient goes through its player's own transforms and optimizer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from deepprinciples.engine.players import (
    Judged,
    PlayerState,
    Round,
    Table,
    discriminator_objective,
    generator_objective,
    is_off,
    move,
)
from deepprinciples.kernels import shares
from deepprinciples.kernels.keys import fold_in, stream
from deepprinciples.types import Array, Batch, PyTree, Scalar

Update = Literal["alternating", "simultaneous", "extragradient", "consensus"]
EVALUATIONS = {"alternating": 2, "simultaneous": 2, "extragradient": 4, "consensus": 4}


class Rules(NamedTuple):
    """How a game is played; see `game` for what each means."""

    steps: int
    update: Update = "alternating"
    n_critic: int = 1
    consensus: Scalar = 0.0
    weight_clip: Scalar = jnp.inf
    average: Scalar = 0.0
    instance_noise: Scalar = 0.0
    anneal: bool = True


class GameState(NamedTuple):
    """What a game carries from step to step."""

    generator: PlayerState
    discriminator: PlayerState
    average: PyTree  # of the generator's parameters, None where none is kept
    step: Array
    average_state: PyTree = None  # of a generator with these parameters, as of the last segment's end

    @property
    def making(self) -> PyTree:
        """Give the generator's parameters that make the examples to be judged: the average, where there is one."""
        return self.generator.params if self.average is None else self.average

    @property
    def making_state(self) -> PyTree:
        """Give the state of the model that goes with `making`: running statistics belong to their weights."""
        return self.generator.model_state if self.average is None else self.average_state

    @property
    def judged(self) -> dict[str, PyTree]:
        """Give the parameters that are judged and kept."""
        return {"generator": self.making, "discriminator": self.discriminator.params}


class Field(NamedTuple):
    """Both gradients at one point of the game, and what was seen on the way: the generator's first."""

    generator: PyTree
    discriminator: PyTree
    seen: tuple[Judged, Judged]


class Played(NamedTuple):
    """A step: the state after it, the gradients it followed, and both updates, the generator's first."""

    state: GameState
    field: Field
    updates: tuple[PyTree, PyTree]


def round_of(rules: Rules, batch: Batch, key: Array, step: Array) -> Round:
    """Make what one update sees; instance noise falls to 0 over the run where it is annealed."""
    if is_off(rules.instance_noise):
        return Round(batch, key, 0.0)
    left = jnp.maximum(0.0, 1.0 - step / rules.steps) if rules.anneal else 1.0
    return Round(batch, key, rules.instance_noise * left)


def field(table: Table, state: GameState, one: Round) -> Field:
    """Take both gradients at the same point."""
    grads_d, seen_d = _of_discriminator(table, state, one)
    grads_g, seen_g = _of_generator(table, state, one)
    return Field(grads_g, grads_d, (seen_g, seen_d))


def _of_discriminator(table: Table, state: GameState, one: Round) -> tuple[PyTree, Judged]:
    return _slope(discriminator_objective, table, state.discriminator, state.generator, one)


def _of_generator(table: Table, state: GameState, one: Round) -> tuple[PyTree, Judged]:
    return _slope(generator_objective, table, state.generator, state.discriminator, one)


def _slope(
    objective: Callable, table: Table, own: PlayerState, rival: PlayerState, one: Round
) -> tuple[PyTree, Judged]:
    """Take a player's gradient, in shares of the batch where they go their own ways and it is large."""

    def of(function: Callable, seen: tuple[Batch, Array]) -> tuple:
        batch, noise = seen
        return function(own.params, table, own.model_state, rival, one._replace(batch=batch), noise)

    take = partial(of, jax.grad(objective, has_aux=True))
    whole = one.batch, table.noise(one.key, one.batch.size)
    if not (table.separate and is_off(one.blur)):
        return take(whole)
    _, told = jax.eval_shape(partial(of, objective), whole)
    count = shares.count_of(one.batch.size, told.activations, own.params)
    if count == 1:
        return take(whole)
    seen, grads = shares.accumulate(lambda share, _: take(share)[::-1], whole, count, told, own.params)
    return grads, seen


def _agreed(table: Table, rules: Rules, state: GameState, one: Round) -> Field:
    """Add the gradient of half the squared norm of the field."""
    here = field(table, state, one)

    def energy(params: tuple[PyTree, PyTree]) -> Array:
        g, d = (player._replace(params=p) for player, p in zip(state[:2], params, strict=True))
        there = field(table, state._replace(generator=g, discriminator=d), one)
        return 0.5 * optax.tree.norm((there.generator, there.discriminator), squared=True)

    more = jax.grad(energy)((state.generator.params, state.discriminator.params))
    add = lambda own, extra: jax.tree.map(lambda a, b: a + rules.consensus * b, own, extra)
    return here._replace(generator=add(here.generator, more[0]), discriminator=add(here.discriminator, more[1]))


def _move_discriminator(
    table: Table, rules: Rules, state: GameState, grads: PyTree, seen: Judged, key: Array
) -> tuple[GameState, PyTree]:
    d, updates = move(table.discriminator, state.discriminator, grads, seen.loss, key)
    bound = rules.weight_clip
    free = isinstance(bound, float) and bound == float("inf")
    params = d.params if free else jax.tree.map(lambda a: jnp.clip(a, -bound, bound), d.params)
    return state._replace(discriminator=d._replace(params=params, model_state=seen.state)), updates


def _move_generator(
    table: Table, state: GameState, grads: PyTree, seen: Judged, key: Array
) -> tuple[GameState, PyTree]:
    g, updates = move(table.generator, state.generator, grads, seen.loss, key)
    return state._replace(generator=g._replace(model_state=seen.state)), updates


def _move_both(
    table: Table, rules: Rules, state: GameState, at: Field, key: Array
) -> tuple[GameState, tuple[PyTree, PyTree]]:
    """Let both players step along a field, from the same point."""
    seen_g, seen_d = at.seen
    state, updates_g = _move_generator(table, state, at.generator, seen_g, stream(key, "generator"))
    state, updates_d = _move_discriminator(table, rules, state, at.discriminator, seen_d, stream(key, "critic"))
    return state, (updates_g, updates_d)


def _alternate(table: Table, rules: Rules, state: GameState, batch: Batch, key: Array) -> Played:
    parts = shares.cut(batch, rules.n_critic)

    def critic(state: GameState, xs: tuple[Batch, Array]) -> tuple[GameState, tuple]:
        share, number = xs
        one = round_of(rules, share, fold_in(stream(key, "critic"), number), state.step)
        grads, seen = _of_discriminator(table, state, one)
        state, updates = _move_discriminator(table, rules, state, grads, seen, one.key)
        return state, (grads, seen, updates)

    if rules.n_critic == 1:
        state, last = critic(state, (batch, jnp.zeros((), jnp.int32)))
    else:
        state, every = jax.lax.scan(critic, state, (parts, jnp.arange(rules.n_critic)))
        last = jax.tree.map(lambda a: a[-1], every)
    grads_d, seen_d, updates_d = last
    one = round_of(rules, jax.tree.map(lambda a: a[-1], parts), stream(key, "generator"), state.step)
    grads_g, seen_g = _of_generator(table, state, one)
    state, updates_g = _move_generator(table, state, grads_g, seen_g, one.key)
    return Played(state, Field(grads_g, grads_d, (seen_g, seen_d)), (updates_g, updates_d))


def play(table: Table, rules: Rules, state: GameState, batch: Batch, key: Array) -> Played:
    """Take one step of the game, the moving average included."""
    if rules.update == "alternating":
        played = _alternate(table, rules, state, batch, key)
    else:
        one = round_of(rules, batch, stream(key, "round"), state.step)
        at = _agreed(table, rules, state, one) if rules.update == "consensus" else field(table, state, one)
        if rules.update == "extragradient":
            ahead, _ = _move_both(table, rules, state, at, key)
            at = field(table, ahead, one)
        after, updates = _move_both(table, rules, state, at, key)
        played = Played(after, at, updates)
    decay, moved = rules.average, played.state
    if state.average is None:
        return played._replace(state=moved._replace(step=state.step + 1))
    kept = jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, state.average, moved.generator.params)
    return played._replace(state=moved._replace(average=kept, step=state.step + 1))
