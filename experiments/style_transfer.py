"""Can a picture take on the style of another with features learned on the spot, without a network from elsewhere?

    python experiments/style_transfer.py [content=PATH] [style=PATH] [out=PATH] [size=256] [steps=150] [way=optimize]

Ways: optimize (descend on the picture) or feed_forward (train a network on crops, then one pass).
Time on 2 cores: 2 minutes for optimize, 3 for feed_forward, with other work beside it.
Found on 2026-11-21: It can, in colors and shading; petals do not grow. Features that tell patches of the pictures apart
half of the time (chance: an eighth) see the style loss fall from 2.66 to 0.016 by optimizing, to 0.021 in one pass;
recoloring alone leaves 0.36. Random features (feature_steps=1) give a picture as good to the eye: what helped was
equal scale of the channels, colors matched first, Gram matrices of the pixels, and logits in place of a clip.
"""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from deepprinciples.config.wording import quoted, suggestion
from deepprinciples.errors import ConfigError, DeepprinciplesError
from deepprinciples.parts import style, stylize
from deepprinciples.parts.data import pictures

CONTENT, VARIATION = 0.15, 0.2  # what these two weigh where the style weighs 1
RANGES = {"size": (32, 640), "steps": (1, 10_000), "feature_steps": (1, 10_000)}
WAYS = ("optimize", "feed_forward")


class Options(NamedTuple):
    """What can be said on the command line; without pictures, those that scikit-learn carries are taken."""

    content: str = ""
    style: str = ""
    out: str = ""
    size: int = 256  # pixels of the longer side
    steps: int = 150
    feature_steps: int = 300
    way: str = "optimize"


def options_of(changes: tuple[str, ...]) -> Options:
    """Read NAME=VALUE; all problems are told at once."""
    found: dict[str, Any] = {}
    problems = []
    for change in changes:
        name, sign, text = change.partition("=")
        if not sign or name not in Options._fields:
            names = f"{', '.join(Options._fields)}{suggestion(name, Options._fields)}"
            problems.append(f"{quoted(change)}: expected NAME=VALUE with a name of {names}")
        elif name in RANGES:
            low, high = RANGES[name]
            found[name] = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else -1
            if not low <= found[name] <= high:
                problems.append(f"{name}: found {quoted(text)}, expected a whole number from {low} to {high}")
        elif name == "way" and text not in WAYS:
            problems.append(f"way: found {quoted(text)}, expected {' or '.join(WAYS)}{suggestion(text, WAYS)}")
        elif not text:
            problems.append(f"{name}: found nothing after =, expected a file name; leave {name} out for the default")
        else:
            found[name] = text
    if problems := problems + pictures.refusals(found.get("out", "")):
        raise ConfigError(*problems)
    return Options(**found)


def main(*changes: str) -> Path:
    """Paint one picture with options such as "size=128" and say what it cost; gives the file."""
    start, options = time.perf_counter(), options_of(changes)
    photographs = [jnp.asarray(photograph) for photograph in pictures.photographs(options.size)]
    given = (("content", options.content), ("style", options.style))
    own = {name: jnp.asarray(pictures.read(path, options.size, name)) for name, path in given if path}
    content, texture = own.get("content", photographs[0]), own.get("style", photographs[1])
    key_features, key_transfer = jax.random.split(jax.random.key(0))
    tell = teller("features", options.feature_steps)
    features, right = stylize.learn_features(
        [*photographs, *own.values()], key_features, steps=options.feature_steps, tell=tell
    )
    print(f"features: {right:.0%} of patches told apart ({25 / (2 + len(own)):.0f} % by chance)", flush=True)
    goal = stylize.goal_of(features, texture, content=CONTENT, variation=VARIATION)
    recolored, tell = style.match_colors(content, texture), teller(options.way, options.steps)
    if options.way == "optimize":
        painted, _ = stylize.optimize(recolored, goal, steps=options.steps, tell=tell)
    else:
        paint, _ = stylize.learn_transfer(recolored, goal, key_transfer, steps=options.steps, tell=tell)
        painted = paint(recolored)
    judge = jax.jit(lambda x, y: stylize.transfer_losses(x[None], features(y[None]), goal))
    for when, picture in (("content", content), ("recolored", recolored), ("painted", painted)):
        print(f"{when:>9}: " + ", ".join(f"{name} {float(v):.4f}" for name, v in judge(picture, recolored).items()))
    path = Path(options.out) if options.out else free_name()
    pictures.write(path, jax.device_get(painted))
    print(f"{time.perf_counter() - start:.0f} s. Picture: {path}")
    return path


def free_name() -> Path:
    """Find the first name in runs/ that is not taken."""
    Path("runs").mkdir(exist_ok=True)
    return next(p for n in itertools.count(1) if not (p := Path("runs") / f"style_transfer-{n}.png").exists())


def teller(phase: str, steps: int) -> stylize.Tell:
    """Make what prints a line of progress."""
    return lambda step, loss: print(f"{phase}: step {step} of {steps}, loss {loss:.4f}", flush=True)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except DeepprinciplesError as error:
        sys.exit(print(error, file=sys.stderr) or error.exit_code)
