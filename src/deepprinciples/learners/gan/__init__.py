"""The learner of a GAN: a generator against a discriminator, each with its own sections, and what is between them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np

from deepprinciples.learners.assembly.factories import Config, named, part
from deepprinciples.learners.gan.learner import learner_of
from deepprinciples.learners.gan.networks import networks
from deepprinciples.learners.gan.players import Player, Setup
from deepprinciples.learners.gan.updates import UpdateConfig
from deepprinciples.types import (
    ActivationPenalty,
    Batch,
    CriticPenalty,
    Dataset,
    FunctionPenalty,
    Learner,
    Metric,
    Scalar,
    traits,
)

Loss = Annotated[Callable[..., Any], "gan_loss"]


def problems(config: Config, parts: Dataset) -> list[str]:
    """List what does not fit together, before anything is built: one line each."""
    settings, size = config["learner"], parts.batch_size
    found: list[str] = []
    if settings["conditional"] and parts.task != "classification":
        found.append("learner.conditional: needs class labels, but the data have real-valued targets")
    if settings["n_critic"] > 1 and settings["update"] != "alternating":
        found.append(
            f"learner.n_critic: {settings['n_critic']} needs learner.update = alternating, not {settings['update']}"
        )
    for key in ("latent", "n_critic", "pac_size"):
        if settings[key] < 1:
            found.append(f"learner.{key}: found {settings[key]}, expected at least 1")
    together = max(settings["n_critic"], 1) * max(settings["pac_size"], 1)
    if size % together:
        found.append(f"data.batch_size: {size} is no multiple of n_critic x pac_size = {together}; make it one")
    if not np.issubdtype(np.asarray(parts.train.inputs[:1]).dtype, np.floating):
        found.append("data: a GAN makes arrays of numbers, but the inputs are token ids")
    for player in ("generator", "discriminator"):
        if config[player]["model"].get("lsuv"):
            found.append(f"{player}.model.lsuv: needs a batch to start with; a GAN has none then")
        for key, section in named(config[player]["regularizers"]):
            made = part("regularizers", section, outputs=parts.outputs)
            if isinstance(made, ActivationPenalty | FunctionPenalty):
                found.append(f"{player}.regularizers.{key}: asks for a single model; a GAN has penalties")
    return found


@traits(problems=problems, makes_samples=True, networks=networks)
def gan(
    *,
    data: Dataset,
    generator: Player,
    discriminator: Player,
    penalties: Sequence[CriticPenalty],
    metrics: Mapping[str, Metric],
    steps: int,
    loss: Loss | str = "non_saturating",
    latent: int = 16,
    update: Literal["alternating", "simultaneous", "extragradient", "consensus"] = "alternating",
    n_critic: int = 1,
    consensus: Scalar = 0.0,
    weight_clip: Scalar = math.inf,
    average: Scalar = 0.0,
    instance_noise: Scalar = 0.0,
    anneal_noise: bool = True,
    pac_size: int = 1,
    conditional: bool = False,
    snapshots: int = 0,
) -> Learner:
    """Train a generator against a discriminator.

    Args:
        data, generator, discriminator, penalties, metrics, steps: supplied.
        loss: what the two minimize.
        latent: numbers of noise that an example is made of.
        update: who moves when, see `gan.updates`.
        n_critic: updates of the discriminator for each of the generator.
        consensus: strength of the consensus term. *Sweepable*. *Neutral: 0.0*.
        weight_clip: bound on every parameter of the discriminator. *Sweepable*. *Neutral: inf*.
        average: decay of the generator's moving average, which is evaluated in its place. *Sweepable*. *Neutral: 0.0*.
        instance_noise: standard deviation of noise on all that the discriminator is shown. *Sweepable*. *Neutral: 0.0*.
        anneal_noise: let that noise fall to 0 over the run.
        pac_size: examples that the discriminator sees together.
        conditional: show both players the class label.
        snapshots: samples kept at every evaluation.

    References:
        arXiv:1406.2661 (GAN), arXiv:1712.04086 (packing), arXiv:1610.04490 (instance noise).
    """
    example = Batch(np.asarray(data.train.inputs[:1]), np.asarray(data.train.targets[:1]))
    made: Any = part("gan_loss", {"name": loss}) if isinstance(loss, str) else loss
    setup = Setup(
        generator=generator,
        discriminator=discriminator,
        loss=made,
        penalties=penalties,
        shape=example.inputs.shape[1:],
        latent=latent,
        classes=data.outputs if conditional else 0,
        pac_size=pac_size,
    )
    config = UpdateConfig(steps, update, n_critic, consensus, weight_clip, average, instance_noise, anneal_noise)
    return learner_of(setup=setup, example=example, config=config, metrics=metrics, snapshots=snapshots)
