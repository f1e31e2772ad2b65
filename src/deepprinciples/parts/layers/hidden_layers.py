"""The building blocks of the models: linear maps, one hidden layer, skips, perturbations, and the Linen boundary.

Every model names its layers, skips, norms and activations in the same way. Dropout of all kinds is in `noise`,
transforms of kernels are in `kernel_transforms`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from deepprinciples.kernels.convolution import convolve
from deepprinciples.kernels.im2col import along, as_it_lies, lies_batch_last, row_major
from deepprinciples.kernels.linear_algebra import multiply_rows
from deepprinciples.kernels.pooling import max_pool
from deepprinciples.kernels.upsampling import Upsample, enlarge, upsample_convolve
from deepprinciples.parts.layers.design import Design, Function, Step, row
from deepprinciples.parts.layers.kernel_transforms import transform_of, unnormalized
from deepprinciples.parts.layers.keywords import Kernels
from deepprinciples.parts.layers.noise import draws_nothing, drop_branch, drop_weights, dropout
from deepprinciples.parts.layers.normalization import normalize
from deepprinciples.types import ACTIVATION_DERIVATIVE, Array, Model, PyTree

HIGHWAY_BIAS = -1.0  # gates start mostly closed, so that a deep stack starts near the identity (arXiv:1505.00387)


class Flow(NamedTuple):
    """What one layer hands to the next."""

    given: Array  # what the next linear map reads
    stream: Array | None = None  # the sum a residual network carries, before normalization and activation


def layer_name(number: int, depth: int) -> str:
    """Name a layer so that names sort in the order of the layers."""
    digits = max(2, len(str(depth - 1)))
    return f"layer_{number:0{digits}d}"


def perturb(x: Array, step: Step, name: str) -> Array:
    """Add the perturbation of that name, where there is one: its gradient is the gradient of the activation."""
    return x + step.perturbations[name] if name in step.perturbations else x


def with_slope(activation: Function, x: Array) -> tuple[Array, Array]:
    """Apply an elementwise activation and give its derivative too; unused, the derivative costs nothing under jit.

    An activation with a rule of its own for the way back says by an attribute `slope` what its derivative is.
    """
    if hasattr(activation, "slope"):
        return activation(x), activation.slope(x)
    return jax.jvp(activation, (x,), (jnp.ones_like(x),))


class Window(NamedTuple):
    """How a convolution of padding "SAME" slides along every spatial axis; no `Window` stands for a dense map."""

    size: int
    stride: int = 1
    pooled: bool = False  # by `pool`, before the bias is added: the same to the bit, on a quarter of the data
    upsample: Upsample | None = None  # first double the spatial axes, by repeated values or by stuffed zeros


class Weights(nn.Module):
    """The kernel [..., in, out] and, with an initializer, the bias [out] of a linear map, named as Linen does."""

    shape: tuple[int, ...]
    initializer: Function
    bias_initializer: Function | None

    @nn.compact
    def __call__(self) -> tuple[Array, Any]:
        kernel = self.param("kernel", self.initializer, self.shape, jnp.float32)
        if self.bias_initializer is None:
            return kernel, None
        return kernel, self.param("bias", self.bias_initializer, self.shape[-1:], jnp.float32)


def linear(x: Array, design: Design, width: int, *, name: str, step: Step, window: Window | None = None) -> Array:
    """Apply a dense map or a convolution; call it inside a compact Linen module.

    The kernel passes the transform of the design's normalization (see `kernel_transforms`), then `drop_weights`.

    Args:
        x: [B, F], [B, T, C] or [B, H, W, C].
        design: brings the initializers, the normalization and the kernels.
        width: output features.
        name: of the layer.
        step: brings the rate of `drop_weights`, and whether "spectral" learns the singular value with this call.
        window: of a convolution; None is a dense map.

    Returns:
        x with its last axis mapped to `width`, and its spatial axes divided by the stride (and halved by the pool).
    """
    spatial = (window.size,) * (x.ndim - 2) if window else ()
    shape = (*spatial, x.shape[-1], width)
    initializer = unit_variance(design.initializer, x, window) if design.lsuv else design.initializer
    weights = Weights(shape, initializer, row(design.bias_initializer, math.prod(shape[:-1])), name=name)
    kernel, bias = weights()
    kernel = drop_weights(transform_of(design)(kernel, step, name), step, weights.path)
    x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias)
    y = product(x, kernel, window, design.kernels)
    return as_it_lies(lambda y, axis: _plus(y, bias) if axis == 0 else y + along(bias, y.ndim, axis), y)


def _plus(y: Array, bias: Array) -> Array:
    """Add a number to each row of y [C, P, B].

    It is written as a product, since its gradient is one then: a sum over all but the first axis would copy y first.
    """
    ones = jnp.ones((1, y.size // len(y)), y.dtype)
    return y + (bias[:, None] @ ones).reshape(y.shape)


def product(x: Array, kernel: Array, window: Window | None, kernels: Kernels) -> Array:
    """Multiply inputs [B, ..., in] and a kernel [..., in, out]: [B, ..., out]."""
    axes = x.ndim - 2
    if window is None:
        if kernels == "auto" and axes == 0:
            return multiply_rows(x, kernel)
        if kernels == "auto" and axes == 2 and lies_batch_last():
            return convolve(x, kernel[None, None], (1, 1), "VALID")  # of each place alone, as maps lie in memory
        return x @ kernel
    strides = (window.stride,) * axes
    if kernels == "stock":
        order = ("NHC", "HIO", "NHC") if axes == 1 else ("NHWC", "HWIO", "NHWC")
        x = enlarge(x, window.upsample) if window.upsample else x
        y = lax.conv_general_dilated(x, kernel, strides, "SAME", dimension_numbers=order)
        return pool(y, kernels) if window.pooled else y
    if window.upsample:
        return upsample_convolve(x, kernel, how=window.upsample)
    halved = (2,) * axes if window.pooled and _can_halve(x, window.stride) else ()
    return convolve(x, kernel, strides, "SAME", pool_window=halved)


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
    window: Window | None = None  # its `pooled` asks for a pool at the end of the layer

    @nn.compact
    def __call__(self, flow: Flow, step: Step, number: int) -> tuple[Flow, dict[str, Array]]:
        name, design = str(self.name), self.design
        read = dropout(flow.given, step, number) if number else flow.given
        summed = design.skip in ("residual", "rezero")
        gated = design.skip == "highway" and flow.given.shape[-1] == self.width
        mixed = number > 0 and (gated or design.skip == "dense")
        window = self.window
        late = (
            window is not None and window.pooled and (summed or mixed)
        )  # after the sum, or after the features are side by side
        unpooled = window and window._replace(pooled=False)
        z = linear(read, design, self.width, name="linear", step=step, window=unpooled if late else window)
        if summed:
            stream = join(self, design, flow.stream, z, step, read, number)
            stream = perturb(pool(stream, design.kernels) if late else stream, step, name)
            given, slope = with_slope(design.activation, normalize(stream, design, step.train))
            return Flow(given, stream), {name: stream, name + ACTIVATION_DERIVATIVE: slope}
        given, slope = with_slope(design.activation, normalize(z, design, step.train))
        if mixed:
            given = join(self, design, flow.given, given, step, read, number, unpooled)
        given = perturb(pool(given, design.kernels) if late else given, step, name)
        return Flow(given), {name: given, name + ACTIVATION_DERIVATIVE: slope}


def readout_of(flow: Flow, design: Design, outputs: int, step: Step, number: int, name: str = "output") -> Array:
    """Map what the last layer gave on to the outputs; not activated, and not normalized except by "spectral"."""
    read = dropout(flow.given, step, number) if number else flow.given
    y = linear(read, unnormalized(design), outputs, name=name, step=step)
    return perturb(y, step, name)


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
    window: Window | None = None,
) -> Array:
    """Join a branch to the stream by the skip of the design; call it inside a compact Linen module.

    Args:
        module: whose parameter alpha is, with skip "rezero".
        design: brings the skip, and what a gate is made of.
        stream: what the layers before gave; where there is none, or its shape differs, the branch is the new stream
            ("dense" excepted: it takes any number of features).
        branch: [B, ..., C].
        step: brings branch_scale, stream_scale and the rate of `drop_branch`, for skips that are a sum.
        read: what the gate of skip "highway" reads, by a `linear` map.
        number: of the layer.
        window: of the gate, where it is a convolution.

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
        logits = linear(read, design, branch.shape[-1], name="gate", step=step, window=window)
        gate = jax.nn.sigmoid(logits + HIGHWAY_BIAS)
        return gate * branch + (1.0 - gate) * stream
    if skip == "rezero":
        branch = module.param("alpha", nn.initializers.zeros, (), jnp.float32) * branch
    return step.stream_scale * stream + step.branch_scale * drop_branch(branch, step, number)


