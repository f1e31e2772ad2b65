"""The types that all modules share: NamedTuples and aliases, and how a factory is marked with its traits.

A factory's annotations are the schema of its config section, so they are exact:
`Scalar` may be swept and may be a tracer, and so may `Share`, `Rate`, `Strength` and the like, which have a range;
`int`, `Count`, `Size`, `bool`, `str`, `Literal` and tuples are static;
`Activation`, `Initializer` name a nested part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple

import jax
import numpy as np

from deepprinciples.model_types import Array as Array
from deepprinciples.model_types import Model as Model
from deepprinciples.model_types import PyTree as PyTree
from deepprinciples.model_types import Unroll as Unroll
from deepprinciples.part_traits import Traits as Traits
from deepprinciples.part_traits import better as better
from deepprinciples.part_traits import traits as traits
from deepprinciples.ranges import Count as Count
from deepprinciples.ranges import Depth as Depth
from deepprinciples.ranges import Range as Range
from deepprinciples.ranges import Repeats as Repeats
from deepprinciples.ranges import Seed as Seed
from deepprinciples.ranges import Size as Size

Scalar = float | jax.Array

Share = Annotated[Scalar, Range("[0, 1]")]
Positive = Annotated[Scalar, Range("(0, inf)")]
NonNegative = Annotated[Scalar, Range("[0, inf)")]
Rate = Annotated[Scalar, Range("[0, 1)", "0.0 switches it off")]
Decay = Annotated[Scalar, Range("[0, 1)")]
Strength = Annotated[Scalar, Range("[0, inf)", "0.0 switches it off")]
Limit = Annotated[Scalar, Range("(0, inf]", "inf switches it off")]
LearningRate = Annotated[Scalar, Range("(0, inf)", "give a positive rate such as 0.1")]
Epsilon = Annotated[Scalar, Range("(0, inf)", "give a small positive number such as 1e-8")]


# loss_fn(params, model_state, batch, key) -> (loss, aux) becomes gradient_fn(the same) -> ((loss, aux), grads).
Rule = Callable[[Callable[..., Any]], Callable[..., Any]]

# A nested part: the metadata is the kind of the part, so a config may write "tanh" or {"name": "tanh"}.
Activation = Annotated[Callable[[Array], Array], "activation"]
Initializer = Annotated[Callable[..., Array], "initializer"]

# activations["layer_00"] is a layer's output; with ACTIVATION_DERIVATIVE added, the derivative of its activation.
ACTIVATION_DERIVATIVE = ".activation_derivative"
# activations["layer_00" + GATE_VALUES] are the gates of a recurrent layer, [B, T, gates, H]; NaN at padding.
GATE_VALUES = ".gate_values"
AUXILIARY = (ACTIVATION_DERIVATIVE, GATE_VALUES)  # endings of what stands beside the activations of layers


class Batch(NamedTuple):
    """Examples of one step: inputs and targets, arrays [B, ...] or trees of them.

    `teacher` holds what trained networks answered, [B, networks, ...], where `data.teacher` names some.
    """

    inputs: PyTree
    targets: PyTree
    teacher: PyTree = None

    @property
    def size(self) -> int:
        """Return the number of examples."""
        return len(jax.tree.leaves(self.targets)[0])


class BatchTransform(NamedTuple):
    """A regularizer that acts on the batch: apply(key, batch) -> batch."""

    apply: Callable[[Array, Batch], Batch]


class ActivationPenalty(NamedTuple):
    """A regularizer that reads what the layers give on: apply(activations) -> scalar, see `Model`."""

    apply: Callable[[Mapping[str, Array]], Array]


class FunctionPenalty(NamedTuple):
    """A regularizer that asks what the model does: apply(function, inputs, key) -> scalar.

    function maps inputs [B, ...] to outputs, with the parameters, the state and the random numbers of the step.
    """

    apply: Callable[[Callable[[Array], Array], Array, Array], Array]


class GanLoss(NamedTuple):
    """What generator and discriminator minimize, of the logits [B] given to real and to generated examples.

    discriminator(real, fake) -> [B]; generator(real, fake) -> [B]. `per_example`: pairs are
    independent.
    """

    discriminator: Callable[[Array, Array], Array]
    generator: Callable[[Array, Array], Array]
    per_example: bool = False


class CriticPenalty(NamedTuple):
    """A penalty on the discriminator: apply(critic, real, fake, key) -> scalar; critic maps examples to logits [B]."""

    apply: Callable[[Callable[[Array], Array], Array, Array, Array], Array]


class Metric(NamedTuple):
    """A metric of a whole split, for what is no mean over examples.

    statistics: (outputs, targets) -> a tree of arrays [B, ...], a row an example. For a generator, outputs are its
        samples and targets are real examples.
    compute: (tree, weights) -> scalar. With `reduce` "sum" it gets the sums of the rows and the number of examples,
        with "gather" all rows [N, ...] and weights [N], 1 or, for padding, 0.
    per_class: (tree, weights) -> [C], values of the classes, reported beside the scalar.
    host: `compute` and `per_class` run on the host with NumPy, after the compiled evaluation.
    on_model: `statistics` gets predict(inputs) -> outputs in the place of outputs, to run the model itself.
    written: `statistics` gets the tokens [B, T] that a model of pairs writes by itself, -1 after their end, in place of
        outputs: 1 for the likeliest token each time, more for a search that keeps so many; 0 gets outputs.
    """

    statistics: Callable[[Any, PyTree], PyTree]
    compute: Callable[[PyTree, Any], Any]
    per_class: Callable[[PyTree, Any], Any] | None = None
    reduce: Literal["sum", "gather"] = "sum"
    host: bool = False
    on_model: bool = False
    written: int = 0
    direction: Literal["max", "min"] | None = None
    worst: float | None = None
    best: float | None = None


def mean_of(function: Callable[[Any, PyTree], Array]) -> Metric:
    """Make a metric of a function (outputs, targets) -> [B]: its mean over examples, with the function's traits."""
    read = lambda name: getattr(function, name, None)
    mean = lambda total, count: total / count
    return Metric(
        function, mean, on_model=bool(read("on_model")), direction=read("direction"), worst=read("worst"),
        best=read("best"),
    )  # fmt: skip


