"""The convolutional network for images [B, H, W, C] and for signals [B, T, C].

It has the plain, deep and skipped forms of the perceptron, with windows in place of dense maps. Networks of residual
blocks of two convolutions live in `resnet`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import flax.linen as nn
import jax.numpy as jnp

from deepprinciples.parts.layers.batchwise import with_deviation
from deepprinciples.parts.layers.design import Design, Step, design_of, step_of
from deepprinciples.parts.layers.hidden_layers import (
    Flow,
    Layer,
    Window,
    described,
    from_network,
    layer_name,
    readout_of,
)
from deepprinciples.parts.layers.keywords import OFF, Layers, flat_keywords
from deepprinciples.types import Array, Count, Model, Range, Size, traits

Readout = Literal["flatten", "mean", "max"]


class _Cnn(nn.Module):
    depth: int
    width: int
    stages: int
    kernel: int
    readout: Readout
    outputs: int
    design: Design
    minibatch_deviation: bool

    @nn.compact
    def __call__(self, x: Array, step: Step) -> tuple[Array, dict[str, Array]]:
        check_windows("cnn", x)
        flow = Flow(x)
        activations: dict[str, Array] = {}
        stages = [number * self.stages // self.depth for number in range(self.depth)]
        for number, stage in enumerate(stages):
            pooled = self.stages > 0 and (number + 1 == self.depth or stages[number + 1] > stage)
            name = layer_name(number, self.depth)
            layer = Layer(self.width * 2**stage, self.design, Window(self.kernel, pooled=pooled), name=name)
            flow, seen = layer(flow, step, number)
            activations |= seen
        flow = Flow(gather(flow.given, self.readout))
        flow = Flow(with_deviation(flow.given)) if self.minibatch_deviation else flow
        outputs = readout_of(flow, self.design, self.outputs, step, self.depth)
        return outputs, {**activations, "output": outputs}


def check_windows(model: str, x: Array) -> None:
    """Refuse inputs that have no spatial axes; raises ValueError."""
    if x.ndim not in (3, 4) or not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(
            f"{model}: inputs must be floats [batch, height, width, channels] or [batch, time, channels]; "
            f"found {described(x)}; use model mlp for feature vectors, lstm for token ids"
        )


def gather(x: Array, readout: Readout) -> Array:
    """Turn maps [B, ..., C] into vectors: all positions side by side, or each channel's mean or maximum."""
    if readout == "flatten":
        return x.reshape(x.shape[0], -1)
    axes = tuple(range(1, x.ndim - 1))
    return x.mean(axis=axes) if readout == "mean" else x.max(axis=axes)


@traits(neutral=OFF)
@flat_keywords()
def cnn(
    *,
    outputs: int,
    depth: Annotated[int, Range("[1, 1000000]")] = 2,
    width: Count = 16,
    stages: Size = 2,
    kernel: Count = 3,
    readout: Readout = "flatten",
    layers: Layers,
    minibatch_deviation: bool = False,
) -> Model:
    """Build a convolutional network.

    a_l = act(norm(pool(W_l * a_{l-1} + b_l))), outputs = W gather(a_depth) + b, where * is a convolution that keeps
    the size ("SAME") and the pool, the maximum over windows of 2, comes at the end of each stage. The other skips
    are those of `mlp`, with the pool after the sum; a layer whose channels change has no skip ("dense" excepted).

    Args:
        outputs: number of classes or regression targets.
        depth: convolutions, spread evenly over the stages; at least 1.
        width: channels of the first stage; they double with every stage.
        stages: how often the map is halved (0: never); no further once an axis is shorter than 2. At most depth count.
        kernel: window along every spatial axis.
        readout: "flatten" gives the last dense map all positions, "mean" each channel's mean over them, "max" its
            maximum.
        layers: see `Layers`.
        minibatch_deviation: let the outputs also read how much the examples of the batch differ, as one more feature
            (see `with_deviation`); they are then no longer functions of one example each.

    Returns:
        A `Model` on inputs [B, H, W, C] or [B, T, C]: outputs [B, outputs]; activations "layer_00", ...
        [B, ..., channels], their slopes, and "output".

    Raises:
        ValueError: the inputs have no spatial axes.

    Expect:
        What it learns at one place it knows at all of them: claimed to need fewer examples than mlp on pictures and
        signals. With he_normal and relu activation_mean_square is about the same in every layer, but for what the pools
        raise.

    Costs:
        kernel^axes in out weights per convolution, each used at every position: more arithmetic per weight than mlp;
        "flatten" may hold most of the weights.

    References:
        arXiv:1603.05027 (pre-activation), arXiv:1505.00387 (highway), arXiv:1608.06993 (dense),
        arXiv:2003.04887 (ReZero) and arXiv:2002.10444 (SkipInit, the same), arXiv:1802.05957 (spectral),
        arXiv:1903.10520 (weight standardization), arXiv:1705.08741 (ghost), arXiv:1603.09382 (stochastic depth),
        arXiv:1511.06422 (LSUV), arXiv:1710.10196 (minibatch deviation).
    """
    design = design_of("cnn", layers)
    network = _Cnn(depth, width, min(stages, depth), kernel, readout, outputs, design, minibatch_deviation)
    return from_network(network, step_of(layers, depth - 1), per_example=design.per_example and not minibatch_deviation)
