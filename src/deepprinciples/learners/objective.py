"""The learner of one objective: its gradient, taken as a rule says, goes through transforms and an optimizer.

Supervised training is one such objective; so are masked, contrastive and CTC training, and distillation.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from deepprinciples.engine.divergence import RAW
from deepprinciples.kernels import microbatch
from deepprinciples.kernels.keys import stream
from deepprinciples.learners import averaging
from deepprinciples.learners.grouping import Apart, joined, still, without_frozen
from deepprinciples.learners.writing import write, writer_of
from deepprinciples.types import (
    AUXILIARY,
    ActivationPenalty,
    Array,
    Aux,
    Average,
    Batch,
    BatchTransform,
    FunctionPenalty,
    Info,
    Learner,
    Metric,
    Model,
    Objective,
    PyTree,
    State,
)


def arrays_of(activations: Mapping[str, Any]) -> dict[str, Array]:
    """Keep the arrays of floats among what a model tells of its layers: probes and perturbations read nothing else."""
    plain = lambda one: isinstance(one, jax.Array) and jnp.issubdtype(one.dtype, jnp.floating)
    return {name: one for name, one in activations.items() if plain(one)}


def minimize(
    objective: Objective,
    *,
    optimizer: optax.GradientTransformation,
    example: Batch,
    trainable: Apart | None = None,
    gradient: Callable[..., Any] | None = None,
    penalties: Sequence[Callable[[PyTree], Array] | ActivationPenalty | FunctionPenalty] = (),
    augment: Sequence[BatchTransform] = (),
    metrics: Mapping[str, Metric] | None = None,
    evaluations: int = 1,
    weight_averaging: Average | None = None,
    steps: int = 1,
    splits: bool = False,
) -> Learner:
    """Make the learner of an objective.

    value(params) = mean_i loss_i + sum of penalties; the rule takes its gradient, the optimizer (transforms included)
    turns it into updates.

    Args:
        objective: see `types.Objective`.
        optimizer: the whole chain of gradient transformations; it is given `key=` and `value=` (the loss) as extras.
        example: a batch that the model is initialized with; for most only shapes count, and it may hold one example.
        trainable: (params) -> (those that train, those that are frozen), each with None for the other; rule, penalties,
            optimizer and average then see the first alone. None trains all.
        gradient: (loss_fn) -> gradient_fn, see `parts.gradient_rules`; it gets the value above and calls it with the
            parameters, the model state, the batch (or any share of it) and the key of the step (or one derived from
            it). None takes the plain gradient.
        penalties: added to the loss: functions (params) -> scalar, `types.ActivationPenalty` or `FunctionPenalty`.
        augment: applied to each training batch in order.
        metrics: by name; `loss` is always among the evaluated.
        evaluations: gradient evaluations a step of the rule costs.
        weight_averaging: evaluated in place of the last ones; those are then recorded as "raw_loss" and so on.
        steps: of the whole run, for the average.
        splits: whether, as far as rule and loss go, the gradient of a batch is the mean of those of equal shares of it;
            large batches of a `per_example` objective then go through in shares, see `kernels.microbatch`.

    Returns:
        A `Learner` whose state is a `types.State`.
    """
    chain = optax.with_extra_args_support(optimizer)
    measured = metrics or {}
    apart = trainable or (lambda params: (params, None))
    average = weight_averaging
    if average is not None and trainable is not None:
        average = without_frozen(average, trainable)

    def init(key: Array) -> State:
        params, model_state = objective.init(stream(key, "init"), example)
        begun = None if average is None else averaging.begin(average, params, model_state)
        return State(params, model_state, chain.init(params), begun)

    def value_of(
        free: PyTree, frozen: PyTree, model_state: PyTree, batch: Batch, key: Array
    ) -> tuple[Array, tuple[Any, ...]]:
        params = joined(free, frozen)
        losses, (new_state, activations) = objective.loss(params, model_state, batch, key)
        activations = arrays_of(activations)
        data_loss = jnp.mean(losses)

        def function(inputs: PyTree) -> Any:
            if objective.function is None:
                return objective.predict(params, model_state, inputs)
            return objective.function(params, model_state, inputs, key)

        def cost(number: int, penalty: Any) -> Array:
            if isinstance(penalty, ActivationPenalty):
                return penalty.apply(activations)
            if isinstance(penalty, FunctionPenalty):
                return penalty.apply(function, batch.inputs, stream(key, f"penalty{number}"))
            return penalty(free)

        penalty = sum((cost(*each) for each in enumerate(penalties)), start=jnp.zeros(()))
        return data_loss + penalty, (data_loss, new_state, activations)

    def gradient_of(params: PyTree, frozen: PyTree, model_state: PyTree, batch: Batch, key: Array) -> tuple[Any, ...]:
        value = lambda free, *given: value_of(free, frozen, *given)
        take = jax.value_and_grad(value, has_aux=True) if gradient is None else gradient(value)
        if not (splits and objective.per_example and all(map(callable, penalties))):
            return take(params, model_state, batch, key)
        shapes = jax.eval_shape(value, params, model_state, batch, key)
        seen = {name: a for name, a in shapes[1][2].items() if not name.endswith(AUXILIARY)}
        count = microbatch.count_of(batch.size, seen, params, objective.per_position)
        if count == 1:
            return take(params, model_state, batch, key)
        return microbatch.accumulate(
            lambda share, _: take(params, model_state, share, key), batch, count, shapes, params
        )

    def step(state: State, batch: Batch, key: Array) -> tuple[State, Info]:
        for number, one in enumerate(augment):
            batch = one.apply(stream(key, f"augment{number}"), batch)
        key_model = stream(key, "dropout")
        arguments = (state.model_state, batch, key_model)
        free, frozen = apart(state.params)
        (total, (data_loss, model_state, activations)), grads = gradient_of(free, frozen, *arguments)
        updates, opt_state = chain.update(grads, state.opt_state, free, key=stream(key, "noise"), value=total)
        params, held = joined(optax.apply_updates(free, updates), frozen), state.average
        grads, updates = joined(grads, still(frozen)), joined(updates, still(frozen))
        stepped = params
        if objective.after is not None:
            params, model_state = objective.after(params, state.model_state, model_state)
        if average is not None and held is not None:
            held, params = averaging.follow(average, held, params, steps)
        updates = updates if params is stepped else optax.tree.sub(params, state.params)

        def activation_grads() -> Mapping[str, Array]:
            if not objective.takes_perturbations:
                return {}
            perturbations = {name: jnp.zeros_like(a) for name, a in activations.items() if not name.endswith(AUXILIARY)}
            takes_perturbations = lambda t: value_of(
                free, frozen, {**state.model_state, "perturbations": t}, batch, key_model
            )[0]
            return jax.grad(takes_perturbations)(perturbations)

        def value(params: PyTree, batch: Batch) -> Array:
            free, frozen = apart(params)
            return value_of(free, jax.lax.stop_gradient(frozen), state.model_state, batch, key_model)[0]

        def forward(params: PyTree, inputs: PyTree) -> tuple[Any, Mapping[str, Array]]:
            if objective.forward is None:
                return objective.predict(params, state.model_state, inputs), {}
            outputs, seen = objective.forward(params, state.model_state, inputs)
            return outputs, arrays_of(seen)

        info = Info(
            data_loss, state.params, grads, updates, opt_state, activations, activation_grads,
            batch=batch, gradient=jax.grad(value), key=stream(key, "probe"), objective=value, forward=forward,
        )  # fmt: skip
        return State(params, model_state, opt_state, held), info

    def rows(params: PyTree, model_state: PyTree, batch: Batch, key: Array, stem: str = "") -> dict[str, PyTree]:
        predict = lambda inputs: objective.predict(params, model_state, inputs)
        reads = lambda metric: "predict" if metric.on_model else int(metric.written) or "outputs"
        kinds = {reads(metric) for metric in measured.values()}
        outputs = predict(batch.inputs) if objective.held_out is not None or "outputs" in kinds else None
        writer = writer_of(predict, objective.unroll, params, model_state)
        given: dict[Any, Any] = {"predict": predict, "outputs": outputs}
        given |= {beams: write(writer, batch.inputs, beams=beams) for beams in kinds if isinstance(beams, int)}
        found = {
            stem + name: metric.statistics(given[reads(metric)], batch.targets) for name, metric in measured.items()
        }
        if objective.held_out is None:
            losses = objective.loss(params, model_state, batch, key)[0]
        else:
            targets = batch.targets if objective.loss_targets is None else objective.loss_targets(batch)
            losses = objective.held_out(outputs, targets)
        return found | {stem + "loss": losses}

    def evaluate(state: State, batch: Batch, key: Array) -> dict[str, PyTree]:
        raw = functools.partial(rows, state.params, state.model_state, batch, key)
        if state.average is None:
            return raw()
        return rows(state.average.params, state.average.model_state, batch, key) | raw(RAW)

    def finalize_for_eval(average: Average, state: State, batches: Batch, key: Array) -> State:
        passed = lambda params, begun, batch: objective.loss(params, begun, batch, key)[1].state
        params = average.value(state.average.state, state.params)
        own = averaging.statistics(passed, params, state.model_state, batches)
        return state._replace(average=state.average._replace(params=params, model_state=own))

    finalize = None if average is None else functools.partial(finalize_for_eval, average)
    every = measured if average is None else {**measured, **{RAW + name: one for name, one in measured.items()}}
    return Learner(init, step, evaluate, evaluations, metrics=every, finalize_for_eval=finalize)


def on_model(model: Model, loss: Callable[[PyTree, PyTree, Batch, Array], tuple[Array, Aux]]) -> Objective:
    """Return the objective of one model with a loss as `types.Objective` has it, which an evaluation takes too."""

    def forward(params: PyTree, state: PyTree, inputs: PyTree) -> tuple[Any, Mapping[str, Any]]:
        outputs, _, activations = model.apply(params, state, inputs, key=None, train=False)
        return outputs, activations

    return Objective(
        init=lambda key, batch: model.init(key, batch.inputs),
        loss=loss,
        predict=lambda params, state, inputs: forward(params, state, inputs)[0],
        forward=forward,
        takes_perturbations=model.takes_perturbations,
        after=model.after,
    )


def objective_of(
    model: Model, loss: Callable[[Any, PyTree], Array], loss_targets: Callable[[Batch], PyTree] | None = None
) -> Objective:
    """Return the objective of a model whose outputs a loss compares with targets, or with what is made of a batch."""
    of_batch = loss_targets or (lambda batch: batch.targets)

    def losses(params: PyTree, state: PyTree, batch: Batch, key: Array) -> tuple[Array, Aux]:
        outputs, new_state, activations = model.apply(params, state, batch.inputs, key=key, train=True)
        return loss(outputs, of_batch(batch)), Aux(new_state, activations)

    return on_model(model, losses)._replace(
        function=lambda params, state, inputs, key: model.apply(params, state, inputs, key=key, train=True)[0],
        held_out=loss,
        loss_targets=of_batch,
        per_example=model.per_example,
        per_position=model.per_position,
        unroll=model.unroll,
    )
