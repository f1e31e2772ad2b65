"""Attributions: which parts of an input an answer rests on, one map for every example.

Every factory returns a pure function (predict, params, inputs, targets, key) -> maps in the shape of the inputs, where
predict(params, inputs) gives outputs [B] or [B, C] and `targets` [B] says which output of each example is explained. An
attribution marked `on_activations` gets apply(params, inputs, perturbations) -> (outputs, activations) in the place of
predict; a perturbation is added to the activation of its name. What a map is worth is measured in attribution_metrics.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from deepprinciples.errors import ConfigError
from deepprinciples.kernels import random
from deepprinciples.kernels.keys import fold_in
from deepprinciples.types import AUXILIARY, Array, Count, PyTree, Scalar, Strength, traits

Predict = Callable[[PyTree, Array], Array]
Attribution = Callable[[Any, PyTree, Array, Array, Array], Array]


def explained_outputs(outputs: Array, targets: Array) -> Array:
    """Select the output of each example that is explained, [B, C] or [B] -> [B]."""
    if outputs.ndim == 1:
        return outputs
    if outputs.ndim != 2:
        raise ValueError(f"an attribution explains one output of each example; found outputs {list(outputs.shape)}")
    return jnp.take_along_axis(outputs, targets[:, None].astype(jnp.int32), axis=1)[:, 0]


def gradient() -> Attribution:
    """Take the gradient of an output with respect to the input.

    map = d f_t(x) / d x

    Returns: attribution; maps have a sign, and the metrics read their size.
    Expect: A noisy map: it says how the output would change, not what it is made of. A rectified network that saturates
      has small gradients where it is sure.
    Costs: One gradient.
    References: Simonyan, Vedaldi, Zisserman, arXiv:1312.6034. Captum: Saliency (there the absolute value).
    """

    def attribute(predict: Predict, params: PyTree, inputs: Array, targets: Array, key: Array) -> Array:
        del key
        return _slope(predict, params, inputs, targets)

    return attribute


def gradient_times_input() -> Attribution:
    """Multiply the gradient by the input: the first-order share of every input in the output.

    map = x * d f_t(x) / d x

    Returns: attribution; for a linear model without bias the map adds up to the output.
    Expect: It is 0 where the input is, so the map looks like the input whatever the network is.
    Costs: One gradient.
    References: Shrikumar et al., arXiv:1605.01713. Captum: InputXGradient.
    """

    def attribute(predict: Predict, params: PyTree, inputs: Array, targets: Array, key: Array) -> Array:
        del key
        return inputs * _slope(predict, params, inputs, targets)

    return attribute


def integrated_gradients(*, steps: Count = 32, baseline: Scalar = 0.0) -> Attribution:
    """Integrate the gradient along the straight way from a baseline to the input.

    map = (x - b) * (1 / K) sum_k d f_t(b + (k - 1/2) / K (x - b)) / d x, k = 1 to K: the midpoint rule

    Args:
      steps: gradients along the way, K.
      baseline: value of all inputs at its start, b; 0 is the mean where the data are standardized. *Sweepable.*
    Returns: attribution; the map of an example adds up to f_t(x) - f_t(b), as far as the sum is the integral.
    Expect: Less noise than gradient where the network saturates; 0 where the input is at the baseline.
    Costs: K gradients.
    References: Sundararajan, Taly, Yan, arXiv:1703.01365. Captum: IntegratedGradients.
    """

    def attribute(predict: Predict, params: PyTree, inputs: Array, targets: Array, key: Array) -> Array:
        del key
        away = inputs - baseline

        def add(total: Array, share: Array) -> tuple[Array, None]:
            return total + _slope(predict, params, baseline + share * away, targets), None

        shares = (jnp.arange(steps) + 0.5) / steps
        return away * jax.lax.scan(add, jnp.zeros_like(inputs), shares)[0] / steps

    return attribute


def smooth_grad(*, noise: Strength = 0.15, samples: Count = 16) -> Attribution:
    """Average the gradient over noisy copies of the input.

    map = (1 / K) sum_k d f_t(x + s e_k) / d x, e_k standard normal, s = noise * (max x - min x) of each example

    Args:
      noise: standard deviation as a share of the range of an example. *Sweepable.* At 0.0 it is gradient.
      samples: noisy copies, K.
    Returns: attribution, random in its key.
    Expect: A smoother map than gradient, of the same signs.
    Costs: K gradients.
    References: Smilkov et al., arXiv:1706.03825. Captum: NoiseTunnel(Saliency, nt_type = "smoothgrad").
    """

    def attribute(predict: Predict, params: PyTree, inputs: Array, targets: Array, key: Array) -> Array:
        axes = tuple(range(1, inputs.ndim))
        spread = jnp.max(inputs, axis=axes, keepdims=True) - jnp.min(inputs, axis=axes, keepdims=True)

        def add(total: Array, number: Array) -> tuple[Array, None]:
            noisy = inputs + noise * spread * random.normal(fold_in(key, number), inputs.shape)
            return total + _slope(predict, params, noisy, targets), None

        return jax.lax.scan(add, jnp.zeros_like(inputs), jnp.arange(samples))[0] / samples

    return attribute


@traits(on_activations=True)
def grad_cam(*, layer: str = "") -> Attribution:
    """Weight the channels of a layer by the mean gradient that reaches them, and add them up.

    map = relu(sum_c a_c A_c), a_c = mean over positions of d f_t / d A_c, interpolated to the positions of the input

    Args:
      layer: whose activations A [B, ..., C] are read, such as "layer_01"; "" is the last one that has positions.
    Returns: attribution; maps are at least 0, and the channels of an input share them equally.
    Raises: ValueError where no layer of this name has the positions of the input.
    Expect: A coarse map in the right place, as coarse as the layer; 0 everywhere where nothing speaks for the output.
    Costs: One gradient of the layers above.
    References: Selvaraju et al., arXiv:1610.02391. Captum: LayerGradCam and interpolation.
    """

    def attribute(
        apply: Callable[..., tuple[Array, Any]], params: PyTree, inputs: Array, targets: Array, key: Array
    ) -> Array:
        del key
        shapes = jax.eval_shape(lambda x: apply(params, x, {})[1], inputs)
        name = layer or _last_with_positions(shapes, inputs)
        if name not in shapes or shapes[name].ndim != inputs.ndim or inputs.ndim < 3:
            fitting = [one for one in _layers(shapes) if shapes[one].ndim == inputs.ndim > 2]
            found = f"layer {name!r}" if name else "inputs without positions"
            raise ValueError(f"grad_cam: found {found}; layers with positions: {', '.join(fitting) or 'none'}")

        def total(shift: Array) -> tuple[Array, Array]:
            outputs, seen = apply(params, inputs, {name: shift})
            return jnp.sum(explained_outputs(outputs, targets)), seen[name]

        slopes, held = jax.grad(total, has_aux=True)(jnp.zeros(shapes[name].shape, shapes[name].dtype))
        weights = jnp.mean(slopes, axis=tuple(range(1, slopes.ndim - 1)), keepdims=True)
        heat = jax.nn.relu(jnp.sum(weights * held, axis=-1))  # [B, ...]
        return _over_channels(jax.image.resize(heat, inputs.shape[:-1], "linear"), inputs)

    return attribute


def occlusion(*, size: Count = 4, stride: Count = 2, baseline: Scalar = 0.0) -> Attribution:
    """Cover one window of the input after another, and see how far the output falls.

    map at a position = mean over the windows that cover it of f_t(x) - f_t(x with the window set to the baseline)

    Args:
      size: of a window along every axis of positions; of feature vectors, how many neighbors are covered.
      stride: from one window to the next, at most `size`; the last one ends at the border.
      baseline: value of what is covered; 0 is the mean where the data are standardized. *Sweepable.*
    Returns: attribution; the channels of an input share the map equally.
    Raises: ConfigError where the stride is larger than the window. ValueError where it is larger than the input.
    Expect: Slow, and close to what the output rests on, at the resolution of the window.
    Costs: One evaluation for each window, and no gradient.
    References: Zeiler, Fergus, arXiv:1311.2901. Captum: Occlusion.
    """
    if stride > size:
        raise ConfigError(f"occlusion: stride {stride} skips positions between windows of {size}; use at most {size}")

    def attribute(predict: Predict, params: PyTree, inputs: Array, targets: Array, key: Array) -> Array:
        del key
        given = _windows(_positions(inputs), size, stride)
        windows, counts = jnp.asarray(given), given.sum(axis=0)  # [M, ...], [...]
        whole = explained_outputs(predict(params, inputs), targets)

        def drop(window: Array) -> Array:
            covered = jnp.where(window[..., None] if inputs.ndim > 2 else window, baseline, inputs)
            return whole - explained_outputs(predict(params, covered), targets)

        drops = jax.lax.map(drop, windows[:, None])  # [M, B]
        heat = jnp.tensordot(drops.T, windows.astype(inputs.dtype), axes=1) / counts[None].astype(inputs.dtype)
        return _over_channels(heat, inputs) if inputs.ndim > 2 else heat

    return attribute


@jax.custom_vjp
def guided_relu(x: Array) -> Array:
    """Cut negative inputs to zero, and negative gradients on the way back: relu with the rule of guided_backprop."""
    return jax.nn.relu(x)


guided_relu.defvjp(lambda x: (jax.nn.relu(x), x), lambda x, g: (jnp.where(x > 0, jnp.maximum(g, 0.0), 0.0),))
# Models also compute the derivative of an activation, forwards, which a rule for the way back alone does not give.
guided_relu.slope = lambda x: (x > 0).astype(x.dtype)  # type: ignore[attr-defined]


@traits(in_place_of_relu=guided_relu)
def guided_backprop() -> Attribution:
    """Take the gradient, but let only positive gradients pass each relu.

    map = d f_t(x) / d x with relu's rule g -> g 1[x > 0] 1[g > 0] on the way back

    The network is built anew with `guided_relu` in the place of relu: its answers are the same to the bit.

    Returns: attribution of a predict whose activations are `guided_relu`; of any other it is gradient.
    Expect: Sharp maps that look like edges of the input. arXiv:1810.03292 found that they hardly depend on the weights
      of the upper layers.
    Costs: One gradient.
    References: Springenberg et al., arXiv:1412.6806. Captum: GuidedBackprop.
    """
    return gradient()


def random_map() -> Attribution:
    """Draw a map that knows nothing of network and input: what a metric gives by chance.

    map = |e|, e standard normal

    Returns: attribution, random in its key.
    Expect: mass_in_mask is the share of the mask; randomization is 0 on average.
    Costs: Nothing that is measurable.
    References: none.
    """

    def attribute(predict: Predict, params: PyTree, inputs: Array, targets: Array, key: Array) -> Array:
        del predict, params, targets
        return jnp.abs(random.normal(key, inputs.shape)).astype(inputs.dtype)

    return attribute


def _slope(predict: Predict, params: PyTree, inputs: Array, targets: Array) -> Array:
    """Return the gradient of the explained outputs; examples have no part in the outputs of others."""
    if not jnp.issubdtype(inputs.dtype, jnp.floating):
        raise ValueError(f"an attribution needs inputs that are real numbers; found {inputs.dtype}")
    return jax.grad(lambda x: jnp.sum(explained_outputs(predict(params, x), targets)))(inputs)


def _positions(inputs: Array) -> tuple[int, ...]:
    """Return the shape of the positions of an input: all axes but examples and channels; features are positions."""
    return inputs.shape[1:-1] if inputs.ndim > 2 else inputs.shape[1:]


def _over_channels(heat: Array, inputs: Array) -> Array:
    """Share a map [B, ...] equally among the channels of the inputs."""
    return jnp.broadcast_to(heat[..., None] / inputs.shape[-1], inputs.shape)


def _layers(shapes: Any) -> list[str]:
    return [name for name in shapes if name != "output" and not name.endswith(AUXILIARY)]


def _last_with_positions(shapes: Any, inputs: Array) -> str:
    return max((name for name in _layers(shapes) if shapes[name].ndim == inputs.ndim > 2), default="")


def _windows(shape: tuple[int, ...], size: int, stride: int) -> np.ndarray:
    """Return which positions each window covers, [M, ...] of bool."""
    if size > min(shape):
        raise ValueError(f"occlusion: a window of {size} is larger than the input, {' x '.join(map(str, shape))}")
    starts = [sorted({min(one, length - size) for one in range(0, length, stride)}) for length in shape]
    windows = np.zeros((int(np.prod([len(one) for one in starts])), *shape), bool)
    for number, corner in enumerate(itertools.product(*starts)):
        windows[number][tuple(slice(one, one + size) for one in corner)] = True
    return windows


TABLE = {
    f.__name__: f
    for f in (
        gradient,
        gradient_times_input,
        integrated_gradients,
        smooth_grad,
        grad_cam,
        occlusion,
        guided_backprop,
        random_map,
    )
}
