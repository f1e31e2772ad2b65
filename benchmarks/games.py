"""A game as a careful JAX user writes it by hand: one update of the discriminator, then one of the generator.

It knows nothing of our engine, and serves our models and stock Flax alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from workloads import GAME_B1, LATENT, LEARNING_RATE, OURS, Workload, examples


class Players(NamedTuple):
    """Something for each player: two networks (params, inputs) -> outputs, two trees of parameters, or two states."""

    generator: Any
    discriminator: Any


def our_players(workload: Workload) -> tuple[Players, Players]:
    """Build our two networks and their first parameters."""
    from deepprinciples.learners.assembly import from_config

    sections, shape = OURS[workload.name](), workload.shape
    generator = from_config.part("generator", sections["generator"], outputs=int(np.prod(shape)), shape=shape)
    discriminator = from_config.part("model", sections["discriminator"], outputs=1, vocabulary=0, shape=shape)
    latents, shown = np.zeros((1, LATENT), np.float32), examples(workload, 1)[0]

    def network(model: Any, x: Any) -> tuple[Callable[[Any, Any], Any], Any]:
        params, state = jax.jit(model.init)(jax.random.key(0), x)
        return lambda p, x: model.apply(p, state, x, key=None, train=True)[0], params

    pairs = network(generator, latents), network(discriminator, shown)
    return Players(*(pair[0] for pair in pairs)), Players(*(pair[1] for pair in pairs))


def play(networks: Players, workload: Workload) -> tuple[Callable, Callable]:
    """Write a step of both: fresh noise for each, and the generator against the discriminator as it has become.

    Returns:
        start(params) -> carry, and step(carry, index [B], inputs, targets) -> (carry, loss).
    """
    adam = optax.adam(LEARNING_RATE, b1=GAME_B1)

    def made(params: Any, key: Any) -> Any:
        noise = jax.random.normal(key, (workload.batch, LATENT))
        return networks.generator(params, noise).reshape(-1, *workload.shape)

    def catch(params: Any, real: Any, fake: Any) -> Any:
        on_real, on_fake = networks.discriminator(params, real), networks.discriminator(params, fake)
        return jnp.mean(jax.nn.softplus(-on_real)) + jnp.mean(jax.nn.softplus(on_fake))

    def fool(params: Any, judge: Any, key: Any) -> Any:
        return jnp.mean(jax.nn.softplus(-networks.discriminator(judge, made(params, key))))

    def updated(params: Any, state: Any, grads: Any) -> tuple[Any, Any]:
        updates, state = adam.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    def step(carry: Any, index: Any, inputs: Any, targets: Any) -> tuple[Any, Any]:
        del targets
        (g, d), (state_g, state_d), key = carry
        key, one, other = jax.random.split(key, 3)
        loss, grads = jax.value_and_grad(catch)(d, inputs[index], made(g, one))
        d, state_d = updated(d, state_d, grads)
        g, state_g = updated(g, state_g, jax.grad(fool)(g, d, other))
        return (Players(g, d), Players(state_g, state_d), key), loss

    return lambda params: (params, Players(*map(adam.init, params)), jax.random.key(0)), step
