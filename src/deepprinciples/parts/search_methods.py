"""Search methods: which settings a tuned arm tries, as points of the unit cube, and which of them are given up early.

A factory of TABLE returns a `SearchMethod`. It is asked with the same seed for every arm, and all arms try as many
settings. Ranges and scales of hyper-parameters do not belong here: a place is mapped onto them afterwards.
"""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from scipy.stats import qmc

from deepprinciples.errors import ResourceError
from deepprinciples.types import Count, Range


class SearchMethod(NamedTuple):
    """A way to search.

    ask: (count, seed, places [N, d], scores [N]) -> places [count, d] in [0, 1]; N were tried, the higher the better.
    rounds: how often it is asked for a share of the trials.
    problem: (dimensions, trials) -> what is wrong with so many trials, or "".
    """

    ask: Callable[[int, Sequence[int], np.ndarray, np.ndarray], np.ndarray]
    rounds: int = 1
    problem: Callable[[int, int], str] = lambda dimensions, trials: ""


def sobol() -> SearchMethod:
    """Spread the trials evenly over the space by a scrambled Sobol sequence.

    Returns: method that is asked once.
    Expect: With the same budget, a best trial that is no worse than that of `random`, most of all with few trials.
    Costs: Nothing that is measurable.
    References: Owen 1998, Scrambling Sobol' and Niederreiter-Xing points; scipy.stats.qmc.
    """
    return SearchMethod(lambda count, seed, places, scores: _sobol(places.shape[1], count, tuple(seed)))


def random() -> SearchMethod:
    """Draw every trial by itself, evenly over the space.

    Returns: method that is asked once.
    Expect: The ground that other methods are compared with.
    Costs: Nothing that is measurable.
    References: Bergstra and Bengio 2012, Random search for hyper-parameter optimization.
    """
    return SearchMethod(
        lambda count, seed, places, scores: np.random.default_rng(tuple(seed)).random((count, places.shape[1]))
    )


def grid() -> SearchMethod:
    """Try every combination of evenly spaced values, with both ends of each range among them.

    `study.trials` is k^d for d tuned hyper-parameters, such as 9 for two of them with three values each.

    Returns: method that is asked once. Every search of an arm tries the same settings, on seeds of its own.
    Expect: Settings that are easy to read, and fewer different values of each hyper-parameter than by any other method.
    Costs: Nothing that is measurable.
    References: Bergstra and Bengio 2012, who show what a grid misses.
    """

    def ask(count: int, seed: Sequence[int], places: np.ndarray, scores: np.ndarray) -> np.ndarray:
        del seed, scores
        dimensions = places.shape[1]
        each = round(count ** (1 / dimensions))
        values = np.linspace(0.0, 1.0, each) if each > 1 else np.array([0.5])
        return np.array(list(itertools.product(values, repeat=dimensions)))

    def problem(dimensions: int, trials: int) -> str:
        each = round(trials ** (1 / dimensions))
        if each**dimensions == trials:
            return ""
        fits = " or ".join(str(k**dimensions) for k in sorted({max(each - 1, 2), each, each + 1}))
        return f"found {trials} trials of {dimensions} tuned hyper-parameters; a grid needs a power, such as {fits}"

    return SearchMethod(ask, problem=problem)


