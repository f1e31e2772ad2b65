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
from deepprinciples.study import budget, importance, planning, selection, sentences, verdicts
from deepprinciples.study.hyper_search import Judge, Search
from deepprinciples.study.settings import Study
from deepprinciples.study.statistics import worst_case

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
    coords["block"] = ("seed", finished.block)
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
    for i, arm in enumerate(arms):
        for b, one in enumerate(finished.searches[arm]):
            made = len(one.points)
            scores[i, b, :made], diverged_at[i, b, :made], best[i, b] = one.scores, one.diverged_at, one.best
            points[i, b, :made] = [[p.get(path, np.nan) for path in parameters] for p in one.points]
    tried = ("arm", "search", "trial", "replicate")
    return {
        "tuning_score": (tried, scores),
        "tuning_diverged_at": (tried, diverged_at),
        "tuning_point": ((*tried[:3], "parameter"), points),
        "chosen_trial": (tried[:2], best),
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
    constant: Mapping[str, float] | None = None,
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
        constant: arm -> the score of a constant answer, where it is known.
    """
    metric, direction = results.attrs["metric"], results.attrs["direction"]
    arms = [str(name) for name in results.arm.values]
    scores, diverged = results.score.values, results.diverged_at.values >= 0
    searched = {name: searches for name, searches in finished.searches.items() if searches}
    shared: dict[str, Any] = {"higher_is_better": direction == "max", "bound": bound, "confidence": study.confidence}
    shared |= {"blocks": finished.block, "tuned": searched}
    judge = Judge(metric, direction == "max", bound)
    rows = verdicts.arm_rows(scores, diverged, arms, **shared)
    held = worst_case(scores, diverged, higher_is_better=judge.higher_is_better, bound=bound).astype(np.float64)
    shares = selection.variance_shares(held, finished.block, [name in searched for name in arms])
    for row, share in zip(rows, shares, strict=True):
        name = row["name"]
        found = selection.chosen(searched.get(name, []))
        row |= {
            "diverged_by": _counted(results.diverged_by.sel(arm=name).values),
            "tuned_point": found["typical"],
            "chosen": found["points"],
            "regions": found["regions"],
            "on_edge": bool(found["edges"]),
            "edges": found["edges"],
            "constant": (constant or {}).get(name),
            "variance": share,
            "promise": _promise(searched[name], results.sel(arm=name), judge, study) if name in searched else None,
            "changes": dict(changes.get(name, {})),
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
    tried = budget.trial_scores(searched, judge)
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
            "searches": len(finished.tuning_seeds),
            "trials": study.trials if searched else 0,
            "tuning_seeds": study.tuning_seeds if searched else 0,
            "seeds": len(finished.seeds),
            "blocks": len(set(finished.block)),
            "can_show": planning.can_show(len(set(finished.block)), len(compared), study.confidence),
            "steps": steps,
            "confidence": study.confidence,
            "delta": study.delta,
            "comparisons": study.comparisons,
            "search": dict(study.tune),
        },
        "budget": budget.against_budget(tried, study.trials, higher_is_better=judge.higher_is_better),
        "importance": importance.rows(
            tried, searched, higher_is_better=judge.higher_is_better, confidence=study.confidence
        ),
        "warnings": [*notes, *_warnings(finished, results, rows if kind != "find-rate" else [], compared)],
        "limits": _limits(finished, study),
    }


def _promise(searches: Sequence[Search], arm: xr.Dataset, judge: Judge, study: Study) -> dict[str, Any]:
    """Compare the validation scores that won with those of the fresh runs, block by block."""
    last = arm.validation.values[:, -1]
    lost = arm.diverged_at.values >= 0
    held = worst_case(last, lost, higher_is_better=judge.higher_is_better, bound=judge.worst).astype(np.float64)
    return selection.winners_curse(
        selection.promises(searches, judge),
        verdicts.block_means(held, arm.block.values.tolist()),
        higher_is_better=judge.higher_is_better,
        confidence=study.confidence,
    )


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


def _warnings(
    finished: Any, results: xr.Dataset, rows: Sequence[Mapping[str, Any]], compared: Sequence[Mapping[str, Any]]
) -> list[str]:
    found = []
    searches = len(finished.tuning_seeds)
    if compared and 0 < searches < planning.MIN_BLOCKS:
        found.append(
            f"{searches} {sentences.plural('search', searches)}: the verdicts hold for the settings found and make no "
            f"claim about the methods (study.searches = {planning.MIN_BLOCKS} or more can)"
        )
    sign = 1 if results.attrs["direction"] == "max" else -1
    for row in rows:
        if row["constant"] is not None and row["mean"] is not None and _at_chance(row, sign):
            found.append(
                f"{row['name']}: at chance: {results.attrs['metric']} {row['mean']:.4g}, and a constant answer has "
                f"{row['constant']:.4g}"
            )
        if row["edges"]:
            paths = ", ".join(row["edges"])
            found.append(
                f"{row['name']}: in most searches the best {paths} is the smallest or largest tried; its search space "
                "may be too narrow (widen it, or set study.extend = 1)"
            )
        if row["promise"] and row["promise"]["broken"]:
            one = row["promise"]
            found.append(
                f"{row['name']}: fresh runs fall short of what the searches promised: {one['promised']:.4g} on "
                f"validation data when chosen, {one['fresh']:.4g} with fresh seeds; settings won by luck or are "
                "fragile (raise study.tuning_seeds)"
            )
        found += [
            f"{row['name']}: {name} never acted: its trigger rate is 0 in every run"
            for name in selection.never_acted(_trigger_rates(results, row["name"]))
        ]
        if row["diverged"]:
            why = ", ".join(f"{_WORDS[cause]} {count}" for cause, count in row["diverged_by"].items())
            found.append(
                f"{row['name']}: {row['diverged']} of {row['n']} lanes diverged and count as the worst outcome"
                + (f" (by {why})" if why else "")
            )
    for row in finished.programs:
        if row["repeats_itself"] is False:
            found.append(f"{', '.join(row['arms'])}: not exact: the first step, taken twice, gave different bits")
    if compared and len(finished.seeds) < verdicts.CLAIM_SEEDS:
        found.append(f"exploratory: {len(finished.seeds)} seeds (a claim needs {verdicts.CLAIM_SEEDS})")
    return found


def _at_chance(row: Mapping[str, Any], sign: int) -> bool:
    """Check whether an arm is no better than a constant answer, as far as its interval shows."""
    worst = row["interval"][0 if sign > 0 else 1]
    return bool(sign * ((row["mean"] if worst is None else worst) - row["constant"]) <= 0)


def _trigger_rates(results: xr.Dataset, arm: str) -> dict[str, np.ndarray]:
    if "trigger_rate" not in results or "transform" not in results.coords:
        return {}
    return {str(name): results.trigger_rate.sel(arm=arm, transform=name).values for name in results.transform.values}


_WORDS = {"init": "the initial weights", "data": "data that are not finite", "update": "their updates"}


def _counted(causes: np.ndarray) -> dict[str, int]:
    return {cause: int((causes == cause).sum()) for cause in CAUSES if cause and (causes == cause).any()}


def _limits(finished: Any, study: Study) -> list[str]:
    found = [
        "It holds for this data set, this split of it, this budget of steps and these arms, and no further.",
        "Seeds vary initial weights, data order and noise; the split of the data is the same for all.",
    ]
    if finished.tuning_seeds:
        found.append(
            f"Each arm was tuned by {study.searches} independent {sentences.plural('search', study.searches)} of "
            f"{study.trials} trials; a larger budget or another search space may change the order."
        )
    else:
        found.append("No hyper-parameter was tuned: an arm may lose only because the fixed settings suit another arm.")
    if study.delta == 0:
        found.append(
            "No margin of equivalence was given (study.delta), so 'no evidence' is not evidence of no difference."
        )
    return found
