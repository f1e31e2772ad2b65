"""SpecAugment: parts of a spectrogram are covered, stretches of time and bands of frequency."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp

from deepprinciples.kernels import random
from deepprinciples.types import Array, Batch, BatchTransform, Share, Size, traits


@traits(neutral={"time_width": 0.0, "frequency_width": 0.0})
def spec_augment(
    *, time_masks: Size = 2, time_width: Share = 0.1, frequency_masks: Size = 2, frequency_width: Share = 0.25
) -> BatchTransform:
    """Cover stretches of time and bands of frequency of each example with zeros, which are its mean.

    each mask covers positions k with s <= k + 1/2 < s + w, w ~ U(0, width) n, s ~ U(0, n - w), n frames or bands

    Frames are those of the example where the targets have {"frames"}, so that the share covered does not depend on
    padding. The paper gives widths in frames and bands, 100 and 27 of 80 at most, and warps time too, which is left
    out; widths as shares are those of arXiv:1912.05533.

    Args:
      time_masks: stretches of time covered.
      time_width: largest length of each, as a share of the frames. *Sweepable.* *Neutral: 0.0.*
      frequency_masks: bands of frequency covered.
      frequency_width: largest width of each, as a share of the features. *Sweepable.* *Neutral: 0.0.*
    Returns: BatchTransform of inputs [B, T, F]; apply(key, batch) -> batch of the same shapes.
    Raises: ValueError for inputs that are no sequences of features.
    Expect: Claimed to turn overfitting into underfitting: the training loss is higher, and longer training pays. It
      hurts networks that do not fit their training set yet.
    Costs: Nothing that is measurable.
    References: Park et al., arXiv:1904.08779; Park et al., arXiv:1912.05533.
    """

    def apply(key: Array, batch: Batch) -> Batch:
        x = batch.inputs
        if getattr(x, "ndim", 0) != 3 or not jnp.issubdtype(x.dtype, jnp.floating):
            found = f"{x.dtype}{list(x.shape)}" if hasattr(x, "shape") else "a tree"
            raise ValueError(f"spec_augment: found inputs {found}, expected floats [B, T, F]")
        count, time, features = x.shape
        frames = batch.targets["frames"] if isinstance(batch.targets, Mapping) and "frames" in batch.targets else time
        draws = random.uniform(key, (2, time_masks + frequency_masks, count))
        whole = jnp.full((count,), features, x.dtype)
        in_time = _covered(draws[:, :time_masks], time_width, jnp.broadcast_to(frames, (count,)).astype(x.dtype), time)
        in_bands = _covered(draws[:, time_masks:], frequency_width, whole, features)
        return batch._replace(inputs=jnp.where(in_time[:, :, None] | in_bands[:, None, :], 0.0, x))

    return BatchTransform(apply)


def _covered(draws: Array, width: Array | float, counts: Array, length: int) -> Array:
    """Return which of `length` positions are covered, [B, length], by masks drawn as [2, masks, B] numbers."""
    covers = width * draws[0] * counts[None]  # [masks, B]
    starts = draws[1] * (counts[None] - covers)
    middle = (jnp.arange(length) + 0.5)[None, None]
    inside = (middle >= starts[..., None]) & (middle < (starts + covers)[..., None])
    return jnp.any(inside, axis=0)
