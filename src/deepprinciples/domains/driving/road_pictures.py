"""A figure of a finished comparison: frames with their lane, and the paths that trained models drove, from above."""

from __future__ import annotations

import functools
import operator
import tomllib
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from deepprinciples.domains.driving import closed_loop, simulation
from deepprinciples.domains.driving.simulation import Road, State
from deepprinciples.kernels.keys import stream

FRAMES = 4  # of each road, above its paths
WIDER = 4.0  # how much farther off the center line a path is drawn than it was
COLORS = ("#d55e00", "#0072b2", "#cc79a7", "#009e73", "#e69f00", "#56b4e9")

_render, _mask = jax.jit(simulation.render), jax.jit(simulation.lane_mask)


def draw(run: Any, path: Path | str, *, roads: int = 3, seed: int | None = None) -> Path:
    """Draw how the models of a comparison drove some roads of `meters_in_lane`.

    Args:
        run: a `dp.Run` that judges `meters_in_lane`, with trained models kept (`study.keep`).
        path: the .png file.
        roads: how many of the metric's roads, its first ones.
        seed: one of the seeds kept; the first by default.

    Returns:
        Its path.
    """
    from matplotlib.figure import Figure  # slow to import, and only drawn with

    section = tomllib.loads(run.config)["study"]["metric"]
    given = {key: section[key] for key in ("roads", "length", "road_seed")}
    arms = [row["name"] for row in run.summary["arms"]]
    number = int(run.results.seed.values[0]) if seed is None else seed
    trips = {}
    for arm in arms:
        model, params = run.model(arm, seed=number)
        trips[arm] = jax.device_get(closed_loop.trip(functools.partial(model.predict, params), **given))
    shown = min(roads, given["roads"])
    figure = Figure(figsize=(11.0, 3.4 * shown), layout="constrained")
    every, _ = closed_loop.start_of(given["roads"], given["road_seed"])
    for row, part in enumerate(figure.subfigures(shown, 1, squeeze=False)[:, 0]):
        road: Road = jax.tree.map(operator.itemgetter(row), every)
        axes = part.subplot_mosaic([[f"frame {k}" for k in range(FRAMES)], ["above"] * FRAMES], height_ratios=[1, 1.6])
        for k in range(FRAMES):
            along = jnp.float32(given["length"] * (k + 0.5) / FRAMES)
            draw_view(axes[f"frame {k}"], road, State(along, jnp.float32(0.0), jnp.float32(0.0)))
        _from_above(axes["above"], road, given["length"])
        for arm, color in zip(arms, COLORS * len(arms), strict=False):
            states, meters = trips[arm]
            x, y = _places(road, states.along[:, row], states.offset[:, row])
            axes["above"].plot(x, y, color=color, linewidth=1.2, label=f"{arm}, {meters[row]:.0f} m")
            axes["above"].plot(x[-1], y[-1], "x" if meters[row] < given["length"] else "o", color=color, markersize=6)
        axes["above"].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.savefig(path, dpi=110)
    return Path(path)


def draw_view(axes: Any, road: Road, state: State) -> None:
    """Draw what a car sees, with the border of its lane and how far it has come."""
    key = stream(jax.random.key(int(state.along), impl="threefry2x32"), "picture")
    axes.imshow(_render(road, state, key)[..., 0], cmap="gray", vmin=-1, vmax=1)
    axes.contour(_mask(road, state), levels=[0.5], colors="#e69f00", linewidths=0.8)
    axes.set_title(f"{state.along:.0f} m", fontsize=9)
    axes.set_axis_off()


def _places(road: Road, along: NDArray[Any], offset: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return where positions on a road lie on a map, with offsets drawn WIDER."""
    fine = np.arange(0.0, float(np.max(along)) + 1.0, 0.5)
    angle = np.asarray(simulation.direction(road, jnp.asarray(fine)) - simulation.direction(road, 0.0))
    steps = lambda rate: np.concatenate([[0.0], np.cumsum(0.25 * (rate[1:] + rate[:-1]))])
    x, y, turned = (np.interp(along, fine, one) for one in (steps(np.cos(angle)), steps(np.sin(angle)), angle))
    return x - WIDER * offset * np.sin(turned), y + WIDER * offset * np.cos(turned)


def _from_above(axes: Any, road: Road, length: float) -> None:
    along = np.arange(0.0, length + 1.0, 1.0)
    for offset in (-simulation.IN_LANE, simulation.IN_LANE):
        axes.plot(*_places(road, along, np.full(len(along), offset)), color="#999999", linewidth=0.8)
    axes.set_aspect("equal")
    axes.set_axis_off()
