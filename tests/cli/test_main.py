"""The command line: quick to answer, plain in a pipe, one line and an exit code for every error.

All tests share one comparison and one training run at toy size; what starts a process of its own imports no JAX.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import typer
from typer.testing import CliRunner

from deepprinciples.cli.main import app
from deepprinciples.errors import ConfigError
from deepprinciples.learners import OURS, TABLES
from deepprinciples.results.finished_run import load
from deepprinciples.runs.directory import file_hashes

CONFIG = """
title = "A toy"
[data]
name = "wine"
batch_size = 16
[model]
name = "mlp"
depth = 1
width = 4
[loss]
name = "softmax_cross_entropy"
[optimizer]
name = "sgd"
learning_rate = 0.1
[train]
steps = 50
probes = ["gradient_norm"]
[study]
seeds = 2
[arms.plain]
[arms.fast]
"optimizer.learning_rate" = 0.2
"""
PARTS = """
import jax
import optax


def halve(*, factor: float = 0.5):
    return optax.stateless(lambda updates, params: jax.tree.map(lambda g: factor * g, updates))


TABLES = {"transforms": {"halve": halve}}
"""
FILES = {
    "config.toml",
    "manifest.json",
    "status.json",
    "summary.json",
    "results.nc",
    "metrics.jsonl",
    "report.html",
    "checkpoints",
}


class Result(NamedTuple):
    code: int
    out: str
    err: str


def command(*words: str) -> Result:
    result = CliRunner().invoke(app, list(words))
    return Result(result.exit_code, result.stdout, result.stderr)


def process(*words: str, code: str = "") -> Result:
    """Run in a fresh process: the command line, or a line of Python."""
    start = ["-c", code] if code else ["-m", "deepprinciples"]
    done = subprocess.run([sys.executable, *start, *words], capture_output=True, text=True, check=False, timeout=60)
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with a config and a file of parts; the module works inside it."""
    path = tmp_path_factory.mktemp("cli")
    (path / "toy.toml").write_text(CONFIG)
    (path / "parts.py").write_text(PARTS)
    before = Path.cwd()
    os.chdir(path)
    yield path
    os.chdir(before)


@pytest.fixture(scope="module")
def compared(folder: Path) -> Result:
    """The toy, compared with overrides, under a name."""
    return command("compare", "toy.toml", "train.steps=6", "model.activation=tanh", "--name", "demo")


@pytest.fixture(scope="module")
def trained(folder: Path) -> Iterator[Result]:
    """The toy, trained with a part from a file, at a place of its own."""
    tables = {kind: dict(table) for kind, table in TABLES.items()}
    words = (
        "train.steps=6",
        "train.seeds=2",
        "transforms.halve.factor=0.25",
        "--plugin",
        "parts.py",
        "--out",
        "mine/first",
    )
    yield command("train", "toy.toml", *words)
    for kind, table in tables.items():
        for name in set(TABLES[kind]) - set(table):
            del TABLES[kind][name]  # type: ignore[attr-defined]


