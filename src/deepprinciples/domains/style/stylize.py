"""Style transfer: features, learned on patches of the pictures at hand or pretrained, and what is fitted to them.

Three small trainings, each a jitted scan that returns to Python only to report: the features, then either the pixels
of one picture or a network that paints any. The losses and the networks are in `style`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from deepprinciples.domains.style import perceptual
from deepprinciples.domains.transfer import efficientnet
from deepprinciples.types import Array, PyTree, Scalar

Features = Callable[[Array], dict[str, Array]]
Tell = Callable[[int, float], None]

ROTATIONS = 4
REPORTS = 5  # how often a training tells of itself
LEVELS = 4  # of the pyramid whose sum is the picture: pixels alone would take up noise first
DEAD = 0.1  # of the mean square of a layer: channels below it count for less
STYLE_LAYERS = (
    "pixels_0",
    "pixels_1",
    "pixels_2",
    "stage_0_1",
    "stage_0_2",
    "stage_1_1",
    "stage_1_2",
    "stage_2_1",
    "stage_2_2",
)
CONTENT_LAYERS = ("stage_1_2",)
PIXELS = 3  # sizes of the picture among the maps


class Layers(NamedTuple):
    """Names of the maps whose texture is taken from the style, and of those whose layout is taken from the content."""

    style: tuple[str, ...]
    content: tuple[str, ...]


LEARNED = Layers(STYLE_LAYERS, CONTENT_LAYERS)
# Layers 0 and 1 are at half the size, 2 and 3 at a quarter, 5 at an eighth, 8 at a sixteenth.
PRETRAINED = Layers(
    (*STYLE_LAYERS[:PIXELS], *(efficientnet.layer_name(number) for number in (0, 1, 2, 3, 5, 8))),
    (efficientnet.layer_name(3),),
)
DEPTH = 9  # layers of the pretrained network that are computed


class Goal(NamedTuple):
    """What a picture is asked for: the texture of a style, and how much of content and smoothness beside it."""

    features: Features
    grams: Mapping[str, Array]
    content: Scalar
    variation: Scalar
    content_layers: tuple[str, ...] = CONTENT_LAYERS


def learn_features(
    pictures: Sequence[Array], key: Array, *, steps: int, width: int = 16, tell: Tell = lambda *_: None
) -> tuple[Features, float]:
    """Train `feature_network` to say which picture a patch is from and how it was turned.

    Cross-entropy over 4 n classes, on patches of at most 32 x 32 pixels, cut at random and turned by 0, 90, 180 or
    270 degrees. There is nothing to hold out: the pictures themselves are what the features must describe. Channels
    are then divided by their root mean square over the pictures, or few large ones would decide every loss.

    Args:
        pictures: n pictures [H, W, 3] in [0, 1], sizes may differ.
        key: of the initial weights and of the patches.
        steps: of Adam, on 4 patches of each class.
        width: channels of the first of three stages.
        tell: is called with the step and the loss now and then.

    Returns:
        `features(x [B, H, W, 3]) -> {layer: [B, h, w, C]}`, the layers of `feature_network`, and the
        accuracy over the last tenth of the steps.

    References:
        arXiv:1803.07728 (rotations), arXiv:1406.6909 (which picture a patch is from).
    """
    key_init, key_steps = jax.random.split(key)
    model = perceptual.feature_network(outputs=ROTATIONS * len(pictures), width=width)
    side = min(32, *(min(picture.shape[:2]) for picture in pictures))
    params, state = model.init(key_init, jnp.zeros((1, side, side, 3)))

    def loss(params: PyTree, key: Array, pictures: Sequence[Array]) -> tuple[Array, Array]:
        x, labels = _puzzle(key, pictures, side)
        logits = model.apply(params, state, x, key=None, train=True)[0]
        right = (logits.argmax(-1) == labels).mean()
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), right

    params, right = _descend(loss, _adam(2e-3, steps), params, pictures, key_steps, steps, tell)

    def maps(x: Array) -> dict[str, Array]:
        return model.apply(params, state, x, key=None, train=False)[2]

    return _even(maps, pictures), float(right[-max(1, steps // 10) :].mean())


def pretrained_features(pictures: Sequence[Array], params: Mapping[str, Any]) -> Features:
    """Take the maps of a trained EfficientNet-Lite0 as features, and the pixels beside them.

    Channels are divided by their root mean square over the pictures, as those of `learn_features` are.

    Args:
        pictures: n pictures [H, W, 3] in [0, 1], sizes may differ.
        params: of the first layers, "layer_00", "layer_01", ..., as `trunk.pretrained` reads them.

    Returns:
        `features(x [B, H, W, 3]) -> {layer: [B, h, w, C]}`, the given layers, and "pixels_0" to "pixels_2".

    References:
        arXiv:1905.11946 (the network), arXiv:1508.06576 (maps of a trained classifier as features).
    """

    def maps(x: Array) -> dict[str, Array]:
        found, y = perceptual.pixel_maps(x, PIXELS), x
        for number, name in enumerate(sorted(params)):
            y = found[name] = efficientnet.layer(number, params[name], y)
        return found

    return _even(maps, pictures)


def _even(maps: Features, pictures: Sequence[Array]) -> Features:
    """Divide each channel by its root mean square over the pictures."""
    squares = [jax.jit(lambda x: jax.tree.map(_mean_square, maps(x[None])))(picture) for picture in pictures]
    # The share of the layer keeps channels that are all but dead from being blown up.
    scale = jax.tree.map(lambda *s: jnp.sqrt(sum(s) / len(s) + DEAD * jnp.mean(sum(s) / len(s))), *squares)
    return lambda x: {name: found / scale[name] for name, found in maps(x).items()}


def goal_of(
    features: Features, picture: Array, *, content: Scalar, variation: Scalar, layers: Layers = LEARNED
) -> Goal:
    """Take the Gram matrices of a style picture [H, W, 3]; the style weighs 1 in the loss."""
    maps = jax.jit(features)(picture[None])
    grams = {name: perceptual.gram_matrix(maps[name][0]) for name in layers.style}
    return Goal(features, grams, content, variation, layers.content)


def transfer_losses(pictures: Array, wanted: Mapping[str, Array], goal: Goal) -> dict[str, Array]:
    """Weigh content, style and roughness.

    L = w_c mean_l content_loss_l + mean_l style_loss_l + w_v total_variation.

    Args:
        pictures: what is measured, [B, H, W, 3] in [0, 1].
        wanted: features of the pictures whose layout is asked for.
        goal: the style and the weights.

    Returns:
        "total", and its parts before they are weighed, "content", "style", "variation": each [], the mean over the
        batch.

    References:
        arXiv:1508.06576, arXiv:1603.08155.
    """
    maps = goal.features(pictures)
    layout = jnp.stack([perceptual.content_loss(maps[name], wanted[name]) for name in goal.content_layers]).mean()
    texture = jnp.stack([perceptual.style_loss(maps[name], goal.grams[name]) for name in goal.grams]).mean()
    rough = perceptual.total_variation(pictures).mean()
    total = goal.content * layout + texture + goal.variation * rough
    return {"total": total, "content": layout, "style": texture, "variation": rough}


def optimize(
    content: Array, goal: Goal, *, steps: int, learning_rate: float = 0.1, tell: Tell = lambda *_: None
) -> tuple[Array, Array]:
    """Descend on a picture, from the content on.

    The picture is sigmoid(logit(x) + sum_k up(p_k)), with p_k at 1, 1/2, 1/4 and 1/8 of the size: coarse colors move
    as fast as fine grain, of which plain pixels would take up too much.

    Args:
        content: x, [H, W, 3] in [0, 1].
        goal: the style.
        steps: of Adam.
        learning_rate: at the start, in units of a logit; it decays to a tenth.
        tell: is called with the step and the loss now and then.

    Returns:
        The picture [H, W, 3], and the loss before each step [steps].

    References:
        arXiv:1508.06576 (with L-BFGS on pixels).
    """
    shape = content.shape[:2]
    levels = [jnp.zeros((-(-shape[0] // 2**k), -(-shape[1] // 2**k), 3)) for k in range(LEVELS)]

    def picture(levels: list[Array], content: Array) -> Array:
        return perceptual.changed(content, sum(jax.image.resize(level, content.shape, "linear") for level in levels))

    def loss(levels: list[Array], key: Array, given: Any) -> tuple[Array, Array]:
        del key
        value = transfer_losses(picture(levels, given[0])[None], given[1], goal)
        return value["total"], value["total"]

    wanted = jax.jit(goal.features)(content[None])
    given = (content, {name: wanted[name] for name in goal.content_layers})
    levels, values = _descend(loss, _adam(learning_rate, steps), levels, given, jax.random.key(0), steps, tell)
    return picture(levels, content), values


def learn_transfer(
    content: Array,
    goal: Goal,
    key: Array,
    *,
    steps: int,
    batch: int = 2,
    learning_rate: float = 1e-3,
    tell: Tell = lambda *_: None,
) -> tuple[Callable[[Array], Array], Array]:
    """Train `transfer_network` on crops of a picture, half of them mirrored.

    The crops are squares of 7/8 of its shorter side: each has to take on the whole texture of the style, which small
    ones, all sky or all roof, could only do by extremes.

    Args:
        content: [H, W, 3] in [0, 1].
        goal: the style.
        key: of the initial weights and of the crops.
        steps: of Adam.
        batch: crops a step.
        learning_rate: at the start; it decays to a tenth.
        tell: is called with the step and the loss now and then.

    Returns:
        `paint(picture [H, W, 3]) -> [H, W, 3]`, and the loss of the crops at each step [steps].

    References:
        arXiv:1603.08155.
    """
    key_init, key_steps = jax.random.split(key)
    side = 7 * min(content.shape[:2]) // 8
    model = perceptual.transfer_network()
    params, state = model.init(key_init, content[None, :side, :side])

    def loss(params: PyTree, key: Array, content: Array) -> tuple[Array, Array]:
        crops = _crops(key, content, side, batch)
        crops = crops.at[: batch // 2].set(crops[: batch // 2, :, ::-1])
        painted = model.apply(params, state, crops, key=None, train=True)[0]
        value = transfer_losses(painted, goal.features(crops), goal)
        return value["total"], value["total"]

    params, values = _descend(loss, _adam(learning_rate, steps), params, content, key_steps, steps, tell)

    @jax.jit
    def paint(picture: Array) -> Array:
        return model.apply(params, state, picture[None], key=None, train=False)[0][0]

    return paint, values


def _adam(learning_rate: float, steps: int) -> optax.GradientTransformation:
    return optax.adam(optax.cosine_decay_schedule(learning_rate, steps, 0.1))


def _descend(
    loss: Callable[[PyTree, Array, Any], tuple[Array, Array]],
    optimizer: optax.GradientTransformation,
    params: PyTree,
    given: Any,
    key: Array,
    steps: int,
    tell: Tell,
) -> tuple[PyTree, Array]:
    @jax.jit
    def run(carry: tuple[PyTree, Any], keys: Array, given: Any) -> tuple[tuple[PyTree, Any], tuple[Array, Array]]:
        def step(carry: tuple[PyTree, Any], key: Array) -> tuple[tuple[PyTree, Any], tuple[Array, Array]]:
            params, opt_state = carry
            (value, extra), grads = jax.value_and_grad(loss, has_aux=True)(params, key, given)
            updates, opt_state = optimizer.update(grads, opt_state, params)
            return (optax.apply_updates(params, updates), opt_state), (value, extra)

        return jax.lax.scan(step, carry, keys)

    keys, carry, extras = jax.random.split(key, steps), (params, optimizer.init(params)), []
    each = -(-steps // REPORTS)
    for start in range(0, steps, each):
        carry, (values, extra) = run(carry, keys[start : start + each], given)
        extras.append(extra)
        tell(start + len(values), float(values[-1]))
    return carry[0], jnp.concatenate(extras)


def _mean_square(maps: Array) -> Array:
    return jnp.mean(maps**2, axis=(0, 1, 2), keepdims=True)


def _crops(key: Array, picture: Array, side: int, count: int) -> Array:
    space = jnp.array([picture.shape[0] - side + 1, picture.shape[1] - side + 1])
    corners = jax.random.randint(key, (count, 2), 0, space[None])
    return jax.vmap(lambda corner: jax.lax.dynamic_slice(picture, (*corner, 0), (side, side, 3)))(corners)


def _puzzle(key: Array, pictures: Sequence[Array], side: int) -> tuple[Array, Array]:
    """Cut 16 patches of each picture, four a rotation, and label them by picture and rotation."""
    patches = []
    for number, picture in enumerate(pictures):
        cut = _crops(jax.random.fold_in(key, number), picture, side, 4 * ROTATIONS)
        patches += [jnp.rot90(cut[4 * turn : 4 * turn + 4], turn, axes=(1, 2)) for turn in range(ROTATIONS)]
    return jnp.concatenate(patches), jnp.repeat(jnp.arange(ROTATIONS * len(pictures)), 4)
