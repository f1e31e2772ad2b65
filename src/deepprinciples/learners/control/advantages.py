"""How much better an action was than was to be expected."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from deepprinciples.types import Array, Scalar


def advantages(
    rewards: Array, values: Array, after: Array, terminated: Array, ended: Array, *, discount: Scalar, trace: Scalar
) -> Array:
    """Estimate advantages from rollouts.

    d_t = r_t + discount v(s_{t+1}) (1 - terminated_t) - v(s_t)
    A_t = d_t + discount trace (1 - ended_t) A_{t+1}, A_T = 0

    An episode that is cut off counts what it would still have earned, v(s_{t+1}); one that is terminated does not.

    Args:
        rewards, values, after: r_t, v(s_t) and v(s_{t+1}), [T, N].
        terminated, ended: booleans [T, N].
        discount: of later rewards, in [0, 1].
        trace: how far the estimate looks ahead, in [0, 1]: 0 one step, 1 to the end.

    Returns:
        [T, N].

    References:
        Schulman et al., arXiv:1506.02438.
    """
    differences = rewards + discount * jnp.where(terminated, 0.0, after) - values
    kept = jnp.where(ended, 0.0, discount * trace)
    step = lambda later, given: (given[0] + given[1] * later,) * 2
    return jax.lax.scan(step, jnp.zeros_like(rewards[0]), (differences, kept), reverse=True)[1]
