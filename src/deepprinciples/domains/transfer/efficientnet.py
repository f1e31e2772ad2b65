"""EfficientNet-Lite0, whole or from some layer on: the trunk that transfer learning begins from.

Batch normalization is folded into the kernels when weights of PyTorch are taken over, so that a layer is a convolution
and a bias, the network has no state and examples are independent. Features of its first layers are in `features`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from deepprinciples.errors import IntegrityError
from deepprinciples.kernels import random
from deepprinciples.kernels.convolution import convolve
from deepprinciples.kernels.im2col import row_major
from deepprinciples.kernels.keys import stream
from deepprinciples.types import Array, Model, PyTree, Range, traits

MEAN, STD = 127 / 255, 128 / 255  # of the pixels, as the network was trained: the same for all channels
EPS = 1e-3  # of its batch normalization
STEM, FEATURES = 32, 1280  # channels of the first and of the last convolution
# Of each stage: blocks, window, stride of its first block, how much wider a block is inside, channels.
STAGES = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)  # fmt: skip
LEAST = 32  # pixels of a side: the map is halved five times


class Block(NamedTuple):
    """One inverted bottleneck."""

    given: int  # channels that come in
    width: int  # inside
    window: int
    stride: int
    channels: int  # that come out


def blocks() -> list[Block]:
    """List the blocks of the network, the first one being its layer 1."""
    found, given = list[Block](), STEM
    for repeats, window, stride, wider, channels in STAGES:
        for number in range(repeats):
            found.append(Block(given, given * wider, window, 1 if number else stride, channels))
            given = channels
    return found


BLOCKS = blocks()
HEAD = len(BLOCKS) + 1  # number of the last layer before the outputs
First = Annotated[int, Range(f"[0, {HEAD}]", f"0 is the whole network, {HEAD} its last convolution")]


def layer_name(number: int) -> str:
    """Name a layer: 0 is the stem, then come the blocks, and the last convolution."""
    return f"layer_{number:02d}"


def channels_before(number: int) -> int:
    """Return the channels that a layer reads."""
    return 3 if number == 0 else STEM if number == 1 else BLOCKS[number - 2].channels


def shapes(number: int) -> Mapping[str, tuple[int, ...]]:
    """Return the shapes of a layer's kernels; a block of factor 1 has nothing that widens."""
    if number == 0:
        return {"convolution": (3, 3, 3, STEM)}
    if number == HEAD:
        return {"convolution": (1, 1, BLOCKS[-1].channels, FEATURES)}
    one = BLOCKS[number - 1]
    widen = {} if one.width == one.given else {"expand": (1, 1, one.given, one.width)}
    inner = {"depthwise": (one.window, one.window, 1, one.width), "project": (1, 1, one.width, one.channels)}
    return widen | inner


def relu6(x: Array) -> Array:
    """Return min(max(x, 0), 6)."""
    return jnp.clip(x, 0.0, 6.0)


def _conv(x: Array, weights: Mapping[str, Array], stride: int = 1) -> Array:
    kernel, bias = weights["kernel"], weights["bias"]
    groups = kernel.shape[-1] if kernel.shape[-2] == 1 else 1
    y = convolve(x, kernel, (stride, stride), "SAME", feature_group_count=groups)
    return y + bias.reshape(1, 1, 1, -1)


def layer(number: int, weights: Mapping[str, Any], x: Array) -> Array:
    """Apply one layer to maps [B, H, W, C]; the stem reads pictures in [0, 1]."""
    if number == 0:
        return relu6(_conv((x - MEAN) / STD, weights["convolution"], 2))
    if number == HEAD:
        return relu6(_conv(x, weights["convolution"]))
    one = BLOCKS[number - 1]
    y = relu6(_conv(x, weights["expand"])) if "expand" in weights else x
    y = relu6(_conv(y, weights["depthwise"], one.stride))
    y = _conv(y, weights["project"])
    return x + y if one.stride == 1 and one.given == one.channels else y


