"""Style transfer: what two pictures share in layout and in texture, as losses, and a network that paints in one pass.

The losses read features of any network. How a picture or a network is fitted to them is in `stylize`.
"""

from __future__ import annotations

from typing import cast

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from deepprinciples.kernels.convolution import convolve
from deepprinciples.kernels.im2col import row_major
from deepprinciples.kernels.pooling import avg_pool
from deepprinciples.types import Array, Model, PyTree

CONTRAST = 4.0  # pixels lie in [0, 1], most of them near 0.5: (x - 0.5) * 4 has about unit variance


def gram_matrix(features: Array) -> Array:
    """Correlate the channels of a map over all its places, so that what is left is texture without layout.

    G_ij = 1 / (H W) sum_p F_pi F_pj, with p over the places. The division makes maps of different sizes comparable.

    Args:
        features: [H, W, C] or [B, H, W, C].

    Returns:
        [C, C] or [B, C, C], symmetric and positive semidefinite.

    References:
        arXiv:1508.06576 (Gatys), arXiv:1505.07376 (textures); arXiv:1603.08155 (the division).
    """
    chex.assert_rank(features, {3, 4})
    height, width = features.shape[-3:-1]
    return jnp.einsum("...hwi,...hwj->...ij", features, features) / (height * width)


def style_loss(features: Array, gram: Array) -> Array:
    """Measure how far the texture of a map is from a given Gram matrix.

    L = |G(F) - A|^2 / |A|^2 with Frobenius norms. Gatys divides by 4 C^2 instead; by the norm of the target, layers
    weigh the same whatever their width and scale: 0 is the same texture, 1 is what a map of zeros has.

    Args:
        features: [H, W, C] or [B, H, W, C].
        gram: `gram_matrix` of the style at this layer, [C, C] or [B, C, C]; not all zero.

    Returns:
        [] or [B].

    References:
        arXiv:1508.06576.
    """
    chex.assert_rank(gram, {2, 3})
    difference = gram_matrix(features) - (gram if gram.ndim == features.ndim - 1 else gram[None])
    return jnp.sum(difference**2, axis=(-2, -1)) / jnp.sum(gram**2, axis=(-2, -1))


def content_loss(features: Array, target: Array) -> Array:
    """Measure how far a map is from another, place by place.

    L = sum (F - P)^2 / sum P^2: 0 is the same layout, 1 is what a map of zeros has.

    Args:
        features: [H, W, C] or [B, H, W, C].
        target: features of the content, of the same shape; not all zero.

    Returns:
        [] or [B].

    References:
        arXiv:1508.06576; arXiv:1603.08155 (feature reconstruction).
    """
    chex.assert_rank(features, {3, 4})
    chex.assert_equal_shape([features, target])
    axes = (-3, -2, -1)
    return jnp.sum((features - target) ** 2, axis=axes) / jnp.sum(target**2, axis=axes)


def total_variation(pictures: Array) -> Array:
    """Measure how rough a picture is: the size of the steps between neighbors.

    TV = 1 / (H W C) (sum |x[i + 1, j] - x[i, j]| + sum |x[i, j + 1] - x[i, j]|).

    Args:
        pictures: [H, W, C] or [B, H, W, C].

    Returns:
        [] or [B].

    References:
        Rudin, Osher, Fatemi, Physica D 60 (1992); arXiv:1412.0035, arXiv:1603.08155.
    """
    chex.assert_rank(pictures, {3, 4})
    down = jnp.abs(jnp.diff(pictures, axis=-3)).sum(axis=(-3, -2, -1))
    right = jnp.abs(jnp.diff(pictures, axis=-2)).sum(axis=(-3, -2, -1))
    return (down + right) / (pictures.shape[-3] * pictures.shape[-2] * pictures.shape[-1])


