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

from deepprinciples.kernels import microbatch
from deepprinciples.kernels.keys import fold_in, stream
from deepprinciples.learners.gan.players import (
    Judged,
    PlayerState,
    Setup,
    UpdateInputs,
    discriminator_objective,
    generator_objective,
    is_off,
    move,
)
from deepprinciples.types import Array, Batch, PyTree, Scalar

Update = Literal["alternating", "simultaneous", "extragradient", "consensus"]
EVALUATIONS = {"alternating": 2, "simultaneous": 2, "extragradient": 4, "consensus": 4}


class UpdateConfig(NamedTuple):
    """How a game is played; see `game` for what each means."""

    steps: int
    update: Update = "alternating"
    n_critic: int = 1
    consensus: Scalar = 0.0
    weight_clip: Scalar = jnp.inf
    average: Scalar = 0.0
    instance_noise: Scalar = 0.0
    anneal_noise: bool = True


class GanState(NamedTuple):
    """What a game carries from step to step."""

    generator: PlayerState
    discriminator: PlayerState
    average: PyTree  # of the generator's parameters, None where none is kept
    step: Array
    average_state: PyTree = None  # of a generator with these parameters, as of the last segment's end

    @property
    def making(self) -> PyTree:
        """Return the generator's parameters that make the examples to be evaluated: the average, where there is one."""
        return self.generator.params if self.average is None else self.average

    @property
    def making_state(self) -> PyTree:
        """Return the state of the model that goes with `making`: running statistics belong to their weights."""
        return self.generator.model_state if self.average is None else self.average_state

    @property
    def eval_params(self) -> dict[str, PyTree]:
        """Return the parameters that are evaluated and kept."""
        return {"generator": self.making, "discriminator": self.discriminator.params}

    @property
    def eval_state(self) -> dict[str, PyTree]:
        """Return the states of the models that go with `eval_params`."""
        return {"generator": self.making_state, "discriminator": self.discriminator.model_state}


class Field(NamedTuple):
    """Both gradients at one point of the game, and what was seen on the way: the generator's first."""

    generator: PyTree
    discriminator: PyTree
    seen: tuple[Judged, Judged]


class Played(NamedTuple):
    """A step: the state after it, the gradients it followed, and both updates, the generator's first."""

    state: GanState
    field: Field
    updates: tuple[PyTree, PyTree]


def inputs_of(config: UpdateConfig, batch: Batch, key: Array, step: Array) -> UpdateInputs:
    """Make what one update sees; instance noise falls to 0 over the run where it is annealed."""
    if is_off(config.instance_noise):
        return UpdateInputs(batch, key, 0.0)
    left = jnp.maximum(0.0, 1.0 - step / config.steps) if config.anneal_noise else 1.0
    return UpdateInputs(batch, key, config.instance_noise * left)


def field(setup: Setup, state: GanState, one: UpdateInputs) -> Field:
    """Take both gradients at the same point."""
    grads_d, seen_d = _of_discriminator(setup, state, one)
    grads_g, seen_g = _of_generator(setup, state, one)
    return Field(grads_g, grads_d, (seen_g, seen_d))


def _of_discriminator(setup: Setup, state: GanState, one: UpdateInputs) -> tuple[PyTree, Judged]:
    return _slope(discriminator_objective, setup, state.discriminator, state.generator, one)


def _of_generator(setup: Setup, state: GanState, one: UpdateInputs) -> tuple[PyTree, Judged]:
    return _slope(generator_objective, setup, state.generator, state.discriminator, one)


def _slope(
    objective: Callable, setup: Setup, own: PlayerState, rival: PlayerState, one: UpdateInputs
) -> tuple[PyTree, Judged]:
    """Take a player's gradient, in shares of the batch where they go their own ways and it is large."""

    def of(function: Callable, seen: tuple[Batch, Array]) -> tuple:
        batch, noise = seen
        return function(own.params, setup, own.model_state, rival, one._replace(batch=batch), noise)

    take = partial(of, jax.grad(objective, has_aux=True))
    whole = one.batch, setup.noise(one.key, one.batch.size)
    if not (setup.per_example and is_off(one.blur)):
        return take(whole)
    _, shapes = jax.eval_shape(partial(of, objective), whole)
    count = microbatch.count_of(one.batch.size, shapes.activations, own.params)
    if count == 1:
        return take(whole)
    seen, grads = microbatch.accumulate(lambda share, _: take(share)[::-1], whole, count, shapes, own.params)
    return grads, seen


