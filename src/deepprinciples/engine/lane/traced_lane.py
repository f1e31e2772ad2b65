"""One trace of a lane, taken apart into the three functions of a program.

A lane is initialized, trained for a segment and evaluated by one learner. All of it is traced as one function, so that
the learner is built once; each of the three is then the part of the jaxpr that its outputs need. The lane passes
through a barrier on its way from the initialization to the rest: where it comes in, a lane under way can come in too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Literal, jaxpr_as_fun

from deepprinciples.engine.lane import evaluation, fit
from deepprinciples.engine.streams import lane_key
from deepprinciples.types import Batch, Learner, PyTree


class Inputs(NamedTuple):
    """What the functions of a lane take beside it: arrays, or their shapes."""

    point: Any
    seed: Any
    indices: Any  # of a segment's examples
    data: Batch
    steps: Any
    total: Any
    split: tuple[Batch, Any]


class Functions(NamedTuple):
    """What a program does with a lane, as pure functions of arrays."""

    init: Callable[..., PyTree]  # (point, seed) -> lane
    segment: Callable[..., PyTree]  # (lane, point, seed, indices, data, steps, total) -> lane, rows of the log
    evaluate: Callable[..., PyTree]  # (lane, point, split) -> metric -> value
    lane: PyTree  # its shapes
    learner: Learner  # its functions hold tracers, what it says of itself does not


def trace(make_learner: Callable[[Mapping[str, Any]], Learner], probe: fit.Probe, shapes: Inputs) -> Functions:
    """Trace a lane from its initialization to its evaluation.

    Args:
        make_learner: builds the learner from the traced hyper-parameters.
        probe: reads the first step of each chunk.
        shapes: of one lane's inputs.

    Returns:
        The three functions, for one lane each.
    """
    learners: list[Learner] = []

    def whole(given: Inputs) -> tuple[PyTree, ...]:
        learner = make_learner(given.point.hyper)
        learners.append(learner)
        key = lane_key(given.seed)
        first = jax.tree.map(_typed, fit.start(learner, key))
        lane = jax.lax.optimization_barrier(first)
        trained = fit.segment(learner, probe, lane, key, given.data, given.indices, given.steps, given.total)
        return first, lane, trained, evaluation.evaluate(learner, lane, *given.split)

    closed, out = jax.make_jaxpr(whole, return_shape=True)(shapes)
    given: Inputs = jax.tree.unflatten(jax.tree.structure(shapes), closed.jaxpr.invars)
    first, lane, trained, found = jax.tree.unflatten(jax.tree.structure(out), closed.jaxpr.outvars)
    return Functions(
        _part(closed, (given.point, given.seed), first),
        _part(closed, (lane, *given[:-1]), trained),
        _part(closed, (lane, given.point, given.split), found),
        out[1],
        learners[-1],
    )


def _typed(value: Any) -> Any:
    """Give a value the type that an argument of its shape has: a Python number's is weak."""
    return value if jnp.issubdtype(jnp.result_type(value), jax.dtypes.prng_key) else jnp.asarray(value, value.dtype)


def _part(closed: ClosedJaxpr, inputs: tuple[PyTree, ...], outputs: PyTree) -> Callable[..., PyTree]:
    """Return the function from some variables of a jaxpr to others: the equations that lie between them."""
    starts, ends = jax.tree.leaves(inputs), jax.tree.leaves(outputs)
    needed = {end for end in ends if not isinstance(end, Literal)} - set(starts)
    equations = []
    for equation in reversed(closed.jaxpr.eqns):
        if needed.intersection(equation.outvars):
            equations.append(equation)
            needed |= {one for one in equation.invars if not isinstance(one, Literal)} - set(starts)
    between = closed.jaxpr.replace(invars=starts, outvars=ends, eqns=equations[::-1])
    evaluated = jaxpr_as_fun(ClosedJaxpr(between, closed.consts))
    return lambda *values: jax.tree.unflatten(jax.tree.structure(outputs), evaluated(*jax.tree.leaves(values)))
