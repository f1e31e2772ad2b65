"""Where a config with a [game] becomes a learner: two players, each with its own sections, and what is between them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np

from deepprinciples.engine.game import game
from deepprinciples.engine.moves import Rules
from deepprinciples.engine.players import Player, Table
from deepprinciples.parts.models.adapters import coerce
from deepprinciples.parts.sample_metrics import TABLE
from deepprinciples.study.features import features_of
from deepprinciples.study.pieces import Config, chain, metric_name, name_of, named, part
from deepprinciples.types import Augment, Batch, Dataset, Learner, OnActivations, OnFunction, SampleMetric, Scalar

Loss = Annotated[Callable[..., Any], "game_loss"]


class Game(NamedTuple):
    """How a game is played; the signature is the schema of [game]. See `engine.game` for what each value does."""

    loss: Loss | str = "non_saturating"
    latent: int = 16
    update: Literal["alternating", "simultaneous", "extragradient", "consensus"] = "alternating"
    n_critic: int = 1
    consensus: Scalar = 0.0
    weight_clip: Scalar = math.inf
    average: Scalar = 0.0
    instance_noise: Scalar = 0.0
    anneal: bool = True
    pack: int = 1
    conditional: bool = False
    snapshots: int = 0
    also: tuple[str, ...] = ()  # further metrics of samples to tell, by name


def learner(config: Config, parts: Dataset) -> Learner:
    """Build the learner of a resolved config with a [game]; floats in it may be tracers."""
    settings = dict(config["game"])
    example = Batch(np.asarray(parts.train.inputs[:1]), np.asarray(parts.train.targets[:1]))
    shape = example.inputs.shape[1:]
    steps = config["train"]["steps"]
    table = Table(
        generator=_player(config["generator"], "generator", steps, outputs=math.prod(shape), shape=shape),
        discriminator=_player(config["discriminator"], "model", steps * settings["n_critic"], outputs=1, vocabulary=0),
        loss=part("game_loss", settings.pop("loss")),
        penalties=[part("penalties", one) for _, one in named(config["discriminator"]["penalties"])],
        shape=shape,
        latent=settings.pop("latent"),
        classes=parts.outputs if settings.pop("conditional") else 0,
        pack=settings.pop("pack"),
    )
    sections = [config["study"]["metric"], *({"name": name} for name in settings.pop("also"))]
    metrics = {name_of(one): metric(one, parts) for one in sections}
    snapshots = settings.pop("snapshots")
    rules = Rules(steps, **settings)
    return game(table=table, example=example, rules=rules, metrics=metrics, snapshots=snapshots)


def _player(config: Config, kind: str, steps: int, **provided: Any) -> Player:
    regularizers = [part("regularizers", one) for _, one in named(config["regularizers"])]
    return Player(coerce(part(kind, config["model"], **provided)), chain(config, steps), regularizers)


def metric(section: Config, parts: Dataset) -> SampleMetric:
    """Build a metric that judges samples; what it is measured in comes from the data."""
    supplied: dict[str, Any] = {"modes": parts.modes, "mode_std": parts.mode_std}
    if section.get("name") in NEED_FEATURES:
        supplied["features"] = features_of(parts)
    return part("metric", section, **supplied)


NEED_FEATURES = frozenset({"frechet_distance", "precision", "recall", "density", "coverage"})
NEED_MODES = frozenset({"modes_covered", "high_quality", "reverse_kl"})


def problems(config: Config, parts: Dataset) -> list[str]:
    """Find what does not fit together before anything is built: one line each, without the arm's name."""
    settings, found = config["game"], []
    name, size = metric_name(config), parts.batch_size
    choices = ", ".join(sorted(TABLE))
    if "factory" not in config["study"]["metric"] and name not in TABLE:
        found.append(f"study.metric: {name} judges answers, but [game] makes samples; choose one of {choices}")
    for also in settings["also"]:
        if also not in TABLE:
            found.append(f"game.also: no metric {also!r} of samples; choose from {choices}")
    for where, one in [("study.metric", name), *(("game.also", also) for also in settings["also"])]:
        if one in NEED_MODES and parts.modes is None:
            found.append(f"{where}: {one} needs data whose modes are known, such as gaussian_ring")
        if one in NEED_FEATURES and parts.task != "classification":
            found.append(f"{where}: {one} needs class labels, to train a classifier whose features it measures in")
    if settings["conditional"] and parts.task != "classification":
        found.append("game.conditional: needs class labels, but the data have real-valued targets")
    if settings["n_critic"] > 1 and settings["update"] != "alternating":
        found.append(f"game.n_critic: {settings['n_critic']} needs game.update = alternating, not {settings['update']}")
    for key in ("latent", "n_critic", "pack"):
        if settings[key] < 1:
            found.append(f"game.{key}: found {settings[key]}, expected at least 1")
    together = max(settings["n_critic"], 1) * max(settings["pack"], 1)
    if size % together:
        found.append(f"data.batch_size: {size} is no multiple of n_critic x pack = {together}; make it one")
    if not np.issubdtype(np.asarray(parts.train.inputs[:1]).dtype, np.floating):
        found.append("data: [game] makes arrays of numbers, but the inputs are token ids")
    for player in ("generator", "discriminator"):
        if config[player]["model"].get("lsuv"):
            found.append(f"{player}.model.lsuv: needs a batch to start with; a game has none then")
        for key, section in named(config[player]["regularizers"]):
            made = part("regularizers", section, outputs=parts.outputs)
            if isinstance(made, Augment):
                found.append(f"{player}.regularizers.{key}: acts on a labeled batch; a game has none to act on")
            elif isinstance(made, OnActivations | OnFunction):
                found.append(f"{player}.regularizers.{key}: asks for a single model; a game has penalties")
    return found


def transform_names(config: Config) -> list[str]:
    """List the transforms of both players as probes name them."""
    return [f"{player}.{key}" for player in ("generator", "discriminator") for key in config[player]["transforms"]]
