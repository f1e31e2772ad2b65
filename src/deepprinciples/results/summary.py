"""The summary of a study: arms, comparisons, verdicts, what they rest on, and what a reader has to know.

Numpy and xarray only. The arrays come from `results`, the words of a verdict from `sentences`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from deepprinciples.config.settings import Study
from deepprinciples.engine.divergence import CAUSES, RAW
from deepprinciples.results import returns
from deepprinciples.stats import budget, importance, planning, selection, sentences, verdicts
from deepprinciples.stats.paired_tests import worst_case
from deepprinciples.stats.searches import Judge, Search

SCHEMA_VERSION = 1


def summarize(
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
    best: float | None = None,
    acts: bool = False,
) -> dict[str, Any]:
    """Judge a study: arms, comparisons, verdicts, programs, cost, warnings (schema version 1).

    Args:
        finished: what `protocol.run_study` measured.
        results: the same, from `dataset`.
        study: the [study] section.
        steps: of a lane.
        bound: the metric's worst possible value, if it has one.
        kind: "compare", "train" or "lr-find"; the rest of the last is in `range_test.summarized`.
        changes: what each arm changes.
        notes: warnings already known, about the data or the config.
        constant: arm -> the score of a constant answer, where it is known.
        best: the metric's best possible value, if it has one.
        acts: whether the learners of all arms act in environments.
    """
    metric, direction = results.attrs["metric"], results.attrs["direction"]
    arms = [str(name) for name in results.arm.values]
    scores, diverged = results.score.values, results.diverged_at.values >= 0
    searched = {name: searches for name, searches in finished.searches.items() if searches}
    whole = all((one.shares == 1.0).all() for searches in searched.values() for one in searches)
    shared: dict[str, Any] = {"higher_is_better": direction == "max", "bound": bound, "confidence": study.confidence}
    shared |= {"blocks": finished.block, "tuned": searched}
    judge = Judge(metric, direction == "max", bound)
    rows = verdicts.arm_rows(scores, diverged, arms, best=best, **shared)
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
            "kept_step": _median_kept(results.sel(arm=name)),
            "constant": (constant or {}).get(name),
            "variance": share,
            "promise": _promise(searched[name], results.sel(arm=name), judge, study) if name in searched else None,
            "changes": dict(changes.get(name, {})),
        }
    compared = _compared(scores, diverged, arms, metric, study, shared) if len(arms) > 1 and kind == "compare" else []
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
        "test_sets": _test_sets(results, diverged, arms, compared, study, best, shared),
        "returns": returns.of_arms(
            dict(zip(arms, verdicts.block_means(held, finished.block), strict=True)),
            [(row["a"], row["b"]) for row in compared],
            higher_is_better=judge.higher_is_better,
            confidence=study.confidence,
        )
        if acts and kind != "lr-find"
        else None,
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
            "equivalence_margin": study.equivalence_margin,
            "comparisons": study.comparisons,
            "search": dict(study.tune),
        },
        "budget": budget.against_budget(tried, study.trials, higher_is_better=judge.higher_is_better) if whole else {},
        "importance": importance.rows(
            tried, searched, higher_is_better=judge.higher_is_better, confidence=study.confidence
        )
        if whole
        else [],
        "warnings": [*notes, *_warnings(finished, results, rows if kind != "lr-find" else [], compared)],
        "limits": _limits(finished, study),
    }


def _promise(searches: Sequence[Search], arm: xr.Dataset, judge: Judge, study: Study) -> dict[str, Any]:
    """Compare the validation scores that won with those of the fresh runs, block by block."""
    judged = arm.validation.values[:, -1]
    if "kept_step" in arm:
        index = arm.eval_step.get_index("eval_step").get_indexer(arm.kept_step.values)  # -1, the last, if it diverged
        judged = arm.validation.values[np.arange(len(index)), index]
    lost = arm.diverged_at.values >= 0
    held = worst_case(judged, lost, higher_is_better=judge.higher_is_better, bound=judge.worst).astype(np.float64)
    return selection.winners_curse(
        selection.promises(searches, judge),
        verdicts.block_means(held, arm.block.values.tolist()),
        higher_is_better=judge.higher_is_better,
        confidence=study.confidence,
    )


def _median_kept(arm: xr.Dataset) -> int | None:
    """Return the median step of the states that are judged; None where no arm keeps its best, or all runs diverged."""
    kept = arm.kept_step.values[arm.kept_step.values >= 0] if "kept_step" in arm else np.zeros(0)
    return int(np.median(kept)) if kept.size else None


def _compared(
    scores: np.ndarray, diverged: np.ndarray, arms: Sequence[str], metric: str, study: Study, shared: Mapping[str, Any]
) -> list[dict[str, Any]]:
    return verdicts.compare(
        scores, diverged, arms, pairs=pairs(arms, study), metric=metric, equivalence_margin=study.equivalence_margin,
        min_win_probability=study.min_win_probability, **shared,
    )  # fmt: skip


def _test_sets(
    results: xr.Dataset, diverged: np.ndarray, arms: list[str], compared: Sequence[Any], study: Study,
    best: float | None, shared: Mapping[str, Any],
) -> list[dict[str, Any]]:  # fmt: skip
    """Judge the arms on each further test set, as on the test split."""
    found = []
    for name in results.test_set.values if "test_set" in results.coords else ():
        scores, metric = results.test_set_score.sel(test_set=name).values, f"{results.attrs['metric']} on {name}"
        rows = verdicts.arm_rows(scores, diverged, arms, best=best, **shared)
        pairs_ = _compared(scores, diverged, arms, metric, study, shared) if compared else []
        head = verdicts.headline(pairs_, rows, metric, claim_seeds=0) if pairs_ else _alone(rows[0], metric, "")
        found.append({"name": str(name), "headline": head, "arms": rows, "comparisons": pairs_})
    return found


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
    tuned = {name for name in names if name.rpartition(", ")[0] in shared["tuned"]}
    return verdicts.compare(
        np.concatenate([[results.score.values[k], raw[k]] for k in held]),
        np.repeat(diverged[held], 2, axis=0),
        names,
        pairs=[(2 * k, 2 * k + 1) for k in range(len(held))],
        metric=metric,
        equivalence_margin=study.equivalence_margin,
        min_win_probability=study.min_win_probability,
        **{**shared, "tuned": tuned},
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


def _alone(row: Mapping[str, Any], metric: str, where: str = " on the test split") -> str:
    seeds = f"{row['n']} seed{'s' if row['n'] > 1 else ''}"
    if row["diverged"] == row["n"]:
        return f"No {metric}: {'all ' * (row['n'] > 1)}{seeds} diverged. One run says nothing about another method."
    lost = f"; {row['diverged']} of {row['n']} diverged" if row["diverged"] else ""
    return f"{metric} {sentences.with_interval(row)}{where}, {seeds}{lost}. One run says nothing about another method."


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
                "may be too narrow (widen it, or set study.widen_rounds = 1)"
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
    return found


def _at_chance(row: Mapping[str, Any], sign: int) -> bool:
    """Check whether an arm is no better than a constant answer, as far as its interval shows; without one, its mean."""
    worst = row["interval"][0 if sign > 0 else 1] if row["blocks"] > 2 else None  # two seeds can have any interval
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
        if study.pruning:
            found.append(
                "Trials were given up for what they gave after some of the steps (study.pruning): a setting that is "
                "slow at first had less of a chance, and what a smaller budget would have found is not known."
            )
    else:
        found.append("No hyper-parameter was tuned: an arm may lose only because the fixed settings suit another arm.")
    if study.equivalence_margin == 0:
        found.append(
            "No margin was given (study.equivalence_margin), so 'no evidence' is not evidence of no difference."
        )
    return found