def unit_variance(initializer: Function, x: Array, window: Window | None = None) -> Function:
    """Scale a drawn kernel so that its product with x has variance 1 (one step of LSUV, exact without a bias).

    Args:
        initializer: draws the kernel, [in, out] or [kernel, (kernel,) in, out].
        x: input of the layer when the model is initialized.
        window: of a convolution; it is measured before the pool.

    Returns:
        An initializer. Kernels of earlier layers are already scaled when their successors are drawn.

    References:
        arXiv:1511.06422.
    """

    def init(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        kernel = initializer(key, shape, dtype)
        std = jnp.std(product(x, kernel, window and window._replace(pooled=False), "stock"))
        return kernel / jnp.where(std > 0, std, 1.0)

    return init


def from_network(network: nn.Module, settings: Step | None = None, *, per_example: bool = False) -> Model:
    """Make the Model of a network whose call is (x, step) -> (outputs, activations).

    Args:
        network: a Linen module of this package.
        settings: the model's own numbers; each call brings the rest of the step.
        separate: whether examples go their own ways in the network, as far as nothing is drawn.

    Returns:
        A `Model`; its state holds the Linen collections other than params.
    """
    own = Step() if settings is None else settings

    def init(key: Array, x: Array) -> tuple[PyTree, PyTree]:
        variables = dict(network.init(key, x, own))
        return variables.pop("params"), variables

    def apply(
        params: PyTree, state: PyTree, x: Array, *, key: Array | None, train: bool
    ) -> tuple[Array, PyTree, dict[str, Array]]:
        state = dict(state)
        x, perturbations = row_major((x, state.pop("perturbations", {})))
        step = own._replace(key=key, train=train, perturbations=perturbations)
        variables = {"params": params, **state}
        (outputs, activations), changed = network.apply(variables, x, step, mutable=list(state) if train else [])
        outputs, activations = row_major((outputs, activations))
        return outputs, {**state, **changed}, activations

    return Model(init, apply, takes_perturbations=True, per_example=per_example and draws_nothing(own))
