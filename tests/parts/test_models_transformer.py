"""The transformer against one written with PyTorch's own layers, and its outputs one position at a time."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.nn import functional

from deepprinciples.parts.transformers import TABLE

IDS = np.random.default_rng(0).integers(0, 11, (3, 7))
PLAIN: dict[str, Any] = {"outputs": 11, "vocabulary": 11, "width": 16, "initializer": "glorot_uniform"}
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "post": {"norm_place": "post", "positions": "alibi", "branch_scale": 0.5, "stream_scale": 0.9,
             "kernels": "stock"},
    "modern": {
        "positions": "rotary", "key_heads": 2, "qk_norm": True, "glu": True, "normalization": "rms", "tied": True,
        "soft_cap": 2.0, "activation": "silu", "hidden": 20,
    },
    "waves": {"positions": "sinusoidal", "normalization": "none", "causal": False, "padding": 0},
}  # fmt: skip


def made(**changes: Any) -> tuple[Any, Any]:
    """Build a transformer with random weights and biases everywhere."""
    model = TABLE["transformer"](**{**PLAIN, **changes})
    params, _ = model.init(jax.random.key(0), jnp.asarray(IDS))
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    moved = [leaf + 0.2 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    return model, jax.tree.unflatten(structure, moved)


def twin(params: Any, **changes: Any) -> tuple[dict[str, np.ndarray], torch.Tensor]:
    """Compute what the transformer gives, positions before features, with the functions of PyTorch."""
    given = {"heads": 4, "key_heads": 0, "causal": True, "positions": "learned", "qk_norm": False, "soft_cap": math.inf,
             "glu": False, "norm_place": "pre", "normalization": "layer", "tied": False, "padding": -1,
             "branch_scale": 1.0, "stream_scale": 1.0, "activation": "gelu", **changes}  # fmt: skip
    weights = jax.tree.map(lambda leaf: torch.tensor(np.asarray(leaf)), params)
    ids, size, count = torch.tensor(IDS), 16 // 4, IDS.shape[1]
    act = {"gelu": functional.gelu, "silu": functional.silu}[given["activation"]]

    def norm(x: torch.Tensor, one: Any) -> torch.Tensor:
        if given["normalization"] == "none":
            return x
        if given["normalization"] == "rms":
            return functional.rms_norm(x, x.shape[-1:], one["scale"], eps=1e-6)
        return functional.layer_norm(x, x.shape[-1:], one["scale"], one["bias"], eps=1e-6)

    def linear(x: torch.Tensor, one: Any) -> torch.Tensor:
        return functional.linear(x, one["kernel"].T, one["bias"])

    x = weights["embedding"]["tokens"][ids]
    place = torch.arange(count, dtype=torch.float32)
    if given["positions"] == "learned":
        x = x + weights["embedding"]["positions"]
    if given["positions"] == "sinusoidal":
        angles = place[:, None] * 10_000.0 ** (-torch.arange(8) / 8)
        x = x + torch.cat([angles.sin(), angles.cos()], dim=1)
    bias = torch.zeros(1, 4, count, count)
    apart = place[:, None] - place[None, :]  # [query, key]
    if given["positions"] == "alibi":
        bias = bias - torch.tensor([1 / 4, 1 / 16, 1 / 64, 1 / 256])[None, :, None, None] * apart.abs()
    if given["causal"]:
        bias = bias.masked_fill(apart < 0, -math.inf)
    if given["padding"] >= 0:
        bias = bias.masked_fill((ids == given["padding"])[:, None, None, :], -math.inf)
    seen = {}
    for name in ("layer_00", "layer_01"):
        w = weights[name]

        def attend(x: torch.Tensor, w: Any = w["attention"]) -> torch.Tensor:
            maps = [linear(x, w[name]) for name in ("query", "key", "value")]
            q, k, v = (one.unflatten(2, (-1, size)).transpose(1, 2) for one in maps)
            if given["qk_norm"]:
                q, k = (
                    functional.rms_norm(a, (size,), w[f"{n}_scale"], eps=1e-6) for a, n in ((q, "query"), (k, "key"))
                )
            if given["positions"] == "rotary":
                angles = place[:, None] * 10_000.0 ** (-torch.arange(size // 2) / (size // 2))
                turn = torch.polar(torch.ones_like(angles), angles)
                pair = lambda a: torch.complex(*a.chunk(2, dim=-1)) * turn
                q, k = (torch.cat([pair(a).real, pair(a).imag], dim=-1) for a in (q, k))
            k, v = (a.repeat_interleave(4 // a.shape[1], dim=1) for a in (k, v))
            scores = q @ k.transpose(2, 3) / math.sqrt(size)
            if given["soft_cap"] < math.inf:
                scores = given["soft_cap"] * torch.tanh(scores / given["soft_cap"])
                y = torch.softmax(scores + bias, dim=-1) @ v
            else:
                y = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias.expand(len(ids), -1, -1, -1))
            return linear(y.transpose(1, 2).flatten(2), w["output"])

        def think(x: torch.Tensor, w: Any = w["mlp"]) -> torch.Tensor:
            y = act(linear(x, w["hidden"]))
            return linear(y * linear(x, w["gate"]) if given["glu"] else y, w["output"])

        for branch, one in ((attend, "attention_norm"), (think, "mlp_norm")):
            if given["norm_place"] == "pre":
                x = given["stream_scale"] * x + given["branch_scale"] * branch(norm(x, w.get(one)))
            else:
                x = norm(given["stream_scale"] * x + given["branch_scale"] * branch(x), w.get(one))
        seen[name] = x.numpy()
    x = norm(x, weights["output"].get("norm")) if given["norm_place"] == "pre" else x
    if given["tied"]:
        return seen, x @ weights["embedding"]["tokens"].T + weights["output"]["bias"]
    return seen, linear(x, weights["output"]["linear"])


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_and_stream_are_those_of_pytorch(kind: str) -> None:
    """Lost: a head that reads another's keys, a norm at another place, a wrong turn."""
    model, params = made(**KINDS[kind])
    seen, expected = twin(params, **KINDS[kind])
    outputs, _, activations = jax.jit(lambda p: model.apply(p, {}, IDS, key=None, train=False))(params)
    for name, one in seen.items():
        np.testing.assert_allclose(activations[name], one, rtol=1e-5, atol=2e-5)
    np.testing.assert_allclose(outputs, expected.numpy(), rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("kind", ["plain", "post", "modern"])
def test_one_position_at_a_time_is_the_same(kind: str) -> None:
    """Lost: generated text from another model than the one that was trained."""
    model, params = made(**KINDS[kind])
    whole, _, _ = jax.jit(lambda p: model.apply(p, {}, IDS, key=None, train=False))(params)
    advance, carry, found = jax.jit(model.unroll.advance), model.unroll.begin(3, 7), []
    for ids in IDS.T:
        outputs, carry = advance(params, {}, carry, ids)
        found.append(outputs)
    np.testing.assert_allclose(np.stack(found, axis=1), whole, rtol=1e-5, atol=1e-5)


def test_a_causal_one_does_not_see_what_comes() -> None:
    """Lost: a language model that reads the answer."""
    model, params = made()
    changed = np.where(np.arange(7) == 4, (IDS + 1) % 11, IDS)
    apply = jax.jit(lambda ids: model.apply(params, {}, ids, key=None, train=False)[0])
    before, after = apply(IDS), apply(changed)
    np.testing.assert_array_equal(before[:, :4], after[:, :4])
    assert (np.abs(before[:, 4:] - after[:, 4:]).max(axis=(0, 2)) > 1e-3).all()


def test_readouts_leave_padding_out() -> None:
    """Lost: a class that depends on how far the batch was filled up."""
    short, long = np.array([[3, 4, 5]]), np.array([[3, 4, 5, 0, 0]])
    for readout in ("last", "mean", "first"):
        model = TABLE["transformer"](outputs=2, vocabulary=9, width=8, causal=False, padding=0, readout=readout)
        params, _ = model.init(jax.random.key(0), long)
        outputs = [model.apply(params, {}, ids, key=None, train=False)[0] for ids in (short, long)]
        assert outputs[0].shape == (1, 2)
        np.testing.assert_allclose(*outputs, rtol=1e-5, atol=1e-6)
    empty = model.apply(params, {}, np.zeros((1, 5), int), key=None, train=False)[0]
    assert np.isfinite(empty).all()


@pytest.mark.parametrize(("changes", "words"), [
    ({"heads": 3}, "transformer.heads: found 3, expected a divisor of width = 16"),
    ({"key_heads": 3}, "transformer.key_heads: found 3, expected a divisor of heads = 4, or 0"),
    ({"positions": "rotary", "heads": 16}, "transformer.positions: rotary turns pairs; found heads of 1 features"),
    ({"tied": True, "outputs": 3}, "transformer.tied: found 3 outputs and a vocabulary of 11"),
])  # fmt: skip
def test_what_cannot_be_built_is_one_line(changes: dict[str, Any], words: str) -> None:
    """Lost: an error about shapes deep in a product."""
    with pytest.raises(ValueError) as caught:
        TABLE["transformer"](**{**PLAIN, **changes})
    assert str(caught.value).startswith(words) and "\n" not in str(caught.value)


def test_a_longer_sequence_is_refused_by_learned_positions() -> None:
    """Lost: positions that wrap around in silence."""
    model, params = made()
    with pytest.raises(ValueError, match="found 8 positions, expected 7 or fewer"):
        model.apply(params, {}, np.zeros((1, 8), int), key=None, train=False)
    model, params = made(positions="rotary")
    assert model.apply(params, {}, np.zeros((1, 8), int), key=None, train=False)[0].shape == (1, 8, 11)


def test_a_gain_scales_the_last_kernels_of_branches_alone() -> None:
    """Lost: residual scaling that changes the queries too, or nothing."""
    whole, half = (
        TABLE["transformer"](**PLAIN, output_gain=gain).init(jax.random.key(0), jnp.asarray(IDS))[0]
        for gain in (1.0, 0.5)
    )
    for part in ("attention", "mlp"):
        last = [one["layer_00"][part]["output"]["kernel"] for one in (whole, half)]
        np.testing.assert_allclose(0.5 * last[0], last[1], rtol=1e-6)
    np.testing.assert_array_equal(
        whole["layer_00"]["mlp"]["hidden"]["kernel"], half["layer_00"]["mlp"]["hidden"]["kernel"]
    )
