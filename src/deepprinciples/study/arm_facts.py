"""What a summary says of the arms beside their scores: sizes, steps of an environment, circuits, equal methods."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from deepprinciples.learners import OURS
from deepprinciples.learners.assembly import from_config
from deepprinciples.learners.assembly.factories import factory_of, trait
from deepprinciples.learners.model_sizes import Shapes, shapes_of, size_of
from deepprinciples.study.planning.groups import Arm
from deepprinciples.study.planning.plan import StudyPlan, same
from deepprinciples.types import Dataset


def of_each_program(plan: StudyPlan, function: Callable[[Any, Dataset], Any]) -> dict[str, Any]:
    """Return what a function of config and data gives for each arm; arms that differ in floats only are traced once."""
    known: dict[tuple[str, int], Any] = {}
    for name, arm in plan.arms.items():
        key = arm.signature, id(plan.data[name])
        if key not in known:
            known[key] = function(arm.config, plan.data[name])
    return {name: known[arm.signature, id(plan.data[name])] for name, arm in plan.arms.items()}


def shapes_and_constants(plan: StudyPlan) -> tuple[dict[str, Shapes | None], dict[str, float]]:
    """Return the shapes of each arm's model, and the scores of constant answers for arms that have one."""

    def both(config: Any, data: Dataset) -> tuple[Shapes | None, float | None]:
        shapes = shapes_of(config, data)
        return shapes, shapes and from_config.constant_score(config, data, shapes.answer)

    known = of_each_program(plan, both)
    constants = {name: score for name, (_, score) in known.items() if score is not None}
    return {name: shapes for name, (shapes, _) in known.items()}, constants


def sizes(
    plan: StudyPlan, shapes: Mapping[str, Shapes | None], rows: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any] | None]:
    """Return the size of each arm's model with the settings that are typical of its searches."""
    found = list[dict[str, Any] | None]()
    for row in rows:
        own, tuned = shapes[row["name"]], from_config.replaced(plan.arms[row["name"]].config, row["tuned_point"])
        found.append(None if own is None else size_of(own, tuned))
    return found


def environment_steps(plan: StudyPlan) -> int:
    """Return the environment steps of a step of training; 0 where there are none, or arms differ in them."""
    sections = [arm.config["learner"] for arm in plan.arms.values()]
    counts = [trait("learner", one, "environment_steps") for one in sections]
    found = {0 if count is None else count(one) for count, one in zip(counts, sections, strict=True)}
    return found.pop() if len(found) == 1 else 0


def circuits(plan: StudyPlan) -> dict[str, dict[str, Any]]:
    """Return what the report draws of the arms whose model is a circuit."""
    models = {name: arm.config.get("model", {}) for name, arm in plan.arms.items()}
    return {
        name: {**{key: model[key] for key in ("qubits", "depth", "observable")}, "outputs": plan.data[name].outputs}
        for name, model in models.items()
        if model.get("name") == "circuit"
    }


def own_probes(plan: StudyPlan) -> dict[str, dict[str, str]]:
    """Return the name and the first line of the docstring of the user's probe that measures a variable."""
    config = next(iter(plan.arms.values())).config  # [train] is that of all arms
    made = {name: (one, factory_of("probe", one)) for name, one in from_config.probe_sections(config).items()}
    own = {name: section for name, (section, factory) in made.items() if factory not in OURS}
    if not own:
        return {}
    found: dict[str, str] = {}
    for one in of_each_program(plan, lambda config, parts: from_config.measured_by(config, parts, own)).values():
        found |= one
    said = {name: (inspect.getdoc(made[name][1]) or "").strip().partition("\n")[0] for name in own}
    return {variable: {"probe": name, "what": said[name]} for variable, name in found.items()}


def same_arms(arms: Mapping[str, Arm]) -> list[str]:
    """Return a note for each pair of arms that are one method under two names."""
    return [
        f"{a.name} and {b.name} are the same method under two names"
        for a, b in itertools.combinations(arms.values(), 2)
        if same(a.config, b.config) and a.space == b.space
    ]
