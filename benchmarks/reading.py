"""What the rows say: ratios to the best PyTorch line, the goals, and in words where we lose. Numbers in, words out.

Nothing is measured or drawn here, so made-up rows can test it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

Row = dict[str, Any]

POPULATION_GOALS = {
    "mlp": 0.5, "cnn": 0.7, "lstm": 0.8, "gan": 0.6, "dcgan": 0.75, "unet": 0.8, "transformer": 0.8,
    "transformer_128": 0.95,
}  # fmt: skip
ENGINE_GOAL, PROBES_GOAL, LANES_GOAL, COMPILE_GOAL = 1.02, 1.10, 1.10, 2.0
SOLO_GOALS = {"stock flax, scan": 1.0, "torch eager": 1.1}  # one model, against these lines
COLD, AGAIN, TORCH = "ours, cold", "ours, once more", "torch eager, a process a core"
VERDICT_GOALS = {COLD: 0.35, AGAIN: 0.2}  # of PyTorch's time
AGAIN_GOAL = 0.55  # of the first run's time
STREAM_GOAL = 1 / 0.9  # of the time of the slower of reader alone and training on resident data
DEFAULT_INTERVAL = 25  # a run of 250 steps or more probes no more often, unless asked to
CLOSE = 1.02  # a line this close is no winner: the clock is not better than that


class Goal(NamedTuple):
    """A goal, what was found, and whether it holds; lower is better for all of them."""

    what: str
    found: float
    goal: float
    unit: str = ""

    @property
    def holds(self) -> bool:
        """Say whether the goal is met."""
        return self.found <= self.goal


def models(rows: Iterable[Row]) -> list[str]:
    """List the models that were measured against peers, in the order of the rows."""
    return list(dict.fromkeys(one["model"] for one in rows if "table" not in one))


def peers(rows: Iterable[Row], model: str) -> list[Row]:
    """Take the lines of a model that are compared with each other: ours, PyTorch's, Flax's, serial JAX."""
    return [one for one in rows if one["model"] == model and "table" not in one]


def find(rows: Iterable[Row], model: str, line: str) -> Row | None:
    """Find a line, None where it was not measured."""
    return next((one for one in rows if one["model"] == model and one["line"] == line), None)


def best(rows: Iterable[Row], model: str, start: str) -> Row | None:
    """Find the fastest compared line of a model whose name starts so, None where there is none."""
    own = [one for one in peers(rows, model) if one["line"].startswith(start)]
    return min(own, key=lambda one: one["ms_per_model_step"], default=None)


def ratio(one: Row | None, other: Row | None) -> float | None:
    """Divide the times of two lines, None where one is missing; those measured in turns were divided turn by turn."""
    if one is None or other is None:
        return None
    return one["ratio"] if "ratio" in one else one["ms_per_model_step"] / other["ms_per_model_step"]


def goals(rows: Sequence[Row]) -> list[Goal]:
    """Hold what was measured against the goals; what was not measured has no entry."""
    found: list[tuple[str, float | None, float, str]] = []
    for model in models(rows):
        value = ratio(best(rows, model, "ours population"), best(rows, model, "torch"))
        goal = POPULATION_GOALS.get(model, 1.0)
        found.append((f"{model.upper()} population, ratio to the best PyTorch line", value, goal, ""))
    for model in dict.fromkeys(one["model"] for one in rows):
        value = ratio(find(rows, model, "ours, one core"), find(rows, model, "minimal scan"))
        found.append((f"{model.upper()}: our train against a hand-written minimal scan", value, ENGINE_GOAL, ""))
        value = ratio(find(rows, model, "ours, vmapped"), find(rows, model, "minimal scan, vmapped"))
        found.append((f"{model.upper()}: the same with lanes vmapped", value, ENGINE_GOAL, ""))
        value = ratio(find(rows, model, f"probes every {DEFAULT_INTERVAL}"), find(rows, model, "probes off"))
        found.append((f"{model.upper()}: default probes every {DEFAULT_INTERVAL} steps", value, PROBES_GOAL, ""))
    for model in models(rows):
        value = (find(rows, model, "ours population") or {}).get("compile_seconds") or None  # 0 was not measured
        found.append((f"{model.upper()}: compile time", value, COMPILE_GOAL, " s"))
        for line, goal in SOLO_GOALS.items():
            value = ratio(find(rows, model, "ours solo"), find(rows, model, line))
            found.append((f"{model.upper()}: one model, ratio to {line}", value, goal, ""))
    for name in dict.fromkeys(one["model"] for one in rows if one.get("table") == "verdict"):
        study = name.removeprefix("verdict_")
        for line, goal in VERDICT_GOALS.items():
            value = ratio(find(rows, name, line), find(rows, name, TORCH))
            found.append((f"time to verdict, {study}: {line}, ratio to PyTorch", value, goal, ""))
        first, again = find(rows, name, COLD), find(rows, name, AGAIN)
        value = again["seconds"] / first["seconds"] if first and again else None
        found.append((f"time to verdict, {study}: the second run, ratio to the first", value, AGAIN_GOAL, ""))
    scale = [one for one in rows if one.get("table") == "lanes" and "memory_ratio" in one]
    if len(scale) > 1:
        what = f"{scale[-1]['lanes']:,} lanes against {scale[0]['lanes']}"
        found.append((f"{what}: time of a model-step", scale[-1]["ratio"], LANES_GOAL, ""))
        found.append((f"{what}: peak memory of the process", scale[-1]["memory_ratio"], LANES_GOAL, ""))
    streamed = next((one["ratio"] for one in rows if one.get("table") == "stream" and one["line"] == "stream"), None)
    found.append(("training on a stream against the slower of reading and training", streamed, STREAM_GOAL, ""))
    return [Goal(what, value, goal, unit) for what, value, goal, unit in found if value is not None]


def losses(rows: Sequence[Row]) -> list[str]:
    """Say where we lose, one sentence each: to which peers, and which goals are missed."""
    said = []
    for model in models(rows):
        for kind, start in (("many models", "ours population"), ("one model", "ours solo")):
            ours = best(rows, model, start)
            faster = sorted(_faster(rows, model, ours, alone=kind == "one model"), key=lambda row: -_times(ours, row))
            said += [
                f"{model.upper()}, {kind}: {one['line']} is {_times(ours, one):.3g} times as fast as {ours['line']} "
                f"({show(one['ms_per_model_step'])} against {show(ours['ms_per_model_step'])} ms a model-step)."
                for one in faster
            ]
    missed = [goal for goal in goals(rows) if not goal.holds]
    return said + [f"Goal missed, {g.what}: {g.found:.4g}{g.unit}, not {g.goal:.4g}{g.unit}." for g in missed]


def _faster(rows: Sequence[Row], model: str, ours: Row | None, *, alone: bool) -> list[Row]:
    """List the peers faster than a line of ours; one model alone is compared with others that train one model."""
    others = [one for one in peers(rows, model) if not one["line"].startswith("ours")]
    fair = [one for one in others if not alone or one.get("lanes", 1) == 1]
    return [one for one in fair if ours and _times(ours, one) > CLOSE]


def _times(one: Row, other: Row) -> float:
    return one["ms_per_model_step"] / other["ms_per_model_step"]


def show(milliseconds: float) -> str:
    """Write a time with three digits."""
    return f"{milliseconds:.3g}" if milliseconds < 100 else f"{milliseconds:.0f}"
