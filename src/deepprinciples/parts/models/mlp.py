"""The multilayer perceptron: the plain ground on which most tricks are compared.

Images and sequences are flattened; token ids do not belong here (see `recurrent`).
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from deepprinciples.parts.layers.batchwise import with_deviation
from deepprinciples.parts.layers.design import Design, Step, design_of, step_of
from deepprinciples.parts.layers.hidden_layers import Flow, Layer, described, from_network, layer_name, readout_of
from deepprinciples.parts.layers.keywords import OFF, Layers, flat_keywords
from deepprinciples.parts.layers.width_scaling import scaled, update_factors
from deepprinciples.types import Array, Count, Depth, Model, NonNegative, Scalar, traits


class _Mlp(nn.Module):
    depth: int
    width: int
    outputs: int
    design: Design
    minibatch_deviation: bool
    width_base: Scalar

    @nn.compact
    def __call__(self, x: Array, step: Step) -> tuple[Array, dict[str, Array]]:
        if x.ndim < 2 or not jnp.issubdtype(x.dtype, jnp.floating):
            found = described(x)
            raise ValueError(f"mlp: inputs must be floats [batch, ...]; found {found}; use model lstm for token ids")
        flow = Flow(x.reshape(x.shape[0], -1))
        activations: dict[str, Array] = {}
        for number in range(self.depth):
            layer = Layer(self.width, self.design, name=layer_name(number, self.depth))
            flow, seen = layer(flow, step, number)
            activations |= seen
        flow = Flow(with_deviation(flow.given)) if self.minibatch_deviation else flow
        base = self.width_base if self.depth else 0.0
        last = self.design._replace(initializer=scaled(self.design.initializer, base, self.width))
        outputs = readout_of(flow, last, self.outputs, step, self.depth)
        return outputs, {**activations, "output": outputs}


@traits(
    neutral={**OFF, "width_base": 0.0},
    update_factors=update_factors("layer_*/kernel", "output/kernel", apart=("layer_00/*", "layer_000/*")),
)
@flat_keywords(without=("kernels",))
def mlp(
    *,
    outputs: int,
    depth: Depth = 2,
    width: Count = 128,
    layers: Layers,
    minibatch_deviation: bool = False,
    width_base: NonNegative = 0.0,
) -> Model:
    """Build a multilayer perceptron.

    none:     a_l = act(norm(W_l a_{l-1} + b_l))
    residual: s_l = stream_scale s_{l-1} + branch_scale (W_l a_{l-1} + b_l), a_l = act(norm(s_l))
    rezero:   as residual, with the branch times a learned alpha_l that starts at 0
    highway:  a_l = T act(norm(W_l a_{l-1} + b_l)) + (1 - T) a_{l-1}, T = sigmoid(W_T a_{l-1} + b_T - 1)
    dense:    a_l = concat(a_{l-1}, act(norm(W_l a_{l-1} + b_l)))
    outputs = W a_depth + b; the first layer has no skip, because its width may differ from the inputs'.

    Args:
        outputs: number of classes or regression targets.
        depth: hidden layers; 0 is the linear model.
        width: units of each hidden layer (with skip "dense": units each layer adds).
        layers: see `Layers`.
        minibatch_deviation: let the outputs also read how much the examples of the batch differ, as one more feature
            (see `with_deviation`); they are then no longer functions of one example each.
        width_base: the width at which the first weights and the steps of Adam are as they are; at another one they are
            scaled so that every layer changes as much in a step (muP): updates of all kernels but the first layer's by
            width_base / width, and the first output kernel by the root of it. 0.0 leaves that out. *Sweepable.*
            *Neutral: 0.0.*

    Returns:
        A `Model` on inputs [B, ...]: outputs [B, outputs]; activations "layer_00", ... [B, width] (the stream
        s_l with skip "residual" or "rezero", else a_l), their slopes, and "output".

    Raises:
        ValueError: the inputs are not floats [batch, ...].

    Expect:
        With he_normal and relu activation_mean_square is about the same in every layer; with skip "residual" it doubles
        from layer to layer unless branch_scale, "rezero" or a norm holds it. It knows nothing of neighboring pixels.

    Costs:
        Some inputs width + (depth - 1) width^2 + width outputs weights; "highway" doubles the square term.

    References:
        arXiv:1603.05027 (pre-activation), arXiv:1505.00387 (highway), arXiv:1608.06993 (dense),
        arXiv:2003.04887 (ReZero) and arXiv:2002.10444 (SkipInit, the same), arXiv:1802.05957 (spectral),
        arXiv:1903.10520 (weight standardization), arXiv:1705.08741 (ghost), arXiv:1603.09382 (stochastic depth),
        arXiv:1511.06422 (LSUV), arXiv:1710.10196 (minibatch deviation), arXiv:2203.03466 (width_base).
    """
    network = _Mlp(depth, width, outputs, design_of("mlp", layers), minibatch_deviation, width_base)
    return from_network(network, step_of(layers, depth - 1))
