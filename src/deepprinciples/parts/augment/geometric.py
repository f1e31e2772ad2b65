"""Augmentation that moves a picture: flip, shift, rotate, zoom and shear, all by one affine warp.

Whatever lies in the picture moves with it: masks, boxes, targets that are pictures, and what a teacher answered for
each pixel. See `kernels.warp`.
"""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp

from deepprinciples.kernels import random, warp
from deepprinciples.kernels.warp import Warp
from deepprinciples.types import Array, Batch, BatchTransform, Range, Scalar, Share, Strength, traits

Degrees = Annotated[Scalar, Range("[0, 180]", "0.0 switches it off")]


def pictures_of(name: str, batch: Batch) -> Array:
    """Return the pictures of a batch; raise ValueError for other inputs."""
    x = batch.inputs
    if not hasattr(x, "ndim") or x.ndim != 4 or not jnp.issubdtype(x.dtype, jnp.floating):
        found = f"{x.dtype}{list(x.shape)}" if hasattr(x, "shape") else "a tree"
        raise ValueError(
            f"{name}: inputs are {found}, expected pictures float[batch, height, width, channels]; remove augment."
            f"{name}"
        )
    return x


def moved(name: str, batch: Batch, where: Warp) -> Batch:
    """Move the pictures of a batch, and all in its targets and in the answers of its teacher that lies in them."""
    x = pictures_of(name, batch)
    size = (x.shape[1], x.shape[2])
    batch = batch._replace(inputs=warp.bilinear(x, where), teacher=_moved_answers(batch.teacher, size, where))

    def target(y: Any) -> Any:
        if not hasattr(y, "ndim") or y.ndim < 3 or y.shape[1:3] != size:
            return y
        if jnp.issubdtype(y.dtype, jnp.integer):
            return warp.nearest(y, where) if y.ndim == 3 else y
        return warp.bilinear(y, where) if y.ndim == 4 else y

    targets = batch.targets
    if not isinstance(targets, dict):
        return batch._replace(targets=target(targets))
    changed = {key: value if key in ("boxes", "classes") else target(value) for key, value in targets.items()}
    if "boxes" in targets:
        if "classes" not in targets:
            raise ValueError(f"{name}: targets have boxes but no classes, whose -1 says which box is none")
        changed["boxes"], changed["classes"] = warp.boxes(targets["boxes"], targets["classes"], where, *size)
    return batch._replace(targets=changed)


def _moved_answers(answers: Any, size: tuple[int, int], where: Warp) -> Any:
    """Move answers [B, networks, H, W, K] as pictures; return those to the whole picture [B, networks, K] as given."""
    if answers is None or answers.ndim != 5 or answers.shape[2:4] != size:
        return answers
    maps = jnp.moveaxis(answers, 1, 3)  # [B, H, W, networks, K]: the networks are further channels of one picture
    moved_maps = warp.bilinear(maps.reshape(*maps.shape[:3], -1), where).reshape(maps.shape)
    return jnp.moveaxis(moved_maps, 3, 1)


def warp_of(
    turn: Array, scale: Array, slant: Array, mirror: Array, shift: Array, slant_down: Array | None = None
) -> Warp:
    """Compose mirroring, zoom, shear, rotation and shift, in this order, into one warp of each example.

    Args:
      turn: angles [B] in radians, counterclockwise.
      scale: factors [B].
      slant: columns [B] that a point moves to the right for each row below the middle.
      mirror: signs [B, 2] of rows and columns.
      shift: pixels [B, 2].
      slant_down: rows [B] that a point moves down for each column right of the middle, before `slant`.
    """
    stack = lambda rows: jnp.moveaxis(jnp.stack([jnp.stack(row) for row in rows]), -1, 0)  # [2, 2, B] -> [B, 2, 2]
    one, none = jnp.ones_like(turn), jnp.zeros_like(turn)
    # Row and column (y, x), y downwards: counterclockwise is y' = y cos - x sin, x' = x cos + y sin.
    rotation = stack([[jnp.cos(turn), -jnp.sin(turn)], [jnp.sin(turn), jnp.cos(turn)]])
    shear = stack([[one, none], [slant, one]])
    product = lambda a, b: jnp.sum(a[..., None] * b[:, None], axis=2)  # in float32, whatever the device multiplies in
    matrix = product(rotation, shear)
    if slant_down is not None:
        matrix = product(matrix, stack([[one, slant_down], [none, one]]))
    return Warp(matrix * (scale[:, None] * mirror)[:, None, :], shift)


