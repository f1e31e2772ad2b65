"""Rules that take the batch apart: gradients of single examples, of shares, of tasks.

Every share draws from a key of its own, so with dropout the masks are not those of the whole batch; and batch norm
sees the share alone. Users find these rules in `rules.TABLE`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from deepprinciples.kernels import random
from deepprinciples.kernels.keys import fold_in, stream
from deepprinciples.kernels.microbatch import accumulate, cut
from deepprinciples.parts.clipping import norm
from deepprinciples.types import Array, Batch, Count, Limit, PyTree, Range, Rule, Scalar, Strength, traits


def _size(batch: Batch) -> int:
    return jax.tree.leaves(batch)[0].shape[0]


def _check(name: str, batch: Batch, count: int) -> None:
    if _size(batch) % count:
        raise ValueError(f"{name}: a batch of {_size(batch)} does not come in {count} equal shares")


@traits(evaluations=1)
def microbatches(*, count: Count = 4) -> Rule:
    """Accumulate the gradient over shares of the batch, one after another, to need less memory.

    g = 1 / count sum_k grad L(share k)

    This is the gradient of the batch up to rounding, but for models with dropout (other masks) and batch norm (each
    share is normalized by itself, and the running averages move by the mean over the shares).

    Args:
      count: number of equal shares; it divides the batch size.
    Returns: function (loss_fn) -> gradient_fn; one gradient evaluation a step.
    Raises: ValueError where the batch does not come in equal shares.
    Expect: Nothing but rounding: it is there for the memory. With batch norm or dropout it is another method, whose
      statistics and masks are those of the shares, and activation_mean_square may differ.
    Costs: One gradient evaluation a step, in `count` pieces one after another: fewer activations are kept, and wide
      hardware is used less well.
    """

    def rule(loss_fn: Callable[..., Any]) -> Callable[..., Any]:
        take = jax.value_and_grad(loss_fn, has_aux=True)

        def gradient_fn(params: PyTree, model_state: PyTree, batch: Batch, key: Array) -> tuple:
            _check("microbatches", batch, count)
            whole = jax.eval_shape(loss_fn, params, model_state, batch, key)
            one = lambda share, number: take(params, model_state, share, fold_in(key, number))
            return accumulate(one, batch, count, whole, params)

        return gradient_fn

    return rule


def _refuse_batch_statistics(name: str, model_state: PyTree) -> None:
    for path, _ in jax.tree_util.tree_leaves_with_path(model_state):
        if "mean" in jax.tree_util.keystr(path, simple=True, separator="/").split("/"):
            raise ValueError(
                f"{name}: batch norm has no gradient of a single example; use another normalization, such as group"
            )


def _clipped(grads: PyTree, max_norm: Scalar) -> PyTree:
    size = norm(grads)
    return jax.tree.map(lambda g: g * jnp.where(size > max_norm, max_norm / size, 1.0), grads)


def _with_noise(grads: PyTree, stddev: Scalar, key: Array) -> PyTree:
    leaves, structure = jax.tree.flatten(grads)
    keys = [fold_in(key, number) for number in range(len(leaves))]
    noisy = [g + stddev * random.normal(k, g.shape, g.dtype) for g, k in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(structure, noisy)


def _sum_over_examples(one: Callable[[Array, Any], PyTree], batch: Batch, microbatch: int) -> PyTree:
    """Add one(number, example) over the examples, so many at once; the last ones may be fewer."""
    numbered = jnp.arange(_size(batch)), batch
    at_once = lambda few: jax.tree.map(lambda g: jnp.sum(g, axis=0), jax.vmap(one)(*few))
    rounds, rest = divmod(_size(batch), microbatch)
    even = rounds * microbatch
    total = at_once(jax.tree.map(lambda a: a[even:], numbered)) if rest else None
    if not rounds:
        return total
    chunks = jax.tree.map(lambda a: a[:even].reshape(rounds, microbatch, *a.shape[1:]), numbered)
    if total is None:
        total = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(at_once, numbered))
    return jax.lax.scan(lambda t, few: (jax.tree.map(jnp.add, t, at_once(few)), None), total, chunks)[0]


@traits(neutral={"max_norm": math.inf, "noise_multiplier": 0.0}, evaluations=1)
def dp_sgd(*, max_norm: Limit = 1.0, noise_multiplier: Strength = 1.0, microbatch: Count = 16) -> Rule:
    """Clip the gradient of every example and add noise, so that no example shows (the step of private training).

    g = 1 / B (sum_i g_i min(1, max_norm / |g_i|) + noise_multiplier max_norm n), n standard normal

    A penalty on the weights is part of every example's loss and clipped with it; weight decay as a transform is not.
    The batches here are drawn without replacement, so the step is the paper's but no privacy is counted or claimed.
    max_norm = inf needs noise_multiplier = 0. The loss costs one more forward pass.

    Args:
      max_norm: largest norm of an example's gradient, over all parameters. *Sweepable.* *Neutral: inf.*
      noise_multiplier: standard deviation of the noise, in units of max_norm. *Sweepable.* *Neutral: 0.0.*
      microbatch: how many gradients of examples are held at once; it changes memory and time, no result.
    Returns: function (loss_fn) -> gradient_fn; one gradient evaluation a step.
    Raises: ValueError for models with batch norm.
    Expect: No example counts for more than max_norm, and noise covers the rest; the theory promises privacy, paid for
      in accuracy. gradient_norm is at most max_norm beside the noise, update_ratio and step_cosine turn noisy.
    Costs: One gradient evaluation a step, less well batched, and one more forward pass; `microbatch` gradients are held
      at once.
    References: Abadi et al., arXiv:1607.00133.
    """

    def rule(loss_fn: Callable[..., Any]) -> Callable[..., Any]:
        slope = jax.grad(loss_fn, has_aux=True)

        def gradient_fn(params: PyTree, model_state: PyTree, batch: Batch, key: Array) -> tuple:
            _refuse_batch_statistics("dp_sgd", model_state)
            key_examples = stream(key, "examples")

            def one(number: Array, example: Any) -> PyTree:
                alone = jax.tree.map(lambda a: a[None], example)
                key_one = fold_in(key_examples, number)
                return _clipped(slope(params, model_state, alone, key_one)[0], max_norm)

            total = _sum_over_examples(one, batch, microbatch)
            # Without noise the product would be 0 * inf where nothing is clipped.
            stddev = jnp.where(noise_multiplier == 0, 0.0, noise_multiplier * max_norm)
            noisy = _with_noise(total, stddev, stream(key, "noise"))
            grads = jax.tree.map(lambda g: g / _size(batch), noisy)
            return loss_fn(params, model_state, batch, key), grads

        return gradient_fn

    return rule


Grouping = Literal["target", "position"]


def _tasks(name: str, batch: Batch, tasks: int, grouping: Grouping) -> Batch:
    """Cut a batch into tasks: shares of examples that follow one another, after sorting where asked."""
    if grouping == "target":
        if batch.targets.ndim != 1:
            raise ValueError(f"{name}: targets {list(batch.targets.shape)} have no order; set grouping to position")
        order = jnp.argsort(batch.targets, stable=True)
        batch = jax.tree.map(lambda a: jnp.asarray(a)[order], batch)
    _check(name, batch, tasks)
    return cut(batch, tasks)


def _surgery(gram: Array, cosine: Scalar, key: Array) -> Array:
    """Turn every task's gradient away from the others, one after another in an order drawn for each.

    Gradients are written as weights [tasks] of the original ones, whose products are `gram`; so no vector is as long as
    the parameters.
    """
    tasks = gram.shape[0]
    orders = jax.vmap(lambda k: jax.random.permutation(k, tasks))(jax.random.split(key, tasks))
    sizes = jnp.sqrt(jnp.diagonal(gram))
    goal = jnp.clip(cosine, -1.0, 1.0)
    sine = jnp.sqrt(1.0 - goal**2)

    def meet(weights: Array, others: Array) -> tuple[Array, None]:  # [tasks, tasks], [tasks]
        dots = jnp.sum(weights * gram[others], axis=1)
        own = jnp.sqrt(jnp.maximum(jnp.sum((weights @ gram) * weights, axis=1), 0.0))
        scale = own * sizes[others]
        found = jnp.clip(dots / jnp.where(scale > 0, scale, 1.0), -1.0, 1.0)
        acts = (found < goal) & (scale > 0) & (others != jnp.arange(tasks))
        turn = goal * jnp.sqrt(1.0 - found**2) - found * sine
        safe = jnp.where(acts, sizes[others] * sine, 1.0)
        change = jnp.where(acts, own * turn / safe, 0.0)
        return weights + change[:, None] * jax.nn.one_hot(others, tasks, dtype=weights.dtype), None

    return jax.lax.scan(meet, jnp.eye(tasks, dtype=gram.dtype), orders.T)[0]


def _agreed(name: str, tasks: int, grouping: Grouping, cosine: Scalar) -> Rule:
    """Make the rule that has tasks agree to a cosine before their gradients are averaged."""

    def rule(loss_fn: Callable[..., Any]) -> Callable[..., Any]:
        slope = jax.grad(loss_fn, has_aux=True)

        def gradient_fn(params: PyTree, model_state: PyTree, batch: Batch, key: Array) -> tuple:
            key_tasks = stream(key, "tasks")

            def one(number: Array, share: Any) -> Array:
                grads = slope(params, model_state, share, fold_in(key_tasks, number))[0]
                return ravel_pytree(grads)[0]

            shares = _tasks(name, batch, tasks, grouping)
            rows = jax.vmap(one)(jnp.arange(tasks), shares)  # [tasks, P]
            gram = jnp.matmul(rows, rows.T, precision="highest")
            weights = _surgery(gram, cosine, stream(key, "order"))
            mixed = jnp.matmul(jnp.mean(weights, axis=0), rows, precision="highest")
            return loss_fn(params, model_state, batch, key), ravel_pytree(params)[1](mixed)

        return gradient_fn

    return rule


@traits(evaluations=1)
def pcgrad(*, tasks: Count = 2, grouping: Grouping = "target") -> Rule:
    """Project the gradients of conflicting tasks off each other before they are averaged (PCGrad).

    g = 1 / tasks sum_i g_i'; from g_i' = g_i, for every other task j in an order drawn for i:
    g_i' -= (g_i' . g_j) / |g_j|^2 g_j wherever g_i' . g_j < 0

    A task is an equal share of the batch. By "target" the batch is sorted first, so that a task is some neighboring
    classes or a range of values; by "position" it is examples that follow one another. Tasks without a conflict, and
    tasks = 1, give the gradient of the batch up to rounding. It holds `tasks` gradients, and the loss costs one more
    forward pass.

    Args:
      tasks: number of equal shares; it divides the batch size.
      grouping: how the batch is cut into tasks.
    Returns: function (loss_fn) -> gradient_fn; one gradient evaluation a step.
    Raises: ValueError where the batch does not come in equal shares, or targets are no single numbers to sort by.
    Expect: Claimed to help where the gradients of tasks pull against each other; gradient_norm is that of what is left.
      Nothing but rounding where no two tasks conflict, as where gradient_agreement (gradient_noise) is near 1.
    Costs: One gradient evaluation a step and one more forward pass; `tasks` gradients are held at once.
    References: Yu et al., arXiv:2001.06782.
    """
    return _agreed("pcgrad", tasks, grouping, 0.0)


@traits(neutral={"cosine": -1.0}, evaluations=1)
def gradvac(
    *,
    tasks: Count = 2,
    cosine: Annotated[Scalar, Range("[-1, 1)", "-1.0 switches it off")] = 0.1,
    grouping: Grouping = "target",
) -> Rule:
    """Turn the gradients of tasks towards each other, until they agree to a cosine, before they are averaged (GradVac).

    g = 1 / tasks sum_i g_i'; from g_i' = g_i, for every other task j in an order drawn for i, wherever
    f = cos(g_i', g_j) < c = cosine: g_i' += |g_i'| (c sqrt(1 - f^2) - f sqrt(1 - c^2)) / (|g_j| sqrt(1 - c^2)) g_j

    Tasks are those of `pcgrad`, which this is at cosine 0. The paper lets the goal follow a moving average of the
    cosines; a rule has no state, so here the goal stands still and can be swept.

    Args:
      tasks: number of equal shares; it divides the batch size.
      cosine: the agreement asked for, in [-1, 1). *Sweepable.* *Neutral: -1.0.*
      grouping: how the batch is cut into tasks.
    Returns: function (loss_fn) -> gradient_fn; one gradient evaluation a step.
    Raises: ValueError where the batch does not come in equal shares, or targets are no single numbers to sort by.
    Expect: Claimed to help tasks that have something in common, also where they do not conflict; gradient_norm is that
      of what is left. Nothing but rounding where all tasks agree beyond the cosine asked for.
    Costs: One gradient evaluation a step and one more forward pass; `tasks` gradients are held at once.
    References: Wang et al., arXiv:2010.05874.
    """
    return _agreed("gradvac", tasks, grouping, cosine)
