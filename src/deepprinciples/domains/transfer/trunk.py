"""Features of pictures by the first layers of a pretrained network, computed once, so that only the rest is trained.

A layer that is frozen in every arm gives the same maps at every step: taken as data, they cost one pass in all.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

from deepprinciples.domains.transfer import efficientnet
from deepprinciples.errors import DataError, IntegrityError
from deepprinciples.parts.fetched import fetching
from deepprinciples.parts.fetched.published import SETS
from deepprinciples.parts.files import torch_files
from deepprinciples.parts.splitting import trees
from deepprinciples.parts.splitting.array_checks import as_array, show
from deepprinciples.parts.splitting.sources import Source
from deepprinciples.types import Array, PyTree, Range, Split

PUBLISHED = "efficientnet_lite0"
ROWS = 64  # pictures of one pass
Layer = Annotated[int, Range(f"[1, {efficientnet.HEAD}]", "the number that model.first_layer has")]
Side = Annotated[int, Range("[32, 1024]", "32 is the least, 224 what the network was trained at")]


def trunk_features(
    *,
    of: Annotated[Callable[..., Any], "source"],
    first_layer: Layer = 15,
    size: Side = 64,
    path: str = "",
    download: bool = True,
) -> Source:
    """Take maps of a pretrained EfficientNet-Lite0 as inputs: what its first layers make of pictures.

    A model `efficientnet_lite0` with the same `first_layer` reads them; its weights come from `start.pretrained`. With
    both, an arm trains what it would with all layers before `first_layer` frozen, at a fraction of the cost. Pictures
    are brought to `size` x `size` pixels by linear interpolation; gray ones have three equal channels. Targets, parts
    and groups stay those of the pictures. License: that of the pictures; the weights are Apache-2.0.

    Args:
      of: a data set of pictures [N, H, W, 3] or [N, H, W, 1], uint8 or floats of at most one: its name, or its section.
      first_layer: the first layer that is left to the model; see `efficientnet_lite0`.
      size: pixels of a side that the network sees.
      path: folder with the file of weights; "" looks in the usual places.
      download: fetch the weights (19 MB, into the cache directory) where no folder has them.

    Returns:
      Source with inputs [N, h, w, C], not standardized, and the targets of `of`.

    Raises:
      DataError: if these are no pictures in [0, 1], or the weights are not found or not the published ones.

    References: arXiv:1905.11946 (the network), arXiv:1403.6382 (features of a network for other tasks).
    """
    source: Source = of  # type: ignore[assignment]  # the build calls the factory that stands here
    if source.stream is not None or source.leaves is not None and trees.is_tree(source.inputs) or source.vocabulary:
        raise DataError("data.of: found a stream, tokens or a tree; expected a data set of pictures in one array")
    params = pretrained(fetching.get(PUBLISHED, path, download), first_layer)
    maps = lambda inputs, where: maps_of(_pictures(inputs, where), params, size)
    part = lambda given, where: None if given is None else Split(maps(given.inputs, where), given.targets)
    return source._replace(
        inputs=maps(source.inputs, "data.of.inputs"),
        validation=part(source.validation, "data.of.validation_inputs"),
        test=part(source.test, "data.of.test_inputs"),
        standardize=False,
        feature_names=(),
        display=None,
    )


def pretrained(folder: Path, layers: int) -> dict[str, PyTree]:
    """Read the parameters of the first `layers` layers from a folder with the published file.

    Raises:
        DataError: the file cannot be read, or lacks something.
    """
    file = folder / SETS[PUBLISHED].files[0].name
    names = [
        f"{efficientnet.layer_name(number)}/{part}/{leaf}"
        for number in range(layers)
        for part in efficientnet.shapes(number)
        for leaf in ("kernel", "bias")
    ]
    try:
        found = efficientnet.from_torch(torch_files.state_dict_of(file.read_bytes(), str(file)), names)
    except (IntegrityError, OSError) as error:
        raise DataError(f"{file}: {error}" if isinstance(error, OSError) else str(error)) from None
    params: dict[str, Any] = {}
    for name, array in found.items():
        layer, part, leaf = name.split("/")
        params.setdefault(layer, {}).setdefault(part, {})[leaf] = array
    return params


@functools.partial(jax.jit, static_argnames="size")
def _run(params: PyTree, x: Array, size: int) -> Array:
    if x.shape[1:3] != (size, size):
        x = jax.image.resize(x, (x.shape[0], size, size, x.shape[-1]), "linear")
    for number, name in enumerate(sorted(params)):
        x = efficientnet.layer(number, params[name], x)
    return x


def maps_of(pictures: np.ndarray, params: PyTree, size: int) -> np.ndarray:
    """Run the first layers on pictures [N, H, W, 3], some at a time."""
    made = []
    for start in range(0, len(pictures), ROWS):
        some = pictures[start : start + ROWS]
        padded = np.pad(some, [(0, min(ROWS, len(pictures)) - len(some)), *[(0, 0)] * 3])
        made.append(np.asarray(_run(params, jnp.asarray(padded), size))[: len(some)])
    return np.concatenate(made)


def _pictures(inputs: Any, where: str) -> np.ndarray:
    """Check pictures, and bring them to floats [N, H, W, 3]."""
    array = as_array(inputs, where)
    if array.ndim != 4 or array.shape[-1] not in (1, 3) or not len(array):
        raise DataError(f"{where}: found an array of shape {show(array.shape)}, expected pictures [N, H, W, 3 or 1]")
    array = array.astype(np.float32) / (255 if array.dtype == np.uint8 else 1)
    if not (array.min() >= 0 and array.max() <= 1):
        raise DataError(f"{where}: found values from {array.min():.3g} to {array.max():.3g}, expected uint8 or [0, 1]")
    return np.repeat(array, 3, axis=-1) if array.shape[-1] == 1 else array
