"""The recurrent encoder and decoder, against PyTorch's recurrent modules and an attention written out."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from deepprinciples.parts.models import TABLE

RNG = np.random.default_rng(0)
SOURCE = np.where(np.arange(6) < [[6], [4], [2]], RNG.integers(1, 11, (3, 6)), 0)
TARGET = RNG.integers(1, 11, (3, 5))
BOTH = {"source": SOURCE, "target": TARGET}
H = 4


def made(**changes: Any) -> tuple[Any, Any]:
    """Build a small model, all weights and biases moved away from where they start."""
    given = {"outputs": 11, "vocabulary": 11, "width": H, "embedding": 3, "recurrent_initializer": "glorot_uniform"}
    model = TABLE["seq2seq"](**{**given, **changes})
    params, _ = jax.jit(model.init)(jax.random.key(0), BOTH)
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    moved = [leaf + 0.3 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    return model, jax.tree.unflatten(structure, moved)


def outputs_of(model: Any, params: Any, inputs: Any = BOTH) -> Any:
    return jax.jit(lambda p, x: model.apply(p, {}, x, key=None, train=False)[0])(params, inputs)


def twin(params: Any, cell: str, attention: str, depth: int) -> np.ndarray:
    """Compute the outputs: the encoder by one module of PyTorch's, the decoder by its cells."""
    w = jax.tree.map(lambda leaf: torch.tensor(np.asarray(leaf)), params)

    def fill(into: Any, one: Any, end: str) -> None:
        values = {"weight_ih": one["input"]["kernel"].T, "weight_hh": one["recurrent"]["kernel"].T}
        values |= {"bias_ih": one["input"]["bias"], "bias_hh": torch.zeros_like(one["input"]["bias"])}
        for name, value in values.items():
            getattr(into, name + end).data = value.contiguous()

    both = "encoder_00" in w and "backward" in w["encoder_00"]
    encoder = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn": nn.RNN}[cell](3, H, depth, batch_first=True, bidirectional=both)
    for number in range(depth):
        for direction, end in (("forward", ""), ("backward", "_reverse"))[: 2 if both else 1]:
            fill(encoder, w[f"encoder_{number:02d}"][direction], f"_l{number}{end}")
    lengths = torch.tensor((SOURCE != 0).sum(1))
    embedded = w["source_embedding"]["embedding"][torch.tensor(SOURCE)]
    packed, last = encoder(pack_padded_sequence(embedded, lengths, batch_first=True))
    memory, _ = pad_packed_sequence(packed, batch_first=True)
    last = last[0] if cell == "lstm" else last
    ends = torch.cat([last[-2], last[-1]], -1) if both else last[-1]
    begun = ends @ w["bridge"]["kernel"] + w["bridge"]["bias"]
    kinds = 2 if cell == "lstm" else 1
    states = begun.reshape(3, depth, kinds, H).permute(1, 2, 0, 3).unbind(0)
    states = [(torch.tanh(one[0]), *one[1:]) for one in states]
    cells = []
    for number in range(depth):
        one = w[f"decoder_{number:02d}"]
        module = {"gru": nn.GRUCell, "lstm": nn.LSTMCell, "rnn": nn.RNNCell}[cell](one["input"]["kernel"].shape[0], H)
        fill(module, one, "")
        cells.append(module)
    keys = memory @ w["keys"]["kernel"] if attention != "none" else None

    def look(h: torch.Tensor) -> torch.Tensor:
        if attention == "additive":
            query = h @ w["attention"]["query"]["kernel"] + w["attention"]["query"]["bias"]
            scores = (torch.tanh(query[:, None] + keys) @ w["attention"]["score"]["kernel"])[..., 0]
        else:
            scores = (keys @ h[:, :, None])[..., 0]
        scores = scores.masked_fill(torch.tensor(SOURCE == 0), -torch.inf)
        return (torch.softmax(scores, -1)[..., None] * memory).sum(1)

    found = []
    for step in range(5):
        x = w["embedding"]["embedding"][torch.tensor(TARGET[:, step])]
        context = look(states[0][0]) if attention == "additive" else None
        x = x if context is None else torch.cat([x, context], -1)
        for number, module in enumerate(cells):
            new = module(x, states[number] if cell == "lstm" else states[number][0])
            states[number] = new if cell == "lstm" else (new,)
            x = states[number][0]
        if attention != "none":
            context = look(x) if context is None else context
            one = w["attention"]["output"]
            x = torch.tanh(torch.cat([x, context], -1) @ one["kernel"] + one["bias"])
        found.append(x @ w["output"]["kernel"] + w["output"]["bias"])
    return torch.stack(found, 1).detach().numpy()


