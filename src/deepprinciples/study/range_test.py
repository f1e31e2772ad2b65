"""A guess for the learning rate: short runs in which it rises from step to step, one lane for every arm and seed.

The range test (arXiv:1506.01186) costs a few hundred steps and sees no more than them: how fast the loss falls just
then, and where training breaks. It says nothing of the rate that is best for a whole run. So what comes out is a range
to tune in, never a rate, and a tuned comparison overrides it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from deepprinciples import config as configs
from deepprinciples.errors import ConfigError
from deepprinciples.learners.assembly.factories import trait
from deepprinciples.learners.assembly.from_config import KINDS

PATH = "optimizer.learning_rate"
LEAST_STEPS = 20
_LOST = 1e300  # the loss of a lane that diverged: huge, and still a number
RISE = 4.0  # within a doubling of the rate; more is no training
LEAST_FALL = 0.01  # of the loss at the start; less than that is no training
WORDS = (
    "It is a guess: it read the training loss of a few hundred steps at rates that never stayed the same.",
    "The best rate of a whole run is often lower, and depends on its length and its schedule: tune in the range, with "
    "deepprinciples compare; what that finds overrides this.",
)


class Reading(NamedTuple):
    """What one curve of loss against rate tells; None where it does not."""

    steepest: float | None = None  # where the loss falls fastest
    lowest: float | None = None
    breaks: float | None = None  # from here on what was gained is lost
    fell: bool = False


def rising(config: Mapping[str, Any], *, low: float, high: float, steps: int, seeds: int) -> dict[str, Any]:
    """Return the config of a range test: each arm with a rate that rises by equal factors from low to high.

    rate(t) = low (high / low)^(t / steps): the learning rate is `low`, the schedule `exponential` up to high / low.

    Args:
        config: as for `compare` or `train`; its schedule, rate, search space and numbers of steps and seeds do not
            count here.
        low, high: the rates at the start and at the end. steps: of a run. seeds: runs of each arm.

    Returns:
        A resolved config; it can be resolved again.

    Raises:
        ConfigError: the config cannot be run, an arm has no learning rate, or a number is out of its range.
    """
    problems = _wrong(low, high, steps, seeds)
    resolved, found = configs.resolve_each(config, KINDS)
    if "optimizer" not in resolved:
        raise ConfigError(
            "learner: has no [optimizer]; lr-find follows one loss and one learning rate, such as supervised has"
        )
    if problems:
        raise ConfigError(*problems)
    before = {name: one.config["optimizer"] for name, one in found.items()} or {"": resolved["optimizer"]}
    still = {f"arms.{name}." * bool(name): one.get("name", "it") for name, one in before.items() if not _rises(one)}
    if still:
        words = "has no learning_rate that could rise; leave it out of lr-find"
        raise ConfigError(*(f"{where}optimizer: {name} {words}" for where, name in still.items()))
    arms = {name: _kept(edits, low) for name, edits in resolved.pop("arms", {}).items()}
    changed = {
        "schedule": {"name": "exponential", "warmup": 0.0, "final": high / low},
        **{f"train.{key}": value for key, value in {"steps": steps, "seeds": seeds, **_EVERY_STEP}.items()},
        "study.seeds": seeds,
        "study.tune": {},
    }
    rates = {PATH: low} if "learning_rate" in resolved["optimizer"] else {}
    tested = configs.changes(resolved, {**changed, **rates})
    if arms:
        tested["arms"] = arms
    return configs.resolve(tested, KINDS)


def _rises(optimizer: Mapping[str, Any]) -> bool:
    return "learning_rate" in optimizer and trait("optimizer", optimizer, "follows_schedule") is not False


_EVERY_STEP = {"probes": (), "probe_every": 1, "evaluate_every": 0, "time_probes": False, "layouts": {}}
_EVERY_STEP |= {"keep": "last", "patience": 0}


def _wrong(low: float, high: float, steps: int, seeds: int) -> list[str]:
    found = []
    if not 0 < low < high < math.inf:
        found.append(f"--low, --high: found {low:g} and {high:g}; expected rates above 0, the smaller one first")
    if steps < LEAST_STEPS:
        found.append(f"--steps: found {steps}; expected at least {LEAST_STEPS}: the rate would jump, not rise")
    if seeds < 1:
        found.append(f"--seeds: found {seeds}; expected at least 1")
    return found


def _kept(edits: Mapping[str, Any], low: float) -> dict[str, Any]:
    """Take rate, schedule and search space out of the changes of an arm."""
    kept = {path: value for path, value in edits.items() if path.split(".")[0] not in ("schedule", "tune", "train")}
    kept.pop(PATH, None)
    if any(path.split(".")[0] == "optimizer" for path in kept):  # another optimizer brings a rate of its own
        kept[PATH] = low
    return kept


def rates_of(arm: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return the learning rate at each step of a range test [steps], the same in all arms."""
    steps, span = arm["train"]["steps"], arm["schedule"]["final"]
    return arm["optimizer"]["learning_rate"] * span ** (np.arange(steps) / steps)


