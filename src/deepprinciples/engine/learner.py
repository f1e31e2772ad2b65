"""Learners: what one step of a training method is, as pure functions.

`supervised` makes one from a model, a loss, regularizers, a rule and an optimizer. The engine runs any learner and
knows none of them; a game of two players or a policy is another function in a room like this one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from deepprinciples.engine import averaging
from deepprinciples.engine.causes import RAW
from deepprinciples.kernels import shares
from deepprinciples.kernels.keys import stream
from deepprinciples.types import (
    ASIDE,
    Array,
    Augment,
    Average,
    Batch,
    Info,
    Learner,
    Model,
    OnActivations,
    OnFunction,
    PyTree,
)


def arrays_of(activations: Mapping[str, Any]) -> dict[str, Array]:
    """Keep the arrays of floats among what a model tells of its layers: probes and taps read nothing else."""
    plain = lambda one: isinstance(one, jax.Array) and jnp.issubdtype(one.dtype, jnp.floating)
    return {name: one for name, one in activations.items() if plain(one)}


class State(NamedTuple):
    """What a supervised learner carries from step to step."""

    params: PyTree
    model_state: PyTree
    opt_state: PyTree
    average: averaging.Averaged | None = None

    @property
    def judged(self) -> PyTree:
        """Give the parameters that are judged and kept: the average of the weights, where there is one."""
        return self.params if self.average is None else self.average.params


def supervised(
    *,
    model: Model,
    loss: Callable[[Array, Array], Array],
    optimizer: optax.GradientTransformation,
    rule: Callable,
    example: Any,
    penalties: Sequence[Callable[[PyTree], Array] | OnActivations | OnFunction] = (),
    augments: Sequence[Augment] = (),
    metrics: Mapping[str, Callable[[Array, Array], Array]] | None = None,
    evaluations: int = 1,
    average: Average | None = None,
    steps: int = 1,
    splits: bool = False,
) -> Learner:
    """Make the learner of supervised training.

    objective(params) = mean_i loss(model(x_i), y_i) + sum of penalties; the rule takes its gradient, the
    optimizer (transforms included) turns it into updates.

    Args:
        model: see `types.Model`.
        loss: (outputs, targets) -> [B].
        optimizer: the whole chain of gradient transformations; it is given `key=` and `value=` (the loss) as extras.
        rule: (loss_fn) -> gradient_fn, see `parts.rules`; it is given `objective` and calls it with the parameters,
            the model state, the batch (or any share of it) and the key of the step (or one derived from it).
        example: inputs [B, ...] that the model is initialized with; for most only their shapes count, and B may be 1.
        penalties: added to the loss: functions (params) -> scalar, or see `types.OnActivations` and `OnFunction`.
        augments: applied to each training batch in order.
        metrics: name -> (outputs, targets) -> [B]; `loss` is always among the evaluated.
        evaluations: gradient evaluations a step of the rule costs.
        average: of the weights, judged in place of the last ones; these are then judged as "raw_loss" and so on.
        steps: of the whole run, for the average.
        splits: whether, as far as rule and loss go, the gradient of a batch is the mean of those of equal shares of it;
            large batches of a `separate` model then go through in shares, see `kernels.shares`.

    Returns:
        A `Learner`.
    """
    chain = optax.with_extra_args_support(optimizer)
    measured = {**(metrics or {}), "loss": loss}

    def init(key: Array) -> State:
        params, model_state = model.init(stream(key, "init"), example)
        begun = None if average is None else averaging.begin(average, params, model_state)
        return State(params, model_state, chain.init(params), begun)

    def objective(params: PyTree, model_state: PyTree, batch: Batch, key: Array) -> tuple[Array, tuple]:
        outputs, new_state, activations = model.apply(params, model_state, batch.inputs, key=key, train=True)
        activations = arrays_of(activations)
        data_loss = jnp.mean(loss(outputs, batch.targets))

        def function(inputs: Array) -> Array:
            return model.apply(params, model_state, inputs, key=key, train=True)[0]

        def cost(number: int, penalty: Any) -> Array:
            if isinstance(penalty, OnActivations):
                return penalty.apply(activations)
            if isinstance(penalty, OnFunction):
                return penalty.apply(function, batch.inputs, stream(key, f"penalty{number}"))
            return penalty(params)

        penalty = sum((cost(*each) for each in enumerate(penalties)), start=jnp.zeros(()))
        return data_loss + penalty, (data_loss, new_state, activations)

    def gradient(params: PyTree, model_state: PyTree, batch: Batch, key: Array) -> tuple:
        take = rule(objective)
        if not (splits and model.separate and all(map(callable, penalties))):
            return take(params, model_state, batch, key)
        told = jax.eval_shape(objective, params, model_state, batch, key)
        seen = {name: a for name, a in told[1][2].items() if not name.endswith(ASIDE)}
        count = shares.count_of(len(batch.inputs), seen, params)
        if count == 1:
            return take(params, model_state, batch, key)
        return shares.accumulate(lambda share, _: take(params, model_state, share, key), batch, count, told, params)

    def step(state: State, batch: Batch, key: Array) -> tuple[State, Info]:
        for number, augment in enumerate(augments):
            batch = augment.apply(stream(key, f"augment{number}"), batch)
        key_model = stream(key, "dropout")
        arguments = (state.model_state, batch, key_model)
        (value, (data_loss, model_state, activations)), grads = gradient(state.params, *arguments)
        updates, opt_state = chain.update(grads, state.opt_state, state.params, key=stream(key, "noise"), value=value)
        params, held = optax.apply_updates(state.params, updates), state.average
        if average is not None and held is not None:
            stepped = params
            held, params = averaging.follow(average, held, params, steps)
            updates = updates if params is stepped else optax.tree.sub(params, state.params)

        def activation_grads() -> Mapping[str, Array]:
            if not model.tapped:
                return {}
            taps = {name: jnp.zeros_like(a) for name, a in activations.items() if not name.endswith(ASIDE)}
            tapped = lambda t: objective(state.params, {**state.model_state, "perturbations": t}, batch, key_model)[0]
            return jax.grad(tapped)(taps)

        def value_of(params: PyTree, batch: Batch) -> Array:
            return objective(params, state.model_state, batch, key_model)[0]

        def forward(params: PyTree, inputs: Array) -> tuple[Array, Mapping[str, Array]]:
            outputs, _, seen = model.apply(params, state.model_state, inputs, key=None, train=False)
            return outputs, arrays_of(seen)

        info = Info(
            data_loss, state.params, grads, updates, opt_state, activations, activation_grads,
            batch=batch, gradient=jax.grad(value_of), key=stream(key, "probe"), objective=value_of, forward=forward,
        )  # fmt: skip
        return State(params, model_state, opt_state, held), info

    def judge(params: PyTree, model_state: PyTree, batch: Batch, stem: str = "") -> dict[str, Array]:
        outputs, _, _ = model.apply(params, model_state, batch.inputs, key=None, train=False)
        return {stem + name: metric(outputs, batch.targets) for name, metric in measured.items()}

    def evaluate(state: State, batch: Batch) -> dict[str, Array]:
        raw = functools.partial(judge, state.params, state.model_state, batch)
        if state.average is None:
            return raw()
        return judge(state.average.params, state.average.model_state, batch) | raw(RAW)

    def settle(average: Average, state: State, batches: Batch, key: Array) -> State:
        return state._replace(average=averaging.settled(average, model, state, batches, key))

    settles = None if average is None else functools.partial(settle, average)
    return Learner(init, step, evaluate, evaluations, settle=settles)
