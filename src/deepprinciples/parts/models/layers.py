"""What the models here are built of: one hidden layer, linear maps, skips, taps, and the Linen boundary.

Linen's layers do the arithmetic; this room only joins them, so that every model names its layers, skips, norms and
activations in the same way. What is dropped at random lives in `noise`, whole models in the rooms beside.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from deepprinciples.kernels.convolution import convolve
from deepprinciples.kernels.pooling import max_pool
from deepprinciples.kernels.upsampling import Upsample, enlarge, upsample_convolve
from deepprinciples.parts.models.design import Design, Function, Kernels, Step, row
from deepprinciples.parts.models.noise import draws_nothing, drop_branch, drop_weights, dropout, is_off
from deepprinciples.parts.models.normalization import Rescale, Spectral, normalize, standardized, through, unnormalized
from deepprinciples.types import SLOPE, Array, Model, PyTree

HIGHWAY_BIAS = -1.0  # gates start mostly closed, so that a deep stack starts near the identity (arXiv:1505.00387)


class Flow(NamedTuple):
    """What one layer hands to the next."""

    given: Array  # what the next linear map reads
    stream: Array | None = None  # the sum a residual network carries, before normalization and activation


def layer_name(number: int, depth: int) -> str:
    """Name a layer so that names sort in the order of the layers."""
    digits = max(2, len(str(depth - 1)))
    return f"layer_{number:0{digits}d}"


def tap(x: Array, step: Step, name: str) -> Array:
    """Add the perturbation of that name, where there is one: its gradient is the gradient of the activation."""
    return x + step.taps[name] if name in step.taps else x


def with_slope(activation: Function, x: Array) -> tuple[Array, Array]:
    """Apply an elementwise activation and give its derivative too; unused, the derivative costs nothing under jit."""
    return jax.jvp(activation, (x,), (jnp.ones_like(x),))


class Weights(nn.Module):
    """The kernel [in, out] and, with an initializer, the bias [out] of a dense layer, named as Linen does."""

    features: int
    initializer: Function
    bias_initializer: Function | None

    @nn.compact
    def __call__(self, fan_in: int) -> tuple[Array, Any]:
        kernel = self.param("kernel", self.initializer, (fan_in, self.features), jnp.float32)
        if self.bias_initializer is None:
            return kernel, None
        return kernel, self.param("bias", self.bias_initializer, (self.features,), jnp.float32)


def linear(
    x: Array,
    design: Design,
    width: int,
    *,
    name: str,
    step: Step,
    kernel: int = 0,
    stride: int = 1,
    pooled: bool = False,
    upsample: Upsample | None = None,
) -> Array:
    """Apply a dense map, or a convolution where `kernel` is above 0; call it inside a compact Linen module.

    With normalization "weight" the kernel is scale * v / |v| per output unit (arXiv:1602.07868), with "spectral" it
    is divided by its largest singular value (see `Spectral`), with "weight_standardized" it is `standardized`.

    Args:
        x: [B, F], [B, T, C] or [B, H, W, C].
        design: brings the initializers and the normalization.
        width: output features.
        name: of the Linen layer.
        step: brings the rate of `drop_weights`, and whether "spectral" learns the singular value with this call.
        kernel: window of a convolution along every spatial axis; 0 is a dense map.
        stride: of a convolution.
        pooled: apply `pool` to a convolution, before the bias is added: the same to the bit, on a quarter of the data.
        upsample: double the spatial axes before a convolution of stride 1, by repeated values or by stuffed zeros.

    Returns:
        x with its last axis mapped to `width`, and its spatial axes divided by `stride` (and halved by the pool).
    """
    weighted = design.normalization == "weight"
    window = (kernel,) * (x.ndim - 2) if kernel else ()
    bias = row(design.bias_initializer, math.prod(window) * x.shape[-1])
    initializer = unit_variance(design.initializer, x, stride) if design.lsuv else design.initializer
    options: dict[str, Any] = {"kernel_init": initializer, "bias_init": bias, "use_bias": not weighted}
    early = pooled and not weighted
    product: Function = lax.conv_general_dilated if kernel else lax.dot_general
    if kernel and design.kernels == "auto":
        halved = (2,) * len(window) if early and _can_halve(x, stride) else ()
        product = functools.partial(convolve, pool_window=halved)
        product = functools.partial(upsample_convolve, how=upsample) if upsample else product
    elif early:
        product = lambda *a, **k: pool(lax.conv_general_dilated(*a, **k), design.kernels)
    if not is_off(step.drop_connect):
        product = through(product, lambda w: drop_weights(w, step, layer.path))
    if design.normalization == "weight_standardized":
        product = through(product, standardized)
    elif design.normalization == "spectral":
        spectral = Spectral(name=f"{name}_norm")
        product = through(product, lambda w: spectral(w, step.train))
    if kernel:
        strides = (stride,) * len(window)
        layer: nn.Module = nn.Conv(width, window, strides, conv_general_dilated=product, name=name, **options)
    else:
        layer = nn.Dense(width, dot_general=product, name=name, **options)
    x = enlarge(x, upsample) if upsample and design.kernels == "stock" else x
    y = layer(x)
    if not weighted:
        return y
    y = Rescale(bias, name=f"{name}_scale")(y, layer.variables["params"]["kernel"])
    return pool(y, design.kernels) if pooled else y


def pool(x: Array, kernels: Kernels) -> Array:
    """Take the maximum over windows of 2 along every axis between batch and channels; odd edges are cropped.

    Axes too short to halve leave x as it is.

    Args:
        x: [B, T, C] or [B, H, W, C].
        kernels: ours ("auto") or Linen's ("stock").

    Returns:
        [B, T // 2, C] or [B, H // 2, W // 2, C].
    """
    if not _can_halve(x):
        return x
    window = (2,) * (x.ndim - 2)
    return (max_pool if kernels == "auto" else nn.max_pool)(x, window, window)


def _can_halve(x: Array, stride: int = 1) -> bool:
    return min(x.shape[1:-1]) > stride


class Layer(nn.Module):
    """One hidden layer; see `mlp` for what each skip computes.

    Where a skip adds, it adds before normalization and activation (pre-activation, arXiv:1603.05027): so "residual"
    is the plain network plus identities, with the same parameters, and the theory of its signals is exact.
    """

    width: int
    design: Design
    kernel: int = 0
    pooled: bool = False

    @nn.compact
    def __call__(self, flow: Flow, step: Step, number: int) -> tuple[Flow, dict[str, Array]]:
        name, design = str(self.name), self.design
        read = dropout(flow.given, step, number) if number else flow.given
        summed = design.skip in ("residual", "rezero")
        gated = design.skip == "highway" and flow.given.shape[-1] == self.width
        mixed = number > 0 and (gated or design.skip == "dense")
        early = self.pooled and not (summed or mixed)
        z = linear(read, design, self.width, name="linear", step=step, kernel=self.kernel, pooled=early)
        if summed:
            stream = join(self, design, flow.stream, z, step, read, number)
            stream = tap(pool(stream, design.kernels) if self.pooled else stream, step, name)
            given, slope = with_slope(design.activation, normalize(stream, design, step.train))
            return Flow(given, stream), {name: stream, name + SLOPE: slope}
        given, slope = with_slope(design.activation, normalize(z, design, step.train))
        if mixed:
            given = join(self, design, flow.given, given, step, read, number, kernel=self.kernel)
        given = tap(pool(given, design.kernels) if self.pooled and mixed else given, step, name)
        return Flow(given), {name: given, name + SLOPE: slope}


def readout(flow: Flow, design: Design, outputs: int, step: Step, number: int, name: str = "output") -> Array:
    """Map what the last layer gave on to the outputs; not activated, and not normalized except by "spectral"."""
    read = dropout(flow.given, step, number) if number else flow.given
    y = linear(read, unnormalized(design), outputs, name=name, step=step)
    return tap(y, step, name)


def described(x: Array) -> str:
    """Describe an array in an error: its dtype, and its shape with the batch axis as B."""
    return f"{x.dtype} [{', '.join(['B', *map(str, x.shape[1:])])}]"


def join(
    module: nn.Module,
    design: Design,
    stream: Array | None,
    branch: Array,
    step: Step,
    read: Array,
    number: int,
    *,
    kernel: int = 0,
    stride: int = 1,
) -> Array:
    """Join a branch to the stream by the skip of the design; call it inside a compact Linen module.

    Args:
        module: whose parameter alpha is, with skip "rezero".
        design: brings the skip, and what a gate is made of.
        stream: what the layers before gave; where there is none, or its shape differs, the branch is the new stream
            ("dense" excepted: it takes any number of features).
        branch: [B, ..., C].
        step: brings branch_scale, stream_scale and the rate of `drop_branch`, for skips that are a sum.
        read: what the gate of skip "highway" reads, by a `linear` map with this kernel and stride.
        number: of the layer.
        kernel: window of the gate.
        stride: of the gate.

    Returns:
        The new stream, an array like branch; with skip "dense" it has the features of both.
    """
    skip = design.skip
    if skip == "none" or stream is None:
        return branch
    if skip == "dense":
        return jnp.concatenate([stream, branch], axis=-1)
    if stream.shape != branch.shape:
        return branch
    if skip == "highway":
        logits = linear(read, design, branch.shape[-1], name="gate", step=step, kernel=kernel, stride=stride)
        gate = jax.nn.sigmoid(logits + HIGHWAY_BIAS)
        return gate * branch + (1.0 - gate) * stream
    if skip == "rezero":
        branch = module.param("alpha", nn.initializers.zeros, (), jnp.float32) * branch
    return step.stream_scale * stream + step.branch_scale * drop_branch(branch, step, number)


def unit_variance(initializer: Function, x: Array, stride: int = 1) -> Function:
    """Scale a drawn kernel so that what it makes of x has variance 1 (one step of LSUV, exact without a bias).

    Args:
        initializer: draws the kernel, [in, out] or [kernel, (kernel,) in, out].
        x: what the kernel reads when the model is initialized.
        stride: of a convolution.

    Returns:
        An initializer. What layers before were given is already scaled when their successors are drawn.

    References:
        arXiv:1511.06422.
    """

    def init(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        kernel = initializer(key, shape, dtype)
        axes = shape[:-2]
        made = x @ kernel if not axes else _convolved(x, kernel, (stride,) * len(axes))
        std = jnp.std(made)
        return kernel / jnp.where(std > 0, std, 1.0)

    return init


def _convolved(x: Array, kernel: Array, strides: tuple[int, ...]) -> Array:
    order = ("NHC", "HIO", "NHC") if x.ndim == 3 else ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, strides, "SAME", dimension_numbers=order)


def from_network(network: nn.Module, settings: Step | None = None, *, separate: bool = False) -> Model:
    """Make the Model of a network whose call is (x, step) -> (outputs, activations).

    Args:
        network: a Linen module of this package.
        settings: the model's own numbers; each call brings the rest of the step.
        separate: whether examples go their own ways in the network, as far as nothing is drawn.

    Returns:
        A tapped `Model`; its state holds the Linen collections other than params.
    """
    own = Step() if settings is None else settings

    def init(key: Array, x: Array) -> tuple[PyTree, PyTree]:
        variables = dict(network.init(key, x, own))
        return variables.pop("params"), variables

    def apply(
        params: PyTree, state: PyTree, x: Array, *, key: Array | None, train: bool
    ) -> tuple[Array, PyTree, dict[str, Array]]:
        state = dict(state)
        step = own._replace(key=key, train=train, taps=state.pop("perturbations", {}))
        variables = {"params": params, **state}
        (outputs, activations), changed = network.apply(variables, x, step, mutable=list(state) if train else [])
        return outputs, {**state, **changed}, activations

    return Model(init, apply, tapped=True, separate=separate and draws_nothing(own))
