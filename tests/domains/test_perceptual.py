"""Losses and networks of style transfer: numbers worked by hand, twins in numpy, and what must not change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from deepprinciples.domains.style import perceptual, stylize
from deepprinciples.domains.transfer import efficientnet

KEYS = jax.random.split(jax.random.key(0), 4)
MAPS = jax.random.normal(KEYS[0], (2, 5, 7, 3))
OTHERS = jax.random.normal(KEYS[1], (2, 5, 7, 3))
PICTURES = jax.random.uniform(KEYS[2], (2, 18, 22, 3))


@pytest.fixture(autouse=True)
def _quick_to_compile():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def test_gram_matrix_is_that_of_numpy():
    """The texture would be another than Gatys' formula says, or depend on the size of the picture."""
    flat = np.asarray(MAPS[0], np.float64).reshape(-1, 3)
    np.testing.assert_allclose(perceptual.gram_matrix(MAPS[0]), flat.T @ flat / 35, rtol=1e-5, atol=1e-6)
    tiled = jnp.tile(MAPS[0], (2, 3, 1))
    np.testing.assert_allclose(perceptual.gram_matrix(tiled), perceptual.gram_matrix(MAPS[0]), rtol=1e-5, atol=1e-6)


def test_gram_matrix_forgets_the_layout():
    """The style loss would ask for the layout of the style picture."""
    turned = jnp.rot90(MAPS[0])[:, ::-1]
    np.testing.assert_allclose(perceptual.gram_matrix(turned), perceptual.gram_matrix(MAPS[0]), rtol=1e-5, atol=1e-6)


def test_losses_are_zero_on_identical_maps_and_one_on_nothing():
    """A perfect picture would still be changed, or layers would not weigh the same."""
    grams = perceptual.gram_matrix(MAPS)
    np.testing.assert_array_equal(perceptual.content_loss(MAPS, MAPS), [0.0, 0.0])
    np.testing.assert_array_equal(perceptual.style_loss(MAPS, grams), [0.0, 0.0])
    np.testing.assert_allclose(perceptual.content_loss(0 * MAPS, MAPS), [1.0, 1.0], rtol=1e-6)
    np.testing.assert_allclose(perceptual.style_loss(0 * MAPS, grams), [1.0, 1.0], rtol=1e-6)


def test_losses_by_hand():
    """The ratio of content to style would mean something else than the docstrings say."""
    ones = jnp.ones((2, 2, 1))
    assert float(perceptual.content_loss(3 * ones, ones)) == 4.0  # (3 - 1)^2 / 1
    assert float(perceptual.style_loss(2 * ones, perceptual.gram_matrix(ones))) == 9.0  # (4 - 1)^2 / 1


def test_one_gram_matrix_serves_a_batch():
    """The network could not be trained on several crops for one style."""
    gram = perceptual.gram_matrix(OTHERS[0])
    each = [perceptual.style_loss(maps, gram) for maps in MAPS]
    np.testing.assert_allclose(perceptual.style_loss(MAPS, gram), each, rtol=1e-5)


def test_total_variation_by_hand():
    """Smoothness would be weighed differently for another size of picture."""
    picture = jnp.array([[0.0, 1.0], [0.5, 0.25]])[..., None]
    # down: |0.5 - 0| + |0.25 - 1| = 1.25; right: |1 - 0| + |0.25 - 0.5| = 1.25; 4 pixels
    assert float(perceptual.total_variation(picture)) == 0.625
    np.testing.assert_array_equal(perceptual.total_variation(jnp.ones((3, 4, 5, 3))), np.zeros(3))


