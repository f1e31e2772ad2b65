"""What a learner acts in: an environment as pure functions of one episode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from deepprinciples.types import Array, PyTree


class Environment(NamedTuple):
    """A world as pure functions of one episode; learners run many of them side by side and begin them anew.

    reset(key) -> (state, observation)
    step(key, state, action) -> (state, observation, reward, terminated)

    Terminated is the end of an episode by what happened in it, such as a fall: nothing is earned after it. After
    `horizon` steps an episode is cut off: what would have been earned after that still counts, by its estimate.

    Args:
        reset, step: see above; the state is any tree of arrays, an observation float32 [*observation].
        observation: shape of an observation.
        actions: an action is a whole number below it, int32; 0 where an action is made of real numbers.
        controls: real numbers that an action is made of, float32 [controls]; 0 where it is a choice.
        horizon: steps after which an episode is cut off.
        draw: (axes, state), draws a state with Matplotlib; None where there is no picture.
    """

    reset: Callable[[Array], tuple[PyTree, Array]]
    step: Callable[[Array, PyTree, Array], tuple[PyTree, Array, Array, Array]]
    observation: tuple[int, ...]
    actions: int = 0
    controls: int = 0
    horizon: int = 500
    draw: Callable[[Any, PyTree], None] | None = None
