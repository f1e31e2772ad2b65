"""Randomness as a function of (seed, stream, step): what makes lanes paired and runs repeatable."""

import zlib

import jax
import numpy as np
import pytest
from toy import order_by_hand

from deepprinciples.engine.streams import batch_indices, lane_key
from deepprinciples.kernels.keys import stream

SIZE, BATCH = 20, 3


def draw(seed, start, steps, *, size=SIZE, batch_size=BATCH):
    return batch_indices(seed, start, steps=steps, size=size, batch_size=batch_size)


def test_an_epoch_shows_no_example_twice():
    """Some examples would be learned twice an epoch and others never."""
    rows = draw(3, 0, 24).reshape(4, -1)  # 4 epochs of 6 batches
    for epoch in rows:
        assert len(set(epoch)) == 18 and min(epoch) >= 0 and max(epoch) < SIZE
    left_out = [set(range(SIZE)) - set(epoch) for epoch in rows]
    assert len({frozenset(rest) for rest in left_out}) > 1, "the same examples are left out of every epoch"


def test_a_whole_epoch_is_a_permutation():
    """Examples would be lost though the batch size divides the data."""
    for epoch in draw(0, 0, 15, size=20, batch_size=4).reshape(3, 20):
        assert sorted(epoch) == list(range(20))


def test_one_batch_may_be_all_the_data():
    """Full-batch training would fail or see the data twice."""
    for row in draw(0, 5, 3, size=4, batch_size=4):
        assert sorted(row) == [0, 1, 2, 3]


@pytest.mark.parametrize("cut", [1, 4, 7])
def test_the_order_does_not_depend_on_how_a_run_is_cut(cut):
    """Another evaluation interval would train on other batches: the arms of two studies would not be comparable."""
    whole = draw(7, 0, 28)
    pieces = [draw(7, start, cut) for start in range(0, 28, cut)]
    np.testing.assert_array_equal(np.concatenate(pieces)[:28], whole)


def test_the_order_is_the_recipe_in_words():
    """The contract that makes a lane repeatable elsewhere would be broken: (seed, "order", epoch) decides."""
    np.testing.assert_array_equal(draw(2**32 - 1, 0, 28), order_by_hand(2**32 - 1, 28))


def test_seeds_and_epochs_have_orders_of_their_own():
    """Replicates would share their batches, and an interval over seeds would be too narrow."""
    orders = [tuple(draw(seed, 0, 6).ravel()) for seed in (0, 1, 2**31, 2**32 - 1)]
    orders += [tuple(epoch) for epoch in draw(0, 6, 18).reshape(3, -1)]
    assert len(set(orders)) == len(orders)


def test_every_example_is_as_likely_as_any_other():
    """A biased order would be a hidden reweighting of the data: mean count n/5, standard deviation sqrt(n .2 .8)."""
    n = 2000
    first = [batch_indices(seed, 0, steps=1, size=5, batch_size=1).item() for seed in range(n)]
    counts = np.bincount(first, minlength=5)
    assert np.all(abs(counts - n / 5) < 4 * np.sqrt(n * 0.2 * 0.8)), counts


def test_streams_are_told_apart_by_name():
    """Dropout would be drawn from the numbers that drew the weights."""
    key, names = lane_key(0), ("init", "order", "dropout", "noise", "step")
    data = {name: tuple(np.asarray(jax.random.key_data(stream(key, name)))) for name in names}
    assert len(set(data.values())) == len(data)
    by_hand = jax.random.fold_in(jax.random.key(0, impl="threefry2x32"), zlib.crc32(b"init"))
    np.testing.assert_array_equal(jax.random.key_data(stream(key, "init")), jax.random.key_data(by_hand))


def test_keys_are_threefry_whatever_the_default():
    """Under `rbg`, vmapped lanes draw from the first lane's key only."""
    with jax.default_prng_impl("rbg"):
        assert "fry" in str(jax.random.key_impl(lane_key(0)))
