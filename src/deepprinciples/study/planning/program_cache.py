"""Programs kept for the life of the process, and on disk: what was compiled once is not compiled again.

The key of a program holds everything that its trace reads. What a user's function reads (globals, closures, defaults)
cannot be put into a key, so a program with one is not kept.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np

import deepprinciples
from deepprinciples.config import flatten, settings
from deepprinciples.config.dictionary import at
from deepprinciples.config.sections import form_of
from deepprinciples.engine import compile_cache
from deepprinciples.engine.batching import Feed
from deepprinciples.engine.population import Given, Layout, Program, compile_program
from deepprinciples.engine.run import Padded
from deepprinciples.engine.segments import Plan
from deepprinciples.learners import OURS, TABLES
from deepprinciples.learners.assembly import from_config, measured
from deepprinciples.learners.assembly.factories import example_of
from deepprinciples.learners.features import digest
from deepprinciples.study.planning import teachers
from deepprinciples.study.planning.groups import Group
from deepprinciples.study.planning.starting_weights import PATH, start_of
from deepprinciples.types import Dataset

_LIBRARIES = ("jax", "flax", "optax", "numpy", "scipy")
MOST = 32  # programs kept; the one not used for longest goes first

# What no compiled function depends on: the data come as arguments, seeds and orders too.
_OUTSIDE = {"data", "test_sets", "title", "study", "arms"}
_TRAIN = {"train.steps", "train.probes", "train.matmul"}
_kept: OrderedDict[str, Program] = OrderedDict()


def program(group: Group, dataset: Dataset, layout: Layout, plan: Plan, feed: Feed, split: Padded) -> Program:
    """Compile a group's program, or take it from an earlier run of this process.

    Returns:
        The program; `compiles` and `compile_seconds` are 0 where nothing was compiled.
    """
    leaves = _leaves(group)
    start = start_of(group.config, dataset)
    given = lambda seed: (start.given(seed) if start else {}) | teachers.given(dataset, seed)
    key = _key(leaves, group, dataset, layout, plan, feed, split, given) if holds_ours_only(group) else ""
    if key in _kept:
        _kept.move_to_end(key)
        return _kept[key]._replace(compile_seconds=0.0, compiles=0, given=given)
    precision = settings.MATMUL.get(group.config["train"]["matmul"])
    with jax.default_matmul_precision(precision) if precision else contextlib.nullcontext():
        made = compile_program(
            lambda hyper: from_config.learner(from_config.replaced(group.config, hyper), dataset),
            from_config.probe(group.config),
            layout=layout,
            names=group.names,
            plan=plan,
            data=feed.shapes,
            batch_size=dataset.batch_size,
            split=split,
            given=given,
            key=key and _code() + key,
        )
    if key:
        _kept[key] = made
    while len(_kept) > MOST:
        _kept.popitem(last=False)
    return made


def fits(group: Group, dataset: Dataset) -> bool:
    """Check whether a group fits its data, on shapes alone; what a run of this code found to fit is not traced again.

    Args:
        group: of ours only, see `holds_ours_only`.
        dataset: its data.
    """
    known = ""
    if dataset.stream is None and dataset.teacher is None:
        parts = (dataset.train, dataset.validation, dataset.test, dict(dataset.test_sets), dict(dataset.evidence))
        content = [_content(one) for one in (*jax.tree.leaves(parts), dataset.modes)]
        facts = (flatten(group.config), *_facts(dataset), dataset.class_names, dataset.token_names, _settings())
        known = json.dumps(["fits", _code(), content, facts], default=repr)
        if compile_cache.read_note(known, jax.devices()):
            return True
    found = not from_config.check(group.config, dataset)
    if found and known:
        compile_cache.write_note(known, jax.devices(), found)
    return found


@functools.cache
def _code() -> str:
    """Return a digest of all code that a trace runs: this package, and the releases of the libraries it calls."""
    files = sorted(Path(deepprinciples.__file__).parent.rglob("*.py"))
    content = hashlib.sha256(b"".join(str(one).encode() + one.read_bytes() for one in files)).hexdigest()
    return json.dumps([content, *(f"{name} {metadata.version(name)}" for name in _LIBRARIES)])


def _leaves(group: Group) -> dict[str, Any]:
    """Return what a trace reads of a config: dotted path -> value."""
    return {
        path: "traced" if path in group.names else value
        for path, value in flatten(group.config).items()
        if not path.startswith(PATH)  # weights come as arguments
        and path.split(".")[0] not in _OUTSIDE | {"train"}
        or path in _TRAIN
        or path.startswith(("study.metric", "study.also"))
    }


def holds_ours_only(group: Group) -> bool:
    """Check that a config holds plain values only, and that nothing it can name is a user's function."""
    return all(map(_plain, _leaves(group).values())) and all(
        one in OURS for table in TABLES.values() for one in table.values()
    )


def _plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_plain, value.values()))
    if isinstance(value, (tuple, list)):
        return all(map(_plain, value))
    return isinstance(value, (bool, int, float, str, type(None)))


def _key(
    leaves: Mapping[str, Any],
    group: Group,
    dataset: Dataset,
    layout: Layout,
    plan: Plan,
    feed: Feed,
    split: Padded,
    given: Given,
) -> str:
    config = group.config
    order = {path: list(at(config, path)) for path in form_of(config, from_config.KINDS).chains}
    # Metrics hold what they measure in: the modes, a classifier of these data, or the mean of the targets.
    classifier = digest(dataset) if measured.needs_features(config) else ""
    measures = (dataset.modes, classifier, measured.center_of(dataset))
    data = (*jax.tree.leaves(example_of(config, dataset)), *measures)
    shapes = [(one.shape, str(one.dtype)) for one in jax.tree.leaves((feed.shapes, split))]
    begun = [(name, one.shape, str(one.dtype)) for table in given(0).values() for name, one in table.items()]
    read = [
        leaves,
        begun,
        order,
        group.names,
        layout,
        plan.every,
        plan.chunks,
        shapes,
        _facts(dataset),
        _settings(),
        jax.default_backend(),
    ]
    return json.dumps([*read, [_content(one) for one in data]])


def _facts(dataset: Dataset) -> tuple[Any, ...]:
    return dataset.outputs, dataset.vocabulary, dataset.task, dataset.batch_size, dataset.mode_std


def _settings() -> list[tuple[str, str]]:
    return sorted((name, repr(value)) for name, value in jax.config.values.items())


def _content(value: Any) -> list[str]:
    array = np.asarray(value if value is not None else "none")  # an array of an object holds its address
    return [str(array.shape), str(array.dtype), hashlib.sha256(array.tobytes()).hexdigest()]
