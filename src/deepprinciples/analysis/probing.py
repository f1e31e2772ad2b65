"""A saved run measured afterwards: every probe, the spectrum, the loss around each solution and between them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from deepprinciples.engine.population import use_all_cores
from deepprinciples.engine.streams import lane_key
from deepprinciples.errors import ConfigError, message
from deepprinciples.interop import parameters
from deepprinciples.learners import averaging
from deepprinciples.learners.assembly import from_config
from deepprinciples.learners.assembly.factories import model_of
from deepprinciples.parts import probes
from deepprinciples.parts.parameter_names import names_of
from deepprinciples.parts.probes import curvature, landscape
from deepprinciples.results import layout
from deepprinciples.results.finished_run import Run, load, write
from deepprinciples.results.summary import SCHEMA_VERSION
from deepprinciples.results.trained_model import used_parameters
from deepprinciples.runs import arrays, directory
from deepprinciples.stats.sentences import plural
from deepprinciples.study import given_again
from deepprinciples.study.planning.starting_weights import PATH, start_of
from deepprinciples.types import AUXILIARY, Array, Batch, Dataset, Info, Learner, Model, PyTree

# What can be measured of weights without the optimizer that made them.
PROBES: Mapping[str, Mapping[str, Any]] = {
    "gradient_norm": {}, "activation_mean_square": {}, "gradient_mean_square": {}, "dead_units": {},
    "saturated_units": {}, "dormant_units": {}, "rank": {}, "gradient_histogram": {}, "gradient_through_time": {},
    "gate_saturation": {}, "gradient_noise": {}, "gradient_conflict": {}, "input_jacobian": {},
    "sharpness": {"iterations": 32}, "sam_sharpness": {}, "hessian_trace": {"samples": 32},
    "spectrum": {"iterations": 64},
}  # fmt: skip
WAYS, PLACES, BETWEEN, ALIKE = 2, 21, 11, 256  # directions, places along each, places between solutions, CKA examples
REACH = 1.0


class _Subject(NamedTuple):
    """What is measured: the run, its learner and model, weights and state of its seeds [S, ...], and the examples."""

    config: Mapping[str, Any]
    learner: Learner
    model: Model
    params: PyTree
    state: PyTree  # None where the file holds none
    seeds: list[int]
    batch: Batch
    notes: list[str]
    begun: Mapping[str, np.ndarray]  # name -> [S, ...], the weights that a run of `model.start` began from


def probe(
    run_dir: Run | str | Path,
    out: str | Path | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    examples: int = 512,
    progress: Callable[[str], None] = lambda text: None,
) -> Run:
    """Measure the trained weights of a `train` run on its training examples, and write what was found as a run.

    Args:
        run_dir: a finished run of `train`, or its directory. Nothing in it is changed.
        out: the new run directory; by default runs/<name>-probe-<number>. Never overwritten.
        config: what the run was given, where functions or arrays of its config came from another process.
        examples: training examples to measure on, the first ones; whole batches of them where a rule or a
            normalization takes a batch apart.
        progress: called with what is being done.

    Returns:
        The new run; its `results` hold the probes' values by seed, and `landscape` [arm, seed, way, place], the loss
        along random directions; `between` [arm, pair, point], the loss on the straight way from one seed's weights to
        another's, and `barrier` [arm, pair]; `similarity` [arm, layer, other_layer], CKA of layers of two seeds.

    Raises:
        ConfigError: the run has no parameters, no one model and loss, or needs `config`. IntegrityError: it cannot be
            read. ResourceError: nothing can be written.

    Example:
        run = dp.train(config)
        found = dp.probe(run, examples=32)
        found.results.sharpness
    """
    run = run_dir if isinstance(run_dir, Run) else load(run_dir)
    kept = run.path / directory.PARAMETERS
    if not kept.is_file() or run.summary.get("kind") != "train":
        raise ConfigError(f"{run.path}: holds no parameters of a single method; probe a run of train")
    if examples < 2:
        raise ConfigError(f"examples: found {examples}; expected 2 or more")
    directory.check_free(out)
    use_all_cores()
    plan = given_again.plan_of(run, "train", config, f'dp.probe("{run.path}", config=config)')
    run = run._replace(given=plan.config)
    config, parts = plan.arms["run"].config, plan.data["run"]
    if not {"model", "loss"} <= config.keys():
        raise ConfigError(f"{run.path}: has no one model and loss to probe; its learner is measured while it trains")
    table, notes = arrays.load_arrays(kept), []
    if config.get("weights"):
        own = {name: one.get("model", {}) for name, one in table.items() if name.startswith(parameters.STATE)}
        table = {name: used_parameters(run, "", int(name[5:])) for name in table if name.startswith(parameters.SEED)}
        table |= own
        config = {**config, "weights": {}}
        notes = ["the weights that the model uses are measured, as if they were those that are stored"]
    subject = _cut(_subject(config, parts, table, examples), parts)
    subject = subject._replace(notes=notes + subject.notes)
    look, left_out = _fitting(subject)
    subject = subject._replace(notes=subject.notes + left_out)
    progress(f"probing {len(subject.seeds)} {plural('seed', len(subject.seeds))} on {subject.batch.size} examples")
    found = _measured(subject, probes.combine(look), steps=config["train"]["steps"])
    progress("looking around and between solutions")
    # The layers of activations may be others than those of parameters.
    found = found.merge(xr.Dataset(_around(subject) | _alike(subject)), join="outer")
    path = directory.create(out, f"{run.path.name}-probe")
    return _write(path, run, found, subject)


def _subject(config: Mapping[str, Any], parts: Dataset, kept: Mapping[str, Any], examples: int) -> _Subject:
    model, learner = model_of(config, parts), from_config.learner(config, parts)
    like = jax.eval_shape(lambda key: model.init(key, from_config.first(parts, 1).inputs), lane_key(0))
    seeds = sorted(int(name.removeprefix(parameters.SEED)) for name in kept if name.startswith(parameters.SEED))
    params = _stacked([kept[f"{parameters.SEED}{seed}"] for seed in seeds], like[0])
    held = [kept[name] for seed in seeds if (name := f"{parameters.STATE}{seed}") in kept]
    state = _stacked(held, like[1]) if len(held) == len(seeds) else None
    batch = from_config.first(parts, examples)
    found = start_of(config, parts)
    given = [found.given(seed)[PATH] if found else {} for seed in seeds]
    begun = {name: np.stack([one[name] for one in given]) for name in given[0]}
    return _Subject(config, learner, model, params, state, seeds, batch, [], begun)


def _stacked(tables: Sequence[Mapping[str, Any]], like: PyTree) -> PyTree:
    """Stack what a file holds of every seed, as a tree like that of one."""
    trees = [parameters.tree_of(one, like, directory.PARAMETERS) for one in tables]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


def _cut(subject: _Subject, parts: Dataset) -> _Subject:
    """Cut the examples to whole batches of training where a step cannot take all of them.

    Raises:
        ConfigError: a step takes no such number either.
    """
    count, size = subject.batch.size, parts.batch_size
    for number in dict.fromkeys((count, max(1, count // size) * size, size)):
        batch = from_config.first(parts, number)
        try:
            _shapes_of(subject._replace(batch=batch), lambda info: info.loss)
        except Exception as error:  # a user's own rule may raise anything
            problem = f"{number} examples: a step does not take them: {message(error)}"
        else:
            note = f"{number} examples are used in place of {count}: a step works on even shares of a batch"
            return subject._replace(batch=batch, notes=[note] * (number != count))
    raise ConfigError(problem)


def _fitting(subject: _Subject) -> tuple[dict[str, curvature.Probe], list[str]]:
    """Choose the probes that can measure the subject, and say why others cannot."""
    fitting, notes = {}, []
    for name, given in PROBES.items():
        one = probes.TABLE[name](**given)
        try:
            _shapes_of(subject, one)
        except Exception as error:  # such as a normalization by parts of a batch, for gradients of single examples
            notes.append(f"{name} is left out: {message(error)}")
        else:
            fitting[name] = one
    return fitting, notes


def _shapes_of(subject: _Subject, look: Callable[[Info], Any]) -> Any:
    """Trace what is measured of the first seed's weights; nothing is computed."""
    params = jax.tree.map(lambda a: a[0], subject.params)
    return jax.eval_shape(lambda params, seed: look(_seen(subject, params, seed)), params, np.uint32(0))


