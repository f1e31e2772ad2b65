"""Self-supervised training: contrastive of two views, or masked reconstruction; what counts is a linear probe.

The network sees no label. An evaluation fits a ridge regression to frozen features of a few labeled examples of the
training part, in closed form, and metrics judge what that says of other examples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from deepprinciples.kernels import random
from deepprinciples.kernels.keys import stream
from deepprinciples.learners.assembly.checks import caught
from deepprinciples.learners.assembly.factories import first, model_of
from deepprinciples.learners.grouping import Apart
from deepprinciples.learners.objective import minimize, on_model
from deepprinciples.learners.reparameterized import reparameterized
from deepprinciples.parts.splitting.held_out import split_order
from deepprinciples.types import (
    AUXILIARY,
    Array,
    Aux,
    Average,
    Batch,
    BatchTransform,
    Count,
    Dataset,
    Learner,
    Metric,
    Model,
    Objective,
    Positive,
    PyTree,
    Reparameterization,
    Share,
    traits,
)


def ntxent(first_view: Array, second_view: Array, temperature: Any) -> Array:
    """Score how well each view finds its other one among all views of the batch.

    l_i = -log(exp(s(i, i') / t) / sum over k != i of exp(s(i, k) / t)), s the cosine; the mean over both views

    Args:
        first_view, second_view: embeddings [B, D] of the same examples.
        temperature: t.

    Returns:
        [B].

    References:
        arXiv:2002.05709.
    """
    both = jnp.concatenate([first_view, second_view])
    unit = both * jax.lax.rsqrt(jnp.maximum(jnp.sum(both**2, axis=1, keepdims=True), 1e-12))
    count = len(first_view)
    logits = jnp.where(jnp.eye(2 * count, dtype=bool), -jnp.inf, unit @ unit.T / temperature)
    other = jnp.roll(jnp.arange(2 * count), count)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, other)
    return (losses[:count] + losses[count:]) / 2


def features_of(activations: Mapping[str, Array], name: str) -> Array:
    """Return an activation as features [B, F], a mean over positions: the last hidden one where no name is given."""
    hidden = {key: one for key, one in activations.items() if not key.endswith(AUXILIARY)}
    chosen = name or max((key for key in hidden if key.startswith("layer_")), default="")
    if chosen not in hidden:
        raise ValueError(f"learner.features: found {name!r}; expected one of {', '.join(hidden)}")
    values = hidden[chosen]
    return values.reshape(len(values), -1, values.shape[-1]).mean(axis=1)


def ridge_of(features: Array, targets: Array, classes: int, ridge: Any) -> Callable[[Array], Array]:
    """Fit W of |Z W - (Y - mean)|^2 + ridge N |W|^2, Z standardized features; returns features -> scores [B, classes].

    Args:
        features: [N, F].
        targets: labels [N].
        classes: their number.
        ridge: its strength.
    """
    mean, std = jnp.mean(features, axis=0, keepdims=True), jnp.std(features, axis=0, keepdims=True)
    scaled = lambda x: (x - mean) / jnp.maximum(std, 1e-6)
    wanted = jax.nn.one_hot(targets, classes)
    level, z = jnp.mean(wanted, axis=0, keepdims=True), scaled(features)
    gram = z.T @ z + ridge * len(z) * jnp.eye(z.shape[1])
    weights = jax.scipy.linalg.solve(gram, z.T @ (wanted - level), assume_a="pos")
    return lambda x: scaled(x) @ weights + level


def labeled(targets: np.ndarray, count: int) -> np.ndarray:
    """Choose the examples whose labels the probe reads, classes in proportion; the same ones for every seed."""
    return np.sort(split_order(targets, len(targets), 0)[:count])


def _probed(
    model: Model, data: Dataset, loss: Callable[..., tuple[Array, Aux]], labels: int, ridge: Any, features: str
) -> Objective:
    """Return the objective of a loss without labels, whose predictions are those of a linear probe."""
    known_ones = labeled(np.asarray(data.train.targets), labels)
    few = jax.tree.map(lambda a: np.asarray(a)[known_ones], data.batch("train"))

    def embedded(params: PyTree, state: PyTree, inputs: Array) -> tuple[Array, Mapping[str, Array]]:
        activations = model.apply(params, state, inputs, key=None, train=False)[2]
        return features_of(activations, features), activations

    def forward(params: PyTree, state: PyTree, inputs: Array) -> tuple[Array, Mapping[str, Array]]:
        known = embedded(params, state, jnp.asarray(few.inputs))[0]
        given, activations = embedded(params, state, inputs)
        return ridge_of(known, jnp.asarray(few.targets), data.outputs, ridge)(given), activations

    predict = lambda params, state, inputs: forward(params, state, inputs)[0]
    return on_model(model, loss)._replace(predict=predict, forward=forward)


def _problems(config: Mapping[str, Any], parts: Dataset) -> list[str]:
    section, source = config["learner"], config["data"].get("name", "data")
    name, found = section.get("name", "learner"), list[str]()
    if parts.task != "classification" or not np.issubdtype(np.asarray(parts.train.targets).dtype, np.integer):
        return [f"learner: {name} needs class labels for its linear probe; found the {parts.task} of data {source!r}"]
    if parts.vocabulary:
        return [f"learner: {name} takes numbers; found tokens in data {source!r}; use data of pictures or vectors"]
    if section["labels"] > parts.train.size:
        found.append(f"learner.labels: found {section['labels']}, expected at most {parts.train.size}: all of training")
    if name == "contrastive" and not config["augment"]:
        found.append(
            "augment: found none; contrastive compares two views of an example; add some such as augment.shift"
        )
    with caught(found, f"model: does not fit data.name {source!r}"):
        model, batch = model_of(config, parts), first(parts, 2)
        params, state = jax.eval_shape(model.init, jax.random.key(0), batch.inputs)
        made, _, seen = jax.eval_shape(
            lambda p, s: model.apply(p, s, batch.inputs, key=None, train=False), params, state
        )
        if name == "masked" and getattr(made, "shape", None) != batch.inputs.shape:
            raise ValueError("masked reconstructs its inputs; use model autoencoder, whose outputs have their shape")
        features_of(jax.tree.map(lambda a: np.zeros(a.shape), seen), section["features"])
    return found


@traits(problems=_problems, answers=False)
def contrastive(
    *,
    data: Dataset,
    model: Model,
    weights: Mapping[str, Reparameterization],
    optimizer: optax.GradientTransformation,
    trainable: Apart | None,
    gradient: Callable[..., Any],
    example: Batch,
    augment: Sequence[BatchTransform],
    regularizers: Sequence[Any],
    metrics: Mapping[str, Metric],
    weight_averaging: Average | None,
    evaluations: int,
    steps: int,
    temperature: Positive = 0.5,
    labels: Count = 100,
    ridge: Positive = 0.1,
    features: str = "",
) -> Learner:
    """Make the learner that pulls two views of an example together and pushes those of others apart.

    loss = ntxent(model(view), model(other view)), each view drawn by the whole of [augment]; see `ntxent`

    The outputs of the model are the projection of the paper and thrown away; metrics read the answers of a ridge
    regression on its last hidden layer, fitted at every evaluation to `labels` training examples, classes in
    proportion.

    Args:
        data, model, weights, optimizer, trainable, gradient, example, augment, regularizers, metrics,
            weight_averaging, evaluations, steps: see `supervised`; supplied.
        temperature: of the softmax over the views. *Sweepable.*
        labels: training examples whose label is used, by the probe alone.
        ridge: strength of the probe's penalty, for an example. *Sweepable.*
        features: activation that the probe reads; "" is the last hidden layer.

    Returns:
        A `Learner`; its evaluated loss is that of two views.

    Expect:
        A low temperature is claimed to punish near neighbors hard; features then spread. Better than supervised
        training where labels are few and [augment] keeps what a label is about.

    Costs:
        Two passes a step, products of all pairs of views, and a system of as many equations as features in evaluation.

    References:
        arXiv:2002.05709.
    """

    model = reparameterized(model, weights)

    def loss(params: PyTree, state: PyTree, batch: Batch, key: Array) -> tuple[Array, Aux]:
        def view(number: int, state: PyTree) -> tuple[Array, PyTree, Mapping[str, Array]]:
            own, seen = stream(key, f"view{number}"), batch
            for place, one in enumerate(augment):
                seen = one.apply(stream(own, f"augment{place}"), seen)
            return model.apply(params, state, seen.inputs, key=stream(own, "dropout"), train=True)

        one, state, activations = view(0, state)
        other, state, _ = view(1, state)
        flat = lambda a: a.reshape(len(a), -1)
        return ntxent(flat(one), flat(other), temperature), Aux(state, activations)

    return minimize(
        _probed(model, data, loss, labels, ridge, features), optimizer=optimizer, trainable=trainable, example=example,
        gradient=gradient, penalties=regularizers, metrics=metrics, evaluations=evaluations,
        weight_averaging=weight_averaging, steps=steps,
    )  # fmt: skip


@traits(problems=_problems, answers=False)
def masked(
    *,
    data: Dataset,
    model: Model,
    weights: Mapping[str, Reparameterization],
    optimizer: optax.GradientTransformation,
    trainable: Apart | None,
    gradient: Callable[..., Any],
    example: Batch,
    augment: Sequence[BatchTransform],
    regularizers: Sequence[Any],
    metrics: Mapping[str, Metric],
    weight_averaging: Average | None,
    evaluations: int,
    steps: int,
    share: Share = 0.5,
    labels: Count = 100,
    ridge: Positive = 0.1,
    features: str = "code",
) -> Learner:
    """Make the learner that reconstructs numbers of the inputs that it is not shown.

    loss = sum over hidden entries of (model(x * shown) - x)^2 / number of hidden entries; each entry is hidden on its
    own with probability `share`, and put to 0, the mean of standardized data

    Metrics read the answers of a ridge regression on an activation of the whole inputs, fitted at every evaluation to
    `labels` training examples, classes in proportion.

    Args:
        data, model, weights, optimizer, trainable, gradient, example, augment, regularizers, metrics,
            weight_averaging, evaluations, steps: see `supervised`; supplied. The model is an autoencoder.
        share: probability that an entry is hidden. *Sweepable.*
        labels: training examples whose label is used, by the probe alone.
        ridge: strength of the probe's penalty, for an example. *Sweepable.*
        features: activation that the probe reads; "" is the last hidden layer, of the decoder.

    Returns:
        A `Learner`; its evaluated loss is that of hidden entries.

    Expect:
        With a share near 0 copying is enough and features say little; near 1 nothing is left to read.

    Costs:
        Those of the model, and a system of as many equations as features in evaluation.

    References:
        arXiv:2111.06377 (masked autoencoders; here single entries and a perceptron).
    """

    model = reparameterized(model, weights)

    def loss(params: PyTree, state: PyTree, batch: Batch, key: Array) -> tuple[Array, Aux]:
        hidden = random.bernoulli(stream(key, "hidden"), share, batch.inputs.shape).astype(jnp.float32)
        shown = batch.inputs * (1.0 - hidden)
        made, after, activations = model.apply(params, state, shown, key=stream(key, "dropout"), train=True)
        wrong = (hidden * jnp.square(made - batch.inputs)).reshape(len(made), -1).sum(axis=1)
        return wrong / jnp.maximum(hidden.reshape(len(made), -1).sum(axis=1), 1.0), Aux(after, activations)

    return minimize(
        _probed(model, data, loss, labels, ridge, features), optimizer=optimizer, trainable=trainable, example=example,
        gradient=gradient, augment=augment, penalties=regularizers, metrics=metrics, evaluations=evaluations,
        weight_averaging=weight_averaging, steps=steps,
    )  # fmt: skip
