"""What is special to learning to drive: how far a model gets by itself, and pictures from beside the lane."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from deepprinciples.domains.driving import simulation
from deepprinciples.domains.driving.simulation import Road, State
from deepprinciples.kernels import random
from deepprinciples.kernels.keys import stream
from deepprinciples.types import Array, Batch, BatchTransform, Count, Metric, Scalar, Seed, Strength, better, traits

SLACK = 1.1  # steps beyond those that a car needs which drives along the center line


def start_of(roads: int, road_seed: int) -> tuple[Road, State]:
    """Return the roads that models are tested on, and a car at rest in the middle of each, all with an axis [R]."""
    keys = jax.random.split(stream(jax.random.key(road_seed, impl="threefry2x32"), "driven"), roads)
    rest = jnp.zeros(roads)
    return jax.vmap(simulation.random_road)(keys), State(rest, rest, rest)


def trip(predict: Callable[[Array], Array], *, roads: int, length: int, road_seed: int) -> tuple[State, Array]:
    """Let a model drive the roads of `meters_in_lane`.

    Args:
        predict: pictures [R, 32, 64, 1] -> steering [R, 1].
        roads: number of roads, R.
        length: meters to drive.
        road_seed: seed of the roads.

    Returns:
        States after each step [steps, R], and meters [R] from the start to where the car left its lane.
    """
    given, start = start_of(roads, road_seed)
    steps = math.ceil(SLACK * length / (simulation.SPEED * simulation.PERIOD))
    key = stream(jax.random.key(road_seed, impl="threefry2x32"), "camera")
    path, _ = simulation.drive(predict, given, start, steps, key)
    return path, jnp.clip(path.along[-1], 0.0, length)


@better("max", worst=0.0)
def meters_in_lane(*, roads: Count = 12, length: Count = 300, road_seed: Seed = 0) -> Metric:
    """Measure how far a model drives by itself before the car leaves its lane.

    mean over roads of min(length, meters until the car is more than 0.85 m off the center line)

    The model sees a picture every 0.2 s and steers at 10 m/s, from the center line on; the roads are no data set's. It
    is measured once a batch of the evaluation, whatever the examples are.

    Args:
      roads: number of roads.
      length: meters after which a drive ends.
      road_seed: seed of the roads and of the camera's noise.
    Returns: Metric of a model that maps pictures [B, 32, 64, 1] to steering [B, 1], from 0 to length.
    Raises: ValueError where outputs are no single number.
    References: Ross, Gordon, Bagnell, arXiv:1011.0686; Codevilla et al., arXiv:1809.04843.
    """

    def statistics(predict: Callable[[Array], Array], targets: Array) -> Array:
        shape = (roads, simulation.ROWS, simulation.COLUMNS, 1)
        found = jax.eval_shape(predict, jax.ShapeDtypeStruct(shape, jnp.float32)).shape
        if found not in ((roads,), (roads, 1)):
            raise ValueError(
                f"meters_in_lane: the model makes outputs {list(found)} of {roads} pictures; expected one number each"
            )
        _, meters = trip(predict, roads=roads, length=length, road_seed=road_seed)
        return jnp.broadcast_to(jnp.mean(meters), targets.shape[:1])

    return Metric(statistics, lambda total, count: total / count, on_model=True, direction="max", worst=0.0)


@traits(neutral={"shift": 0.0, "turn": 0.0}, fill=False)
def shifted_view(*, shift: Strength = 0.5, turn: Strength = 0.08, correction: Scalar = 1.0) -> BatchTransform:
    """Show the road as from beside the lane or turned away, and correct the steering.

    row r moves right by d max(r - horizon, 0) / height + focal tan(a) columns
    steering' = steering - correction (2 d / L^2 + 2 sin(a) / L) wheelbase / largest angle

    d and a are uniform in [-shift, shift] and [-turn, turn], drawn for each example; to the left is positive. The
    correction is that of pure pursuit with lookahead L. Values between columns are interpolated; beyond the border they
    are those at the border.

    Args:
      shift: largest distance from the lane's center line, in meters. *Sweepable.* *Neutral: 0.0.*
      turn: largest angle, in radians. *Sweepable.* *Neutral: 0.0.*
      correction: share of the steering that leads back. *Sweepable.* At 0.0 targets stay as they are.
    Returns: BatchTransform; apply(key, batch) -> batch with inputs [B, 32, 64, C] and targets [B] or [B, 1].
    Raises: ValueError for pictures that are not of the camera of `road`, and for other targets.
    Expect: The error on states of the expert rises a little, and meters_in_lane with it: the model learns to steer
      back. Without the correction it learns that being off center does not matter, and leaves the lane sooner.
    Costs: Two random numbers and one interpolation per row and example.
    References: Bojarski et al., arXiv:1604.07316.
    """
    rows, columns = simulation.ROWS, simulation.COLUMNS

    def apply(key: Array, batch: Batch) -> Batch:
        x, y = batch.inputs, batch.targets
        if x.ndim != 4 or x.shape[1:3] != (rows, columns) or y.size != x.shape[0]:
            raise ValueError(
                f"shifted_view: inputs {list(x.shape)} with targets {list(y.shape)}; expected "
                f"[B, {rows}, {columns}, C] with one number each"
            )
        draw = random.uniform(key, (2, x.shape[0]), None, -1.0, 1.0)
        beside, angle = shift * draw[0], turn * draw[1]  # [B]
        below = jnp.maximum(jnp.arange(rows) + 0.5 - simulation.HORIZON, 0.0)
        moved = beside[:, None] * below[None, :] / simulation.HEIGHT  # [B, H]
        moved += simulation.FOCAL * jnp.tan(angle)[:, None]
        place = jnp.clip(jnp.arange(columns)[None, None, :] - moved[..., None], 0.0, columns - 1.0)  # [B, H, W]
        left = jnp.minimum(place.astype(jnp.int32), columns - 2)
        take = lambda index: jnp.take_along_axis(x, index[..., None], axis=2)
        share = (place - left)[..., None]
        back = 2.0 * beside / simulation.LOOKAHEAD**2 + 2.0 * jnp.sin(angle) / simulation.LOOKAHEAD
        change = correction * back * simulation.WHEELBASE / simulation.LARGEST_ANGLE
        seen = (1.0 - share) * take(left) + share * take(left + 1)
        return batch._replace(inputs=seen, targets=y - change.reshape(y.shape))

    return BatchTransform(apply)
