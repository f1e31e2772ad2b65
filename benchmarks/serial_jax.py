"""What a careful JAX user writes by hand around our models: a jitted step in a Python loop, or the same in one scan.

Both know nothing of our engine. A step serves any network (params, inputs) -> outputs, so stock Flax uses it too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import games
import jax
import jax.numpy as jnp
import optax
from workloads import LEARNING_RATE, OURS, Workload, examples, orders

from deepprinciples.engine.population import cpu_options

Network = Callable[[Any, Any], Any]


def our_classifier(workload: Workload) -> tuple[Network, Any]:
    """Build our model and its first parameters: the function (params, inputs) -> outputs, and the parameters."""
    from deepprinciples.learners.assembly import from_config

    vocabulary = workload.classes if workload.kind == "language" else 0
    model = from_config.part("model", OURS[workload.name](), outputs=workload.classes, vocabulary=vocabulary)
    params, state = jax.jit(model.init)(jax.random.key(0), examples(workload, 1)[0])
    return lambda p, x: model.apply(p, state, x, key=None, train=True)[0], params


def cross_entropy(outputs: Any, targets: Any) -> Any:
    """Compute the mean over all labels."""
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(outputs, targets))


def detection(outputs: Any, targets: Any) -> Any:
    """Compute our loss of a detector: there is no other in JAX."""
    from deepprinciples.domains.detection.detection_loss import detection as loss

    return jnp.mean(loss()(outputs, targets))


def classify(network: Network, workload: Workload) -> tuple[Callable, Callable]:
    """Write a step of training: gather the batch, take the gradient, let Adam update.

    Returns:
        start(params) -> carry, and step(carry, index [B], inputs, targets) -> (carry, loss).
    """
    loss_of = detection if workload.kind == "detection" else cross_entropy
    adam = optax.adam(LEARNING_RATE)

    def objective(params: Any, x: Any, y: Any) -> Any:
        return loss_of(network(params, x), y)

    def step(carry: Any, index: Any, inputs: Any, targets: Any) -> tuple[Any, Any]:
        params, opt_state = carry
        loss, grads = jax.value_and_grad(objective)(
            params, inputs[index], jax.tree.map(lambda one: one[index], targets)
        )
        updates, opt_state = adam.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), loss

    return lambda params: (params, adam.init(params)), step


SUPERVISED = ("classifier", "segmentation", "detection", "language")
OURS_BY_HAND = {**dict.fromkeys(SUPERVISED, our_classifier), "game": games.our_players}
STEPS = {**dict.fromkeys(SUPERVISED, classify), "game": games.play}


def our_model(workload: Workload) -> tuple[Any, Any]:
    """Build our network, or both of a game, and the first parameters."""
    return OURS_BY_HAND[workload.kind](workload)


def looped(network: Any, params: Any, workload: Workload, steps: int) -> tuple[Callable[[int], Any], float]:
    """Make the run of a jitted step in a Python loop; also give the seconds it took to compile."""
    start, step = STEPS[workload.kind](network, workload)
    data = jax.tree.map(jnp.asarray, examples(workload))
    order = orders(workload, steps)
    begun = time.perf_counter()
    compiled = jax.jit(step, donate_argnums=0).lower(start(params), order[0], *data).compile()
    spent = time.perf_counter() - begun

    def run(turn: int) -> None:
        del turn
        carry = jax.tree.map(jnp.copy, start(params))
        for index in order:
            carry, loss = compiled(carry, index, *data)
        jax.block_until_ready((carry, loss))

    return run, spent


def scanned(
    network: Any, params: Any, workload: Workload, steps: int, *, as_ours: bool = False, lanes: int = 0
) -> tuple[Callable[[int], Any], float]:
    """Make the run of a scan over steps, with `lanes` vmapped, and give the seconds it took to compile.

    `as_ours` compiles it with the options that the engine would choose. Each lane has an order of examples of its own,
    as our seeds have: rows that lanes share would come from the cache.
    """
    start, step = STEPS[workload.kind](network, workload)
    data = jax.tree.map(jnp.asarray, examples(workload))
    order, carry = jnp.asarray(orders(workload, max(1, lanes) * steps)), start(params)

    def fit(carry: Any, order: Any, inputs: Any, targets: Any) -> Any:
        return jax.lax.scan(lambda c, index: step(c, index, inputs, targets), carry, order)

    if lanes:
        fit = jax.vmap(fit, in_axes=(0, 0, None, None))
        order = order.reshape(lanes, steps, -1)
        carry = jax.tree.map(lambda a: jnp.repeat(jnp.asarray(a)[None], lanes, axis=0), carry)
    begun = time.perf_counter()
    lowered = jax.jit(fit).lower(carry, order, *data)
    compiled = lowered.compile(cpu_options(lowered.as_text(), params) if as_ours else None)
    spent = time.perf_counter() - begun
    return lambda turn: jax.block_until_ready(compiled(carry, order, *data)), spent