def path_to_names(path: tuple[Any, ...]) -> list[str]:
    """Return the words that name a leaf of a tree, from JAX's path to it; none of them holds a "/"."""
    words = [str(getattr(e, "key", getattr(e, "idx", getattr(e, "name", e)))).replace("/", ".") for e in path]
    return words or ["params"]


def as_metric(made: Any) -> Metric:
    """Turn what the factory of a metric returned into a `Metric`."""
    return made if isinstance(made, Metric) else mean_of(made)


class Average(NamedTuple):
    """An average of the weights along a run; see `parts.weight_averaging`.

    init(params) -> state; update(state, params, progress) -> (state, params to go on from), after each step, progress
    in (0, 1]; value(state, params) -> the weights to evaluate.
    """

    init: Callable[[PyTree], PyTree]
    update: Callable[[PyTree, PyTree, Array], tuple[PyTree, PyTree]]
    value: Callable[[PyTree, PyTree], PyTree]


class Reparameterization(NamedTuple):
    """A map from the weights that are stored and updated to those that the model uses; see `parts.weights`.

    init(key, params) -> (stored, state), so that apply(stored, state) gives the weights to begin with; apply(stored,
    state) -> params, in training and evaluation; after(stored, state) -> (stored, state), after each update.
    sizes({name: kernels.storage.Stored}) -> the same of `params`, where there is one, says how these are kept.
    """

    init: Callable[[Array, PyTree], tuple[PyTree, PyTree]]
    apply: Callable[[PyTree, PyTree], PyTree]
    after: Callable[[PyTree, PyTree], tuple[PyTree, PyTree]]
    sizes: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None


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
    named: Callable[[PyTree], PyTree] | None = (
        None  # params of a state -> with layers named as in `params`; None: as is
    )


class Aux(NamedTuple):
    """What a pass through an objective gives beside its losses."""

    state: PyTree  # of the model, after the step
    activations: Mapping[str, Any] = MappingProxyType({})  # of layers by name, for probes and penalties


class Objective(NamedTuple):
    """A task with one loss and one optimizer: supervised, contrastive, masked, CTC, distillation.

    init(key, batch) -> (params, state); loss(params, state, batch, key) -> ([B], Aux), as in training; predict(params,
    state, inputs) -> outputs, what metrics read.

    Further functions are asked by probes and penalties, where they are given: forward(params, state, inputs) ->
    (outputs, activations), as in evaluation; function(params, state, inputs, key) -> outputs, as in training.
    held_out(outputs, targets) -> [B] is the loss of an evaluation; without it, it is taken as in training.
    loss_targets(batch) -> what `held_out` compares with; without it, the targets.
    `takes_perturbations`, `per_example`, `per_position`, `after` and `unroll`: see `Model`.
    """

    init: Callable[[Array, Batch], tuple[PyTree, PyTree]]
    loss: Callable[[PyTree, PyTree, Batch, Array], tuple[Array, Aux]]
    predict: Callable[[PyTree, PyTree, PyTree], Any]
    forward: Callable[[PyTree, PyTree, PyTree], tuple[Any, Mapping[str, Any]]] | None = None
    function: Callable[[PyTree, PyTree, PyTree, Array], Any] | None = None
    held_out: Callable[[Any, PyTree], Array] | None = None
    loss_targets: Callable[[Batch], PyTree] | None = None
    takes_perturbations: bool = False
    per_example: bool = False
    per_position: bool = False
    after: Callable[[PyTree, PyTree, PyTree], tuple[PyTree, PyTree]] | None = None
    unroll: Unroll | None = None