@traits(neutral={"flip": 0.0, "flip_rows": 0.0, "shift": 0.0, "rotate": 0.0, "zoom": 0.0, "shear": 0.0}, fill=False)
def affine(
    *,
    flip: Share = 0.0,
    flip_rows: Share = 0.0,
    shift: Share = 0.0,
    rotate: Degrees = 0.0,
    zoom: Strength = 0.0,
    shear: Strength = 0.0,
) -> BatchTransform:
    """Mirror, zoom, shear, rotate and shift each picture by amounts of its own, in one resampling.

    p' = R(a) S(k) Z(s) F p + t, from the middle of the picture
    a ~ U(-rotate, rotate), k ~ U(-shear, shear), log s ~ U(-1, 1) log(1 + zoom), t ~ U(-shift, shift) of each side

    Pictures are read bilinearly, and repeat their edge where something from outside comes in. Integer targets [B, H,
    W], alone or in a dict, are masks: they take the nearest label, and -1 (no label) from outside. `boxes` [B, K, 4] of
    a dict (first row, first column, last row, last column; pixel i reaches from i to i + 1) become the upright boxes
    around their moved corners; one whose middle leaves the picture gets class -1 in `classes`. Float targets [B, H, W,
    C] are pictures. Other targets stay, so do not mirror where left and right mean something. What a teacher answered
    for each pixel moves as a picture; its answer to a whole picture stays, see `distillation`. Shifts are rounded to
    whole pixels, so that flips and shifts alone blur nothing.

    Args:
      flip: probability of mirroring left and right. *Sweepable.* *Neutral: 0.0.*
      flip_rows: probability of mirroring top and bottom. *Sweepable.* *Neutral: 0.0.*
      shift: largest shift, as a share of the picture's side. *Sweepable.* *Neutral: 0.0.*
      rotate: largest angle in degrees. *Sweepable.* *Neutral: 0.0.*
      zoom: the largest factor is 1 + zoom, the smallest 1 / (1 + zoom). *Sweepable.* *Neutral: 0.0.*
      shear: columns that a row moves for each row from the middle, at most. *Sweepable.* *Neutral: 0.0.*
    Returns: BatchTransform; apply(key, batch) -> batch of the same shapes.
    Raises: ValueError for inputs that are no pictures, and boxes without classes.
    Expect: Helps most where test pictures vary in just this way and the training set is small; hurts where position or
      direction tells the class (6 and 9). The training loss and gradient_noise rise.
    Costs: 0.6 CPU ms for 64 pictures of 28 x 28, 7 % of a step of the default `cnn`, switched off too. Arms that
      differ in these numbers alone share one program; name `affine` in the base of a study for it.
    References: Simard et al. 2003, Best practices for convolutional neural networks; Shorten and Khoshgoftaar 2019.
    """

    def apply(key: Array, batch: Batch) -> Batch:
        x = pictures_of("affine", batch)
        u = random.uniform(key, (7, x.shape[0]))
        spread = 2.0 * u - 1.0
        mirror = jnp.where(u[:2] < jnp.stack([jnp.asarray(flip_rows), jnp.asarray(flip)])[:, None], -1.0, 1.0)
        shifts = jnp.round(spread[2:4] * shift * jnp.array(x.shape[1:3], jnp.float32)[:, None])
        turn, slant = jnp.deg2rad(rotate) * spread[4], shear * spread[5]
        scale = jnp.exp(jnp.log1p(zoom) * spread[6])
        return moved("affine", batch, warp_of(turn, scale, slant, mirror.T, shifts.T))

    return BatchTransform(apply)


