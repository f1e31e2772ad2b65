"""A finished run as a script and a notebook use it: results, tables, figures and trained models of a run directory.

What lies in the directory and how it is checked is in `runs.directory`. No jax: a run is opened at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

from deepprinciples.errors import ConfigError, IntegrityError
from deepprinciples.runs import directory

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from deepprinciples.report.figures.plots import Plots
    from deepprinciples.results.explanation import Explanation
    from deepprinciples.results.generation import Generated
    from deepprinciples.results.trained_model import TrainedModel


class Run(NamedTuple):
    """A finished run.

    Attributes:
        path: its directory.
        summary: arms, comparisons, verdicts and warnings, the dict of summary.json.
        manifest: versions, machine and hashes.
        config: the text of config.toml.
        given: the resolved config with the functions and arrays that it was given, where this process made the run.

    Example:
        run = dp.compare(config)
        print(run)
        run.to_dataframe().groupby("arm").accuracy.mean()
        run.plot.curves().savefig("curves.png")
    """

    path: Path
    summary: dict[str, Any]
    manifest: dict[str, Any]
    config: str
    given: Mapping[str, Any] | None = None

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}): {self.summary.get('headline', '')}"

    @property
    def results(self) -> xr.Dataset:
        """Everything that was measured, by name: a copy of results.nc, which is read again whenever it changed."""
        return directory.results(self.path, self.manifest)

    def report(self, path: Path | str | None = None, *, figures: bool = False) -> Path:
        """Write the report as one HTML file; returns its path.

        Args:
            path: the file; None writes the report.html of the run directory again.
            figures: write each figure as .svg and .png too, into the folder figures/ beside the file.
        """
        from deepprinciples.report import page

        path = self.path / "report.html" if path is None else path
        return page.write(path, self.results, self.summary, self.manifest, figures=figures)

    def to_dataframe(self) -> pd.DataFrame:
        """Return the test scores as a tidy table: one row for each arm and seed.

        Returns:
            Columns `arm`, `seed`, `block`, the metric by its name, `loss`, `diverged_at` (-1: never), `diverged_by`,
            further metrics, and by its path each setting that a search chose (NaN where an arm does not tune it).

        Example:
            table = dp.compare(config).to_dataframe()
            table[table.diverged_at < 0].groupby("arm").loss.median()
        """
        found = self.results
        names = {"score": found.attrs.get("metric", "score"), "test_loss": "loss"}
        wanted = [name for name, one in found.data_vars.items() if one.dims == ("arm", "seed")]
        table = found[wanted].to_dataframe().reset_index().rename(columns=names)
        chosen = {row["name"]: dict(enumerate(row.get("chosen") or [])) for row in self.summary.get("arms", [])}
        points = [chosen.get(row.arm, {}).get(getattr(row, "block", -1), {}) for row in table.itertuples()]
        for path in dict.fromkeys(path for point in points for path in point):
            table[path] = [point.get(path, float("nan")) for point in points]
        first = [name for name in ("arm", "seed", "block", *names.values()) if name in table]
        return table[first + [name for name in table if name not in first]]

    def trials(self) -> pd.DataFrame:
        """Return all runs of the searches as a tidy table: one row for each arm, search, trial and tuning seed.

        Returns:
            Columns `arm`, `search`, `trial`, `replicate`, `score` on the validation split, `diverged_at` (-1: never),
            `chosen`, with `study.pruning` the `share` of the steps that it had, and by its path each setting that was
            tried; no rows where nothing was tuned.

        Example:
            tried = dp.compare(config).trials()
            tried[tried.diverged_at >= 0]
        """
        import pandas as pd

        found = self.results
        if "tuning_score" not in found:
            return pd.DataFrame(columns=["arm", "search", "trial", "replicate", "score", "diverged_at", "chosen"])
        pruned = ["tuning_share"] if "tuning_share" in found else []
        table = found[["tuning_score", "tuning_diverged_at", "chosen_trial", *pruned]].to_dataframe().reset_index()
        points = found.tuning_point.to_dataset("parameter").to_dataframe().reset_index()
        table = table.merge(points, how="left", on=["arm", "search", "trial"])
        table = table[table[list(found.parameter.values)].notna().any(axis=1)].reset_index(drop=True)
        table["chosen"] = table.trial == table.chosen_trial
        names = {"tuning_score": "score", "tuning_diverged_at": "diverged_at", "tuning_share": "share"}
        table = table.rename(columns=names).drop(columns=["chosen_trial", "tuning_seed"])
        first = ["arm", "search", "trial", "replicate", "score", "diverged_at", "chosen"]
        return table[first + [name for name in table if name not in first]]

    @overload
    def table(self, form: Literal["pandas"]) -> pd.DataFrame: ...

    @overload
    def table(self, form: str = "markdown") -> str: ...

    def table(self, form: str = "markdown") -> str | pd.DataFrame:
        """Return the verdicts as a table for a paper, a page or a spreadsheet.

        A row for each comparison, of its first arm with the second; arms that are the first of none come before.

        Args:
            form: "markdown"; "latex", which needs the package booktabs; "csv" and "pandas", with whole numbers instead
                of rounded ones.

        Returns:
            Text, or a pandas table of the columns `arm`, `runs`, `diverged`, `mean`, `low`, `high`, `against`,
            `difference`, `difference_low`, `difference_high`, `p_adjusted` and `verdict`.

        Raises:
            ConfigError: the form is not known, or it is neither a run of `compare` nor one of `train`.

        Example:
            print(dp.compare(config).table("latex"))
        """
        from deepprinciples.report import verdict_tables

        if form not in verdict_tables.FORMS:
            raise ConfigError(f"form: found {form!r}, expected one of {', '.join(verdict_tables.FORMS)}")
        if (kind := self.summary.get("kind")) not in ("compare", "train"):
            raise ConfigError(f"{self.path}: is a run of {kind}, which has no verdict to tabulate")
        return verdict_tables.FORMS[form](self.summary)

    @property
    def plot(self) -> Plots:
        """The figures of the report: `run.plot.curves()`, and the others by the names that `dir(run.plot)` lists."""
        from deepprinciples.report.figures.plots import Plots

        return Plots(self.results, self.summary)

    def model(self, arm: str = "", seed: int = 0, *, player: str = "") -> tuple[TrainedModel, Any]:
        """Return a trained model and its parameters; see `dp.load_model`.

        Args:
            arm: of a comparison with `study.keep`; a run of `train` has none.
            seed: one of the seeds kept.
            player: of a GAN, "generator" (the default) or "discriminator"; of a policy gradient, "actor" or "critic".

        Returns:
            (model, params), for `model.predict(params, inputs)`.

        Example:
            model, params = dp.train(config).model(seed=0)
            outputs = model.predict(params, model.data.test.inputs)
        """
        from deepprinciples.results.trained_model import load_model

        return load_model(self, arm, seed, player=player)

    def explain(
        self,
        methods: Any = None,
        *,
        examples: int = 8,
        arm: str = "",
        seeds: int = 1,
        metrics: Any = None,
        masks: Any = None,
        config: Mapping[str, Any] | None = None,
    ) -> Explanation:
        """Explain the trained networks on the first test examples: saliency maps, and what these are worth.

        The output of an example's label is explained; without labels, the network's answer.

        Args:
            methods: attributions: a name, a list of names and factories, or a table of sections by name such as
                {"fine": {"name": "occlusion", "size": 2}}; by default every one that fits the network.
            examples: how many.
            arm: of a comparison with `study.keep`; a run of `train` has none.
            seeds: how many of the seeds kept, the first ones.
            metrics: attribution metrics, given like `methods`; () for none.
            masks: [N, ...] of the test part, true where the evidence lies; by default what the data set says.
            config: see `dp.load_model`.

        Returns:
            `Explanation`: its `results`, `to_dataframe()`, `scores(metric)` for `dp.judge`, and `write(folder)`.

        Raises:
            ConfigError: no trained networks of this arm are kept, or an attribution does not fit the network.

        Example:
            found = dp.train(config).explain(["gradient", "integrated_gradients"], examples=4)
            found.write("maps")
            found.to_dataframe().groupby("attribution").deletion.mean()
        """
        from deepprinciples.results.explanation import explain

        given: dict[str, Any] = {"examples": examples, "arm": arm, "seeds": seeds, "metrics": metrics}
        return explain(self, methods, **given, masks=masks, config=config)

    def generate(
        self,
        prompt: str = "",
        *,
        length: int = 200,
        count: int = 1,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        beam: int = 0,
        key: int = 0,
        arm: str = "",
        seed: int = 0,
        config: Mapping[str, Any] | None = None,
    ) -> Generated:
        """Let a trained language model write text.

        Each token is drawn from softmax(scores / temperature), among those that `top_k` and `top_p` leave. A model of
        pairs, such as one that translates, writes the target of a source.

        Args:
            prompt: what the text begins with; "" begins a line. Of a model of pairs, the source.
            length: tokens to add. Beyond the training windows the model reads the later half of its positions anew; a
                target ends before, and is never longer than those of training.
            count: how many texts.
            temperature: 0 takes the likeliest token; 1 draws as the model says.
            top_k: only the k likeliest tokens count; 0 for all.
            top_p: only the likeliest tokens that together have this probability count; 1 for all.
            beam: search for the likeliest texts, keeping so many at every token, instead of drawing; 0 draws.
            key: of the draws; the same key gives the same texts.
            arm: of a comparison with `study.keep`; a run of `train` has none.
            seed: one of the seeds kept.
            config: see `dp.load_model`.

        Returns:
            `Generated`: its `texts`, and the `ids` of the new tokens.

        Raises:
            ConfigError: the model writes no text, or the prompt holds what it was not trained on.

        References:
            arXiv:1805.04833 (top_k), arXiv:1904.09751 (top_p).

        Example:
            from pathlib import Path

            Path("lines.txt").write_text("to be or not to be, " * 100)
            text = {"data": {"name": "text", "path": "lines.txt", "length": 16}, "study": {"metric": "bits_per_byte"}}
            print(dp.train({**config, **text, "model": "transformer"}).generate("to ", length=40))
        """
        from deepprinciples.results.generation import generate

        return generate(
            self, prompt, length=length, count=count, temperature=temperature, top_k=top_k, top_p=top_p, beam=beam,
            key=key, arm=arm, seed=seed, config=config,
        )  # fmt: skip

    def _repr_html_(self) -> str:
        from deepprinciples.report import notebook

        return notebook.render(self.results, self.summary)


def write(path: Path, config: str, found: xr.Dataset, summary: Mapping[str, Any], **facts: Any) -> Run:
    """Write the files that make a run directory whole, the report last, and open it.

    Args:
        path: the directory; a log and parameters that lie in it already are named in the manifest.
        config: the text of config.toml.
        found: the results.
        summary: the dict of summary.json.
        facts: of the manifest, beside versions and machine.
    """
    from deepprinciples.report import page  # drawing is slow to import, and a bad config needs none
    from deepprinciples.runs import arrays, files

    files.write_text(path / directory.CONFIG, config)
    arrays.save_dataset(found, path / directory.RESULTS)
    files.write_json(path / directory.SUMMARY, summary)
    manifest = directory.manifest(**facts, files=directory.file_hashes(path))
    files.write_json(path / directory.MANIFEST, manifest)
    page.write(path / "report.html", found, summary, manifest)
    return load(path)


def load(run_dir: Path | str) -> Run:
    """Open a run directory; runs no code and checks the hashes that its manifest names.

    Args:
        run_dir: the directory of a finished run, wherever it was moved.

    Returns:
        The run.

    Raises:
        IntegrityError: it is no run directory, a file is missing or changed, or a later version wrote it.

    Example:
        run = dp.load("runs/first")
        print(run.summary["headline"])
    """
    return Run(*directory.load(run_dir))


def config_of(run: Run, arm: str = "") -> dict[str, Any]:
    """Return the config of an arm of a run, with what its searches chose from left as it is.

    It is not read by `config.load`, since functions or arrays may have been given from Python, and may not be here.

    Args:
        run: a run.
        arm: one of its arms; "" or an arm without changes for the config as it is.

    Raises:
        IntegrityError: config.toml is damaged.
    """
    import tomllib

    from deepprinciples import config as configs

    try:
        config = tomllib.loads(run.config)
        edits = config.get("arms", {}).get(arm, {})
        return configs.changes(config, {path: value for path, value in edits.items() if path != "tune"})
    except (tomllib.TOMLDecodeError, RecursionError):
        raise IntegrityError(f"{run.path / directory.CONFIG}: not TOML; the file is damaged") from None
