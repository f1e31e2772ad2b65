"""The decorator of an experiment: where a config is found, what is printed, options, and errors in one line."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

import deepprinciples as dp
from deepprinciples import scripts
from deepprinciples.errors import ConfigError, IntegrityError, ResourceError
from deepprinciples.study import commands

CONFIG: dict[str, Any] = {
    "data": {"name": "wine", "batch_size": 16},
    "model": {"name": "mlp", "depth": 1, "width": 4},
    "loss": "softmax_cross_entropy",
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "train": {"steps": 20, "probes": []},
    "study": {"seeds": 2},
    "arms": {"plain": {}, "tanh": {"model.activation": "tanh"}},
}


def lines(run: Any) -> Iterator[str]:
    """Yield what is read out of a run."""
    for row in run.summary["arms"]:
        yield f"{row['name']} has {row['n']} seeds"


def test_a_dictionary_and_a_function_are_an_experiment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: an experiment in a notebook; its lines, its verdict, or where its report is."""
    run = dp.experiment(CONFIG)(lines)("train.steps=5", out=tmp_path / "run")
    printed = capsys.readouterr().out
    assert isinstance(run, dp.Run) and "steps = 5" in run.config
    last = f"plain has 2 seeds\ntanh has 2 seeds\n{run.summary['headline']}\nReport: {run.path / 'report.html'}\n"
    assert printed.endswith(last) and "100%" in printed
    assert lines.__doc__ == dp.experiment(CONFIG)(lines).__doc__ and CONFIG["train"]["steps"] == 20


def test_a_finished_run_is_read_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: the lines of a run that was resumed elsewhere, without another hour of training."""
    main = dp.experiment(CONFIG)(lines)
    run = main(out=tmp_path / "run")
    printed = capsys.readouterr().out
    monkeypatch.setattr(commands, "compare", lambda *given, **more: pytest.fail("it was run again"))
    assert main(str(run.path)).path == run.path
    assert printed.endswith(capsys.readouterr().out)
    with pytest.raises(IntegrityError, match="no such directory"):
        main(str(tmp_path / "none"))


def test_variants_are_a_run_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a question that takes more than one data set."""
    seen: dict[str, Any] = {}

    def main(runs: dict[str, Any]) -> Iterator[str]:
        seen.update(runs)
        yield ", ".join(runs)

    variants = {"short": ["train.steps=5"], "long": ("train.steps=9",)}
    runs = dp.experiment(CONFIG, variants=variants)(main)("model.width=3", out=tmp_path / "run")
    assert runs == seen and list(runs) == ["short", "long"]
    assert [run.path.name for run in runs.values()] == ["run-short", "run-long"]
    for name, steps in (("short", 5), ("long", 9)):
        assert f'title = "{name}"' in runs[name].config and f"steps = {steps}" in runs[name].config
        assert "width = 3" in runs[name].config
    assert "short, long\n" in capsys.readouterr().out


def test_a_slip_is_told_before_anything_runs(tmp_path: Path) -> None:
    """Lost: minutes; the first of several runs would be trained before the override is looked at."""
    with pytest.raises(ConfigError, match="expected PATH=VALUE"):
        dp.experiment(CONFIG, variants={"a": (), "b": ()})(lines)("train.steps=5", "oops", out=tmp_path / "run")
    with pytest.raises(ConfigError, match="missing.toml: no such file"):
        dp.experiment("missing.toml")(lines)("train.steps=5")
    assert list(tmp_path.iterdir()) == []


def against(text: str) -> list[str]:
    return [f"found {text}, expected no x"] if "x" in text else []


@dp.experiment()
def options(
    *,
    steps: Annotated[int, dp.types.Range("[1, 10]")] = 5,
    rate: float = 0.5,
    way: Literal["up", "down"] = "up",
    name: Annotated[str, against] = "",
) -> Any:
    yield f"{steps} {rate} {way} {name!r}"
    return steps


def test_the_keywords_of_a_function_are_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a script that trains no comparison; a text with spaces; or what the function returns."""
    assert options() == 5 and options("steps=7", "rate=1", "way=down", "name=my tall file.png") == 7
    printed = capsys.readouterr().out
    assert printed.startswith("5 0.5 up ''\nTime: 0 s\n7 1.0 down 'my tall file.png'\n")


def test_all_wrong_options_are_told_at_once() -> None:
    """Lost: one mistake after the other."""
    with pytest.raises(ConfigError) as error:
        options("steps=11", "rate=fast", "way=dwn", "name=axe", "seeds=3", "steps", "rate=")
    assert [problem.split("; did")[0] for problem in error.value.problems] == [
        "steps: expected a whole number of at least 1 and at most 10, found 11",
        'rate: expected a number, found the string "fast"',
        'way: expected one of "up", "down", found the string "dwn"',
        "name: found axe, expected no x",
        '"seeds=3": expected NAME=VALUE with a name of steps, rate, way, name',
        '"steps": expected NAME=VALUE with a name of steps, rate, way, name',
        "rate: found nothing after =, expected a value; leave rate out for the default",
    ]


SCRIPT = """
import deepprinciples as dp

@dp.experiment("mine.toml")
def main(run):
    yield f"read from {run.path}"

if __name__ == "__main__":
    main()
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A script in a folder of its own, beside configs/."""
    for folder in ("experiments", "configs"):
        (tmp_path / folder).mkdir()
    path = tmp_path / "experiments" / "mine.py"
    path.write_text(SCRIPT)
    (tmp_path / "configs" / "mine.toml").write_text(dp.config.dumps(CONFIG))
    return path


def run_script(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, path, *arguments], cwd=path.parents[1], capture_output=True, text=True, timeout=300
    )


def test_a_script_takes_its_arguments_from_the_command_line(script: Path) -> None:
    """Lost: the plain way to run an experiment; the command that repeats it, or its default directory."""
    done = run_script(script, "train.steps=5")
    assert done.returncode == 0, done.stderr
    where = re.search(r"^read from (.+)$", done.stdout, re.MULTILINE)
    assert where is not None and where[1] == "runs/mine-1"
    run = dp.load(script.parents[1] / where[1])
    assert run.summary["command"] == "python experiments/mine.py train.steps=5" and "steps = 5" in run.config


@pytest.mark.parametrize(("argument", "code", "said"), [
    ("train.stpes=5", 2, "error: train.stpes: unknown key"),
    ("runs/none", 4, "error: runs/none: no such directory"),
])  # fmt: skip
def test_a_mistake_is_one_line_and_a_code(script: Path, argument: str, code: int, said: str) -> None:
    """Lost: a traceback in place of what to mend."""
    done = run_script(script, argument)
    assert done.returncode == code and done.stderr.startswith(said) and len(done.stderr.splitlines()) == 1


def test_a_lack_of_memory_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a traceback in place of the width to try."""

    def fail() -> None:
        raise ResourceError("half as wide: deepprinciples resume runs/mine-1")

    with pytest.raises(SystemExit) as end:
        scripts._as_program(fail)
    assert end.value.code == 5 and capsys.readouterr().err == "error: half as wide: deepprinciples resume runs/mine-1\n"
