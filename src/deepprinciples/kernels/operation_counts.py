"""Counts of multiply-adds, read off the jaxpr of a function: what it would cost, without running it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from deepprinciples.types import PyTree


def multiply_adds(function: Callable[[PyTree, PyTree], Any], fixed: PyTree, inputs: PyTree) -> int | None:
    """Count the multiply-adds of all matrix products and convolutions of which a side depends on the inputs.

    A product of [m, k] and [k, n] has m k n, whatever the numbers are: zeros and padding count. What depends on the
    fixed values alone, such as a product of two factors of a kernel, can be made once and does not count.

    Args:
        function: (fixed, inputs) -> anything.
        fixed: arrays or their shapes.
        inputs: arrays or their shapes; for the count of one example, a batch of one.

    Returns:
        The count; None where a loop decides by itself how long it runs.
    """
    closed = jax.make_jaxpr(function)(fixed, inputs)
    constant = len(jax.tree.leaves(fixed))
    flags = [number >= constant for number in range(len(closed.jaxpr.invars))]
    count, _ = _counted(closed.jaxpr, flags, [True] * len(closed.jaxpr.outvars))
    return None if math.isinf(count) else int(count)


def _counted(jaxpr: Jaxpr, flags: Sequence[bool], wanted: Sequence[bool]) -> tuple[float, list[bool]]:
    """Count in a jaxpr what its wanted outputs need; inputs depend on the example as flagged, and so do outputs."""
    needed = {var for var, keep in zip(jaxpr.outvars, wanted, strict=True) if keep and not isinstance(var, Literal)}
    alive = []
    for equation in reversed(jaxpr.eqns):  # a model also tells of its layers, which an answer has no use for
        asked = [var in needed for var in equation.outvars]
        if any(asked):
            alive.append((equation, asked))
            needed |= {var for var in equation.invars if not isinstance(var, Literal)}
    depends = {var for var, flag in zip(jaxpr.invars, flags, strict=True) if flag}
    reads = lambda var: not isinstance(var, Literal) and var in depends
    total = 0.0
    for equation, asked in reversed(alive):
        count, out = _of_equation(equation, [reads(var) for var in equation.invars], asked)
        total += count
        depends |= {var for var, flag in zip(equation.outvars, out, strict=True) if flag}
    return total, [reads(var) for var in jaxpr.outvars]


def _of_equation(equation: Any, flags: list[bool], asked: list[bool]) -> tuple[float, list[bool]]:
    name, given = equation.primitive.name, equation.params
    if not any(flags):
        return 0.0, [False] * len(asked)
    if name == "scan":
        kept, carried = given["num_consts"], given["num_carry"]
        wanted = [True] * carried + asked[carried:]
        while True:  # what is carried may depend on the example from the second round on
            count, out = _counted(given["jaxpr"].jaxpr, flags, wanted)
            carry = [before or after for before, after in zip(flags[kept:], out[:carried], strict=False)]
            if carry == flags[kept : kept + carried]:
                return given["length"] * count, out
            flags = [*flags[:kept], *carry, *flags[kept + carried :]]
    if name == "while":
        body = given["body_jaxpr"].jaxpr
        count, _ = _counted(body, [True] * len(body.invars), [True] * len(body.outvars))
        return math.inf if count else 0.0, [True] * len(asked)
    if name == "cond":
        found = [_counted(branch.jaxpr, flags[1:], asked) for branch in given["branches"]]
        out = [flags[0] or any(column) for column in zip(*(one for _, one in found), strict=True)]
        return max(count for count, _ in found), out
    if name == "dot_general":
        (contracted, _), _ = given["dimension_numbers"]
        shape = equation.invars[0].aval.shape
        return equation.outvars[0].aval.size * math.prod(shape[axis] for axis in contracted), [True]
    if name == "conv_general_dilated":
        kernel = equation.invars[1].aval
        return equation.outvars[0].aval.size * kernel.size / kernel.shape[given["dimension_numbers"].rhs_spec[0]], [
            True
        ]
    for inner in _inside(given.values()):
        if len(inner.invars) == len(flags) and len(inner.outvars) == len(asked):
            return _counted(inner, flags, asked)
    return 0.0, [True] * len(asked)


def _inside(values: Iterable[Any]) -> Iterable[Jaxpr]:
    """List the jaxprs among the parameters of an equation: a function that it calls."""
    for value in values:
        if isinstance(value, ClosedJaxpr):
            yield value.jaxpr
        elif isinstance(value, Jaxpr):
            yield value
