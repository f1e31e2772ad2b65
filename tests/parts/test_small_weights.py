"""Rounds, rewinding and random masks, quantization from some step on, factors alone, and what each leaves to store."""

import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepprinciples.kernels.storage import Stored
from deepprinciples.parts import weights

RANDOM = np.random.default_rng(5)
PARAMS = {
    "layer_00": {"kernel": RANDOM.normal(size=(6, 5)).astype(np.float32), "bias": np.ones(5, np.float32)},
    "output": {"kernel": RANDOM.normal(size=(5, 4)).astype(np.float32)},
}
KEY = jax.random.key(0)


def begun(name, key=KEY, params=PARAMS, **hypers):
    """Begin a reparameterization over ten steps: itself, what is stored and its state."""
    steps = {"steps": 10} if "steps" in inspect.signature(weights.TABLE[name]).parameters else {}
    one = weights.TABLE[name](**hypers, **steps)
    return one, *one.init(key, jax.tree.map(jnp.asarray, params))


def removed(state):
    return ~np.concatenate([np.asarray(mask).ravel() for mask in state["masks"].values()])


def kernels(params):
    return np.concatenate([np.asarray(params[layer]["kernel"]).ravel() for layer in PARAMS])


def test_rounds_remove_the_same_share_of_what_is_left_and_keep_it_removed():
    """Lost: iterative pruning that brings weights back, or ends at another sparsity than it was asked for."""
    one, stored, state = begun("prune", sparsity=0.75, rounds=2, end=1.0)
    counts, masks = [], []
    for _ in range(10):
        stored, state = jax.jit(one.after)(stored, state)
        counts.append(int(removed(state).sum()))
        masks.append(removed(state))
        if counts[-1] == 25:  # the removed ones grow: by size alone they would come back
            stored = jax.tree.map(lambda v: jnp.where(v == 0, v, 1e3 / v), stored)
    assert counts == [0] * 4 + [25] * 5 + [38]  # 1 - (1 - 0.75)^(1/2) = 0.5 of 50, then round(37.5)
    assert np.all(masks[9][masks[4]])
    np.testing.assert_array_equal(masks[4], np.abs(kernels(PARAMS)) <= np.sort(np.abs(kernels(PARAMS)))[24])


def test_one_round_at_the_start_prunes_before_the_first_step():
    """Lost: an arm that is pruned at initialization, which would train dense instead."""
    _, _, state = begun("prune", sparsity=0.4, rounds=1, begin=0.0, end=0.0)
    assert removed(state).sum() == 20


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_a_random_mask_knows_nothing_of_the_weights(scope):
    """Lost: the control of every claim about masks: one that looks at magnitudes after all, or that all seeds share."""
    masks = {}
    for name, params, key in (
        ("plain", PARAMS, KEY),
        ("other weights", jax.tree.map(lambda v: v[::-1], PARAMS), KEY),
        ("other seed", PARAMS, jax.random.key(1)),
    ):
        one, stored, state = begun("prune", key, params, sparsity=0.6, score="random", scope=scope, rounds=3, end=0.9)
        seen = []
        for _ in range(10):
            stored, state = jax.jit(one.after)(stored, state)
            seen.append(removed(state))
        assert all(np.all(after[before]) for before, after in zip(seen, seen[1:], strict=False))
        assert seen[-1].sum() == 30
        masks[name] = seen[-1]
    np.testing.assert_array_equal(masks["plain"], masks["other weights"])
    assert np.any(masks["plain"] != masks["other seed"])


def test_every_round_rewinds_and_redrawn_weights_are_the_same_in_another_order():
    """Lost: a second round that goes on from the first, or redrawn weights of another distribution."""
    grown = jax.tree.map(lambda v: 1.5 * v, PARAMS)
    for redraw in (False, True):
        one, stored, state = begun("prune", rounds=2, end=1.0, rewind=True, redraw=redraw)
        for step in range(1, 11):
            stored, state = jax.jit(one.after)(jax.tree.map(jnp.asarray, grown), state)
            back = step in (5, 10)
            for layer in PARAMS:
                found, start = np.asarray(stored[layer]["kernel"]), PARAMS[layer]["kernel"]
                expected = start if back else grown[layer]["kernel"]
                assert np.array_equal(np.sort(found.ravel()), np.sort(expected.ravel()))
                assert np.array_equal(found, expected) == (not (back and redraw))
        assert removed(state).sum() == 25


def test_late_rewinding_shuffles_what_was_recorded():
    """Lost: redrawn weights that are those of the initialization where later ones were asked for."""
    one, stored, state = begun("prune", rounds=1, end=0.5, rewind=True, rewind_to=0.2, redraw=True)
    walked = [jax.tree.map(lambda v, k=k: (1.0 + k) * jnp.asarray(v), PARAMS) for k in range(6)]
    for step in range(1, 6):
        stored, state = jax.jit(one.after)(walked[step], state)
    np.testing.assert_array_equal(np.sort(kernels(stored)), np.sort(kernels(walked[2])))


