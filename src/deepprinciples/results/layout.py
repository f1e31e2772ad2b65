"""From what was measured to what is kept: one xarray.Dataset with named dimensions.

The verdicts on it are in `summary`. Numpy and xarray only. A value that an arm does not have (a layer, a tuned
hyper-parameter) is NaN.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from deepprinciples.engine.divergence import CAUSES, PER_CLASS

BY_TRANSFORM = ("trigger_rate", "clip_norm")
_DIMS = {**dict.fromkeys(BY_TRANSFORM, "transform"), "gradient_through_time": "lag"}
_DIMS |= {"hessian_ritz": "ritz", "hessian_weight": "ritz", "gradient_histogram": "decade"}
_DIMS |= {"gate_closed": "gate", "gate_open": "gate"}
_LANES = ("arm", "seed")


def dataset(
    finished: Any,
    *,
    metric: str,
    higher_is_better: bool,
    title: str,
    class_names: Sequence[str] = (),
    environment_steps: int = 0,
) -> xr.Dataset:
    """Arrange a study as named arrays: score [arm, seed], curves [arm, seed, step], probes [arm, seed, step, layer].

    Values for each class [arm, seed, class] have the names of classes as a coordinate, or their numbers; those of a
    metric that tells another number of classes have a dimension of their own, such as class_5. `environment_steps` that
    a step of training takes, where it takes some, make a coordinate beside eval_step.
    """
    arms = list(finished.outcomes)
    outcomes = list(finished.outcomes.values())
    coords = {"arm": arms, "seed": finished.seeds, "step": finished.probe_steps, "eval_step": finished.evaluation_steps}
    if environment_steps:
        coords["environment_steps"] = ("eval_step", np.asarray(finished.evaluation_steps) * environment_steps)
    base = ("arm", "seed")
    variables: dict[str, Any] = {
        "score": (base, np.stack([o.final[metric] for o in outcomes])),
        "test_loss": (base, np.stack([o.final["loss"] for o in outcomes])),
        **_kept_steps(outcomes, finished.evaluation_steps[-1]),
        "diverged_at": (base, np.stack([o.diverged_at for o in outcomes]).astype(np.int32)),
        "diverged_by": (base, np.array(CAUSES)[np.stack([o.cause for o in outcomes])]),
        "validation": ((*base, "eval_step"), np.stack([o.curves[metric] for o in outcomes])),
        "validation_loss": ((*base, "eval_step"), np.stack([o.curves["loss"] for o in outcomes])),
    }
    class_dims = _class_dims(outcomes, class_names)
    variables |= _extras(outcomes, metric, class_dims)
    variables |= _test_sets(outcomes, metric, class_dims, coords)
    coords |= {dim: list(range(count)) for count, dim in class_dims.items()}
    if class_dims.get(len(class_names)) == "class":
        coords["class"] = list(class_names)
    seen, named = probed([o.logs for o in outcomes], finished.seeds, finished.probe_steps)
    variables, coords = variables | seen, coords | named
    coords["block"] = ("seed", finished.block)
    variables |= _tuning(finished, coords)
    attrs = {"title": title, "metric": metric, "direction": "max" if higher_is_better else "min"}
    return xr.Dataset(variables, coords, attrs)


def _kept_steps(outcomes: Sequence[Any], last: int) -> dict[str, Any]:
    """Arrange the steps done in the states that are judged, where an arm is judged by the best; -1 if it diverged."""
    if all(o.kept_step is None for o in outcomes):
        return {}
    held = [np.where(o.diverged_at < 0, last, -1) if o.kept_step is None else o.kept_step for o in outcomes]
    return {"kept_step": (_LANES, np.stack(held).astype(np.int32))}


def probed(
    logs: Sequence[Mapping[str, Any]], seeds: Sequence[int], steps: Sequence[int]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrange what probes measured of each arm, values [seed, step] or tables of them, as variables and coordinates."""
    shape = (len(seeds), len(steps))
    names = _merged(list(log) for log in logs)
    variables: dict[str, Any] = {}
    coords: dict[str, Any] = {}
    for name in names:
        held = [log.get(name) for log in logs]
        if any(isinstance(one, Mapping) for one in held):
            dim = _DIMS.get(name, "layer")
            alike = [n for n in names if _DIMS.get(n, "layer") == dim]
            keys = _merged(list(log[n]) for n in alike for log in logs if isinstance(log.get(n), Mapping))
            coords[dim] = keys
            tables = [np.stack([_or_nan((one or {}).get(key), shape) for key in keys], axis=-1) for one in held]
            variables[name] = ((*_LANES, "step", dim), np.stack(tables))
        else:
            variables[name] = ((*_LANES, "step"), np.stack([_or_nan(one, shape) for one in held]))
    return variables, coords


def _class_dims(outcomes: Sequence[Any], class_names: Sequence[str]) -> dict[int, str]:
    """Name the dimension of values for each class by their number: "class" for that of the data."""
    counts = [v.shape[-1] for o in outcomes for name, v in o.final.items() if name.endswith(PER_CLASS)]
    usual = len(class_names) if len(class_names) in counts else next(iter(counts), 0)
    return {count: "class" if count == usual else f"class_{count}" for count in counts}