def _agreed(setup: Setup, config: UpdateConfig, state: GanState, one: UpdateInputs) -> Field:
    """Add the gradient of half the squared norm of the field."""
    here = field(setup, state, one)

    def energy(params: tuple[PyTree, PyTree]) -> Array:
        g, d = (player._replace(params=p) for player, p in zip(state[:2], params, strict=True))
        there = field(setup, state._replace(generator=g, discriminator=d), one)
        return 0.5 * optax.tree.norm((there.generator, there.discriminator), squared=True)

    more = jax.grad(energy)((state.generator.params, state.discriminator.params))
    add = lambda own, extra: jax.tree.map(lambda a, b: a + config.consensus * b, own, extra)
    return here._replace(generator=add(here.generator, more[0]), discriminator=add(here.discriminator, more[1]))


def _move_discriminator(
    setup: Setup, config: UpdateConfig, state: GanState, grads: PyTree, seen: Judged, key: Array
) -> tuple[GanState, PyTree]:
    d, updates = move(setup.discriminator, state.discriminator, grads, seen.loss, key)
    bound = config.weight_clip
    free = isinstance(bound, float) and bound == float("inf")
    params = d.params if free else jax.tree.map(lambda a: jnp.clip(a, -bound, bound), d.params)
    return state._replace(discriminator=d._replace(params=params, model_state=seen.state)), updates


def _move_generator(setup: Setup, state: GanState, grads: PyTree, seen: Judged, key: Array) -> tuple[GanState, PyTree]:
    g, updates = move(setup.generator, state.generator, grads, seen.loss, key)
    return state._replace(generator=g._replace(model_state=seen.state)), updates


def _move_both(
    setup: Setup, config: UpdateConfig, state: GanState, at: Field, key: Array
) -> tuple[GanState, tuple[PyTree, PyTree]]:
    """Let both players step along a field, from the same point."""
    seen_g, seen_d = at.seen
    state, updates_g = _move_generator(setup, state, at.generator, seen_g, stream(key, "generator"))
    state, updates_d = _move_discriminator(setup, config, state, at.discriminator, seen_d, stream(key, "critic"))
    return state, (updates_g, updates_d)


def _alternate(setup: Setup, config: UpdateConfig, state: GanState, batch: Batch, key: Array) -> Played:
    parts = microbatch.cut(batch, config.n_critic)

    def critic(state: GanState, xs: tuple[Batch, Array]) -> tuple[GanState, tuple]:
        share, number = xs
        one = inputs_of(config, share, fold_in(stream(key, "critic"), number), state.step)
        grads, seen = _of_discriminator(setup, state, one)
        state, updates = _move_discriminator(setup, config, state, grads, seen, one.key)
        return state, (grads, seen, updates)

    if config.n_critic == 1:
        state, last = critic(state, (batch, jnp.zeros((), jnp.int32)))
    else:
        state, every = jax.lax.scan(critic, state, (parts, jnp.arange(config.n_critic)))
        last = jax.tree.map(lambda a: a[-1], every)
    grads_d, seen_d, updates_d = last
    one = inputs_of(config, jax.tree.map(lambda a: a[-1], parts), stream(key, "generator"), state.step)
    grads_g, seen_g = _of_generator(setup, state, one)
    state, updates_g = _move_generator(setup, state, grads_g, seen_g, one.key)
    return Played(state, Field(grads_g, grads_d, (seen_g, seen_d)), (updates_g, updates_d))


def play(setup: Setup, config: UpdateConfig, state: GanState, batch: Batch, key: Array) -> Played:
    """Take one step of the game, the moving average included."""
    if config.update == "alternating":
        played = _alternate(setup, config, state, batch, key)
    else:
        one = inputs_of(config, batch, stream(key, "round"), state.step)
        at = _agreed(setup, config, state, one) if config.update == "consensus" else field(setup, state, one)
        if config.update == "extragradient":
            ahead, _ = _move_both(setup, config, state, at, key)
            at = field(setup, ahead, one)
        after, updates = _move_both(setup, config, state, at, key)
        played = Played(after, at, updates)
    decay, moved = config.average, played.state
    if state.average is None:
        return played._replace(state=moved._replace(step=state.step + 1))
    kept = jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, state.average, moved.generator.params)
    return played._replace(state=moved._replace(average=kept, step=state.step + 1))
