"""The decorator of an experiment: all of a script that is not its question and what it prints.

A script in `experiments/` names a config and says in a few lines what it reads out of the run. What stands here is the
rest: overrides, progress, the run, printing, and errors in one line.
"""

from __future__ import annotations

import functools
import inspect
import shlex
import sys
import time
import typing
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from deepprinciples import config as configs
from deepprinciples.config.schema import convert
from deepprinciples.config.wording import quoted, suggestion
from deepprinciples.errors import ConfigError
from deepprinciples.results.finished_run import Run, load

Main = Callable[..., Iterable[str]]


def load_config(path: str | Path, *overrides: str) -> dict[str, Any]:
    """Read a config from a file, as the command line does.

    Args:
        path: a TOML or JSON file.
        overrides: PATH=VALUE, such as "train.steps=100".

    Returns:
        The config as a dictionary, for `dp.compare` and `dp.train`, which check it.

    Raises:
        ConfigError: the file or an override cannot be read.

    Example:
        config = dp.load_config("mine.toml", "train.steps=10", "model.width=8")
    """
    return configs.override(configs.load(path), overrides)


def experiment(
    config: str | Path | Mapping[str, Any] | None = None, *, variants: Mapping[str, Sequence[str]] | None = None
) -> Callable[[Main], Callable[..., Any]]:
    """Make a script of a function that yields what is to be printed.

    The decorated function takes overrides such as "train.steps=200" and `out`, a run directory. It runs the comparison,
    prints its progress, what the function yields, the verdict and where the report is, and returns the run. Called
    without arguments in a script that Python runs, it takes its overrides from the command line, and an error is one
    line and an exit code. Directories of finished runs in place of overrides print what can be read out of these.

    Args:
        config: the name of a file beside the script or in `configs/` beside its folder, a path, or a dictionary. None
            for a script that runs what it needs by itself: the keywords of the function are then its options,
            NAME=VALUE, checked against their annotations (`Literal`, `Annotated[int, dp.types.Range("[1, inf)")]`; a
            function in `Annotated` returns what speaks against a value).
        variants: name -> overrides, for one comparison each; the function is then given {name: run}.

    Returns:
        A decorator. The function that it was given is `main.__wrapped__`.

    Raises:
        ConfigError: when called, where an override or an option cannot be read, or the config cannot be run.

    Example:
        @dp.experiment(config)
        def main(run):
            for row in run.summary["arms"]:
                yield f"{row['name']}: {dp.stats.with_interval(row)}"

        run = main("train.steps=20", out="runs/mine")
    """

    def decorate(main: Main) -> Callable[..., Any]:
        script = _Script(main, config, dict(variants or {}))

        @functools.wraps(main)
        def run(*changes: str, out: Path | str | None = None) -> Any:
            if changes or out is not None or not script.is_started:
                return script.run(changes, out)
            return _as_program(lambda: script.run(sys.argv[1:], None))

        return run

    return decorate


