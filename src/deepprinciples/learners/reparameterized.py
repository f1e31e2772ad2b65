"""A model that uses reparameterized weights: its parameters are those that are stored, see `parts.weights`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepprinciples.kernels.keys import stream
from deepprinciples.types import Array, Model, PyTree, Reparameterization, Unroll

Weights = Mapping[str, Reparameterization]


def reparameterized(model: Model, weights: Weights) -> Model:
    """Return the model that uses what the reparameterizations make of its parameters, the first one first.

    Args:
        model: whose weights they are.
        weights: by name, in order; each is applied to what the one before it gives.

    Returns:
        A `Model` whose state is {"model": the model's own, "weights": {name: what a reparameterization keeps}}; the
        model itself where there are none.
    """
    if not weights:
        return model

    def init(key: Array, x: Any) -> tuple[PyTree, PyTree]:
        params, state = model.init(key, x)
        kept = {}
        for name in reversed(list(weights)):  # the last gives what the model uses, so it is begun first
            params, kept[name] = weights[name].init(stream(key, name), params)
        return params, {"model": state, "weights": kept}

    def apply(params: PyTree, state: PyTree, x: Any, **given: Any) -> tuple[Any, PyTree, dict[str, Array]]:
        perturbations = {key: state[key] for key in ("perturbations",) if key in state}
        own = {**state["model"], **perturbations} if perturbations else state["model"]
        outputs, own, seen = model.apply(used(weights, params, state), own, x, **given)
        return outputs, {"model": own, "weights": state["weights"]}, seen

    def after(params: PyTree, begun: PyTree, state: PyTree) -> tuple[PyTree, PyTree]:
        # What is kept comes from before the step: a rule may have averaged the states of shares of the batch.
        stored, kept = params, {}
        for number, (name, one) in enumerate(weights.items()):
            changed, kept[name] = one.after(stored, begun["weights"][name])
            if number == 0:
                params = changed
            elif changed is not stored:
                raise ValueError(f"weights.{name}: changes the stored weights; move it to the front of the table")
            stored = one.apply(changed, kept[name])
        return params, {**state, "weights": kept}

    def unroll(one: Unroll) -> Unroll:
        start = lambda params, state, *given: one.begin(used(weights, params, state), state["model"], *given)
        begin = lambda *given: one.begin(*given) if len(given) == 2 else start(*given)

        def advance(params: PyTree, state: PyTree, carry: PyTree, inputs: Array) -> tuple[Array, PyTree]:
            return one.advance(used(weights, params, state), state["model"], carry, inputs)

        return Unroll(begin, advance)

    return model._replace(
        init=init, apply=apply, after=after, unroll=None if model.unroll is None else unroll(model.unroll)
    )


def used(weights: Weights, params: PyTree, state: PyTree) -> PyTree:
    """Return the weights that the model of `reparameterized` uses, from those stored and its state."""
    for name, one in weights.items():
        params = one.apply(params, state["weights"][name])
    return params
