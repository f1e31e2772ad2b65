"""P7: what a damaged disk gives back is refused, or is to the bit what was written."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small

import deepprinciples as dp
from deepprinciples.errors import IntegrityError
from deepprinciples.runs import arrays, checkpoints, directory, files

FLIPS = (2000, 10_000)


def told_by_checkpoint(folder: Path) -> Any:
    """Return all that a checkpoint says, comparable with ==."""
    found = checkpoints.read(folder / "0-report.safetensors")
    return found.facts, [(name, a.dtype.str, a.shape, a.tobytes()) for name, a in sorted(found.arrays.items())]


def told_by_run(path: Path) -> Any:
    """Give all that a finished run says, comparable with ==."""
    run = dp.load(path)
    found = run.results
    values = {str(name): (v.dims, v.dtype.str, v.values.tolist(), v.attrs) for name, v in found.variables.items()}
    kept = arrays.load_arrays(path / directory.PARAMETERS)["seed-0"]
    rows = list(files.read_jsonl(path / directory.METRICS))
    weights = {name: (array.dtype.str, array.tobytes()) for name, array in kept.items()}
    return run.summary, run.manifest, run.config, repr(values), found.attrs, rows, weights


def damaged(whole: bytes, flips: int, chance: random.Random) -> Iterator[bytes]:
    """Yield a file with one bit flipped, many times; then cut at every byte, with one more, and emptied."""
    for _ in range(flips):
        spoiled = bytearray(whole)
        spoiled[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        yield bytes(spoiled)
    yield from (whole[:length] for length in range(len(whole)))
    yield from (whole + b"\0", b"\0" * len(whole))


def tally(place: Path, names: list[str], told: Callable[[Path], Any], flips: int) -> dict[str, int]:
    """Damage each file in turn and count what came of it."""
    truth, chance = told(place), random.Random(0)
    counts = {"flips": flips * len(names), "cuts": 0, "refused": 0, "read the same": 0, "silently wrong": 0}
    for name in names:
        whole = (place / name).read_bytes()
        counts["cuts"] += len(whole)
        for content in damaged(whole, flips, chance):
            (place / name).write_bytes(content)
            try:
                counts["read the same" if told(place) == truth else "silently wrong"] += 1
            except IntegrityError:
                counts["refused"] += 1
        (place / name).write_bytes(whole)
    assert told(place) == truth
    return counts


def test_a_damaged_checkpoint_never_loads_as_something_else(tmp_path: Path, often: Any, account: Any) -> None:
    """A run would go on from a state that it never had, and give numbers that look like results."""
    place = small.checkpoint(tmp_path)
    counts = tally(place.parent, [place.name], told_by_checkpoint, often(*FLIPS))
    account("P7", of="checkpoint", **counts)
    assert counts["silently wrong"] == 0 and counts["refused"] > counts["flips"]


def test_a_damaged_run_never_opens_as_something_else(tmp_path: Path, often: Any, account: Any) -> None:
    """A flipped bit in a stored score, setting, version or weight would be cited as what was measured."""
    path = small.finished(tmp_path / "run")
    names = ["results.nc", "summary.json", "config.toml", "manifest.json", "metrics.jsonl", "parameters.safetensors"]
    counts = tally(path, names, told_by_run, -(-often(*FLIPS) // len(names)))
    account("P7", of="run directory", **counts)
    assert counts["silently wrong"] == 0 and counts["refused"] > counts["flips"]


def test_results_that_change_after_a_run_was_opened_are_refused(tmp_path: Path) -> None:
    """A notebook that stays open for a week would read another file than the one whose hash was checked."""
    run = dp.load(small.finished(tmp_path / "run"))
    assert run.results.sizes  # what was read stays in memory
    file, kept = run.path / "results.nc", (run.path / "results.nc").stat()
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(file, ns=(kept.st_atime_ns, kept.st_mtime_ns))  # as a copy that keeps times
    with pytest.raises(IntegrityError, match=r"results\.nc: was changed after the run"):
        run.results  # noqa: B018
    (tmp_path / "other").write_bytes(content)
    (tmp_path / "other").replace(file)
    assert run.results.sizes
    file.unlink()
    with pytest.raises(IntegrityError, match=r"results\.nc"):
        run.results  # noqa: B018


def test_a_manifest_of_the_first_version_still_opens(tmp_path: Path) -> None:
    """Runs made before manifests had a seal could not be read any more."""
    path = small.finished(tmp_path / "run")
    told = files.read_json(path / "manifest.json")
    told.pop("sha256")
    files.write_json(path / "manifest.json", told)
    with pytest.raises(IntegrityError, match=r"manifest\.json: was changed after the run"):
        dp.load(path)
    files.write_json(path / "manifest.json", {**told, "schema_version": 1})
    assert np.isfinite(dp.load(path).results["score"]).all()


def test_what_can_be_made_again_may_be_thrown_away(tmp_path: Path) -> None:
    """Who deletes large parameters to save room would lose the whole run."""
    path = small.finished(tmp_path / "run")
    (path / "parameters.safetensors").unlink()
    (path / "metrics.jsonl").unlink()
    assert dp.load(path).summary["headline"] == "even"
