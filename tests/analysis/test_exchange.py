"""Parameters as safetensors: PyTorch's modules compute what ours do, and a stranger's file is held to its word.

Running statistics are parameters in this.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_torch
from safetensors.torch import save_file as save_torch
from sklearn.datasets import load_digits
from torch import nn
from typer.testing import CliRunner

import deepprinciples as dp
from deepprinciples import config as configs
from deepprinciples.analysis import exchange
from deepprinciples.cli.main import app
from deepprinciples.errors import ConfigError, IntegrityError, ResourceError
from deepprinciples.interop import safetensors, torch_names
from deepprinciples.learners.assembly import factories
from deepprinciples.parts.models import TABLE
from deepprinciples.parts.transformers import TABLE as TRANSFORMERS
from deepprinciples.study.planning import plan
from deepprinciples.types import path_to_names

CLOSE = 1e-5


class Recurrent(nn.Module):
    """All layers of one cell, and what reads their last or mean state."""

    def __init__(self, cell: str, inputs: int, width: int, *, tokens: int = 0, mean: bool = False, **options: Any):
        super().__init__()
        self.cell, self.mean = cell, mean
        if tokens:
            self.embedding = nn.Embedding(tokens, inputs)
        kind = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[cell]
        setattr(self, cell, kind(inputs, width, batch_first=True, **options))
        self.output = nn.Linear(width * (1 + options.get("bidirectional", False)), 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden, last = getattr(self, self.cell)(self.embedding(x) if hasattr(self, "embedding") else x)
        last = last[0] if isinstance(last, tuple) else last
        both = torch.cat([last[-2], last[-1]], dim=-1) if getattr(self, self.cell).bidirectional else last[-1]
        return self.output(hidden.mean(dim=1) if self.mean else both)


class Residual(nn.Module):
    """A perceptron whose second layer adds to the first before norm and activation."""

    def __init__(self) -> None:
        super().__init__()
        self.layer_00, self.layer_01 = nn.Linear(13, 8), nn.Linear(8, 8)
        self.norm_00, self.norm_01 = nn.LayerNorm(8, eps=1e-6), nn.LayerNorm(8, eps=1e-6)
        self.output = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.layer_00(x)
        second = first + self.layer_01(torch.relu(self.norm_00(first)))
        return self.output(torch.relu(self.norm_01(second)))


class Dense(nn.Module):
    """Two convolutions of which the second puts its maps behind those of the first; then pool and flatten."""

    def __init__(self) -> None:
        super().__init__()
        self.layer_00, self.layer_01 = nn.Conv2d(1, 4, 3, padding="same"), nn.Conv2d(4, 4, 3, padding="same")
        self.output = nn.Linear(8 * 16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = torch.relu(self.layer_00(x))
        both = torch.cat([first, torch.relu(self.layer_01(first))], dim=1)
        return self.output(torch.flatten(nn.functional.max_pool2d(both, 2), 1))


class Attention(nn.Module):
    """Four maps, and heads that read the stream or a memory; with gains a norm of each head and turned pairs."""

    def __init__(self, width: int, heads: int, key_heads: int, gains: bool):
        super().__init__()
        self.size = width // heads
        self.query, self.output = nn.Linear(width, width), nn.Linear(width, width)
        self.key, self.value = (nn.Linear(width, key_heads * self.size) for _ in range(2))
        if gains:
            self.query_norm, self.key_norm = (nn.RMSNorm(self.size, eps=1e-6) for _ in range(2))

    def forward(self, x: torch.Tensor, others: torch.Tensor, **options: Any) -> torch.Tensor:
        q, k, v = (
            one.unflatten(2, (-1, self.size)).transpose(1, 2)
            for one in (self.query(x), self.key(others), self.value(others))
        )
        if hasattr(self, "query_norm"):
            angle = torch.arange(x.shape[1])[:, None] * 10_000.0 ** (-torch.arange(self.size // 2) / (self.size // 2))
            turned = lambda a: torch.complex(*a.chunk(2, dim=-1)) * torch.polar(torch.ones_like(angle), angle)
            q, k = (turned(one) for one in (self.query_norm(q), self.key_norm(k)))
            q, k = (torch.cat([one.real, one.imag], dim=-1) for one in (q, k))
        y = nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True, **options)
        return self.output(y.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Branches added to the stream, each after a norm: attention, with a memory one to it, and an mlp."""

    def __init__(self, width: int, *, heads: int = 2, key_heads: int = 2, modern: bool = False, memory: bool = False):
        super().__init__()
        norm = (lambda: nn.RMSNorm(width, eps=1e-6)) if modern else (lambda: nn.LayerNorm(width, eps=1e-6))
        self.attention_norm, self.mlp_norm = norm(), norm()
        self.attention = Attention(width, heads, key_heads, modern)
        if memory:
            self.memory_norm, self.memory = norm(), Attention(width, heads, key_heads, modern)
        hidden = 8 * width // 3 if modern else 4 * width
        self.mlp = nn.ModuleDict({"hidden": nn.Linear(width, hidden), "output": nn.Linear(hidden, width)})
        if modern:
            self.mlp["gate"] = nn.Linear(width, hidden)

    def forward(self, x: torch.Tensor, memory: Any = None, mask: Any = None, **options: Any) -> torch.Tensor:
        y = self.attention_norm(x)
        x = x + self.attention(y, y, **options)
        if memory is not None:
            x = x + self.memory(self.memory_norm(x), memory, attn_mask=mask)
        y = self.mlp_norm(x)
        units = nn.functional.gelu(self.mlp["hidden"](y))
        return x + self.mlp["output"](units * self.mlp["gate"](y) if "gate" in self.mlp else units)


