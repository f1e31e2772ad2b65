"""Verdicts on a table of scores of one's own, with the statistics of a comparison; see `verdicts` for the rules."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from deepprinciples.config.wording import quoted, suggestion
from deepprinciples.errors import ConfigError, DataError
from deepprinciples.stats import verdicts

if TYPE_CHECKING:
    import pandas as pd


class Verdicts(NamedTuple):
    """What may be said of a table of scores; printed, it is a table.

    Attributes:
        headline: all verdicts in one sentence.
        sentences: one for each pair.
        summary: `arms`, `comparisons` and their settings, with the keys of summary.json.
    """

    headline: str
    sentences: list[str]
    summary: dict[str, Any]

    def __repr__(self) -> str:
        from rich.console import Console

        from deepprinciples.report import terminal

        paper = io.StringIO()
        terminal.verdict_table(self.summary, Console(file=paper, width=100, color_system=None))
        return "\n".join(line.rstrip() for line in paper.getvalue().strip("\n").splitlines())

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row for each pair: a, b, verdict, difference, its interval, P(wins), p, adjusted p, n, sentence.

        Example:
            table = dp.judge({"plain": [0.1] * 8, "better": [0.2] * 8}).to_dataframe()
            table[["a", "b", "verdict"]]
        """
        import pandas as pd

        rows = [
            {
                **{key: row[key] for key in ("a", "b", "verdict", "meaningful", "difference")},
                **dict(zip(("low", "high"), row["interval"], strict=True)),
                **{key: row[key] for key in ("probability", "p", "p_adjusted", "n", "sentence")},
            }
            for row in self.summary["comparisons"]
        ]
        return pd.DataFrame(rows)

    def _repr_html_(self) -> str:
        from deepprinciples.report import notebook

        return notebook.verdicts({**self.summary, "headline": self.headline})


class _Table(NamedTuple):
    names: list[str]
    scores: np.ndarray  # [arm, score]
    blocks: list[int] | None


def judge(
    scores: Any,
    names: Sequence[str] | None = None,
    *,
    metric: str = "score",
    direction: Literal["max", "min"] = "max",
    blocks: Sequence[int] | None = None,
    comparisons: Literal["baseline", "all"] = "baseline",
    baseline: str = "",
    confidence: float = 0.95,
    equivalence_margin: float = 0.0,
    min_win_probability: float = 0.75,
    worst: float | None = None,
    best: float | None = None,
    title: str = "Verdicts",
) -> Verdicts:
    """Judge methods by scores of one's own: paired tests, intervals and verdicts, as `dp.compare` gives them.

    Column k of every arm is one block: a seed, a fold or a task that all arms have in common. A score that is not
    finite counts as the worst outcome.

    Args:
        scores: [arm, block]; [arm, block, seed], whose seeds are averaged in their block; a dict or a pandas.DataFrame
            of one column an arm; or an xarray.DataArray over `arm` and one more dimension, such as a variable of
            `run.results`, whose coordinate `block` says which seeds report for one search.
        names: of the arms; by default those of the table, or "arm 0", "arm 1", ...
        metric: what the scores are called.
        direction: "max" where larger scores are better, "min" where smaller ones are.
        blocks: the block of each column, where several belong together, such as the seeds of one search: they count
            once, as their mean.
        comparisons: "baseline" compares every arm with the first one (or `baseline`), "all" all with all.
        baseline: the arm that others are compared with.
        confidence: of every interval; 1 - confidence is the chance of any false claim.
        equivalence_margin: differences below it count as equivalent; 0.0 does not ask.
        min_win_probability: share of blocks that a winner has to win.
        worst, best: the ends of the metric's range, where it has them. A score that is not finite counts as `worst`,
            without it as the worst score of the table.
        title: of the printed table.

    Returns:
        `Verdicts`: its `headline`, its `sentences`, and `to_dataframe()`.

    Raises:
        DataError: arms differ in their number of scores, there are fewer than two arms, or scores are no numbers.
        ConfigError: an argument is out of its range.

    Example:
        rng = np.random.default_rng(0)
        seeds = rng.normal(size=12)
        found = dp.judge({"plain": seeds, "mine": seeds + 1.0 + 0.1 * rng.normal(size=12)}, metric="accuracy")
        print(found)
        found.to_dataframe().verdict
    """
    table = _table(scores, names, blocks)
    if direction not in ("max", "min"):
        raise ConfigError(f"direction: found {direction!r}; expected max or min")
    if comparisons not in ("baseline", "all"):
        raise ConfigError(f"comparisons: found {comparisons!r}; expected baseline or all")
    if baseline and baseline not in table.names:
        names_ = ", ".join(table.names)
        raise ConfigError(f"baseline: no arm {quoted(baseline)}{suggestion(baseline, table.names)} (arms: {names_})")
    first = table.names.index(baseline) if baseline else 0
    arms = range(len(table.names))
    every = [(j, i) for i in arms for j in arms if i < j]
    pairs = every if comparisons == "all" else [(k, first) for k in arms if k != first]
    shared: dict[str, Any] = {"higher_is_better": direction == "max", "bound": worst, "confidence": confidence}
    # Scores of one block are judged as those of one search are.
    shared |= {"blocks": table.blocks, "tuned": table.names if table.blocks is not None else ()}
    given = (table.scores, ~np.isfinite(table.scores), table.names)
    rows = verdicts.compare(
        *given,
        pairs=pairs,
        metric=metric,
        equivalence_margin=equivalence_margin,
        min_win_probability=min_win_probability,
        **shared,
    )
    described = verdicts.arm_rows(*given, best=best, **shared)
    headline = verdicts.headline(rows, described, metric)
    summary = {
        "kind": "judge",
        "title": title,
        "metric": metric,
        "direction": direction,
        "headline": headline,
        "arms": described,
        "comparisons": rows,
        "protocol": {"confidence": confidence},
    }
    return Verdicts(headline, [row["sentence"] for row in rows], summary)


