"""What groups of parameters do: who belongs to which, what stays out of a gradient, and how updates are scaled.

A parameter that is left out is None in its tree, so whatever reads the leaves of a tree does not see it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from deepprinciples.parts.parameter_groups import Group
from deepprinciples.parts.parameter_names import matches, name_of, unmatched
from deepprinciples.types import Array, Average, PyTree, Scalar

Apart = Callable[[PyTree], tuple[PyTree, PyTree]]  # params -> (those that train, those that do not)
_REST = ""  # the label of parameters without a group


def labels_of(groups: Mapping[str, Group], tree: PyTree) -> PyTree:
    """Return the tree of the name of each leaf's group: the first that matches, "" where none does."""

    def label(path: tuple[Any, ...], leaf: Any) -> str:
        del leaf
        return next((key for key, group in groups.items() if matches(group.match, name_of(path))), _REST)

    return jax.tree_util.tree_map_with_path(label, tree)


def apart_of(groups: Mapping[str, Group]) -> Apart | None:
    """Return the function that takes frozen parameters apart from those that train; None where nothing is frozen."""
    frozen = {name for name, group in groups.items() if group.frozen}
    if not frozen:
        return None

    def apart(params: PyTree) -> tuple[PyTree, PyTree]:
        labels = labels_of(groups, params)
        free = jax.tree.map(lambda label, leaf: None if label in frozen else leaf, labels, params)
        return free, jax.tree.map(lambda label, leaf: leaf if label in frozen else None, labels, params)

    return apart


def joined(free: PyTree, frozen: PyTree) -> PyTree:
    """Join what was split."""
    if frozen is None:
        return free
    return jax.tree.map(lambda a, b: b if a is None else a, free, frozen, is_leaf=lambda leaf: leaf is None)


def still(frozen: PyTree) -> PyTree:
    """Return the updates of frozen parameters: -0.0, the number that changes no bit of any other when it is added."""
    return jax.tree.map(lambda leaf: jnp.full_like(leaf, -0.0), frozen)


def without_frozen(average: Average, apart: Apart) -> Average:
    """Let an average leave frozen parameters out: a mean of equal numbers may differ from them in the last bit."""

    def update(state: PyTree, params: PyTree, progress: Array) -> tuple[PyTree, PyTree]:
        free, frozen = apart(params)
        state, after = average.update(state, free, progress)
        return state, params if after is free else joined(after, frozen)

    def value(state: PyTree, params: PyTree) -> PyTree:
        free, frozen = apart(params)
        return joined(average.value(state, free), frozen)

    return Average(lambda params: average.init(apart(params)[0]), update, value)


def by_group(
    optimizer: optax.GradientTransformation, groups: Mapping[str, Group]
) -> optax.GradientTransformationExtraArgs:
    """Use a group's own optimizer for its parameters, and the given one for all others."""
    own = {name: group.optimizer for name, group in groups.items() if group.optimizer is not None}
    if not own:
        return optax.with_extra_args_support(optimizer)

    def labels(tree: PyTree) -> PyTree:
        return jax.tree.map(lambda label: label if label in own else _REST, labels_of(groups, tree))

    return optax.partition({_REST: optimizer, **own}, labels)


def chain_without_frozen(
    chain: optax.GradientTransformation, groups: Mapping[str, Group]
) -> optax.GradientTransformationExtraArgs:
    """Let a chain of transforms and optimizer see no frozen parameter; its state is that of the given one."""
    inner, apart = optax.with_extra_args_support(chain), apart_of(groups)
    if apart is None:
        return inner

    def update(grads: PyTree, state: PyTree, params: PyTree = None, **extra: Any) -> tuple[PyTree, PyTree]:
        free, frozen = apart(grads)
        updates, state = inner.update(free, state, None if params is None else apart(params)[0], **extra)
        return joined(updates, still(frozen)), state

    return optax.GradientTransformationExtraArgs(lambda params: inner.init(apart(params)[0]), update)


def factors(groups: Mapping[str, Group], steps: int) -> optax.GradientTransformation:
    """Scale updates by the factors of groups, 0 until a group begins; the state is the number of the step.

    Args:
        groups: by name, in order.
        steps: of the whole run.
    """

    def update(updates: PyTree, count: Array, params: PyTree = None) -> tuple[PyTree, Array]:
        del params

        def factor(label: str, leaf: Array) -> Array:
            if label == _REST:
                return leaf
            begun = count >= jnp.round(jnp.asarray(groups[label].begin) * steps)
            return _times(jnp.where(begun, groups[label].learning_rate, 0.0), leaf)

        return jax.tree.map(factor, labels_of(groups, updates), updates), count + 1

    return optax.GradientTransformation(lambda params: jnp.zeros((), jnp.int32), update)


def _times(factor: Scalar, update: Array) -> Array:
    """Multiply an update; by 0.0 it becomes -0.0, which leaves the bits of a parameter of -0.0 too."""
    number = jnp.asarray(factor, update.dtype)
    return jnp.where(number == 0, jnp.full_like(update, -0.0), number * update)


def problems(sections: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> Iterator[str]:
    """List what is wrong with [groups] for a model's parameters, one line each.

    Args:
        sections: by name, resolved.
        names: of all parameters, such as "layer_00/linear/kernel".
    """
    left = list(names)
    frozen = False
    for key, section in sections.items():
        where, match = f"groups.{key}", section["match"]
        if section["frozen"] and section.get("optimizer") is not None:
            yield f"{where}.optimizer: the group is frozen and takes no step; drop frozen or optimizer"
        for name, neutral in (("learning_rate", 1.0), ("begin", 0.0)):
            if section["frozen"] and section[name] != neutral:
                yield f"{where}.{name}: the group is frozen and takes no step; drop frozen or {name}"
        yield from (f"{where}.match: {problem}" for problem in unmatched(match, names))
        if names and not left:
            yield f"{where}.match: every parameter belongs to an earlier group; put this one before it"
        left = [name for name in left if not matches(match, name)]
        frozen = frozen or section["frozen"]
    if frozen and names and apart_names(sections, names) == list(names):
        yield "groups: every parameter is frozen, so nothing is left to train; leave one group out"


def apart_names(sections: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """List the names that belong to a frozen group."""
    first = lambda name: next((one for one in sections.values() if matches(one["match"], name)), {})
    return [name for name in names if first(name).get("frozen")]