def test_help_comes_at_once() -> None:
    """Lost: the answer to --help waits for JAX."""
    used = []
    for _ in range(3):  # the processor's time: that of the clock is the neighbors' too
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        helped = process("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert helped.code == 0 and min(used) < 0.3, used
    for name, made in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        assert f"\n  {name} " in helped.out, f"{name} stands under no heading"
        assert made.help.partition("\n")[0].split()[-1] in helped.out, f"{name}: its line is cut"


def test_help_and_slips_import_nothing_heavy() -> None:
    """Lost: the same, a little later. A typo of the command line is found before JAX is there, too."""
    code = """
import sys
from deepprinciples.cli.main import app
try:
    app(sys.argv[1:])
except SystemExit as end:
    print(end.code, [name for name in ("jax", "numpy", "flax", "xarray", "matplotlib") if name in sys.modules])
"""
    assert process("compare", "--help", code=code).out.endswith("0 []\n")
    assert process("compare", "none.toml", code=code).out == "2 []\n"


OPENINGS: dict[str, tuple[str, ...]] = {  # the first line of a command, and its words
    "toy.toml: comparing 2 arms, 25 steps each": ("compare", "toy.toml", "train.steps=25"),
    "toy.toml: comparing 1 arm, 25 steps each": ("compare", "toy.toml", "train.steps=25", "--arm", "fast"),
    "toy.toml: training 1 seed, 1000 steps each": ("train", "short.toml"),
    "toy.toml: looking for learning rates, 7 seeds, 60 steps each":
        ("lr-find", "toy.toml", "--steps", "60", "--seeds", "7"),
    "runs/x: resuming": ("resume", "runs/x"),
    "runs/x: adding seeds, 9 in all": ("add-seeds", "runs/x", "--seeds", "9"),
    "runs/x: running plain/3 again": ("replay", "runs/x", "plain/3"),
    "runs/x: measuring the trained weights": ("probe", "runs/x"),
    "runs/x: explaining 8 examples": ("explain", "runs/x"),
    "runs/x: writing the report": ("report", "runs/x"),
    "": ("generate", "runs/x"),  # its output is the text
}  # fmt: skip
UNTIL_HEAVY = """
import os, sys
class Guard:
    def find_spec(self, name, path=None, target=None):
        if name in ("jax", "xarray", "pandas", "matplotlib"):
            sys.stdout.flush()
            os._exit(7)
sys.meta_path.insert(0, Guard())
from deepprinciples.cli.main import main
main()
"""


@pytest.mark.parametrize("line", OPENINGS)
@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
def test_a_command_speaks_before_jax_is_loaded(line: str, terminal: bool, folder: Path) -> None:
    """Lost: seconds of silence after Enter, in which nobody knows whether the command has begun."""
    (folder / "short.toml").write_text(CONFIG.partition("[train]")[0])
    start = [sys.executable, "-c", UNTIL_HEAVY, *OPENINGS[line]]
    code = (
        4 if OPENINGS[line][0] in ("explain", "generate", "report") else 7
    )  # that there is no such run is seen without JAX
    if not terminal:
        done = subprocess.run(start, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stderr.count("\n")) == (code, code == 4)
        assert done.stdout.replace("short.toml", "toy.toml") == (f"{line}\n" if line else "")
        return
    ours, its = os.openpty()
    done = subprocess.run(start, stdin=its, stdout=its, stderr=its, check=False, timeout=60)
    os.close(its)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert done.returncode == code and line in shown.replace("short.toml", "toy.toml") and "  0% " in shown


def test_the_machine_is_described_before_jax_is_loaded() -> None:
    """Lost: the same silence, just where something is wrong with JAX."""
    found = process("doctor", code=UNTIL_HEAVY)
    assert [line.split(":")[0] for line in found.out.splitlines()] == ["versions", "machine"] and found.code == 7


def test_the_plan_of_a_study_is_printed_alone(folder: Path) -> None:
    """Lost: a plan that another program can read."""
    out = command("compare", "toy.toml", "--plan").out
    assert out.startswith("2 arms in ") and "comparing" not in out


def test_the_version_and_short_options() -> None:
    """Lost: what every command line answers."""
    assert command("--version").out.split()[0] == "deepprinciples"
    assert command("-h").out == command("--help").out
    assert "-o, --out" in command("train", "-h").out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("show", "adam"), "adam (optimizer)"),
        (("show", "Adm"), 'show: no part "Adm"; did you mean "adam"?'),
        (("show", "mlp"), '"mlp" is a part of 2 kinds; give the kind too: deepprinciples show model mlp or'),
        (("show", "a", "b", "c"), "found 3 words, expected a name or a kind and a name"),
    ],
)
def test_a_part_is_found_by_its_name_alone(words: tuple[str, ...], expected: str) -> None:
    """Lost: the card of a part whose kind the user does not know."""
    found = command(*words)
    assert expected in found.out + found.err
    assert found.code == (0 if words == ("show", "adam") else 2)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("lr=0.1", 'lr: unknown key; did you mean "optimizer.learning_rate"?'),
        ("steps=4", 'steps: unknown key; did you mean "train.steps"?'),
        ("epochs=3", 'epochs: unknown key; did you mean "train.steps"?'),
        ("seeds=3", 'seeds: unknown key; did you mean "study.seeds"?'),
        ("optimizer.lr=1", 'optimizer.lr: unknown key; did you mean "learning_rate"?'),
        ("model.activation=Relu", 'no activation "Relu"; did you mean "relu"?'),
        ("study.metric=acc", 'no metric "acc"; did you mean "accuracy"?'),
        ("model=MLP", 'no model "MLP"; did you mean "mlp"?'),
    ],
)
def test_what_people_write_leads_to_the_name(folder: Path, change: str, expected: str) -> None:
    """Lost: the first five minutes, for whoever comes from another library."""
    found = command("compare", "toy.toml", "--plan", change)
    assert (found.code, expected in found.err) == (2, True), found.err


