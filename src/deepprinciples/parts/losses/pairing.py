"""How outputs and targets are brought together before a formula sees them.

Losses and metrics ask the same questions: are these labels, rows of probabilities or values, and do the shapes pair?
One answer here, so that what does not pair is refused in the same words everywhere and never broadcast in silence.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from deepprinciples.types import Array

Loss = Callable[[Array, Array], Array]


def per_example(values: Array, targets: Array | None = None) -> Array:
    """Average all axes but the first, over the positions that have a label.

    v_i = mean of values_ij over the j that have a label; 0 where there is none

    Args:
      values: [B, ...].
      targets: integer labels of the same shape, -1 where there is none, or probabilities of one more axis, all zero
        where there is none; None, or targets of another kind, for a plain mean.
    Returns: [B].
    """
    if values.ndim == 1:
        return values
    rows = values.reshape(values.shape[0], -1)
    has_label = None if targets is None else labeled(targets, values.shape)
    if has_label is None:
        return jnp.mean(rows, axis=1)
    has_label = has_label.reshape(rows.shape)
    count = jnp.sum(has_label, axis=1, dtype=rows.dtype)
    return jnp.sum(jnp.where(has_label, rows, 0.0), axis=1) / jnp.maximum(count, 1.0)


def labeled(targets: Array, shape: tuple[int, ...]) -> Array | None:
    """Tell which positions have a label: -1 is none, and what `augment` makes of it, a row of zeros, is none either.

    Args:
      targets: integer labels of the shape of the positions, or probabilities with the classes along one more axis.
      shape: of the positions, [B, ...].
    Returns: booleans of the shape; None for targets of another kind.
    """
    if targets.shape == shape and jnp.issubdtype(targets.dtype, jnp.integer):
        return targets >= 0
    if targets.shape[:-1] == shape and targets.ndim > 2 and jnp.issubdtype(targets.dtype, jnp.floating):
        return jnp.any(targets != 0.0, axis=-1)
    return None


def mismatch(name: str, outputs: Array, targets: Array, expected: str) -> ValueError:
    """Make the one-line error for outputs and targets that do not pair.

    Args:
      name: the part that complains.
      outputs: [B, ...].
      targets: [B, ...].
      expected: what would pair.
    Returns: the error, to be raised.
    """
    return ValueError(
        f"{name}: outputs {outputs.dtype}{list(outputs.shape)} and targets {targets.dtype}{list(targets.shape)} do not "
        f"pair; expected {expected}"
    )


def as_labels(name: str, outputs: Array, targets: Array) -> Array:
    """Check integer labels against outputs.

    Args:
      name: the part that asks.
      outputs: [B, ..., C].
      targets: integers [B, ...] in [0, C).
    Returns: targets as they are.
    Raises: ValueError naming both shapes.
    """
    if not jnp.issubdtype(targets.dtype, jnp.integer) or outputs.ndim < 2 or targets.shape != outputs.shape[:-1]:
        raise mismatch(name, outputs, targets, "outputs [B, ..., C] with integer labels [B, ...]")
    return targets


def as_probabilities(name: str, outputs: Array, targets: Array) -> Array:
    """Turn integer labels into one-hot rows; let rows of probabilities pass.

    A product with one-hot rows is faster under vmap than a gather, and makes smoothed and plain labels one formula.

    Args:
      name: the part that asks.
      outputs: [B, ..., C].
      targets: integers [B, ...] in [0, C), or -1 for no label, or probabilities [B, ..., C], zeros for
        no label.
    Returns: probabilities [B, ..., C].
    Raises: ValueError naming both shapes.
    """
    if outputs.ndim >= 2 and jnp.issubdtype(targets.dtype, jnp.integer) and targets.shape == outputs.shape[:-1]:
        # A row of a position without a label is left out by `per_example`, but a logarithm of zeros has no gradient.
        labels = jnp.maximum(targets, 0) if targets.ndim > 1 else targets
        return jax.nn.one_hot(labels, outputs.shape[-1], dtype=outputs.dtype)
    if outputs.ndim >= 2 and jnp.issubdtype(targets.dtype, jnp.floating) and targets.shape == outputs.shape:
        has_label = labeled(targets, outputs.shape[:-1])
        return targets if has_label is None else jnp.where(has_label[..., None], targets, 1.0 / targets.shape[-1])
    expected = "outputs [B, ..., C] with integer labels [B, ...] or probabilities [B, ..., C]"
    raise mismatch(name, outputs, targets, expected)


def as_values(name: str, outputs: Array, targets: Array) -> tuple[Array, Array]:
    """Bring outputs and real or binary targets to one shape; one trailing axis of length 1 may be missing.

    Args:
      name: the part that asks.
      outputs: [B, ...] or [B, ..., 1].
      targets: [B, ...] or [B, ..., 1].
    Returns: outputs and targets of the same shape and dtype.
    Raises: ValueError naming both shapes.
    """
    if outputs.shape == (*targets.shape, 1):
        outputs = outputs[..., 0]
    elif targets.shape == (*outputs.shape, 1):
        targets = targets[..., 0]
    if outputs.shape != targets.shape or outputs.ndim == 0:
        raise mismatch(name, outputs, targets, "the same shape, [B, ...]")
    return outputs, targets.astype(outputs.dtype)
