"""Simulated studies on response surfaces with a fragile region: what a protocol claims where nothing differs.

A setting u in [0, 1] is the place of a learning rate in its range. Accuracy rises towards an optimum; beyond it lies a
fragile region, where a run scores a little higher still but sits at chance with a probability that grows with u. A
search sees few validation examples, so it cannot tell a fragile setting from a good one. Searching and judging are the
package's own, only the training is simulated.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from deepprinciples.parts import search_methods
from deepprinciples.stats import verdicts
from deepprinciples.stats.searches import Budget, Judge, run_searches
from deepprinciples.stats.trials import Axis

JUDGE = Judge("accuracy", True, 0.0)
SPACE = {"u": Axis(0.0, 1.0, False)}
CHANCE = 0.4
EXAMPLES = 36  # validation and test examples


class Surface(NamedTuple):
    """What a setting does: the best accuracy, where it lies, how fast it falls, and where runs begin to fail."""

    top: float = 0.97
    optimum: float = 0.65
    slope: float = 0.25
    fragile_from: float = 0.7
    fragility: float = 0.9  # chance of a run at u = 1 to sit at chance
    seed_noise: float = 0.012

    def draw(self, u: np.ndarray, gain: float, random: np.random.Generator) -> np.ndarray:
        """Draw the true accuracy of a run at each setting."""
        good = self.top - self.slope * np.maximum(self.optimum - u, 0.0) ** 2 + gain
        good = np.clip(good + self.seed_noise * random.normal(size=u.shape), 0.0, 1.0)
        failing = self.fragility * np.clip((u - self.fragile_from) / (1 - self.fragile_from), 0.0, 1.0)
        return np.where(random.random(u.shape) < failing, CHANCE, good)


SURFACES = {
    "fragile": Surface(),
    "a cliff": Surface(fragile_from=0.6, fragility=0.5, slope=0.1),
    "steep": Surface(slope=0.8, optimum=0.9, fragile_from=0.9),
    "no fragile region": Surface(fragility=0.0),
}


class Protocol(NamedTuple):
    """How many searches, trials, tuning seeds and report seeds a search an arm gets."""

    searches: int = 10
    trials: int = 8
    tuning_seeds: int = 1
    seeds: int = 3


def arm(surface: Surface, protocol: Protocol, gain: float, number: int) -> np.ndarray:
    """Search and report for one arm on its own: test scores [seed]; `number` decides all its luck."""
    random = np.random.default_rng(number)

    def train(label: str, rows: list, share: float) -> SimpleNamespace:
        u = np.array([[point["u"] for point in points] for _, points in rows])
        score = random.binomial(EXAMPLES, surface.draw(u, gain, random)) / EXAMPLES
        return SimpleNamespace(final={"accuracy": score}, diverged_at=np.full(u.shape, -1), seconds=0.0)

    seeds = [[0] * protocol.tuning_seeds] * protocol.searches
    found, _ = run_searches(
        train, {"a": SPACE}, Budget(protocol.trials, 0, seeds, number, search_methods.sobol().ask), JUDGE
    )
    u = np.repeat([search.chosen["u"] for search in found["a"]], protocol.seeds)
    return random.binomial(EXAMPLES, surface.draw(u, gain, random)) / EXAMPLES


def study(surface: Surface, protocol: Protocol, gain: float, number: int) -> dict:
    """Judge one simulated study of two arms that search on their own; the first is better by `gain`."""
    scores = np.stack([arm(surface, protocol, g, 2 * number + k) for k, g in enumerate((gain, 0.0))])
    (row,) = verdicts.compare(
        scores,
        np.zeros(scores.shape, bool),
        ["a", "b"],
        pairs=[(0, 1)],
        higher_is_better=True,
        bound=0.0,
        blocks=np.repeat(np.arange(protocol.searches), protocol.seeds).tolist(),
        tuned={"a", "b"},
    )
    return row


def mean_of(surface: Surface, protocol: Protocol, gain: float, *, searches: int = 4000, number: int = 10**6) -> float:
    """Estimate the mean score of the whole pipeline, search and training."""
    return float(arm(surface, protocol._replace(searches=searches), gain, number).mean())


class Rates(NamedTuple):
    """What a protocol did over many studies."""

    claims: float  # about the methods
    conditional: float  # differences claimed for the settings found alone
    coverage: float  # intervals that hold the true difference of the pipelines


def rates(surface: Surface, protocol: Protocol, *, studies: int, gain: float = 0.0, first: int = 0) -> Rates:
    """Simulate studies and count what they claim."""
    true = mean_of(surface, protocol, gain) - mean_of(surface, protocol, 0.0, number=10**6 + 1) if gain else 0.0
    rows = [study(surface, protocol, gain, first + number) for number in range(studies)]
    claims = [row["verdict"] in ("better", "worse") for row in rows]
    conditional = [row["verdict"].startswith(("better for", "worse for")) for row in rows]
    covered = [row["interval"][0] <= true <= row["interval"][1] for row in rows]
    return Rates(*(float(np.mean(one)) for one in (claims, conditional, covered)))
