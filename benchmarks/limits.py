"""What a step is made of: its matrix products, each timed alone, beside the whole step, on one core.

No order of the other operations makes a step faster than its products are; what they take of a step says how much is
left to win. A product is timed in both orders of its factors, since the compiler may choose either, and the faster
counts.
"""

from __future__ import annotations

import collections
import functools
import math
import statistics
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.interpreters import partial_eval
from ours import made, runner
from serial_jax import STEPS, our_model
from timing import Row, answer, one_core, rounds, row, seconds
from workloads import Effort, Workload, examples, orders, scaled

from deepprinciples.engine.population import cpu_options

TIMED = 4e9  # operations of a timed loop


class Product(NamedTuple):
    """A matrix product of the step: what `lax.dot_general` takes."""

    left: tuple[int, ...]
    right: tuple[int, ...]
    dimensions: Any  # ((contracted of left, of right), (batch axes of left, of right))

    @property
    def operations(self) -> int:
        """Count its multiplications and additions."""
        (_, contracted), (_, batch) = self.dimensions
        free = [size for axis, size in enumerate(self.right) if axis not in (*contracted, *batch)]
        return 2 * math.prod(self.left) * math.prod(free)

    def swapped(self) -> Product:
        """Exchange the factors."""
        (one, other), (batch, again) = self.dimensions
        return Product(self.right, self.left, ((other, one), (again, batch)))


def products_of(jaxpr: Any, times: int = 1) -> collections.Counter[Product]:
    """Count the products of a jaxpr and of what it calls, those in a loop as often as it runs."""
    found: collections.Counter[Product] = collections.Counter()
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            shapes = [tuple(var.aval.shape) for var in equation.invars]
            found[Product(*shapes, equation.params["dimension_numbers"])] += times
        often = times * (equation.params["length"] if equation.primitive.name == "scan" else 1)
        for value in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda one: hasattr(one, "jaxpr")):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                found += products_of(inner, often)
    return found


def alone(product: Product) -> float:
    """Time a product in a loop of products, in seconds, by the faster of XLA's libraries."""
    count = min(20_000, max(8, round(TIMED / product.operations)))
    rng = np.random.default_rng(0)
    left, right = (jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in product[:2])

    def body(_: Any, carry: Any) -> Any:
        left, right, last = jax.lax.optimization_barrier((*carry[:2], carry[2]))
        del last
        return left, right, jax.lax.dot_general(left, right, product.dimensions)

    out = jax.eval_shape(functools.partial(jax.lax.dot_general, dimension_numbers=product.dimensions), left, right)
    carry = (left, right, jnp.zeros(out.shape, out.dtype))
    lowered = jax.jit(lambda carry: jax.lax.fori_loop(0, count, body, carry)[2]).lower(carry)
    loops = [lowered.compile(cpu_options(like, ())) for like in ("", "batching_dims")]
    calls = [functools.partial(lambda loop: jax.block_until_ready(loop(carry)), loop) for loop in loops]
    for call in calls:
        call()
    return min(seconds(call) for call in calls for _ in range(3)) / count


def products(workload: Workload, effort: Effort) -> list[Row]:
    """Time each product of a step alone, and the step as the engine takes it."""
    one_core()
    network, params = our_model(workload)
    start, step = STEPS[workload.kind](network, workload)
    data = jax.tree.map(jnp.asarray, examples(workload))
    closed = jax.make_jaxpr(step)(start(params), orders(workload, 1)[0], *data)
    jaxpr, _ = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
    found = products_of(jaxpr)
    spent = sum(count * min(alone(one), alone(one.swapped())) for one, count in found.items())
    operations = sum(count * one.operations for one, count in found.items())
    steps = scaled(workload.steps, effort._replace(factor=min(1.0, effort.factor)))
    whole = made(workload, steps, 1)
    (times,) = rounds([runner(whole, 1)], effort.repeats)
    limit = functools.partial(row, workload.name, table="limits", compile_seconds=0.0)
    share = spent * steps / statistics.median(times)
    return [
        limit("its products alone", [spent], 1, ratio=share, gigaflop=operations / 1e9, rate=operations / spent / 1e9),
        limit("a whole step", times, steps, ratio=1.0),
    ]


if __name__ == "__main__":
    answer({"products": products})
