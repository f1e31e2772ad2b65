"""What a comparison does before it trains: each arm is resolved once, and few learners are built."""

from __future__ import annotations

import functools
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import deepprinciples as dp
from deepprinciples import config as configs
from deepprinciples import learners
from deepprinciples.config import arms as config_arms
from deepprinciples.errors import ConfigError
from deepprinciples.parts import transforms
from deepprinciples.study.planning import groups, plan, program_cache
from deepprinciples.types import Scalar

ARMS: dict[str, Any] = {
    "plain": {},
    "slow": {"optimizer.learning_rate": 0.01},
    "tanh": {"model.activation": "tanh"},
}
TRACED = 1  # a lane, from its initialization to its evaluation


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count what is resolved and built; no program of an earlier test is at hand."""
    found: Counter[str] = Counter()

    def count(module: Any, name: str) -> None:
        function: Callable[..., Any] = getattr(module, name)

        @functools.wraps(function)
        def counting(*args: Any, **keywords: Any) -> Any:
            found[name] += 1
            return function(*args, **keywords)

        monkeypatch.setattr(module, name, counting)

    monkeypatch.setattr(program_cache, "_kept", OrderedDict())
    for module, name in (
        (configs, "resolve_base"), (config_arms, "resolve_base"), (learners, "build"), (plan, "arm_of"),
        (groups, "arm_of"),
    ):  # fmt: skip
        count(module, name)
    return found


def test_an_arm_is_resolved_once_and_a_learner_built_once_a_check_and_once_a_trace(
    small: Any, calls: Counter[str], tmp_path: Path
) -> None:
    """A user would wait for the same work again and again before the first step."""
    given = small(ARMS, **{"study.tune": {}, "study.seeds": 2, "train.steps": 4})
    run = dp.compare(given, tmp_path / "run")
    found = run.summary["programs"]
    assert [row["arms"] for row in found] == [["plain", "slow"], ["tanh"]]
    assert calls["resolve_base"] == 1 + len(ARMS), "the base and each arm"
    assert calls["arm_of"] == len(ARMS)
    assert calls["build"] == (1 + TRACED) * len(found)


def test_an_arm_that_is_filled_up_is_read_again_only_then(small: Any, calls: Counter[str]) -> None:
    """Every pair of arms would be compared by reading both anew."""
    arms = {**ARMS, "clipped": {"transforms.clip_by_global_norm": {"max_norm": 0.5}}}
    found = plan.resolve("compare", small(arms, **{"study.tune": {}}))
    assert [group.arms for group in found.groups] == [("plain", "slow", "clipped"), ("tanh",)]
    assert calls["arm_of"] == len(arms) + 2, "plain and slow get the transform at its neutral value"
    assert calls["build"] == 2


def test_what_does_not_fit_is_told_of_each_arm_that_has_it(small: Any, calls: Counter[str]) -> None:
    """The first arm would stand for all, and be blamed for what another one brought."""
    arms = {**ARMS, "penalized": {"regularizers.activation_l2": {"strength": 1.0}}}
    given = small(arms, **{"study.tune": {}, "model.depth": 0})
    with pytest.raises(ConfigError, match=r"^arms\.penalized: the parts do not fit together: activation_l2") as error:
        plan.resolve("compare", given)
    assert len(error.value.problems) == 1


def test_every_value_is_shown_to_a_factory_of_the_users(small: Any, calls: Counter[str]) -> None:
    """A value that it refuses would be found by nobody: in the program it is traced."""

    def mine(*, factor: Scalar = 1.0) -> Any:
        if factor == 0.5:
            raise ValueError("not a half")
        return transforms.TABLE["weight_decay"](strength=factor)

    arms = {str(value): {"transforms.mine": {"factory": mine, "factor": value}} for value in (0.25, 0.5)}
    with pytest.raises(ConfigError, match=r"^arms\.0\.5: the parts do not fit together: not a half"):
        plan.resolve("compare", small(arms))
