"""The residual network: blocks of two convolutions that add to a stream, normalized before each activation.

Networks of single convolutions are `cnn`.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from deepprinciples.errors import ConfigError
from deepprinciples.parts.layers.design import Design, Function, Step, design_of, step_of
from deepprinciples.parts.layers.hidden_layers import (
    Flow,
    Layer,
    Window,
    from_network,
    join,
    layer_name,
    linear,
    perturb,
    readout_of,
    with_slope,
)
from deepprinciples.parts.layers.keywords import OFF, Layers, flat_keywords
from deepprinciples.parts.layers.noise import dropout
from deepprinciples.parts.layers.normalization import normalize
from deepprinciples.parts.models.cnn import Readout, check_windows, gather
from deepprinciples.types import ACTIVATION_DERIVATIVE, Array, Count, Model, Size, traits


class _Block(nn.Module):
    """Two convolutions; the first one of a stage halves the map and doubles the channels."""

    width: int
    design: Design
    stride: int
    fixup: int  # number of blocks where the blocks start at zero, else 0

    @nn.compact
    def __call__(self, flow: Flow, step: Step, number: int) -> tuple[Flow, dict[str, Array]]:
        name, design = str(self.name), self.design
        first, second = design, design
        if self.fixup:
            first = design._replace(initializer=_scaled(design.initializer, self.fixup**-0.5))
            second = design._replace(initializer=nn.initializers.zeros)
        z = linear(flow.given, first, self.width, name="first", step=step, window=Window(3, self.stride))
        z = design.activation(normalize(z, design, step.train, "norm_inner"))
        z = dropout(z, step, number)
        z = linear(z, second, self.width, name="second", step=step, window=Window(3))
        if self.fixup:
            z = z * self.param("multiplier", nn.initializers.ones, (), jnp.float32)
        shortcut, point = flow.stream, Window(1, self.stride)
        if design.skip != "none" and self.stride > 1:
            shortcut = linear(flow.given, design, self.width, name="shortcut", step=step, window=point)
        stream = join(self, design, shortcut, z, step, flow.given, number, point)
        stream = perturb(stream, step, name)
        normed = normalize(stream, design, step.train)
        given, slope = with_slope(design.activation, normed)
        return Flow(given, stream), {name: stream, name + ACTIVATION_DERIVATIVE: slope}


class _Resnet(nn.Module):
    blocks: int
    stages: int
    width: int
    readout: Readout
    outputs: int
    design: Design
    fixup: bool

    @nn.compact
    def __call__(self, x: Array, step: Step) -> tuple[Array, dict[str, Array]]:
        check_windows("resnet", x)
        total = self.blocks * self.stages
        stem = self.design._replace(skip="residual")
        flow, activations = Layer(self.width, stem, Window(3), name=layer_name(0, total + 1))(Flow(x), step, 0)
        for number in range(1, total + 1):
            stage, block = divmod(number - 1, self.blocks)
            stride = 2 if stage and not block else 1
            name = layer_name(number, total + 1)
            block_of = _Block(self.width * 2**stage, self.design, stride, total if self.fixup else 0, name=name)
            flow, seen = block_of(flow, step, number)
            activations |= seen
        flow = Flow(gather(flow.given, self.readout))
        last = self.design._replace(initializer=nn.initializers.zeros) if self.fixup else self.design
        outputs = readout_of(flow, last, self.outputs, step, total + 1)
        return outputs, {**activations, "output": outputs}


def _scaled(initializer: Function, factor: float) -> Function:
    """Multiply what an initializer draws."""
    return lambda *args: factor * initializer(*args)


@traits(neutral=OFF)
@flat_keywords(skip="residual", normalization="batch")
def resnet(
    *,
    outputs: int,
    blocks: Count = 2,
    stages: Size = 2,
    width: Count = 16,
    readout: Readout = "mean",
    layers: Layers,
    fixup: bool = False,
) -> Model:
    """Build a small pre-activation residual network.

    s_l = stream_scale s_{l-1} + branch_scale (W_2 * act(norm(W_1 * a_{l-1}))), a_l = act(norm(s_l)),
    outputs = W gather(a) + b;
    the first layer is one convolution. "rezero" multiplies the branch with a learned alpha_l that starts at 0;
    "highway" has s_l = T branch + (1 - T) s_{l-1} with T = sigmoid(W_T a_{l-1} + b_T - 1), position by position;
    "dense" has s_l = concat(s_{l-1}, branch); "none" leaves the sum out. At the start of a stage the map is halved by
    stride 2, and a learned map of each position, to the width of the stage, takes the place of s_{l-1}.

    Args:
        outputs: number of classes or regression targets.
        blocks: blocks of two convolutions in each stage.
        stages: the channels double and the map halves at each one after the first.
        width: channels of the first stage.
        readout: "mean" or "max" over all positions, or "flatten".
        layers: see `Layers`.
        fixup: start every second convolution and the outputs' kernel at zero, scale the first convolution of each of
            the L blocks by 1 / sqrt(L), and give each block a learned multiplier, so that neither depth nor the
            learning rate asks for a normalization (take "none"). The biases of the convolutions stand in for the
            paper's scalar ones.

    Returns:
        A `Model` on inputs [B, H, W, C] or [B, T, C]: outputs [B, outputs]; activations "layer_00" (the
        first convolution), ... the streams s_l, their slopes, and "output".

    Raises:
        ConfigError: no stage; fixup with another skip than "residual", or with lsuv.
        ValueError: the inputs have no spatial axes.

    Expect:
        Claimed to train at depths where plain stacks do not: gradient_mean_square should be of one size over the
        blocks. Without normalization activation_mean_square doubles from block to block unless branch_scale or "rezero"
        holds it.

    Costs:
        Two convolutions of 3^axes in out weights per block, each used at every position; batch norm keeps two numbers
        per channel beside the weights.

    References:
        arXiv:1603.05027 (pre-activation), arXiv:1505.00387 (highway), arXiv:1608.06993 (dense),
        arXiv:2003.04887 (ReZero) and arXiv:2002.10444 (SkipInit, the same), arXiv:1802.05957 (spectral),
        arXiv:1903.10520 (weight standardization), arXiv:1705.08741 (ghost), arXiv:1603.09382 (stochastic depth),
        arXiv:1511.06422 (LSUV), arXiv:1901.09321 (Fixup).
    """
    if stages < 1:
        raise ConfigError(f"resnet.stages: found {stages}; expected at least 1, which never halves the map")
    if fixup and (layers.skip != "residual" or layers.lsuv):
        found = "lsuv = true" if layers.lsuv else f'skip = "{layers.skip}"'
        raise ConfigError(f'resnet.fixup: found {found}; expected skip = "residual" and lsuv = false beside it')
    design = design_of("resnet", layers)
    network = _Resnet(blocks, stages, width, readout, outputs, design, fixup)
    return from_network(network, step_of(layers, blocks * stages), per_example=design.per_example)