def _table(scores: Any, names: Sequence[str] | None, blocks: Sequence[int] | None) -> _Table:
    """Read a table in any of its forms."""
    found, known = _array_of(scores)
    if found.ndim == 3 and found.size:
        blocks = np.repeat(np.arange(found.shape[1]), found.shape[2]).tolist() if blocks is None else blocks
        found = found.reshape(len(found), -1)
    if found.ndim != 2 or not found.size:
        raise DataError(f"scores: found shape {list(found.shape)}; expected [arms, blocks], one row for each arm")
    if len(found) < 2:
        raise DataError("scores: found one arm; expected two or more, since a verdict is on a difference")
    named = list(known) if names is None else [str(name) for name in names]
    named = named or [f"arm {k}" for k in range(len(found))]
    if len(named) != len(found):
        raise DataError(f"names: found {len(named)}; expected {len(found)}, one for each arm")
    if len(set(named)) < len(named):
        raise DataError(
            f"names: {quoted(next(n for n in named if named.count(n) > 1))} stands twice; give every arm its own"
        )
    if blocks is None and hasattr(scores, "coords") and "block" in scores.coords:
        own = np.asarray(scores.coords["block"].values)
        blocks = own.tolist() if own.shape == found.shape[1:] and len(set(own.tolist())) < own.size else None
    return _Table(named, found, None if blocks is None else [int(block) for block in blocks])


def _array_of(scores: Any) -> tuple[np.ndarray, list[str]]:
    """Return scores as [arm, ...] in float64, and the names that they bring along."""
    if hasattr(scores, "dims") and hasattr(scores, "transpose"):  # xarray
        if "arm" not in scores.dims:
            raise DataError(f"scores: found dimensions {', '.join(map(str, scores.dims))}; expected arm and one more")
        names = [str(name) for name in scores.coords["arm"].values] if "arm" in scores.coords else []
        return _numbers(scores.transpose("arm", ...).values, "scores"), names
    if hasattr(scores, "columns") and hasattr(scores, "to_numpy"):  # pandas
        return _numbers(scores.to_numpy().T, "scores"), [str(name) for name in scores.columns]
    if isinstance(scores, Mapping):
        rows = {str(name): _numbers(row, str(name)) for name, row in scores.items()}
        return _stacked(list(rows.values()), lambda k: list(rows)[k]), list(rows)
    if isinstance(scores, (list, tuple)):
        held = [_numbers(row, f"arm {k}") for k, row in enumerate(scores)]
        return _stacked(held, lambda k: f"arm {k}"), []
    return _numbers(scores, "scores"), []


def _stacked(rows: list[np.ndarray], name: Callable[[int], str]) -> np.ndarray:
    for k, row in enumerate(rows):
        if row.shape != rows[0].shape:
            raise DataError(
                f"scores: {name(k)} has {row.size} and {name(0)} {rows[0].size}; expected as many for every arm, one "
                "for each block; a block that failed is NaN"
            )
    return np.stack(rows) if rows else np.zeros((0, 0))


def _numbers(values: Any, where: str) -> np.ndarray:
    try:
        found = np.asarray(values)
        if found.dtype.kind in "OUS" and not all(isinstance(one, (int, float)) or one is None for one in found.flat):
            raise ValueError
        return found.astype(np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{where}: holds something else than numbers; expected scores, NaN where one failed") from None