def test_weights_are_rounded_from_the_step_on_that_was_asked_for():
    """Lost: quantization after training that training has seen, or that no evaluation does."""
    for begin, first in ((0.0, 0), (0.5, 5), (1.0, 10)):
        one, stored, state = begun("quantize", bits=2.0, begin=begin)
        for step in range(11):
            same = np.array_equal(kernels(one.apply(stored, state)), kernels(PARAMS))
            assert same == (step < first)
            stored, state = one.after(stored, state)


def test_factors_alone_begin_as_the_nearest_of_their_rank():
    """Lost: a small network whose full weights are stored beside it, or that begins from nowhere."""
    params = {"conv": {"kernel": RANDOM.normal(size=(3, 3, 2, 7)).astype(np.float32)}}
    one, stored, state = begun("low_rank", params=params, rank=2, base="none")
    assert jax.tree.map(jnp.shape, stored) == {"conv": {"kernel": {"a": (3, 3, 2, 2), "b": (2, 7)}}} and not state
    found = np.asarray(one.apply(stored, state)["conv"]["kernel"])
    u, s, v = np.linalg.svd(params["conv"]["kernel"].reshape(18, 7), full_matrices=False)
    np.testing.assert_allclose(found.reshape(18, 7), (u[:, :2] * s[:2]) @ v[:2], atol=1e-5)


def arrays_of(stored):
    leaves = jax.tree_util.tree_leaves_with_path(stored)
    name = lambda path: "/".join(str(one.key) for one in path)
    return {name(path): Stored(np.shape(leaf), np.size(leaf), 32) for path, leaf in leaves}


@pytest.mark.parametrize(("name", "hypers", "values", "size"), [
    ("prune", {"sparsity": 0.0}, 55, 220),
    ("prune", {"sparsity": 0.5}, 30, 4 * 30 + 4 + 3),  # 25 of 50 left and the bias; maps of 30 and 20 bits
    ("prune", {"sparsity": 0.5, "scope": "layer"}, 30, 4 * 30 + 4 + 3),
    ("quantize", {"bits": math.inf}, 55, 220),
    ("quantize", {"bits": 8.0}, 55, 50 + 4 * (5 + 4) + 20),  # a byte each, nine scales, the bias
    ("quantize", {"bits": 2.0}, 55, 8 + 5 + 4 * (5 + 4) + 20),  # 60 and 40 bits
    ("low_rank", {"rank": 1, "base": "none"}, 6 + 5 + 5 + 4 + 5, 4 * 25),
    ("low_rank", {"rank": 1}, 6 + 5 + 5 + 4 + 5, 4 * 25 + 4 * 50),
])  # fmt: skip
def test_what_is_left_to_store_by_hand(name, hypers, values, size):
    """Lost: the size that a verdict on small networks rests on."""
    one, stored, _ = begun(name, **hypers)
    found = one.sizes(arrays_of(stored))
    assert sum(entry.values for entry in found.values()) == values
    assert sum(entry.size for entry in found.values()) == size
    used = one.apply(*one.init(KEY, jax.tree.map(jnp.asarray, PARAMS)))
    assert set(found) == {"layer_00/kernel", "layer_00/bias", "output/kernel"} == set(arrays_of(used))


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("sparsity", [0.13, 0.5, 0.97, 1.0])
def test_the_weights_counted_are_those_that_are_not_zero(scope, sparsity):
    """Lost: a count on paper that the masks do not keep."""
    one, stored, state = begun("prune", sparsity=sparsity, scope=scope, rounds=3, end=1.0)
    for _ in range(10):
        stored, state = jax.jit(one.after)(stored, state)
    found = one.sizes(arrays_of(stored))
    left = sum(entry.values for name, entry in found.items() if "kernel" in name)
    assert left == np.count_nonzero(kernels(one.apply(stored, state)))


def test_sizes_follow_the_order_of_the_table():
    """Lost: factors in eight bits that are counted as if they were floats, or pruned weights counted whole."""
    quantize, factors = begun("quantize")[0], begun("low_rank", rank=1, base="none")
    found = factors[0].sizes(quantize.sizes(arrays_of(factors[1])))
    assert found["layer_00/kernel"].size == (6 + 4 * 1) + (5 + 4 * 5)  # one scale for A, five for B
    prune = begun("prune", sparsity=0.5)[0]
    found = quantize.sizes(prune.sizes(arrays_of(PARAMS)))
    assert found["layer_00/kernel"].size == 15 + 4 + 4 * 5