def match_colors(picture: Array, palette: Array) -> Array:
    """Give a picture the colors of another: their mean and covariance, by one linear map of RGB.

    y = S^(1/2) X^(-1/2) (x - mean x) + mean s, clipped into [0, 1], with X, S the covariances of both.

    Args:
        picture: x, [H, W, 3] in [0, 1].
        palette: s, [H', W', 3] in [0, 1].

    Returns:
        An array like x.

    References:
        arXiv:1606.05897 (Gatys, Bethge, Hertzmann, Shechtman).
    """

    def moments(x: Array, power: float) -> tuple[Array, Array]:
        flat = x.reshape(-1, 3)
        mean = flat.mean(axis=0)
        values, vectors = jnp.linalg.eigh((flat - mean[None]).T @ (flat - mean[None]) / len(flat))
        # A gray picture has no spread in two directions: the floor keeps their factor finite.
        return mean, (vectors * jnp.maximum(values, 1e-5)[None] ** power) @ vectors.T

    (mean, whiten), (center, color) = moments(picture, -0.5), moments(palette, 0.5)
    return jnp.clip((picture - mean[None, None]) @ whiten @ color + center[None, None], 0.0, 1.0)


def changed(pictures: Array, change: Array) -> Array:
    """Change a picture without leaving [0, 1], and without the dead gradient that a clip has.

    y = sigmoid(logit(x) + change), with x first put into [0.02, 0.98], where the logit is at most 4.

    Args:
        pictures: x, [..., 3] in [0, 1].
        change: of the same shape; 0 changes nothing.

    Returns:
        An array like x.

    References:
        arXiv:1511.01844 (logits of pixels).
    """
    x = jnp.clip(pictures, 0.02, 0.98)
    return jax.nn.sigmoid(jnp.log(x / (1.0 - x)) + change)


def pixel_maps(pictures: Array, levels: int) -> dict[str, Array]:
    """Return a picture at several sizes as maps, so that Gram matrices hold its colors too.

    F_k = (4 (x_k - 0.5), 1), with x_k the mean over windows of 2^k x 2^k pixels. The constant is a fourth channel: its
    products with the others are the mean colors.

    Args:
        pictures: x, [B, H, W, 3] in [0, 1].
        levels: how many sizes, each half of the last; a side of one pixel is halved no further.

    Returns:
        "pixels_0", "pixels_1", ...: [B, H / 2^k, W / 2^k, 4].
    """
    chex.assert_rank(pictures, 4)
    found, x = dict[str, Array](), CONTRAST * (pictures - 0.5)
    for level in range(levels):
        if level and min(x.shape[1:3]) > 1:
            x = avg_pool(x, (2, 2), (2, 2))
        found[f"pixels_{level}"] = jnp.pad(x, [(0, 0)] * 3 + [(0, 1)], constant_values=1.0)
    return found


class _Stroke(nn.Module):
    """One convolution of 3 x 3, normalized over each picture by itself where `normalized`."""

    width: int
    stride: int = 1
    normalized: bool = True

    @nn.compact
    def __call__(self, x: Array) -> Array:
        # The edge is repeated: zeros outside would be painted as a frame.
        x = jnp.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="edge")
        y = nn.Conv(
            self.width,
            (3, 3),
            strides=(self.stride,) * 2,
            padding="VALID",
            kernel_init=nn.initializers.he_normal(),
            conv_general_dilated=convolve,
            name="convolution",
        )(x)
        return nn.InstanceNorm(use_fast_variance=False, name="norm")(y) if self.normalized else y


class _Features(nn.Module):
    outputs: int
    width: int
    stages: int

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, dict[str, Array]]:
        seen = pixel_maps(x, self.stages)
        y = CONTRAST * (x - 0.5)
        for stage in range(self.stages):
            if stage and min(y.shape[1:3]) > 1:
                y = avg_pool(y, (2, 2), (2, 2))
            for number in (1, 2):
                name = f"stage_{stage}_{number}"
                y = seen[name] = nn.relu(_Stroke(self.width * 2**stage, normalized=False, name=name)(y))
        return nn.Dense(self.outputs, name="output")(y.mean(axis=(1, 2))), seen


