"""What a study will run and what it can show at best, in a few lines, before anything is compiled."""

from __future__ import annotations

from deepprinciples.config.settings import Train
from deepprinciples.engine import segments
from deepprinciples.results.summary import pairs
from deepprinciples.stats import planning
from deepprinciples.stats.sentences import plural
from deepprinciples.study.planning.plan import StudyPlan


def outline(plan: StudyPlan) -> list[str]:
    """Describe a study before it runs.

    Returns:
        One line for the arms and programs, one for the runs; for a comparison one more for the pairs of searches and
        one for the pairs of seeds, where there are such: the smallest p-value that can be reached and the smallest
        difference that can be seen.
    """
    study, arms = plan.study, list(plan.arms)
    tuned = [name for name in arms if plan.arms[name].space]
    runs = sum(map(plan.most_lanes, plan.groups))
    programs = [", ".join(group.arms) for group in plan.groups]
    lines = [
        f"{_count(len(arms), 'arm')} in {_count(len(programs), 'program')}: {'; '.join(programs)}",
        f"{_count(runs, 'run')} of {_count(plan.train.steps, 'step')}" + _each(plan, bool(tuned)),
    ]
    compared = pairs(arms, study) if len(arms) > 1 else []
    searched = [any(arms[k] in tuned for k in pair) for pair in compared]
    for by_search, blocks in ((True, study.searches), (False, len(plan.report_seeds))):
        if number := searched.count(by_search):
            lines.append(what_can_be_seen(blocks, number, len(compared), study.confidence, by_search=by_search))
    return lines + rounded(plan.train)


def rounded(train: Train) -> list[str]:
    """Return a note where a run is evaluated at other steps than asked, since evaluations follow probed steps."""
    cut = segments.plan(train.steps, probe_every=train.probe_every, evaluate_every=train.evaluate_every)
    if train.evaluate_every in (0, cut.span) or max(train.evaluate_every, cut.span) >= train.steps:
        return []
    return [
        f"note: evaluated every {cut.span} steps, not {train.evaluate_every}: evaluations follow probed steps, every "
        f"{cut.every} here (train.probe_every)"
    ]


def _each(plan: StudyPlan, tuned: bool) -> str:
    study, reports = plan.study, len(plan.report_seeds)
    if not tuned:
        return f", {_count(reports, 'seed')} of each arm; nothing is tuned"
    rounds = f" in up to {1 + study.widen_rounds} rounds" if study.widen_rounds else ""
    return (
        f"; for each tuned arm {_count(study.searches, 'search')} of {_count(study.trials, 'trial')} x "
        f"{_count(study.tuning_seeds, 'seed')}{rounds}, and {_count(reports // study.searches, 'fresh seed')} of what "
        "each search chose"
    )


def what_can_be_seen(blocks: int, comparisons: int, family: int, confidence: float, *, by_search: bool) -> str:
    """Describe what so many blocks can show at best, whatever their scores; Holm corrects for the whole family."""
    able = planning.can_show(blocks, family, confidence)
    unit = "search" if by_search else "seed"
    what = f"{_count(comparisons, 'comparison')} of {_count(blocks, unit)}"
    if blocks < planning.MIN_BLOCKS and by_search:
        found = "only for the settings found"
        return f"{what}: no claim about the methods, {found}; set study.searches = {able['needed']}"
    if blocks < able["needed"]:
        key = "study.searches" if by_search else "study.seeds"
        return f"{what}: cannot be judged; {able['needed']} are needed ({key} = {able['needed']})"
    size = f"{able['difference']:.2g}"
    least = f"{able['p']:.2g}" if able["p"] else "below 1e-300"  # no float is so small
    return (
        f"{what}: the smallest p after Holm is {least}; a difference of {size} standard "
        f"{'deviation' if size == '1' else 'deviations'} (between {plural(unit, 2)}) is found 4 times in 5"
    )


def _count(number: int, word: str) -> str:
    *before, last = word.split(" ")
    return " ".join([f"{number:,}", *before, plural(last, number)])
