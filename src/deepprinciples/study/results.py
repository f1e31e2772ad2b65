"""From what was measured to what is kept: one xarray.Dataset with named dimensions, and the summary of verdicts.

Numpy and xarray only. A value that an arm does not have (a layer, a tuned hyper-parameter) is NaN.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from deepprinciples.engine.causes import CAUSES, RAW
from deepprinciples.study import budget, importance, verdicts
from deepprinciples.study.settings import Study

SCHEMA_VERSION = 1
BY_TRANSFORM = ("trigger_rate", "clip_norm")
_DIMS = {**dict.fromkeys(BY_TRANSFORM, "transform"), "gradient_through_time": "lag"}
_DIMS |= {"hessian_ritz": "ritz", "hessian_weight": "ritz", "gradient_histogram": "decade"}
_DIMS |= {"gate_closed": "gate", "gate_open": "gate"}
_LANES = ("arm", "seed")


def dataset(finished: Any, *, metric: str, higher_is_better: bool, title: str) -> xr.Dataset:
    """Lay out a study as named arrays: score [arm, seed], curves [arm, seed, step], probes [arm, seed, step, layer]."""
    arms = list(finished.outcomes)
    outcomes = list(finished.outcomes.values())
    coords = {"arm": arms, "seed": finished.seeds, "step": finished.probe_steps, "eval_step": finished.evaluation_steps}
    base = ("arm", "seed")
    variables: dict[str, Any] = {
        "score": (base, np.stack([o.final[metric] for o in outcomes])),
        "test_loss": (base, np.stack([o.final["loss"] for o in outcomes])),
        "diverged_at": (base, np.stack([o.diverged_at for o in outcomes]).astype(np.int32)),
        "diverged_by": (base, np.array(CAUSES)[np.stack([o.cause for o in outcomes])]),
        "validation": ((*base, "eval_step"), np.stack([o.curves[metric] for o in outcomes])),
        "validation_loss": ((*base, "eval_step"), np.stack([o.curves["loss"] for o in outcomes])),
    }
    variables |= _extras(outcomes, metric)
    seen, named = probed([o.logs for o in outcomes], finished.seeds, finished.probe_steps)
    variables, coords = variables | seen, coords | named
    variables |= _tuning(finished, coords)
    attrs = {"title": title, "metric": metric, "direction": "max" if higher_is_better else "min"}
    return xr.Dataset(variables, coords, attrs)


def probed(
    logs: Sequence[Mapping[str, Any]], seeds: Sequence[int], steps: Sequence[int]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Lay out what probes told of each arm, values [seed, step] or tables of them: variables and their coordinates."""
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


def _extras(outcomes: Sequence[Any], metric: str) -> dict[str, Any]:
    """Lay out what an evaluation gave beside metric and loss: further metrics, and arrays such as samples."""
    found: dict[str, Any] = {}
    for name in _merged([n for n in o.curves if n not in (metric, "loss")] for o in outcomes):
        known = next(o for o in outcomes if name in o.curves)
        if np.ndim(known.curves[name]) == 2:  # an arm may lack it, such as the raw weights beside an average
            for split, part in (("validation", "curves"), ("test", "final")):
                lacking = np.full_like(getattr(known, part)[name], np.nan)
                held = [getattr(o, part).get(name, lacking) for o in outcomes]
                found[f"{split}_{name}"] = ((*_LANES, "eval_step")[: 1 + lacking.ndim], np.stack(held))
        elif all(name in o.curves for o in outcomes):
            values = np.stack([o.curves[name] for o in outcomes])  # [arm, seed, eval_step, ...]
            inner = [f"{name}_{k}" for k in range(values.ndim - 3)]
            found[name] = ((*_LANES, "eval_step", *inner), values.astype(np.float32))
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
    tuned = {arm: one for arm, one in finished.tuned.items() if one.axes}
    if not tuned:
        return {}
    parameters = _merged(list(one.axes) for one in tuned.values())
    trials = max(len(one.points) for one in tuned.values())
    seeds = len(finished.tuning_seeds)
    coords |= {"trial": list(range(trials)), "tuning_seed": finished.tuning_seeds, "parameter": parameters}
    arms = list(finished.tuned)
    scores = np.full((len(arms), trials, seeds), np.nan)
    diverged_at = np.full((len(arms), trials, seeds), -1, np.int32)
    points = np.full((len(arms), trials, len(parameters)), np.nan)
    for i, arm in enumerate(arms):
        one = finished.tuned[arm]
        if one.axes:
            scores[i, : len(one.points)] = one.scores
            diverged_at[i, : len(one.points)] = one.diverged_at
            points[i, : len(one.points)] = [[p.get(path, np.nan) for path in parameters] for p in one.points]
    return {
        "tuning_score": (("arm", "trial", "tuning_seed"), scores),
        "tuning_diverged_at": (("arm", "trial", "tuning_seed"), diverged_at),
        "tuning_point": (("arm", "trial", "parameter"), points),
    }


