"""Autoencoders, residual networks, U-Nets, detectors and sequence-to-sequence models, as a PyTorch user writes them.

Strided convolutions pad as ours do, and as TensorFlow's do: for an even side the one more row is at the end.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_exchange import TWINS
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import deepprinciples as dp
from deepprinciples.analysis import exchange
from deepprinciples.errors import ConfigError, IntegrityError
from deepprinciples.interop import safetensors, torch_names
from deepprinciples.learners import TABLES
from deepprinciples.parts.parameter_names import names_with_state

CLOSE = 1e-5
SIDE = 8


def halved(x: torch.Tensor, size: int) -> torch.Tensor:
    """Pad the end of every axis, as a convolution of stride 2 does here on even sides."""
    return functional.pad(x, (0, size // 2) * (x.ndim - 2))


Norm = Callable[[int], nn.Module]  # of so many channels


def grouped(channels: int) -> nn.Module:
    """Normalize by as many of 8, 4 or 2 groups as divide the channels, as ours does."""
    return nn.GroupNorm(8 if channels % 8 == 0 else 4, channels, eps=1e-6)


def layered(features: int) -> nn.Module:
    return nn.LayerNorm(features, eps=1e-6)


class Autoencoder(nn.Module):
    """Two perceptrons and a code between them; of a variational one the code is a mean and a log-variance."""

    def __init__(self, code: int = 3, variational: bool = False, norm: Norm = layered) -> None:
        super().__init__()
        self.size = code
        self.layer_00, self.norm_00 = nn.Linear(SIDE * SIDE, 6), norm(6)
        self.code = nn.Linear(6, code * (1 + variational))
        self.layer_01, self.norm_01 = nn.Linear(code, 6), norm(6)
        self.output = nn.Linear(6, SIDE * SIDE)

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        code = self.code(torch.relu(self.norm_00(self.layer_00(x.flatten(1)))))
        mean, log_variance = code[:, : self.size], code[:, self.size :]
        made = self.output(torch.relu(self.norm_01(self.layer_01(mean)))).reshape(x.shape)
        return (made, mean, log_variance) if log_variance.shape[1] else made


class Block(nn.Module):
    """Two convolutions added to the stream, or put beside it; the first of a stage has a shortcut and stride 2."""

    def __init__(self, read: int, stream: int, width: int, *, stride: int, dense: bool, fixup: bool, norm: Norm):
        super().__init__()
        self.dense, self.stride = dense, stride
        self.first = nn.Conv2d(read, width, 3, stride, padding="same" if stride == 1 else 0)
        self.norm_inner, self.second = norm(width), nn.Conv2d(width, width, 3, padding="same")
        if stride > 1:
            self.shortcut = nn.Conv2d(read, width, 1, stride)
        if fixup:
            self.multiplier = nn.Parameter(torch.ones(()))
        self.channels = width + (stream if stride == 1 else width) if dense else width
        self.norm = norm(self.channels)

    def forward(self, x: torch.Tensor, stream: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        branch = self.first(halved(x, 3) if self.stride > 1 else x)
        branch = self.second(torch.relu(self.norm_inner(branch))) * getattr(self, "multiplier", 1.0)
        stream = self.shortcut(x) if self.stride > 1 else stream
        stream = torch.cat([stream, branch], 1) if self.dense else stream + branch
        return torch.relu(self.norm(stream)), stream


class Resnet(nn.Module):
    """A stem and two stages of two blocks."""

    def __init__(self, dense: bool = False, fixup: bool = False, flatten: bool = False, norm: Norm = grouped) -> None:
        super().__init__()
        self.flatten, channels = flatten, 4
        stem = {"linear": nn.Conv2d(1, 4, 3, padding="same")}
        self.layer_00 = nn.ModuleDict(stem if fixup else {**stem, "norm": norm(4)})
        norm = (lambda _: nn.Identity()) if fixup else norm
        for number, (width, stride) in enumerate(((4, 1), (4, 1), (8, 2), (8, 1)), start=1):
            block = Block(channels, channels, width, stride=stride, dense=dense, fixup=fixup, norm=norm)
            self.add_module(f"layer_{number:02d}", block)
            channels = block.channels
        self.output = nn.Linear(channels * (SIDE // 2) ** 2 if flatten else channels, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stream = self.layer_00["linear"](x)
        y = torch.relu(self.layer_00["norm"](stream) if "norm" in self.layer_00 else stream)
        for number in range(1, 5):
            y, stream = getattr(self, f"layer_{number:02d}")(y, stream)
        return self.output(y.flatten(1) if self.flatten else y.mean((2, 3)))


class Unet(nn.Module):
    """Two sizes of maps, of images or signals: down, up, and both side by side; the outputs are a map too."""

    def __init__(self, axes: int, norm: Norm = grouped) -> None:
        super().__init__()
        self.pool = functional.max_pool2d if axes == 2 else functional.max_pool1d
        convolution = nn.Conv2d if axes == 2 else nn.Conv1d
        for number, (read, width) in enumerate(((1, 4), (4, 8), (8, 4), (8, 4))):
            self.add_module(f"layer_{number:02d}", convolution(read, width, 3, padding="same"))
            self.add_module(f"norm_{number:02d}", norm(width))
        self.output = convolution(4, 3, 1)

    def layer(self, number: int, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(getattr(self, f"norm_{number:02d}")(getattr(self, f"layer_{number:02d}")(x)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        large = self.layer(0, x)
        small = self.layer(1, self.pool(large, 2))
        up = self.layer(2, functional.interpolate(small, scale_factor=2, mode="nearest"))
        return self.output(self.layer(3, torch.cat([large, up], 1)))


class Detector(nn.Module):
    """Three convolutions, of which two halve the map; at each place the odds of the classes, and a box around it."""

    def __init__(self, norm: Norm = grouped) -> None:
        super().__init__()
        for number, (read, width) in enumerate(((1, 4), (4, 8), (8, 8))):
            convolution = nn.Conv2d(read, width, 3, 2) if number < 2 else nn.Conv2d(read, width, 3, padding="same")
            self.add_module(f"layer_{number:02d}", convolution)
            self.add_module(f"norm_{number:02d}", norm(width))
        self.classes, self.boxes = nn.Conv2d(8, 3, 1), nn.Conv2d(8, 4, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        for number in range(3):
            x = getattr(self, f"layer_{number:02d}")(halved(x, 3) if number < 2 else x)
            x = torch.relu(getattr(self, f"norm_{number:02d}")(x))
        reach = 4 * functional.softplus(self.boxes(x))
        rows, columns = torch.meshgrid(*(4 * torch.arange(side) + 2.0 for side in x.shape[2:]), indexing="ij")
        places = torch.stack([rows, columns])
        return {"classes": self.classes(x), "boxes": torch.cat([places - reach[:, :2], places + reach[:, 2:]], 1)}


class Convolutional(nn.Module):
    """One convolution, of images or signals, a pool, and what reads the flattened map."""

    def __init__(self, axes: int, norm: Norm) -> None:
        super().__init__()
        self.layer_00 = (nn.Conv2d if axes == 2 else nn.Conv1d)(1, 4, 3, padding="same")
        self.norm_00, self.output = norm(4), nn.Linear(4 * (SIDE // 2) ** axes, 10)
        self.pool = functional.max_pool2d if axes == 2 else functional.max_pool1d

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.output(torch.relu(self.norm_00(self.pool(self.layer_00(x), 2))).flatten(1))


class Attention(nn.Module):
    """What the decoder's state looks for in the memory, and what joins the two."""

    def __init__(self, width: int, memory: int, additive: bool) -> None:
        super().__init__()
        if additive:
            self.query, self.score = nn.Linear(width, width), nn.Linear(width, 1, bias=False)
        self.output = nn.Linear(width + memory, width)

    def forward(self, h: torch.Tensor, keys: torch.Tensor, memory: torch.Tensor, pads: torch.Tensor) -> torch.Tensor:
        if hasattr(self, "query"):
            scores = self.score(torch.tanh(self.query(h)[:, None] + keys))[..., 0]
        else:
            scores = (keys @ h[:, :, None])[..., 0]
        return (scores.masked_fill(pads, -torch.inf).softmax(-1)[..., None] * memory).sum(1)


