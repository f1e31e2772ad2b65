"""Programs recalled from disk: a second run of a config traces and lowers nothing but how a lane begins.

The compiled functions lie in the cache under names that only a trace gives. A note under the key of a program holds
these names, and what else its trace gave: the shapes of its log and of its evaluation, memory, and its identity.
"""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import PyTreeDef, default_registry

from deepprinciples.engine import compile_cache
from deepprinciples.engine.lane import fit
from deepprinciples.engine.lane.packed_log import Rows
from deepprinciples.engine.lane.traced_lane import Inputs
from deepprinciples.engine.streams import lane_key
from deepprinciples.types import Learner, PyTree

FUNCTIONS = ("segment", "evaluate", "init")
LAPACK = "lapack_"
# Functions of libraries that a compiled function may call. Lowering finds out where those of LAPACK are, so that a
# process that only loads has to ask for it. What others need is not known: programs that call them are traced.
LIBRARIES = (LAPACK, "Sharding", "SPMD", "annotate_device_placement", "mhlo.", "TopK", "cu_threefry2x32")


class Traced(NamedTuple):
    """What a trace gives of a program, beside its compiled functions."""

    lane: PyTree  # shapes of a call's lanes
    rows: Rows  # shapes of a segment's log
    evaluated: PyTree  # shapes of an evaluation
    memory_bytes: int
    identity: str


def keep(key: str, devices: Sequence[Any], names: Mapping[str, str], texts: Sequence[str], traced: Traced) -> None:
    """Note a program, if its functions were kept and a later process can load all that it needs.

    Its log and its evaluation must be trees of dicts, tuples and lists.

    Args:
        key: holds everything that the trace read.
        devices: those it runs on.
        names: of the entries of its functions.
        texts: their StableHLO.
        traced: what the trace gave.
    """
    called = {name for text in texts for name in re.findall(r"custom_call @\"?([\w.$]+)", text)}
    if not compile_cache.has(list(names.values()), devices) or not all(one.startswith(LIBRARIES) for one in called):
        return
    rows = traced.rows
    try:
        structures = {"rows": _written(rows.structure), "evaluated": _written(jax.tree.structure(traced.evaluated))}
    except ValueError:
        return
    note = {
        "functions": dict(names),
        "lapack": any(one.startswith(LAPACK) for one in called),
        "structures": structures,
        "lane": _leaves(traced.lane),
        "evaluated": _leaves(traced.evaluated),
        "vectors": {kind: list(one.shape) for kind, one in rows.vectors.items()},
        "leaves": [[kind, list(shape)] for kind, shape in rows.leaves],
        "memory_bytes": traced.memory_bytes,
        "identity": traced.identity,
    }
    compile_cache.write_note(key, devices, note)


def recall(
    key: str,
    devices: Sequence[Any],
    make_learner: Callable[[Mapping[str, Any]], Learner],
    one: Inputs,
    leading: tuple[int, ...],
) -> tuple[dict[str, Any], Traced, Learner] | None:
    """Load the functions of a program that was noted.

    Args:
        key: as given to `keep`.
        devices: those it runs on.
        make_learner: builds the learner from the traced hyper-parameters.
        one: shapes of one lane's inputs.
        leading: the axes of a call's lanes.

    Returns:
        The compiled functions by name, what the trace gave, and the learner; None where anything is missing.
    """
    if not (note := compile_cache.read_note(key, devices)):
        return None
    learners: list[Learner] = []

    def begin(point: Any, seed: Any) -> fit.Lane:
        learners.append(make_learner(point.hyper))
        return fit.start(learners[-1], lane_key(seed))

    lane = jax.eval_shape(begin, one.point, one.seed)
    lane = jax.tree.map(lambda a: jax.ShapeDtypeStruct((*leading, *a.shape), a.dtype), lane)
    if note["lane"] != _leaves(lane):
        return None
    arguments = {
        "segment": (lane, one.point, one.seed, one.indices, one.data, one.steps, one.total),
        "evaluate": (lane, one.point, one.split),
        "init": (one.point, one.seed),
    }
    structures = {name: _read(text) for name, text in note["structures"].items()}
    vectors = {kind: jax.ShapeDtypeStruct(tuple(shape), kind) for kind, shape in note["vectors"].items()}
    rows = Rows(vectors, structures["rows"], tuple((kind, tuple(shape)) for kind, shape in note["leaves"]))
    evaluated = structures["evaluated"].unflatten(
        [jax.ShapeDtypeStruct(tuple(shape), kind) for kind, shape in note["evaluated"]]
    )
    results = {"segment": (lane, rows), "evaluate": evaluated, "init": lane}

    def load(name: str) -> Any:
        given, found = jax.tree.structure((arguments[name], {})), jax.tree.structure(results[name])
        return compile_cache.load(note["functions"][name], given, found, devices)

    if note["lapack"]:
        _find_lapack()
    with ThreadPoolExecutor(2) as pool:
        functions = dict(zip(FUNCTIONS, pool.map(load, FUNCTIONS), strict=True))
    if None in functions.values():
        return None
    return functions, Traced(lane, rows, evaluated, note["memory_bytes"], note["identity"]), learners[-1]


@functools.cache
def _find_lapack() -> None:
    """Let JAX find the functions of LAPACK, as it does when it lowers a decomposition; else a call ends the process."""
    jax.jit(jnp.linalg.cholesky).lower(jax.ShapeDtypeStruct((1, 1), jnp.float32))


def _leaves(tree: PyTree) -> list[list[Any]]:
    return [[list(one.shape), str(one.dtype)][::-1] for one in jax.tree.leaves(tree)]


def _written(structure: Any) -> str:
    return base64.b64encode(structure.serialize_using_proto()).decode()


def _read(text: str) -> Any:
    return PyTreeDef.deserialize_using_proto(default_registry, base64.b64decode(text))
