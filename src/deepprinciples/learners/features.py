"""The features that sample metrics measure in: the last hidden layer of a classifier trained here, on the same data.

They are not those of an Inception network, so a distance in them is a Fréchet distance and never an FID. One network a
data set and process, from one seed, so every lane, arm and run is measured alike.
"""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from deepprinciples.engine.lane import fit
from deepprinciples.engine.streams import batch_indices, lane_key
from deepprinciples.learners.objective import minimize, objective_of
from deepprinciples.parts import losses
from deepprinciples.parts.models.cnn import cnn
from deepprinciples.parts.models.mlp import mlp
from deepprinciples.types import Array, Batch, Dataset

STEPS, BATCH, WIDTH = 1000, 128, 64
MOST = 4  # classifiers kept; the first goes first
_kept: dict[str, Callable[[Array], Array]] = {}
_lock = threading.Lock()  # programs are traced side by side, and one classifier is enough for all


def digest(parts: Dataset) -> str:
    """Name the examples of all parts by their content, so that equal data share a classifier and its programs."""
    found = hashlib.blake2b(digest_size=16)
    for array in map(np.asarray, jax.tree.leaves((parts.train, parts.validation, parts.test, dict(parts.test_sets)))):
        found.update(f"{array.shape} {array.dtype}".encode())
        found.update(np.ascontiguousarray(array).view(np.uint8).data)
    return found.hexdigest()


def features_of(parts: Dataset) -> Callable[[Array], Array]:
    """Return the function examples [N, ...] -> features [N, F] of a data set's classifier, trained at the first call.

    A perceptron for vectors (F = 64 units), a convolutional network for images and signals (F = 64 channels, averaged
    over positions); Adam at 1e-3, 1,000 steps of 128.
    """
    name = f"{digest(parts)} {parts.outputs}"  # a classifier of so many classes
    with _lock:
        if name in _kept:
            return _kept[name]
        with ThreadPoolExecutor(1) as pool:  # it may be asked for while a program is traced: each thread traces alone
            function = pool.submit(_trained, parts).result()
        _kept[name] = function
        while len(_kept) > MOST:
            del _kept[next(iter(_kept))]
        return function


def _trained(parts: Dataset) -> Callable[[Array], Array]:
    inputs = np.asarray(parts.train.inputs)
    make = mlp if inputs.ndim == 2 else functools.partial(cnn, readout="mean", width=WIDTH // 2)
    model = make(outputs=parts.outputs, width=WIDTH) if inputs.ndim == 2 else make(outputs=parts.outputs)
    loss = losses.TABLE["softmax_cross_entropy"]()
    example = Batch(inputs[:1], np.asarray(parts.train.targets[:1]))
    learner = minimize(objective_of(model, loss), optimizer=optax.adam(1e-3), example=example)
    size, batch = len(inputs), min(BATCH, len(inputs))
    key = lane_key(0)
    order = batch_indices(0, 0, steps=STEPS, size=size, batch_size=batch)
    numbers = jnp.arange(STEPS, dtype=jnp.int32).reshape(10, -1)

    @jax.jit
    def train(data: Batch) -> Any:
        lane = fit.start(learner, key)
        chunks = jnp.asarray(order.reshape(*numbers.shape, batch))
        return fit.segment(learner, lambda info: {}, lane, key, data, chunks, numbers, jnp.int32(STEPS))[0].state

    state = jax.tree.map(np.asarray, train(Batch(inputs, np.asarray(parts.train.targets))))

    @jax.jit
    def features(examples: Array) -> Array:
        _, _, activations = model.apply(state.params, state.model_state, examples, key=None, train=False)
        last = activations["layer_01"]
        return last.reshape(len(last), -1, last.shape[-1]).mean(axis=1)

    return features
