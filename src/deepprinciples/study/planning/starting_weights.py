"""Weights that a model begins from: `model.start`, a file or a run directory, held against the model and taken.

The state that belongs to them, such as running statistics, is taken with them.

The arrays go to the compiled programs as arguments, as if they were traced hyper-parameters, so no program holds them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from deepprinciples.config.wording import quoted, suggestion
from deepprinciples.errors import ConfigError, DataError
from deepprinciples.interop import parameters, safetensors
from deepprinciples.learners.assembly import from_config
from deepprinciples.learners.assembly.factories import Config, asks, example_of, model_of
from deepprinciples.learners.trained_networks import networks_of
from deepprinciples.parts.fetched import fetching
from deepprinciples.parts.fetched.published import SETS
from deepprinciples.parts.parameter_names import STATE, matches, place_of, unmatched
from deepprinciples.results.finished_run import config_of, load
from deepprinciples.study.planning import teachers
from deepprinciples.types import Dataset

PATH = "model.start"
Arrays = Mapping[str, np.ndarray]


class Start(NamedTuple):
    """What a model begins from, by seed; a file has one entry, which serves all seeds."""

    by_seed: Mapping[int | None, Arrays]

    def given(self, seed: int) -> dict[str, Arrays]:
        """Return what a lane of a seed is given beside its hyper-parameters."""
        first = next(iter(self.by_seed))
        return {PATH: self.by_seed[seed if seed in self.by_seed else first]}


def start_of(config: Config, parts: Dataset) -> Start | None:
    """Load the weights that a config's model begins from; None where it begins from its initializers.

    Raises:
        ConfigError: the run keeps no parameters of the arm, or `match` fits no parameter.
        DataError: the file cannot be read, or does not fit the model; one line for each mismatch.
    """
    given = config.get("model", {}).get("start")
    if given is None:
        return None
    head, shapes = _network_of(config, parts, given["to"])
    if problems := unmatched(given["match"], [place_of(name) for name in shapes]):
        raise ConfigError(*(f"{PATH}.match: {problem}" for problem in problems))
    wanted = [name for name in shapes if matches(given["match"], place_of(name))]
    take = functools.partial(safetensors.fitted, section=config["model"], expected=shapes, wanted=wanted)
    path = _path_of(given)
    with teachers.named(PATH):
        if not path.is_dir():
            found: dict[int | None, dict[str, np.ndarray]] = {None: take(path, safetensors.read(path))}
        else:
            found = {seed: take(path, one, naming="own") for seed, one in _kept(path, given["arm"]).items()}
    return Start({seed: {_below(head, name): array for name, array in one.items()} for seed, one in found.items()})


def _below(head: str, name: str) -> str:
    """Return the learner's own name of what a network of it calls so."""
    return f"{STATE}{head}{name.removeprefix(STATE)}" if name.startswith(STATE) else f"{head}{name}"


def _network_of(config: Config, parts: Dataset, network: str) -> tuple[str, safetensors.Shapes]:
    """Return how the names of a network's parameters begin in the learner's own, and what they are without that."""
    if asks("learner", config["learner"], "start"):
        made = from_config.learner(config, parts)
        begun = jax.eval_shape(made.init, jax.random.key(0))
        shapes = safetensors.shapes_of(begun.params, getattr(begun, "model_state", {}))
    else:
        model, example = model_of(config, parts), example_of(config, parts).inputs
        shapes = safetensors.shapes_of(*jax.eval_shape(lambda key: model.init(key, example), jax.random.key(0)))
    several = [name for name in networks_of(config, parts) if name]
    if not network:
        return "", shapes
    if network not in several:
        listed = f"one of {', '.join(several)}" if several else "nothing: its learner has one network"
        raise ConfigError(f"{PATH}.to: found {quoted(network)}; expected {listed}{suggestion(network, several)}")
    head = f"{network}/"
    return head, {name: shapes[_below(head, name)] for name in _without(head, shapes)}


def _without(head: str, names: Iterable[str]) -> Iterator[str]:
    """Yield the names of what is a network's, without how they begin in the learner's."""
    for name in names:
        front = STATE if name.startswith(STATE) else ""
        if name.startswith(front + head):
            yield front + name.removeprefix(front + head)


def _path_of(given: Config) -> Path:
    """Return the file or directory of weights; published ones are fetched where no place has them."""
    path, name = given["path"], given["pretrained"]
    if bool(path) == bool(name):
        raise ConfigError(f"{PATH}: found {'both' if path else 'neither'} path and pretrained; give one of them")
    if path:
        return Path(path)
    known = [one for one, published in SETS.items() if published.files[0].name.endswith(".pth")]
    if name not in known:
        raise ConfigError(
            f"{PATH}.pretrained: found {quoted(name)}; expected {', '.join(known)}{suggestion(name, known)}"
        )
    try:
        return fetching.get(name) / SETS[name].files[0].name
    except DataError as error:
        raise DataError(f"{PATH}: {error}") from None


def _kept(path: Path, arm: str) -> dict[int, Arrays]:
    run = load(path)
    reparameterized = bool(config_of(run, arm).get("weights"))
    every = parameters.every(path, run.summary, arm=arm)
    return {seed: parameters.by_name(kept, reparameterized) for seed, kept in every.items()}


def check(arms: Mapping[str, Config], data: Mapping[str, Dataset]) -> None:
    """Raise what does not fit between the models of all arms and what they begin from."""
    for name, config in arms.items():
        for path in ("discriminator", "generator"):
            if config.get(path, {}).get("model", {}).get("start") is not None:
                raise ConfigError(f"{path}.model.start: only [model] can begin from given weights; leave it out")
        start_of(config, data[name])


def digests(arms: Mapping[str, Config]) -> dict[str, str]:
    """Hash the file of each arm that begins from one: a run goes on only from the same weights."""
    given = {name: config.get("model", {}).get("start") for name, config in arms.items()}
    return teachers.hashes({name: _path_of(one) for name, one in given.items() if one is not None})


def notes(arms: Mapping[str, Config], data: Mapping[str, Dataset], seeds: Iterable[int]) -> list[str]:
    """List which report seeds begin from the weights of another seed, one line for each start."""
    said: dict[str, None] = {}
    for name, config in arms.items():
        found = start_of(config, data[name])
        known = [seed for seed in (found.by_seed if found else ()) if seed is not None]
        if known:
            kept = f"{PATH}: {_path_of(config['model']['start'])}"
            said |= dict.fromkeys(teachers.of_other_seeds(kept, "begin from", seeds, known))
    return list(said)
