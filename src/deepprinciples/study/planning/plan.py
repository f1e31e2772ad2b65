"""The plan of a study: its config, resolved once, its data, and which runs it asks for.

It is made before anything is compiled, and passed down; `protocol` executes it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args

from deepprinciples import config as configs
from deepprinciples.config.settings import Study, Train, report_seeds, shape_problems
from deepprinciples.errors import ConfigError
from deepprinciples.learners.assembly import from_config
from deepprinciples.learners.assembly.factories import name_of, trait
from deepprinciples.parts.search_methods import SearchMethod
from deepprinciples.stats.searches import Budget
from deepprinciples.study.planning import program_cache, starting_weights, teachers
from deepprinciples.study.planning.groups import Arm, Group, arm_of, group_arms
from deepprinciples.types import Dataset

Kind = Literal["compare", "train", "lr-find"]
MOST_LANES = 1_000_000
_ALL = lambda trials: [(trials, 1.0)]  # no trial is given up
TUNING_OFFSET = 2**31  # tuning seeds lie half the range of seeds away from the seeds that report


class StudyPlan(NamedTuple):
    """A config that can run, and all that follows from it."""

    kind: Kind
    config: dict[str, Any]  # resolved, the arms as changes: what config.toml holds
    arms: dict[str, Arm]  # by name; "run" where the config has none
    data: dict[str, Dataset]  # of each arm
    train: Train
    study: Study
    report_seeds: list[int]
    block: list[int]  # of each report seed
    search_seeds: list[list[int]]  # [searches][tuning seeds]
    groups: list[Group]

    @property
    def configs(self) -> dict[str, Any]:
        """Return the resolved config of each arm."""
        return {name: arm.config for name, arm in self.arms.items()}

    @property
    def tuned(self) -> bool:
        """Check whether any arm is tuned."""
        return any(arm.space for arm in self.arms.values())

    def trials(self, group: Group) -> int:
        """Return the trials of a round for each arm of a group; 0 where nothing is tuned."""
        return self.study.trials if any(self.arms[name].space for name in group.arms) else 0

    def counts(self, group: Group) -> list[int]:
        """Return the rows of each phase of a group."""
        runs = sum(map(len, self.search_seeds))
        searched = [runs * share for share in dict.fromkeys(self.budget(self.trials(group)).parts)]
        return [len(self.report_seeds), *searched]

    def budget(self, trials: int) -> Budget:
        """Return what each search of so many trials may spend."""
        method = _method(self.study)
        rungs = from_config.part("pruning", self.config["study"]["pruning"]) if self.study.pruning else _ALL
        return Budget(
            trials, self.study.widen_rounds, self.search_seeds, self.train.seed, method.ask, method.rounds, rungs
        )

    def most_lanes(self, group: Group) -> int:
        """Return the lanes of a group if every search is extended."""
        runs = self.budget(self.trials(group)).runs * sum(map(len, self.search_seeds)) * (1 + self.study.widen_rounds)
        return len(group.arms) * (math.ceil(runs) + len(self.report_seeds))


def kind_of(known: Mapping[str, Any]) -> Kind:
    """Read the kind of a run from its status."""
    return next((kind for kind in get_args(Kind) if kind == known.get("kind")), "compare")


def resolve(kind: Kind, given: Mapping[str, Any]) -> StudyPlan:
    """Resolve a config, load its data, and plan its study.

    Raises:
        ConfigError: with every problem of the config. DataError: the data cannot be used.
    """
    if kind == "train":
        given = {key: value for key, value in given.items() if key != "arms"}
    config, found = configs.resolve_each(given, from_config.KINDS, command="compare" if kind == "compare" else "train")
    arms = {
        name: arm_of(name, one.config, one.space if kind == "compare" else {}, one.edits)
        for name, one in (found or {"run": configs.ResolvedArm({}, config, {})}).items()
    }
    train, study = Train(**config["train"]), Study(**config["study"])
    tuned = any(arm.space for arm in arms.values())
    _check_settings(kind, train, study, arms, tuned)
    _check_keep(arms, prefixed=bool(found))
    data = datasets(arms)
    groups = group_arms(list(arms.values()))
    check(arms, groups, data, prefixed=bool(found))
    starting_weights.check({name: arm.config for name, arm in arms.items()}, data)
    seeds = seeds_of(train, study, arms=len(arms), tuned=tuned)
    return StudyPlan(kind, config, arms, data, train, study, *seeds, groups)


def _method(study: Study) -> SearchMethod:
    section: Any = study.search  # a table since the config was resolved
    return from_config.part("search", section)


def _check_settings(kind: Kind, train: Train, study: Study, arms: Mapping[str, Arm], tuned: bool) -> None:
    if problems := shape_problems(train.layouts):
        raise ConfigError(*problems)
    if study.baseline and study.baseline not in arms:
        raise ConfigError(f"study.baseline: no arm {study.baseline!r} (arms: {', '.join(arms)})")
    sizes = {len(arm.space) for arm in arms.values() if arm.space}
    if found := [one for size in sorted(sizes) if (one := _method(study).problem(size, study.trials))]:
        raise ConfigError(*(f"study.trials: {one}" for one in found))
    if tuned and study.pruning and _method(study).rounds > 1:
        raise ConfigError(
            "study.pruning: later rounds of study.search would learn from runs of other lengths; leave one of them out"
        )
    trials = study.searches * study.trials * study.tuning_seeds * (1 + study.widen_rounds) if tuned else 0
    lanes = len(arms) * (trials + report_seeds(study, tuned=tuned))
    if kind == "compare" and lanes > MOST_LANES:
        raise ConfigError(
            f"study: asks for {lanes:,} runs, arms x searches x (trials x tuning_seeds + seeds); expected at most "
            f"{MOST_LANES:,}; lower study.searches, study.trials or study.seeds"
        )


def _check_keep(arms: Mapping[str, Arm], *, prefixed: bool) -> None:
    """Refuse to choose between states where nothing is held out to choose by."""
    found: dict[str, str] = {}  # problem -> the first arm that has it
    for name, arm in arms.items():
        train, learner = arm.config["train"], arm.config["learner"]
        where = f"arms.{name}." if prefixed else ""
        if train["patience"] and train["keep"] != "best":
            found.setdefault('train.patience: waits for a better state; expected train.keep = "best" beside it', where)
        elif train["keep"] == "best" and ("data" not in arm.config or trait("learner", learner, "makes_samples")):
            problem = (
                f'train.keep: found "best", expected "last" with learner {name_of(learner)}: the same draws that '
                "evaluate it along the run judge it at the end, so the best of them would be luck"
            )
            found.setdefault(problem, where)
    if found:
        raise ConfigError(*(f"{where}{problem}" for problem, where in found.items()))


def seeds_of(train: Train, study: Study, *, arms: int, tuned: bool) -> tuple[list[int], list[int], list[list[int]]]:
    """Choose the seeds that report, the block of each, and the seeds that tune in each search.

    Seeds that report and seeds that tune are disjoint, and functions of `train.seed` alone. More searches add seeds at
    the end and leave those before them as they are.
    """
    count = report_seeds(study, tuned=tuned) if arms > 1 else train.seeds
    report = [(train.seed + k) % 2**32 for k in range(count)]
    if not tuned:
        return report, list(range(count)), []
    each = count // study.searches
    first = train.seed + TUNING_OFFSET
    search = [
        [(first + b * study.tuning_seeds + k) % 2**32 for k in range(study.tuning_seeds)] for b in range(study.searches)
    ]
    return report, [k // each for k in range(count)], search


def datasets(arms: Mapping[str, Arm]) -> dict[str, Dataset]:
    """Load the data of every arm, equal sections once."""
    loaded: list[tuple[Any, Dataset]] = []
    found = {}
    for name, arm in arms.items():
        section = [arm.config.get(name, {}) for name in ("data", "test_sets")]
        known = next((data for other, data in loaded if same(other, section)), None)
        if known is None:
            known = teachers.taught(from_config.dataset(arm.config), arm.config)
            loaded.append((section, known))
        found[name] = known
    return found


def same(one: Any, other: Any) -> bool:
    """Check whether two parts of a config are equal; arrays and other objects are equal only to themselves."""
    if one is other:
        return True
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and isinstance(one, (bool, int, float, str)) and one == other


def check(arms: Mapping[str, Arm], groups: list[Group], data: Mapping[str, Dataset], *, prefixed: bool) -> None:
    """Raise one ConfigError with everything that does not fit together in any arm.

    Arms of one program differ in floats, whose ranges are checked with the config, so the first stands for all. Each
    is checked by itself where that one does not fit, and where a factory of the user's may refuse a value.
    """
    fit: set[str] = set()
    for group in groups:
        if program_cache.holds_ours_only(group) and program_cache.fits(group, data[group.arms[0]]):
            fit.update(group.arms)
    problems: list[str] = []
    for name in [name for name in arms if name not in fit]:
        found = from_config.check(arms[name].config, data[name], f"arms.{name}: " if prefixed else "")
        problems.extend(p for p in found if p.split(": ", 1)[-1] not in {q.split(": ", 1)[-1] for q in problems})
    if problems:
        raise ConfigError(*problems)
