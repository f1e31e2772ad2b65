"""Trained parameters on disk: for every seed kept, the weights that were evaluated and the model's state beside them.

A file of `train` holds `seed-K/NAME` and `state-K/NAME`, a file of `compare` the same below the name of each arm. The
state is what a model carries beside its parameters, such as the running statistics of batch normalization.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deepprinciples.config.wording import quoted, suggestion
from deepprinciples.errors import ConfigError, IntegrityError
from deepprinciples.parts import parameter_names
from deepprinciples.runs import arrays, directory
from deepprinciples.types import PyTree, path_to_names

SEED, STATE = "seed-", "state-"


class Kept(NamedTuple):
    """What a file holds of one seed, as nested dicts of arrays; `state` is None where there is none."""

    params: Mapping[str, Any]
    state: Mapping[str, Any] | None


def table_of(tree: PyTree, index: int) -> dict[str, Any]:
    """Turn a tree with a leading axis of seeds into nested dicts of one seed's arrays."""
    import jax  # here, so that a file is read without it

    table: dict[str, Any] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        *parents, last = path_to_names(path)
        here = table
        for key in parents:
            here = here.setdefault(key, {})
        here[last] = leaf[index]
    return table


def tree_of(table: Mapping[str, Any], like: PyTree, where: str) -> PyTree:
    """Build the tree of a model from nested dicts of arrays.

    Args:
        table: as `table_of` made it.
        like: a tree of the same structure, arrays or shapes.
        where: what an error message starts with.

    Raises:
        IntegrityError: an array is missing, or has another shape than the model's.
    """
    import jax

    leaves = []
    for path, expected in jax.tree_util.tree_flatten_with_path(like)[0]:
        found: Any = table
        for word in path_to_names(path):
            found = found.get(word) if isinstance(found, Mapping) else None
        shape = None if found is None or isinstance(found, Mapping) else list(np.shape(found))
        if shape != list(expected.shape):
            name = "/".join(path_to_names(path))
            what = "is missing" if shape is None else f"has shape {shape}"
            raise IntegrityError(
                f"{where}: {quoted(name)} {what}, expected {list(expected.shape)}: the file is not of this model"
            )
        leaves.append(jax.numpy.asarray(found))
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def by_name(kept: Kept, reparameterized: bool) -> dict[str, Any]:
    """List the arrays of a seed by name: its parameters, and below "state/" what the model keeps beside them.

    Args:
        kept: of the seed.
        reparameterized: whether its run has [weights], whose own state, such as masks, is left out.
    """
    state = kept.state or {}
    own = state.get("model", {}) if reparameterized else state
    named = {f"{parameter_names.STATE}{name}": array for name, array in arrays.flat(own).items()}
    return arrays.flat(kept.params) | named


def tables(states: Mapping[str, Any], seeds: Sequence[int], kind: str) -> dict[str, Any]:
    """Arrange the final states of learners as they are written to a file.

    Args:
        states: arm -> state of its learner, leading axis: seed.
        seeds: those of the first rows, or of all.
        kind: of the run; a comparison has arms.
    """
    found: dict[str, Any] = {}
    for arm, state in states.items():
        if not hasattr(state, "eval_params"):  # a learner of the user's own may carry anything
            continue
        table = found[_key(arm)] = {}
        params, own = state.eval_params, state.eval_state
        for k, seed in enumerate(seeds):
            table |= {f"{SEED}{seed}": table_of(params, k), f"{STATE}{seed}": table_of(own, k)}
    return found if kind == "compare" else found.get("run", {})


def _key(arm: str) -> str:
    return arm.replace("%", "%25").replace("/", "%2F")  # a name in the file holds no "/"


def kept(path: Path, summary: Mapping[str, Any], *, arm: str = "", seed: int | None = None) -> Kept:
    """Read what a run directory keeps of one seed.

    Args:
        path, summary, arm: see `every`.
        seed: one of those kept; by default the first.

    Raises:
        ConfigError: no parameters are kept, or none of this arm or seed.
        IntegrityError: the file is damaged, or was taken away.
    """
    found = every(path, summary, arm=arm)
    wanted = next(iter(found)) if seed is None else seed
    if wanted not in found:
        raise ConfigError(f"seed: found {wanted}; expected one of those kept, {', '.join(map(str, list(found)[:20]))}")
    return found[wanted]


def every(path: Path, summary: Mapping[str, Any], *, arm: str = "") -> dict[int, Kept]:
    """Read what a run directory keeps of every seed, by seed, in order.

    Args:
        path: the directory.
        summary: of the run.
        arm: one of its arms; "" where there is only one.

    Raises:
        ConfigError: no parameters are kept, or none of this arm.
        IntegrityError: the file is damaged, or was taken away.
    """
    file, kind = path / directory.PARAMETERS, summary.get("kind")
    arms = [str(row["name"]) for row in summary.get("arms", [])]
    if not file.is_file() and kind == "compare":
        raise ConfigError(f"{path}: keeps no parameters; set study.keep = 1 or more to keep those of its first seeds")
    if not file.is_file():
        raise IntegrityError(f"{file}: is missing; expected the directory of a finished run of train")
    table = arrays.load_arrays(file)
    if kind == "compare":
        if arm not in arms:
            found = quoted(arm) if arm else "none"
            raise ConfigError(f"arm: found {found}; expected one of {', '.join(arms)}{suggestion(arm, arms)}")
        table = table.get(_key(arm), {})
    elif arm not in ("", *arms):
        raise ConfigError(f"arm: found {quoted(arm)}; a run of train has none, leave it out")
    numbers = {name.removeprefix(SEED): name for name in table if name.startswith(SEED)}
    seeds = sorted(int(number) for number in numbers if number.isascii() and number.isdigit() and len(number) < 20)
    if not seeds:
        raise IntegrityError(f"{file}: holds no parameters of a seed; the file is damaged")
    return {seed: Kept(table[f"{SEED}{seed}"], table.get(f"{STATE}{seed}")) for seed in seeds}
