"""Cards: what `list` and `show` tell a user must be what the signature and docstring say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

import pytest
from typer.testing import CliRunner

from deepprinciples.cli import catalogue, main, part_cards
from deepprinciples.errors import ConfigError
from deepprinciples.types import Activation, Range, Scalar, traits


def mlp(*, depth: Annotated[int, Range("[0, 1000000]")] = 2, activation: Activation | str = "relu",
        skip: Literal["none", "residual"] = "none",
        outputs: int) -> None:  # fmt: skip
    """Stack dense layers.

    h_l = act(W h_(l-1))
        + b

    Args:
        depth: hidden layers.
        activation, skip: what is done between
            two layers.

    Returns:
        Outputs [B, outputs].
    Expect: nothing at depth 0; else a claim that needs more
      than one line.
    Costs: a pass.

    References: arXiv:1234.5678
    """


@traits(neutral={"max_norm": float("inf")})
def clip(*, max_norm: Annotated[Scalar, Range("(0, inf]")] = 1.0) -> None:
    """Shorten a gradient to a largest norm, which is a sentence so long that it does not fit on one line of text.

    g' = g min(1, max_norm / |g|), where the norm is that of all parameters together, and a long line is prose that goes
    on in the next.
        indented stays

    Args:
        max_norm: largest norm. *Sweepable.* *Neutral: inf.*
    """


def bare(**more: object) -> None: ...


TABLES = {"model": {"mlp": mlp, "bare": bare}, "transforms": {"clip": clip}, "loss": {}}
CARDS = part_cards.cards_of(TABLES)


def test_a_card_tells_all_a_config_needs() -> None:
    """What it does, formula, each hyper-parameter with type, default and marks, reference."""
    assert part_cards.card(CARDS, "model", "mlp") == (
        "mlp (model)\n\nStack dense layers.\n\n  h_l = act(W h_(l-1))\n      + b\n\n"
        "Hyper-parameters (s = can be swept):\n"
        "    depth: whole number = 2  (in [0, 1000000])\n      hidden layers.\n"
        '    activation: activation = "relu"\n      what is done between two layers.\n'
        '    skip: none | residual = "none"\n      what is done between two layers.\n'
        "    outputs: whole number required\n\n"
        "Gives:\n  Outputs [B, outputs].\n\n"
        "What to expect:\n  nothing at depth 0; else a claim that needs more than one line.\n\n"
        "What it costs:\n  a pass.\n\nReferences:\n  arXiv:1234.5678"
    )


def test_a_page_tells_what_to_expect_and_what_it_costs() -> None:
    """Lost: which probe should move, and how many gradients a step takes; silence where a part says nothing."""
    pages = dict(catalogue.pages(TABLES))
    assert pages["model/mlp.md"].endswith(
        "**Gives:** Outputs [B, outputs].\n\n"
        "**What to expect:** nothing at depth 0; else a claim that needs more than one line.\n\n"
        "**What it costs:** a pass.\n\n**References:** arXiv:1234.5678\n"
    )
    assert "What " not in pages["transforms/clip.md"]


def test_marks_come_from_the_signature_and_the_traits() -> None:
    """A wrong mark would send a user to sweep what cannot be swept, or to switch off with the wrong value."""
    text = part_cards.card(CARDS, "transform", "clip")
    assert "  s max_norm: number = 1.0  (neutral inf; in (0, inf])\n      largest norm." in text
    assert "  together, and a long line is prose that goes on in the next.\n      indented stays\n" in text
    assert "Sweepable" not in text and max(map(len, text.splitlines())) <= 80


def test_lists_fit_a_terminal() -> None:
    """80 columns, one part a line, the plural of a kind understood."""
    assert part_cards.list_parts(CARDS).startswith("model: bare, mlp\ntransforms: clip\nloss: -\n")
    assert part_cards.list_parts(CARDS, "models") == "bare  -\nmlp   Stack dense layers."
    assert max(map(len, part_cards.list_parts(CARDS, "transforms").splitlines())) <= 80
    assert part_cards.card(CARDS, "model", "bare") == "bare (model)\n\n-"


def test_unknown_names_are_mended() -> None:
    """The same words as for a config."""
    kinds = "model, transforms, loss"
    with pytest.raises(ConfigError, match='^no kind "modle"; did you mean "model"\\? \\(kinds: ' + kinds):
        part_cards.list_parts(CARDS, "modle")
    with pytest.raises(ConfigError, match='^show: no transform "clp"; did you mean "clip"\\? \\(transforms: clip\\)$'):
        part_cards.card(CARDS, "transforms", "clp")


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[Path, dict]:
    """Give the folder of pages and the cards, made twice in a process of its own: parts of other tests are not ours."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "mine.md").write_text("x")
    code = "import sys; from pathlib import Path; from deepprinciples.cli import catalogue; folder = Path(sys.argv[1]);"
    code += "catalogue.write(folder); (folder / 'model' / 'gone.md').write_text('x'); catalogue.write(folder);"
    code += "sys.stdout.buffer.write(catalogue.cards().encode())"
    made = subprocess.run([sys.executable, "-c", code, str(folder)], check=True, capture_output=True)
    return folder, json.loads(made.stdout)