class SequenceToSequence(nn.Module):
    """One module for the encoder, and one that is called a token at a time for the decoder."""

    def __init__(self, cell: str, attention: str, depth: int, both: bool) -> None:
        super().__init__()
        kind = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn": nn.RNN}[cell]
        self.depth, self.long, self.kind, memory = depth, cell == "lstm", attention, 4 * (1 + both)
        self.source_embedding, self.embedding = nn.Embedding(85, 3), nn.Embedding(85, 3)
        self.encoder = kind(3, 4, depth, batch_first=True, bidirectional=both)
        self.decoder = kind(3 + (memory if attention == "additive" else 0), 4, depth, batch_first=True)
        self.bridge, self.output = nn.Linear(memory, depth * (1 + self.long) * 4), nn.Linear(4, 85)
        if attention != "none":
            self.keys = nn.Linear(memory, 4, bias=False)
            self.attention = Attention(4, memory, attention == "additive")

    def forward(self, pair: dict[str, torch.Tensor]) -> torch.Tensor:
        source, pads = pair["source"], pair["source"] == 0
        packed = pack_padded_sequence(
            self.source_embedding(source), (~pads).sum(1), batch_first=True, enforce_sorted=False
        )
        memory, last = self.encoder(packed)
        memory, _ = pad_packed_sequence(memory, batch_first=True, total_length=source.shape[1])
        last = last[0] if self.long else last
        ends = torch.cat([last[-2], last[-1]], -1) if self.encoder.bidirectional else last[-1]
        begun = self.bridge(ends).reshape(len(source), self.depth, -1, 4).permute(2, 1, 0, 3).contiguous()
        state = (torch.tanh(begun[0]), begun[1]) if self.long else torch.tanh(begun[0])
        look = lambda h: self.attention(h, self.keys(memory), memory, pads)
        found = []
        for y in self.embedding(pair["target"]).unbind(1):
            first = (state[0] if self.long else state)[0]
            context = look(first) if self.kind == "additive" else None
            y, state = self.decoder((y if context is None else torch.cat([y, context], -1))[:, None], state)
            y = y[:, 0]
            if self.kind != "none":
                y = torch.tanh(self.attention.output(torch.cat([y, look(y) if context is None else context], -1)))
            found.append(self.output(y))
        return torch.stack(found, 1)


RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(32, SIDE, SIDE, 1)).astype(np.float32)
SIGNALS = RNG.normal(size=(32, SIDE, 1)).astype(np.float32)
PAIRS = {
    "source": np.where(np.arange(10) < RNG.integers(1, 11, (32, 1)), RNG.integers(1, 85, (32, 10)), 0),
    "target": RNG.integers(1, 85, (32, 10)),
}
SMALL_CODE = {"shape": (SIDE, SIDE, 1), "width": 6, "latent": 3, "normalization": "layer"}
RESIDUAL = {"blocks": 2, "width": 4, "normalization": "group"}
PAIRED = {"vocabulary": 85, "width": 4, "embedding": 3, "outputs": 85}
BATCH = {"normalization": "batch"}
ONE_LAYER = {"depth": 1, "width": 4, "stages": 1, **BATCH}
Case = tuple[Any, dict[str, Any], Callable[[], nn.Module]]
CASES: dict[str, Case] = {  # inputs, our model, PyTorch's
    "autoencoder": (IMAGES, SMALL_CODE, Autoencoder),
    "vae": (IMAGES, SMALL_CODE, lambda: Autoencoder(variational=True)),
    "resnet": (IMAGES, RESIDUAL, Resnet),
    "resnet dense": (
        IMAGES, {**RESIDUAL, "skip": "dense", "readout": "flatten"}, lambda: Resnet(dense=True, flatten=True)
    ),
    "resnet fixup": (IMAGES, {**RESIDUAL, "normalization": "none", "fixup": True}, lambda: Resnet(fixup=True)),
    "unet": (IMAGES, {"levels": 2, "width": 4, "normalization": "group", "outputs": 3}, lambda: Unet(2)),
    "unet signals": (SIGNALS, {"levels": 2, "width": 4, "normalization": "group", "outputs": 3}, lambda: Unet(1)),
    "detector": (IMAGES, {"depth": 1, "width": 4, "outputs": 3}, Detector),
    "autoencoder batch": (IMAGES, {**SMALL_CODE, **BATCH}, lambda: Autoencoder(norm=nn.BatchNorm1d)),
    "vae batch": (IMAGES, {**SMALL_CODE, **BATCH}, lambda: Autoencoder(variational=True, norm=nn.BatchNorm1d)),
    "resnet batch": (IMAGES, {"blocks": 2, "width": 4}, lambda: Resnet(norm=nn.BatchNorm2d)),
    "resnet ghost": (IMAGES, {**RESIDUAL, "normalization": "ghost"}, lambda: Resnet(norm=nn.BatchNorm2d)),
    "unet batch": (IMAGES, {"levels": 2, "width": 4, "outputs": 3, **BATCH}, lambda: Unet(2, nn.BatchNorm2d)),
    "detector batch": (IMAGES, {"depth": 1, "width": 4, "outputs": 3, **BATCH}, lambda: Detector(nn.BatchNorm2d)),
    "cnn batch": (IMAGES, ONE_LAYER, lambda: Convolutional(2, nn.BatchNorm2d)),
    "cnn batch signals": (SIGNALS, ONE_LAYER, lambda: Convolutional(1, nn.BatchNorm1d)),
    "seq2seq": (PAIRS, PAIRED, lambda: SequenceToSequence("gru", "additive", 1, True)),
    "seq2seq multiplicative": (
        PAIRS, {**PAIRED, "cell": "lstm", "attention": "multiplicative", "depth": 2},
        lambda: SequenceToSequence("lstm", "multiplicative", 2, True),
    ),
    "seq2seq plain": (
        PAIRS, {**PAIRED, "cell": "rnn", "attention": "none", "bidirectional": False, "activation": "tanh"},
        lambda: SequenceToSequence("rnn", "none", 1, False),
    ),
}  # fmt: skip


