"""The convolutional network for images [B, H, W, C] and for signals [B, T, C].

It has the plain, deep and skipped forms of the perceptron, with windows in place of dense maps. Networks of residual
blocks of two convolutions live in `resnet`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import flax.linen as nn
import jax.numpy as jnp

from deepprinciples.parts.models import layers
from deepprinciples.parts.models.batchwise import with_deviation
from deepprinciples.parts.models.design import OFF, Design, Kernels, Normalization, Skip, design_of
from deepprinciples.parts.models.layers import Flow, Layer, Step
from deepprinciples.types import Activation, Array, Count, Initializer, Model, Range, Rate, Scalar, Size, traits

Readout = Literal["flatten", "mean"]


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
            name = layers.layer_name(number, self.depth)
            layer = Layer(self.width * 2**stage, self.design, kernel=self.kernel, pooled=pooled, name=name)
            flow, seen = layer(flow, step, number)
            activations |= seen
        flow = Flow(gather(flow.given, self.readout))
        flow = Flow(with_deviation(flow.given)) if self.minibatch_deviation else flow
        outputs = layers.readout(flow, self.design, self.outputs, step, self.depth)
        return outputs, {**activations, "output": outputs}


def check_windows(model: str, x: Array) -> None:
    """Refuse inputs that have no spatial axes; raises ValueError."""
    if x.ndim not in (3, 4) or not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(
            f"{model}: inputs must be floats [batch, height, width, channels] or [batch, time, channels]; "
            f"found {layers.described(x)}; use model mlp for feature vectors, lstm for token ids"
        )


def gather(x: Array, readout: Readout) -> Array:
    """Turn maps [B, ..., C] into vectors: all positions side by side, or their mean."""
    return x.reshape(x.shape[0], -1) if readout == "flatten" else x.mean(axis=tuple(range(1, x.ndim - 1)))


@traits(neutral=OFF)
def cnn(
    *,
    outputs: int,
    depth: Annotated[int, Range("[1, 1000000]")] = 2,
    width: Count = 16,
    stages: Size = 2,
    kernel: Count = 3,
    readout: Readout = "flatten",
    activation: Activation | str = "relu",
    initializer: Initializer | str = "he_normal",
    bias_initializer: Initializer | str = "zeros",
    skip: Skip = "none",
    normalization: Normalization = "none",
    dropout: Rate = 0.0,
    branch_scale: Scalar = 1.0,
    stream_scale: Scalar = 1.0,
    drop_connect: Rate = 0.0,
    stochastic_depth: Rate = 0.0,
    ghost_size: Count = 16,
    lsuv: bool = False,
    minibatch_deviation: bool = False,
    kernels: Kernels = "auto",
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
        readout: "flatten" gives the last dense map all positions, "mean" their mean.
        activation: of the hidden layers, elementwise.
        initializer: of all kernels [kernel, (kernel,) in, out] and [in, out].
        bias_initializer: of all biases [out].
        skip: how a layer passes on what it was given.
        normalization: of what the activation reads; "weight" normalizes kernels instead, and "spectral" divides them
            by their largest singular value; "weight_standardized" standardizes kernels and then normalizes by groups.
            The outputs have none but "spectral".
        dropout: rate at which what a layer gives on is dropped before the next map. *Sweepable.* *Neutral: 0.0.*
        branch_scale: factor of each branch with skip "residual" or "rezero". *Sweepable.* *Neutral: 1.0.*
        stream_scale: factor of what such a branch is added to: 1 / sqrt(2) for both keeps the variance. *Sweepable.*
            *Neutral: 1.0.*
        drop_connect: rate at which single weights are dropped, for a batch at a time. *Sweepable.* *Neutral: 0.0.*
        stochastic_depth: rate at which an example goes past the last hidden layer, with skip "residual" or "rezero";
            it falls in proportion to the number of the layer, to 0 at the first. *Sweepable.* *Neutral: 0.0.*
        ghost_size: examples in a part of the batch, with normalization "ghost".
        lsuv: scale every kernel so that what it makes of the first batch has variance 1; the paper's initializer is
            orthogonal.
        minibatch_deviation: let the outputs also read how much the examples of the batch differ, as one more feature
            (see `with_deviation`); they are then no longer functions of one example each.
        kernels: "auto" convolves and pools in the form that is quickest here, "stock" leaves both to XLA.

    Returns:
        A tapped `Model` on inputs [B, H, W, C] or [B, T, C]: outputs [B, outputs]; activations "layer_00", ...
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
    design = design_of(
        "cnn", activation, initializer, bias_initializer, skip, normalization, kernels,
        ghost_size=ghost_size, lsuv=lsuv,
    )  # fmt: skip
    network = _Cnn(depth, width, min(stages, depth), kernel, readout, outputs, design, minibatch_deviation)
    numbers = Step(
        rate=dropout, branch_scale=branch_scale, stream_scale=stream_scale, drop_connect=drop_connect,
        stochastic_depth=stochastic_depth, last=max(depth - 1, 1),
    )  # fmt: skip
    return layers.from_network(network, numbers, separate=design.separate and not minibatch_deviation)
