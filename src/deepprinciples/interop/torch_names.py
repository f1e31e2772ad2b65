"""PyTorch's names and layouts for our parameters and running statistics: the state_dict of the same network.

mlp, cnn, autoencoder, vae, unet, detector: layer_00, ... (nn.Linear, nn.Conv1d or nn.Conv2d) and norm_00, ...
          (nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm1d or 2d with affine=True, or nn.RMSNorm, with eps 1e-6;
          nn.BatchNorm1d or 2d with eps 1e-5, which "ghost" is too in evaluation)
lstm, gru, rnn: lstm, gru or rnn (one nn.LSTM, nn.GRU or nn.RNN of all layers), and embedding (nn.Embedding)
seq2seq:  encoder and decoder (one such module each), source_embedding and embedding (nn.Embedding), bridge, keys,
          attention.query, attention.score and attention.output (nn.Linear; keys and score have no bias)
autoencoder, vae: code (nn.Linear)
all:      output (nn.Linear); of a unet output and of a detector classes and boxes are nn.Conv1d or nn.Conv2d of size 1
resnet, transformer, encoder_decoder: one module for each map, norm and table, by the path of ours with dots, such as
          layer_00.linear, layer_01.first, layer_01.norm_inner, layer_01.second and layer_01.shortcut of a resnet,
          layer_00.attention.query (nn.Linear), layer_00.attention_norm (nn.LayerNorm or nn.RMSNorm, with eps 1e-6),
          layer_00.attention.query_norm (nn.RMSNorm of a head, with qk_norm), embedding.tokens (nn.Embedding); the
          outputs are output.norm and output.linear, or with tied tables output.bias alone

What has no parameters (activations, pools, sums) is the module's own to write; `docs/howto/from_pytorch.md` shows one.
This module knows names and arrays alone: files are read and written in `exchange`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from deepprinciples.config.wording import quoted, shown
from deepprinciples.errors import ConfigError
from deepprinciples.parts.parameter_names import STATE

Shape = tuple[int, ...]
_HIDDEN = {"lstm": ("tanh",), "gru": ("tanh",), "rnn": ("tanh", "relu")}  # what PyTorch's cells can apply
_STACKS = ("transformer", "encoder_decoder")
_AT_POSITIONS = {"unet": ("output",), "detector": ("classes", "boxes")}  # dense maps that are convolutions there
MODELS = ("mlp", "cnn", *_HIDDEN, *_STACKS, "autoencoder", "vae", "resnet", *_AT_POSITIONS, "seq2seq")
_LAYER = re.compile(r"layer_(\d{1,6})/(linear|norm)/(kernel|scale|bias)")
_RECURRENT = re.compile(r"(layer|encoder|decoder)_(\d{1,6})/(?:(forward|backward)/)?(input|recurrent)/(kernel|bias)")
_LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "tokens": "tokens.weight",
           "positions": "positions.weight", "query_scale": "query_norm.weight", "key_scale": "key_norm.weight",
           "multiplier": "multiplier", "embedding": "weight"}  # fmt: skip
_NAMED = re.compile(
    r"(output|code|classes|boxes|bridge|keys|attention/(query|score|output))/(kernel|bias)|(source_)?embedding/embedding"
)
_STATISTIC = re.compile(rf"{STATE}batch_stats/(.+)/(mean|var)")
_WORDS = {"input/kernel": "weight_ih", "input/bias": "bias_ih", "recurrent/kernel": "weight_hh"}


class Twin(NamedTuple):
    """One parameter or running statistic of ours, and what stands for it in a state_dict."""

    own: str
    torch: str
    layout: Literal["same", "kernel", "gates"]  # "gates": the bias of a cell, of which PyTorch has two
    channels: int = 0  # above 0: a kernel that reads a map, flattened; PyTorch has the channels first
    points: int = 0  # spatial axes of length 1 that PyTorch's kernel has beside
    inner: bool = False  # the second bias of a GRU acts inside its reset gate too, where ours has none

    @property
    def second(self) -> str:
        """Name the second bias of a cell."""
        return self.torch.replace("bias_ih", "bias_hh")


def twins(section: Mapping[str, Any], shapes: Mapping[str, Shape]) -> list[Twin]:
    """Pair the parameters and the state of a model with those of a PyTorch module that computes the same.

    Args:
        section: [model] of a resolved config.
        shapes: by names such as "layer_00/linear/kernel" and "state/batch_stats/layer_00/norm/mean".

    Returns:
        A `Twin` for each name, in the same order.

    Raises:
        ConfigError: some name has no counterpart; one line for each reason.
    """
    name = section.get("name")
    if name not in MODELS:
        raise ConfigError(
            f"model.name: found {shown(name)}; expected {', '.join(MODELS)}, which have PyTorch's naming; "
            'use the naming "own"'
        )
    channels = _channels(section, shapes) if name in ("cnn", "resnet") else 0
    problems = [
        f'{quoted(one)}: has no counterpart in PyTorch\'s naming ({why}); use the naming "own"'
        for one, why in _without_twin(section, shapes, channels)
    ]
    if problems:
        raise ConfigError(*problems)
    points = max(len(shape) for shape in shapes.values()) - 2 if name in _AT_POSITIONS else 0
    return [_twin(section, one, channels, points) for one in shapes]


def _without_twin(section: Mapping[str, Any], shapes: Mapping[str, Shape], channels: int) -> Iterator[tuple[str, str]]:
    """Return the first parameter of each kind that PyTorch's modules do not have, and why."""
    reasons = list(_reasons(section))
    for pattern, why in reasons:
        yield from [(one, why) for one in shapes if re.fullmatch(pattern, one)][:1]
    for one, shape in shapes.items():
        if any(re.fullmatch(pattern, one) for pattern, _ in reasons):
            continue
        if not _torch_name(section, one):
            yield one, f"it is unknown in a model {section['name']}"
        elif len(shape) < 2 and one.endswith("/kernel"):
            yield one, f"it has shape {list(shape)}"
        elif one == "output/kernel" and channels and shape[0] % channels:
            yield one, f"its {shape[0]} rows are no multiple of {channels} channels"


