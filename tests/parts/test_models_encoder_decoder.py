"""The encoder with a decoder, against one written with PyTorch's functions."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.nn import functional

from deepprinciples.parts.transformers import TABLE

RNG = np.random.default_rng(0)
SOURCE = np.where(np.arange(6) < [[6], [4], [2]], RNG.integers(1, 11, (3, 6)), 0)
TARGET = RNG.integers(1, 11, (3, 5))
BOTH = {"source": SOURCE, "target": TARGET}


def made(**changes: Any) -> tuple[Any, Any]:
    given = {"outputs": 11, "vocabulary": 11, "width": 16, **changes}
    model = TABLE["encoder_decoder"](**given)
    params, _ = model.init(jax.random.key(0), jax.tree.map(jnp.asarray, BOTH))
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    moved = [leaf + 0.2 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    return model, jax.tree.unflatten(structure, moved)


def outputs_of(model: Any, params: Any, inputs: Any = BOTH) -> Any:
    return jax.jit(lambda p, x: model.apply(p, {}, x, key=None, train=False)[0])(params, inputs)


def twin(params: Any) -> np.ndarray:
    """Compute the outputs with positions before features, norms before branches."""
    w = jax.tree.map(lambda leaf: torch.tensor(np.asarray(leaf)), params)
    linear = lambda x, one: functional.linear(x, one["kernel"].T, one["bias"])
    norm = lambda x, one: functional.layer_norm(x, x.shape[-1:], one["scale"], one["bias"], eps=1e-6)
    heads = lambda x: x.unflatten(2, (4, 4)).transpose(1, 2)
    hidden = torch.tensor(SOURCE == 0)[:, None, None, :]

    def attend(x: torch.Tensor, others: torch.Tensor, one: Any, mask: torch.Tensor) -> torch.Tensor:
        q, k, v = (heads(linear(a, one[n])) for a, n in ((x, "query"), (others, "key"), (others, "value")))
        y = functional.scaled_dot_product_attention(q, k, v, attn_mask=~mask)
        return linear(y.transpose(1, 2).flatten(2), one["output"])

    def think(x: torch.Tensor, one: Any) -> torch.Tensor:
        return linear(functional.gelu(linear(x, one["hidden"])), one["output"])

    x = w["source_embedding"]["tokens"][torch.tensor(SOURCE)] + w["source_embedding"]["positions"]
    for name in ("encoder_00", "encoder_01"):
        b = w[name]
        y = norm(x, b["attention_norm"])
        x = x + attend(y, y, b["attention"], hidden)
        x = x + think(norm(x, b["mlp_norm"]), b["mlp"])
    memory = norm(x, w["memory"])
    later = torch.ones(5, 5).triu(1).bool()[None, None]
    x = w["embedding"]["tokens"][torch.tensor(TARGET)] + w["embedding"]["positions"]
    for name in ("decoder_00", "decoder_01"):
        b = w[name]
        y = norm(x, b["attention_norm"])
        x = x + attend(y, y, b["attention"], later)
        x = x + attend(norm(x, b["memory_norm"]), memory, b["memory"], hidden)
        x = x + think(norm(x, b["mlp_norm"]), b["mlp"])
    return linear(norm(x, w["output"]["norm"]), w["output"]["linear"]).numpy()


def test_outputs_are_those_of_pytorch() -> None:
    """Lost: a decoder that reads its own keys where the source's belong, or padding."""
    model, params = made()
    np.testing.assert_allclose(outputs_of(model, params), twin(params), rtol=1e-5, atol=3e-5)


@pytest.mark.parametrize("changes", [
    {"positions": "rotary", "norm_place": "post", "key_heads": 2},
    {"positions": "alibi", "qk_norm": True, "tied": True},
])  # fmt: skip
def test_what_is_read_is_the_source_and_what_was_written(changes: dict[str, Any]) -> None:
    """Lost: a translation that reads its answer, or nothing of the source."""
    model, params = made(**changes)
    before = outputs_of(model, params)
    later = outputs_of(model, params, {**BOTH, "target": np.where(np.arange(5) == 3, TARGET % 10 + 1, TARGET)})
    np.testing.assert_array_equal(before[:, :3], later[:, :3])
    assert np.abs(before[:, 3:] - later[:, 3:]).max() > 1e-3
    other = outputs_of(model, params, {**BOTH, "source": np.where(np.arange(6) == 1, SOURCE % 10 + 1, SOURCE)})
    assert (np.abs(before - other).max(axis=(1, 2)) > 1e-4).all()
    filled = outputs_of(model, params, {**BOTH, "source": np.pad(SOURCE[:, :6], ((0, 0), (0, 3)))})
    np.testing.assert_allclose(before, filled, rtol=1e-4, atol=1e-5)


def test_gradients_reach_the_encoder_and_activations_have_the_names_of_the_layers() -> None:
    """Lost: an encoder that stays as it was drawn, or a layer that no probe finds."""
    model, params = made(depth=1)
    _, _, seen = model.apply(params, {}, BOTH, key=None, train=False)
    assert {name for name in seen if "." not in name} == set(params)
    grads = jax.grad(lambda p: jnp.sum(model.apply(p, {}, BOTH, key=None, train=False)[0] ** 2))(params)
    assert all(float(jnp.abs(one).max()) > 0 for one in jax.tree.leaves(grads["encoder_00"]["mlp"]))


@pytest.mark.parametrize(("inputs", "words"), [
    (SOURCE, "encoder_decoder: inputs must be .*; found an array; use model transformer"),
    ({"source": SOURCE, "words": TARGET}, "found a table of source, words"),
])  # fmt: skip
def test_other_inputs_are_one_line(inputs: Any, words: str) -> None:
    """Lost: a key error."""
    with pytest.raises(ValueError, match=words):
        TABLE["encoder_decoder"](outputs=3, vocabulary=11).init(jax.random.key(0), inputs)
