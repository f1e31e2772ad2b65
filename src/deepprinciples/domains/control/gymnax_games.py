"""The environments of the library gymnax (extra `rl`), classic control, MinAtar and more, through one adapter."""

from __future__ import annotations

import jax.numpy as jnp

from deepprinciples.domains.control.environment import Environment
from deepprinciples.errors import ResourceError
from deepprinciples.types import Array, PyTree, Size


def gymnax(*, id: str = "CartPole-v1", horizon: Size = 0) -> Environment:
    """Make an environment of gymnax.

    Args:
      id: its name there, such as "MountainCar-v0" or "Breakout-MinAtar".
      horizon: steps after which an episode is cut off; 0 for gymnax's own number.
    Returns: Environment with gymnax's observations as float32, and its actions.
    Raises: ResourceError without gymnax; ValueError for a name that it does not know, and for spaces of another
      kind.
    References: Lange 2022, gymnax: a JAX-based reinforcement learning environment library.
    """
    try:
        import gymnax as library
    except ImportError as error:
        raise ResourceError(
            'environment "gymnax": needs the package gymnax, which is missing: pip install "deepprinciples[rl]"'
        ) from error
    if id not in library.registered_envs:
        raise ValueError(f"gymnax.id: no environment {id!r} (there are {', '.join(sorted(library.registered_envs))})")
    game, params = library.make(id)
    space, shape = game.action_space(params), getattr(game.observation_space(params), "shape", None)
    actions, controls = int(getattr(space, "n", 0)), sum(getattr(space, "shape", ()))
    if shape is None or not (actions or controls):
        raise ValueError(f"gymnax.id: {id!r} has spaces of another kind; expected an array and a choice or numbers")

    def reset(key: Array) -> tuple[PyTree, Array]:
        observation, state = game.reset_env(key, params)
        return state, observation.astype(jnp.float32)

    def step(key: Array, state: PyTree, action: Array) -> tuple[PyTree, Array, Array, Array]:
        observation, after, reward, terminated, _ = game.step_env(key, state, action, params)
        return after, observation.astype(jnp.float32), jnp.asarray(reward, jnp.float32), jnp.asarray(terminated, bool)

    most = horizon or int(params.max_steps_in_episode)
    return Environment(reset, step, tuple(shape), actions, 0 if actions else int(controls), most)
