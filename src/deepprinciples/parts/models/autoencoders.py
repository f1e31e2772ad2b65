"""Autoencoders: perceptrons that put out what they were given, by way of a narrow code.

The loss of the variational one, and the triple it puts out, live in `parts.variational`.
"""

from __future__ import annotations

import math

import flax.linen as nn
import jax.numpy as jnp

from deepprinciples.kernels import random
from deepprinciples.parts.layers.design import Design, Step, design_of
from deepprinciples.parts.layers.hidden_layers import Flow, Layer, described, from_network, layer_name, readout_of
from deepprinciples.parts.layers.keywords import BEYOND_PLAIN, Layers, flat_keywords
from deepprinciples.parts.variational import Variational
from deepprinciples.types import Array, Count, Depth, Model


class _Autoencoder(nn.Module):
    shape: tuple[int, ...]
    depth: int
    width: int
    latent: int
    variational: bool
    design: Design

    @nn.compact
    def __call__(self, x: Array, step: Step) -> tuple[Array | Variational, dict[str, Array]]:
        if x.shape[1:] != self.shape or not jnp.issubdtype(x.dtype, jnp.floating):
            expected = f"[B, {', '.join(map(str, self.shape))}]"
            name = "vae" if self.variational else "autoencoder"
            raise ValueError(f"{name}: inputs must be floats {expected}; found {described(x)}")
        size = 2 * self.latent if self.variational else self.latent
        flow, activations = self._hidden(Flow(x.reshape(x.shape[0], -1)), step, range(self.depth))
        code = readout_of(flow, self.design, size, step, self.depth, name="code")
        mean, log_variance = code[:, : self.latent], code[:, self.latent :]
        z = _drawn(mean, log_variance, step) if self.variational else code
        flow, seen = self._hidden(Flow(z), step, range(self.depth, 2 * self.depth))
        flat = readout_of(flow, self.design, math.prod(self.shape), step, 2 * self.depth)
        activations |= {"code": code, **seen, "output": flat}
        made = flat.reshape(x.shape)
        return Variational(made, mean, log_variance) if self.variational else made, activations

    def _hidden(self, flow: Flow, step: Step, numbers: range) -> tuple[Flow, dict[str, Array]]:
        activations: dict[str, Array] = {}
        for number in numbers:
            layer = Layer(self.width, self.design, name=layer_name(number, 2 * self.depth))
            flow, seen = layer(flow, step, number)
            activations |= seen
        return flow, activations


def _drawn(mean: Array, log_variance: Array, step: Step) -> Array:
    """Draw z = m + exp(v / 2) eps, eps ~ N(0, I), in training; give the mean otherwise."""
    if not step.train:
        return mean
    if step.key is None:
        raise ValueError("vae: key is None in training; expected a key; pass key= or train=False")
    return mean + jnp.exp(0.5 * log_variance) * random.normal(step.key, mean.shape, mean.dtype)


@flat_keywords(without=(*BEYOND_PLAIN, "kernels"))
def autoencoder(
    *,
    outputs: int,
    shape: tuple[int, ...],
    depth: Depth = 1,
    width: Count = 64,
    latent: int = 8,
    layers: Layers,
) -> Model:
    """Build an autoencoder of two perceptrons.

    code = W_e h(x) + b_e, outputs = W_d g(code) + b_d, where h and g are `depth` hidden layers act(norm(W a + b)) each.

    Args:
        outputs: unused: what is put out has the shape of the inputs, whatever the targets of the data set.
        shape: of one example; the build supplies it.
        depth: hidden layers of the encoder, and of the decoder; 0 is the linear autoencoder.
        width: units of each hidden layer.
        latent: numbers in a code.
        layers: see `Layers`.

    Returns:
        A `Model` on inputs [B, *shape]: outputs alike; activations "layer_00", ... [B, width] (first the
        encoder's, then the decoder's), their slopes, "code" [B, latent] and "output" [B, D], flat.

    Raises:
        ValueError: the inputs are not floats [B, *shape].

    Expect:
        At depth 0 it can do no better than the first `latent` principal components. A narrower code means a higher
        error; activation_mean_square of "code" is free, unlike that of a vae.

    Costs:
        Some 2 (D width + (depth - 1) width^2 + width latent) weights for D inputs.

    References:
        doi:10.1126/science.1127647.
    """
    del outputs
    return from_network(_Autoencoder(tuple(shape), depth, width, latent, False, design_of("autoencoder", layers)))


@flat_keywords(without=(*BEYOND_PLAIN, "kernels"))
def vae(
    *,
    outputs: int,
    shape: tuple[int, ...],
    depth: Depth = 1,
    width: Count = 64,
    latent: int = 8,
    layers: Layers,
) -> Model:
    """Build a variational autoencoder of two perceptrons.

    (m, v) = W_e h(x) + b_e; z = m + exp(v / 2) eps with eps ~ N(0, I) in training, z = m otherwise;
    reconstruction = W_d g(z) + b_d; h and g as in `autoencoder`. Its loss is `variational.elbo`.

    Args:
        outputs: unused: what is put out has the shape of the inputs, whatever the targets of the data set.
        shape: of one example; the build supplies it.
        depth: hidden layers of the encoder, and of the decoder.
        width: units of each hidden layer.
        latent: numbers in a code.
        layers: see `Layers`.

    Returns:
        A `Model` on inputs [B, *shape]: outputs `Variational`(reconstruction [B, *shape], mean [B, latent],
        log_variance [B, latent]); activations "layer_00", ... [B, width] (first the encoder's, then the decoder's),
        their slopes, "code" [B, 2 * latent] (m and v side by side) and "output" [B, D] (the
        reconstruction, flat).

    Raises:
        ValueError: the inputs are not floats [B, *shape], or there is no key in training.

    Expect:
        As autoencoder with noise in the code: directions that do not pay for their KL collapse to the normal
        distribution. In training gradient_noise is higher, since codes are drawn; at evaluation nothing is drawn.

    Costs:
        Some 2 (D width + (depth - 1) width^2 + width latent) weights for D inputs, one random number per code entry and
        step.

    References:
        arXiv:1312.6114.
    """
    del outputs
    return from_network(_Autoencoder(tuple(shape), depth, width, latent, True, design_of("vae", layers)))


TABLE = {f.__name__: f for f in (autoencoder, vae)}
