"""Convolutional generators: latent vectors to images or signals.

The classifiers beside (`cnn`, `resnet`) halve maps, these double them. What makes them players, and what plays
against them, is not decided here; a generator without windows is an `mlp` whose outputs are reshaped.
"""

from __future__ import annotations

import math
from typing import Annotated

import flax.linen as nn
import jax.numpy as jnp

from deepprinciples.errors import ConfigError
from deepprinciples.kernels.upsampling import Upsample
from deepprinciples.parts.layers.design import Design, Step, design_of
from deepprinciples.parts.layers.hidden_layers import (
    Window,
    described,
    from_network,
    layer_name,
    linear,
    perturb,
    with_slope,
)
from deepprinciples.parts.layers.kernel_transforms import unnormalized
from deepprinciples.parts.layers.keywords import BEYOND_PLAIN, Layers, flat_keywords
from deepprinciples.parts.layers.normalization import normalize
from deepprinciples.types import ACTIVATION_DERIVATIVE, Array, Count, Depth, Model, Range


class _Stage(nn.Module):
    """One hidden map: of vectors, a dense map to [B, *start, width]; of a map, a convolution of its double."""

    start: tuple[int, ...]
    width: int
    window: Window
    design: Design

    @nn.compact
    def __call__(self, x: Array, step: Step) -> tuple[Array, dict[str, Array]]:
        name, design = str(self.name), self.design
        if x.ndim == 2:
            z = linear(x, design, math.prod(self.start) * self.width, name="linear", step=step)
            z = z.reshape(-1, *self.start, self.width)
        else:
            z = linear(x, design, self.width, name="linear", step=step, window=self.window)
        given, slope = with_slope(design.activation, normalize(z, design, step.train))
        given = perturb(given, step, name)
        return given, {name: given, name + ACTIVATION_DERIVATIVE: slope}


class _Generator(nn.Module):
    model: str
    shape: tuple[int, ...]
    depth: int
    width: int
    kernel: int
    upsample: Upsample
    bound: bool
    design: Design

    @nn.compact
    def __call__(self, x: Array, step: Step) -> tuple[Array, dict[str, Array]]:
        if x.ndim != 2 or not jnp.issubdtype(x.dtype, jnp.floating):
            raise ValueError(f"{self.model}: latents must be floats [batch, latents]; found {described(x)}")
        *spatial, channels = self.shape
        start = tuple(-(-n // 2**self.depth) for n in spatial)
        window = Window(self.kernel, upsample=self.upsample)
        activations: dict[str, Array] = {}
        for number in range(self.depth + 1):
            name = layer_name(number, self.depth + 1)
            x, seen = _Stage(start, self.width, window, self.design, name=name)(x, step)
            activations |= seen
        y = linear(x, unnormalized(self.design), channels, name="output", step=step, window=Window(self.kernel))
        y = y[(slice(None), *(slice(n) for n in spatial))]  # [B, *shape]
        outputs = perturb(jnp.tanh(y) if self.bound else y, step, "output")
        return outputs, {**activations, "output": outputs}


@flat_keywords(without=BEYOND_PLAIN)
def resize_cnn(
    *,
    shape: tuple[int, ...],
    depth: Depth = 2,
    width: Count = 32,
    kernel: Count = 3,
    bound: bool = False,
    layers: Layers,
) -> Model:
    """Build a generator that repeats every value before it convolves.

    a_0 = act(norm(W z + b)), a map of ceil(H / 2^depth) x ceil(W / 2^depth) positions;
    a_l = act(norm(W_l * double(a_{l-1}) + b_l)), outputs = W * a_depth + b cropped to the shape,
    where * is a convolution that keeps the size ("SAME") and double repeats every value along every spatial axis
    (nearest neighbor). Every position gets equally many products, so no checkerboard is built in.

    Args:
        shape: of one example, (H, W, C) or (T, C); the build supplies it.
        depth: how often the map is doubled; 0 is one dense map and the last convolution.
        width: channels of every hidden map.
        kernel: window along every spatial axis.
        bound: end in tanh, for data within [-1, 1].
        layers: see `Layers`.

    Returns:
        A `Model` on latents [B, L] (a condition is part of them): outputs [B, *shape]; activations "layer_00"
        (the first map), ... [B, ..., width], their slopes, and "output".

    Raises:
        ConfigError: the shape has no spatial axis, or more than two.
        ValueError: the latents are not floats [batch, latents].

    Expect:
        Claimed to avoid the checkerboards of transposed convolutions. With he_normal and relu activation_mean_square is
        about the same in every layer at the start; diversity (players) tells whether the samples differ.

    Costs:
        kernel^axes width^2 weights per doubling, used at every position; with kernels "auto" repeated values are
        multiplied once.

    References:
        doi:10.23915/distill.00003 (resize and convolve), arXiv:1511.06434 (convolutional generators).
    """
    _check("resize_cnn", shape)
    design = design_of("resize_cnn", layers)
    network = _Generator("resize_cnn", tuple(shape), depth, width, kernel, "repeat", bound, design)
    return from_network(network, per_example=design.per_example)


@flat_keywords(without=BEYOND_PLAIN)
def transposed_cnn(
    *,
    shape: tuple[int, ...],
    depth: Depth = 2,
    width: Count = 32,
    kernel: Annotated[int, Range("[2, inf)")] = 3,
    bound: bool = False,
    layers: Layers,
) -> Model:
    """Build a generator of transposed convolutions with strides 2.

    As `resize_cnn`, with double(a) = a with a zero before every value: then W * double(a) is Linen's ConvTranspose.
    A position gets the products of only a part of the window: with an odd kernel, neighbors get different numbers of
    them (a checkerboard at the start), with an even one all get (kernel / 2)^axes. Initializers see the whole window.

    Args:
        shape: of one example, (H, W, C) or (T, C); the build supplies it.
        depth: how often the map is doubled; 0 is one dense map and the last convolution.
        width: channels of every hidden map.
        kernel: window along every spatial axis, at least 2.
        bound: end in tanh, for data within [-1, 1].
        layers: see `Layers`.

    Returns:
        A `Model` on latents [B, L] (a condition is part of them): outputs [B, *shape]; activations "layer_00"
        (the first map), ... [B, ..., width], their slopes, and "output".

    Raises:
        ConfigError: the shape has no spatial axis, or more than two, or the kernel leaves positions empty.
        ValueError: the latents are not floats [batch, latents].

    Expect:
        With an odd kernel neighbors get different numbers of products: a checkerboard at the start, which may be
        learned away. Zeros take part of every sum, so with he_normal and relu activation_mean_square falls by 2^axes a
        doubling. diversity (players) tells whether the samples differ.

    Costs:
        kernel^axes width^2 weights per doubling, as resize_cnn; the zeros between the values need no products.

    References:
        arXiv:1511.06434, arXiv:1603.07285 (arithmetic of transposed convolutions).
    """
    _check("transposed_cnn", shape)
    if kernel < 2:
        raise ConfigError(f"transposed_cnn.kernel: found {kernel}; expected at least 2, or positions stay empty")
    design = design_of("transposed_cnn", layers)
    network = _Generator("transposed_cnn", tuple(shape), depth, width, kernel, "zeros", bound, design)
    return from_network(network, per_example=design.per_example)


def _check(model: str, shape: tuple[int, ...]) -> None:
    if len(shape) not in (2, 3):
        raise ConfigError(
            f"{model}.shape: found {tuple(shape)}; expected (height, width, channels) or (time, channels); "
            "use model mlp for feature vectors"
        )


TABLE = {f.__name__: f for f in (resize_cnn, transposed_cnn)}
