"""How a factory is marked with what it is and needs, beside its signature; ranges of its keywords are annotations."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypedDict, TypeVar, Unpack

Factory = TypeVar("Factory", bound=Callable[..., Any])


class Traits(TypedDict, total=False):
    """What a factory may carry beside its signature, ours and a user's alike.

    neutral: keyword -> the value that switches the part off. In an ordered table (regularizers, transforms, weights,
        penalties) an arm without the part then shares a program with arms that have it: its own copy has these values.
    fill: False where a part that is switched off costs too much to be carried along in the programs of other arms; or
        (section, the other arm's table) -> whether it may be.
    evaluations: gradient evaluations that a step of a rule takes.
    per_example: of a loss, whether each value is that of one example alone, whatever else is in the batch; of a rule,
        whether the gradient of a batch is the mean of those of equal shares of it. A large batch is then split.
    targets: what a loss, metric or regularizer needs: "classes" (labels, or rows of probabilities), "binary" (numbers
        from 0 to 1 in the shape of the outputs), or either.
    teacher: of a loss, whether it is given {"labels", "teacher"} in place of the targets where `data.teacher` names a
        run: the targets, and what the network of the run answers.
    of_samples: whether a metric is one of a set of samples, such as a GAN makes.
    of_progress: whether a schedule is a function of the progress in [0, 1] and not of the step.
    follows_schedule: False where an optimizer reads its learning rate in the first step only.
    descent: of an optimizer, "parabola" and "rosenbrock" -> (learning rate, steps to a thousandth of the loss).
    direction: of a metric, "max" where larger values are better, "min" where smaller ones are.
    worst: of a metric, the worst value there can be, None where there is none; a lane that diverged is given it.
    best: of a metric, the best value there can be; intervals end there.
    on_activations: of an attribution, whether it gets apply(params, inputs, perturbations) -> (outputs, activations) in
        the place of predict(params, inputs).
    in_place_of_relu: of an attribution, the function that its networks have where they have relu.
    needs_mask: of an attribution metric, whether it asks where the evidence lies.
    from_torch: of a model, (a state_dict of arrays, our names wanted) -> arrays by these names, where PyTorch's network
        has other names or more parameters than the model; raises IntegrityError, one line for each mismatch.
    update_factors: of a model, (its section) -> {pattern of its parameters: factor on their updates}; the first that
        matches counts.
    problems: of a learner, (config, data) -> what does not fit together, one line each.
    makes_samples: of a learner, whether its metrics judge samples in place of answers.
    answers: False where the outputs of a learner's model are no answers but a projection, say; the report then shows no
        test examples with them.
    networks: of a learner with several networks, (config, data) -> {name: `learners.networks.Network`}, each with its
        parameters under its name in `eval_params`; without it there is the one model of the config.
    metrics: of a learner, the metrics that its evaluation gives by itself, name -> "max" or "min".
    updates: of a learner, (its section) -> updates of the weights in a step of training, where it is not one; schedules
        count them.
    episode: of a learner, (config, state, key) -> (the states of an environment in an episode [steps, ...], how many of
        them there are, what draws one).
    environment_steps: of a learner, (its section) -> steps of its environments in a step of training.
    """

    neutral: Mapping[str, float]
    fill: bool | Callable[[Mapping[str, Any], Mapping[str, Any]], bool]
    evaluations: int
    per_example: bool
    targets: Literal["classes", "binary", "classes or binary"]
    teacher: bool
    of_samples: bool
    of_progress: bool
    follows_schedule: bool
    descent: Mapping[str, tuple[float, int]]
    direction: Literal["max", "min"]
    worst: float | None
    best: float | None
    on_activations: bool
    in_place_of_relu: Callable[[Any], Any]
    needs_mask: bool
    from_torch: Callable[..., Mapping[str, Any]]
    update_factors: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    problems: Callable[..., list[str]]
    makes_samples: bool
    answers: bool
    networks: Callable[..., Mapping[str, Any]]
    metrics: Mapping[str, Literal["max", "min"]]
    updates: Callable[[Mapping[str, Any]], int]
    environment_steps: Callable[[Mapping[str, Any]], int]
    episode: Callable[..., tuple[Any, Any, Any]]


def traits(**values: Unpack[Traits]) -> Callable[[Factory], Factory]:
    """Mark a factory with traits, as attributes of these names; see `Traits`.

    Raises:
        TypeError: there is no such trait, or a neutral value is of no keyword of the factory.
    """
    if unknown := sorted(set(values) - set(Traits.__annotations__)):
        raise TypeError(f"traits: no trait {', '.join(unknown)} (traits: {', '.join(Traits.__annotations__)})")

    def mark(factory: Factory) -> Factory:
        known = inspect.signature(factory).parameters
        strange = sorted(set(values.get("neutral", ())) - set(known))
        if strange and not any(one.kind is one.VAR_KEYWORD for one in known.values()):
            name = getattr(factory, "__name__", "the factory")
            raise TypeError(f"traits: neutral: {name} has no keyword {', '.join(strange)} (it has {', '.join(known)})")
        for name, value in values.items():
            setattr(factory, name, value)
        return factory

    return mark


def better(
    direction: Literal["max", "min"], worst: float | None = None, best: float | None = None
) -> Callable[[Factory], Factory]:
    """Mark the factory of a metric with the traits that a verdict needs, see `Traits`."""
    return traits(direction=direction, worst=worst, best=best)
