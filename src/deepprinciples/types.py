"""The words every room shares: NamedTuples and aliases, and how a factory is marked with its traits.

A factory's annotations are the schema of its config section, so they are exact:
`Scalar` may be swept and may be a tracer, and so may `Share`, `Positive` and `NonNegative`, which have a range;
`int`, `Count`, `bool`, `str`, `Literal` and tuples are static;
`Activation`, `Initializer` name a nested part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import jax
import numpy as np

Array = jax.Array
Scalar = float | jax.Array
PyTree = Any
Factory = TypeVar("Factory", bound=Callable[..., Any])


class Range(NamedTuple):
    """The numbers that a keyword takes, part of its annotation: `Annotated[Scalar, Range("[0, 1]")]`.

    A round bracket leaves the end out. `fix` says how to fix a value outside it, such as "0.0 switches it off".
    """

    interval: str
    fix: str = ""


Share = Annotated[Scalar, Range("[0, 1]")]
Positive = Annotated[Scalar, Range("(0, inf)")]
NonNegative = Annotated[Scalar, Range("[0, inf)")]
Count = Annotated[int, Range("[1, inf)")]


def better(
    direction: Literal["max", "min"], worst: float | None = None, best: float | None = None
) -> Callable[[Factory], Factory]:
    """Mark the factory of a metric with its traits, as attributes of these names.

    Args:
        direction: "max" where larger values are better, "min" where smaller ones are.
        worst: the worst value the metric can take, None where there is none; a lane that diverged is given it.
        best: the best value it can take; intervals end there.
    """

    def mark(factory: Factory) -> Factory:
        for name, value in {"direction": direction, "worst": worst, "best": best}.items():
            setattr(factory, name, value)
        return factory

    return mark


# loss_fn(params, model_state, batch, key) -> (loss, aux) becomes gradient_fn(the same) -> ((loss, aux), grads).
Rule = Callable[[Callable[..., Any]], Callable[..., Any]]

# A nested part: the metadata is the kind of the part, so a config may write "tanh" or {"name": "tanh"}.
Activation = Annotated[Callable[[Array], Array], "activation"]
Initializer = Annotated[Callable[..., Array], "initializer"]

# activations["layer_00"] is what a layer gives on; activations["layer_00" + SLOPE] is the derivative of its activation.
SLOPE = ".slope"
# activations["layer_00" + GATE] are the gates of a recurrent layer, [B, T, gates, H], NaN at steps that are padding.
GATE = ".gate"
ASIDE = (SLOPE, GATE)  # endings of what is told beside the activations of layers


class Model(NamedTuple):
    """A model as two pure functions.

    init(key, x) -> (params, state); apply(params, state, x, *, key, train) -> (outputs, state, activations).
    `tapped`: apply adds `state["perturbations"][name]`, where given, to the activation of that name, so that the
    gradient of the loss with respect to every named activation can be read.
    `separate`: every output is that of one example alone, nothing is drawn and no state changes, so that a batch may be
    worked through in shares.
    """

    init: Callable[..., tuple[PyTree, PyTree]]
    apply: Callable[..., tuple[Array, PyTree, dict[str, Array]]]
    tapped: bool = False
    separate: bool = False


class Batch(NamedTuple):
    """Examples of one step: inputs [B, ...], targets [B, ...]."""

    inputs: Any
    targets: Any


class Augment(NamedTuple):
    """A regularizer that acts on the batch: apply(key, batch) -> batch."""

    apply: Callable[[Array, Batch], Batch]


class OnActivations(NamedTuple):
    """A regularizer that reads what the layers give on: apply(activations) -> scalar, see `Model`."""

    apply: Callable[[Mapping[str, Array]], Array]


class OnFunction(NamedTuple):
    """A regularizer that asks what the model does: apply(function, inputs, key) -> scalar.

    function maps inputs [B, ...] to outputs, with the parameters, the state and the random numbers of the step.
    """

    apply: Callable[[Callable[[Array], Array], Array, Array], Array]


class GameLoss(NamedTuple):
    """What two players minimize, of the logits [B] that the discriminator gives to real and to generated examples.

    discriminator(real, fake) -> [B]; generator(real, fake) -> [B]. `separate`: each of them is that of one pair alone.
    """

    discriminator: Callable[[Array, Array], Array]
    generator: Callable[[Array, Array], Array]
    separate: bool = False


class Penalty(NamedTuple):
    """A penalty on the discriminator: apply(critic, real, fake, key) -> scalar; critic maps examples to logits [B]."""

    apply: Callable[[Callable[[Array], Array], Array, Array, Array], Array]


class SampleMetric(NamedTuple):
    """A metric of a set of samples: score(samples [N, ...], real [N, ...], weights [N]) -> scalar.

    Rows of weight 0 are padding, in both sets; the others weigh 1.
    """

    score: Callable[[Array, Array, Array], Array]


class Average(NamedTuple):
    """An average of the weights along a run; see `parts.averages`.

    init(params) -> state; update(state, params, progress) -> (state, params to go on from), after each step, progress
    in (0, 1]; value(state, params) -> the weights to be judged.
    """

    init: Callable[[PyTree], PyTree]
    update: Callable[[PyTree, PyTree, Array], tuple[PyTree, PyTree]]
    value: Callable[[PyTree, PyTree], PyTree]


class ClipState(NamedTuple):
    """State of a clipping transform: how often it acted, and the last norm before it did."""

    triggered: Array  # sum over the steps so far of the share of clipped parts, in [0, 1] each step
    steps: Array  # steps so far
    norm: Array  # the norm (or largest value) seen at the last step, before clipping


class Info(NamedTuple):
    """What a learner tells of one step; probes read it. Unused fields cost nothing under jit."""

    loss: Array
    params: PyTree  # before the step
    grads: PyTree  # before the transforms
    updates: PyTree  # what was added to params
    opt_state: PyTree
    activations: Mapping[str, Array]
    activation_grads: Callable[[], Mapping[str, Array]]  # d loss / d activation, computed only when called
    measures: Mapping[str, Callable[[], Array]] = MappingProxyType({})  # what else there is to tell, each when called
    batch: Batch | None = None  # as the step saw it
    gradient: Callable[[PyTree, Batch], PyTree] | None = None  # (params, batch) -> of the step's objective
    key: Array | None = None  # for a probe's own random numbers
    objective: Callable[[PyTree, Batch], Array] | None = None  # (params, batch) -> what `gradient` is of
    forward: Callable[[PyTree, Array], tuple[Array, Mapping[str, Array]]] | None = None  # evaluation: (params, inputs)
    start: Callable[[], PyTree] | None = None  # the params at step 0


class Learner(NamedTuple):
    """All the engine knows of a training method.

    init(key) -> state; step(state, batch, key) -> (state, Info); evaluate(state, batch) -> {metric: [B]}.
    score(state, batches [K, E, ...], weights [K, E]) -> {metric: array}, where there is one, judges a whole split at
    once, for metrics that are no mean over examples. settle(state, batches [K, B, ...], key) -> state, where there is
    one, readies a state to be judged after a segment, with the last batches that it saw.
    """

    init: Callable[[Array], PyTree]
    step: Callable[[PyTree, Batch, Array], tuple[PyTree, Info]]
    evaluate: Callable[[PyTree, Batch], Mapping[str, Array]]
    evaluations: int = 1  # gradient evaluations a step costs
    score: Callable[[PyTree, Batch, Array], Mapping[str, Array]] | None = None
    settle: Callable[[PyTree, Batch, Array], PyTree] | None = None


class Split(NamedTuple):
    """One part of a data set, on the host: inputs [N, ...], targets [N, ...]."""

    inputs: np.ndarray
    targets: np.ndarray


class Dataset(NamedTuple):
    """A data set in three fixed parts. `outputs` is the number of classes or of regression targets."""

    train: Split
    validation: Split
    test: Split
    task: str  # "classification" | "regression"
    outputs: int
    vocabulary: int = 0  # above 0: inputs are token ids below it
    batch_size: int = 64
    stream: Iterable[Any] | None = None  # batches larger than memory; then `train` holds the first batch only
    notes: tuple[str, ...] = ()
    modes: np.ndarray | None = None  # centers [M, D] of a mixture that is known, at the scale of the inputs
    mode_std: float = 0.0  # and its standard deviation around each center