class _Script(NamedTuple):
    """A decorated function and what it was decorated with."""

    main: Main
    config: str | Path | Mapping[str, Any] | None
    variants: dict[str, Sequence[str]]

    @property
    def file(self) -> Path | None:
        """The file that the function stands in; None in a notebook."""
        found = inspect.unwrap(self.main).__globals__.get("__file__")
        return None if found is None else Path(found).resolve()

    @property
    def is_started(self) -> bool:
        """Whether Python was started with the script, so that its arguments are the script's."""
        return self.main.__module__ == "__main__" and self.file is not None

    def run(self, changes: Sequence[str], out: Path | str | None) -> Any:
        if self.config is None:
            options, begun = _options(self.main, changes), time.monotonic()
            found = _printed(self.main(**options))
            print(f"Time: {time.monotonic() - begun:.0f} s")
            return found
        if changes and not any("=" in change for change in changes):
            return self._read([load(path) for path in changes])
        given = configs.load(self._path(self.config)) if isinstance(self.config, (str, Path)) else dict(self.config)
        configs.override(given, changes, command="compare")  # a mistake is reported before the first of many runs
        named = self.variants or {"": ()}
        return self._read([self._compared(name, given, [*own, *changes], changes, out) for name, own in named.items()])

    def _read(self, runs: list[Run]) -> Any:
        """Print what the function yields of its runs, the verdict of each and where its report is."""
        if len(runs) != max(1, len(self.variants)):
            raise ConfigError(f"found {len(runs)} runs, expected {max(1, len(self.variants))}")
        given: Any = dict(zip(self.variants, runs, strict=True)) if self.variants else runs[0]
        _printed(self.main(given))
        for run in runs:
            print(f"{run.summary['headline']}\nReport: {run.path / 'report.html'}", flush=True)
        return given

    def _compared(
        self,
        name: str,
        given: Mapping[str, Any],
        settings: Sequence[str],
        changes: Sequence[str],
        out: Path | str | None,
    ) -> Run:
        from deepprinciples.report import terminal

        titled = [f"title={name}"] * bool(name)
        asked = configs.override(given, [*titled, *settings], command="compare")
        file = self.file
        stem = "-".join(word for word in (file.stem if file else "", name) if word)
        where = Path(out).with_name(f"{Path(out).name}-{name}") if out is not None and name else out
        said = shlex.join(["python", f"{file.parent.name}/{file.name}", *changes]) if file else ""
        with terminal.Progress(terminal.console()) as bar:
            from deepprinciples.study import commands  # here, so that the bar does not wait for JAX
            from deepprinciples.study.shown_progress import listen

            return commands.compare(asked, where, name=stem, progress=listen(bar), command=said)

    def _path(self, name: str | Path) -> Path:
        """Find a config by its name: beside the script, in configs/ beside its folder, or from here."""
        folders = [] if self.file is None else [self.file.parent, self.file.parents[1] / "configs"]
        return next((path for folder in folders if (path := folder / name).is_file()), Path(name))


def _printed(lines: Iterable[str] | None) -> Any:
    """Print lines as they come; returns what a generator returns."""
    if not isinstance(lines, Generator):
        for line in lines or ():
            print(line, flush=True)
        return None
    while True:
        try:
            print(next(lines), flush=True)
        except StopIteration as end:
            return end.value


def _options(main: Main, settings: Sequence[str]) -> dict[str, Any]:
    """Read NAME=VALUE for the keywords of a function; all problems are raised at once."""
    known, hints = configs.fields(main), typing.get_type_hints(main, include_extras=True)
    found: dict[str, Any] = {}
    problems = []
    for setting in settings:
        name, sign, text = setting.partition("=")
        if not sign or name not in known:
            names = f"{', '.join(known)}{suggestion(name, known)}"
            problems.append(f"{quoted(setting)}: expected NAME=VALUE with a name of {names}")
            continue
        try:
            if not text:
                raise ValueError(f"found nothing after =, expected a value; leave {name} out for the default")
            texts = isinstance(known[name].default, str)  # a file name may hold anything
            found[name] = convert(known[name], text if texts else configs.override({}, [setting])[name])
            for check in filter(inspect.isfunction, getattr(hints[name], "__metadata__", ())):
                problems += [f"{name}: {problem.removeprefix(f'{name}: ')}" for problem in check(found[name])]
        except (ValueError, ConfigError) as error:
            problems.append(f"{name}: {str(error).removeprefix(f'{name}: ')}")
    if problems:
        raise ConfigError(*problems)
    return found


def _as_program(call: Callable[[], Any]) -> Any:
    """Call what a script is; an error ends it with one line and an exit code."""
    import typer

    from deepprinciples.cli.console import one_line_errors

    try:
        with one_line_errors(debug=False):
            return call()
    except typer.Exit as end:
        sys.exit(end.exit_code)
