"""Cards: what `list` and `show` tell a user must be what the signature and docstring say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

import pytest

from deepprinciples.cli import catalogue, part_cards
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


def test_a_card_tells_all_a_config_needs() -> None:
    """What it does, formula, each hyper-parameter with type, default and marks, reference."""
    assert part_cards.card(TABLES, "model", "mlp") == (
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
    text = part_cards.card(TABLES, "transform", "clip")
    assert "  s max_norm: number = 1.0  (neutral inf; in (0, inf])\n      largest norm." in text
    assert "  together, and a long line is prose that goes on in the next.\n      indented stays\n" in text
    assert "Sweepable" not in text and max(map(len, text.splitlines())) <= 80


def test_lists_fit_a_terminal() -> None:
    """80 columns, one part a line, the plural of a kind understood."""
    assert part_cards.list_parts(TABLES).startswith("model: bare, mlp\ntransforms: clip\nloss: -\n")
    assert part_cards.list_parts(TABLES, "models") == "bare  -\nmlp   Stack dense layers."
    assert max(map(len, part_cards.list_parts(TABLES, "transforms").splitlines())) <= 80
    assert part_cards.card(TABLES, "model", "bare") == "bare (model)\n\n-"


def test_unknown_names_are_mended() -> None:
    """The same words as for a config."""
    kinds = "model, transforms, loss"
    with pytest.raises(ConfigError, match='^no kind "modle"; did you mean "model"\\? \\(kinds: ' + kinds):
        part_cards.list_parts(TABLES, "modle")
    with pytest.raises(ConfigError, match='^show: no transform "clp"; did you mean "clip"\\? \\(transforms: clip\\)$'):
        part_cards.card(TABLES, "transforms", "clp")


def test_the_pages_are_those_of_the_parts(tmp_path):
    """Lost: a page that tells of a part as it was, or of one that is gone. Mended by: make catalogue"""
    folder = tmp_path / "pages"
    folder.mkdir()
    (folder / "mine.md").write_text("x")
    for _ in range(2):  # in a process of its own: parts that another test added are not ours
        command = [sys.executable, "-m", "deepprinciples.cli.catalogue", str(folder)]
        subprocess.run(command, check=True, capture_output=True)
        (folder / "model" / "gone.md").write_text("x")
    (folder / "model" / "gone.md").unlink()
    kept = Path(__file__).parents[2] / "docs" / "catalogue"
    expected, found = ({str(one.relative_to(at)): one.read_text() for one in at.rglob("*.md")} for at in (folder, kept))
    assert len(expected) > 150 and sorted(found) == sorted(expected)
    assert [path for path in expected if found[path] != expected[path]] == []