def _check(x: Array, first: int) -> None:
    found = f"{x.dtype} [{', '.join(['B', *map(str, x.shape[1:])])}]"
    channels = channels_before(first)
    if x.ndim != 4 or x.shape[-1] != channels or not jnp.issubdtype(x.dtype, jnp.floating):
        what = "pictures in [0, 1]" if first == 0 else f"maps that layer {first} reads"
        raise ValueError(
            f"efficientnet_lite0: inputs must be {what}, floats [batch, height, width, {channels}]; found {found}"
        )
    if first == 0 and min(x.shape[1:3]) < LEAST:
        raise ValueError(
            f"efficientnet_lite0: pictures must have {LEAST} pixels a side or more; found {found}; enlarge them"
        )


def from_torch(found: Mapping[str, np.ndarray], wanted: Sequence[str]) -> dict[str, np.ndarray]:
    """Turn a state_dict of EfficientNet-Lite0 into our parameters, with batch normalization folded in.

    w' = w g / sqrt(v + 1e-3), b' = b - m g / sqrt(v + 1e-3), with scale g, bias b and running mean m, variance v.

    Args:
        found: arrays by PyTorch's names, such as "_blocks.0._depthwise_conv.weight".
        wanted: our names of the parameters that are taken.

    Raises:
        IntegrityError: one line for each array that is missing, or has another shape.
    """
    made: dict[str, np.ndarray] = {}
    problems = list[str]()
    for path in dict.fromkeys(name.rpartition("/")[0] for name in wanted):
        names = _torch_names(path)
        if lines := [problem for name in names for problem in _problem(name, found, names[0])]:
            problems += lines
            continue
        kernel, *rest = (found[name] for name in names)
        if len(rest) == 1:
            bias = rest[0]
        else:
            scale, shift, mean, variance = rest
            with np.errstate(invalid="ignore"):  # a negative variance becomes NaN, which is refused afterwards
                factor = scale / np.sqrt(variance + np.float32(EPS))
            kernel, bias = kernel * factor.reshape(-1, *(1,) * (kernel.ndim - 1)), shift - mean * factor
        made |= {f"{path}/kernel": np.moveaxis(kernel, (0, 1), (-1, -2)), f"{path}/bias": bias}
    if problems:
        raise IntegrityError("\n".join(problems))
    return {name: made[name] for name in wanted}


def _torch_names(path: str) -> list[str]:
    """Name what PyTorch has for a kernel and a bias: kernel and bias, or kernel and batch normalization."""
    layer_, _, part = path.partition("/")
    if layer_ == "output":
        return ["_fc.weight", "_fc.bias"]
    number = int(layer_.removeprefix("layer_"))
    outer = {0: ("_conv_stem", "_bn0"), HEAD: ("_conv_head", "_bn1")}
    inner = {
        "expand": ("_expand_conv", "_bn0"),
        "depthwise": ("_depthwise_conv", "_bn1"),
        "project": ("_project_conv", "_bn2"),
    }
    conv, norm = outer[number] if number in outer else (f"_blocks.{number - 1}.{one}" for one in inner[part])
    return [f"{conv}.weight", *(f"{norm}.{one}" for one in ("weight", "bias", "running_mean", "running_var"))]


def _problem(name: str, found: Mapping[str, np.ndarray], kernel: str) -> Iterator[str]:
    array = found.get(name)
    if array is None:
        yield f'"{name}" is missing; expected the state_dict of EfficientNet-Lite0'
    elif array.dtype != np.float32:
        yield f'"{name}" is {array.dtype}, expected float32'
    elif name == kernel:
        if array.ndim not in (2, 4):
            yield f'"{name}" has shape {list(array.shape)}, expected 2 or 4 axes'
    elif kernel in found and found[kernel].ndim in (2, 4) and array.shape != found[kernel].shape[:1]:
        yield f'"{name}" has shape {list(array.shape)}, expected {list(found[kernel].shape[:1])}'


