"""The U-Net against a twin in PyTorch with the same weights, and what each of its skips does."""

from __future__ import annotations

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.nn import functional

from deepprinciples.parts.models import TABLE
from deepprinciples.types import ACTIVATION_DERIVATIVE

unet = TABLE["unet"]
KEY = jax.random.key(3)
IMAGES = np.random.default_rng(5).normal(size=(2, 8, 12, 2)).astype(np.float32)
NAMES = [f"layer_{number:02d}" for number in range(7)]


@functools.cache
def drawn(**keywords):
    """Make a small model with biases that are not 0, and its outputs and activations on the images."""
    model = unet(outputs=3, bias_initializer="he_normal", width=4, **keywords)
    params, state = jax.jit(model.init)(KEY, IMAGES)
    outputs, _, seen = jax.jit(lambda p, x: model.apply(p, state, x, key=None, train=False))(params, IMAGES)
    return params, np.asarray(outputs), seen


def twin(params, images, levels, convolutions, skips):
    """Compute the same in PyTorch, channels first, from the formula on the card."""
    numbers = itertools.count()
    sized = lambda kernel: torch.tensor(np.asarray(kernel)).permute(3, 2, 0, 1)

    def layer(x):
        weights = params[f"layer_{next(numbers):02d}"]["linear"]
        bias = torch.tensor(np.asarray(weights["bias"]))
        return torch.relu(functional.conv2d(x, sized(weights["kernel"]), bias, padding="same"))

    def several(x):
        for _ in range(convolutions):
            x = layer(x)
        return x

    x, maps = torch.tensor(images).permute(0, 3, 1, 2), []
    for level in range(levels):
        x = several(functional.max_pool2d(x, 2) if level else x)
        maps.append(x)
    for skipped in maps[-2::-1]:
        x = layer(functional.interpolate(x, scale_factor=2, mode="nearest"))
        x = {"concat": torch.cat([skipped, x], 1), "add": skipped + x, "none": x}[skips]
        x = several(x)
    last = params["output"]
    y = torch.einsum("bchw,co->bhwo", x, torch.tensor(np.asarray(last["kernel"]))) + torch.tensor(
        np.asarray(last["bias"])
    )
    return y.numpy()


@pytest.mark.parametrize(("levels", "convolutions", "skips"), [(3, 1, "concat"), (2, 2, "add"), (2, 1, "none")])
def test_a_network_in_pytorch_gives_the_same(levels: int, convolutions: int, skips: str) -> None:
    """Lost: what is called a U-Net is not that of everybody else."""
    params, outputs, _ = drawn(levels=levels, convolutions=convolutions, skips=skips)
    np.testing.assert_allclose(outputs, twin(params, IMAGES, levels, convolutions, skips), rtol=1e-5, atol=1e-5)


def test_the_number_of_weights_and_the_names_of_layers() -> None:
    """Lost: the size that a study states, or a layer that no probe can name."""
    model = unet(outputs=3)
    params, _ = jax.eval_shape(model.init, KEY, jnp.zeros((2, 48, 48, 1)))
    weights = 80 + 1168 + 4640 + 2 * 4624 + 2 * 1160 + 27  # 3 x 3 x in x out + out, and the outputs of positions
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == weights == 17483
    _, outputs, seen = drawn(levels=3, convolutions=1, skips="concat")
    assert list(params) == [*NAMES, "output"] and outputs.shape == (2, 8, 12, 3)
    assert list(seen) == [*(n + end for n in NAMES for end in ("", ACTIVATION_DERIVATIVE)), "output"]
    sides = [seen[name].shape[1:] for name in NAMES]
    assert sides == [(8, 12, 4), (4, 6, 8), (2, 3, 16), (4, 6, 8), (4, 6, 8), (8, 12, 4), (8, 12, 4)]


@pytest.mark.parametrize(("skips", "seen"), [("none", False), ("add", True)])
def test_only_a_skip_tells_neighbors_apart(skips: str, seen: bool) -> None:
    """Lost: the arm without skips has some. A pool hides where in a window its maximum is."""
    model = unet(outputs=1, levels=2, width=4, kernel=1, skips=skips)
    params, state = jax.jit(model.init)(KEY, IMAGES[..., :1])
    image = jnp.zeros((1, 4, 4, 1)).at[0, 0, 0, 0].set(1.0)
    there = jax.jit(lambda x: model.apply(params, state, x, key=None, train=False)[0])(image)
    assert (np.ptp(np.asarray(there[0, :2, :2])) > 1e-3) == seen


def test_signals_and_one_level() -> None:
    """Lost: a signal, for which there is no other network with outputs for every step but a recurrent one."""
    model = unet(outputs=2, levels=1)
    outputs, _, seen = jax.eval_shape(
        lambda x: model.apply(*model.init(KEY, x), x, key=None, train=False), IMAGES[:, 0]
    )
    assert outputs.shape == (2, 12, 2) and {"layer_00", "output"} <= set(seen)


def test_what_cannot_be_halved_is_refused() -> None:
    """Lost: maps of two sizes meet at a skip, and the error is one of shapes."""
    with pytest.raises(ValueError, match=r"unet: inputs of 6 x 8 positions cannot be halved 2 times; pad or crop"):
        unet(outputs=2).init(KEY, jnp.zeros((2, 6, 8, 1)))
    with pytest.raises(ValueError, match=r"unet: inputs must be floats \[batch, height, width, channels\]"):
        unet(outputs=2).init(KEY, jnp.zeros((2, 6)))