CASES = [
    {"cell": "gru", "attention": "additive", "depth": 2, "bidirectional": False},
    {"cell": "lstm", "attention": "multiplicative"},
    {"cell": "gru", "attention": "none"},
]


@pytest.mark.parametrize("changes", CASES)
def test_outputs_are_those_of_pytorch_and_of_one_token_at_a_time(changes: dict[str, Any]) -> None:
    """Lost: an attention that reads padding, a first state of another layer, or a translation of another model."""
    model, params = made(**changes)
    whole = outputs_of(model, params)
    expected = twin(params, changes["cell"], changes["attention"], changes.get("depth", 1))
    np.testing.assert_allclose(whole, expected, rtol=1e-5, atol=1e-5)

    @jax.jit
    def one_by_one(params: Any) -> Any:
        def step(carry: Any, ids: Any) -> Any:
            outputs, carry = model.unroll.advance(params, {}, carry, ids)
            return carry, outputs

        return jax.lax.scan(step, model.unroll.begin(params, {}, jnp.asarray(SOURCE), 5), jnp.asarray(TARGET.T))[1]

    np.testing.assert_allclose(one_by_one(params).swapaxes(0, 1), whole, rtol=1e-5, atol=1e-6)


def test_gradients_reach_all_weights_and_activations_have_the_names_of_the_layers() -> None:
    """Lost: an encoder that stays as it was drawn, or a layer that no probe finds."""
    model, params = made(dropout=0.3)
    _, _, seen = jax.eval_shape(lambda p: model.apply(p, {}, BOTH, key=None, train=False), params)
    names = {name for name in seen if "." not in name}
    assert names == set(params)

    @jax.jit
    def told(params: Any, pushes: Any, key: Any) -> Any:
        def loss(params: Any, pushes: Any) -> Any:
            return jnp.sum(model.apply(params, {"perturbations": pushes}, BOTH, key=key, train=True)[0] ** 2)

        return jax.value_and_grad(loss, argnums=(0, 1))(params, pushes)

    zeros = {name: jnp.zeros(seen[name].shape) for name in names}
    value, (grads, pushes) = told(params, zeros, jax.random.key(0))
    assert all(float(jnp.abs(one).max()) > 0 for one in jax.tree.leaves((grads, pushes)))
    assert abs(value - told(params, zeros, jax.random.key(1))[0]) > 1e-3  # of other units that are dropped
    # What is added to a state moves all later outputs, so much as its gradient tells.
    pushed = zeros["decoder_00"].at[:, 1].add(1e-2)
    ahead, back = (told(params, {**zeros, "decoder_00": sign * pushed}, jax.random.key(0))[0] for sign in (1, -1))
    np.testing.assert_allclose((ahead - back) / 2e-2, pushes["decoder_00"][:, 1].sum(), rtol=2e-2)


@pytest.mark.parametrize(("inputs", "words"), [
    (SOURCE, "seq2seq: inputs must be .*; found an array; use model transformer or gru"),
    ({"source": SOURCE.astype(np.float32)[..., None], "target": TARGET}, "seq2seq: .*token ids.*; found floats"),
])  # fmt: skip
def test_other_inputs_are_one_line(inputs: Any, words: str) -> None:
    """Lost: a key error."""
    with pytest.raises(ValueError, match=words):
        TABLE["seq2seq"](outputs=3, vocabulary=11).init(jax.random.key(0), inputs)
