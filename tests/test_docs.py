"""What the documents show, done: Python blocks run, configs resolve, commands parse, links lead somewhere.

The Python blocks of a page share one namespace and run in order, as a reader would type them, in an empty directory.
The notebooks are run where the site is built (`make docs`).
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import itertools
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import deepprinciples as dp
from deepprinciples import config as configs
from deepprinciples.cli.main import app
from deepprinciples.learners import TABLES
from deepprinciples.learners.assembly.from_config import KINDS
from deepprinciples.parts.models.adapters import coerce
from deepprinciples.results.finished_run import Run
from deepprinciples.study import range_test

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
WRITTEN = [  # by hand, for the site; docs/tasks_of_your_own.md is run by test_afternoon.py
    "README.md",
    *(
        str(path.relative_to(ROOT))
        for pattern in ("*.md", "howto/*.md", "concepts/*.md", "reference/*.md", "notebooks/*.md")
        for path in sorted(DOCS.glob(pattern))
    ),
]
TEXTS = [*WRITTEN, "CONTRIBUTING.md", "CHANGELOG.md"]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    """Take the fenced blocks of one language out of a document."""
    return re.findall(rf"^```{language}\n(.*?)^```", read(name), re.DOTALL | re.MULTILINE)


RUN = [name for name in WRITTEN if blocks(name, "python") and "tasks_of_your_own" not in name]


def commands() -> list[list[str]]:
    """Gather the commands of the documents; those of CONTRIBUTING.md are about a part that is not there yet."""
    names = [name for name in TEXTS if name != "CONTRIBUTING.md"]
    lines = [line for name in names for block in blocks(name, "sh") for line in block.splitlines()]
    for name in names:
        lines += re.findall(r"`(deepprinciples [^`\n]+)`", read(name))
    found = [shlex.split(line) for line in lines if line.startswith("deepprinciples ")]
    return [list(words) for words in dict.fromkeys(map(tuple, found))]


def do(name: str, folder: Path) -> dict[str, Any]:
    """Run the Python blocks of a page; returns what they leave behind, and the runs that they made."""
    space: dict[str, Any] = {"folder": folder, "__name__": "reader", "runs": []}
    for number, block in enumerate(blocks(name, "python")):
        before = space.get("run")
        exec(compile(block, f"{name}, Python block {number}", "exec", dont_inherit=True), space)
        if space.get("run") is not before:
            space["runs"].append((space["run"].path, space["run"].summary))
    return space


@pytest.fixture(scope="module")
def spaces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Run a page once, when a test first asks for it: spaces(name) is what its blocks leave behind."""
    found: dict[str, dict[str, Any]] = {}

    def ask(name: str) -> dict[str, Any]:
        if name not in found:
            folder = tmp_path_factory.mktemp("reader")
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(folder)
                found[name] = do(name, folder)
        return found[name]

    strict = jax.config.jax_numpy_rank_promotion
    jax.config.update("jax_numpy_rank_promotion", "allow")  # a reader's code may do as it likes
    own = dict(TABLES["probe"])
    yield ask
    TABLES["probe"].clear()  # type: ignore[attr-defined]
    TABLES["probe"].update(own)  # type: ignore[attr-defined]
    jax.config.update("jax_numpy_rank_promotion", strict)


@pytest.mark.parametrize("name", RUN)
def test_python_blocks_run(name: str, spaces: Any) -> None:
    """Lost: a reader's first try. What is shown must also learn: each arm is well above a constant answer."""
    for path, summary in spaces(name)["runs"]:
        assert summary["metric"] == "accuracy"
        for row in summary["arms"]:
            assert row["diverged"] == 0
            assert row["mean"] > row["constant"] + 0.2, (path, row["name"], row["mean"], row["constant"])


def test_every_kind_of_model_is_the_one_that_was_run(spaces: Any) -> None:
    """Lost: an example that silently trains another model, or trick, than the one that it shows."""
    shown = {
        "docs/howto/own_model.md": ("linen_net", "nnx_net", "equinox_net", "batch_normalized", "linear"),
        "docs/howto/own_trick.md": ("halve", "brier", "shorter"),
    }
    for name, factories in shown.items():
        runs = spaces(name)["runs"]
        for factory in factories:
            assert sum(f"<function {factory}>" in summary["config_toml"] for _, summary in runs) == 1, factory


