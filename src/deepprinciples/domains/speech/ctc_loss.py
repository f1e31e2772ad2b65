"""Connectionist temporal classification: the loss of token sequences whose places in time are not known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import optax

from deepprinciples.kernels.sequences.ctc_decoding import BLANK
from deepprinciples.parts.metrics.sequence_metrics import ctc_parts
from deepprinciples.types import Array, PyTree, traits


@traits(per_example=True)
def ctc() -> Callable[[PyTree, PyTree], Array]:
    """Ask that the labels are read off the frames in their order, wherever in time they lie.

    loss = -log sum over paths of prod_t softmax(outputs_t)_(path_t), over all paths of one class a frame that become
    the labels when repeats are merged and blanks (class 0) dropped; in nats, of the whole sequence

    A model gives one output a frame, as gru does with readout = "every". Sequences longer than their frames allow have
    no path: the data sets of speech refuse them. PyTorch's CTCLoss with reduction = "mean" divides each value by the
    number of its labels.

    Returns: function (outputs [B, T, C], {labels [B, L], frames [B]}) -> [B]; a label of -1 is no label, and frames
      from `frames` on are padding.
    Raises: ValueError where the shapes do not pair.
    Expect: Blanks are learned first: the error rate stays at 1 until labels appear, and a network that is too small or
      a learning rate that is too low never gets there. gradient_norm grows with the length of sequences, so long ones
      call for a clip. Outputs become peaks of one frame between blanks.
    Costs: A scan over the frames, twice with the gradient; small beside a recurrent network.
    References: Graves, Fernandez, Gomez, Schmidhuber 2006, Connectionist temporal classification.
    """

    def loss(outputs: Any, targets: Any) -> Array:
        scores, labels, frames = ctc_parts("ctc", outputs, targets)
        padding = jnp.arange(scores.shape[1])[None] >= frames[:, None]  # [B, T]
        none = labels < 0
        # optax wants the labels that count first; a stable sort keeps their order.
        order = jnp.argsort(none, axis=1, stable=True)
        labels, none = (jnp.take_along_axis(one, order, axis=1) for one in (labels, none))
        dtype = scores.dtype
        return optax.losses.ctc_loss(
            scores, padding.astype(dtype), jnp.where(none, BLANK, labels), none.astype(dtype), blank_id=BLANK
        )

    return loss
