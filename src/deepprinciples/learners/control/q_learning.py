"""The learner of action values: DQN with a replay memory, a target network, and double and dueling as settings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from deepprinciples.domains.control import Environment
from deepprinciples.kernels import random
from deepprinciples.kernels.keys import stream
from deepprinciples.learners.assembly.factories import begun_from
from deepprinciples.learners.control.actor_critic import Network
from deepprinciples.learners.control.environment_checks import problems
from deepprinciples.learners.control.replay_memory import Memory
from deepprinciples.learners.control.rollouts import Worlds, begin, returns
from deepprinciples.learners.control.rollouts import rollout as played
from deepprinciples.learners.control.trained_players import networks, watched
from deepprinciples.learners.grouping import Apart
from deepprinciples.learners.objective import minimize, on_model
from deepprinciples.types import (
    Array,
    Aux,
    Batch,
    Count,
    Info,
    Learner,
    Limit,
    Model,
    Objective,
    PyTree,
    Share,
    State,
    traits,
)


class Kept(NamedTuple):
    """What is carried from step to step beside the network."""

    worlds: Worlds
    memory: Memory
    target: PyTree  # parameters
    steps: Array  # so far


@traits(
    metrics={"episode_return": "max", "episode_length": "max"},
    neutral={"double": 0.0, "huber": math.inf},
    problems=problems,
    networks=networks,
    episode=watched,
    environment_steps=lambda settings: int(settings["environments"] * settings["rollout"]),
)
def q_learning(
    *,
    network: Network,
    start: Mapping[str, Array],
    optimizer: optax.GradientTransformation,
    trainable: Apart | None,
    gradient: Callable[..., Any],
    regularizers: Sequence[Any],
    evaluations: int,
    steps: int,
    environment: Annotated[Environment, "environment"] | str = "cartpole",
    environments: Count = 8,
    rollout: Count = 8,
    capacity: Count = 8192,
    minibatch: Count = 128,
    warmup: Count = 1024,
    discount: Share = 0.99,
    target_rate: Share = 1.0,
    target_every: Count = 50,
    double: Share = 0.0,
    dueling: bool = False,
    huber: Limit = math.inf,
    exploration: Share = 0.05,
    explored: Share = 0.5,
    episodes: Count = 16,
) -> Learner:
    """Learn what every action is worth from a memory of what was seen.

    loss = h(Q(s, a) - y), y = r + discount (1 - terminated) ((1 - double) max_a Q'(s', a) + double Q'(s', a*))

    a* = argmax_a Q(s', a); Q' has the parameters of the target network, which every `target_every` steps moves by
    target_rate (Q - Q'); h(e) = e^2 / 2, or Huber's with `huber`. A step of training plays `rollout` steps of all
    environments, with an action at random with probability e, and makes one update from `minibatch` transitions of the
    memory. e falls from 1 to `exploration` over the first `explored` share of the run.

    Args:
        network: supplied: the `model` of the config, with an output for each action.
        start, optimizer, trainable, gradient, regularizers, evaluations, steps: supplied.
        environment: what is acted in, with a choice of actions.
        environments: episodes side by side.
        rollout: steps of each between updates.
        capacity: transitions that the memory holds; a multiple of environments x rollout.
        minibatch: transitions of an update.
        warmup: transitions before the first update.
        discount: of later rewards. *Sweepable.*
        target_rate: how far the target network moves. *Sweepable.*
        target_every: steps between its moves.
        double: share of a target whose action the network itself chooses. *Sweepable.* *Neutral: 0.0.*
        dueling: Q = V + A - mean A, from one output more.
        huber: error from which on the loss is a line. *Sweepable.* *Neutral: inf.*
        exploration: probability of a random action in the end. *Sweepable.*
        explored: share of the run after which it is reached. *Sweepable.*
        episodes: fresh ones that an evaluation plays, without random actions.

    Returns:
        A `Learner` whose metrics are `episode_return` and `episode_length`, means over fresh episodes. The memory is
        part of its state, which is copied in every step: for pictures keep it small.

    References:
        Mnih et al., arXiv:1312.5602; van Hasselt et al., arXiv:1509.06461 (double); Wang et al., arXiv:1511.06581
        (dueling).
    """
    world: Any = environment
    count, size = world.actions, environments * rollout
    model = begun_from(network(count + dueling, world.observation), start)
    zeros = jnp.zeros((minibatch, *world.observation))
    example = Batch(zeros, {"action": jnp.zeros(minibatch, jnp.int32), "target": jnp.zeros(minibatch)})
    inner = minimize(
        _objective(model, dueling, huber), optimizer=optimizer, trainable=trainable, example=example,
        gradient=gradient, penalties=regularizers, evaluations=evaluations, steps=steps,
    )  # fmt: skip

    def worth(params: PyTree, state: PyTree, x: Array) -> Array:
        return _worth(model.apply(params, state, x, key=None, train=False)[0], dueling)

    def init(key: Array) -> State:
        state = inner.init(key)
        row = {
            "observation": jnp.zeros(world.observation),
            "action": jnp.zeros((), jnp.int32),
            "reward": jnp.zeros(()),
            "after": jnp.zeros(world.observation),
            "terminated": jnp.zeros((), bool),
        }
        worlds = begin(world, stream(key, "worlds"), environments)
        return state._replace(extra=Kept(worlds, Memory.empty(row, capacity), state.params, jnp.zeros((), jnp.int32)))

    def step(state: State, batch: Batch, key: Array) -> tuple[State, Info]:
        del batch
        kept: Kept = state.extra
        random_share = jnp.maximum(
            exploration, 1.0 - (1.0 - exploration) * kept.steps / jnp.maximum(explored * steps, 1)
        )
        noise = random.uniform(stream(key, "act"), (rollout, environments, 2))

        def choose(x: Array, noise: Array) -> tuple[Array, Array]:
            values = worth(state.params, state.model_state, x)
            at_random = (noise[:, 1] * count).astype(jnp.int32)
            return values, jnp.where(noise[:, 0] < random_share, at_random, jnp.argmax(values, axis=-1))

        worlds, seen = played(world, choose, kept.worlds, noise, stream(key, "environment"))
        rows = {name: getattr(seen, name) for name in kept.memory.rows}
        memory = kept.memory.added(jax.tree.map(lambda leaf: leaf.reshape(size, *leaf.shape[2:]), rows))
        drawn = memory.drawn(stream(key, "draw"), minibatch)
        target = targets(drawn, state, kept.target)
        before = state._replace(extra=())
        after, info = inner.step(
            before, Batch(drawn["observation"], {"action": drawn["action"], "target": target}), key
        )
        ready = memory.written >= warmup
        after = jax.tree.map(lambda new, old: jnp.where(ready, new, old), after, before)
        moves = (kept.steps + 1) % target_every == 0
        rate = jnp.where(moves, target_rate, 0.0)
        follow = lambda held, now: held + rate * (now - held)
        extra = Kept(worlds, memory, jax.tree.map(follow, kept.target, after.params), kept.steps + 1)
        return after._replace(extra=extra), info

    def targets(drawn: Any, state: State, held: PyTree) -> Array:
        """Return what the actions of transitions turned out to be worth."""
        theirs = worth(held, state.model_state, drawn["after"])
        own = jnp.argmax(worth(state.params, state.model_state, drawn["after"]), axis=-1)
        chosen = jnp.take_along_axis(theirs, own[:, None], axis=-1)[:, 0]
        after = jnp.max(theirs, axis=-1)
        after = after + double * (chosen - after)
        return drawn["reward"] + discount * jnp.where(drawn["terminated"], 0.0, after)

    def evaluate(state: State, batch: Batch, key: Array) -> dict[str, Array]:
        del batch
        act = lambda x, key: jnp.argmax(worth(state.params, state.model_state, x), axis=-1)
        earned, lengths = returns(world, act, key, episodes)
        mean = jnp.mean(earned)[None]
        return {"episode_return": mean, "episode_length": jnp.mean(lengths.astype(jnp.float32))[None], "loss": -mean}

    return Learner(init, step, evaluate, evaluations=evaluations)


def _worth(outputs: Array, dueling: bool) -> Array:
    """Return Q [B, A] from the outputs of the network."""
    if not dueling:
        return outputs
    gains = outputs[..., 1:]
    return outputs[..., :1] + gains - jnp.mean(gains, axis=-1, keepdims=True)


def _objective(model: Model, dueling: bool, huber: Limit) -> Objective:
    """Make the objective of transitions {action, target}."""

    def loss(params: PyTree, state: PyTree, batch: Batch, key: Array) -> tuple[Array, Aux]:
        outputs, state, activations = model.apply(params, state, batch.inputs, key=key, train=True)
        values = _worth(outputs, dueling)
        chosen = jnp.take_along_axis(values, batch.targets["action"][:, None], axis=-1)[:, 0]
        error = jnp.abs(chosen - jax.lax.stop_gradient(batch.targets["target"]))
        near = jnp.minimum(error, huber)
        return near * (error - 0.5 * near), Aux(state, activations)

    return on_model(model, loss)._replace(per_example=model.per_example)
