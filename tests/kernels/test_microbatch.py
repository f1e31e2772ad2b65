"""A batch in shares gives what the whole batch gives, and is cut only where that is so and where it pays."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from deepprinciples.engine.streams import lane_key
from deepprinciples.kernels import microbatch, random
from deepprinciples.learners.gan.learner import learner_of
from deepprinciples.learners.gan.players import Player, Setup
from deepprinciples.learners.gan.updates import UpdateConfig
from deepprinciples.learners.objective import minimize, objective_of
from deepprinciples.parts import gradient_rules, penalties
from deepprinciples.parts.losses import gan_losses
from deepprinciples.parts.models import cnn
from deepprinciples.parts.models.generators import resize_cnn
from deepprinciples.types import ActivationPenalty, Batch

KEY = lane_key(0)
SHAPE = (4, 4, 1)


def kib(count):
    """Give the shape of so many KiB."""
    return jax.ShapeDtypeStruct((count, 256), jnp.float32)


@pytest.mark.parametrize(
    ("size", "activations", "weights", "expected"),
    [
        (128, 513, 1, 4), (128, 512, 1, 1), (128, 513, 128, 4), (128, 513, 129, 1), (100, 513, 1, 2), (96, 513, 1, 3),
        (63, 9999, 1, 1), (64, 9999, 1, 2), (1, 9999, 1, 1), (67, 9999, 1, 1),
    ],
)  # fmt: skip
def test_a_batch_is_cut_where_its_activations_outgrow_the_cache(size, activations, weights, expected):
    """Small batches would be cut up for nothing, large ones would go through slow memory."""
    assert microbatch.count_of(size, {"a": kib(activations)}, [kib(weights)]) == expected


@pytest.mark.parametrize(
    ("size", "maps", "vectors", "expected"),
    [(32, 600, 500, 2), (32, 500, 600, 1), (128, 600, 0, 4), (48, 600, 0, 2), (24, 600, 0, 1)],
)
def test_small_batches_of_maps_are_halved(size, maps, vectors, expected):
    """Lost: a twelfth of the time of a study of CNNs, where 32 pictures still outgrow the cache."""
    shown = jax.ShapeDtypeStruct((maps, 16, 16, 1), jnp.float32)
    assert microbatch.count_of(size, {"a": shown, "b": kib(vectors)}, [kib(1)]) == expected


@pytest.mark.parametrize(
    ("shape", "weights", "expected"), [((32, 128, 64), 1, 8), ((32, 128, 64), 9999, 8), ((8, 128, 512), 1, 2),
                                       ((128, 16, 256), 1, 4), ((6, 700, 64), 1, 6), ((3, 2048, 64), 1, 3),
                                       ((16, 64, 512), 1, 2), ((15, 64, 512), 1, 1)],
)  # fmt: skip
def test_a_transformer_fills_a_share_with_positions(shape, weights, expected):
    """Lost: a third of the time of 32 sequences of 128 positions, a twelfth of 16 of 64, through slow memory."""
    seen = {
        "a": jax.ShapeDtypeStruct(shape, jnp.float32),
        "output": jax.ShapeDtypeStruct((shape[0], 1, 2), jnp.float32),
    }
    assert microbatch.count_of(shape[0], seen, [kib(weights)], True) == expected


def test_an_accelerator_gets_whole_batches(monkeypatch):
    """It would wait for one share after another."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert microbatch.count_of(128, kib(9999), kib(1)) == 1


@pytest.fixture
def cuts(monkeypatch):
    """Have every batch cut by so many, whatever fits; give the batches that were asked for."""
    asked = []

    def cut_by(count):
        monkeypatch.setattr(microbatch, "count_of", lambda size, *_: (asked.append(size), count)[1])
        return asked

    return cut_by


def images(dtype=np.float64):
    rng = np.random.default_rng(0)
    return Batch(rng.normal(size=(12, *SHAPE)).astype(dtype), rng.integers(0, 3, 12))


def classifier(**changed):
    options = {
        "splits": True,
        "gradient": gradient_rules.plain(),
        "penalties": [lambda params: optax.tree.norm(params)],
        **changed,
    }
    model = options.pop("model", None) or cnn(outputs=3, depth=1, width=2, stages=1)
    objective = objective_of(model, optax.softmax_cross_entropy_with_integer_labels)
    example = jax.tree.map(lambda a: a[:1], images())
    return minimize(objective, optimizer=optax.sgd(0.1), example=example, **options)


def player(model):
    return Player(model, optax.named_chain(("optimizer", optax.sgd(0.1))), [lambda params: optax.tree.norm(params)])


def images_gan(*, loss="non_saturating", pack=1, critic=(), classes=0, generator=None, **options):
    made = generator or resize_cnn(shape=SHAPE, depth=1, width=2)
    setup = Setup(
        player(made), player(cnn(outputs=1, depth=1, width=2, stages=1)), gan_losses.TABLE[loss](), critic,
        shape=SHAPE, latent=2, classes=classes, pac_size=pack,
    )  # fmt: skip
    batch = images()
    example = Batch(batch.inputs[:1], batch.targets[:1])
    return learner_of(setup=setup, example=example, config=UpdateConfig(10, **options))


def told(learner, batch):
    """Take one step in float64, and give the state, the gradients and what probes read."""
    wide = lambda a: a.astype(np.float64) if jnp.issubdtype(a.dtype, jnp.floating) else a

    @jax.jit
    def one():
        state, info = learner.step(jax.tree.map(wide, learner.init(KEY)), batch, KEY)
        return state, info.loss, info.grads, info.updates, info.activations

    return one()


LEARNERS = {
    "classifier": classifier,
    "alternating": images_gan,
    "critics": lambda: images_gan(n_critic=2),
    "conditional": lambda: images_gan(classes=3),
    "consensus": lambda: images_gan(update="consensus", consensus=0.1),
    "relativistic": lambda: images_gan(loss="relativistic"),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_shares_add_up_to_the_batch(name, cuts, monkeypatch):
    """A step would follow another gradient, or probes read a share for the batch; float64 tells rounding from error."""
    # XLA's inverse of the error function changes its tenth digit with the program that it is part of.
    monkeypatch.setattr(random, "normal", random.uniform)
    with jax.enable_x64(True):
        asked = cuts(1)
        whole = told(LEARNERS[name](), images())
        assert asked and all(size in (6, 12) for size in asked)
        cuts(3)
        found = told(LEARNERS[name](), images())
    assert jax.tree.structure(found) == jax.tree.structure(whole)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), found, whole)


WHOLE = {
    "another rule": lambda: classifier(splits=False),
    "statistics of the batch": lambda: classifier(model=cnn(outputs=3, depth=1, width=2, normalization="batch")),
    "a penalty on activations": lambda: classifier(penalties=[ActivationPenalty(lambda seen: jnp.max(seen["output"]))]),
    "a mean over the batch": lambda: images_gan(loss="relativistic_average"),
    "a penalty on the critic": lambda: images_gan(critic=[penalties.r1()]),
    "packs": lambda: images_gan(pack=2),
    "noise on examples": lambda: images_gan(instance_noise=0.1),
    "a generator with statistics": lambda: images_gan(
        generator=resize_cnn(shape=SHAPE, depth=1, width=2, normalization="batch")
    ),
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_meets_in_a_batch_is_not_cut(name, cuts):
    """Shares would be another method than the one that was asked for."""
    asked = cuts(3)
    learner = WHOLE[name]()
    jax.eval_shape(lambda: learner.step(learner.init(KEY), images(np.float32), KEY)[0])
    assert not asked
