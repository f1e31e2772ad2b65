"""Trained models, from the files of a run to functions that answer: the network that was evaluated, with its state."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np

from deepprinciples import config as configs
from deepprinciples.config import settings
from deepprinciples.engine.population import use_all_cores
from deepprinciples.errors import ConfigError, IntegrityError
from deepprinciples.interop import parameters
from deepprinciples.learners.assembly import from_config
from deepprinciples.learners.reparameterized import used
from deepprinciples.learners.trained_networks import Network, networks_of
from deepprinciples.results.finished_run import Run, load
from deepprinciples.runs import directory
from deepprinciples.types import Array, Dataset, PyTree


class TrainedModel(NamedTuple):
    """A trained network as functions of its parameters, in evaluation: no dropout, and the statistics of training.

    Attributes:
        predict: (params, inputs [B, ...]) -> outputs [B, ...].
        apply: (params, inputs [B, ...]) -> (outputs, activations by layer).
        state: what the model carries beside its parameters, such as running statistics.
        data: the data set as the model saw it: prepared, in three parts. Inputs of one's own have to be on its scale.
        config: the resolved config of the arm, with the settings that the search of the seed chose.
        model: the network itself, see `dp.types.Model`.
    """

    predict: Callable[[PyTree, Any], Any]
    apply: Callable[[PyTree, Any], tuple[Any, Mapping[str, Array]]]
    state: PyTree
    data: Dataset
    config: Mapping[str, Any] = MappingProxyType({})
    model: Any = None


def load_model(
    run: Run | str | Path,
    arm: str = "",
    seed: int = 0,
    *,
    player: str = "",
    config: Mapping[str, Any] | None = None,
    data: Dataset | None = None,
) -> tuple[TrainedModel, PyTree]:
    """Load a trained model as it was evaluated, with averaged weights where there are some.

    Args:
        run: a run of `train`, or of `compare` with `study.keep`; or its directory.
        arm: of a comparison; a run of `train` has none.
        seed: one of the seeds kept.
        player: of a GAN, "generator" (the default) or "discriminator". The inputs of a generator are noise [B, latent],
            with `learner.conditional` a pair (noise, labels [B]); its outputs have the shape of examples.
        config: what the run was given, where functions or arrays of its config came from another process.
        data: that of the model of another seed, which is then not loaded again.

    Returns:
        (model, params): `model.predict(params, inputs)` gives outputs.

    Raises:
        ConfigError: the run keeps no parameters of this arm and seed, or its config needs `config`.
        IntegrityError: it is no finished run, is damaged, or its file does not fit the model.

    Example:
        run = dp.train(config, "runs/mine")
        model, params = dp.load_model("runs/mine", seed=0)
        outputs = model.predict(params, model.data.test.inputs)
    """
    use_all_cores()
    run = run if isinstance(run, Run) else load(run)
    kept = parameters.kept(run.path, run.summary, arm=arm, seed=seed)
    resolved = _resolved(run, arm, seed, config)
    parts = from_config.dataset(resolved) if data is None else data
    networks = networks_of(resolved, parts)
    name = player or next(iter(networks), player)
    if name not in networks:
        expected = " or ".join(filter(None, networks)) or "none: its learner has one network, or tells of none"
        raise ConfigError(f"player: found {name!r}; expected {expected}")
    network = networks[name]
    like = jax.eval_shape(lambda key: network.model.init(key, network.example), jax.random.key(0))
    file = str(run.path / directory.PARAMETERS)
    held = tuple((one or {}).get(name, {}) for one in kept) if name else (kept.params, kept.state)
    if kept.state is None and jax.tree.leaves(like[1]):
        raise IntegrityError(
            f"{file}: holds no state of the model (such as running statistics), which an earlier version left out; "
            "train it anew"
        )
    params, state = (parameters.tree_of(one or {}, tree, file) for one, tree in zip(held, like, strict=True))
    return _functions(network, state, parts, resolved), params


def used_parameters(run: Run, arm: str, seed: int | None) -> PyTree:
    """Return the weights that the model of one seed uses, which are not those stored where the config has `weights`.

    Args:
        run: see `load_model`.
        arm: see `load_model`.
        seed: one of those kept; None for the first.
    """
    first = int(run.results.seed[0]) if seed is None else seed
    model, params = load_model(run, arm, first)
    found = used(from_config.weights_of(_resolved(run, arm, first, None)), params, model.state)
    return parameters.table_of(jax.tree.map(lambda leaf: np.asarray(leaf)[None], found), 0)


def _resolved(run: Run, arm: str, seed: int, config: Mapping[str, Any] | None) -> from_config.Config:
    """Return the resolved config of an arm, with what the search of a seed chose: slopes belong to the network."""
    given = config or run.given or configs.load(run.path / directory.CONFIG)
    if run.summary.get("kind") != "compare":
        return configs.resolve({key: value for key, value in given.items() if key != "arms"}, from_config.KINDS)
    resolved = configs.resolve_each(given, from_config.KINDS, command="compare")[1][arm].config
    chosen = next(row["chosen"] for row in run.summary["arms"] if row["name"] == arm)
    return from_config.replaced(resolved, chosen[int(run.results.block.sel(seed=seed))] if chosen else {})


def _functions(network: Network, state: PyTree, data: Dataset, config: Mapping[str, Any]) -> TrainedModel:
    precision = settings.MATMUL.get(config["train"]["matmul"])

    @jax.jit
    def apply(params: PyTree, inputs: Any) -> tuple[Any, Mapping[str, Array]]:
        with jax.default_matmul_precision(precision) if precision else contextlib.nullcontext():
            outputs, _, activations = network.model.apply(params, state, network.read(inputs), key=None, train=False)
        return outputs if network.shape is None else outputs.reshape(-1, *network.shape), activations

    def predict(params: PyTree, inputs: Any) -> Any:
        return apply(params, inputs)[0]

    return TrainedModel(predict, apply, state, data, config, network.model)