class _Transfer(nn.Module):
    width: int
    blocks: int

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, dict[str, Array]]:
        sizes, seen = [x.shape[1:3]], {}
        y = seen["stem"] = nn.relu(_Stroke(self.width, name="stem")(x - 0.5))
        for number in (1, 2):
            sizes.append(y.shape[1:3])
            y = seen[f"down_{number}"] = nn.relu(_Stroke(self.width * 2**number, 2, name=f"down_{number}")(y))
        for number in range(self.blocks):
            name = f"block_{number:02d}"
            inner = nn.relu(_Stroke(y.shape[-1], name=f"{name}_first")(y))
            y = seen[name] = y + _Stroke(y.shape[-1], name=f"{name}_second")(inner)
        for number in (1, 2):
            # Nearest pixels, then a convolution: a transposed convolution would leave a chessboard.
            y = jax.image.resize(y, (y.shape[0], *sizes[-number], y.shape[-1]), "nearest")
            y = seen[f"up_{number}"] = nn.relu(_Stroke(y.shape[-1] // 2, name=f"up_{number}")(y))
        change = seen["output"] = _Stroke(3, normalized=False, name="output")(y)
        return changed(x, change), seen


def transfer_network(*, width: int = 16, blocks: int = 2) -> Model:
    """Build a network that repaints pictures in one style, learned once, in a single pass.

    y = sigmoid(logit(x) + U(R(D(x - 0.5)))): D halves the map twice by stride 2, R are residual blocks, U doubles it
    twice by nearest pixels and a convolution. Each convolution but the last is followed by instance normalization.
    Johnson paints from nothing; here the change of a picture is learned, so that few steps are enough.

    Args:
        width: channels at full size; twice as many at half and four times at a quarter.
        blocks: residual blocks at a quarter of the size.

    Returns:
        A `Model` on pictures [B, H, W, 3] in [0, 1], of any size: pictures like them, and the activations "stem",
        "down_1", "down_2", "block_00", ..., "up_1", "up_2" and "output". Its state is empty.

    References:
        arXiv:1603.08155 (Johnson), arXiv:1607.08022 (instance normalization).
    """
    return _model(_Transfer(width, blocks))


def feature_network(*, outputs: int, width: int = 16, stages: int = 3) -> Model:
    """Build a small classifier of pictures whose maps serve as features.

    Each stage has two convolutions with ReLU and double the channels of the last; between stages the mean is taken
    over windows of 2 x 2, which Gatys finds smoother than the maximum. The last map's mean is mapped to the outputs.

    Args:
        outputs: number of classes.
        width: channels of the first stage.
        stages: how often there are two convolutions.

    Returns:
        A `Model` on pictures [B, H, W, 3] in [0, 1], of any size: logits [B, outputs], and the activations
        "pixels_0", "stage_0_1", "stage_0_2", "pixels_1", "stage_1_1", ... Pixels are those of the picture at the size
        of the stage, with a constant as fourth channel, so that their Gram matrix holds the mean color too. The
        state is empty.

    References:
        arXiv:1409.1556 (VGG, of which this is a small one), arXiv:1508.06576 (mean in place of maximum).
    """
    return _model(_Features(outputs, width, stages))


def _model(network: nn.Module) -> Model:
    def init(key: Array, x: Array) -> tuple[PyTree, PyTree]:
        chex.assert_rank(x, 4)
        return jax.jit(network.init)(key, x)["params"], {}

    def apply(
        params: PyTree, state: PyTree, x: Array, *, key: Array | None, train: bool
    ) -> tuple[Array, PyTree, dict[str, Array]]:
        del key, train
        chex.assert_rank(x, 4)
        found = network.apply({"params": params}, row_major(x))
        outputs, activations = cast(tuple[Array, dict[str, Array]], row_major(found))
        return outputs, state, activations

    return Model(init, apply)