def section_of(name: str) -> dict[str, Any]:
    """Give [model] with its defaults, as a resolved config has it."""
    known = inspect.signature(TABLES["model"][name.split()[0]]).parameters
    asked = {one: known[one].default for one in ("cell", "activation", "normalization", "skip") if one in known}
    return {"name": name.split()[0], **asked, **CASES[name][1]}


def model_of(name: str) -> Any:
    return TABLES["model"][name.split()[0]](**{"outputs": 10, **CASES[name][1]})


@functools.cache
def built(name: str) -> tuple[Any, Any, Any]:
    """Give fresh parameters of our model with its state, its evaluation (both, inputs) -> outputs, and the names."""
    model, inputs = model_of(name), CASES[name][0]
    made = jax.jit(model.init)(jax.random.key(0), inputs)
    return made, jax.jit(lambda made, x: model.apply(*made, x, key=None, train=False)[0]), names_with_state(*made)


def moved(name: str) -> dict[str, np.ndarray]:
    """Give parameters and state of our model, all moved away from where they start: zeros and ones tell nothing."""
    made, _, names = built(name)
    drawn = np.random.default_rng(1)
    return {
        one: np.asarray(leaf) + drawn.normal(0.0, 0.2, leaf.shape).astype(np.float32)  # a variance stays above 0
        for one, leaf in zip(names, jax.tree.leaves(made), strict=True)
    }


def ours(name: str, flat: dict[str, np.ndarray]) -> Any:
    """Give the outputs of our model in evaluation."""
    made, evaluate, names = built(name)
    return evaluate(jax.tree.unflatten(jax.tree.structure(made), [flat[one] for one in names]), CASES[name][0])


def theirs(module: nn.Module, inputs: Any) -> list[np.ndarray]:
    """Give what a module of PyTorch makes of our inputs, with channels first on the way in and last on the way out."""
    first = lambda a: torch.tensor(a if a.dtype.kind == "i" else np.moveaxis(a, -1, 1))
    with torch.no_grad():
        found = jax.tree.leaves(module.eval()(jax.tree.map(first, inputs)))
    pictures = not isinstance(inputs, dict)
    return [np.moveaxis(a.numpy(), 1, -1) if pictures else a.numpy() for a in found]


def assert_same(found: Any, expected: list[np.ndarray]) -> None:
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(found)]
    for leaf, other in zip(leaves, expected, strict=True):
        assert np.ptp(leaf) > 0.1
        np.testing.assert_allclose(leaf, other, rtol=1e-5, atol=CLOSE)


def pairs_of(name: str, flat: dict[str, np.ndarray]) -> list[torch_names.Twin]:
    return torch_names.twins(section_of(name), {one: array.shape for one, array in flat.items()})


