"""How numbers of a network become an action: a choice by its softmax, or real numbers around a mean."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from deepprinciples.kernels import random
from deepprinciples.types import Array


class Policy(NamedTuple):
    """A distribution of actions, given by the outputs of a network; `spread` is log sigma of real-valued ones."""

    outputs: Array  # [..., actions] scores, or [..., controls] means
    spread: Array | None = None  # [controls]

    def act(self, noise: Array) -> Array:
        """Return actions for noise from `noise_of`: the score with Gumbel noise that is largest, or mean + sigma z."""
        if self.spread is None:
            return jnp.argmax(self.outputs + noise, axis=-1).astype(jnp.int32)
        return self.outputs + jnp.exp(self._spread_of(noise)) * noise

    def log_probability(self, actions: Array) -> Array:
        """Return log p(action), of a density for real-valued ones, [...]."""
        if self.spread is None:
            rows = jax.nn.log_softmax(self.outputs)
            chosen = jax.nn.one_hot(actions, rows.shape[-1], dtype=rows.dtype)
            return jnp.sum(rows * chosen, axis=-1)
        spread = self._spread_of(actions)
        z = (actions - self.outputs) * jnp.exp(-spread)
        return -jnp.sum(0.5 * z**2 + spread + 0.5 * math.log(2.0 * math.pi), axis=-1)

    def entropy(self) -> Array:
        """Return the entropy in nats, [...]."""
        if self.spread is None:
            rows = jax.nn.log_softmax(self.outputs)
            return -jnp.sum(jnp.exp(rows) * rows, axis=-1)
        total = jnp.sum(self.spread + 0.5 * math.log(2.0 * math.pi * math.e))
        return jnp.broadcast_to(total, self.outputs.shape[:-1])

    def _spread_of(self, actions: Array) -> Array:
        return jnp.broadcast_to(jnp.asarray(self.spread, actions.dtype), actions.shape)


def noise_of(key: Array, shape: tuple[int, ...], *, choice: bool) -> Array:
    """Draw the noise of actions: Gumbel for each score of a choice, else normal."""
    if not choice:
        return random.normal(key, shape)
    least = float(jnp.finfo(jnp.float32).tiny)
    return -jnp.log(-jnp.log(random.uniform(key, shape, minval=least)))
