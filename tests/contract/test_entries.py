"""What a card says under "What to expect" and "What it costs": it is there and short, and what can be counted holds."""

from __future__ import annotations

import inspect
import re

import jax
import jax.numpy as jnp

from deepprinciples.cli.part_cards import parsed
from deepprinciples.learners import TABLES

KINDS = (
    "transforms", "gradient", "weight_averaging", "probe",
    "optimizer", "schedule", "augment", "regularizers", "penalties", "initializer",
    "gan_loss", "loss", "activation", "model", "generator", "weights",
)  # fmt: skip
# Read while tests are collected: what other tests add to the tables is not ours.
CARDS = {(kind, name): parsed(factory) for kind in KINDS for name, factory in TABLES[kind].items()}
KEYWORDS = {key for kind in KINDS for factory in TABLES[kind].values() for key in inspect.signature(factory).parameters}
NAMES = {name for table in TABLES.values() for name in table}
LONGEST = 300


def test_every_part_says_what_to_expect_and_what_it_costs() -> None:
    """Lost: a card that tells how to set a part, and not what setting it should do, nor at what price."""
    entries = ("Expect", "Costs")
    said = {(*part, name): " ".join(card[name].split()) for part, card in CARDS.items() for name in entries}
    assert [place for place, words in said.items() if not words] == []
    assert [place for place, words in said.items() if len(words) > LONGEST or not words.endswith(".")] == []


def test_names_in_an_expectation_are_there() -> None:
    """Lost: a reader looks for a probe or a part that does not exist."""
    word = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+")
    measured = {found for probe in TABLES["probe"].values() for found in word.findall(inspect.getdoc(probe) or "")}
    for part, card in CARDS.items():
        known = measured | NAMES | KEYWORDS | {"fan_in"} | set(word.findall(card["body"]))
        assert set(word.findall(card["Expect"] + card["Costs"])) <= known, part


def test_rules_cost_what_is_counted() -> None:
    """Lost: a comparison at equal cost, planned by the card, is not one."""
    for name, factory in TABLES["gradient"].items():
        words = {1: "One gradient evaluation a step", 2: "Two gradient evaluations a step"}[factory.evaluations]
        assert CARDS["gradient", name]["Costs"].startswith(words), name


def test_optimizers_keep_as_many_copies_as_they_say() -> None:
    """Lost: how many lanes fit into memory, reckoned by the card."""
    shapes = {f"axes_{len(shape)}": jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((100, 100), (100,))}
    size = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))
    counts = ("No copy", "One copy", "Two copies", "Three copies", "Four copies", "Five copies")
    for name, factory in TABLES["optimizer"].items():
        card = CARDS["optimizer", name]["Costs"]
        if "n x n" in card:  # matrices beside the copies
            continue
        kept = size(jax.eval_shape(factory().init, shapes)) / size(shapes)
        assert card.startswith(counts[round(kept)]) and abs(kept - round(kept)) < 0.05, (name, kept)
