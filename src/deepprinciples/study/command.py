"""What a user calls: compare and train, from a config to a run directory. The command line calls the same functions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import xarray as xr

from deepprinciples import config as configs
from deepprinciples.engine.population import use_all_cores
from deepprinciples.errors import ConfigError
from deepprinciples.parts.tables import WORST
from deepprinciples.runs import arrays, directory, files
from deepprinciples.study import bench, build, protocol, results
from deepprinciples.study.settings import Study, Train, shape_problems

MOST_LANES = 1_000_000


def compare(
    config: Mapping[str, Any] | str | Path,
    out: str | Path | None = None,
    *,
    name: str = "",
    progress: protocol.Progress | None = None,
    command: str = "",
) -> directory.Run:
    """Compare the arms of a config: tune each with the same budget, judge them on fresh seeds, write a run directory.

    Args:
        config: a dictionary, or the path of a TOML or JSON file.
        out: the run directory; by default runs/<name>-<number>. Never overwritten.
        name: stem of the default directory; by default the file's or the title's.
        progress: hears how far the study is.
        command: what the user typed, for the report.

    Returns:
        The finished run: `.summary`, `.results` (an xarray.Dataset), `.report(path)`.

    Raises:
        ConfigError: with every problem of the config. DataError: the data cannot be used. Nothing is written then.
    """
    return _study("compare", config, out, name, progress, command)


def train(
    config: Mapping[str, Any] | str | Path,
    out: str | Path | None = None,
    *,
    name: str = "",
    progress: protocol.Progress | None = None,
    command: str = "",
) -> directory.Run:
    """Train one method on `train.seeds` seeds with the machinery of `compare`; arms of the config are left out.

    The final parameters of every seed are written too, as parameters.safetensors.

    Args:
        config: a dictionary, or the path of a TOML or JSON file.
        out: the run directory; by default runs/<name>-<number>. Never overwritten.
        name: stem of the default directory.
        progress: hears how far the run is.
        command: what the user typed, for the report.

    Returns:
        The finished run.

    Raises:
        ConfigError, DataError: as for `compare`.
    """
    return _study("train", config, out, name, progress, command)


def _study(
    kind: Literal["compare", "train"],
    config: Mapping[str, Any] | str | Path,
    out: str | Path | None,
    name: str,
    progress: protocol.Progress | None,
    command: str,
) -> directory.Run:
    use_all_cores()
    given: Mapping[str, Any] = config if isinstance(config, Mapping) else configs.load(config)
    if kind == "train":
        given = {key: value for key, value in given.items() if key != "arms"}
    resolved = configs.resolve(given, build.KINDS, command=kind)
    directory.check_free(out)
    arms = configs.arm_configs(resolved, build.KINDS) if kind == "compare" else {"run": resolved}
    tune = configs.tuned(resolved, build.KINDS) if kind == "compare" else {}
    study, settings = Study(**resolved["study"]), Train(**resolved["train"])
    if problems := shape_problems(settings.shapes):
        raise ConfigError(*problems)
    if study.baseline and study.baseline not in arms:
        raise ConfigError(f"study.baseline: no arm {study.baseline!r} (arms: {', '.join(arms)})")
    lanes = len(arms) * (study.trials * study.tuning_seeds * (1 + study.extend) + study.seeds)
    if kind == "compare" and lanes > MOST_LANES:
        raise ConfigError(
            f"study: asks for {lanes:,} lanes, arms x (trials x tuning_seeds + seeds); expected at most "
            f"{MOST_LANES:,}; lower study.trials or study.seeds"
        )
    data = bench.datasets(arms)
    bench.check(arms, data, prefixed=kind == "compare")
    stem = name or resolved.get("title") or ("" if isinstance(config, Mapping) else Path(config).stem) or kind
    path = directory.create(out, stem)
    files.write_text(path / directory.CONFIG, configs.dumps(resolved))
    finished = protocol.run_study(
        arms, data, tune, progress=progress or protocol.Progress(), keep_states=kind == "train"
    )
    metric, higher = build.metric_name(resolved), build.higher_is_better(resolved)
    found = results.dataset(finished, metric=metric, higher_is_better=higher, title=resolved.get("title", "") or stem)
    summary = results.summary(
        finished,
        found,
        study=study,
        steps=settings.steps,
        bound=WORST.get(metric),
        kind=kind,
        changes={
            arm: {k: v for k, v in edits.items() if k != "tune"} for arm, edits in resolved.get("arms", {}).items()
        },
        notes=[*dict.fromkeys(note for one in data.values() for note in one.notes), *_same_arms(arms, tune)],
    )
    shapes = {row["arms"][0]: row["shape"] for row in finished.programs if row["measured"]}
    if shapes:  # a repeat takes the shapes that were measured
        resolved = {**resolved, "train": {**resolved["train"], "shapes": shapes}}
        files.write_text(path / directory.CONFIG, configs.dumps(resolved))
    summary |= {"command": command or f"dp.{kind}(config)", "config_toml": configs.dumps(resolved)}
    return _write(path, summary, found, finished)


def _same_arms(arms: Mapping[str, Mapping[str, Any]], tune: Mapping[str, Any]) -> list[str]:
    names = list(arms)
    pairs = [(names[i], names[j]) for j in range(len(names)) for i in range(j)]
    return [
        f"{a} and {b} are the same method under two names"
        for a, b in pairs
        if configs.dumps(arms[a]) == configs.dumps(arms[b]) and tune.get(a) == tune.get(b)
    ]


def _write(path: Path, summary: dict[str, Any], found: xr.Dataset, finished: protocol.Finished) -> directory.Run:
    from deepprinciples.report import page, plots  # drawing is slow to import, and a bad config needs none

    arrays.save_dataset(found, path / directory.RESULTS)
    files.write_json(path / directory.SUMMARY, summary)
    files.append_jsonl(path / "metrics.jsonl", metric_rows(found))
    states = {arm: outcome.states for arm, outcome in finished.outcomes.items() if outcome.states is not None}
    if states:
        kept = {f"seed-{seed}": _seed_of(states["run"].params, k) for k, seed in enumerate(finished.seeds)}
        arrays.save_arrays(kept, path / "parameters.safetensors")
    manifest = directory.manifest(
        device=f"{len(jax.devices())} x {jax.devices()[0].device_kind}",
        backend=jax.default_backend(),
        x64=jnp.zeros(()).dtype == "float64",
        seeds=finished.seeds,
        tuning_seeds=finished.tuning_seeds,
        programs=finished.programs,
        files=directory.file_hashes(path),
    )
    files.write_json(path / directory.MANIFEST, manifest)
    page.write(path / "report.html", found, summary, manifest)
    plots.save_all(found, summary, path / "figures")
    return directory.load(path)


def _seed_of(params: Any, index: int) -> dict[str, Any]:
    named = jax.tree_util.tree_flatten_with_path(params)[0]
    table: dict[str, Any] = {}
    for path, leaf in named:
        *parents, last = [
            str(getattr(e, "key", getattr(e, "idx", getattr(e, "name", e)))).replace("/", ".") for e in path
        ] or ["params"]
        here = table
        for key in parents:
            here = here.setdefault(key, {})
        here[last] = leaf[index]
    return table


def metric_rows(found: xr.Dataset) -> list[dict[str, Any]]:
    """List the validation curve of every reporting lane as rows: arm, seed, step, metric, loss."""
    metric = found.attrs["metric"]
    rows: list[dict[str, Any]] = []
    for a, arm in enumerate(found.arm.values):
        for s, seed in enumerate(found.seed.values):
            for e, step in enumerate(found.eval_step.values):
                rows.append(
                    {
                        "sequence": len(rows),
                        "arm": str(arm),
                        "seed": int(seed),
                        "step": int(step),
                        f"validation_{metric}": float(found.validation.values[a, s, e]),
                        "validation_loss": float(found.validation_loss.values[a, s, e]),
                    }
                )
    return rows
