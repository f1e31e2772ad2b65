"""What a card says about the range of a keyword is what a config is held to.

A failure here means: a value that the docs allow is refused, or one that they rule out trains.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

import pytest

from deepprinciples import config as configs
from deepprinciples.cli.part_cards import arguments, parsed
from deepprinciples.config.schema import REQUIRED, convert, fields
from deepprinciples.errors import ConfigError
from deepprinciples.learners import TABLES
from deepprinciples.learners.assembly import from_config
from deepprinciples.types import Count, Range, Scalar, Share

NUMBER = r"(-?[\d.]*\d|-?inf)"
BASE = {
    "data": {"name": "wine", "batch_size": 16},
    "model": {"name": "mlp", "depth": 1, "width": 4},
    "loss": {"name": "softmax_cross_entropy"},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
}


def documented(words: str) -> str:
    """Read the range in the words of a card: "[0, 1)", or with one end left open, "[2, ?"."""
    words = words.replace("2**32", str(2**32))
    for pattern, form in (
        (rf"\bin ([\[(]){NUMBER}, {NUMBER}([\])])", "{}{}, {}{}"),
        (rf"\b{NUMBER} or more\b", "[{}, ?"),
        (rf"\bat least {NUMBER}\b", "[{}, ?"),
        (rf"\b(?:from|between) {NUMBER} (?:to|and) {NUMBER}", "[{}, {}]"),
        (rf"\b(?:from|between) {NUMBER} (?:to|and)\b", "[{}, ?"),
        (rf"\babove {NUMBER}\b", "({}, ?"),
        (rf"\bbelow {NUMBER}\b", "?, {})"),
        (rf"\bat most {NUMBER}\b", "?, {}]"),
    ):
        if found := re.search(pattern, words):
            return form.format(*found.groups())
    return ""


def refused(words: str, names: Iterable[str]) -> dict[str, str]:
    """Read what a card says a part raises an error for: keyword -> the lower end of what is left, "[2, ?"."""
    found = {}
    for clause, least in re.findall(rf"([^:;.]*?)\b(?:below|not between) {NUMBER}", words):
        found |= {name: f"[{least}, ?" for name in names if re.search(rf"\b{name}\b", clause)}
    return found


FACTORIES = [(kind, name, one) for kind, table in TABLES.items() for name, one in table.items()]
FACTORIES += [(kind, "data", one) for kind, more in from_config.KINDS.extras.items() for one in more]


@pytest.mark.parametrize(("kind", "name", "factory"), FACTORIES, ids=[f"{k}-{n}" for k, n, _ in FACTORIES])
def test_the_range_on_a_card_is_the_range_that_is_enforced(kind, name, factory):
    """A documented value would be refused, or an undefined one would train without a word."""
    card, known = parsed(factory), fields(factory)
    told, raises = arguments(card["Args"]), refused(card["Raises"], known)
    for field in known.values():
        for said in filter(None, (documented(told.get(field.name, "")), raises.get(field.name, ""))):
            ends = zip(said.split(", "), (field.interval or ", ").split(", "), strict=True)
            fits = all(end in ("?", enforced) for end, enforced in ends)
            assert fits, f"{kind} {name}.{field.name}: {said} on the card, {field.interval or 'nothing'} enforced"


SCHEMAS = FACTORIES + [(n, n, f) for n, f in from_config.KINDS.functions.items()]


@pytest.mark.parametrize(("kind", "name", "factory"), SCHEMAS, ids=[f"{k}-{n}" for k, n, _ in SCHEMAS])
def test_only_numbers_have_a_range_and_a_default_lies_in_it(kind, name, factory):
    """A card would show a range that means nothing, or a default that a config may not state."""
    for field in fields(factory).values():
        if not field.interval:
            continue
        assert re.search(r"int|float", str(field.hint)), f"{kind} {name}.{field.name}: {field.hint}"
        if field.default not in (REQUIRED, 0):  # 0 may stand for "not given"
            assert convert(field._replace(default=None), field.default) == field.default


def test_a_keyword_that_has_a_range_in_one_part_has_one_in_all_of_its_kind():
    """A part to come would take any `strength`, since nothing is checked by a keyword's name."""
    ranged = {(kind, f.name) for kind, _, one in FACTORIES for f in fields(one).values() if f.interval}
    numbers = [
        (kind, name, field)
        for kind, name, one in FACTORIES
        for field in fields(one).values()
        if field.sweepable or field.hint in (int, float)
    ]
    found = [(*part, field.name) for *part, field in numbers if (part[0], field.name) in ranged and not field.interval]
    assert found == []


