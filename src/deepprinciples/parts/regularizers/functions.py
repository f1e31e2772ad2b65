"""Penalties on what a model does, by its activations or by its slope, where others see its weights alone.

Users find them in `regularizers.TABLE`; the learner hands them what they need beside the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from deepprinciples.kernels import random
from deepprinciples.types import AUXILIARY, ActivationPenalty, Array, Count, FunctionPenalty, Scalar, Strength, traits


def _last_hidden(name: str, activations: Mapping[str, Array]) -> Array:
    """Return the output of the last hidden layer; a user's model names its layers as it likes."""
    hidden = [one for one in activations if not one.endswith(AUXILIARY) and one not in ("output", "embedding")]
    layers = sorted(one for one in hidden if one.startswith("layer_")) or hidden
    if not layers:
        raise ValueError(f"{name}: the model tells no activation of a hidden layer; remove regularizers.{name}")
    return activations[layers[-1]]


def _mean_square(x: Array, strength: Scalar) -> Array:
    # Where the penalty is off a square may overflow, and 0 * inf is NaN: off must mean off.
    x = jnp.where(jnp.asarray(strength) == 0.0, 0.0, x.astype(jnp.float32))
    return jnp.mean(jnp.square(x))


@traits(neutral={"strength": 0.0})
def activation_l2(*, strength: Strength = 1.0) -> ActivationPenalty:
    """Pull what the last hidden layer gives on to zero (AR).

    penalty = strength mean h^2, over examples, positions and units

    The paper takes h as dropout leaves it; here dropout comes after, with the next layer.

    Args:
      strength: weight. *Sweepable.* *Neutral: 0.0.*
    Returns: ActivationPenalty; apply(activations) -> scalar float32.
    Raises: ValueError where the model tells no hidden activations.
    Expect: Claimed to help recurrent language models, beside dropout. activation_mean_square of the last hidden layer
      should fall; gradient_norm and sharpness are those of the loss with the penalty, the reported loss leaves it
      out.
    Costs: Nothing that is measurable.
    References: Merity et al., arXiv:1708.01009.
    """
    return ActivationPenalty(lambda seen: strength * _mean_square(_last_hidden("activation_l2", seen), strength))


@traits(neutral={"strength": 0.0})
def temporal_activation_l2(*, strength: Strength = 1.0) -> ActivationPenalty:
    """Pull what the last hidden layer gives on at a time step to what it gave on at the step before (TAR).

    penalty = strength mean (h_t - h_{t+1})^2, over examples, steps and units

    Args:
      strength: weight. *Sweepable.* *Neutral: 0.0.*
    Returns: ActivationPenalty; apply(activations) -> scalar float32.
    Raises: ValueError where the last hidden layer has no time axis, or a single step.
    Expect: Claimed to help recurrent language models, beside dropout: states change less from step to step.
      gradient_norm and sharpness are those of the loss with the penalty, the reported loss leaves it out.
    Costs: Nothing that is measurable.
    References: Merity et al., arXiv:1708.01009.
    """
    name = "temporal_activation_l2"

    def apply(activations: Mapping[str, Array]) -> Array:
        hidden = _last_hidden(name, activations)
        if hidden.ndim != 3 or hidden.shape[1] < 2:
            raise ValueError(
                f"{name}: the last hidden layer gives on {list(hidden.shape)}, expected [batch, time, units] with at "
                f"least 2 steps; remove regularizers.{name}"
            )
        return strength * _mean_square(hidden[:, 1:] - hidden[:, :-1], strength)

    return ActivationPenalty(apply)


@traits(neutral={"strength": 0.0}, fill=False)
def jacobian(*, strength: Strength = 0.01, projections: Count = 1) -> FunctionPenalty:
    """Flatten the outputs around every training input, estimated along random directions of the outputs.

    penalty = strength / 2 mean_i |J_i|_F^2, J_i = d f(x_i) / d x_i
    |J|_F^2 is estimated without bias by C mean_k |v_k^T J|^2, v_k uniform on the unit sphere of the C outputs

    Each projection is one more pass back through the model, and one back through that; where examples meet inside the
    model (batch norm), the slope of an example counts what it does to the others.

    Args:
      strength: weight. *Sweepable.* *Neutral: 0.0.*
      projections: random directions for each example.
    Returns: FunctionPenalty; apply(function, inputs, key) -> scalar float32.
    Raises: ValueError for token inputs, and for outputs that are no single array.
    Expect: Claimed to make predictions bear noise and attacks on the inputs. gradient_mean_square should fall in the
      layers near the input; gradient_norm and sharpness are those of the loss with the penalty. Nothing where outputs
      are flat in x.
    Costs: One more pass back through the model per projection, and one back through that; no copy of the weights.
    References: Hoffman et al., arXiv:1908.02729.
    """

    def apply(function: Callable[[Array], Array], inputs: Array, key: Array) -> Array:
        if not jnp.issubdtype(inputs.dtype, jnp.floating):
            raise ValueError(
                f"jacobian: inputs are {inputs.dtype} (tokens?), expected floats; remove regularizers.jacobian"
            )
        outputs, pull = jax.vjp(function, inputs)
        if not isinstance(outputs, jax.Array):
            raise ValueError(f"jacobian: the model puts out {type(outputs).__name__}, expected one array of outputs")
        size = outputs.size // len(outputs)

        def along(key: Array) -> Array:
            v = random.normal(key, (len(outputs), size), outputs.dtype)
            v = v / jnp.sqrt(jnp.sum(v * v, axis=1, keepdims=True))
            (slopes,) = pull(v.reshape(outputs.shape))
            # Switched off, a slope may be infinite, and 0 * inf is NaN.
            slopes = jnp.where(jnp.asarray(strength) == 0.0, 0.0, slopes.astype(jnp.float32))
            return size * jnp.sum(jnp.square(slopes)) / len(outputs)

        squares = [along(k) for k in jax.random.split(key, projections)]
        return 0.5 * strength * sum(squares, start=jnp.zeros(())) / projections

    return FunctionPenalty(apply)