class State(NamedTuple):
    """What a learner with one objective carries from step to step; one of the user's own may carry anything.

    `average` has the averaged weights as `params`, where there are some.
    """

    params: PyTree
    model_state: PyTree
    opt_state: PyTree
    average: Any = None
    extra: PyTree = ()

    @property
    def eval_params(self) -> PyTree:
        """Return the parameters that are evaluated and kept: the average of the weights, where there is one."""
        return self.params if self.average is None else self.average.params

    @property
    def eval_state(self) -> PyTree:
        """Return the state of the model that goes with `eval_params`."""
        return self.model_state if self.average is None else self.average.model_state


class Learner(NamedTuple):
    """All the engine knows of a training method.

    init(key) -> state; step(state, batch, key) -> (state, Info); evaluate(state, batch, key) -> {metric: statistics of
    each example}, values [B] where `metrics` does not say how they are reduced. snapshots(state) -> {name: array},
    where there is one, gives what else an evaluation keeps. finalize_for_eval(state, batches [K, B, ...], key) ->
    state, where there is one, prepares a state for evaluation after a segment, with the last batches that it saw.
    """

    init: Callable[[Array], PyTree]
    step: Callable[[PyTree, Batch, Array], tuple[PyTree, Info]]
    evaluate: Callable[[PyTree, Batch, Array], Mapping[str, PyTree]]
    evaluations: int = 1  # gradient evaluations a step costs
    metrics: Mapping[str, Metric] = MappingProxyType({})
    snapshots: Callable[[PyTree], Mapping[str, Array]] | None = None
    finalize_for_eval: Callable[[PyTree, Batch, Array], PyTree] | None = None


class Split(NamedTuple):
    """One part of a data set, on the host: inputs and targets, arrays [N, ...] or trees of them."""

    inputs: PyTree
    targets: PyTree

    @property
    def size(self) -> int:
        """Return the number of examples."""
        return len(jax.tree.leaves(self.targets)[0])


class Teacher(NamedTuple):
    """What trained networks answer to every example of a data set, on the host."""

    seeds: tuple[int, ...]  # of the networks
    outputs: Mapping[str, np.ndarray]  # part, or further test set -> [N, networks, ...]


class Sounds(NamedTuple):
    """Recordings of examples, which a report plays; transcript(outputs or targets of one) is what is said in it."""

    rate: int  # samples a second
    samples: Sequence[np.ndarray]  # of each example [S] in [-1, 1]
    transcript: Callable[[PyTree], str]


class Dataset(NamedTuple):
    """A data set in three fixed parts. `outputs` is the number of classes or of regression targets.

    task: "structured" where targets are a tree of arrays, which only losses and metrics made for it can read.
    """

    train: Split
    validation: Split
    test: Split
    task: str  # "classification" | "regression" | "structured"
    outputs: int
    vocabulary: int = 0  # above 0: inputs are token ids below it
    batch_size: int = 64
    stream: Iterable[Any] | None = None  # batches larger than memory; then `train` holds the first batch only
    notes: tuple[str, ...] = ()
    modes: np.ndarray | None = None  # centers [M, D] of a mixture that is known, at the scale of the inputs
    mode_std: float = 0.0  # and its standard deviation around each center
    class_names: tuple[str, ...] = ()  # of the labels 0, 1, ...
    feature_names: tuple[str, ...] = ()  # of the last axis of the inputs
    units: str = ""  # of the targets of a regression
    display: Callable[[Any, Any, Any], Any] | None = None  # (axes, inputs, outputs or targets): draws an example
    evidence: Mapping[str, np.ndarray] = MappingProxyType({})  # part -> masks [N, ...]: where the target shows
    test_sets: Mapping[str, Split] = MappingProxyType({})  # further ones, by name, evaluated beside `test`
    teacher: Teacher | None = None
    token_names: tuple[str, ...] = ()  # of the token ids; `parts.text.tokenizer_of` reads and writes text with them
    sounds: Sounds | None = None  # of the first test examples

    def batch(self, part: str) -> Batch:
        """Return all of "train", "validation", "test" or a further test set as one batch."""
        split = self.test_sets[part] if part in self.test_sets else getattr(self, part)
        return Batch(split.inputs, split.targets, None if self.teacher is None else self.teacher.outputs[part])
