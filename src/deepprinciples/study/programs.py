"""Programs kept for the life of the process: what was compiled once is not compiled again."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from deepprinciples.config import flatten
from deepprinciples.config.sections import at, form_of
from deepprinciples.engine.cuts import Plan
from deepprinciples.engine.feed import Feed
from deepprinciples.engine.population import Layout, Program, compile_program
from deepprinciples.engine.run import Padded
from deepprinciples.study import build
from deepprinciples.study.features import digest
from deepprinciples.study.groups import Group
from deepprinciples.types import Dataset

MOST = 32  # programs kept; the one not used for longest goes first
MATMUL = {"bfloat16": "BF16_BF16_F32", "tensorfloat32": "tensorfloat32", "float32": "float32"}

# What no compiled function depends on: the data come as arguments, seeds and orders too.
_OUTSIDE = {"data", "title", "study", "arms"}
_TRAIN = {"train.steps", "train.probes", "train.matmul"}
_kept: OrderedDict[str, tuple[Program, Any]] = OrderedDict()


def program(group: Group, dataset: Dataset, layout: Layout, plan: Plan, feed: Feed, split: Padded) -> Program:
    """Compile a group's program, or take it from an earlier run of this process.

    Returns:
        The program; `compiles` and `compile_seconds` are 0 where nothing was compiled. A function that a config holds
        is known by its identity: whoever changes what it refers to should make a new one.
    """
    key = _key(group, dataset, layout, plan, feed, split)
    if key in _kept:
        _kept.move_to_end(key)
        return _kept[key][0]._replace(compile_seconds=0.0, compiles=0)
    precision = MATMUL.get(group.config["train"]["matmul"])
    with jax.default_matmul_precision(precision) if precision else contextlib.nullcontext():
        made = compile_program(
            lambda hyper: build.learner(build.replaced(group.config, hyper), dataset),
            build.probe(group.config),
            layout=layout,
            names=group.names,
            plan=plan,
            data=feed.shapes,
            batch_size=dataset.batch_size,
            split=split,
        )
    _kept[key] = made, group.config  # kept alive with it, so that the identities of its objects stay their own
    while len(_kept) > MOST:
        _kept.popitem(last=False)
    return made


def _key(group: Group, dataset: Dataset, layout: Layout, plan: Plan, feed: Feed, split: Padded) -> str:
    config = group.config
    leaves = {
        path: "traced" if path in group.names else _written(value)
        for path, value in flatten(config).items()
        if path.split(".")[0] not in _OUTSIDE | {"train"} or path in _TRAIN or path.startswith("study.metric")
    }
    order = {path: list(at(config, path)) for path in form_of(config).chains}
    example = build.shown(config, dataset)  # what a model starts from is compiled in
    samples = "game" in config
    shapes = [(one.shape, str(one.dtype)) for one in jax.tree.leaves((feed.shapes, split))]
    facts: tuple[Any, ...] = (dataset.outputs, dataset.vocabulary, dataset.task, dataset.batch_size)
    facts += (example.shape, hashlib.sha256(example.tobytes()).hexdigest())
    # Metrics of samples hold what they measure in: the modes, or a classifier of these data.
    facts += (dataset.mode_std, np.asarray(dataset.modes).tobytes().hex(), digest(dataset) if samples else "")
    known = jax.config.values
    settings = (known["jax_enable_x64"], known["jax_default_matmul_precision"], jax.default_backend())
    return json.dumps([leaves, order, group.names, layout, plan.every, plan.chunks, shapes, facts, settings])


def _written(value: Any) -> Any:
    plain = isinstance(value, (bool, int, float, str, type(None)))
    return value if plain else repr(value) if isinstance(value, (tuple, list, Mapping)) else f"object {id(value)}"
