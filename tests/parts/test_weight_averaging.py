"""Averages of weights against NumPy, against optax, and against theory."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from deepprinciples.parts import weight_averaging

STEPS = 23


def followed(average, steps=STEPS, rate=0.3):
    """Walk down a bowl by plain descent under an average: raw weights, and judged ones, after each step."""
    h = jnp.array([0.5, 2.0, 4.0])

    def one(carry, t):
        params, state = carry
        params = {"w": params["w"] - rate * h * params["w"] + 0.1 * jnp.sin(3.0 * t)}
        state, params = average.update(state, params, (t + 1) / steps)
        return (params, state), (params["w"], average.value(state, params)["w"])

    start = {"w": jnp.array([1.0, -2.0, 3.0])}
    _, (raw, judged) = jax.lax.scan(one, (start, average.init(start)), jnp.arange(steps, dtype=jnp.float32))
    return np.asarray(raw), np.asarray(judged)


def test_ema_is_optax_with_its_correction() -> None:
    """Lost: an average that the first weights, or zeros, hold back."""
    raw, judged = followed(weight_averaging.ema(decay=0.9))
    twin = optax.ema(0.9, debias=True)
    state = twin.init(jnp.zeros(3))
    for t in range(STEPS):
        expected, state = twin.update(jnp.asarray(raw[t]), state)
        np.testing.assert_allclose(judged[t], expected, rtol=1e-5)


def test_swa_is_the_mean_of_the_last_part() -> None:
    """Lost: an average with early weights in it, or one that forgets."""
    raw, judged = followed(weight_averaging.swa(start=0.5))
    first = int(np.ceil(0.5 * STEPS)) - 1  # step t ends at (t + 1) / STEPS
    np.testing.assert_allclose(judged[-1], raw[first:].mean(axis=0), rtol=1e-5)
    np.testing.assert_array_equal(judged[first - 1], raw[first - 1])  # before it begins, the weights themselves


def test_lawa_is_the_mean_of_the_latest_checkpoints() -> None:
    """Lost: old checkpoints that stay, or the empty places of the window as weights of 0."""
    raw, judged = followed(weight_averaging.lawa(window=3, period=4))
    np.testing.assert_array_equal(judged[2], raw[2])  # none yet
    np.testing.assert_allclose(judged[8], raw[[3, 7]].mean(axis=0), rtol=1e-6)  # two of three
    np.testing.assert_allclose(judged[-1], raw[[11, 15, 19]].mean(axis=0), rtol=1e-6)
    for wrong in ({"window": 0}, {"period": 0}):
        with pytest.raises(ValueError, match="1 or more"):
            weight_averaging.lawa(**wrong)


def test_lookahead_trains_as_in_optax() -> None:
    """Lost: slow weights that follow nothing, or fast ones that never start again from them."""
    h = jnp.array([0.5, 2.0, 4.0])
    start = jnp.array([1.0, -2.0, 3.0])
    ours = weight_averaging.lookahead(period=5, rate=0.4)
    fast = optax.sgd(0.3, momentum=0.9)
    twin = optax.lookahead(optax.sgd(0.3, momentum=0.9), sync_period=5, slow_step_size=0.4)
    params, state, moments = start, ours.init(start), fast.init(start)
    pair = optax.LookaheadParams.init_synced(start)
    twin_state = twin.init(pair)
    for t in range(STEPS):
        updates, moments = fast.update(h * params, moments, params)
        state, params = ours.update(state, optax.apply_updates(params, updates), jnp.float32((t + 1) / STEPS))
        updates, twin_state = twin.update(h * pair.fast, twin_state, pair)
        pair = optax.apply_updates(pair, updates)
        np.testing.assert_allclose(params, pair.fast, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(ours.value(state, params), pair.slow, rtol=1e-4, atol=1e-6)


def test_lookahead_has_the_variance_of_theory() -> None:
    """SCIENCE 14: on h x^2 / 2 with rate h = 0.5, k = 5 and half the way: 0.3402 of plain descent's variance."""
    lanes, steps = 200_000, 60
    average = weight_averaging.lookahead(period=5, rate=0.5)

    def one(carry, key):
        plain, fast, state = carry
        noise = jax.random.normal(key, (lanes,))
        state, fast = average.update(state, 0.5 * fast + 0.5 * noise, jnp.float32(0))
        return (0.5 * plain + 0.5 * noise, fast, state), None

    zero = jnp.zeros(lanes)
    keys = jax.random.split(jax.random.key(0), steps)
    (plain, fast, state), _ = jax.lax.scan(one, (zero, zero, average.init(zero)), keys)
    slow = average.value(state, fast)
    assert float(jnp.var(plain)) == pytest.approx(0.3333, rel=0.01)
    assert float(jnp.var(slow) / jnp.var(plain)) == pytest.approx(0.3402, rel=0.015)


@pytest.mark.parametrize(
    ("name", "hypers"), [(n, f.neutral) for n, f in weight_averaging.TABLE.items() if hasattr(f, "neutral")]
)
def test_neutral_is_absent(name: str, hypers: dict) -> None:
    """Lost: a trick that is off and still changes something."""
    raw, judged = followed(weight_averaging.TABLE[name](**hypers))
    np.testing.assert_array_equal(judged, raw)
    bare, _ = followed(weight_averaging.ema(decay=0.5))
    np.testing.assert_array_equal(raw, bare)  # averages only watch


@pytest.mark.parametrize("name", [name for name in weight_averaging.TABLE if name != "none"])
def test_lanes_of_different_hypers_run_side_by_side(name: str) -> None:
    """Lost: a decay that Python looks at cannot be swept."""
    swept = {"ema": "decay", "swa": "start", "lookahead": "rate"}.get(name)
    if swept is None:
        assert weight_averaging.none() is None
        return
    values = jnp.array([0.2, 0.7])
    both = jax.vmap(lambda v: jnp.stack([*map(jnp.asarray, _pair(weight_averaging.TABLE[name](**{swept: v})))]))(values)
    for k, value in enumerate(values):
        np.testing.assert_allclose(
            both[k], np.stack(_pair(weight_averaging.TABLE[name](**{swept: float(value)}))), rtol=1e-5
        )


def _pair(average):
    params = {"w": jnp.arange(3.0)}
    state = average.init(params)
    for t in range(6):
        state, params = average.update(state, {"w": params["w"] * 0.5 + 1.0}, jnp.float32((t + 1) / 6))
    return params["w"], average.value(state, params)["w"]