@pytest.mark.parametrize("loss", [
    lambda x: perceptual.style_loss(x, perceptual.gram_matrix(OTHERS)).sum(),
    lambda x: perceptual.content_loss(x, OTHERS).sum(),
    lambda x: perceptual.total_variation(x).sum(),
    lambda x: (perceptual.changed(0.5 + 0.1 * OTHERS[0, :2, :2], x[0, :2, :2]) ** 2).sum(),
], ids=["style", "content", "variation", "changed"])  # fmt: skip
def test_gradients(loss):
    """The descent would go another way than down."""
    check_grads(loss, (MAPS,), order=1, modes=["rev"], atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize(
    "function",
    [
        perceptual.gram_matrix,
        perceptual.total_variation,
        lambda x: perceptual.style_loss(x, perceptual.gram_matrix(OTHERS[0])),
        lambda x: perceptual.content_loss(x, OTHERS[0] if x.ndim == 3 else jnp.stack([OTHERS[0]] * 2)),
    ],
    ids=["gram", "variation", "style", "content"],
)
def test_a_batch_is_its_pictures_one_by_one(function):
    """One picture of a batch would change what is asked of another."""
    np.testing.assert_allclose(function(MAPS), jax.vmap(function)(MAPS), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(function(MAPS), jax.jit(function)(MAPS), rtol=1e-5, atol=1e-6)


def test_matched_colors_have_the_moments_of_the_palette():
    """The picture would be painted from the wrong colors."""
    # far from 0 and 1, so that nothing is clipped
    picture, palette = 0.3 + 0.2 * PICTURES[0], 0.45 + 0.02 * PICTURES[1] @ jnp.array([[1, 2, 0], [0, 1, 0], [0, 1, 2]])
    found, wanted = (
        np.asarray(x, np.float64).reshape(-1, 3) for x in (perceptual.match_colors(picture, palette), palette)
    )
    np.testing.assert_allclose(found.mean(0), wanted.mean(0), atol=1e-4)
    np.testing.assert_allclose(np.cov(found.T), np.cov(wanted.T), rtol=0.03, atol=1e-5)
    gray = perceptual.match_colors(jnp.full((4, 4, 3), 0.5), palette)
    assert bool(jnp.isfinite(gray).all())


def test_changed_stays_in_range_and_keeps_what_is_not_changed():
    """Pixels would leave [0, 1], or black and white be stuck for want of a gradient."""
    np.testing.assert_allclose(perceptual.changed(PICTURES, 0 * PICTURES), PICTURES.clip(0.02, 0.98), atol=1e-5)
    assert float(perceptual.changed(jnp.zeros(3), -50 * jnp.ones(3)).min()) >= 0.0
    assert float(jax.grad(lambda c: perceptual.changed(jnp.ones(()), c))(0.0)) > 0.01


@pytest.mark.parametrize("shape", [(2, 18, 22, 3), (1, 7, 5, 3)])
def test_the_network_paints_pictures_of_any_size(shape):
    """A picture whose sides are no multiples of 4 would come out cropped."""
    model = perceptual.transfer_network(width=2, blocks=1)
    x = jax.random.uniform(KEYS[3], shape)
    params, state = model.init(KEYS[0], x)
    apply = jax.jit(lambda p, x: model.apply(p, state, x, key=None, train=False))
    y, _, activations = apply(params, x)
    assert y.shape == x.shape and state == {} and bool(((y >= 0) & (y <= 1)).all())
    assert list(activations) == sorted(["stem", "down_1", "down_2", "block_00", "up_1", "up_2", "output"])
    alone = apply(params, x[:1])[0]
    np.testing.assert_allclose(y[:1], alone, atol=1e-5)
    if len(x) > 1:
        np.testing.assert_allclose(jax.vmap(lambda x: apply(params, x[None])[0][0])(x), y, atol=1e-5)


def test_feature_network_names_its_layers():
    """The layers that the losses ask for would not be there."""
    model = perceptual.feature_network(outputs=8, width=2)
    params, state = model.init(KEYS[0], PICTURES)
    apply = jax.jit(lambda p, x: model.apply(p, state, x, key=None, train=False))
    logits, _, activations = apply(params, PICTURES)
    assert logits.shape == (2, 8) and set(stylize.STYLE_LAYERS + stylize.CONTENT_LAYERS) <= set(activations)
    assert activations["stage_2_2"].shape == (2, 4, 5, 8) and activations["pixels_1"].shape == (2, 9, 11, 4)


def test_pixel_maps_hold_the_mean_color():
    """A style would lose its colors."""
    maps = perceptual.pixel_maps(PICTURES, 2)
    np.testing.assert_allclose(maps["pixels_0"][..., :3], 4 * (PICTURES - 0.5), atol=1e-6)
    np.testing.assert_allclose(maps["pixels_1"][0, 1, 2, :3], 4 * (PICTURES[0, 2:4, 4:6].mean((0, 1)) - 0.5), atol=1e-5)
    means = perceptual.gram_matrix(maps["pixels_0"])[:, 3, :3]
    np.testing.assert_allclose(means, 4 * (PICTURES.mean((1, 2)) - 0.5), atol=1e-5)


def test_pretrained_maps_are_scaled_and_asked_for_by_their_names():
    """The losses would read learned layers where others are given, or one loud channel decide."""
    pair = list(jax.random.uniform(KEYS[0], (2, 32, 48, 3)) * jnp.array([1.0, 0.3]).reshape(2, 1, 1, 1))
    drawn = efficientnet.efficientnet_lite0(outputs=1).init(KEYS[1], pair[0][None])[0]
    features = stylize.pretrained_features(pair, {name: drawn[name] for name in sorted(drawn)[: stylize.DEPTH]})
    maps = [features(picture[None]) for picture in pair]
    layers = stylize.PRETRAINED
    assert set(layers.style + layers.content) <= set(maps[0])
    for name, one in maps[0].items():
        squares = (one**2).mean(axis=(0, 1, 2)) / 2 + (maps[1][name] ** 2).mean(axis=(0, 1, 2)) / 2
        assert 0.5 < float(squares.max()) <= 1.01, name
    goal = stylize.goal_of(features, pair[1], content=1.0, variation=0.0, layers=layers)
    losses = [stylize.transfer_losses(picture[None], maps[0], goal) for picture in pair]
    assert losses[0]["content"] == 0 and losses[1]["content"] > 0.01
    assert losses[1]["style"] < 1e-6 < 0.01 < losses[0]["style"]


@pytest.mark.slow
def test_features_are_learned_and_scaled_alike():
    """The puzzle would teach nothing, or one loud channel decide every loss."""
    pair = [jnp.tile(jnp.linspace(0, 1, 24)[:, None, None], (1, 24, 3)) * jnp.array(c)[None, None] for c in
            ([1.0, 0.2, 0.1], [0.1, 0.3, 1.0])]  # fmt: skip
    told = []
    features, right = stylize.learn_features(pair, KEYS[0], steps=40, width=4, tell=lambda *a: told.append(a))
    assert right > 0.5 and told[-1][0] == 40 and told[-1][1] < told[0][1]
    squares = [features(picture[None])["stage_1_2"] ** 2 for picture in pair]
    assert float(jnp.stack(squares).mean(axis=(0, 1, 2, 3)).max()) <= 1.01
