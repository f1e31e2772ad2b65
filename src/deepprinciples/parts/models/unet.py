"""The U-Net: a network for images and signals whose outputs are one vector for each position.

Networks with one vector for a whole example are `cnn` and `resnet`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import flax.linen as nn
import jax.numpy as jnp

from deepprinciples.parts.layers.design import Design, Step, design_of, step_of
from deepprinciples.parts.layers.hidden_layers import Flow, Layer, Window, from_network, layer_name, pool, readout_of
from deepprinciples.parts.layers.keywords import Layers, flat_keywords
from deepprinciples.parts.models.cnn import check_windows
from deepprinciples.types import Array, Count, Model, Range, traits

Skips = Literal["concat", "add", "none"]


class _Unet(nn.Module):
    levels: int
    width: int
    convolutions: int
    kernel: int
    skips: Skips
    outputs: int
    design: Design

    @nn.compact
    def __call__(self, x: Array, step: Step) -> tuple[Array, dict[str, Array]]:
        check_windows("unet", x)
        _check_halves(x, self.levels)
        total = self.levels * self.convolutions + (self.levels - 1) * (1 + self.convolutions)
        activations: dict[str, Array] = {}
        number = 0

        def layer(x: Array, level: int, upsample: Literal["repeat"] | None = None) -> Array:
            nonlocal number
            window = Window(self.kernel, upsample=upsample)
            build = Layer(self.width * 2**level, self.design, window, name=layer_name(number, total))
            flow, seen = build(Flow(x), step, number)
            activations.update(seen)
            number += 1
            return flow.given

        maps: list[Array] = []
        for level in range(self.levels):
            x = pool(x, self.design.kernels) if level else x
            for _ in range(self.convolutions):
                x = layer(x, level)
            maps.append(x)  # [B, H / 2^level, W / 2^level, width 2^level]
        for level in reversed(range(self.levels - 1)):
            x = _joined(layer(x, level, "repeat"), maps[level], self.skips)
            for _ in range(self.convolutions):
                x = layer(x, level)
        outputs = readout_of(Flow(x), self.design, self.outputs, step, total)
        return outputs, {**activations, "output": outputs}


def _joined(x: Array, skipped: Array, skips: Skips) -> Array:
    if skips == "concat":
        return jnp.concatenate([skipped, x], axis=-1)
    return x + skipped if skips == "add" else x


def _check_halves(x: Array, levels: int) -> None:
    sides, part = x.shape[1:-1], 2 ** (levels - 1)
    if any(side % part for side in sides):
        found = " x ".join(map(str, sides))
        raise ValueError(
            f"unet: inputs of {found} positions cannot be halved {levels - 1} times; "
            f"pad or crop them to multiples of {part}, or take fewer levels"
        )


@traits(neutral={"dropout": 0.0, "drop_connect": 0.0})
@flat_keywords(without=("skip", "branch_scale", "stream_scale", "stochastic_depth"))
def unet(
    *,
    outputs: int,
    levels: Annotated[int, Range("[1, 1000000]")] = 3,
    width: Count = 8,
    convolutions: Count = 1,
    kernel: Count = 3,
    skips: Skips = "concat",
    layers: Layers,
) -> Model:
    """Build a U-Net, which classifies every position of an image or signal.

    Down: e_0 = h(x), e_l = h(pool(e_{l-1})). Up: d_L = e_L at the last level L, d_l = h(join(g(double(d_{l+1})), e_l)).
    outputs = W d_0 + b at every position. h is `convolutions` layers act(norm(W * a + b)) and g is one, all of
    width 2^l channels that keep the size ("SAME"); pool takes the maximum over windows of 2, double repeats every value
    along every axis, and join is the skip. Unlike the paper's network, edges are padded, so that outputs have the size
    of the inputs.

    Args:
        outputs: number of classes or regression targets of a position.
        levels: sizes of maps; the map is halved levels - 1 times.
        width: channels of the first level; they double with every level.
        convolutions: on each level, on the way down and again on the way up; the paper has 2.
        kernel: window along every spatial axis.
        skips: how a map of the way down joins that of the same size on the way up: "concat" puts the channels side by
            side, "add" adds them, "none" leaves it out.
        layers: see `Layers`.

    Returns:
        A `Model` on inputs [B, H, W, C] or [B, T, C]: outputs [B, H, W, outputs] or [B, T, outputs]; activations
        "layer_00", ... in the order of the way through the network [B, ..., channels], their slopes, and "output".

    Raises:
        ValueError: the inputs have no spatial axes, or one that cannot be halved levels - 1 times.

    Expect:
        Skips are claimed to bring back where things are, which pools lose: edges should gain most, look at boundary_f1.
        Without them gradient_mean_square of the first layers has only the way through the last level.

    Costs:
        kernel^axes in out weights per convolution; half of the products are at the full size. "concat" doubles the
        channels that the first convolution after a join reads, so it has more weights than "add" and "none".

    References:
        arXiv:1505.04597, arXiv:1608.04117 (the skips of both lengths).
    """
    design = design_of("unet", layers)
    network = _Unet(levels, width, convolutions, kernel, skips, outputs, design)
    return from_network(network, step_of(layers, levels), per_example=design.per_example)
