"""Attributions and what they are worth, against gradients worked by hand, axioms and twins in NumPy and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import deepprinciples as dp
from deepprinciples.errors import ConfigError
from deepprinciples.parts import attributions
from deepprinciples.parts.metrics import attribution_metrics

KEY = jax.random.key(0)
RNG = np.random.default_rng(3)
W = jnp.asarray(RNG.normal(size=(12, 3)), jnp.float32)
X = jnp.asarray(RNG.normal(size=(4, 3, 4, 1)), jnp.float32)
T = jnp.array([0, 2, 1, 1])


def linear(params, inputs):
    return inputs.reshape(len(inputs), -1) @ params


def curved(params, inputs):
    return jnp.tanh(linear(params, inputs)) ** 3


def maps_of(name, predict=linear, inputs=X, **settings):
    return np.asarray(attributions.TABLE[name](**settings)(predict, W, inputs, T, KEY))


def test_a_linear_network_is_its_weights():
    """Lost: the definition. The gradient is the row of weights of the output that is explained."""
    weights = np.asarray(W.T[T]).reshape(X.shape)
    np.testing.assert_allclose(maps_of("gradient"), weights, rtol=1e-5)
    np.testing.assert_allclose(maps_of("smooth_grad", noise=0.3, samples=4), weights, rtol=1e-5)
    for name in ("gradient_times_input", "integrated_gradients"):
        np.testing.assert_allclose(maps_of(name), weights * np.asarray(X), rtol=1e-4, atol=1e-6)


def test_integrated_gradients_add_up_to_what_they_explain():
    """Lost: completeness, arXiv:1703.01365: the map adds up to the output less that of the baseline."""
    pick = lambda x: np.asarray(attributions.explained_outputs(curved(W, x), T))
    whole = maps_of("integrated_gradients", curved, steps=256, baseline=0.5).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(whole, pick(X) - pick(jnp.full_like(X, 0.5)), atol=2e-3)
    plain = maps_of("gradient_times_input", curved).sum(axis=(1, 2, 3))
    assert np.abs(plain - (pick(X) - pick(0 * X))).max() > 0.05, "the axiom holds for anything here"


def test_occlusion_by_hand():
    """Lost: which positions a window covers. Of a linear network the drop is the part that was covered."""
    part = np.asarray(W.T[T]).reshape(X.shape) * np.asarray(X)
    np.testing.assert_allclose(maps_of("occlusion", size=1, stride=1), part, rtol=1e-4, atol=1e-6)
    found = maps_of("occlusion", size=2, stride=1)[:, 0, 0, 0]  # a corner: one window covers it
    np.testing.assert_allclose(found, part[:, :2, :2, 0].sum(axis=(1, 2)), rtol=1e-4, atol=1e-6)
    middle = np.mean([part[:, r : r + 2, c : c + 2, 0].sum(axis=(1, 2)) for r in (0, 1) for c in (0, 1)], axis=0)
    np.testing.assert_allclose(maps_of("occlusion", size=2, stride=1)[:, 1, 1, 0], middle, rtol=1e-4, atol=1e-6)


def test_grad_cam_by_hand():
    """Lost: the weights of the channels, and that only what speaks for an output is shown."""
    kernel = jnp.asarray(RNG.normal(size=(2, 3)), jnp.float32)

    def apply(params, inputs, perturbations):
        held = jnp.concatenate([inputs, inputs**2], axis=-1) + perturbations.get("layer_00", 0.0)  # [B, 3, 4, 2]
        return held.mean(axis=(1, 2)) @ kernel, {"layer_00": held}

    found = np.asarray(attributions.grad_cam()(apply, None, X, T, KEY))
    held = np.concatenate([X, X**2], axis=-1)
    weights = np.asarray(kernel.T[T]) / 12  # [B, 2], the mean slope of a channel
    np.testing.assert_allclose(found, np.maximum((held * weights[:, None, None]).sum(-1), 0)[..., None], atol=1e-6)


def test_guided_backprop_stops_what_speaks_against():
    """Lost: the rule of arXiv:1412.6806, on the way back as on the way there."""
    slope = jax.vmap(jax.grad(lambda x, g: g * attributions.guided_relu(x)))
    np.testing.assert_array_equal(slope(jnp.array([-1.0, 2.0, 2.0]), jnp.array([1.0, 1.0, -1.0])), [0.0, 1.0, 0.0])


@pytest.mark.parametrize(("call", "said"), [
    (lambda: attributions.occlusion(size=2, stride=3), "skips positions"),
    (lambda: maps_of("occlusion", size=4, stride=1), "larger than the input"),
    (lambda: attributions.explained_outputs(jnp.zeros((2, 3, 4)), T), "explains one output"),
])  # fmt: skip
def test_what_cannot_be_explained_is_refused(call, said):
    """Lost: an hour, to a map of positions that no window covered."""
    with pytest.raises((ConfigError, ValueError), match=said):
        call()


def explained(maps, mask=None, redrawn=None, predict=linear):
    return attribution_metrics.Explained(predict, W, X, T, jnp.asarray(maps), mask, lambda: jnp.asarray(redrawn))


MAPS = np.asarray(RNG.normal(size=X.shape), np.float32)
MASK = np.zeros(X.shape[:-1], bool)
MASK[:, :2, :2] = True


def test_mass_and_pointing_by_hand():
    """Lost: the share of a map that lies on the evidence; a map of zeros has none."""
    maps = MAPS.copy()
    maps[3] = 0.0
    sizes = np.abs(maps[..., 0])
    given = explained(maps, jnp.asarray(MASK))
    share = (sizes * MASK).sum(axis=(1, 2)) / np.maximum(sizes.sum(axis=(1, 2)), 1e-30)
    np.testing.assert_allclose(attribution_metrics.mass_in_mask()(given), share, rtol=1e-5)
    inside = [MASK[k].flat[sizes[k].argmax()] and sizes[k].max() > 0 for k in range(4)]
    np.testing.assert_array_equal(attribution_metrics.pointing_game()(given), np.float32(inside))
    with pytest.raises(ValueError, match="give masks"):
        attribution_metrics.mass_in_mask()(explained(maps))


def test_deletion_against_a_loop():
    """Lost: the order in which positions go, and the ends of the area."""
    found = attribution_metrics.deletion(steps=4, baseline=0.25)(explained(MAPS))
    for k in range(4):
        order = np.argsort(-np.abs(MAPS[k, ..., 0]).ravel(), kind="stable")
        chances = []
        for count in (0, 3, 6, 9, 12):
            x = np.asarray(X[k]).ravel().copy()
            x[order[:count]] = 0.25
            chances.append(float(jax.nn.softmax(x @ W)[T[k]]))
        assert float(found[k]) == pytest.approx(np.trapezoid(chances, dx=0.25), rel=1e-4)


def test_randomization_is_spearmans_correlation():
    """Lost: the sanity check of arXiv:1810.03292: a map that ignores the weights scores 1."""
    other = np.round(RNG.normal(size=X.shape), 1).astype(np.float32)  # with ties
    found = attribution_metrics.randomization()(explained(MAPS, redrawn=other))
    twin = [scipy.stats.spearmanr(np.abs(MAPS[k]).ravel(), np.abs(other[k]).ravel()).statistic for k in range(4)]
    np.testing.assert_allclose(found, twin, atol=1e-5)
    np.testing.assert_allclose(attribution_metrics.randomization()(explained(MAPS, redrawn=MAPS)), 1.0, atol=1e-5)


def test_a_stored_run_is_explained(tmp_path):
    """Lost: maps of a network that is on disk, by every attribution that fits it, and a table of scores."""
    pictures = RNG.random((60, 8, 8, 1)).astype(np.float32)
    config = {
        "data": {"name": "arrays", "inputs": pictures, "targets": np.arange(60) % 2, "batch_size": 16},
        "model": {"name": "cnn", "depth": 2, "width": 2, "stages": 1}, "loss": "softmax_cross_entropy",
        "optimizer": {"name": "sgd", "learning_rate": 0.1}, "train": {"steps": 3, "probes": []},
    }  # fmt: skip
    run = dp.train(config, tmp_path / "run")
    done = run.explain(["gradient", "occlusion"], examples=3)
    assert done.results.maps.dims[:3] == ("attribution", "seed", "example") and done.results.maps.shape[2] == 3
    assert np.isfinite(done.results.maps.values).all() and done.results.maps.values.std() > 0
    table = done.to_dataframe()
    assert {"deletion", "randomization"} <= set(table.columns) and len(table) == 2 * 3  # of one seed
    assert set(done.scores("deletion")) == {"gradient", "occlusion"} and list(done.write(tmp_path / "maps"))


def test_a_network_of_maps_is_refused_in_one_line(tmp_path):
    """Lost: the reason, which each of eight methods said again."""
    pictures = np.random.default_rng(0).random((20, 8, 8, 1), np.float32)
    labels = (pictures[..., 0] > 0.5).astype(int)
    run = dp.train({
        "data": {"name": "examples", "inputs": pictures, "targets": labels, "batch_size": 4},
        "model": {"name": "unet", "levels": 1, "width": 2}, "loss": "softmax_cross_entropy", "optimizer": "adam",
        "train": {"steps": 1, "probes": []}, "study": {"metric": "mean_iou"},
    }, tmp_path / "run")  # fmt: skip
    with pytest.raises(ConfigError, match="found outputs .* expected one row for each example") as caught:
        run.explain(examples=2)
    assert "\n" not in str(caught.value)