def _seen(subject: _Subject, params: PyTree, seed: Array) -> Info:
    """Take a step from trained weights, with a fresh optimizer, and return what a probe reads of it."""
    key = lane_key(seed)
    begun = subject.learner.init(key)
    some = jax.tree.map(lambda a: jnp.asarray(a)[None], subject.batch)
    passed = lambda params, state, batch: subject.model.apply(params, state, batch.inputs, key=key, train=True)[1]
    if subject.state is None:
        kept = averaging.statistics(passed, params, begun.model_state, some)
    else:
        kept = jax.tree.map(lambda a: jnp.asarray(a)[_row(subject, seed)], subject.state)
    _, info = subject.learner.step(begun._replace(params=params, model_state=kept), subject.batch, key)
    named = info.named or (lambda params: params)
    return info._replace(start=lambda: named(_start(subject, begun.params, seed)))


def _row(subject: _Subject, seed: Array) -> Array:
    return jnp.argmax(jnp.asarray(subject.seeds, jnp.uint32) == seed)


def _start(subject: _Subject, drawn: PyTree, seed: Array) -> PyTree:
    """Return the weights that a seed began from: those drawn, and those that were given in their place."""
    leaves = [
        jnp.asarray(subject.begun[name])[_row(subject, seed)] if name in subject.begun else leaf
        for name, leaf in zip(names_of(drawn), jax.tree.leaves(drawn), strict=True)
    ]
    return jax.tree.unflatten(jax.tree.structure(drawn), leaves)