@pytest.mark.parametrize("name", CASES)
def test_a_module_of_pytorch_computes_the_same_both_ways(name: str) -> None:
    """Lost: weights whose gates, channels or axes are in another order load without a word and compute nonsense."""
    flat = moved(name)
    pairs, module = pairs_of(name, flat), CASES[name][2]()
    there = {one: torch.tensor(array) for one, array in torch_names.to_torch(pairs, flat).items()}
    module.load_state_dict(there, strict=True)
    assert_same(ours(name, flat), theirs(module, CASES[name][0]))
    back = torch_names.to_own(pairs, {one: array.numpy() for one, array in module.state_dict().items()})
    assert all(np.array_equal(back[one], array) for one, array in flat.items()) and list(back) == list(flat)
    torch.manual_seed(1)
    fresh = CASES[name][2]()
    with torch.no_grad():
        for one, buffer in fresh.named_buffers():
            if one.endswith("running_mean"):
                buffer.normal_(0.0, 0.5)
            elif one.endswith("running_var"):
                buffer.uniform_(0.5, 2.0)
        for one, weight in fresh.named_parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
            if name.startswith("seq2seq") and "bias_hh" in one and section_of(name)["cell"] == "gru":
                weight[2 * len(weight) // 3 :] = 0.0
    state = {one: array.numpy() for one, array in fresh.state_dict().items()}
    assert_same(ours(name, torch_names.to_own(pairs, state)), theirs(fresh, CASES[name][0]))
    assert torch_names.inner_biases(pairs, state) == []


def test_every_model_with_pytorchs_naming_has_a_module_of_pytorch() -> None:
    """Lost: the proof that the names of a model belong to numbers in the same order."""
    there = {section["name"] for _, section, _ in TWINS.values()}
    assert there | {name.split()[0] for name in CASES} == set(torch_names.MODELS)
    assert set(torch_names.MODELS) <= set(TABLES["model"])


MISFITS: dict[str, Any] = {  # what is changed in a state_dict, and the one line of the answer
    "a missing name": ("vae", lambda s: s.pop("code.bias"), '"code.bias" is missing; expected float32 [6]'),
    "one too many": (
        "detector", lambda s: s.update({"norm_00.running_mean": np.zeros(4, np.float32)}),
        '"norm_00.running_mean" is no parameter of this model',
    ),
    "a linear map of positions": (
        "unet", lambda s: s.update({"output.weight": s["output.weight"][..., 0, 0]}),
        '"output.weight" has shape [3, 4], expected [3, 4, 1, 1]',
    ),
    "a bias of the keys": (
        "seq2seq", lambda s: s.update({"keys.bias": np.zeros(4, np.float32)}),
        '"keys.bias" is no parameter of this model',
    ),
    "a bias inside the reset gate": (
        "seq2seq", lambda s: s.update({"decoder.bias_hh_l0": np.ones(12, np.float32)}),
        '"decoder.bias_hh_l0" has numbers other than 0 in its last third, a bias inside the reset gate, which this GRU '
        "lacks",
    ),
    "another stage": (
        "resnet", lambda s: s.update({"layer_03.shortcut.weight": np.zeros((8, 4, 3, 3), np.float32)}),
        '"layer_03.shortcut.weight" has shape [8, 4, 3, 3], expected [8, 4, 1, 1]',
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISFITS)
def test_a_file_that_does_not_fit_is_refused_in_one_line(name: str) -> None:
    """Lost: a network that is half random, or a wrong number found a week later."""
    case, change, line = MISFITS[name]
    expected = safetensors.shapes_of(*jax.eval_shape(model_of(case).init, jax.random.key(0), CASES[case][0]))
    flat = {one: np.zeros(shape, dtype) for one, (shape, dtype) in expected.items()}
    state = torch_names.to_torch(pairs_of(case, flat), flat)
    fit = lambda: safetensors.fitted(
        "f", state, section=section_of(case), expected=expected, wanted=list(expected), naming="torch"
    )
    assert list(fit()) == list(flat)
    change(state)
    with pytest.raises(IntegrityError) as caught:
        fit()
    assert str(caught.value) == f"f: {line}"


def test_all_that_is_wrong_with_statistics_is_told_at_once() -> None:
    """Lost: a network that evaluates with mean 0 and variance 1, or a run of errors, one after the other."""
    expected = safetensors.shapes_of(*jax.eval_shape(model_of("cnn batch").init, jax.random.key(0), IMAGES))
    flat = {one: np.zeros(shape, dtype) for one, (shape, dtype) in expected.items()}
    fit = lambda found, naming: safetensors.fitted(
        "f", found, section=section_of("cnn batch"), expected=expected, wanted=list(expected), naming=naming
    )
    state = torch_names.to_torch(pairs_of("cnn batch", flat), flat)
    counted = state.pop("norm_00.num_batches_tracked")
    assert (counted.shape, counted.dtype, list(fit(state, "torch"))) == ((), np.int64, list(flat))
    bad = {**state, "norm_00.running_var": np.zeros(5, np.float32), "norm_00.num_batches_tracked": np.float32(3.0)}
    del bad["norm_00.running_mean"]
    with pytest.raises(IntegrityError) as caught:
        fit(bad, "torch")
    assert sorted(str(caught.value).splitlines()) == [
        'f: "norm_00.num_batches_tracked" is float32, expected int64; nothing is cast here: convert it before it is '
        "saved, with tensor.to(torch.int64) or array.astype('int64')",
        'f: "norm_00.running_mean" is missing; expected float32 [4]',
        'f: "norm_00.running_var" has shape [5], expected [4]',
    ]
    mean, wrong = "state/batch_stats/layer_00/norm/mean", "state/batch_stats/layer_00/norm/maen"
    flat[wrong] = flat.pop(mean)
    with pytest.raises(IntegrityError) as caught:
        fit(flat, "own")
    assert str(caught.value).splitlines() == [
        f'f: "{wrong}" is no state of this model; did you mean "{mean}"?',
        f'f: "{mean}" is missing; expected float32 [4]',
    ]


WITHOUT = {  # options that PyTorch's modules lack, and the parameter that is named
    "a highway": ("resnet", {"skip": "highway"}, "layer_01/gate/bias"),
    "a rezero": ("resnet", {"skip": "rezero"}, "layer_01/alpha"),
    "two for one": ("resnet", {"normalization": "weight"}, "layer_00/linear_scale/scale"),
    "a state": ("detector", {"normalization": "spectral"}, "boxes/kernel"),
    "other kernels": ("unet", {"normalization": "weight_standardized"}, "layer_00/linear/kernel"),
    "another activation": ("seq2seq", {"activation": "relu"}, "decoder_00/input/kernel"),
}


@pytest.mark.parametrize("name", WITHOUT)
def test_what_pytorch_lacks_is_refused_by_name(name: str) -> None:
    """Lost: a file that loads, and computes something else."""
    case, changes, named = WITHOUT[name]
    model = TABLES["model"][case](**{"outputs": 10, **CASES[case][1], **changes})
    made = safetensors.shapes_of(*jax.eval_shape(model.init, jax.random.key(0), CASES[case][0]))
    shapes = {one: shape for one, (shape, _) in made.items()}
    with pytest.raises(ConfigError) as caught:
        torch_names.twins({**section_of(case), **changes}, shapes)
    assert len(caught.value.problems) == 1
    assert str(caught.value).startswith(f'"{named}": has no counterpart in PyTorch\'s naming (')
    assert str(caught.value).endswith('); use the naming "own"')


RUNS: dict[str, Any] = {  # the data, the model, the loss and the metric of a run
    "resnet batch": (
        {"name": "arrays", "batch_size": 16, "inputs": np.tile(IMAGES, (8, 1, 1, 1)), "targets": np.arange(256) % 10},
        {"blocks": 2, "width": 4}, "softmax_cross_entropy", "accuracy",
    ),
    "autoencoder": (
        {"name": "arrays", "batch_size": 16, "inputs": IMAGES, "targets": np.arange(32) % 2, "reconstruct": True},
        {key: value for key, value in SMALL_CODE.items() if key != "shape"}, "mse", "mse",
    ),
    "seq2seq": ({"name": "number_words", "size": 300, "batch_size": 16},
                {"width": 4, "embedding": 3}, "softmax_cross_entropy", "accuracy"),
}  # fmt: skip


@pytest.mark.parametrize(
    "name", ["autoencoder", *(pytest.param(one, marks=pytest.mark.slow) for one in ("resnet batch", "seq2seq"))]
)
def test_a_run_goes_to_pytorch_and_back(name: str, tmp_path: Path) -> None:
    """Lost: the two commands, where names are known but the model of a run is read otherwise, or statistics."""
    data, keywords, loss, metric = RUNS[name]
    config = {
        "data": data,
        "model": {"name": name.split()[0], **keywords},
        "loss": {"name": loss},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "train": {"steps": 2, "seeds": 1, "probes": []},
        "study": {"metric": metric},
    }
    run = dp.train(config, tmp_path / "run")
    there = dp.export_parameters(run.path, tmp_path / "there")
    module = CASES[name][2]()
    module.load_state_dict(load_file(there), strict=True)
    model, params = run.model(seed=0)
    inputs = model.data.test.inputs
    assert_same(model.predict(params, inputs), theirs(module, inputs))
    own = dp.export_parameters(run.path, tmp_path / "own", naming="own")
    assert exchange.import_file(there, config, tmp_path / "back").read_bytes() == own.read_bytes()
