"""The size of a model: how many parameters it has, how many bytes they take, and what one answer costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from deepprinciples.kernels.operation_counts import multiply_adds
from deepprinciples.kernels.storage import Stored
from deepprinciples.learners.assembly.factories import Config, first, model_of, trait, weights_of
from deepprinciples.learners.reparameterized import reparameterized
from deepprinciples.parts.parameter_names import name_of
from deepprinciples.types import Dataset


class Shapes(NamedTuple):
    """What the size of a model rests on, beside the floats of its reparameterizations."""

    arrays: Mapping[str, Stored]  # what training stores, by name
    state: int  # bytes of what the model itself keeps, such as running statistics
    multiply_adds: int | None  # of one example, None where they cannot be counted
    answer: Any  # its structure and shapes, for a batch of one


def shapes_of(config: Config, parts: Dataset) -> Shapes | None:
    """Trace the answer to one example, of an actor to one observation; None for a learner without such a model."""
    if "model" not in config:
        return None
    example, weights = first(parts, 1).inputs, weights_of(config)
    if (own_networks := trait("learner", config["learner"], "networks")) is not None:
        model, example, *_ = next(iter(own_networks(config, parts).values()))
    else:
        model = reparameterized(model_of(config, parts), weights)
    params, state = jax.eval_shape(lambda key: model.init(key, example), jax.random.key(0))
    answers = []  # an answer is traced once, for its shape and its cost

    def predict(fixed: Any, inputs: Any) -> Any:
        answers.append(model.apply(*fixed, inputs, key=None, train=False)[0])
        return answers[-1]

    arrays = {
        name_of(path): Stored(leaf.shape, math.prod(leaf.shape), 8 * leaf.dtype.itemsize)
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    }
    own = jax.tree.leaves(state["model"] if weights else state)
    kept = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in own if leaf.dtype.kind in "biuf")
    count = multiply_adds(predict, (params, state), example)
    return Shapes(arrays, kept, count, jax.tree.map(jax.typeof, answers[-1]))


def size_of(shapes: Shapes, config: Config) -> dict[str, Any]:
    """Return what is left to store and to compute after training, with the settings of a config.

    Args:
        shapes: of a config that differs from this one in floats only.
        config: resolved, its floats numbers.

    Returns:
        `parameters`, those that are not zero by construction; `bytes` of them and of the model's state at the width at
        which each is stored, maps of pruned weights and scales of quantized ones included; `multiply_adds` of one
        example.
    """
    arrays = shapes.arrays
    for one in weights_of(config).values():
        arrays = arrays if one.sizes is None else one.sizes(arrays)
    return {
        "parameters": sum(one.values for one in arrays.values()),
        "bytes": sum(one.size for one in arrays.values()) + shapes.state,
        "multiply_adds": shapes.multiply_adds,
    }
