"""Keys against JAX's own derivation, bit by bit."""

import jax
import numpy as np
import pytest

from deepprinciples.kernels.keys import bits, fold_in

DATA = [0, 1, 77, 2**31, 2**32 - 1]


def words(key):
    return np.asarray(jax.random.key_data(key))


@pytest.mark.parametrize("make", [jax.random.key, jax.random.PRNGKey, lambda seed: jax.random.key(seed, impl="rbg")])
def test_a_key_is_folded_as_jax_does(make):
    """Paired lanes would lose their pairing with runs of another version, or a key of another kind be misread."""
    for seed in (0, 3, 2**31 - 1):
        for data in DATA:
            np.testing.assert_array_equal(words(fold_in(make(seed), data)), words(jax.random.fold_in(make(seed), data)))


def test_many_keys_and_numbers_at_once():
    """Lanes that run vmapped would draw other numbers."""
    keys, data = jax.random.split(jax.random.key(5), len(DATA)), np.array(DATA, np.uint32)
    found = jax.jit(jax.vmap(fold_in))(keys, data)
    np.testing.assert_array_equal(words(found), words(jax.vmap(jax.random.fold_in)(keys, data)))


@pytest.mark.parametrize("make", [jax.random.key, lambda seed: jax.random.key(seed, impl="rbg")])
@pytest.mark.parametrize("count", [1, 7, 4096])
def test_bits_are_those_of_jax(make, count):
    """The order of examples would change, and a run that is resumed or repeated would see other batches."""
    keys = jax.random.split(make(9), 3)
    np.testing.assert_array_equal(bits(keys[1], (count,)), jax.random.bits(keys[1], (count,)))
    together = jax.vmap(lambda key: bits(key, (count,)))(keys)
    if make is jax.random.key:  # rbg under vmap draws from the first key only, whoever draws
        np.testing.assert_array_equal(together, [jax.random.bits(key, (count,)) for key in keys])


@pytest.mark.filterwarnings("ignore:.*jax_threefry_partitionable.*")
def test_bits_follow_a_setting_of_jax():
    """Where a user asks JAX for its older numbers, orders would be others than before the setting was known here."""
    before = jax.config.values["jax_threefry_partitionable"]
    jax.config.update("jax_threefry_partitionable", False)
    try:
        np.testing.assert_array_equal(bits(jax.random.key(2), (9,)), jax.random.bits(jax.random.key(2), (9,)))
    finally:
        jax.config.update("jax_threefry_partitionable", before)


def test_no_loop_is_left():
    """Each derivation would take microseconds of every step."""
    traced = str(jax.make_jaxpr(fold_in)(jax.random.key(0), np.uint32(3)))
    assert "fold_in" not in traced and "threefry2x32 " not in traced and "xor" in traced
