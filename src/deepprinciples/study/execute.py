"""A study carried out: from a checked config and its data to the files of a run directory, from wherever it stands."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import xarray as xr

from deepprinciples import config as configs
from deepprinciples.engine import autotune
from deepprinciples.errors import ConfigError, IntegrityError, ResourceError, Stopped, message, not_written, one_line
from deepprinciples.interop import parameters
from deepprinciples.learners.assembly import from_config, measured
from deepprinciples.learners.assembly.factories import trait
from deepprinciples.learners.features import digest
from deepprinciples.results import layout
from deepprinciples.results.finished_run import Run, write
from deepprinciples.results.summary import summarize
from deepprinciples.runs import arrays, checkpoints, directory, files, stopping
from deepprinciples.study import arm_facts, gallery, progress_store, protocol, range_test, shown_progress
from deepprinciples.study.planning import starting_weights, teachers
from deepprinciples.study.planning.outline import outline, rounded
from deepprinciples.study.planning.plan import StudyPlan

EXHAUSTED = ("RESOURCE_EXHAUSTED", "Out of memory")


def check_same_environment(
    found: checkpoints.Checkpoint, here: Mapping[str, Any], allowed: bool, *, allow_data_change: bool = False
) -> list[str]:
    """Compare what a checkpoint needs with what is here: its config must be the same, the rest only if not allowed."""
    there = configs.flatten(found.facts)
    now = configs.flatten(files.plain(here))
    if there.get("config") != now["config"]:
        raise IntegrityError(
            f"{directory.CONFIG}: was changed since the run began, so its checkpoint is of another run; put it back, "
            "or begin a new run"
        )
    other = [f"{key}: {there.get(key)}, here {value}" for key, value in now.items() if there.get(key) != value]
    data = [line for line in other if line.startswith("data.")]
    if data and not allow_data_change:
        raise IntegrityError(
            f"{data[0]}: the data changed since the run began; restore them, begin a new run, or add "
            "--allow-data-change to go on all the same"
        )
    other = [line for line in other if line not in data]
    notes = ["not exact: the data changed while the run was stopped"] if data else []
    if other and not allowed:
        raise IntegrityError(
            f"the run was begun elsewhere ({'; '.join(other[:3])}), so its bits cannot be repeated; add "
            "--allow-inexact to go on all the same"
        )
    return notes + ([f"not exact: resumed elsewhere than it was begun ({'; '.join(other)})"] if other else [])


def facts(plan: StudyPlan) -> dict[str, Any]:
    """Return everything the bits of a run depend on beside its config."""
    known = jax.config.values
    train = {key: value for key, value in plan.config["train"].items() if key != "layouts"}
    asked = configs.dumps({**plan.config, "train": train})  # measured shapes are written at the end
    return {
        "fingerprint": {
            **directory.fingerprint(),
            "backend": jax.default_backend(),
            "device": jax.devices()[0].device_kind,
            "devices": len(jax.devices()),
            "x64": known["jax_enable_x64"],
            "matmul": known["jax_default_matmul_precision"],
        },
        "data": {arm: digest(one) for arm, one in plan.data.items() if one.stream is None},
        **({"start": starts} if (starts := starting_weights.digests(plan.configs)) else {}),
        **({"teacher": taught} if (taught := teachers.digests(plan.configs)) else {}),
        "config": hashlib.sha256(asked.encode()).hexdigest(),
    }


class ResumePoint(NamedTuple):
    """Where a run stands: its checkpoints, and notes for the reader of the result."""

    found: checkpoints.Checkpoint | None = None
    notes: Sequence[str] = ()
    lenient: bool = False  # its programs may differ from those it began with


def execute(
    path: Path,
    plan: StudyPlan,
    stem: str,
    command: str,
    progress: protocol.Progress | None,
    at: ResumePoint,
    executor: protocol.Executor = protocol.IN_THIS_PROCESS,
) -> Run:
    """Run a study from its start or from a checkpoint, and write what came of it."""
    status: dict[str, Any] = {"kind": plan.kind, "stem": stem, "command": command, "notes": at.notes}
    with stopping.listening() as stop:
        folder, seconds = path / progress_store.FOLDER, plan.train.checkpoint_seconds
        store = progress_store.ProgressStore(folder, seconds, facts(plan), stop, lenient=at.lenient)
        if at.found is not None:
            store.take_up(at.found)
        try:
            with _on_disk(path):
                directory.write_status(path, "running", **status)
            # What draws the report takes a second to import: meanwhile a program compiles.
            threading.Thread(target=importlib.import_module, args=["deepprinciples.report.page"], daemon=True).start()
            if plan.kind == "compare" and progress is not None:
                for line in outline(plan)[2:]:
                    progress.say(line)
            progress = progress or shown_progress.default()
            finished = protocol.run_study(plan, progress=progress, keep=_kept(plan), store=store, executor=executor)
            with _on_disk(path):
                notes = [*at.notes, *store.notes]
                run = _write(path, plan, *_outputs(plan, finished, stem, command, notes), finished)
                checkpoints.drop(folder, checkpoints.UNDER_WAY)
                directory.write_status(path, "finished", **status)
        except Stopped as stopped:
            with contextlib.suppress(Stopped), stop.held():
                directory.write_status(path, "stopped", **status)
            raise Stopped(f"{stopped}; go on with: {resume_hint(path)}") from None
        except Exception as error:  # a user's own function may raise anything, at any time
            shown = out_of_memory(error, store.program, path) or error
            with contextlib.suppress(Exception), stop.held():
                directory.write_status(path, "failed", **status, reason=one_line(shown))
            if shown is error:
                raise
            raise shown from None
    return run


def resume_hint(path: Path) -> str:
    """Say how a run is resumed: by the command, or from Python where no file holds all that it was given."""
    with contextlib.suppress(ConfigError):
        if configs.marked(configs.read(path / directory.CONFIG)):
            return f'dp.resume("{path}", config=config), with the config that the run was given'
    return f"deepprinciples resume {path}"


@contextlib.contextmanager
def _on_disk(path: Path) -> Iterator[None]:
    """Name what could not be written, and say that the run is not lost."""
    try:
        yield
    except OSError as error:
        where = error.filename or path
        raise not_written(where, error, f"; free some space, then resume with: {resume_hint(path)}") from None


def out_of_memory(error: Exception, program: progress_store.UnderWay | None, path: Path) -> ResourceError | None:
    """Describe in one line an error of JAX or Python that means too little memory; None for any other error."""
    full = isinstance(error, jax.errors.JaxRuntimeError) and any(word in str(error) for word in EXHAUSTED)
    if not full and not isinstance(error, MemoryError):
        return None
    if program is None:
        return ResourceError(
            f"memory ran out while a program was compiled ({message(error)}); lower train.max_parallel"
        )
    width = program.shape["blocks"] * program.points
    need = f"{width} lane{'s' * (width > 1)} at once need{'s' * (width == 1)} {program.memory_bytes:,} bytes"
    fewer = "take a smaller model or batch_size, or a machine with more"
    if program.shape["blocks"] > 1:
        fewer = f"begin a new run with train.max_parallel = {width // 2}"
    return ResourceError(
        f"memory: {program.arm}: {need}, and about {autotune.memory_limit(1):,} are free; {fewer}, or free some and go "
        f"on with: {resume_hint(path)}"
    )


def _outputs(
    plan: StudyPlan,
    finished: protocol.Finished,
    stem: str,
    command: str,
    notes: list[str],
) -> tuple[dict[str, Any], dict[str, Any], xr.Dataset]:
    """Return the config that repeats a study, its summary and its results."""
    resolved, kind = plan.config, plan.kind
    metric, higher = from_config.metric_name(resolved), from_config.higher_is_better(resolved)
    found = layout.dataset(
        finished,
        metric=metric,
        higher_is_better=higher,
        title=resolved.get("title", "") or stem,
        class_names=next(iter(plan.data.values())).class_names,
        environment_steps=arm_facts.environment_steps(plan),
    )
    if kind == "lr-find":
        found = found.assign(learning_rate=("step", range_test.rates_of(next(iter(plan.arms.values())).config)))
    begun = starting_weights.notes(plan.configs, plan.data, finished.seeds)
    begun += teachers.notes(plan.configs, plan.data, finished.seeds)
    of_data = dict.fromkeys(note for one in plan.data.values() for note in one.notes)
    shapes, constants = arm_facts.shapes_and_constants(plan)
    summary = summarize(
        finished,
        found,
        study=plan.study,
        steps=plan.train.steps,
        bound=measured.worst(resolved),
        best=measured.best(resolved),
        kind=kind,
        acts=all(trait("learner", arm.config["learner"], "environment_steps") for arm in plan.arms.values()),
        changes={name: configs.described(arm.changes) for name, arm in plan.arms.items() if "arms" in resolved},
        notes=[*of_data, *rounded(plan.train), *arm_facts.same_arms(plan.arms), *begun, *notes],
        constant=constants,
    )
    if kind == "lr-find":
        summary |= range_test.summarized(found, resolved, summary["arms"])
    for row, size in zip(summary["arms"], arm_facts.sizes(plan, shapes, summary["arms"]), strict=True):
        row["size"] = size
    found = found.assign({
        key: ("arm", [float("nan") if row["size"][key] is None else float(row["size"][key]) for row in summary["arms"]])
        for key in ("parameters", "bytes", "multiply_adds")
        if all(row["size"] for row in summary["arms"])
    })  # fmt: skip
    layouts = {row["arms"][0]: row["shape"] for row in finished.programs if row["measured"] or row["machines"] > 1}
    if layouts:  # a repeat takes the shapes that were measured, or were made for several machines
        layouts = {arm: {key: one[key] for key in ("mode", "blocks", "chunks")} for arm, one in layouts.items()}
        resolved = {**resolved, "train": {**resolved["train"], "layouts": layouts}}
    edges = {
        row["name"]: from_config.stability_edge(from_config.replaced(plan.arms[row["name"]].config, row["tuned_point"]))
        for row in summary["arms"]
    }
    known = {arm: edge for arm, edge in edges.items() if edge}
    found = _with_gallery(plan, finished, summary, found)
    further = {
        "circuits": arm_facts.circuits(plan),
        "stability_edges": known,
        **({"own_probes": own} if (own := arm_facts.own_probes(plan)) else {}),
        "command": command,
        "config_toml": configs.dumps(resolved),
    }
    return resolved, summary | further, found


def _with_gallery(
    plan: StudyPlan, finished: protocol.Finished, summary: dict[str, Any], found: xr.Dataset
) -> xr.Dataset:
    """Add test examples as pictures or recordings, and written text; what a `display` raises costs these alone."""
    states = {arm: outcome.states for arm, outcome in finished.outcomes.items() if outcome.states is not None}
    chosen = {row["name"]: row["chosen"][finished.block[0]] for row in summary["arms"] if row["chosen"]}
    try:
        if written := gallery.texts(plan, states, chosen):
            summary["texts"] = written
        drawn = gallery.gallery(plan, states, chosen)
    except Exception as error:
        summary["warnings"].append(f"no gallery: the display of the data failed ({one_line(error)})")
        return found
    return found.assign(drawn)


def _kept(plan: StudyPlan) -> int:
    """Count the report seeds whose final parameters are kept."""
    return {"train": plan.train.seeds, "compare": plan.study.keep}.get(plan.kind, 0)


def _write(
    path: Path,
    plan: StudyPlan,
    resolved: dict[str, Any],
    summary: dict[str, Any],
    found: xr.Dataset,
    finished: protocol.Finished,
) -> Run:
    files.write_jsonl(path / directory.METRICS, metric_rows(found))
    states = {arm: outcome.states for arm, outcome in finished.outcomes.items() if outcome.states is not None}
    if states:
        seeds = finished.seeds[: _kept(plan)]
        if tables := parameters.tables(states, seeds, plan.kind):
            arrays.save_arrays(tables, path / directory.PARAMETERS)
    return write(
        path,
        configs.dumps(resolved),
        found,
        summary,
        device=f"{len(jax.devices())} x {jax.devices()[0].device_kind}",
        backend=jax.default_backend(),
        x64=jnp.zeros(()).dtype == "float64",
        seeds=finished.seeds,
        tuning_seeds=[seed for search in finished.tuning_seeds for seed in search],
        programs=finished.programs,
    )


def metric_rows(found: xr.Dataset) -> list[dict[str, Any]]:
    """List the validation curve of every reporting lane as rows: arm, seed, step, metric, loss."""
    dims, curves = ["arm", "seed", "eval_step"], ["validation", "validation_loss"]
    table = found[curves].to_dataframe(dim_order=dims)[curves].reset_index()
    names = ["arm", "seed", "step", f"validation_{found.attrs['metric']}", "validation_loss"]
    rows = table.set_axis(names, axis="columns").to_dict("records")
    return [{"sequence": number, **row} for number, row in enumerate(rows)]