def _extras(outcomes: Sequence[Any], metric: str, class_dims: Mapping[int, str]) -> dict[str, Any]:
    """Arrange what an evaluation gave beside metric and loss: further metrics, and arrays such as samples."""
    found: dict[str, Any] = {}
    for name in _merged([n for n in o.curves if n not in (metric, "loss")] for o in outcomes):
        known = next(o for o in outcomes if name in o.curves)
        rank = np.ndim(known.curves[name])
        if rank == 2 or name.endswith(PER_CLASS):  # an arm may lack it, such as the raw weights beside an average
            for split, part in (("validation", "curves"), ("test", "final")):
                lacking = np.full_like(getattr(known, part)[name], np.nan)
                held = [getattr(o, part).get(name, lacking) for o in outcomes]
                inner = [class_dims[lacking.shape[-1]]] if name.endswith(PER_CLASS) else []
                dims = (*_LANES, *["eval_step"] * (part == "curves"), *inner)
                found[f"{split}_{name}"] = (dims, np.stack(held))
        elif all(name in o.curves for o in outcomes):
            values = np.stack([o.curves[name] for o in outcomes])  # [arm, seed, eval_step, ...]
            inner = [f"{name}_{k}" for k in range(values.ndim - 3)]
            found[name] = ((*_LANES, "eval_step", *inner), values.astype(np.float32))
    return found


def _test_sets(
    outcomes: Sequence[Any], metric: str, class_dims: Mapping[int, str], coords: dict[str, Any]
) -> dict[str, Any]:
    """Arrange what further test sets gave, [arm, seed, test_set]: test_set_score, test_set_loss, other metrics."""
    names = list(outcomes[0].test_sets)
    if not names:
        return {}
    coords["test_set"] = names
    found: dict[str, Any] = {}
    for name in _merged(list(o.final) for o in outcomes):
        known = next(o.test_sets[names[0]][name] for o in outcomes if name in o.final)
        if np.ndim(known) > 1 and not name.endswith(PER_CLASS):
            continue  # samples, which are of the model and of no test set
        inner = [class_dims[known.shape[-1]]] if name.endswith(PER_CLASS) else []
        lacking = np.full_like(known, np.nan)
        held = [np.stack([o.test_sets[one].get(name, lacking) for one in names], axis=1) for o in outcomes]
        found[f"test_set_{'score' if name == metric else name}"] = ((*_LANES, "test_set", *inner), np.stack(held))
    return found


def _or_nan(values: np.ndarray | None, shape: tuple[int, int]) -> np.ndarray:
    return np.full(shape, np.nan, np.float32) if values is None else np.asarray(values, np.float32)


def _merged(orders: Iterable[Sequence[str]]) -> list[str]:
    """Merge lists of names into one that keeps each list's order where it can."""
    merged: list[str] = []
    for order in orders:
        at = 0
        for name in order:
            if name in merged:
                at = merged.index(name) + 1
            else:
                merged.insert(at, name)
                at += 1
    return merged


def _tuning(finished: Any, coords: dict[str, Any]) -> dict[str, Any]:
    tuned = {arm: searches for arm, searches in finished.searches.items() if searches}
    if not tuned:
        return {}
    parameters = _merged(list(searches[0].axes) for searches in tuned.values())
    every = [one for searches in tuned.values() for one in searches]
    trials, count, seeds = max(len(one.points) for one in every), len(finished.tuning_seeds), every[0].scores.shape[1]
    coords |= {"search": list(range(count)), "trial": list(range(trials)), "parameter": parameters}
    coords["tuning_seed"] = (("search", "replicate"), np.array(finished.tuning_seeds))
    arms = list(finished.searches)
    scores = np.full((len(arms), count, trials, seeds), np.nan)
    diverged_at = np.full((len(arms), count, trials, seeds), -1, np.int32)
    points = np.full((len(arms), count, trials, len(parameters)), np.nan)
    best = np.full((len(arms), count), -1, np.int32)
    shares = np.full((len(arms), count, trials), np.nan)
    for i, arm in enumerate(arms):
        for b, one in enumerate(finished.searches[arm]):
            made = len(one.points)
            scores[i, b, :made], diverged_at[i, b, :made], best[i, b] = one.scores, one.diverged_at, one.best
            shares[i, b, :made] = one.shares
            points[i, b, :made] = [[p.get(path, np.nan) for path in parameters] for p in one.points]
    tried = ("arm", "search", "trial", "replicate")
    return {
        "tuning_score": (tried, scores),
        "tuning_diverged_at": (tried, diverged_at),
        "tuning_point": ((*tried[:3], "parameter"), points),
        "chosen_trial": (tried[:2], best),
        **({"tuning_share": (tried[:3], shares)} if np.nanmin(shares) < 1.0 else {}),
    }
