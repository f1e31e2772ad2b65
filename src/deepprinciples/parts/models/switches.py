"""How a module of Linen, NNX or Equinox learns that it trains, and checks that its layers act on it.

Dropout and batch normalization that stay as they are in evaluation change no number anywhere, so nothing else would
show it. The checks read shapes and the identity of arrays: they run while a model is traced.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable

import flax.linen as nn
import jax
from flax import nnx

from deepprinciples.parts.layers.normalization import enough_examples
from deepprinciples.types import Array, PyTree

ON_IN_TRAINING = ("train", "training", "is_training")
OFF_IN_TRAINING = ("deterministic", "use_running_average", "inference")


def switches(train: bool) -> dict[str, bool]:
    """List what tells a module that it trains, under all names in use."""
    return dict.fromkeys(ON_IN_TRAINING, train) | dict.fromkeys(OFF_IN_TRAINING, not train)


def parameters(function: Callable) -> set[str]:
    """Name the parameters of a function, of what it wraps where its own signature is hidden."""
    return set(inspect.signature(inspect.unwrap(function)).parameters)


def stays_off(what: str) -> str:
    """Word the refusal of a layer that a module never switches on."""
    return (
        f"{what} stays off in training; expected a module whose __call__ takes one of {', '.join(switches(True))} and "
        "hands it on"
    )


def check_layer(layer: nn.Module, args: tuple, kwargs: dict) -> None:
    """Refuse a Linen layer that stays as in evaluation, and statistics of too few values; raises ValueError."""
    if not isinstance(layer, nn.Dropout | nn.BatchNorm):
        return
    flag = "deterministic" if isinstance(layer, nn.Dropout) else "use_running_average"
    given = kwargs.get(flag, args[1] if len(args) > 1 else None)
    off = getattr(layer, flag) if given is None else given
    name = "/".join(layer.path)
    if isinstance(layer, nn.Dropout):
        if off is True and not (isinstance(layer.rate, int | float) and layer.rate == 0):
            raise ValueError(stays_off(f"Dropout {name}"))
    elif off is True:
        raise ValueError(stays_off(f"BatchNorm {name}"))
    elif args and layer.axis_name is None:
        axes = [layer.axis] if isinstance(layer.axis, int) else layer.axis
        features = math.prod(args[0].shape[axis] for axis in axes)
        enough_examples(f"BatchNorm {name}", len(args[0]), args[0].size // features // len(args[0]))


def check_switched(module: nnx.Module, x: Array, *, drew: bool, moved: bool) -> None:
    """Refuse an NNX module whose dropout drew nothing, or whose statistics did not move; raises ValueError."""
    layers = [layer for _, layer in nnx.iter_graph(module)]
    if not drew and any(isinstance(layer, nnx.Dropout) and 0.0 < layer.rate < 1.0 for layer in layers):
        raise ValueError(stays_off("Dropout"))
    if any(isinstance(layer, nnx.BatchNorm) for layer in layers):
        if not moved:
            raise ValueError(stays_off("BatchNorm"))
        if x.ndim == 2:  # the number of positions between the layers is not known
            enough_examples("BatchNorm", len(x), 1)


def same_leaves(before: PyTree, after: PyTree) -> bool:
    """Tell whether there are arrays, and a call put none in the place of any of them."""
    pairs = list(zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=False))
    return bool(pairs) and all(old is new for old, new in pairs)