def summary(
    finished: Any,
    results: xr.Dataset,
    *,
    study: Study,
    steps: int,
    bound: float | None,
    kind: str,
    changes: Mapping[str, Mapping[str, Any]],
    notes: Sequence[str],
) -> dict[str, Any]:
    """Judge a study: arms, comparisons, verdicts, programs, cost, warnings (schema version 1).

    Args:
        finished: what `protocol.run_study` measured.
        results: the same, from `dataset`.
        study: the [study] section.
        steps: of a lane.
        bound: the metric's worst possible value, if it has one.
        kind: "compare", "train" or "find-rate"; of the last `rates.told` has the rest.
        changes: what each arm changes.
        notes: warnings already known, about the data or the config.
    """
    metric, direction = results.attrs["metric"], results.attrs["direction"]
    arms = [str(name) for name in results.arm.values]
    scores, diverged = results.score.values, results.diverged_at.values >= 0
    shared = {"higher_is_better": direction == "max", "bound": bound, "confidence": study.confidence}
    rows = verdicts.arm_rows(scores, diverged, arms, **shared)
    for row in rows:
        one = finished.tuned[row["name"]]
        row |= {
            "diverged_by": _counted(results.diverged_by.sel(arm=row["name"]).values),
            "tuned_point": one.points[one.best] if one.axes else {},
            "on_edge": bool(one.edges),
            "edges": list(one.edges),
            "changes": dict(changes.get(row["name"], {})),
        }
    compared = (
        verdicts.compare(
            scores,
            diverged,
            arms,
            pairs=pairs(arms, study),
            metric=metric,
            delta=study.delta,
            meaningful=study.meaningful,
            **shared,
        )
        if len(arms) > 1 and kind == "compare"
        else []
    )
    found = budget.trial_scores(finished.tuned, higher_is_better=shared["higher_is_better"], bound=bound)
    head = verdicts.headline(compared, rows, metric) if compared else _alone(rows[0], metric)
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "title": results.attrs["title"],
        "metric": metric,
        "direction": direction,
        "headline": head,
        "arms": rows,
        "comparisons": compared,
        "averages": _averaged(results, diverged, metric, study, shared),
        "programs": finished.programs,
        "cost": cost(finished, steps),
        "protocol": {
            "trials": study.trials if any(one.axes for one in finished.tuned.values()) else 0,
            "tuning_seeds": len(finished.tuning_seeds),
            "seeds": len(finished.seeds),
            "steps": steps,
            "confidence": study.confidence,
            "delta": study.delta,
            "comparisons": study.comparisons,
            "search": dict(study.tune),
        },
        "budget": budget.against_budget(found, higher_is_better=shared["higher_is_better"]),
        "importance": importance.rows(
            found,
            {name: finished.tuned[name].points for name in found},
            {name: finished.tuned[name].axes for name in found},
            higher_is_better=shared["higher_is_better"],
            confidence=study.confidence,
        ),
        "warnings": [*notes, *_warnings(finished, rows if kind != "find-rate" else [], compared)],
        "limits": _limits(finished, study),
    }


