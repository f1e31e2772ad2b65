"""The settings of [train] and [study]: each a NamedTuple whose fields are the schema of its section."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NamedTuple

from deepprinciples.ranges import Count, Range, Repeats, Seed, Size

Metric = Annotated[Callable[..., Any], "metric"]
Probe = Annotated[Callable[..., Any], "probe"]
MATMUL = {"bfloat16": "BF16_BF16_F32", "tensorfloat32": "tensorfloat32", "float32": "float32"}  # JAX's names


class Train(NamedTuple):
    """How a lane trains. `seed` is the first seed; `seeds` is how many a `train` run has."""

    steps: Count = 1000
    seed: Seed = 0
    seeds: Repeats = 1
    probes: tuple[Probe | str, ...] = (
        "gradient_norm",
        "update_ratio",
        "activation_mean_square",
        "gradient_mean_square",
        "dead_units",
        "saturated_units",
        "trigger_rate",
        "players",
    )
    probe_every: Size = 0  # 0: 10 to 50 times a run, at most every 25th step
    time_probes: bool = False  # also time the first program without probes and tell what they cost
    evaluate_every: Size = 0  # 0: about 10 times a run
    keep: Literal["last", "best"] = "last"  # the state that is judged: best by study.metric on the validation split
    patience: Size = 0  # evaluations in a row without a better state after which "best" looks no further; 0: never
    parallel: Literal["auto", "map", "vmap"] = "auto"  # how a device runs its lanes
    max_parallel: Size = 0  # most lanes on a device in one call; 0: chosen
    checkpoint_seconds: int = (
        60  # between checkpoints, more where saving takes long; a stopped run is resumed from there
    )
    matmul: Literal["default", "bfloat16", "tensorfloat32", "float32"] = "default"  # products in; sums stay float32
    layouts: Mapping[str, Any] = {}  # first arm of a group -> mode, blocks, chunks: as a run before measured and wrote


class Study(NamedTuple):
    """How arms are tuned and compared."""

    metric: Metric | str = "accuracy"
    also: tuple[str, ...] = ()  # further metrics that are recorded, by name
    direction: Literal["auto", "max", "min"] = "auto"
    tune: Mapping[str, Any] = {}
    searches: Repeats = 10  # independent searches of a tuned arm; each is one block of the statistics
    search: Annotated[Callable[..., Any], "search"] | str = "sobol"  # how the settings are chosen that are tried
    pruning: Annotated[Callable[..., Any], "pruning"] | None = None  # which of them are given up early
    trials: Repeats = 8  # settings that a search tries
    tuning_seeds: Repeats = 1  # runs of each of them
    seeds: Repeats = 0  # runs that report: of each search (0: 3), or of each arm where nothing is tuned (0: 30)
    keep: Size = 0  # report seeds of each arm whose final parameters are written
    widen_rounds: Size = 0  # rounds of widening a search space whose best point lay on its edge
    comparisons: Literal["baseline", "all"] = "baseline"
    baseline: str = ""  # the first arm, where empty
    confidence: Annotated[float, Range("(0, 1)", "0.95 is usual")] = 0.95
    equivalence_margin: Annotated[float, Range("[0, inf)")] = (
        0.0  # differences below it count as equivalent; 0: not asked
    )
    min_win_probability: Annotated[float, Range("[0.5, 1]", "0.75 is usual")] = (
        0.75  # P(A > B) from which a difference counts as meaningful
    )


def shape_problems(shapes: Mapping[str, Any]) -> list[str]:
    """List what is wrong with recorded shapes; they are written by a run, but a hand may have edited them."""
    problems = []
    for name, one in shapes.items():
        counts = ("blocks", "chunks", *(["devices"] if isinstance(one, Mapping) and "devices" in one else []))
        whole = isinstance(one, Mapping) and set(one) == {"mode", *counts} and one["mode"] in ("map", "vmap")
        if not whole or not all(type(one[key]) is int and one[key] >= 1 for key in counts):
            problems.append(
                f"train.layouts.{name}: found {one!r}; expected mode (map or vmap), blocks and chunks (1 or more); "
                "take the line out to measure anew"
            )
    return problems


def report_seeds(study: Study, *, tuned: bool) -> int:
    """Count the runs that report for each arm."""
    return study.searches * (study.seeds or 3) if tuned else study.seeds or 30


def start(
    *, path: str = "", pretrained: str = "", match: str | tuple[str, ...] = "*", arm: str = "", to: str = ""
) -> None:
    """Serve as the schema of `model.start`.

    Args:
      path: a safetensors file, in our naming or in PyTorch's, a file of torch.save(model.state_dict(), path), or the
        directory of a finished run.
      pretrained: published weights in place of a path, fetched into the cache directory: efficientnet_lite0.
      match: pattern, or list of patterns, of the parameters that are taken, and of the state that belongs to them, by
        names such as layer_00/norm/mean; the others start as they would without.
      arm: of a run of `compare`.
      to: one of the networks of a learner that has several, such as the actor of an actor-critic; "" for all of them.
    """


def teacher(*, path: str, arm: str = "") -> None:
    """Serve as the schema of `data.teacher`.

    Args:
      path: the directory of a finished run that keeps parameters.
      arm: of a run of `compare`.
    """


def data_extras(*, teacher: Annotated[Callable[..., Any], "teacher"] | None = None) -> None:
    """Serve as the schema of what [data] takes beside the keywords of its factory and how it is split."""


def model_extras(*, start: Annotated[Callable[..., Any], "start"] | None = None) -> None:
    """Serve as the schema of what [model] takes beside the keywords of its factory."""