def optuna(*, sampler: Literal["tpe", "gp", "cmaes"] = "tpe", rounds: Count = 4) -> SearchMethod:
    """Let Optuna propose the trials of each round from those before (extra `optuna`).

    The first round is that of `sobol`; every later one asks for its share of the trials at once, and a setting that is
    not measured yet counts as a bad one where the sampler knows that (TPE).

    Args:
      sampler: "tpe" (tree-structured Parzen estimator), "gp" (Gaussian process) or "cmaes".
      rounds: how many rounds the trials of a search are divided into. All runs of a round train side by side.
    Returns: method that is asked `rounds` times; the same seed and scores give the same settings.
    Raises: ResourceError without optuna.
    Expect: With many trials a better best trial than that of `sobol`, where the score depends on the setting and not
      on luck alone. With few, or noisy scores, no difference.
    Costs: Nothing on the device; a call of Optuna for each trial.
    References: Akiba et al., arXiv:1907.10902; Bergstra et al. 2011 (TPE).
    """
    try:
        import optuna as library
    except ImportError as error:
        raise ResourceError(
            'search method "optuna": needs the package optuna, which is missing: pip install "deepprinciples[optuna]"'
        ) from error

    def ask(count: int, seed: Sequence[int], places: np.ndarray, scores: np.ndarray) -> np.ndarray:
        if not len(scores):
            return _sobol(places.shape[1], count, tuple(seed))
        library.logging.set_verbosity(library.logging.WARNING)
        number = int(np.random.default_rng([*seed, len(scores)]).integers(2**32))
        names = [str(axis) for axis in range(places.shape[1])]
        axes: dict[str, Any] = {name: library.distributions.FloatDistribution(0.0, 1.0) for name in names}
        makers = {
            "tpe": lambda: library.samplers.TPESampler(
                seed=number, multivariate=True, constant_liar=True, n_startup_trials=1
            ),
            "gp": lambda: library.samplers.GPSampler(seed=number, n_startup_trials=1),
            "cmaes": lambda: library.samplers.CmaEsSampler(seed=number, n_startup_trials=1),
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", library.exceptions.ExperimentalWarning)
            study = library.create_study(direction="maximize", sampler=makers[sampler]())
        for place, score in zip(places, scores, strict=True):
            values = dict(zip(names, map(float, np.clip(place, 0.0, 1.0)), strict=True))
            study.add_trial(library.trial.create_trial(params=values, distributions=axes, value=float(score)))
        asked = [study.ask(axes).params for _ in range(count)]
        return np.array([[one[name] for name in names] for one in asked])

    return SearchMethod(ask, rounds=rounds)


@functools.lru_cache(maxsize=256)  # scipy reads its tables anew for each sequence
def _sobol(dimensions: int, count: int, seed: tuple[int, ...]) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The balance properties", category=UserWarning)
        points: np.ndarray = qmc.Sobol(dimensions, scramble=True, rng=np.random.default_rng(seed)).random(count)
    return points


class Rung(NamedTuple):
    """A step of a search that gives up trials: how many go on, and the share of a run's steps that each trains."""

    trials: int
    share: float


Pruning = Callable[[int], list[Rung]]


def successive_halving(*, factor: Annotated[int, Range("[2, inf)")] = 3, rungs: Count = 3) -> Pruning:
    """Give up all but the best 1 / factor of the trials after each rung, each `factor` times as long as the one before.

    rung r = 0 to rungs - 1 trains the n / factor^r best trials so far for factor^(r + 1 - rungs) of the steps

    Every arm has as many trials on each rung, and so the same steps. A rung begins its runs anew, which with factor 3
    takes half as many steps again as going on would.

    Args:
      factor: how many trials there are for each one that goes on.
      rungs: lengths that runs are tried at.
    Returns: function (trials n) -> list of `Rung`.
    Expect: More trials for the same steps, and a better best trial, where short runs rank settings as long ones do. A
      rate that is best for few steps is often too high for many; and a schedule counts the steps of a whole run.
    Costs: Nothing that is measurable.
    References: Jamieson and Talwalkar, arXiv:1502.07943; Li et al., arXiv:1603.06560 (Hyperband).
    """

    def ladder(trials: int) -> list[Rung]:
        return [Rung(max(trials // factor**r, 1), float(factor) ** (r + 1 - rungs)) for r in range(rungs)]

    return ladder


PRUNING: dict[str, Callable[..., Pruning]] = {f.__name__: f for f in (successive_halving,)}
TABLE: dict[str, Callable[..., SearchMethod]] = {f.__name__: f for f in (sobol, random, grid, optuna)}