def _averaged(
    results: xr.Dataset, diverged: np.ndarray, metric: str, study: Study, shared: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Judge the averaged weights of each arm that has them against its raw ones: the same lanes, so pairs of one."""
    name = f"test_{RAW}{metric}"
    if name not in results:
        return []
    raw = results[name].values
    held = [k for k in range(len(raw)) if np.isfinite(raw[k]).any()]
    names = [f"{results.arm.values[k]}, {which}" for k in held for which in ("averaged", "raw")]
    return verdicts.compare(
        np.concatenate([[results.score.values[k], raw[k]] for k in held]),
        np.repeat(diverged[held], 2, axis=0),
        names,
        pairs=[(2 * k, 2 * k + 1) for k in range(len(held))],
        metric=metric,
        delta=study.delta,
        meaningful=study.meaningful,
        **shared,
    )


def pairs(arms: Sequence[str], study: Study) -> list[tuple[int, int]]:
    """List which arms are compared: each with the baseline, or all with all."""
    if study.comparisons == "all":
        return [(j, i) for i, j in itertools.combinations(range(len(arms)), 2)]
    base = arms.index(study.baseline) if study.baseline else 0
    return [(i, base) for i in range(len(arms)) if i != base]


def cost(finished: Any, steps: int) -> dict[str, Any]:
    """Count what a study took: model-steps, gradient evaluations, seconds."""
    lanes = [(row, row["lanes"] * steps) for row in finished.programs]
    run = sum(row["run_seconds"] for row in finished.programs)
    model_steps = sum(count for _, count in lanes)
    return {
        "lanes": sum(row["lanes"] for row in finished.programs),
        "model_steps": model_steps,
        "gradient_evaluations": sum(row["gradient_evaluations_per_step"] * count for row, count in lanes),
        "seconds": round(finished.seconds, 3),
        "compile_seconds": round(sum(row["compile_seconds"] for row in finished.programs), 3),
        "run_seconds": round(run, 3),
        "milliseconds_per_model_step": round(1e3 * run / max(model_steps, 1), 5),
        "probed_steps_share": round(len(finished.probe_steps) / max(steps, 1), 4),
        "probe_share": None if finished.probe_cost is None else round(finished.probe_cost, 4),
    }


def _alone(row: Mapping[str, Any], metric: str) -> str:
    low, high = row["interval"]
    spread = f" [{low:.4g}, {high:.4g}]" if row["n"] > 1 and low is not None and high is not None else ""
    seeds = f"{row['n']} seed{'s' if row['n'] > 1 else ''}"
    if row["diverged"] == row["n"]:
        return f"No {metric}: {'all ' * (row['n'] > 1)}{seeds} diverged. One run says nothing about another method."
    lost = f"; {row['diverged']} of {row['n']} diverged" if row["diverged"] else ""
    mean = "not finite" if row["mean"] is None else f"{row['mean']:.4g}"
    return f"{metric} {mean}{spread} on the test split, {seeds}{lost}. One run says nothing about another method."


def _warnings(finished: Any, rows: Sequence[Mapping[str, Any]], compared: Sequence[Mapping[str, Any]]) -> list[str]:
    found = []
    for row in rows:
        if row["edges"]:
            paths = ", ".join(row["edges"])
            found.append(
                f"{row['name']}: the best {paths} is the smallest or largest tried; its search space may be too "
                "narrow (widen it, or set study.extend = 1)"
            )
        if row["diverged"]:
            why = ", ".join(f"{_WORDS[cause]} {count}" for cause, count in row["diverged_by"].items())
            found.append(
                f"{row['name']}: {row['diverged']} of {row['n']} lanes diverged and count as the worst outcome"
                + (f" (by {why})" if why else "")
            )
    for row in finished.programs:
        if row["repeats_itself"] is False:
            found.append(f"{', '.join(row['arms'])}: not exact: the first step, taken twice, gave different bits")
    if compared and len(finished.seeds) < 30:
        found.append(f"exploratory: {len(finished.seeds)} seeds; 30 make a claim")
    return found


_WORDS = {"init": "the initial weights", "data": "data that are not finite", "update": "their updates"}


def _counted(causes: np.ndarray) -> dict[str, int]:
    return {cause: int((causes == cause).sum()) for cause in CAUSES if cause and (causes == cause).any()}


def _limits(finished: Any, study: Study) -> list[str]:
    found = [
        "It holds for this data set, this split of it, this budget of steps and these arms, and no further.",
        "Seeds vary initial weights, data order and noise; the split of the data is the same for all.",
    ]
    if any(one.axes for one in finished.tuned.values()):
        found.append(
            f"Each arm was tuned with {study.trials} trials; a larger budget or another search space may change "
            "the order."
        )
    else:
        found.append("No hyper-parameter was tuned: an arm may lose only because the fixed settings suit another arm.")
    if study.delta == 0:
        found.append(
            "No margin of equivalence was given (study.delta), so 'no evidence' is not evidence of no difference."
        )
    return found