class Transformer(nn.Module):
    """One causal block over token ids with learned positions, and the mean of what it gives."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.ModuleDict({"tokens": nn.Embedding(17, 8), "positions": nn.Embedding(8, 8)})
        self.layer_00 = Block(8)
        self.output = nn.ModuleDict({"norm": nn.LayerNorm(8, eps=1e-6), "linear": nn.Linear(8, 10)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.embedding["tokens"](x) + self.embedding["positions"].weight
        return self.output["linear"](self.output["norm"](self.layer_00(y, is_causal=True).mean(dim=1)))


class Modern(nn.Module):
    """One block over floats with all that is younger: rms norms, rotary turns, shared keys, a gated mlp."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.ModuleDict({"linear": nn.Linear(8, 8)})
        self.layer_00 = Block(8, key_heads=1, modern=True)
        self.output = nn.ModuleDict({"norm": nn.RMSNorm(8, eps=1e-6), "linear": nn.Linear(8, 10)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.output["linear"](self.output["norm"](self.layer_00(self.embedding["linear"](x))[:, 0]))


class EncoderDecoder(nn.Module):
    """One block for the source, and one that reads it; the outputs share the table of the target's tokens."""

    def __init__(self) -> None:
        super().__init__()
        tables = lambda: nn.ModuleDict({"tokens": nn.Embedding(85, 8), "positions": nn.Embedding(10, 8)})
        self.source_embedding, self.embedding = tables(), tables()
        self.encoder_00, self.memory, self.decoder_00 = Block(8), nn.LayerNorm(8, eps=1e-6), Block(8, memory=True)
        self.output = nn.ModuleDict({"norm": nn.LayerNorm(8, eps=1e-6)})
        self.output.bias = nn.Parameter(torch.zeros(85))

    def forward(self, both: dict[str, torch.Tensor]) -> torch.Tensor:
        source, mask = both["source"], (both["source"] != 0)[:, None, None, :]
        embedded = [
            tables["tokens"](ids) + tables["positions"].weight
            for tables, ids in ((self.source_embedding, source), (self.embedding, both["target"]))
        ]
        memory = self.memory(self.encoder_00(embedded[0], attn_mask=mask))
        y = self.output["norm"](self.decoder_00(embedded[1], memory, mask, is_causal=True))
        return y @ self.embedding["tokens"].weight.T + self.output.bias


def perceptron() -> nn.Module:
    return nn.Sequential(OrderedDict(
        layer_00=nn.Linear(13, 8), act_00=nn.Tanh(), layer_01=nn.Linear(8, 8), act_01=nn.Tanh(), output=nn.Linear(8, 3)
    ))  # fmt: skip


def batch_normalized() -> nn.Module:
    return nn.Sequential(OrderedDict(
        layer_00=nn.Linear(13, 8), norm_00=nn.BatchNorm1d(8), act_00=nn.ReLU(),
        layer_01=nn.Linear(8, 8), norm_01=nn.BatchNorm1d(8), act_01=nn.ReLU(), output=nn.Linear(8, 3),
    ))  # fmt: skip


def convolutions() -> nn.Module:
    return nn.Sequential(OrderedDict(
        layer_00=nn.Conv2d(1, 4, 3, padding="same"), pool_00=nn.MaxPool2d(2), act_00=nn.ReLU(),
        layer_01=nn.Conv2d(4, 8, 3, padding="same"), pool_01=nn.MaxPool2d(2), act_01=nn.ReLU(),
        flatten=nn.Flatten(), output=nn.Linear(8 * 4, 10),
    ))  # fmt: skip


def signals() -> nn.Module:
    return nn.Sequential(OrderedDict(
        layer_00=nn.Conv1d(8, 4, 2, padding="same"), pool_00=nn.MaxPool1d(2), norm_00=nn.GroupNorm(4, 4, eps=1e-6),
        act_00=nn.Tanh(), flatten=nn.Flatten(), output=nn.Linear(4 * 4, 10),
    ))  # fmt: skip


def instances() -> nn.Module:
    return nn.Sequential(OrderedDict(
        layer_00=nn.Conv1d(8, 4, 2, padding="same"), pool_00=nn.MaxPool1d(2),
        norm_00=nn.InstanceNorm1d(4, eps=1e-6, affine=True), act_00=nn.Tanh(), flatten=nn.Flatten(),
        output=nn.Linear(4 * 4, 10),
    ))  # fmt: skip


WINE = {"name": "wine", "batch_size": 16}
DIGITS = {"name": "digits", "batch_size": 16}
ROWS = {"name": "arrays", "batch_size": 16, "inputs": load_digits().images, "targets": load_digits().target}
IDS = {**ROWS, "inputs": load_digits().images[:, 3].astype(int), "tokens": 17}
TWINS: dict[str, Any] = {  # data, our model, PyTorch's
    "mlp": (WINE, {"name": "mlp", "depth": 2, "width": 8, "activation": "tanh"}, perceptron),
    "mlp residual": (
        WINE, {"name": "mlp", "depth": 2, "width": 8, "skip": "residual", "normalization": "layer"}, Residual
    ),
    "mlp batch": (WINE, {"name": "mlp", "depth": 2, "width": 8, "normalization": "batch"}, batch_normalized),
    "mlp ghost": (  # in evaluation it is the same
        WINE, {"name": "mlp", "depth": 2, "width": 8, "normalization": "ghost", "ghost_size": 8}, batch_normalized
    ),
    "cnn": (DIGITS, {"name": "cnn", "depth": 2, "width": 4}, convolutions),
    "cnn dense": (DIGITS, {"name": "cnn", "depth": 2, "width": 4, "stages": 1, "skip": "dense"}, Dense),
    "cnn signals": (
        ROWS, {"name": "cnn", "depth": 1, "width": 4, "stages": 1, "kernel": 2, "normalization": "group",
               "activation": "tanh"}, signals,
    ),
    "cnn instances": (
        ROWS, {"name": "cnn", "depth": 1, "width": 4, "stages": 1, "kernel": 2, "normalization": "instance",
               "activation": "tanh"}, instances,
    ),
    "lstm": (ROWS, {"name": "lstm", "width": 6}, lambda: Recurrent("lstm", 8, 6)),
    "lstm deep": (
        ROWS, {"name": "lstm", "width": 6, "depth": 2, "bidirectional": True},
        lambda: Recurrent("lstm", 8, 6, num_layers=2, bidirectional=True),
    ),
    "gru": (
        IDS, {"name": "gru", "width": 6, "embedding": 5, "readout": "mean"},
        lambda: Recurrent("gru", 5, 6, tokens=17, mean=True),
    ),
    "rnn": (
        ROWS, {"name": "rnn", "width": 6, "activation": "relu"},
        lambda: Recurrent("rnn", 8, 6, nonlinearity="relu"),
    ),
    "transformer": (
        IDS, {"name": "transformer", "width": 8, "depth": 1, "heads": 2, "readout": "mean"}, Transformer
    ),
    "transformer modern": (
        ROWS, {"name": "transformer", "width": 8, "depth": 1, "heads": 2, "key_heads": 1, "glu": True, "qk_norm": True,
               "normalization": "rms", "positions": "rotary", "causal": False, "readout": "first"}, Modern,
    ),
    "encoder_decoder": (
        {"name": "number_words", "size": 300, "batch_size": 16},
        {"name": "encoder_decoder", "width": 8, "depth": 1, "heads": 2, "tied": True}, EncoderDecoder,
    ),
}  # fmt: skip
TRAINED = ("mlp", "mlp batch", "mlp ghost", "cnn", "lstm deep", "gru", "transformer", "encoder_decoder")
QUICK = ("mlp", "mlp batch", "cnn", "lstm", "gru")  # the others take as long again to compile


def some(names: Iterable[str]) -> list[Any]:
    """Mark those that are left to `make long`."""
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in names]


def config_of(name: str, **changes: Any) -> dict[str, Any]:
    """Give the config of a model above."""
    data, model, _ = TWINS[name]
    whole = {
        "data": data,
        "model": model,
        "loss": {"name": "softmax_cross_entropy"},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "train": {"steps": 4, "seeds": 2, "probes": []},
    }
    return configs.changes(whole, changes)


def ours(config: dict[str, Any], params: Any, state: Any) -> tuple[Any, np.ndarray]:
    """Give the test inputs of a config, and what our model makes of them."""
    planned = plan.resolve("train", config)
    parts = planned.data["run"]
    model, x = factories.model_of(planned.arms["run"].config, parts), jax.tree.map(np.asarray, parts.test.inputs)
    return x, np.asarray(model.apply(params, state, x, key=None, train=False)[0])


def theirs(module: nn.Module, x: Any) -> np.ndarray:
    """Give what a module of PyTorch makes of our inputs, channels first for convolutions."""
    convolves = any(isinstance(one, (nn.Conv1d, nn.Conv2d)) for one in module.modules())
    with torch.no_grad():
        return module.eval()(jax.tree.map(lambda a: torch.tensor(np.moveaxis(a, -1, 1) if convolves else a), x)).numpy()


def tree(flat: dict[str, np.ndarray]) -> dict[str, Any]:
    return configs.unflatten({name.replace("/", "."): array for name, array in flat.items()})


class Runs(dict[str, Path]):
    """Runs by the name of their model, each trained for a few steps when it is first asked for."""

    def __init__(self, room: Path):
        super().__init__()
        self.room = room

    def __missing__(self, name: str) -> Path:
        self[name] = dp.train(config_of(name), self.room / name).path
        return self[name]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Give runs of the models that are asked for."""
    return Runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def random(tmp_path: Path) -> Any:
    """Write the state_dict of a fresh module of PyTorch, and give the file and the module."""

    def write(name: str) -> tuple[Path, nn.Module]:
        torch.manual_seed(1)
        module = TWINS[name][2]()
        with torch.no_grad():
            for weight in module.parameters():
                weight.add_(0.1 * torch.randn(weight.shape))  # norms start at 1 and 0, which tell nothing
            for one, buffer in module.named_buffers():
                if one.endswith("running_mean"):
                    buffer.normal_(0.0, 0.5)
                elif one.endswith("running_var"):
                    buffer.uniform_(0.5, 2.0)
                else:
                    buffer.fill_(7)
            if name == "gru":
                module.gru.bias_hh_l0[12:] = 0.0
        save_torch(module.state_dict(), tmp_path / "theirs.safetensors")
        return tmp_path / "theirs.safetensors", module

    return write


@pytest.mark.parametrize("name", some(TRAINED))
def test_what_we_trained_runs_in_pytorch(name: str, runs: dict[str, Path], tmp_path: Path) -> None:
    """Lost: weights whose gates, channels or axes are in another order load without a word and compute nonsense."""
    path = dp.export_parameters(runs[name], tmp_path / "torch.safetensors")
    module = TWINS[name][2]()
    module.load_state_dict(load_torch(path), strict=True)
    kept = load_file(runs[name] / "parameters.safetensors")
    own, state = (
        {one.removeprefix(head): array for one, array in kept.items() if one.startswith(head)}
        for head in ("seed-0/", "state-0/")
    )
    x, expected = ours(config_of(name), tree(own), tree(state))
    assert len(expected) > 20 and np.ptp(expected) > 0.1
    np.testing.assert_allclose(theirs(module, x), expected, rtol=0, atol=CLOSE)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", some(TWINS))
def test_what_pytorch_holds_runs_here(name: str, random: Any) -> None:
    """Lost: the same on the way in."""
    path, module = random(name)
    x, found = ours(config_of(name), *dp.import_parameters(path, config_of(name)))
    expected = theirs(module, x)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(found, expected, rtol=0, atol=CLOSE)


def test_names_and_shapes_of_transformers_are_those_of_the_modules() -> None:
    """Lost: a file that does not load; the numbers are compared above, in `make long`."""
    ids, floats = np.zeros((2, 8), int), np.zeros((2, 8, 8), np.float32)
    both = {"source": np.zeros((2, 10), int), "target": np.zeros((2, 10), int)}
    for name, inputs, (outputs, tokens) in (
        ("transformer", ids, (10, 17)), ("transformer modern", floats, (10, 0)), ("encoder_decoder", both, (85, 85))
    ):  # fmt: skip
        _, section, module = TWINS[name]
        keywords = {key: value for key, value in section.items() if key != "name"}
        model = TRANSFORMERS[section["name"]](outputs=outputs, vocabulary=tokens, **keywords)
        params = jax.eval_shape(lambda key, m=model, x=inputs: m.init(key, x)[0], jax.random.key(0))
        shapes = {one: leaf.shape for one, leaf in _flat(params).items()}
        found = torch_names.shapes_of(torch_names.twins(section, shapes), shapes)
        assert found == {one: tuple(weight.shape) for one, weight in module().state_dict().items()}


@pytest.mark.parametrize("name", some(TRAINED))
def test_there_and_back_changes_no_bit(name: str, runs: dict[str, Path], tmp_path: Path) -> None:
    """Lost: a model that is handed on and comes back is another one."""
    for seed in (0, 1):
        own = dp.export_parameters(runs[name], tmp_path / f"own-{seed}", seed=seed, naming="own")
        there = dp.export_parameters(runs[name], tmp_path / f"torch-{seed}", seed=seed)
        back = exchange.import_file(there, config_of(name), tmp_path / f"back-{seed}")
        again = exchange.import_file(own, config_of(name), tmp_path / f"again-{seed}")
        assert own.read_bytes() == back.read_bytes() == again.read_bytes() != there.read_bytes()
    assert (tmp_path / "own-0").read_bytes() != (tmp_path / "own-1").read_bytes()


def test_a_negative_zero_stays_one() -> None:
    """Lost: the last bit of a bias, in the sum of PyTorch's two."""
    pairs = [torch_names.Twin("b", "lstm.bias_ih_l0", "gates")]
    there = torch_names.to_torch(pairs, {"b": np.float32([-0.0, 1.0])})
    assert np.signbit(torch_names.to_own(pairs, there)["b"]).tolist() == [True, False]
    there["lstm.bias_hh_l0"] += np.float32(2.0)
    assert torch_names.to_own(pairs, there)["b"].tolist() == [2.0, 3.0]


def test_any_model_is_taken_in_its_own_names(tmp_path: Path) -> None:
    """Lost: models of a stranger, whose params are no nested dicts."""

    def pair(*, outputs: int) -> Any:
        return lambda key, x: [jax.random.normal(key, (13, outputs))], lambda params, x: x @ params[0]

    config = {**config_of("mlp"), "model": {"factory": pair}}
    path = dp.export_parameters(dp.train(config, tmp_path / "run").path, tmp_path / "own", naming="own")
    params, state = dp.import_parameters(path, config)
    assert state == {} and list(load_file(path)) == ["0"] and isinstance(params, list) and params[0].shape == (13, 3)
    with pytest.raises(ConfigError, match="model.name: found nothing; expected mlp, cnn, lstm, gru, rnn, transformer"):
        dp.export_parameters(tmp_path / "run", tmp_path / "torch")


WITHOUT = {
    "a highway": ("mlp", {"skip": "highway"}, "layer_01/gate/bias"),
    "a rezero": ("mlp", {"skip": "rezero"}, "layer_01/alpha"),
    "two for one": ("mlp", {"normalization": "weight"}, "layer_00/linear_scale/scale"),
    "a state": ("mlp", {"normalization": "spectral"}, "layer_00/linear/kernel"),
    "other kernels": ("mlp", {"normalization": "weight_standardized"}, "layer_00/linear/kernel"),
    "a norm in cells": ("lstm", {"cell_normalization": "layer"}, "layer_00/forward/cell_bias"),
    "states that stay": ("lstm", {"zoneout": 0.1}, "layer_00/forward/recurrent/kernel"),
    "the batch": ("cnn", {"minibatch_deviation": True}, "output/kernel"),
    "a norm between": ("lstm", {"normalization": "layer"}, "layer_00/norm/bias"),
    "statistics between": ("lstm", {"normalization": "batch"}, "layer_00/norm/bias"),
    "a skip between": ("lstm", {"depth": 2, "skip": "residual"}, "layer_01/forward/input/bias"),
    "another activation": ("lstm", {"activation": "relu"}, "layer_00/forward/input/kernel"),
}


@pytest.mark.parametrize("name", WITHOUT)
def test_what_pytorch_lacks_is_refused_by_name(name: str) -> None:
    """Lost: a file that loads, and computes something else."""
    model, keywords, named = WITHOUT[name]
    x = np.zeros((2, 8, 8) if model == "lstm" else (2, 8, 8, 1), np.float32)
    made = jax.eval_shape(lambda key: TABLE[model](outputs=3, **keywords).init(key, x), jax.random.key(0))
    shapes = {one: shape for one, (shape, _) in safetensors.shapes_of(*made).items()}
    section = {"name": model, "activation": {"name": "tanh"}, **keywords}
    with pytest.raises(ConfigError) as caught:
        torch_names.twins(section, shapes)
    assert len(caught.value.problems) == 1
    assert str(caught.value).startswith(f'"{named}": has no counterpart in PyTorch\'s naming (')
    assert str(caught.value).endswith('); use the naming "own"')


def _flat(params: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_flatten_with_path(params)[0]
    return {"/".join(path_to_names(path)): leaf for path, leaf in leaves}


def test_models_without_pytorchs_naming_are_refused() -> None:
    """Lost: the way out, for a quantum circuit or a game."""
    with pytest.raises(
        ConfigError, match='model.name: found the string "circuit"; expected mlp, cnn, lstm, gru, rnn, tr'
    ):
        torch_names.twins({"name": "circuit"}, {})
    with pytest.raises(ConfigError, match="is unknown in a model mlp"):
        torch_names.twins({"name": "mlp"}, {"layer_00/strange/kernel": (2, 2)})
    with pytest.raises(ConfigError, match="is unknown in a model transformer"):
        torch_names.twins({"name": "transformer"}, {"layer_00/attention/strange": (2, 2)})


def test_a_bias_that_would_be_lost_is_refused(random: Any) -> None:
    """Lost: the bias inside the reset gate, which PyTorch's GRU has and ours has not."""
    path, module = random("gru")
    module.gru.bias_hh_l0.data[-1] = 0.5
    save_torch(module.state_dict(), path)
    with pytest.raises(IntegrityError, match='"gru.bias_hh_l0" has numbers other than 0 in its last third'):
        dp.import_parameters(path, config_of("gru"))


def _without(state: dict, name: str) -> dict:
    return {one: array for one, array in state.items() if one != name}


def _with(state: dict, name: str, array: Any) -> dict:
    return {**state, name: array}


FLOATS = np.zeros((8, 13), np.float32)
HOSTILE: dict[str, Any] = {  # what is changed, and the lines of the answer
    "a missing name": (lambda s: _without(s, "output.bias"), ['"output.bias" is missing; expected float32 [3]']),
    "one name too many": (
        lambda s: _with(s, "extra.weight", FLOATS), ['"extra.weight" is no parameter of this model']
    ),
    "a slip": (
        lambda s: _with(_without(s, "layer_00.weight"), "layer_00.wieght", FLOATS),
        ['"layer_00.wieght" is no parameter of this model; did you mean "layer_00.weight"?',
         '"layer_00.weight" is missing; expected float32 [8, 13]'],
    ),
    "axes the other way": (
        lambda s: _with(s, "layer_00.weight", FLOATS.T), ['"layer_00.weight" has shape [13, 8], expected [8, 13]']
    ),
    "float64": (
        lambda s: _with(s, "layer_00.weight", FLOATS.astype(np.float64)),
        ['"layer_00.weight" is float64, expected float32; nothing is cast here: convert it before it is saved, with '
         "tensor.to(torch.float32) or array.astype('float32')"],
    ),
    "float16": (
        lambda s: _with(s, "layer_00.weight", FLOATS.astype(np.float16)),
        ['"layer_00.weight" is float16, expected float32; nothing is cast here: convert it before it is saved, with '
         "tensor.to(torch.float32) or array.astype('float32')"],
    ),
    "NaN": (
        lambda s: _with(s, "output.bias", np.float32([1, np.nan, 2])),
        ['"output.bias" holds NaN or infinity, expected numbers'],
    ),
    "a name that speaks to the terminal": (
        lambda s: _with(s, "\x1b[31mred.", FLOATS), ['"\\x1b[31mred." is no parameter of this model']
    ),
    "a flood": (
        lambda s: _with(s, "x", FLOATS) | {f"x{n}": FLOATS for n in range(99)}, [None] * 20 + ["and 80 more like these"]
    ),
    "another model": (
        lambda s: {"a.weight": FLOATS}, ['"a.weight" is no parameter of this model'] + [None] * 6
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_does_not_fit_is_refused_line_by_line(name: str, random: Any, tmp_path: Path) -> None:
    """Lost: a network that is half random, or a wrong number found a week later."""
    change, lines = HOSTILE[name]
    path, _ = random("mlp")
    save_file({one: np.ascontiguousarray(a) for one, a in change(load_file(path)).items()}, path)
    with pytest.raises(IntegrityError) as caught:
        exchange.import_file(path, config_of("mlp"), tmp_path / "out" / "own.safetensors")
    found = str(caught.value).splitlines()
    assert len(found) == len(lines), found
    for line, words in zip(found, lines, strict=True):
        assert line.startswith(f"{path}: ") and (words is None or line.removeprefix(f"{path}: ").startswith(words))
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_a_file_that_is_no_safetensors_is_refused(random: Any, tmp_path: Path) -> None:
    """Lost: a traceback in place of a line. A file of torch.save is read, without unpickling it."""
    path, module = random("mlp")
    torch.save(module.state_dict(), tmp_path / "saved.pth")
    exchange.import_file(tmp_path / "saved.pth", config_of("mlp"), tmp_path / "read.safetensors")
    save_torch({name: weight.bfloat16() for name, weight in module.state_dict().items()}, tmp_path / "half")
    header = json.dumps({"w": {"dtype": "F32", "shape": [9, 9], "data_offsets": [0, 4]}}).encode()
    (tmp_path / "liar").write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 4)
    for bad, words in {"liar": "not a safetensors file",
                       "half": "'layer_00.bias' is 'BF16', which is not read here; convert it before it is saved",
                       "none": "cannot be read", ".": "expected a file, found a folder"}.items():  # fmt: skip
        with pytest.raises(IntegrityError) as caught:
            exchange.import_file(tmp_path / bad, config_of("mlp"), tmp_path / "out")
        assert words in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists() and path.exists()


def test_a_whole_run_is_not_taken_for_one_network(runs: dict[str, Path]) -> None:
    """Lost: which of the seeds it was."""
    with pytest.raises(IntegrityError, match='holds all seeds of a run; take one of them with "export"'):
        dp.import_parameters(runs["mlp"] / "parameters.safetensors", config_of("mlp"))


def test_slips_of_an_export_are_one_line_and_write_nothing(runs: dict[str, Path], tmp_path: Path) -> None:
    """Lost: what to mend; or a file that was there before."""
    out, run = tmp_path / "out", runs["mlp"]
    with pytest.raises(ConfigError, match="seed: found 7; expected one of those kept, 0, 1"):
        dp.export_parameters(run, out, seed=7)
    with pytest.raises(ConfigError, match='--naming: found the string "troch"; .* did you mean "torch"'):
        dp.export_parameters(run, out, naming="troch")
    with pytest.raises(IntegrityError, match="expected the directory of a finished run"):
        dp.export_parameters(tmp_path, out)
    assert not out.exists()
    out.write_text("mine")
    for call in (lambda: dp.export_parameters(run, out), lambda: exchange.import_file(out, config_of("mlp"), out)):
        with pytest.raises(ConfigError, match="exists already and nothing is overwritten"):
            call()
    with pytest.raises(ResourceError, match="cannot be written"):
        dp.export_parameters(run, out / "below")
    assert out.read_text() == "mine"


def test_a_run_without_parameters_is_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    """Lost: why a comparison, which keeps none, has nothing to give."""
    for name in ("config.toml", "manifest.json", "summary.json", "results.nc"):
        (tmp_path / name).write_bytes((runs["mlp"] / name).read_bytes())
    with pytest.raises(IntegrityError, match="is missing; expected the directory of a finished run of train"):
        dp.export_parameters(tmp_path, tmp_path / "out")


def test_the_commands_do_the_same(runs: dict[str, Path], tmp_path: Path) -> None:
    """Lost: the way without Python, its overrides and its exit codes."""

    def command(*words: Any) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, [str(word) for word in words])
        return result.exit_code, result.stdout, result.stderr

    there, own, back = (tmp_path / name for name in ("there", "own", "back"))
    config = runs["mlp"] / "config.toml"
    assert command("export", runs["mlp"], there, "--seed", 1) == (0, f"Parameters: {there}\n", "")
    assert command("export", runs["mlp"], own, "--seed", 1, "--naming", "own")[0] == 0
    assert command("import", there, config, back) == (0, f"Parameters: {back}\n", "")
    assert own.read_bytes() == back.read_bytes()
    code, out, err = command("import", there, config, tmp_path / "wide", "model.width=9")
    assert (code, out) == (4, "") and err.count("error: ") == len(err.splitlines()) == 5
    assert '"layer_00.weight" has shape [8, 13], expected [9, 13]' in err
    code, out, err = command("import", there, config, back)
    assert (code, out) == (2, "") and err.startswith(f"error: {back}: exists already")
    code, out, err = command("import", there, config, tmp_path / "wide", "--naming", "own")
    assert (code, out) == (4, "") and not (tmp_path / "wide").exists()