def _reasons(section: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """List what would be lost under this config: names, as a pattern, and why; of a transformer nothing is."""
    if section["name"] in _STACKS:
        return
    yield r".*/gate/.*|.*/alpha", "torch.nn has no gated or rezero skip"
    yield r".*_scale/.*", "weight normalization keeps two parameters in place of one"
    kind = section.get("normalization", "none")
    if kind == "spectral":
        yield r".*/kernel|state/.*", "spectral normalization divides kernels, which PyTorch's modules apply as they are"
    if kind == "weight_standardized":
        yield r".*/kernel", "weight standardization changes kernels, which PyTorch's modules apply as they are"
    if section.get("minibatch_deviation"):
        yield r"output/kernel", "its last row reads the minibatch deviation"
    cell = section.get("cell", section["name"])
    if cell not in _HIDDEN:
        return
    if section.get("cell_normalization", "none") != "none":
        yield r".*_gain|.*/cell_bias", "PyTorch's cells have nothing that normalizes inside"
    if section.get("zoneout") or (cell == "lstm" and section.get("cell_zoneout")):
        yield r".*/recurrent/kernel", "zoneout mixes states in evaluation too, which PyTorch's cells do not"
    if kind in ("layer", "group", "instance", "rms", "batch", "ghost"):
        yield r".*/norm/.*", "PyTorch's recurrent modules have nothing between their layers"
    if section.get("skip", "none") != "none":
        yield r"layer_0*[1-9]\d*/.*", "PyTorch's recurrent modules have no skip between their layers"
    activation = section.get("activation")
    activation = activation.get("name") if isinstance(activation, Mapping) else activation
    known = _HIDDEN[cell]
    if activation not in known:
        yield r"(layer|encoder|decoder)_.*/kernel", f"PyTorch's cells apply {' or '.join(known)}"


def _channels(section: Mapping[str, Any], shapes: Mapping[str, Shape]) -> int:
    """Count the channels of the last map: those of the last layer or, with dense skips, of all layers.

    In a resnet they are all of its last stage, which begins with a shortcut or, the first, with the stem.
    """
    made = [
        shape[-1]
        for name, shape in sorted(shapes.items())
        if re.fullmatch(r".*/(linear|second)/kernel", name) and shape
    ]
    last = made[-1] if made else 0
    if section.get("skip") != "dense":
        return last
    if section["name"] != "resnet":
        return sum(made)
    return last * (made.count(last) + any(name.endswith("/shortcut/kernel") for name in shapes))


def _torch_name(section: Mapping[str, Any], own: str) -> str:
    """Return PyTorch's name of a parameter or running statistic, "" where there is none."""
    if found := _STATISTIC.fullmatch(own):
        beside = _torch_name(section, f"{found[1]}/scale")
        return f"{beside.removesuffix('weight')}running_{found[2]}" if beside else ""
    if section["name"] in (*_STACKS, "resnet") or _NAMED.fullmatch(own):
        *path, leaf = own.split("/")
        return ".".join([*path, _LEAVES[leaf]]) if leaf in _LEAVES else ""
    if found := _LAYER.fullmatch(own):
        number, kind, leaf = found.groups()
        return f"{'layer' if kind == 'linear' else 'norm'}_{number}.{'bias' if leaf == 'bias' else 'weight'}"
    found = _RECURRENT.fullmatch(own)
    word = _WORDS.get(f"{found[4]}/{found[5]}") if found else None
    if not found or not word:
        return ""
    module = section["name"] if found[1] == "layer" else found[1]
    return f"{module}.{word}_l{int(found[2])}{'_reverse' if found[3] == 'backward' else ''}"


def _twin(section: Mapping[str, Any], own: str, channels: int, points: int) -> Twin:
    name = _torch_name(section, own)
    if ".bias_ih" in name:
        return Twin(own, name, "gates", inner=section.get("cell", section["name"]) == "gru")
    if own.endswith("/kernel"):
        at_positions = own.removesuffix("/kernel") in _AT_POSITIONS.get(section["name"], ())
        return Twin(own, name, "kernel", channels if own == "output/kernel" else 0, points if at_positions else 0)
    return Twin(own, name, "same")


def shapes_of(pairs: list[Twin], shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    """Return the shapes of a state_dict, by its names."""
    found = {}
    for twin in pairs:
        shape = shapes[twin.own]
        single = (1,) * twin.points
        found[twin.torch] = (shape[-1], shape[-2], *shape[:-2], *single) if twin.layout == "kernel" else shape
        if twin.layout == "gates":
            found[twin.second] = shape
    return found | {name: array.shape for name, array in counts(pairs).items()}


def counts(pairs: list[Twin]) -> dict[str, np.ndarray]:
    """Return the number of batches that each batch normalization of PyTorch counts: 0, since ours counts none.

    Only a module of `momentum=None` reads it.
    """
    means = [twin.torch.removesuffix("running_mean") for twin in pairs if twin.torch.endswith(".running_mean")]
    return {f"{name}num_batches_tracked": np.zeros((), np.int64) for name in means}


def to_torch(pairs: list[Twin], own: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Turn our parameters into a state_dict: [in, out] becomes [out, in], [h, w, in, out] becomes [out, in, h, w].

    A cell's second bias is all zeros. A kernel that reads a flattened map [h, w, c] is made to read [c, h, w].
    """
    found = {}
    for twin in pairs:
        array = own[twin.own]
        if twin.channels:
            array = array.reshape(-1, twin.channels, array.shape[-1]).swapaxes(0, 1).reshape(array.shape)
        array = array.reshape((1,) * twin.points + array.shape)
        found[twin.torch] = np.moveaxis(array, (-1, -2), (0, 1)) if twin.layout == "kernel" else array
        if twin.layout == "gates":
            found[twin.second] = np.zeros_like(array)
    return found | counts(pairs)


def to_own(pairs: list[Twin], torch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Turn a state_dict into our arrays by name; the inverse of `to_torch`, with both biases of a cell in one."""
    found = {}
    for twin in pairs:
        array = torch[twin.torch]
        if twin.layout == "kernel":
            array = np.moveaxis(array, (0, 1), (-1, -2))
            array = array.reshape(array.shape[twin.points :])
        if twin.channels:
            array = array.reshape(twin.channels, -1, array.shape[-1]).swapaxes(0, 1).reshape(array.shape)
        if twin.layout == "gates":
            second = torch[twin.second]
            array = np.where(second == 0, array, array + second)  # -0.0 + 0.0 would be another number
        found[twin.own] = array
    return found


def inner_biases(pairs: list[Twin], torch: Mapping[str, np.ndarray]) -> list[str]:
    """Name the biases of a state_dict that would be lost: those inside the reset gate of a GRU that are not 0."""
    biases = [twin.second for twin in pairs if twin.inner]
    return [name for name in biases if np.any(torch[name][2 * len(torch[name]) // 3 :])]
