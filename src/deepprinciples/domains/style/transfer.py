"""Style transfer from pictures to a painted picture, in three calls: `load`, `transfer`, `save`.

The losses and networks are in `perceptual`, the trainings in `stylize`. Without pictures of one's own, the two
photographs that scikit-learn carries are taken.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from deepprinciples.domains.style import perceptual, pictures, stylize
from deepprinciples.domains.style.pictures import refusals
from deepprinciples.domains.transfer import trunk
from deepprinciples.parts.fetched import fetching
from deepprinciples.types import Array

__all__ = ["Painted", "Pictures", "load", "refusals", "save", "transfer"]
# What content and roughness weigh where the style weighs 1. Pretrained maps begin at half the size: nothing but the
# pixels holds single pixels in order, and more smoothness is asked for.
WEIGHTS = {"learned": (0.15, 0.2), "efficientnet_lite0": (0.2, 0.8)}


class Pictures(NamedTuple):
    """What is painted, in whose style, and all that features are learned from; [H, W, 3] in [0, 1]."""

    content: Array
    style: Array
    every: list[Array]


class Painted(NamedTuple):
    """A painted picture [H, W, 3], the share of patches distinguished (and by chance), and losses before and after.

    With pretrained features, which distinguish no patches, `right` and `chance` are NaN.
    """

    picture: Array
    right: float
    chance: float
    losses: dict[str, dict[str, float]]  # of "content", "recolored" and "painted": total, content, style, variation


def load(content: str = "", style: str = "", *, size: int = 256) -> Pictures:
    """Read two pictures, the longer side scaled to `size` pixels; "" takes a photograph that is at hand.

    Args:
        content: file of the picture to be painted.
        style: file of the picture whose style it takes on.
        size: pixels of the longer side.

    Raises:
        DataError: a file is missing, is no picture, or has a side of less than 16 pixels.
    """
    photographs = [jnp.asarray(photograph) for photograph in pictures.photographs(size)]
    given = (("content", content), ("style", style))
    own = {name: jnp.asarray(pictures.read(path, size, name)) for name, path in given if path}
    every = [*photographs, *own.values()]
    return Pictures(own.get("content", photographs[0]), own.get("style", photographs[1]), every)


def transfer(
    given: Pictures,
    *,
    way: Literal["optimize", "feed_forward"] = "optimize",
    steps: int = 150,
    features: Literal["learned", "efficientnet_lite0"] = "learned",
    feature_steps: int = 300,
    tell: Callable[[str], Any] = lambda line: None,
) -> Painted:
    """Learn features of the pictures or take pretrained ones, then paint the content in the style of the other.

    Args:
        given: from `load`.
        way: "optimize" descends on the picture, "feed_forward" trains a network on crops of it and paints in one pass.
        steps: of the painting.
        features: "learned" on patches of these pictures, or "efficientnet_lite0", the published weights of that network
            (19 MB, fetched once into the cache directory), with which the shapes of a texture are carried over too.
        feature_steps: of the training of learned features; 1 leaves them random.
        tell: is called with a line of progress now and then.

    Raises:
        DataError: the published weights are not found, or are not the published ones.

    References:
        arXiv:1508.06576 (optimize), arXiv:1603.08155 (feed_forward).
    """
    key_features, key_transfer = jax.random.split(jax.random.key(0))
    content, variation = WEIGHTS[features]
    if features == "learned":
        maps, right = stylize.learn_features(
            given.every, key_features, steps=feature_steps, tell=_teller("features", feature_steps, tell)
        )
        layers, chance = stylize.LEARNED, 1 / (stylize.ROTATIONS * len(given.every))
        tell(f"features: {float(right):.0%} of patches distinguished ({chance:.0%} by chance)")
    else:
        params = trunk.pretrained(fetching.get(trunk.PUBLISHED, "", True), stylize.DEPTH)
        maps, right = stylize.pretrained_features(given.every, params), math.nan
        layers, chance = stylize.PRETRAINED, math.nan
    goal = stylize.goal_of(maps, given.style, content=content, variation=variation, layers=layers)
    recolored, report = perceptual.match_colors(given.content, given.style), _teller(way, steps, tell)
    if way == "optimize":
        painted, _ = stylize.optimize(recolored, goal, steps=steps, tell=report)
    else:
        paint, _ = stylize.learn_transfer(recolored, goal, key_transfer, steps=steps, tell=report)
        painted = paint(recolored)
    judge = jax.jit(lambda x, y: stylize.transfer_losses(x[None], maps(y[None]), goal))
    stages = {"content": given.content, "recolored": recolored, "painted": painted}
    losses = {
        name: {key: float(value) for key, value in judge(picture, recolored).items()}
        for name, picture in stages.items()
    }
    return Painted(painted, right, chance, losses)


def _teller(phase: str, steps: int, tell: Callable[[str], Any]) -> stylize.Tell:
    return lambda step, loss: tell(f"{phase}: step {step} of {steps}, loss {loss:.4f}")


def save(picture: Array, out: str = "") -> Path:
    """Write a picture as a new PNG file; "" takes the first free name in runs/.

    Returns:
        The path of the file.

    Raises:
        ConfigError: the file exists. ResourceError: it cannot be written.
    """
    path = Path(out) if out else _free_name()
    pictures.write(path, jax.device_get(picture))
    return path


def _free_name() -> Path:
    Path("runs").mkdir(exist_ok=True)
    return next(p for n in itertools.count(1) if not (p := Path("runs") / f"style_transfer-{n}.png").exists())