def read(losses: NDArray[np.float64], rates: NDArray[np.float64]) -> Reading:
    """Read a range test: the median loss over seeds, smoothed by a running median, against the rate.

    steepest: the least slope of loss over log rate. breaks: the first rate from which on the curve stays above four
    times what it was at half that rate, or above the middle between its lowest value and its start, or is not finite.
    Not four times its lowest value: with minibatches the loss that a small rate reaches grows with the rate, long
    before it breaks. A running median moves no edge of a curve that only rises, as a running mean would.

    Args:
        losses: [seeds, steps], not finite from where a lane diverged; rates: [steps], rising.
    Returns:
        Where it falls, is lowest and breaks; `fell` is false where it hardly fell, and there is nothing to suggest.
    References: Smith, arXiv:1506.01186.
    """
    middle = np.median(np.where(np.isfinite(losses), losses, _LOST), axis=0)
    steps = middle.size
    curve = _running_median(middle, steps // 100)
    start = float(np.median(curve[: max(1, steps // 10)]))
    bottom = int(np.argmin(curve))
    least = float(curve[bottom])
    if start >= _LOST / 2:
        return Reading()
    apart = (middle - curve)[: bottom + 1]
    noise = 1.4826 * float(np.median(np.abs(apart)))
    fell = start - least > max(LEAST_FALL * abs(start), 4 * noise)
    if not fell:
        return Reading()
    return Reading(float(rates[_steepest(curve, bottom)]), float(rates[bottom]), _broken(curve, rates, start), fell)


def _broken(curve: NDArray[np.float64], rates: NDArray[np.float64], start: float) -> float | None:
    """Find the rate from which on all that is left of the curve lies above what counts as broken there."""
    bottom = int(np.argmin(curve))
    bars = np.full(curve.size, (start + curve[bottom]) / 2)
    if curve[bottom] > 0:
        twice = max(1, round(math.log(2) / math.log(rates[1] / rates[0])))  # steps in which the rate doubles
        seen = np.pad(curve, (twice, 0), mode="edge")
        recent = np.lib.stride_tricks.sliding_window_view(seen, twice + 1).min(axis=-1)
        bars = np.minimum(bars, RISE * recent)
    left = np.minimum.accumulate(curve[::-1])[::-1]  # the least that is still to come
    broken = np.flatnonzero(left[bottom:] > bars[bottom:])
    return float(rates[bottom + broken[0]]) if broken.size else None


def _running_median(values: NDArray[np.float64], half: int) -> NDArray[np.float64]:
    padded = np.pad(values, half, mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=-1)


def _steepest(curve: NDArray[np.float64], bottom: int) -> int:
    """Find the step around which the curve falls most; steps are equal factors of the rate."""
    half = max(1, curve.size // 20)
    middles = np.arange(half, min(bottom, curve.size - 1 - half) + 1)
    if not middles.size:
        return bottom
    falls = curve[middles + half] - curve[middles - half]
    return int(middles[np.argmin(falls)])


def suggestion(reading: Reading, highest: float) -> tuple[float, float]:
    """Return the range to tune in: a tenth of the rate of the steepest fall, to where training breaks.

    Both ends are moved outward to 1, 2 or 5 times a power of ten. Where nothing broke it ends at the last rate tried.
    """
    assert reading.steepest is not None
    high = reading.breaks if reading.breaks is not None else highest
    return _round(reading.steepest / 10, up=False), _round(high, up=True)


def _round(value: float, *, up: bool) -> float:
    power = math.floor(math.log10(value))
    steps = [float(f"{m}e{power + e}") for e in (-1, 0, 1) for m in (1, 2, 5)]
    return min(s for s in steps if s >= value * (1 - 1e-9)) if up else max(s for s in steps if s <= value * (1 + 1e-9))


def summarized(results: xr.Dataset, resolved: Mapping[str, Any], arms: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Put a range test into the summary: `rates`, and in place of a verdict what to tune in.

    Args:
        results: with `train_loss` [arm, seed, step] and `learning_rate` [step].
        resolved: the config from `rising`.
        arms: the summary's rows; what the network scores at the end of such a run means nothing and is left out.
    """
    rates = results.learning_rate.values
    rows = [_row(str(arm), results.train_loss.sel(arm=arm).values.astype(float), rates) for arm in results.arm.values]
    guessed = [row for row in rows if row["low"] is not None]
    spans = "; ".join(f"{row['name']} {row['low']:g} to {row['high']:g}" for row in guessed)
    headline = (
        f"A guess, to tune in: {spans}. A tuned comparison overrides it."
        if guessed
        else f"The loss fell at no rate from {rates[0]:.2g} to {rates[-1]:.2g}: nothing to suggest."
    )
    unjudged = [{**row, "mean": None, "interval": [None, None]} for row in arms]
    return {
        "metric": "train_loss",
        "direction": "min",
        "headline": headline,
        "rates": rows,
        "arms": unjudged,
        "limits": list(WORDS),
    }


def _row(name: str, losses: NDArray[np.float64], rates: NDArray[np.float64]) -> dict[str, Any]:
    found = read(losses, rates)
    each = [one.breaks for one in (read(lane[None], rates) for lane in losses) if one.breaks is not None]
    row: dict[str, Any] = {"name": name, "steepest": found.steepest, "lowest": found.lowest, "breaks": found.breaks}
    row |= {"breaks_range": [min(each), max(each)] if each else None, "low": None, "high": None, "tune": ""}
    if not found.fell:
        return row | {"note": f"the loss did not fall at any rate from {rates[0]:.2g} to {rates[-1]:.2g}"}
    low, high = suggestion(found, float(rates[-1]))
    note = "" if found.breaks is not None else f"nothing broke up to {rates[-1]:.2g}: --high may be raised"
    if found.breaks is not None and found.breaks <= rates[len(rates) // 5]:
        note = "it broke soon after the start: lower --low"
    return row | {"low": low, "high": high, "tune": tune_line(low, high), "note": note}


def tune_line(low: float, high: float) -> str:
    """Write a range as the line of a config that tunes in it."""
    return f'tune = {{ "{PATH}" = {{ low = {low!r}, high = {high!r}, scale = "log" }} }}'
