"""The two players of a game: what each is, what it sees, and what it minimizes.

The generator makes examples from noise, the discriminator gives real and made ones a logit each. How the two take turns
is in `game`; nothing here knows what a loss or a penalty is made of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from deepprinciples.kernels import random
from deepprinciples.kernels.keys import stream
from deepprinciples.types import Array, Batch, CriticPenalty, GanLoss, Model, PyTree, Scalar


class Player(NamedTuple):
    """A model with its own way to learn: its chain of transforms and optimizer, and penalties on its parameters."""

    model: Model
    optimizer: optax.GradientTransformation
    penalties: Sequence[Callable[[PyTree], Array]] = ()


class PlayerState(NamedTuple):
    """What a player carries from step to step."""

    params: PyTree
    model_state: PyTree
    opt_state: PyTree


class Judged(NamedTuple):
    """What a pass through both players gives beside its loss."""

    loss: Array  # without penalties on parameters
    real: Array  # logits [B]
    fake: Array  # logits [B]
    penalty: Array
    state: PyTree  # of the player that learns
    activations: dict[str, Array]


class Setup(NamedTuple):
    """Where the game is played: the players, the loss between them, and what the discriminator is shown.

    shape: of one example. classes: above 0, both players see the label. pac_size: examples seen together.
    """

    generator: Player
    discriminator: Player
    loss: GanLoss
    penalties: Sequence[CriticPenalty]
    shape: tuple[int, ...]
    latent: int
    classes: int
    pac_size: int

    @property
    def per_example(self) -> bool:
        """Check whether both gradients of a batch are the means of those of shares of it, where no noise is added."""
        alone = self.generator.model.per_example and self.discriminator.model.per_example and self.loss.per_example
        return alone and not self.penalties and self.pac_size == 1

    def asked(self, noise: Array, labels: Array) -> Array:
        """Arrange what the generator reads: noise [B, latent], and labels where there are some."""
        return jnp.concatenate([noise, jax.nn.one_hot(labels, self.classes)], axis=1) if self.classes else noise

    def generate(self, params: PyTree, state: PyTree, noise: Array, labels: Array, *, train: bool) -> tuple:
        """Make examples of noise [B, latent]: (examples [B, *shape], new state, activations)."""
        given = self.asked(noise, labels)
        made, state, activations = self.generator.model.apply(params, state, given, key=None, train=train)
        return made.reshape(-1, *self.shape), state, activations

    def shown(self, examples: Array, labels: Array) -> Array:
        """Arrange what the discriminator sees: labels as further channels, `pack` examples side by side."""
        if self.classes:
            rows = jax.nn.one_hot(labels, self.classes)
            rows = rows.reshape(len(labels), *([1] * (len(self.shape) - 1)), self.classes)
            rows = jnp.broadcast_to(rows, (*examples.shape[:-1], self.classes))
            examples = jnp.concatenate([examples, rows], axis=-1)
        if self.pac_size == 1:
            return examples
        packed = jnp.moveaxis(examples.reshape(-1, self.pac_size, *examples.shape[1:]), 1, -2)
        return packed.reshape(*packed.shape[:-2], self.pac_size * examples.shape[-1])  # [B / pack, ..., C * pack]

    def judge(self, params: PyTree, state: PyTree, examples: Array, labels: Array, key: Array, *, train: bool) -> tuple:
        """Return logits [B / pack] to examples [B, *shape]: (logits, new state, activations)."""
        seen = self.shown(examples, labels)
        logits, state, activations = self.discriminator.model.apply(params, state, seen, key=key, train=train)
        return logits[:, 0], state, activations

    def noise(self, key: Array, count: int) -> Array:
        """Draw noise of the generator, standard normal [count, latent]."""
        return random.normal(stream(key, "latent"), (count, self.latent))


class UpdateInputs(NamedTuple):
    """What one update sees: a batch, the key of its noise, and the standard deviation of the noise on examples."""

    batch: Batch
    key: Array
    blur: Scalar

    def blurred(self, examples: Array, name: str) -> Array:
        """Add instance noise; the discriminator never sees a bare example while there is some."""
        if is_off(self.blur):
            return examples
        return examples + self.blur * random.normal(stream(self.key, name), examples.shape)


def is_off(value: Scalar) -> bool:
    """Check for a plain 0.0, as opposed to a swept value: noise that nobody can ask for need not be drawn."""
    return isinstance(value, float) and value == 0.0


def discriminator_objective(
    params: PyTree, setup: Setup, state: PyTree, rival: PlayerState, one: UpdateInputs, noise: Array
) -> tuple[Array, Judged]:
    """Compute what the discriminator minimizes: its loss, the penalties on the critic and those on its parameters."""
    real, labels = one.batch.inputs, one.batch.targets
    fake, _, _ = setup.generate(rival.params, rival.model_state, noise, labels, train=True)
    real, fake = one.blurred(real, "real"), one.blurred(fake, "fake")
    key = stream(one.key, "dropout")
    on_real, state, seen = setup.judge(params, state, real, labels, key, train=True)
    on_fake, state, _ = setup.judge(params, state, fake, labels, key, train=True)
    loss = jnp.mean(setup.loss.discriminator(on_real, on_fake))

    def critic(examples: Array) -> Array:
        return setup.judge(params, state, examples, labels, key, train=True)[0]

    keys = [stream(one.key, f"penalty{number}") for number in range(len(setup.penalties))]
    zero = jnp.zeros(())
    penalty = sum((p.apply(critic, real, fake, k) for p, k in zip(setup.penalties, keys, strict=True)), start=zero)
    own = sum((p(params) for p in setup.discriminator.penalties), start=zero)
    return loss + penalty + own, Judged(loss, on_real, on_fake, penalty, state, seen)


def generator_objective(
    params: PyTree, setup: Setup, state: PyTree, rival: PlayerState, one: UpdateInputs, noise: Array
) -> tuple[Array, Judged]:
    """Compute what the generator minimizes: its loss and the penalties on its parameters."""
    real, labels = one.batch.inputs, one.batch.targets
    fake, state, seen = setup.generate(params, state, noise, labels, train=True)
    key = stream(one.key, "dropout")
    fake, real = one.blurred(fake, "fake"), one.blurred(real, "real")
    on_fake, _, _ = setup.judge(rival.params, rival.model_state, fake, labels, key, train=True)
    on_real, _, _ = setup.judge(rival.params, rival.model_state, real, labels, key, train=True)
    loss = jnp.mean(setup.loss.generator(on_real, on_fake))
    zero = jnp.zeros(())
    own = sum((p(params) for p in setup.generator.penalties), start=zero)
    return loss + own, Judged(loss, on_real, on_fake, zero, state, seen)


def begin(player: Player, key: Array, shown: Any) -> PlayerState:
    """Make a player's first state from the shapes of what it is shown."""
    params, state = player.model.init(key, shown)
    return PlayerState(params, state, optax.with_extra_args_support(player.optimizer).init(params))


def move(player: Player, state: PlayerState, grads: PyTree, value: Array, key: Array) -> tuple[PlayerState, PyTree]:
    """Let a player's optimizer take a step; also return the updates."""
    chain = optax.with_extra_args_support(player.optimizer)
    updates, opt_state = chain.update(grads, state.opt_state, state.params, key=stream(key, "noise"), value=value)
    return state._replace(params=optax.apply_updates(state.params, updates), opt_state=opt_state), updates
