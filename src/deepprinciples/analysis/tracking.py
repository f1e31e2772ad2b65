"""A finished run given to an experiment tracker: a run there for the study, and one for each arm and seed.

A comparison is a few compiled programs that leave everything in the run directory, so what a tracker gets is read from
there once it is finished. The writers are in `interop.trackers`. No jax.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from deepprinciples import config as configs
from deepprinciples.errors import ConfigError, DeepprinciplesError, ResourceError, one_line
from deepprinciples.interop import trackers
from deepprinciples.interop.trackers import Tracked
from deepprinciples.interop.trackers import check as check
from deepprinciples.results.finished_run import Run, config_of, load

KINDS = ("compare", "train")
_STEPS = ("step", "eval_step")


def track(run: Run | str | Path, to: str, *, folder: str | Path | None = None, project: str = "deepprinciples") -> str:
    """Give a finished run to an experiment tracker: curves, config and verdict of each arm and seed, and the report.

    Args:
        run: of `compare` or `train`; or its directory.
        to: "tensorboard", "wandb", "mlflow" or "trackio", each an extra such as deepprinciples[track-wandb].
        folder: where files go. TensorBoard: by default tensorboard/ beside the run directory. MLflow: a database in it;
            by default what MLFLOW_TRACKING_URI names. Weights & Biases: its local files. Trackio has TRACKIO_DIR.
        project: of Weights & Biases and Trackio; the experiment of MLflow.

    Returns:
        Where it is to be seen, in words.

    Raises:
        ConfigError: the tracker is not known, the run is of another command, or TensorBoard has it already.
        ResourceError: the library is not installed, or cannot write. IntegrityError: it is no finished run.

    Example:
        run = dp.compare(config)
        print(dp.track(run, "tensorboard", folder="events"))
    """
    check(to)
    run = run if isinstance(run, Run) else load(run)
    if (kind := run.summary.get("kind")) not in KINDS:
        raise ConfigError(
            f"{run.path}: is a run of {kind}, which has no verdict to track; expected {' or '.join(KINDS)}"
        )
    study = run.path.resolve().name
    place = None if folder is None else Path(folder)
    if to == "tensorboard" and place is None:
        place = run.path.resolve().parent / "tensorboard"
    write: Any = trackers.TABLE[to]
    try:
        return str(write(study, tracked(run), project, place))
    except DeepprinciplesError:
        raise
    except Exception as error:
        raise ResourceError(
            f"track: {to} failed: {one_line(error)}; the run is whole; try again: deepprinciples track {run.path} {to}"
        ) from error


def tracked(run: Run) -> Iterator[Tracked]:
    """Return what a tracker gets of a run: the study with its report first, then a lane for each arm and seed."""
    summary, results = run.summary, run.results
    head = str(summary.get("headline", ""))
    report = run.path / "report.html"
    attached, whole = [report] if report.is_file() else [], _flat(config_of(run))
    yield Tracked("study", whole, {}, {}, f"{head}\n\n{run.table('markdown')}", attached)
    for k, row in enumerate(summary["arms"]):
        name = str(row["name"])
        changed = _flat({key: value for key, value in config_of(run, name).items() if key != "arms"})
        # An arm may name a part by a bare word, which belongs into the column of the other arms.
        config = {f"{path}.name" if f"{path}.name" in whole else path: value for path, value in changed.items()}
        said = [one["sentence"] for one in summary.get("comparisons", []) if name in (one["a"], one["b"])]
        for n, seed in enumerate(results.seed.values.tolist()):
            lane = results.isel(arm=k, seed=n)
            block = int(lane.block)
            chosen = row["chosen"][block] if row.get("chosen") else {}
            names = {"arm": name, "seed": seed, "block": block, "study": run.path.resolve().name}
            text = "\n\n".join([head, *said, *_divergence(lane)])
            yield Tracked(f"{name}/seed-{seed}", {**config, **chosen, **names}, _curves(lane), _final(lane), text)


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    return {path: value for path, value in configs.flatten(config).items() if value not in ({}, [], "")}


def _divergence(lane: xr.Dataset) -> list[str]:
    at = int(lane.diverged_at)
    return [f"Diverged at step {at} (by {lane.diverged_by.item()}); it counts as the worst outcome."] * (at >= 0)


def _columns(lane: xr.Dataset) -> Iterator[tuple[str, str, np.ndarray]]:
    """List the numbers of a lane: the axis of steps or "", a name, and the values along that axis.

    An axis with labels, such as layers, classes or test sets, is split by label; what has more axes, such as samples,
    and what belongs to the searches is left out.
    """
    metric = lane.attrs["metric"]
    titles = {"score": f"test_{metric}", "validation": f"validation_{metric}"}  # as those of further metrics are called
    for key, values in lane.data_vars.items():
        name = titles.get(str(key), str(key))
        axis = next((str(dim) for dim in values.dims[:1] if dim in _STEPS), "")
        inner = [str(dim) for dim in values.dims if dim != axis]
        labeled = all(dim in lane.coords and dim != "search" for dim in inner)
        if values.dtype.kind not in "iuf" or len(inner) > 1 or not labeled:
            continue
        if not inner:
            yield axis, name, values.values
        for k, label in enumerate(lane[inner[0]].values if inner else ()):
            yield axis, f"{name}/{label}", values.isel({inner[0]: k}).values


def _curves(lane: xr.Dataset) -> dict[str, dict[int, float]]:
    """Return what was measured at steps: training loss, validation, probes; without what this arm lacks."""
    return {
        name: dict(zip(lane[axis].values.tolist(), values.astype(float).tolist(), strict=True))
        for axis, name, values in _columns(lane)
        if axis and np.isfinite(values).any()
    }


def _final(lane: xr.Dataset) -> dict[str, float]:
    """Return what was measured once, on the test split and on further test sets."""
    return {name: float(value) for axis, name, value in _columns(lane) if not axis and np.isfinite(value)}