@traits(from_torch=from_torch)
def efficientnet_lite0(*, outputs: int, first_layer: First = 0) -> Model:
    """Build EfficientNet-Lite0, or the part of it that begins at some layer.

    Layer 0: relu6(W * (x - 127/255) / (128/255) + b), stride 2; layers 1 to 16: inverted bottlenecks, y = P * relu6(D *
    relu6(E * x)), with D depthwise, to which x is added where the shapes agree; layer 17: relu6(W * x + b) with 1280
    channels; outputs = W mean(x) + b, where * is a convolution ("SAME").

    There is no squeeze-and-excitation, and batch normalization is folded into the kernels. `model.start` takes the
    state_dict of the PyTorch network of this name, such as that of `start.pretrained`; drawn weights are normal with
    variance 2 / fan_in before relu6 and 1 / fan_in elsewhere.

    Args:
        outputs: number of classes or regression targets.
        first_layer: 0 is the whole network. Another number leaves the layers before it out: the inputs are then what
            these give, see the data set `trunk_features`. Parameters keep their names.

    Returns:
        A `Model` on pictures [B, H, W, 3] in [0, 1], of 32 pixels a side or more, or on maps [B, H, W, C]: outputs
        [B, outputs]; activations "layer_00", ... "layer_17" and "output".

    Raises:
        ValueError: the inputs are no pictures, are too small, or have other channels than the first layer reads.

    Expect:
        From ImageNet's weights a linear readout of frozen layers should beat training from scratch on a few hundred
        pictures. Drawn weights of this depth train slowly without batch normalization.

    Costs:
        4.65 M weights with 1000 outputs, 4.63 M of them behind a product; 390 M multiply-adds at 224 pixels a side, 33
        M at 64. Layers 15 to 17 hold 2 M weights without the outputs, at a thirty-second of the size.

    References:
        arXiv:1905.11946 (EfficientNet; Lite is its form without squeeze-and-excitation and with relu6),
        arXiv:1801.04381 (inverted bottlenecks).
    """

    def init(key: Array, x: Array) -> tuple[PyTree, PyTree]:
        _check(x, first_layer)
        drawn = {
            layer_name(number): {
                part: _drawn(shape, stream(key, f"{layer_name(number)}/{part}"), 1.0 if part == "project" else 2.0)
                for part, shape in shapes(number).items()
            }
            for number in range(first_layer, HEAD + 1)
        }
        return {**drawn, "output": _drawn((FEATURES, outputs), stream(key, "output"), 1.0)}, {}

    def apply(
        params: PyTree, state: PyTree, x: Array, *, key: Array | None, train: bool
    ) -> tuple[Array, PyTree, dict[str, Array]]:
        del key, train
        _check(x, first_layer)
        x, perturbations = row_major((x, state.get("perturbations", {})))
        given = lambda name, y: y + perturbations[name] if name in perturbations else y
        activations: dict[str, Array] = {}
        for number in range(first_layer, HEAD + 1):
            name = layer_name(number)
            x = activations[name] = given(name, layer(number, params[name], x))
        last = params["output"]
        y = given("output", x.mean(axis=(1, 2)) @ last["kernel"] + last["bias"].reshape(1, -1))
        rest = {one: value for one, value in state.items() if one != "perturbations"}
        y, activations = row_major((y, {**activations, "output": y}))
        return y, rest, activations

    return Model(init, apply, takes_perturbations=True, per_example=True)


def _drawn(shape: tuple[int, ...], key: Array, gain: float) -> dict[str, Array]:
    scale = math.sqrt(gain / math.prod(shape[:-1]))
    return {"kernel": scale * random.normal(key, shape, jnp.float32), "bias": jnp.zeros(shape[-1:], jnp.float32)}