def test_the_first_example_has_a_verdict(spaces: Any) -> None:
    """Lost: a first comparison with a p-value; six seeds are enough for it."""
    assert spaces("README.md")["runs"][0][1]["comparisons"][0]["p"] is not None


def test_breaking_the_pairs_loses_the_verdict(spaces: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Lost: the page on pairing says what its own numbers do not."""
    do("docs/concepts/pairing.md", tmp_path)
    first, second = [line for line in capsys.readouterr().out.splitlines() if "On accuracy" in line]
    assert "mine" in first and "better" in first and "no evidence" in second


def test_a_probe_of_ones_own_is_recorded(spaces: Any) -> None:
    """Lost: the measurement that a reader adds, by layer; `--plugin` adds to the same table."""
    assert TABLES["probe"] is dp.parts.probes.TABLE
    space = spaces("docs/howto/own_probe.md")
    found = dp.load(space["folder"] / space["run"].path).results.large_weight
    assert found.dims == ("arm", "seed", "step", "layer") and bool((found > 0).all())


def test_a_linen_sequential_is_a_model() -> None:
    """Lost: the shortest model there is in Linen; its call takes any keyword and hands it on to layers that do not."""
    model = coerce(nn.Sequential([nn.Dense(4), nn.tanh, nn.Dense(3)]))
    x = np.zeros((2, 5), np.float32)
    params, state = model.init(jax.random.key(0), x)
    assert model.apply(params, state, x, key=jax.random.key(1), train=True)[0].shape == (2, 3)


@pytest.mark.parametrize("name", ["docs/howto/own_model.md", "docs/howto/own_trick.md"])
def test_blocks_of_a_reader_are_short(name: str) -> None:
    """Lost: the promise that a part of one's own takes a handful of lines."""
    for block in blocks(name, "python"):
        assert sum(bool(line.strip()) for line in block.splitlines()) < 15


def test_the_reference_names_every_key_of_the_summary(spaces: Any) -> None:
    """Lost: the schema that a user's scripts rely on."""
    section = read("docs/reference/results.md").split("## summary.json")[1].split("\n## ")[0]
    named = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    arms, comparisons = (
        set(re.findall(r"`(\w+)`", line)) - {kind}
        for kind in ("arms", "comparisons")
        for line in section.split("\n\n")
        if line.startswith(f"A row of `{kind}`")
    )
    _, summary = spaces("README.md")["runs"][0]
    assert set(summary) == named
    assert set(summary["arms"][0]) == arms and set(summary["comparisons"][0]) == comparisons


def test_the_reference_names_every_file_of_a_run(spaces: Any) -> None:
    """Lost: what is in a run directory."""
    cells = [line.split("|")[1] for line in read("docs/reference/run_directory.md").splitlines() if line[:3] == "| `"]
    found = {
        file
        for page in ("README.md", "docs/howto/own_trick.md")
        for path, _ in spaces(page)["runs"]
        for file in (spaces(page)["folder"] / path).iterdir()
    }
    names = {file.name + "/" * file.is_dir() for file in found if file.name[0] != "."}
    assert names == set(re.findall(r"`([\w./]+)`", " ".join(cells)))


def test_the_reference_reads_a_run(spaces: Any) -> None:
    """Lost: the way from a run directory to a table or a plot of one's own."""
    space = spaces("docs/reference/results.md")
    assert isinstance(space["run"], Run) and space["first_layer"].dims == ("seed", "step")
    streamed = next(summary for path, summary in spaces("docs/howto/own_data.md")["runs"] if "stream" in str(path))
    assert "not standardized" in "\n".join(streamed["warnings"])


def test_the_api_page_has_every_public_name() -> None:
    """Lost: a name of `dp` that no page describes."""
    page = read("docs/reference/api.md")
    modules = {"anomaly", "detection", "driving", "speech", "stats", "style", "theory", "errors", "parts", "types"}
    for name in dp.__all__:
        wanted = f"`dp.{name}`" if name in modules - {"errors"} else f"deepprinciples.{name}\n"
        assert wanted in page + "\n", name


def extension(name: str) -> ModuleType:
    """Load a module of the site's build."""
    spec = importlib.util.spec_from_file_location(name, DOCS / "_ext" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_gallery_has_every_experiment() -> None:
    """Lost: an experiment that no page of the site shows, or one without what varies and how long it takes."""
    gallery = extension("experiment_gallery")
    _, found = gallery.sections(read("docs/findings.md"))
    named = [script for section in found for script in section.scripts]
    assert sorted(named) == sorted(path.stem for path in (ROOT / "experiments").glob("*.py"))
    for section in found:
        for script in section.scripts:
            assert {"Looks at", "Time on 2 cores"} <= set(gallery.facts(script)), script
            page = gallery.page(section, script, "")
            assert f"../../experiments/{script}.py" in page and section.text[:60] in page


def test_the_gallery_draws_the_numbers_of_a_table() -> None:
    """Lost: a picture that shows other numbers than the table beside it."""
    gallery = extension("experiment_gallery")
    table = (
        "| arm | bits a byte | interval | p |\n|---|---|---|---|\n| one | **1,250.5** | [1,250, 1,251] | 0.1 |\n"
        "| two | -3e-2 | −0.05 to 0.01 | |\n| broken | ? | [1, 2] | |\n"
    )
    assert gallery.scores(f"Text.\n\n{table}") == (
        "bits a byte",
        [("one", 1250.5, 1250.0, 1251.0), ("two", -0.03, -0.05, 0.01)],
    )
    assert gallery.scores("| comparison | difference | interval |\n|---|---|---|\n| a - b | 1 | [0, 2] |\n") == ("", [])


def test_labels_of_a_card_do_not_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: the scale of a picture in the gallery, whose labels cover each other or leave the card."""
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    concepts, gallery, figures = importlib.import_module("concept_figures"), extension("experiment_gallery"), []
    both = concepts.both

    @contextlib.contextmanager
    def kept(*args: Any) -> Iterator[Any]:
        with both(*args) as pages:
            figures.extend(figure for figure, _ in pages[:1])
            yield pages

    monkeypatch.setattr(concepts, "both", kept)
    exploded = [("one", 0.002, 0.001, 0.003), ("two", 0.0039, 0.0, 0.01), ("three", 1.6e16, 0.0, 5.1e16)]
    named = [("a name as long as that of an arm can be", 0.1, -0.3, 0.2), ("short", 0.15, 0.1, 0.2)]
    for rows in (exploded, named):
        gallery.draw(rows, "difference", tmp_path / "card")
        figure = figures.pop()
        figure.draw_without_rendering()
        axes, card = figure.axes[0], figure.bbox
        low, high = axes.get_xlim()
        boxes = [one.get_window_extent() for one in axes.get_xticklabels() if low <= one.get_position()[0] <= high]
        assert len(boxes) > 1 and all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))
        under = figure.findobj(lambda one: getattr(one, "get_text", str)().startswith("difference"))[0]
        assert card.x0 <= under.get_window_extent().x0 and under.get_window_extent().x1 <= card.x1


def test_docstrings_are_shown_as_they_are_written() -> None:
    """Lost: formulas on the page of the API, whose stars and bars reStructuredText takes for marks."""
    plain = extension("plain_docstrings")
    text = (
        "Do it.\n\ng' = g * |a_k|\n\nArgs:\n  **rest: of `x_`. *Sweepable.*\n  b: long\n    |x|.\n\nExample:\n    f(*a)"
    )
    assert list(plain.rst(text)) == [
        "Do it.",
        "::\n\n   g' = g * |a_k|",
        "**Args**",
        r"- **\*\*rest**: of \ ``x_``\ . *Sweepable.*",
        r"- **b**: long \|x\|.",
        ".. code-block:: python\n\n   f(*a)",
    ]


CONFIGS = [(name, number) for name in TEXTS for number in range(len(blocks(name, "toml")))]


@pytest.mark.parametrize(("name", "number"), CONFIGS)
def test_configs_resolve(name: str, number: int) -> None:
    """Lost: a config that is copied from the page and refused. A fragment is laid over the tutorial's whole config."""
    whole = configs.load(ROOT / "src/deepprinciples/cli/starter.toml")
    shown = tomllib.loads(blocks(name, "toml")[number])
    whole = {} if "learner" in shown else whole  # another learner has sections of its own
    config = {**whole, **shown, "study": shown.get("study", {}), "arms": shown.get("arms", {"one": {}, "other": {}})}
    resolved = configs.resolve(config, KINDS, command="compare")
    assert configs.resolve(resolved, KINDS, command="compare") == resolved


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_commands_parse(words: list[str]) -> None:
    """Lost: a command that is copied from the page and refused. What is quick is run, what trains is resolved."""
    group = typer.main.get_command(app)
    assert words[1] in group.commands  # type: ignore[attr-defined]
    if len(words) == 2 and words[1] not in ("list", "doctor"):
        return  # a mention
    command = group.commands[words[1]]  # type: ignore[attr-defined]
    parsed = command.make_context(words[1], list(words[2:]), parent=typer.Context(group)).params
    if words[1] in ("compare", "train", "lr-find") and str(parsed["config"]) not in ("CONFIG", "plays.toml"):
        path = ROOT / (
            "src/deepprinciples/cli/starter.toml" if str(parsed["config"]) == "comparison.toml" else parsed["config"]
        )
        given = configs.override(configs.load(path), parsed["changes"] or [])
        if words[1] == "lr-find":
            range_test.rising(given, **{key: parsed[key] for key in ("low", "high", "steps", "seeds")})
        else:
            configs.resolve(given, KINDS, command=words[1])
    elif words[1] in ("list", "show"):
        assert CliRunner().invoke(app, words[1:]).exit_code == 0


def test_the_demo_is_what_make_runs() -> None:
    """Lost: `make demo` and the table shown beside it belong to different configs."""
    makefile, readme = ((ROOT / name).read_text(encoding="utf-8") for name in ("Makefile", "README.md"))
    assert "deepprinciples compare configs/vanishing_gradients.toml --name demo" in makefile and "runs/demo-1" in readme
    config = configs.load(ROOT / "configs/vanishing_gradients.toml")
    table = blocks("README.md", "text")[0]
    assert table.splitlines()[0] == config["title"]
    arms = re.findall(r"^ (\w+) +0\.\d+ ", table, re.MULTILINE)
    assert arms == list(config["arms"])
    study = config["study"]
    lanes = len(arms) * study["searches"] * (study["trials"] + study["seeds"])
    assert f"{lanes} training runs" in readme and f"0 of {study['searches'] * study['seeds']}" in table


def anchors(name: str) -> set[str]:
    """Return what a link into a page may name: its headings, as the site and others make anchors of them."""
    headings = [line.lstrip("# ") for line in read(name).splitlines() if line[:1] == "#"]
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name: str) -> None:
    """Lost: the next page. The gallery is made where the site is built."""
    for target in re.findall(r"\]\(([^)]+)\)", read(name)):
        if "://" in target or target.startswith(("gallery/", "../figures/")):
            continue
        path, _, anchor = target.partition("#")
        page = (ROOT / name).parent.joinpath(path) if path else ROOT / name
        assert page.exists(), target
        if anchor:
            assert anchor in anchors(str(page.resolve().relative_to(ROOT))), target


def test_every_page_is_in_the_contents() -> None:
    """Lost: a page that no reader finds."""
    listed = {line.strip() for line in read("docs/index.md").splitlines()}
    pages = {name.removeprefix("docs/").removesuffix(".md") for name in WRITTEN[1:]} - {"index", "findings"}
    assert {page for page in pages if not page.startswith("benchmarks-")} <= listed  # docs/benchmarks.md leads to these


def test_parts_named_in_the_documents_exist() -> None:
    """Lost: a name that a reader tries in vain."""
    text = "".join(map(read, WRITTEN))
    for kind, name in re.findall(r"deepprinciples show ([a-z]+) ([a-z_]+)", text):
        assert name in {**TABLES.get(kind, {}), **TABLES.get(kind + "s", {})}
