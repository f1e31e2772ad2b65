"""The learner of policy gradients: REINFORCE, A2C and PPO are settings of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import optax

from deepprinciples.domains.control import Environment
from deepprinciples.kernels.keys import stream
from deepprinciples.learners.assembly.factories import begun_from
from deepprinciples.learners.control.actions import Policy, noise_of
from deepprinciples.learners.control.actor_critic import Network, actor_critic, by_layer
from deepprinciples.learners.control.advantages import advantages
from deepprinciples.learners.control.environment_checks import problems
from deepprinciples.learners.control.rollouts import Seen, begin, returns
from deepprinciples.learners.control.rollouts import rollout as played
from deepprinciples.learners.control.trained_players import networks, watched
from deepprinciples.learners.grouping import Apart
from deepprinciples.learners.objective import minimize, on_model
from deepprinciples.types import (
    Array,
    Aux,
    Average,
    Batch,
    Count,
    Info,
    Learner,
    Limit,
    Model,
    NonNegative,
    Objective,
    Positive,
    PyTree,
    Scalar,
    Share,
    State,
    traits,
)


@traits(
    metrics={"episode_return": "max", "episode_length": "max"},
    neutral={"clip": math.inf, "value_clip": math.inf, "entropy": 0.0},
    problems=problems,
    networks=networks,
    episode=watched,
    updates=lambda settings: int(settings["epochs"] * settings["minibatches"]),
    environment_steps=lambda settings: int(settings["environments"] * settings["rollout"]),
)
def policy_gradient(
    *,
    network: Network,
    start: Mapping[str, Array],
    optimizer: optax.GradientTransformation,
    trainable: Apart | None,
    gradient: Callable[..., Any],
    regularizers: Sequence[Any],
    weight_averaging: Average | None,
    evaluations: int,
    updates: int,
    environment: Annotated[Environment, "environment"] | str = "cartpole",
    environments: Count = 4,
    rollout: Count = 128,
    epochs: Count = 4,
    minibatches: Count = 4,
    discount: Share = 0.99,
    trace: Share = 0.95,
    clip: Limit = 0.2,
    value_clip: Limit = math.inf,
    value_weight: NonNegative = 0.5,
    entropy: NonNegative = 0.01,
    baseline: Share = 1.0,
    normalize: Share = 1.0,
    policy_scale: NonNegative = 1.0,
    spread: Positive = 1.0,
    episodes: Count = 16,
) -> Learner:
    """Train an actor by the gradient of what it earns, with a critic beside it.

    loss = -min(r A, clip(r, 1 - c, 1 + c) A) + value_weight / 2 max((v - R)^2, (v_clipped - R)^2) - entropy H

    r = p(action) / p_old(action), c = clip, R = A + v_old; A as `advantages` estimates it from values times `baseline`,
    and v_clipped = v_old + clip(v - v_old, -value_clip, value_clip). A step of training plays `rollout` steps of all
    environments, and updates from them `epochs` times in `minibatches` shares, shuffled. Probes see the last update.

    PPO is the default; A2C has epochs = 1, minibatches = 1, clip = inf; REINFORCE also trace = 1.0 and baseline = 0.0.

    Args:
        network: supplied: the `model` of the config, once for the actor and once for the critic.
        start, optimizer, trainable, gradient, regularizers, weight_averaging, evaluations: supplied.
        updates: supplied: of a whole run.
        environment: what is acted in.
        environments: episodes side by side.
        rollout: steps of each between updates.
        epochs: how often each step of a rollout is learned from.
        minibatches: shares of a rollout, each of which makes an update.
        discount: of later rewards. *Sweepable.*
        trace: how far advantages look ahead. *Sweepable.*
        clip: of the ratio of probabilities. *Sweepable.* *Neutral: inf.*
        value_clip: how far a value may move from that of the rollout. *Sweepable.* *Neutral: inf.*
        value_weight: of the critic's squared error. *Sweepable.*
        entropy: how much an actor that stays undecided is rewarded. *Sweepable.* *Neutral: 0.0.*
        baseline: share of the critic's values in the advantages. *Sweepable.*
        normalize: share of the way to advantages of mean 0 and standard deviation 1 in each minibatch. *Sweepable.*
        policy_scale: of the last layer of the actor at the start, where it is drawn. *Sweepable.*
        spread: standard deviation of actions that are real numbers, at the start; it is learned from there. What an
            actor can do already is lost where it is large. *Sweepable.*
        episodes: fresh ones that an evaluation plays.

    Returns:
        A `Learner` whose metrics are `episode_return` and `episode_length`, means over fresh episodes.

    References:
        Williams 1992 (REINFORCE); Mnih et al., arXiv:1602.01783 (A2C); Schulman et al., arXiv:1707.06347 (PPO); Huang
        et al. 2022, The 37 implementation details of proximal policy optimization.
    """
    world: Any = environment
    model = begun_from(actor_critic(network, world, policy_scale, spread), start)
    size, choice = environments * rollout, bool(world.actions)
    example = _example(world, size // minibatches)
    objective = _objective(
        model, clip=clip, value_clip=value_clip, value_weight=value_weight, entropy=entropy, normalize=normalize
    )
    inner = minimize(
        objective, optimizer=optimizer, trainable=trainable, example=example, gradient=gradient,
        penalties=regularizers, evaluations=evaluations, weight_averaging=weight_averaging, steps=updates,
    )  # fmt: skip
    count = world.actions or world.controls

    def outputs_of(params: PyTree, state: PyTree, x: Array) -> Any:
        return model.apply(params, state, x, key=None, train=False)[0]

    def init(key: Array) -> State:
        return inner.init(key)._replace(extra=begin(world, stream(key, "worlds"), environments))

    def learned_from(state: State, seen: Seen) -> Batch:
        """Make examples of a rollout, [T N, ...]."""
        flat = lambda leaf: leaf.reshape(size, *leaf.shape[2:])
        value = lambda x: outputs_of(state.params, state.model_state, flat(x))["value"].reshape(rollout, environments)
        before, after = value(seen.observation), value(seen.after)
        gains = advantages(
            seen.reward,
            baseline * before,
            baseline * after,
            seen.terminated,
            seen.ended,
            discount=discount,
            trace=trace,
        )
        sigma = state.params.get("spread")
        targets = {
            "action": seen.action,
            "log_probability": Policy(seen.outputs, sigma).log_probability(seen.action),
            "advantage": gains,
            "value": before,
            "return": gains + baseline * before,
        }
        return jax.tree.map(flat, Batch(seen.observation, targets))

    def step(state: State, batch: Batch, key: Array) -> tuple[State, Info]:
        del batch
        noise = noise_of(stream(key, "act"), (rollout, environments, count), choice=choice)

        def choose(x: Array, noise: Array) -> tuple[Array, Array]:
            found = outputs_of(state.params, state.model_state, x)
            return found["policy"], Policy(found["policy"], found["spread"]).act(noise)

        worlds, seen = played(world, choose, state.extra, noise, stream(key, "environment"))
        examples = learned_from(state, seen)
        orders = jax.vmap(lambda key: jax.random.permutation(key, size))(jax.random.split(stream(key, "order"), epochs))
        orders = orders.reshape(epochs * minibatches, -1)

        def update(state: State, given: tuple[Array, Array]) -> tuple[State, None]:
            order, number = given
            taken = jax.tree.map(lambda leaf: leaf[order], examples)
            return inner.step(state, taken, jax.random.fold_in(key, number))[0], None

        state = state._replace(extra=())
        state, _ = jax.lax.scan(update, state, (orders[:-1], jnp.arange(len(orders) - 1)))
        last = jax.tree.map(lambda leaf: leaf[orders[-1]], examples)
        state, info = inner.step(state, last, jax.random.fold_in(key, len(orders) - 1))
        return state._replace(extra=worlds), by_layer(info)

    def evaluate(state: State, batch: Batch, key: Array) -> dict[str, Array]:
        del batch

        def act(x: Array, key: Array) -> Array:
            found = outputs_of(state.eval_params, state.eval_state, x)
            noise = noise_of(key, (episodes, count), choice=choice)
            return Policy(found["policy"], found["spread"]).act(noise)

        earned, steps = returns(world, act, key, episodes)
        mean = jnp.mean(earned)[None]
        return {"episode_return": mean, "episode_length": jnp.mean(steps.astype(jnp.float32))[None], "loss": -mean}

    return Learner(init, step, evaluate, evaluations=evaluations * epochs * minibatches)


def _example(world: Environment, size: int) -> Batch:
    zeros = lambda *shape: jnp.zeros((size, *shape))
    action = jnp.zeros(size, jnp.int32) if world.actions else zeros(world.controls)
    numbers = {name: zeros() for name in ("log_probability", "advantage", "value", "return")}
    return Batch(zeros(*world.observation), {"action": action, **numbers})


def _objective(
    model: Model, *, clip: Scalar, value_clip: Scalar, value_weight: Scalar, entropy: Scalar, normalize: Scalar
) -> Objective:
    """Make the clipped objective of minibatches {action, log_probability, advantage, value, return}."""

    def loss(params: PyTree, state: PyTree, batch: Batch, key: Array) -> tuple[Array, Aux]:
        found, state, activations = model.apply(params, state, batch.inputs, key=key, train=True)
        given, policy = batch.targets, Policy(found["policy"], found["spread"])
        gains = given["advantage"]
        normal = (gains - jnp.mean(gains)) / (jnp.std(gains) + 1e-8)
        gains = gains + normalize * (normal - gains)
        ratio = jnp.exp(policy.log_probability(given["action"]) - given["log_probability"])
        gained = jnp.minimum(ratio * gains, jnp.clip(ratio, 1.0 - clip, 1.0 + clip) * gains)
        moved = given["value"] + jnp.clip(found["value"] - given["value"], -value_clip, value_clip)
        errors = jnp.maximum((found["value"] - given["return"]) ** 2, (moved - given["return"]) ** 2)
        losses = -gained + 0.5 * value_weight * errors - entropy * policy.entropy()
        return losses, Aux(state, activations)

    return on_model(model, loss)
