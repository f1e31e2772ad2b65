"""Transforms against theory, and beside the traps of optax's versions."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from deepprinciples.parts import optimizers, transforms

KEY = jax.random.key(2, impl="threefry2x32")
GRADS = {
    "layer_00": {"kernel": jax.random.normal(KEY, (5, 4, 3)), "bias": jnp.array([3.0, -4.0, 0.0])},
    "output": {"kernel": 0.01 * jax.random.normal(KEY, (3, 2))},
}


def once(part, grads=GRADS, params=None, **extra):
    return part.update(grads, part.init(grads), grads if params is None else params, **extra)


def flat(tree) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)]).astype(np.float64)


def cosine(a, b) -> float:
    a, b = flat(a), flat(b)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_global_norm_clip_keeps_direction_and_bound() -> None:
    """Lost: clipping promises norm <= c and cosine 1, and tells the norm before."""
    out, state = once(transforms.clip_by_global_norm(max_norm=0.5))
    assert np.linalg.norm(flat(out)) == pytest.approx(0.5, rel=1e-6)
    assert cosine(out, GRADS) == pytest.approx(1.0, abs=1e-6)
    assert float(state.norm) == pytest.approx(np.linalg.norm(flat(GRADS)), rel=1e-6)
    assert (float(state.triggered), int(state.steps)) == (1.0, 1)
    twin = once(optax.clip_by_global_norm(0.5))[0]
    np.testing.assert_allclose(flat(out), flat(twin), rtol=1e-5)
    out, state = once(transforms.clip_by_global_norm(max_norm=1e4))
    np.testing.assert_array_equal(flat(out), flat(GRADS))
    assert float(state.triggered) == 0.0


def test_clipping_rescues_gradients_whose_squares_overflow() -> None:
    """Lost: the exploded gradient clipping is made for; optax gives zeros, ours the unit step."""
    grads = {"w": jnp.array([3e25, -4e25])}
    out = once(transforms.clip_by_global_norm(max_norm=1.0), grads)[0]
    np.testing.assert_allclose(out["w"], [0.6, -0.8], rtol=1e-6)
    np.testing.assert_array_equal(once(optax.clip_by_global_norm(1.0), grads)[0]["w"], [0.0, -0.0])


def test_quartic_diverges_unclipped_and_converges_clipped() -> None:
    """Lost: the textbook benefit of clipping: x^4 / 4 from 10 at rate 0.05, clipped at 1."""

    def final(max_norm):
        chain = optax.chain(transforms.clip_by_global_norm(max_norm=max_norm), optimizers.sgd(learning_rate=0.05))

        def step(carry, _):
            x, state = carry
            updates, state = chain.update(x**3, state, x)
            return (x + updates, state), None

        x = jnp.float32(10.0)
        return jax.lax.scan(step, (x, chain.init(x)), None, length=2000)[0][0]

    unclipped, clipped = jax.jit(jax.vmap(final))(jnp.array([jnp.inf, 1.0]))
    assert not abs(float(unclipped)) < 1e6
    assert abs(float(clipped)) < 0.1


def test_value_clip_by_hand() -> None:
    """Lost: entries beyond the bound, or the share of them."""
    out, state = once(transforms.clip_by_value(max_value=1.0), {"w": jnp.array([-3.0, 0.5, 1.0, 2.0])})
    np.testing.assert_array_equal(out["w"], [-1.0, 0.5, 1.0, 1.0])
    assert (float(state.triggered), float(state.norm)) == (0.5, 3.0)


def test_layers_are_clipped_on_their_own() -> None:
    """Lost: one loud layer silences the others."""
    out, state = once(transforms.clip_per_layer(max_norm=0.5))
    assert np.linalg.norm(flat(out["layer_00"])) == pytest.approx(0.5, rel=1e-6)
    np.testing.assert_array_equal(out["output"]["kernel"], GRADS["output"]["kernel"])
    assert float(state.triggered) == 0.5


def test_blocks_are_clipped_by_their_mean_square() -> None:
    """Lost: one array at a time; and the array whose squares overflow, of which optax leaves nothing."""
    out, state = once(transforms.clip_by_block_rms(max_rms=0.5))
    np.testing.assert_allclose(flat(out), flat(once(optax.clip_by_block_rms(0.5))[0]), rtol=1e-5)
    assert np.sqrt(np.mean(flat(out["layer_00"]["bias"]) ** 2)) == pytest.approx(0.5, rel=1e-6)
    np.testing.assert_array_equal(out["output"]["kernel"], GRADS["output"]["kernel"])
    assert float(state.triggered) == pytest.approx(2 / 3) and float(state.norm) == pytest.approx((25 / 3) ** 0.5)
    grads = {"w": jnp.array([3e25, -4e25])}
    parts = transforms.clip_by_block_rms(), optax.clip_by_block_rms(1.0)
    ours, theirs = (once(part, grads)[0]["w"] for part in parts)
    np.testing.assert_allclose(ours, np.sqrt(2) * np.array([0.6, -0.8]), rtol=1e-6)
    np.testing.assert_array_equal(theirs, [0.0, -0.0])


def test_trust_ratio_is_the_norm_of_the_weights() -> None:
    """Lost: steps as a share of the weights; weights or gradients of 0 that would never move, or turn to NaN."""
    params = jax.tree.map(lambda g: 2.0 + g, GRADS)
    out = once(transforms.trust_ratio(coefficient=0.1), GRADS, params)[0]
    np.testing.assert_allclose(flat(out), flat(once(optax.scale_by_trust_ratio(0.0, 0.1), GRADS, params)[0]), rtol=1e-5)
    for g, w in zip(jax.tree.leaves(out), jax.tree.leaves(params), strict=True):
        assert np.linalg.norm(flat(g)) == pytest.approx(0.1 * np.linalg.norm(flat(w)), rel=1e-5)
    one, zero = jnp.array([3.0, 4.0]), jnp.zeros(2)
    for grad, weight in ((one, zero), (zero, one)):
        np.testing.assert_array_equal(once(transforms.trust_ratio(), {"w": grad}, {"w": weight})[0]["w"], grad)


def _adaptive_clip(ratio: float):
    return transforms.adaptive_clip(max_ratio=ratio)


@pytest.mark.parametrize("shape", [(6, 4), (3, 6, 4), (3, 3, 6, 4)])
def test_adaptive_clip_bounds_each_output_unit(shape: tuple[int, ...]) -> None:
    """Lost: |g_u| <= ratio |w_u| for Dense, Conv1d and Conv2d; optax takes other axes for Conv1d."""
    w, g = jax.random.normal(KEY, shape), jax.random.normal(jax.random.key(9), shape)
    out, twin = jax.jit(
        lambda g, w: [
            once(part(0.1), {"w": g}, {"w": w})[0]["w"] for part in (_adaptive_clip, optax.adaptive_grad_clip)
        ]
    )(g, w)
    axes = tuple(range(len(shape) - 1))
    unit = lambda v: np.sqrt(np.sum(np.square(v), axis=axes))
    np.testing.assert_allclose(unit(out) / unit(w), 0.1, rtol=1e-5)
    assert np.allclose(out, twin, rtol=1e-4) == (len(shape) != 3)


def test_centralized_fan_in_sums_to_zero() -> None:
    """Lost: the promise of gradient centralization, which optax breaks for (in, out) kernels."""
    out = once(transforms.centralize())[0]
    for kernel in (out["layer_00"]["kernel"], out["output"]["kernel"]):
        sums = np.sum(kernel, axis=tuple(range(kernel.ndim - 1)))
        np.testing.assert_allclose(sums, 0.0, atol=1e-5)
    np.testing.assert_array_equal(out["layer_00"]["bias"], GRADS["layer_00"]["bias"])
    twin = optax.centralize().update(GRADS, optax.EmptyState())[0]
    assert np.abs(np.sum(twin["output"]["kernel"], axis=0)).max() > 1e-4


def test_auto_clip_is_numpys_percentile() -> None:
    """Lost: the bound of AutoClip, also once its history is full and overwritten."""
    norms = np.random.default_rng(0).uniform(1, 9, 12).astype(np.float32)
    part = transforms.auto_clip(percentile=30.0, history=5)

    def step(state, size):
        out, state = part.update({"w": size[None]}, state)
        return state, out["w"][0]

    outs = jax.lax.scan(step, part.init({"w": jnp.zeros(1)}), norms)[1]
    bounds = [np.percentile(norms[max(0, i - 4) : i + 1], 30.0) for i in range(12)]
    np.testing.assert_allclose(outs, np.minimum(norms, bounds), rtol=1e-5)


def test_z_score_clip_is_numpys_weighted_mean_and_deviation() -> None:
    """Lost: the bound, what is measured before the first clip, and that a spike does not raise the next bound."""
    norms = np.random.default_rng(1).uniform(1, 3, 40).astype(np.float32)
    norms[[3, 20, 21]] = 50.0  # the first is seen too early to be clipped
    part = transforms.clip_by_z_score(max_score=2.0, decay=0.9, delay=10)

    def step(state, size):
        out, state = part.update({"w": jnp.stack([0.6 * size, 0.8 * size])}, state)
        return state, jnp.linalg.norm(out["w"])

    state, outs = jax.lax.scan(step, part.init({"w": jnp.zeros(2)}), norms)
    seen, clips = [], 0
    for i, size in enumerate(norms.astype(np.float64)):
        weights = 0.9 ** np.arange(i)[::-1]
        bound = np.inf
        if i >= 10:
            mean = np.average(seen, weights=weights)
            bound = mean + 2.0 * np.sqrt(np.average((np.array(seen) - mean) ** 2, weights=weights))
        clips += size > bound
        seen.append(min(size, bound))
    np.testing.assert_allclose(outs, seen, rtol=1e-4)
    assert float(state.clip.triggered) == clips >= 2 and float(outs[3]) > 49
    assert float(outs[20]) < 30 and float(outs[21]) < 35


def test_z_score_clip_lanes_are_runs() -> None:
    """Lost: max_score and decay as floats of a sweep; norms whose squares overflow."""
    sizes = jnp.array([2e25, 1e25, 3e25, 9e27, 1e25])

    def run(score, decay):
        part = transforms.clip_by_z_score(max_score=score, decay=decay, delay=3)
        step = lambda state, size: part.update({"w": size[None]}, state)[::-1]
        return jax.lax.scan(step, part.init({"w": jnp.zeros(1)}), sizes)[1]["w"]

    scores, decays = jnp.array([1.0, 3.0, jnp.inf]), jnp.array([0.5, 0.9, 0.9])
    lanes = jax.vmap(run)(scores, decays)
    for lane, score, decay in zip(lanes, scores, decays, strict=True):
        np.testing.assert_allclose(lane, run(score, decay), rtol=1e-5)
    assert np.isfinite(lanes).all() and float(lanes[0, 3, 0]) < float(lanes[1, 3, 0]) < 1e26
    np.testing.assert_array_equal(lanes[2, :, 0], sizes)


def test_noise_falls_and_differs_between_lanes() -> None:
    """Lost: each seed its own noise; optax.add_noise gives all lanes the same."""
    part, zeros = transforms.noise(strength=2.0, decay=0.5), {"w": jnp.zeros(4000)}

    @jax.vmap
    def lane(key):
        first, state = part.update(zeros, part.init(zeros), key=key)
        state = state._replace(steps=jnp.array(15))
        return first["w"], part.update(zeros, state, key=key)[0]["w"]

    first, later = lane(jax.random.split(KEY, 2))
    assert not np.array_equal(first[0], first[1])
    assert np.std(first) == pytest.approx(2.0, rel=0.05)
    assert np.std(later) == pytest.approx(2.0 * 16**-0.25, rel=0.05)
    with pytest.raises(ValueError, match="noise: update was called without a key"):
        once(part, zeros)


def test_leaves_of_one_shape_get_different_noise() -> None:
    """Lost: noise in as many directions as there are weights."""
    zeros = {"a": jnp.zeros(3), "b": jnp.zeros(3)}
    out = once(transforms.noise(), zeros, key=KEY)[0]
    assert not np.array_equal(out["a"], out["b"])


def test_normalize_and_sign() -> None:
    """Lost: unit norms, also of tiny gradients; zero stays zero."""
    assert np.linalg.norm(flat(once(transforms.normalize())[0])) == pytest.approx(1.0, rel=1e-6)
    tiny = {"w": jnp.array([3e-30, 4e-30])}
    np.testing.assert_allclose(once(transforms.normalize(), tiny)[0]["w"], [0.6, 0.8], rtol=1e-5)
    layers = once(transforms.normalize_per_layer())[0]
    np.testing.assert_allclose([np.linalg.norm(flat(layer)) for layer in layers.values()], 1.0, rtol=1e-6)
    np.testing.assert_array_equal(once(transforms.sign(), {"w": jnp.array([-2.0, 0.0, 5.0])})[0]["w"], [-1, 0, 1])


def test_weight_decay_leaves_biases_alone() -> None:
    """Lost: decay of kernels only, as the card says."""
    out = once(transforms.weight_decay(strength=0.5))[0]
    np.testing.assert_allclose(out["output"]["kernel"], 1.5 * GRADS["output"]["kernel"], rtol=1e-6)
    np.testing.assert_array_equal(out["layer_00"]["bias"], GRADS["layer_00"]["bias"])
    out = once(transforms.weight_decay(strength=0.5, biases=True))[0]
    np.testing.assert_allclose(out["layer_00"]["bias"], 1.5 * GRADS["layer_00"]["bias"], rtol=1e-6)


def test_ema_is_optaxs() -> None:
    """Lost: the average corrected for its start."""
    ours, twin = transforms.ema(decay=0.8), optax.ema(0.8, debias=True)
    a, b = ours.init(GRADS), twin.init(GRADS)
    for scale in (1.0, -2.0, 0.5):
        grads = jax.tree.map(lambda g, s=scale: s * g, GRADS)
        (out, a), (expected, b) = ours.update(grads, a), twin.update(grads, b)
        np.testing.assert_allclose(flat(out), flat(expected), rtol=1e-5, atol=1e-7)


def test_norm_by_hand() -> None:
    """Lost: the norm all clips rest on, at both ends of float32."""
    for size in (1e-30, 1.0, 1e30):
        assert float(transforms.norm({"a": jnp.array([3.0 * size]), "b": jnp.array([[4.0 * size]])})) == pytest.approx(
            5.0 * size, rel=1e-6
        )
    assert float(transforms.norm({})) == 0.0


@pytest.mark.parametrize("name", ["adaptive_clip", "weight_decay", "trust_ratio"])
def test_missing_params_are_named(name: str) -> None:
    """Lost: the reason for a failure inside a hand-written loop."""
    part = transforms.TABLE[name]()
    with pytest.raises(ValueError, match=f"{name}: update was called without params"):
        part.update(GRADS, part.init(GRADS))