@traits(neutral={"probability": 0.0}, fill=False)
def flip(*, probability: Share = 0.5) -> BatchTransform:
    """Mirror pictures left and right with some probability; masks and boxes with them.

    x'[i, j] = x[i, W - 1 - j] with the probability, else x

    Args:
      probability: of mirroring a picture. *Sweepable.* *Neutral: 0.0.*
    Returns: BatchTransform; apply(key, batch) -> batch of the same shapes.
    Raises: ValueError for inputs that are no pictures.
    Expect: Helps where mirrored things are of the same class (clothes, faces, nuclei), hurts where they are not
      (digits, letters). Top and bottom: `affine` with flip_rows.
    Costs: That of `affine`, which it is; write one `affine` for several of these.
    References: Krizhevsky et al. 2012, ImageNet classification with deep convolutional neural networks.
    """
    return affine(flip=probability)


@traits(neutral={"strength": 0.0}, fill=False)
def shift(*, strength: Share = 0.1) -> BatchTransform:
    """Shift pictures by whole pixels up, down, left and right; masks and boxes with them.

    x'[i, j] = x[i - round(t H), j - round(u W)], t and u ~ U(-strength, strength); the edge is repeated

    Args:
      strength: largest shift, as a share of the picture's side. *Sweepable.* *Neutral: 0.0.*
    Returns: BatchTransform; apply(key, batch) -> batch of the same shapes.
    Raises: ValueError for inputs that are no pictures.
    Expect: Helps models that see positions (mlp, cnn with readout "flatten"), and little where the mean over positions
      is taken. Below half a pixel it does nothing.
    Costs: That of `affine`, which it is; write one `affine` for several of these.
    References: LeCun et al. 1998, Gradient-based learning applied to document recognition.
    """
    return affine(shift=strength)


@traits(neutral={"degrees": 0.0}, fill=False)
def rotate(*, degrees: Degrees = 15.0) -> BatchTransform:
    """Rotate pictures about their middle; masks and boxes with them.

    p' = R(a) p, a ~ U(-degrees, degrees), bilinear

    Args:
      degrees: largest angle, in degrees. *Sweepable.* *Neutral: 0.0.*
    Returns: BatchTransform; apply(key, batch) -> batch of the same shapes.
    Raises: ValueError for inputs that are no pictures.
    Expect: Helps where pictures have no fixed upright. Bilinear reading blurs them a little, too.
    Costs: That of `affine`, which it is; write one `affine` for several of these.
    References: Simard et al. 2003, Best practices for convolutional neural networks.
    """
    return affine(rotate=degrees)


@traits(neutral={"strength": 0.0}, fill=False)
def zoom(*, strength: Strength = 0.2) -> BatchTransform:
    """Enlarge or shrink pictures about their middle; masks and boxes with them.

    p' = s p, log s ~ U(-1, 1) log(1 + strength), bilinear

    Args:
      strength: the largest factor is 1 + strength, the smallest 1 / (1 + strength). *Sweepable.* *Neutral: 0.0.*
    Returns: BatchTransform; apply(key, batch) -> batch of the same shapes.
    Raises: ValueError for inputs that are no pictures.
    Expect: Helps where things come in many sizes. Shrunk pictures are surrounded by their repeated edge.
    Costs: That of `affine`, which it is; write one `affine` for several of these.
    References: Simard et al. 2003, Best practices for convolutional neural networks.
    """
    return affine(zoom=strength)


@traits(neutral={"strength": 0.0}, fill=False)
def shear(*, strength: Strength = 0.2) -> BatchTransform:
    """Slant pictures to the left or right; masks and boxes with them.

    x' = x + k y, k ~ U(-strength, strength), x and y from the middle, bilinear

    Args:
      strength: columns that a row moves for each row from the middle, at most. *Sweepable.* *Neutral: 0.0.*
    Returns: BatchTransform; apply(key, batch) -> batch of the same shapes.
    Raises: ValueError for inputs that are no pictures.
    Expect: Helps for handwriting, which slants. Bilinear reading blurs pictures a little, too.
    Costs: That of `affine`, which it is; write one `affine` for several of these.
    References: Simard et al. 2003, Best practices for convolutional neural networks.
    """
    return affine(shear=strength)
