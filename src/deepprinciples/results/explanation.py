"""Saliency maps of a finished run: its trained networks explained on test examples, as pictures and as scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from deepprinciples.errors import ConfigError, not_written
from deepprinciples.interop import parameters
from deepprinciples.learners import explaining
from deepprinciples.learners.explaining import Parts
from deepprinciples.results.finished_run import Run
from deepprinciples.results.trained_model import load_model

if TYPE_CHECKING:
    import pandas as pd

POSITIONS = {1: ("position",), 2: ("row", "column")}


class Explanation(NamedTuple):
    """What attributions say of the trained networks of a run.

    Attributes:
        results: `maps` [attribution, seed, example, ...positions], the sum over channels; `input` [example, ...],
            `answer` [seed, example], `label` [example] and `mask` [example, ...] where there are some; and each metric
            by its name [attribution, seed, example].
        metrics: names of the metrics.
        notes: attributions and metrics that were left out, and why.
        class_names: of the data set.
    """

    results: xr.Dataset
    metrics: tuple[str, ...]
    notes: tuple[str, ...]
    class_names: tuple[str, ...] = ()

    def to_dataframe(self) -> pd.DataFrame:
        """Return the scores as a tidy table: one row for each attribution, seed and example.

        Returns:
            Columns `attribution`, `seed`, `example`, `answer`, `label` where there is one, and each metric by its name.

        Example:
            found = dp.train(config).explain(["gradient", "occlusion"], examples=4)
            found.to_dataframe().groupby("attribution").randomization.mean()
        """
        columns = [name for name in ("answer", "label") if name in self.results] + list(self.metrics)
        frame = self.results[columns].to_dataframe().reset_index()
        order = {name: number for number, name in enumerate(self.results.attribution.values)}
        frame = frame.assign(place=frame.attribution.map(order)).sort_values(["place", "seed", "example"])
        return frame[["attribution", "seed", "example", *columns]].reset_index(drop=True)

    def scores(self, metric: str) -> dict[str, np.ndarray]:
        """Return the mean over examples of a metric, attribution -> [seed], as `dp.judge` takes it.

        Example:
            found = dp.train(config).explain(["gradient", "occlusion"], examples=4, seeds=2)
            print(dp.judge(found.scores("randomization"), direction="min"))
        """
        if metric not in self.metrics:
            raise ConfigError(f"metric: found {metric!r}; expected one of {', '.join(self.metrics) or 'none'}")
        means = self.results[metric].mean("example")
        return {str(name): means.sel(attribution=name).values for name in means.attribution.values}

    def means(self) -> dict[str, dict[str, float]]:
        """Return the mean of every metric over examples and seeds, attribution -> metric -> value."""
        names = [str(name) for name in self.results.attribution.values]
        return {name: {key: float(np.mean(self.scores(key)[name])) for key in self.metrics} for name in names}

    def write(self, folder: Path | str, stem: str = "attributions", *, examples: int = 8) -> list[Path]:
        """Write a picture of the maps of each seed and the table of scores.

        Args:
            folder: where to; it is made where it is not there.
            stem: what the names of the files begin with.
            examples: how many examples a picture shows.

        Returns:
            The paths, the pictures first.
        """
        from deepprinciples.report.figures import mpl_style
        from deepprinciples.report.figures.examples import attribution_maps

        path, files = Path(folder), []
        try:
            path.mkdir(parents=True, exist_ok=True)
            for seed in self.results.seed.values:
                plot = attribution_maps.draw(self.results.sel(seed=seed), self.class_names, examples=examples)
                files.append(path / f"{stem}-seed-{seed}.png")
                files[-1].write_bytes(mpl_style.to_png(plot))
            if self.metrics:
                files.append(path / f"{stem}.csv")
                self.to_dataframe().to_csv(files[-1], index=False)
        except OSError as error:
            raise not_written(path, error, "; give another folder") from None
        return files


def explain(
    run: Run,
    methods: Parts = None,
    *,
    examples: int = 8,
    arm: str = "",
    seeds: int = 1,
    metrics: Parts = None,
    masks: Any = None,
    config: Mapping[str, Any] | None = None,
) -> Explanation:
    """Explain the trained networks of a run on its first test examples; see `Run.explain`."""
    for name, value in (("examples", examples), ("seeds", seeds)):
        if value < 1:
            raise ConfigError(f"{name}: found {value}; expected 1 or more")
    wanted, measures = explaining.parts_of("attribution", methods), explaining.parts_of("attribution_metric", metrics)
    kept = list(parameters.every(run.path, run.summary, arm=arm))
    if seeds > len(kept):
        raise ConfigError(f"seeds: found {seeds}, but the run keeps {len(kept)}; set study.keep (train.seeds) higher")
    first, _ = load_model(run, arm, kept[0], config=config)
    given = explaining.examples_of(first.data, examples, masks)
    notes: list[str] = []
    reasons: list[str] = []  # why attributions do not fit
    if given.mask is None:
        asking = [name for name, one in measures.items() if explaining.trait("attribution_metric", one, "needs_mask")]
        if asking and metrics is not None:
            raise ConfigError(
                f"metrics.{asking[0]}: nobody said where the evidence lies; give masks [N, ...] of the test part"
            )
        measures = {name: one for name, one in measures.items() if name not in asking}
        notes += [f"{name} is left out: the data set does not say where the evidence lies" for name in asking]
    found: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in wanted}
    programs: dict[tuple[str, str], Any] = {}  # seeds of a search may have slopes of their own
    for seed in kept[:seeds]:
        model, params = load_model(run, arm, seed, config=config, data=first.data)
        for name in list(found):
            key = (name, repr([model.config.get(part) for part in ("model", "weights")]))
            try:
                if key not in programs:
                    programs[key] = explaining.explainer(model.config, model.data, wanted[name], measures)
                found[name].append(programs[key](params, model.state, given, seed))
            except ConfigError as error:
                if methods is not None or found[name]:
                    raise
                reasons.append(str(error).removeprefix(f"{name}: "))
                notes.append(f"{name} is left out: {reasons[-1]}")
                del found[name]
    if not found:  # one line for each reason, which most methods share
        raise ConfigError(*dict.fromkeys(reasons))
    return Explanation(_dataset(found, given, kept[:seeds]), tuple(measures), tuple(notes), first.data.class_names)


def _dataset(found: dict[str, list[dict[str, np.ndarray]]], given: explaining.Examples, seeds: list[int]) -> xr.Dataset:
    stacked = lambda name: np.stack([[one[name] for one in rows] for rows in found.values()])
    maps = stacked("maps")  # [attribution, seed, example, ...]
    channels = given.inputs.ndim > 2
    maps = maps.sum(axis=-1) if channels else maps
    names = POSITIONS.get(maps.ndim - 3) or tuple(f"axis_{k}" for k in range(maps.ndim - 3))
    variables: dict[str, Any] = {
        "maps": (("attribution", "seed", "example", *names), maps),
        "input": (("example", *names, *(("channel",) * channels)), given.inputs),
        "answer": (("seed", "example"), stacked("answer")[0]),
    }
    variables |= {"label": (("example",), given.labels)} if given.labels is not None else {}
    variables |= {"mask": (("example", *names), given.mask)} if given.mask is not None else {}
    own = ("maps", "answer")
    variables |= {
        n: (("attribution", "seed", "example"), stacked(n)) for n in next(iter(found.values()))[0] if n not in own
    }
    return xr.Dataset(variables, {"attribution": list(found), "seed": seeds, "example": np.arange(len(given.inputs))})