def test_the_pages_are_those_of_the_parts(written):
    """Lost: a page that tells of a part as it was, or of one that is gone. Fix: make catalogue"""
    kept = Path(__file__).parents[2] / "docs" / "catalogue"
    folders = (written[0], kept)
    expected, found = ({str(one.relative_to(at)): one.read_text() for one in at.rglob("*.md")} for at in folders)
    assert len(expected) > 150 and sorted(found) == sorted(expected)
    assert [path for path in expected if found[path] != expected[path]] == []


def test_the_cards_kept_are_those_of_the_parts(written):
    """Lost: `show` tells of a part as it was, or does not know a new one. Fix: make catalogue"""
    expected, found = written[1], json.loads(part_cards.KEPT.read_text(encoding="utf-8"))
    assert list(found) == list(expected) and sum(map(len, expected.values())) > 150
    for kind, table in expected.items():
        assert set(found[kind]) == set(table)
        assert [name for name, card in table.items() if found[kind][name] != card] == []


QUESTIONS = [
    ["list"], ["list", "models"], ["list", "modle"], ["list", ""], ["show", "adam"], ["show", "model", "mlp"],
    ["show", "mlp"], ["show", "mpl"], ["show", "model", "mpl"], ["show", ""],
]  # fmt: skip


@pytest.mark.parametrize("words", QUESTIONS, ids=" ".join)
def test_typer_and_the_short_way_answer_alike(words, monkeypatch, capsys):
    """Lost: two command lines, one of which has other words or another exit code."""
    typed = CliRunner().invoke(main.app, words)
    monkeypatch.setattr(sys, "argv", ["deepprinciples", *words])
    monkeypatch.setattr(main, "app", lambda: pytest.fail("the short way was not taken"))
    code = 0
    try:
        main.main()
    except SystemExit as end:
        code = end.code
    assert (typed.exit_code, typed.stdout, typed.stderr) == (code, *capsys.readouterr())


@pytest.mark.parametrize("words", [[], ["list", "model", "mlp"], ["show"], ["show", "a", "b", "c"], ["show", "--hlep"],
                                   ["list", "-h"], ["list", "--debug"], ["--version"], ["doctor"]])  # fmt: skip
def test_all_else_is_left_to_typer(words, monkeypatch):
    """Lost: the usage of a command, its options and what it says of a word too many."""
    taken = []
    monkeypatch.setattr(sys, "argv", ["deepprinciples", *words])
    monkeypatch.setattr(main, "app", lambda: taken.append(True))
    main.main()
    assert taken == [True]


ASKED = [["list"], ["list", "model"], ["show", "adam"], ["show", "adma"], ["--version"], ["--help"]]


@pytest.mark.parametrize("words", ASKED, ids=" ".join)
def test_answers_about_parts_load_nothing_heavy(words):
    """Lost: seconds of waiting for a line of help. pydantic is loaded by typer, and costs as much as all else."""
    code = """
import sys
from deepprinciples.cli.main import main
try:
    main()
except SystemExit:
    pass
print([one for one in ("jax", "pydantic", "pandas", "xarray", "numpy") if one in sys.modules])
"""
    found = subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True, text=True)
    assert found.stdout.endswith("[]\n") and (len(found.stdout) > 20 or found.stderr), found.stdout