def _measured(subject: _Subject, look: curvature.Probe, *, steps: int) -> xr.Dataset:
    """Run the probes on every seed's weights, one seed after another."""

    def one(each: tuple[PyTree, Array]) -> dict[str, Any]:
        info = _seen(subject, *each)
        moved = probes.TABLE["travel"]()(info)["distance"]
        return {**look(info), "distance": moved}

    seeds = np.asarray(subject.seeds, np.uint32)
    logs = jax.tree.map(np.asarray, jax.jit(lambda every: jax.lax.map(one, every))((subject.params, seeds)))
    logs = jax.tree.map(lambda a: a[:, None], logs)  # [seed, step]
    variables, coords = layout.probed([logs], subject.seeds, [steps])
    own = {"arm": ["run"], "seed": subject.seeds, "step": [steps]}
    return xr.Dataset(variables, {**own, **coords}, {"title": str(subject.config["title"])})


def _around(subject: _Subject) -> dict[str, Any]:
    """Return the loss along random directions around each solution, and on straight ways between them."""
    places, points = np.linspace(-REACH, REACH, PLACES), np.linspace(0.0, 1.0, BETWEEN)
    pairs = list(itertools.combinations(range(len(subject.seeds)), 2))[:10]

    def objective(info: Info) -> Callable[[PyTree], Array]:
        assert info.objective is not None
        value, batch = info.objective, subject.batch
        return lambda params: value(params, batch)

    def slices(each: tuple[PyTree, Array]) -> Array:
        params, seed = each
        value = objective(_seen(subject, params, seed))
        keys = jax.random.split(jax.random.fold_in(lane_key(seed), 1), WAYS)
        ways = [landscape.filter_normalized(key, params) for key in keys]
        return jnp.stack([landscape.along(value, params, way, jnp.asarray(places)) for way in ways])

    def between(ends: tuple[PyTree, PyTree]) -> Array:
        value = objective(_seen(subject, ends[0], jnp.uint32(0)))
        return landscape.along(value, ends[0], jax.tree.map(jnp.subtract, ends[1], ends[0]), jnp.asarray(points))

    seeds = np.asarray(subject.seeds, np.uint32)
    held = jax.jit(lambda every: jax.lax.map(slices, every))((subject.params, seeds))
    found: dict[str, Any] = {"landscape": (("arm", "seed", "way", "place"), np.asarray(held)[None])}
    found["place"] = ("place", places)
    if pairs:
        ends = tuple(jax.tree.map(lambda a, k=k: a[[pair[k] for pair in pairs]], subject.params) for k in (0, 1))
        lines = jax.jit(lambda every: jax.lax.map(between, every))(ends)
        names = [f"{subject.seeds[a]} to {subject.seeds[b]}" for a, b in pairs]
        found["between"] = (("arm", "pair", "point"), np.asarray(lines)[None])
        found["barrier"] = (("arm", "pair"), np.asarray(landscape.barrier(lines))[None])
        found |= {"pair": ("pair", names), "point": ("point", points)}
    return found


def _alike(subject: _Subject) -> dict[str, Any]:
    """Compare the layers of neighboring seeds with each other: CKA, the mean over neighbors."""
    if len(subject.seeds) < 2:
        return {}
    count = min(ALIKE, subject.batch.size)
    inputs = jax.tree.map(lambda a: a[:count], subject.batch.inputs)

    def layers(each: tuple[PyTree, Array]) -> dict[str, Array]:
        info = _seen(subject, *each)
        assert info.forward is not None
        seen = info.forward(each[0], inputs)[1]
        return {
            name: h.reshape(min(ALIKE, subject.batch.size), -1)
            for name, h in seen.items()
            if not name.endswith(AUXILIARY)
        }

    held = jax.jit(lambda every: jax.lax.map(layers, every))((subject.params, np.asarray(subject.seeds, np.uint32)))
    if not held:
        return {}
    names = sorted(held)
    match = jax.jit(landscape.cka)
    pairs = list(zip(range(len(subject.seeds) - 1), range(1, len(subject.seeds)), strict=True))[:8]
    found = [[np.mean([match(held[a][i], held[b][j]) for i, j in pairs]) for b in names] for a in names]
    return {
        "similarity": (("arm", "layer", "other_layer"), np.asarray(found)[None]),
        "layer": ("layer", names),
        "other_layer": ("other_layer", names),
    }


def _write(path: Path, run: Run, found: xr.Dataset, subject: _Subject) -> Run:
    summary = {
        "schema_version": SCHEMA_VERSION,
        "kind": "probe",
        "title": f"{found.attrs['title']}: what was learned",
        "headline": f"{len(subject.seeds)} trained networks, measured on {subject.batch.size} training "
        "examples. Nothing is compared here.",
        "command": f"deepprinciples probe {run.path}",
        "config_toml": run.config,
        "arms": [],
        "comparisons": [],
        "warnings": subject.notes,
        "protocol": {"seeds": len(subject.seeds), "examples": subject.batch.size},
        "limits": [
            "Curvature and noise are those of the training objective on these examples, with one draw of dropout.",
            "A random direction shows a thin slice: a smooth one does not mean that the loss is smooth elsewhere.",
        ],
    }
    return write(path, run.config, found, summary, seeds=subject.seeds)