def resolved(**changes):
    return configs.resolve({**BASE, **changes}, from_config.KINDS)


def test_the_ends_of_a_documented_range_can_be_used():
    """A lookahead whose slow weights go all the way, and a warm-up over the whole run, would be refused."""
    config = resolved(weight_averaging={"name": "lookahead", "rate": 1.0}, schedule={"name": "linear", "warmup": 1.0})
    assert config["weight_averaging"]["rate"] == config["schedule"]["warmup"] == 1.0


@pytest.mark.parametrize(
    ("section", "value", "message"),
    [
        ("schedule", {"name": "step", "boundaries": [0.5, 1.5]}, "schedule.boundaries: expected a number above 0 and"),
        ("loss", {"name": "generalized_cross_entropy", "q": 2.0}, "loss.q: expected a number of at least 0 and at mo"),
        (
            "weight_averaging",
            {"name": "lawa", "window": 0},
            "weight_averaging.window: expected a whole number of at least 1, found 0",
        ),
    ],
)
def test_what_a_card_rules_out_is_refused(section, value, message):
    """A loss outside its definition would be trained to the end."""
    with pytest.raises(ConfigError, match=re.escape(message)):
        resolved(**{section: value})


def test_a_users_keyword_has_the_range_that_its_annotation_states_and_no_other():
    """A keyword called `delta` or `rate` would be checked against what the name means in this package."""

    def free(*, delta: Scalar = -1.0, rate: Scalar = 3.0): ...

    def stated(*, power: Annotated[Scalar, Range("(0, 2]", "2.0 is usual")] = 1.0): ...

    assert resolved(transforms={"free": {"factory": free, "delta": -2.0, "rate": 7.0}})
    assert "transforms.stated.power" in configs.allowed_ranges(
        resolved(transforms={"stated": {"factory": stated}}), from_config.KINDS
    )
    with pytest.raises(ConfigError, match=r"power: expected a number above 0 and at most 2, found 3.0; 2.0 is usual"):
        resolved(transforms={"stated": {"factory": stated, "power": 3.0}})


@pytest.mark.parametrize(
    ("hint", "value", "message"),
    [
        (Share | None, 1.5, "power: expected a number of at least 0 and at most 1, found 1.5"),
        (tuple[Count, ...], [1, 0], "power: expected a whole number of at least 1, found 0"),
        (Annotated[Scalar, Range("0..1")], 0.5, "stated: power: Range('0..1') is no interval; write such as '[0, 1)'"),
    ],
)
def test_a_range_within_an_annotation_is_found_and_must_be_one(hint, value, message):
    """A user's range would be taken without a word and never be looked at."""

    def stated(*, power=None): ...

    stated.__annotations__["power"] = hint
    with pytest.raises(ConfigError, match=re.escape(message)):
        resolved(transforms={"stated": {"factory": stated, "power": value}})


def test_a_search_space_is_held_to_the_range_of_its_keyword():
    """A search would try values that the part does not allow, or could not try those that it does."""
    lookahead = {"weight_averaging": {"name": "lookahead"}}
    for high, fits in ((1.0, True), (1.5, False)):
        tune = {"weight_averaging.rate": {"low": 0.1, "high": high, "scale": "linear"}}
        given = {**lookahead, "study": {"tune": tune}, "arms": {"a": {}, "b": {"model.width": 9}}}
        if fits:
            assert resolved(**given)["study"]["tune"]
        else:
            with pytest.raises(
                ConfigError, match=r"study.tune.weight_averaging.rate.high: expected a number of at least 0 and"
            ):
                resolved(**given)


def test_a_users_function_that_changed_is_read_again():
    """A notebook that changes the default of a factory would go on with the old one."""

    def mine(*, power: Scalar = 1.0): ...

    assert fields(mine)["power"].default == 1.0
    mine.__kwdefaults__ = {"power": 2.0}
    assert fields(mine)["power"].default == 2.0
