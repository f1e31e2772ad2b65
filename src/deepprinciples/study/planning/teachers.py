"""The teacher of a data set: networks of a finished run, asked once for their answer to every example.

Each lane learns from the network of its own seed. Only which one it is goes to the compiled programs as an argument.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from deepprinciples.errors import ConfigError, DataError, IntegrityError
from deepprinciples.interop import parameters
from deepprinciples.learners.assembly.factories import Config
from deepprinciples.learners.assembly.teaching import PATH
from deepprinciples.results.finished_run import load
from deepprinciples.results.trained_model import TrainedModel, load_model
from deepprinciples.runs import directory
from deepprinciples.types import Dataset, PyTree, Teacher

ROWS = 1024  # examples that are answered at a time


def taught(data: Dataset, config: Config) -> Dataset:
    """Return the data with the answers of the teacher that a config names; as they are where it names none.

    Raises:
        ConfigError: the run keeps no parameters of the arm, or answers with something else than class outputs.
        DataError: it is no finished run, or it was trained on other inputs or classes.
    """
    given = config.get("data", {}).get("teacher")
    if given is None:
        return data
    if data.stream is not None or data.task != "classification":
        raise ConfigError(f"{PATH}: needs class labels in arrays, not a stream or other targets; leave it out")
    path, arm = Path(given["path"]), given["arm"]
    with named(PATH):
        run = load(path)
        seeds = tuple(parameters.every(path, run.summary, arm=arm))
        networks = [load_model(run, arm, seed) for seed in seeds]
    model = networks[0][0]
    _check(path, model, data)
    splits = {name: getattr(data, name) for name in ("train", "validation", "test")} | dict(data.test_sets)
    outputs = {name: np.stack([_answers(*one, split.inputs) for one in networks], 1) for name, split in splits.items()}
    _check_answers(path, outputs["train"], data)
    other = not _same(model.data.test.inputs, data.test.inputs)
    seen = f"{PATH}: {path} held out other test examples; it may have been trained on those that are judged here"
    return data._replace(teacher=Teacher(seeds, outputs), notes=(*data.notes, *[seen] * other))


@contextlib.contextmanager
def named(where: str) -> Iterator[None]:
    """Let every line of an error begin with the place in the config that names a run.

    Raises:
        ConfigError: what the run or the config lacks. DataError: the run is damaged.
    """
    try:
        yield
    except (IntegrityError, ConfigError) as error:
        lines = [f"{where}: {line}" for line in str(error).splitlines()]
        raise (ConfigError(*lines) if isinstance(error, ConfigError) else DataError("\n".join(lines))) from None


def _answers(model: TrainedModel, params: PyTree, inputs: PyTree) -> np.ndarray:
    count = len(jax.tree.leaves(inputs)[0])
    shares = [jax.tree.map(lambda a, k=k: a[k : k + ROWS], inputs) for k in range(0, count, ROWS)]
    return np.concatenate([np.asarray(model.predict(params, one)) for one in shares])


def _described(data: Dataset) -> str:
    shapes = [list(leaf.shape[1:]) for leaf in jax.tree.leaves(data.train.inputs)]
    return f"{data.outputs} classes and inputs {', '.join(map(str, shapes))}"


def _check(path: Path, model: TrainedModel, data: Dataset) -> None:
    known, here = _described(model.data), _described(data)
    if known != here:
        raise DataError(f"{PATH}: {path} was trained on {known}, found {here}; name a run on data of that kind")


def _check_answers(path: Path, outputs: np.ndarray, data: Dataset) -> None:
    expected = (*np.shape(data.train.targets), data.outputs)
    found = (outputs.shape[0], *outputs.shape[2:])
    if found != expected:
        raise ConfigError(
            f"{PATH}: {path} answers with {list(found[1:])} for an example, expected {list(expected[1:])}, one number "
            "for each class; name a run of a classifier"
        )
    if not np.isfinite(outputs).all():
        raise ConfigError(f"{PATH}: {path} has answers that are not finite; name a run that did not diverge")


def _same(one: PyTree, other: PyTree) -> bool:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def given(data: Dataset, seed: int) -> dict[str, Any]:
    """Return which network a lane of a seed learns from, as an argument of its program."""
    if data.teacher is None:
        return {}
    seeds = data.teacher.seeds
    return {PATH: {"number": np.int32(seeds.index(seed) if seed in seeds else 0)}}


def digests(arms: Mapping[str, Config]) -> dict[str, str]:
    """Hash the parameters of each arm's teacher: a run goes on only with the same one."""
    given = {name: config.get("data", {}).get("teacher") for name, config in arms.items()}
    return hashes({name: Path(one["path"]) for name, one in given.items() if one is not None})


def hashes(paths: Mapping[str, Path]) -> dict[str, str]:
    """Hash files of parameters, or those that run directories keep, by arm."""
    files = {arm: path / directory.PARAMETERS if path.is_dir() else path for arm, path in paths.items()}
    return {arm: hashlib.sha256(file.read_bytes()).hexdigest() for arm, file in files.items()}


def notes(arms: Mapping[str, Config], data: Mapping[str, Dataset], seeds: Iterable[int]) -> list[str]:
    """List which report seeds learn from the network of another seed, one line for each teacher."""
    said: dict[str, None] = {}
    for name, config in arms.items():
        if (teacher := data[name].teacher) is not None:
            kept = f"{PATH}: {config['data']['teacher']['path']}"
            said |= dict.fromkeys(of_other_seeds(kept, "learn from", seeds, teacher.seeds))
    return list(said)


def of_other_seeds(what: str, do: str, seeds: Iterable[int], known: Sequence[int]) -> list[str]:
    """Return a note on the seeds that a run does not keep, which take its first; none where it keeps all."""
    other = [str(seed) for seed in seeds if seed not in known]
    listed = ", ".join(other[:5]) + (", ..." if len(other) > 5 else "")
    return [f"{what} keeps no seed {listed}; such seeds {do} its seed {known[0]}"] if other else []
