"""A small detector without anchors: one trunk of convolutions, and at every location classes and a box."""

from __future__ import annotations

from typing import Annotated

import flax.linen as nn
import jax
import jax.numpy as jnp

from deepprinciples.domains.detection.boxes import locations
from deepprinciples.parts.layers.design import Design, Step, design_of, step_of
from deepprinciples.parts.layers.hidden_layers import (
    Flow,
    Layer,
    Window,
    described,
    from_network,
    layer_name,
    readout_of,
)
from deepprinciples.parts.layers.keywords import OFF, Layers, flat_keywords
from deepprinciples.parts.models.cnn import check_windows
from deepprinciples.types import Array, Count, Model, Range, Scalar, traits

STRIDE = 4


class _Detector(nn.Module):
    depth: int
    width: int
    prior: Scalar
    outputs: int
    design: Design

    @nn.compact
    def __call__(self, x: Array, step: Step) -> tuple[dict[str, Array], dict[str, Array]]:
        check_windows("detector", x)
        if x.ndim != 4 or x.shape[1] % STRIDE or x.shape[2] % STRIDE:
            raise ValueError(
                f"detector: found inputs {described(x)}; expected pictures whose height and width are multiples of "
                f"{STRIDE}; pad or crop them"
            )
        flow = Flow(x)
        activations: dict[str, Array] = {}
        for number in range(self.depth + 2):
            halves = number < 2
            window, width = Window(3, stride=2 if halves else 1), self.width if number == 0 else 2 * self.width
            flow, seen = Layer(width, self.design, window, name=layer_name(number, self.depth + 2))(flow, step, number)
            activations |= seen
        odds = lambda key, shape, dtype=jnp.float32: jnp.full(
            shape, jnp.log(self.prior) - jnp.log1p(-self.prior), dtype
        )
        rare = self.design._replace(bias_initializer=odds)
        classes = readout_of(flow, rare, self.outputs, step, self.depth + 2, name="classes")  # [B, h, w, C]
        sides = readout_of(flow, self.design, 4, step, self.depth + 2, name="boxes")  # top, left, bottom, right
        rows, columns = classes.shape[1:3]
        places = locations(rows, columns, STRIDE).reshape(1, rows, columns, 2)
        reach = STRIDE * jax.nn.softplus(sides)
        corners = jnp.concatenate([places - reach[..., :2], places + reach[..., 2:]], axis=-1)
        return {"classes": classes, "boxes": corners}, {**activations, "classes": classes, "boxes": sides}


@traits(neutral=OFF)
@flat_keywords(normalization="group")
def detector(
    *,
    outputs: int,
    depth: Count = 3,
    width: Count = 16,
    prior: Annotated[Scalar, Range("(0, 1)")] = 0.01,
    layers: Layers,
) -> Model:
    """Build a small convolutional detector that answers at every fourth pixel of both axes.

    a_l = act(norm(W_l * a_{l-1} + b_l)); the first two convolutions have stride 2, the other `depth` keep the size. At
    each location: classes = W_c a + b_c, and the box (y - 4 g(t), x - 4 g(l), y + 4 g(b), x + 4 g(r)) around its place
    (y, x), with (t, l, b, r) = W_b a + b_b and g = softplus, so that a box always holds its place. The classes start at
    the probability `prior`.

    Args:
        outputs: number of classes.
        depth: convolutions after the first two.
        width: channels of the first convolution; all others have twice as many.
        prior: probability of each class at the start. *Sweepable.*
        layers: see `Layers`.

    Returns:
        A `Model` on pictures [B, H, W, channels]: outputs {classes: [B, H/4, W/4, C] log-odds, boxes: [B, H/4, W/4, 4]
        corners (y0, x0, y1, x1) in pixels}; activations "layer_00", ... [B, ..., channels], their slopes, "classes" and
        "boxes" (the sides before g).

    Raises:
        ValueError: the inputs are no pictures, or their sides no multiples of 4.

    Expect:
        A small prior is claimed to keep the many empty locations from ruling the first steps: look at gradient_norm.
        An object needs to be seen whole: locations see 7 + 8 depth pixels.

    Costs:
        9 in out weights per convolution; about 33,000 weights in all as it is, most of them at a sixteenth of the
        picture's positions.

    References:
        arXiv:1904.01355 (FCOS; here one grid, no centerness, towers shared), arXiv:1708.02002 (prior),
        arXiv:1803.08494 (group normalization), arXiv:1603.05027 (pre-activation), arXiv:1505.00387 (highway),
        arXiv:1608.06993 (dense), arXiv:2003.04887 (ReZero), arXiv:1802.05957 (spectral), arXiv:1903.10520 (weight
        standardization), arXiv:1705.08741 (ghost), arXiv:1603.09382 (stochastic depth), arXiv:1511.06422 (LSUV).
    """
    design = design_of("detector", layers)
    network = _Detector(depth, width, prior, outputs, design)
    return from_network(network, step_of(layers, depth + 1), per_example=design.per_example)
