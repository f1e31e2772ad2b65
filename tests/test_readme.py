"""What the documents show, done: Python blocks run, configs resolve, commands parse, links lead somewhere.

The blocks of a document share one namespace and run in order, as a reader would type them, in an empty directory.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from deepprinciples import config as configs
from deepprinciples.cli.main import app
from deepprinciples.learners import TABLES
from deepprinciples.learners.from_config import KINDS
from deepprinciples.parts.models.adapters import coerce
from deepprinciples.results.finished_run import Run
from deepprinciples.study import range_test

ROOT = Path(__file__).parents[1]
RUN = ["README.md", "docs/guide.md"]
TEXTS = sorted(
    {*RUN, "CONTRIBUTING.md", "CHANGELOG.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))}
)


def blocks(name: str, language: str) -> list[str]:
    """Take the fenced blocks of one language out of a document."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands() -> list[list[str]]:
    """Gather the commands of the documents; those of CONTRIBUTING.md are about a part that is not there yet."""
    names = [name for name in TEXTS if name != "CONTRIBUTING.md"]
    lines = [line for name in names for block in blocks(name, "sh") for line in block.splitlines()]
    for name in names:
        lines += re.findall(r"`(deepprinciples [^`\n]+)`", (ROOT / name).read_text(encoding="utf-8"))
    found = [shlex.split(line) for line in lines if line.startswith("deepprinciples ")]
    return [list(words) for words in dict.fromkeys(map(tuple, found))]


@pytest.fixture(scope="module")
def spaces(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What every document's Python blocks leave behind."""
    found = {}
    strict = jax.config.jax_numpy_rank_promotion
    jax.config.update("jax_numpy_rank_promotion", "allow")  # a reader's code may do as it likes
    with pytest.MonkeyPatch.context() as patch:
        for name in RUN:
            room = tmp_path_factory.mktemp("reader")
            patch.chdir(room)
            space: dict[str, Any] = {"room": room, "__name__": "reader"}
            for number, block in enumerate(blocks(name, "python")):
                code = compile(block, f"{name}, Python block {number}", "exec", dont_inherit=True)
                exec(code, space)
                run = space["run"]
                space.setdefault("runs", []).append((run.path, run.summary))
            found[name] = space
    jax.config.update("jax_numpy_rank_promotion", strict)
    return found


def test_python_blocks_run(spaces: dict[str, dict[str, Any]]) -> None:
    """Lost: a stranger's first five minutes."""
    runs = spaces["README.md"]["runs"]
    assert len(runs) == len(blocks("README.md", "python")) == 8
    assert len({summary["config_toml"] for _, summary in runs}) == 8
    assert all(row["diverged"] == 0 for _, summary in runs for row in summary["arms"])
    for name in ("halve", "brier", "linen_net", "nnx_net", "equinox_net", "linear"):
        assert sum(f"<function {name}>" in summary["config_toml"] for _, summary in runs) == 1, name
    assert runs[0][1]["comparisons"][0]["p"] is not None  # six seeds are enough for the README's own first verdict


@pytest.mark.parametrize("name", RUN)
def test_what_is_shown_learns(name: str, spaces: dict[str, dict[str, Any]]) -> None:
    """Lost: an example that a reader can build on. Each must be well above a constant answer."""
    for path, summary in spaces[name]["runs"]:
        assert summary["metric"] == "accuracy"
        for row in summary["arms"]:
            assert row["mean"] > row["constant"] + 0.2, (path, row["name"], row["mean"], row["constant"])


def test_a_linen_sequential_is_a_model() -> None:
    """Lost: the shortest model there is in Linen; its call takes any keyword and hands it on to layers that do not."""
    model = coerce(nn.Sequential([nn.Dense(4), nn.tanh, nn.Dense(3)]))
    x = np.zeros((2, 5), np.float32)
    params, state = model.init(jax.random.key(0), x)
    assert model.apply(params, state, x, key=jax.random.key(1), train=True)[0].shape == (2, 3)


def test_blocks_of_a_stranger_are_short() -> None:
    """Lost: the promise that a part of one's own takes a handful of lines."""
    for block in blocks("README.md", "python")[1:]:
        assert sum(bool(line.strip()) for line in block.splitlines()) < 15


def test_the_guide_names_every_key_of_the_summary(spaces: dict[str, dict[str, Any]]) -> None:
    """Lost: the schema that a user's scripts rely on."""
    text = (ROOT / "docs/guide.md").read_text(encoding="utf-8")
    section = text.split("## summary.json")[1].split("\n## ")[0]
    told = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    arms, comparisons = (
        set(re.findall(r"`(\w+)`", line)) - {kind}
        for kind in ("arms", "comparisons")
        for line in section.split("\n\n")
        if line.startswith(f"A row of `{kind}`")
    )
    _, summary = spaces["README.md"]["runs"][0]
    assert set(summary) == told
    assert set(summary["arms"][0]) == arms and set(summary["comparisons"][0]) == comparisons


def test_the_guide_names_every_file_of_a_run(spaces: dict[str, dict[str, Any]]) -> None:
    """Lost: what is in a run directory."""
    text = (ROOT / "docs/guide.md").read_text(encoding="utf-8").split("## The run directory")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    space = spaces["README.md"]
    found = {file for path, _ in space["runs"][:3] for file in (space["room"] / path).iterdir()}
    names = {file.name + "/" * file.is_dir() for file in found if file.name[0] != "."}
    assert names == set(re.findall(r"`([\w./]+)`", " ".join(cells)))


def test_the_guide_reads_a_run(spaces: dict[str, dict[str, Any]]) -> None:
    """Lost: the way from a run directory to a table or a plot of one's own."""
    space = spaces["docs/guide.md"]
    assert isinstance(space["run"], Run) and space["first_layer"].dims == ("seed", "step")
    streamed = next(summary for path, summary in space["runs"] if "stream" in str(path))
    assert "not standardized" in "\n".join(streamed["warnings"])


CONFIGS = [(name, number) for name in TEXTS for number in range(len(blocks(name, "toml")))]


@pytest.mark.parametrize(("name", "number"), CONFIGS)
def test_configs_resolve(name: str, number: int) -> None:
    """Lost: a config that is copied from the page and refused. A fragment is laid over the README's whole config."""
    whole = tomllib.loads(blocks("README.md", "toml")[0])
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
    if words[1] in ("compare", "train", "lr-find") and str(parsed["config"]) != "CONFIG":
        given = configs.override(configs.load(ROOT / parsed["config"]), parsed["changes"] or [])
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


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name: str) -> None:
    """Lost: the next page."""
    text = (ROOT / name).read_text(encoding="utf-8")
    headings = {
        re.sub(r"[^\w -]", "", line.lstrip("# ")).lower().replace(" ", "-")
        for line in text.splitlines()
        if line[:1] == "#"
    }
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings, target
        elif "://" not in target:
            assert (ROOT / name).parent.joinpath(target).exists(), target


def test_parts_named_in_the_documents_exist() -> None:
    """Lost: a name that a reader tries in vain."""
    text = (ROOT / "docs/guide.md").read_text(encoding="utf-8") + (ROOT / "README.md").read_text(encoding="utf-8")
    for kind, name in re.findall(r"deepprinciples show (\w+) (\w+)", text):
        assert name in {**TABLES.get(kind, {}), **TABLES.get(kind + "s", {})}