def test_some_of_the_arms(folder: Path) -> None:
    """Lost: an arm can only be left out by editing the file."""
    assert "2 arms" in command("compare", "toy.toml", "--plan", "-a", "plain", "-a", "fast").out
    wrong = command("compare", "toy.toml", "-a", "fats")
    assert (wrong.code, wrong.err) == (2, 'error: --arm: no arm "fats"; did you mean "fast"? (arms: plain, fast)\n')


def test_a_config_to_start_from(folder: Path) -> None:
    """Lost: a beginning without copying from a page. What is there is not overwritten."""
    assert "deepprinciples compare first.toml" in command("init", "first.toml").out
    assert "2 arms in 1 program: plain, clipped" in command("compare", "first.toml", "--plan").out
    again = command("init", "first.toml")
    assert again.code == 2 and "first.toml: is there already" in again.err


def test_runs_are_listed_and_opened(folder: Path, compared: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: which runs there are, what came of them, and their pages."""
    (line,) = [line for line in command("runs").out.splitlines() if "demo-1" in line]
    assert line.startswith("finished ") and "On accuracy" in line
    assert "is no folder" in command("runs", "nowhere").err
    opened: list[str] = []
    monkeypatch.setattr(typer, "launch", opened.append)
    assert command("open", "runs/demo-1").code == 0 and opened[0].endswith("runs/demo-1/report.html")
    assert command("open", "nowhere").code == 2
    done = command("resume", "runs/demo-1")
    assert done.code == 0 and "runs/demo-1 is finished: there is nothing to resume" in done.out + done.err


def test_compare_writes_a_run_directory(folder: Path, compared: Result) -> None:
    """Lost: the whole command, its overrides, or the name a user gave."""
    assert compared.code == 0, compared.err
    run = load("runs/demo-1")
    assert {path.name for path in run.path.iterdir() if path.name[0] != "."} == FILES
    assert run.summary["kind"] == "compare" and [row["name"] for row in run.summary["arms"]] == ["plain", "fast"]
    assert run.summary["command"] == "deepprinciples compare toy.toml train.steps=6 model.activation=tanh"
    assert run.summary["protocol"]["steps"] == 6 and 'activation = { name = "tanh" }' in run.config
    assert compared.out.startswith("toy.toml: comparing 2 arms, 6 steps each\n")
    assert run.summary["headline"] in compared.out
    assert compared.out.splitlines()[-1] == f"Report: {Path('runs/demo-1/report.html')}"


def test_output_in_a_pipe_is_plain(compared: Result) -> None:
    """Lost: a log file full of escape sequences and bars."""
    assert compared.err == ""
    assert all(character.isprintable() or character == "\n" for character in compared.out)
    table = compared.out[compared.out.index("Arms") : compared.out.index("Comparisons")]
    assert max(map(len, table.splitlines())) <= 80
    assert "100%" in compared.out


def test_train_keeps_parameters_and_takes_parts_from_a_file(folder: Path, trained: Result) -> None:
    """Lost: --out, --plugin, the trained parameters, or the command that repeats the run."""
    from safetensors.numpy import load_file

    assert trained.code == 0, trained.err
    run = load("mine/first")
    assert run.summary["kind"] == "train" and "arms" not in run.summary["config_toml"]
    assert 'halve = { name = "halve", factor = 0.25 }' in run.config
    assert run.summary["command"].endswith("transforms.halve.factor=0.25 --plugin parts.py")
    weights = load_file(run.path / "parameters.safetensors")
    assert {name.split("/")[0] for name in weights} == {"seed-0", "seed-1"}


def test_nothing_is_overwritten(folder: Path, trained: Result) -> None:
    """Lost: yesterday's results."""
    before = {path: path.read_bytes() for path in Path("mine/first").rglob("*") if path.is_file()}
    code, out, err = command("compare", "toy.toml", "--out", "mine/first")
    assert (code, out) == (2, "toy.toml: comparing 2 arms, 50 steps each\n")
    assert err == (f"error: {Path('mine/first')}: holds files already and nothing is overwritten; give a new directory "
                   "to --out\n")  # fmt: skip
    assert before == {path: path.read_bytes() for path in Path("mine/first").rglob("*") if path.is_file()}


def test_report_writes_the_same_bytes_again(folder: Path, compared: Result) -> None:
    """Lost: a report that cannot be made again, or that changes when it is."""
    run = Path("runs/demo-1")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    (run / "report.html").unlink()
    again = command("report", str(run))
    assert again.code == 0 and again.err == ""
    assert again.out.splitlines()[-1] == f"Report: {run / 'report.html'}" and "Comparisons" in again.out
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert before.keys() == after.keys()
    assert [path.name for path in before if before[path] != after[path]] == []


def test_figures_are_written_when_asked(folder: Path, compared: Result) -> None:
    """Lost: the figures as files for a paper; or seconds of every run for files that nobody asked for."""
    folder = Path("runs/demo-1/figures")
    assert not folder.exists()
    done = command("report", "runs/demo-1", "--figures")
    assert (done.code, done.err) == (0, "")
    names = {path.name for path in folder.iterdir()}
    shutil.rmtree(folder)
    assert {"forest.svg", "forest.png", "validation.svg"} <= names and len(names) % 2 == 0


def test_report_of_what_is_no_whole_run(folder: Path, compared: Result, tmp_path: Path) -> None:
    """Lost: a report of numbers that somebody changed."""
    assert command("report", "nowhere") == (
        4,
        "nowhere: writing the report\n",
        "error: nowhere: no such directory; expected the directory of a finished run\n",
    )
    copied = tmp_path / "copied"
    copied.mkdir()
    for name in ("config.toml", "manifest.json", "summary.json", "results.nc"):
        (copied / name).write_bytes(Path("runs/demo-1", name).read_bytes())
    summary = json.loads((copied / "summary.json").read_text())
    summary["headline"] = "mine is better"
    (copied / "summary.json").write_text(json.dumps(summary))
    code, out, err = command("report", str(copied))
    assert (code, out) == (4, f"{copied}: writing the report\n")
    assert err.startswith(f"error: {copied / 'summary.json'}: was changed after the run")
    assert file_hashes(copied)["summary.json"] != file_hashes(Path("runs/demo-1"))["summary.json"]


def test_list_and_show() -> None:
    """Lost: how a user finds out what there is to name."""
    everything = command("list")
    assert everything.code == 0
    assert [kind for kind in TABLES if f"{kind}: " not in everything.out] == []
    ours = [name for table in TABLES.values() for name, one in table.items() if one in OURS]
    assert len(ours) > 150 and [name for name in ours if name not in everything.out] == []
    models = command("list", "model")
    named = [line.split()[0] for line in models.out.splitlines() if line[0] != " "]
    assert models.code == 0 and named == sorted(TABLES["model"])
    shown = command("show", "transform", "clip_by_global_norm")
    assert shown.code == 0 and "s max_norm: number = 1.0  (neutral inf; in (0, inf])" in shown.out
    assert max(map(len, (everything.out + models.out + shown.out).splitlines())) <= 80


def test_list_and_show_of_what_is_not_there() -> None:
    """Lost: a way from a slip to the right word."""
    code, out, err = command("list", "modle")
    assert (code, out) == (2, "") and err.startswith(
        'error: no kind "modle"; did you mean "model"? (kinds: data, model, '
    )
    code, out, err = command("show", "model", "mpl")
    assert (code, out) == (2, "") and err == (
        'error: show: no model "mpl"; did you mean "mlp"? (models: ' + ", ".join(sorted(TABLES["model"])) + ")\n"
    )


def test_doctor_tells_the_machine_and_that_it_repeats_itself() -> None:
    """Lost: the first thing to ask for when two machines disagree."""
    code, out, err = command("doctor")
    assert (code, err) == (0, "")
    assert [line.split(":")[0] for line in out.splitlines()] == [
        "versions",
        "machine",
        "devices",
        "environment",
        "cache of compiled programs",
        "determinism",
    ]
    assert "gave the same bits" in out


ERRORS = {
    "config": (
        ["compare", "toy.toml", "train.steps=0"],
        2,
        "train.steps: expected a whole number of at least 1, found 0",
    ),
    "override": (["compare", "toy.toml", "steps"], 2, "steps: expected PATH=VALUE, such as train.steps=100"),
    "data": (["train", "toy.toml", 'data={ name = "csv", path = "none.csv" }'], 3, "none.csv: no such file"),
    "taken by a file": (
        ["train", "toy.toml", "--out", "toy.toml/run"],
        2,
        "toy.toml: is a file, expected a directory; give another one to --out",
    ),
    "no parts": (["compare", "toy.toml", "--plugin", "none.py"], 2, "--plugin none.py: no such Python file"),
    "broken parts": (
        ["compare", "toy.toml", "--plugin", "broken.py"],
        2,
        "--plugin broken.py: ZeroDivisionError: division by zero",
    ),
    "no TABLES": (
        ["compare", "toy.toml", "--plugin", "bare.py"],
        2,
        '--plugin bare.py: expected TABLES = {"transforms": {"mine": mine}}, found none',
    ),
    "TABLES of functions": (
        ["compare", "toy.toml", "--plugin", "flat.py"],
        2,
        "--plugin flat.py: TABLES['transforms']: expected a dict of factories, such as {\"mine\": mine}",
    ),
    "a name that is taken": (
        ["compare", "toy.toml", "--plugin", "taken.py"],
        2,
        "--plugin taken.py: transforms 'sign' exists already; give yours another name",
    ),
    "two at once": (
        ["compare", "toy.toml", "steps", "x="],
        2,
        "steps: expected PATH=VALUE, such as train.steps=100\n"
        "error: x: expected a TOML value such as 0.1, true, [1, 2] or 'text', found \"\"",
    ),
}
SCRIPTS = {
    "broken.py": "1 / 0",
    "bare.py": "",
    "flat.py": "TABLES = {'transforms': print}",
    "taken.py": "TABLES = {'transforms': {'sign': print}}",
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_one_line_and_write_nothing(name: str, folder: Path) -> None:
    """Lost: what to mend, among forty lines of traceback; or a script cannot tell what went wrong."""
    for script, text in SCRIPTS.items():
        (folder / script).write_text(text)
    words, code, message = ERRORS[name]
    before = sorted(folder.rglob("*"))
    found = command(*words)
    assert (found.code, found.err) == (code, f"error: {message}\n")
    assert found.out == "" or (found.out.startswith("toy.toml: ") and found.out.count("\n") == 1)  # what it began with
    assert [path for path in sorted(folder.rglob("*")) if path not in before and "__pycache__" not in str(path)] == []


def test_debug_shows_where() -> None:
    """Lost: the way to the bug, when the line does not tell."""
    result = CliRunner().invoke(app, ["compare", "none.toml", "--debug"])
    assert isinstance(result.exception, ConfigError)
    plain, debug = process("compare", "none.toml"), process("compare", "none.toml", "--debug")
    assert plain == (2, "", "error: none.toml: no such file; expected a config in TOML or JSON\n")
    assert debug.code != 0 and "Traceback" in debug.err and "ConfigError: none.toml" in debug.err


def test_a_slip_of_the_command_line() -> None:
    """Lost: exit code 2 for commands and options that are not there."""
    for words in (["compar"], ["compare"], ["compare", "--outt", "x"]):
        code, out, err = command(*words)
        assert (code, out) == (2, "") and "Traceback" not in err and "compare" in err


def test_lr_find_prints_what_to_paste(folder: Path) -> None:
    """Lost: the command, its options, or the line that goes into a config; and a range test is no study to extend."""
    words = ("lr-find", "toy.toml", "model.activation=tanh", "--steps", "60", "--seeds", "2", "--low", "0.0001")
    code, out, err = command(*words)
    assert (code, err) == (0, ""), err
    run = load("runs/toy-1")
    assert run.summary["command"] == (
        "deepprinciples lr-find toy.toml model.activation=tanh --low 0.0001 --high 10.0 --steps 60 --seeds 2"
    )
    assert {path.name for path in run.path.iterdir() if path.name[0] != "."} == FILES
    assert run.results.sizes["step"] == 60 and run.results.sizes["seed"] == 2
    assert [row["name"] for row in run.summary["rates"]] == ["plain", "fast"]
    assert "are the same method under two names" in out  # they differ in their rate alone
    for row in run.summary["rates"]:
        assert row["low"] < row["steepest"] < row["high"] and f"[arms.{row['name']}]\n{row['tune']}\n" in out
    code, _, err = command("add-seeds", "runs/toy-1", "--seeds", "9")
    assert code == 2 and err.endswith("is a run of lr-find; run it again with more --seeds\n")
    code, _, err = command("lr-find", "toy.toml", "--low", "3", "--high", "1")
    assert code == 2 and err.startswith("error: --low, --high: found 3 and 1;")


def test_show_prints_more(folder: Path, compared: Result) -> None:
    """Lost: a section that was asked for, or the word that it is not there."""
    code, out, err = command("report", "runs/demo-1", "--show", "budget", "--show", "importance")
    assert (code, err) == (0, "")
    assert out.count("nothing was tuned") == 2 and out.splitlines()[-1].startswith("Report: ")
    assert command("report", "runs/demo-1", "--show", "luck").code == 2
