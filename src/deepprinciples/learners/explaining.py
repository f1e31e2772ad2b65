"""Attributions of a trained network: from sections of a config to maps and their scores, as compiled functions."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from deepprinciples import config as configs
from deepprinciples.config import settings
from deepprinciples.config.wording import quoted
from deepprinciples.errors import ConfigError, DataError, message
from deepprinciples.kernels.keys import fold_in, stream
from deepprinciples.learners.assembly.factories import Config, part, replaced, trait
from deepprinciples.learners.assembly.from_config import KINDS
from deepprinciples.learners.trained_networks import Network, networks_of
from deepprinciples.parts.metrics.attribution_metrics import Explained
from deepprinciples.types import Array, Dataset, PyTree

Parts = str | Callable[..., Any] | Mapping[str, Any] | Sequence[Any] | None
ROWS = 64  # examples that are explained at a time


class Examples(NamedTuple):
    """Examples of the test part: what is explained of them, and where their evidence lies."""

    inputs: np.ndarray  # [N, ...]
    labels: np.ndarray | None  # [N], where there is one label for each
    mask: np.ndarray | None  # [N, ...]


def parts_of(kind: str, given: Parts) -> dict[str, Config]:
    """Resolve the parts of a kind that somebody asked for, by name.

    Args:
        kind: "attribution" or "attribution_metric".
        given: a name, a factory, a table of sections by name, or a list of names and factories; None is every one.

    Raises:
        ConfigError: there is no such part, or it has no such keyword or value.
    """
    if given is None:
        given = list(KINDS.tables[kind])
    if isinstance(given, str) or callable(given):
        given = [given]
    if not isinstance(given, Mapping):
        named = {str(getattr(one, "__name__", one)): one for one in given}
        given = {name: {"factory": one} if callable(one) else {"name": one} for name, one in named.items()}
    return configs.resolve_parts(kind, given, KINDS)


def examples_of(parts: Dataset, count: int, masks: Any = None) -> Examples:
    """Take the first examples of the test part.

    Args:
        parts: the data.
        count: how many.
        masks: where their evidence lies, [N, ...]; by default what the data say: `Dataset.evidence`, or targets called
            `mask` or `box`.

    Raises:
        ConfigError: the inputs are no array of real numbers.
        DataError: the masks do not fit the inputs.
    """
    inputs, targets = parts.test
    if isinstance(inputs, (Mapping, tuple)) or not np.issubdtype(inputs.dtype, np.floating):
        raise ConfigError("explain: found inputs that are tokens or a tree; attributions need an array of real numbers")
    labels = targets["label"] if isinstance(targets, Mapping) and "label" in targets else targets
    whole = (
        not isinstance(labels, (Mapping, tuple)) and np.ndim(labels) == 1 and np.issubdtype(labels.dtype, np.integer)
    )
    mask = parts.evidence.get("test") if masks is None else masks
    if mask is None and isinstance(targets, Mapping):
        mask = targets.get("mask", _inside(targets["box"], inputs) if "box" in targets else None)
    return Examples(
        np.asarray(inputs[:count]),
        np.asarray(labels[:count]) if whole else None,
        None if mask is None else _checked_mask(np.asarray(mask[:count]), np.asarray(inputs[:count])),
    )


def _inside(boxes: Any, inputs: Any) -> np.ndarray:
    """Turn boxes [N, 4] of (y0, x0, y1, x1) into masks [N, H, W]: pixels whose center is inside."""
    y, x = (np.arange(length) + 0.5 for length in inputs.shape[1:3])
    y0, x0, y1, x1 = np.asarray(boxes).T[..., None]
    return ((y >= y0) & (y < y1))[:, :, None] & ((x >= x0) & (x < x1))[:, None, :]


def _checked_mask(mask: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    expected = inputs.shape[:-1] if inputs.ndim > 2 else inputs.shape
    if mask.shape == (*expected, 1) and mask.ndim == inputs.ndim:
        mask = mask[..., 0]
    if mask.shape != expected:
        raise DataError(f"mask: found shape {list(mask.shape)}, expected {list(expected)}, one value for each position")
    return mask > 0


def explainer(
    config: Config, parts: Dataset, method: Config, metrics: Mapping[str, Config]
) -> Callable[[PyTree, PyTree, Examples, int], dict[str, np.ndarray]]:
    """Make the function that explains the network of a config by one attribution, and measures its maps.

    Args:
        config: a resolved config, with the values that a search chose.
        parts: its data.
        method: section of an attribution.
        metrics: sections of attribution metrics, by name.

    Returns:
        explain(params, state, examples, seed) -> "maps" [N, ...], "answer" [N], and by its name each metric [N].

    Raises:
        ConfigError: the network cannot be explained in this way.
    """
    network = _network(config, parts)
    attribution = part("attribution", method)
    on_activations = bool(trait("attribution", method, "on_activations"))
    if on_activations and not network.model.takes_perturbations:
        raise ConfigError(f"{_name(method)}: reads gradients of layers, which a model of one's own does not give")
    seen = _with_other_relu(config, parts, method) or network
    measures = {name: part("attribution_metric", section) for name, section in metrics.items()}
    precision = settings.MATMUL.get(config["train"]["matmul"])

    def function_of(network: Network, state: PyTree) -> Callable[..., Any]:
        def apply(params: PyTree, x: Array, perturbations: Mapping[str, Array]) -> tuple[Array, Any]:
            own = {**state, "perturbations": perturbations} if perturbations else state
            outputs, _, activations = network.model.apply(params, own, x, key=None, train=False)
            return outputs, activations

        return apply

    def maps_of(params: PyTree, state: PyTree, x: Array, targets: Array, key: Array) -> Array:
        apply = function_of(seen, state)
        given = apply if on_activations else lambda params, x: apply(params, x, {})[0]
        return attribution(given, params, x, targets, key)

    @jax.jit
    def explain(params: PyTree, state: PyTree, x: Array, labels: Array, mask: Array | None, key: Array) -> Any:
        with jax.default_matmul_precision(precision) if precision else contextlib.nullcontext():
            predict = lambda params, x: function_of(network, state)(params, x, {})[0]
            outputs = predict(params, x)
            if outputs.ndim > 2:
                raise ValueError(f"explain: found outputs {list(outputs.shape)}; expected one row for each example")
            answers = jnp.argmax(outputs, axis=1).astype(jnp.int32) if outputs.ndim == 2 else jnp.zeros_like(labels)
            targets = jnp.where(labels < 0, answers, labels)
            maps = maps_of(params, state, x, targets, stream(key, "map"))

            def redrawn() -> Array:
                drawn = network.model.init(stream(key, "weights"), network.example)
                return maps_of(*drawn, x, targets, stream(key, "redrawn"))

            given = Explained(predict, params, x, targets, maps, mask, redrawn)
            return {"maps": maps, "answer": answers, **{name: one(given) for name, one in measures.items()}}

    def every(params: PyTree, state: PyTree, examples: Examples, seed: int) -> dict[str, np.ndarray]:
        rows = []
        count = len(examples.inputs)
        labels = np.full(count, -1, np.int32) if examples.labels is None else examples.labels
        for first in range(0, count, ROWS):
            cut = slice(first, first + ROWS)
            mask = None if examples.mask is None else examples.mask[cut]
            key = fold_in(stream(jax.random.key(seed, impl="threefry2x32"), _name(method)), first)
            try:
                found = explain(params, state, examples.inputs[cut], labels[cut], mask, key)
            except (ValueError, TypeError) as error:  # an attribution that does not fit the network says so
                raise ConfigError(message(error)) from None
            rows.append(jax.device_get(found))
        return {name: np.concatenate([one[name] for one in rows]) for name in rows[0]}

    return every


def _name(section: Config) -> str:
    return str(section.get("name") or getattr(section["factory"], "__name__", "attribution"))


def _network(config: Config, parts: Dataset) -> Network:
    networks = networks_of(config, parts)
    if "" not in networks:
        raise ConfigError("explain: the learner of this run has no one model; explain a run of a supervised learner")
    return networks[""]


def _with_other_relu(config: Config, parts: Dataset, method: Config) -> Network | None:
    """Build the network with another function in the place of relu, where an attribution asks for one."""
    function = trait("attribution", method, "in_place_of_relu")
    if function is None:
        return None
    activation = config["model"].get("activation")
    found = activation.get("name", "a function") if isinstance(activation, Mapping) else activation
    if found != "relu":
        shown = f"model.activation {quoted(str(found))}" if found else "a model without model.activation"
        raise ConfigError(f"{_name(method)}: found {shown}; it changes what relu does on the way back, and needs relu")
    return _network(replaced(config, {"model.activation": {"factory": lambda: function}}), parts)
