"""The learner of a game against theory: the Dirac GAN, where every order of updates has its own known behavior."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from deepprinciples.engine.lane import fit
from deepprinciples.engine.lane.evaluation import evaluate
from deepprinciples.engine.streams import lane_key
from deepprinciples.learners.gan.learner import learner_of
from deepprinciples.learners.gan.players import Player, Setup
from deepprinciples.learners.gan.updates import EVALUATIONS, UpdateConfig
from deepprinciples.types import Batch, CriticPenalty, GanLoss, Metric, Model

RATE = 0.1
WASSERSTEIN = GanLoss(lambda real, fake: fake - real, lambda real, fake: -fake)
SATURATING = GanLoss(
    lambda real, fake: jax.nn.softplus(-real) + jax.nn.softplus(fake), lambda real, fake: -jax.nn.softplus(fake)
)


def point(start):
    """Make every example one parameter: the generator of the Dirac GAN."""

    def apply(params, state, x, *, key, train):
        return jnp.broadcast_to(params["at"], (len(x), 1)), state, {}

    return Model(lambda key, x: ({"at": jnp.float32(start)}, {}), apply)


def slope(start):
    """D(x) = slope x."""

    def apply(params, state, x, *, key, train):
        return params["slope"] * jnp.sum(x, axis=tuple(range(1, x.ndim)))[:, None], state, {}

    return Model(lambda key, x: ({"slope": jnp.float32(start)}, {}), apply)


def dirac(loss=WASSERSTEIN, *, start=(0.0, 1.0), rate=RATE, penalties=(), **options):
    """Real examples all lie at 0; the game circles around (0, 0)."""
    sgd = optax.named_chain(("optimizer", optax.sgd(rate)))
    pac_size = options.pop("pac_size", 1)
    setup = Setup(
        Player(point(start[0]), sgd), Player(slope(start[1]), sgd), loss, penalties,
        shape=(1,), latent=1, classes=options.pop("classes", 0), pac_size=pac_size,
    )  # fmt: skip
    example = Batch(np.zeros((1, 1), np.float32), np.zeros(1, np.int32))
    kept = {key: options.pop(key) for key in ("metrics", "snapshots") if key in options}
    return learner_of(setup=setup, example=example, config=UpdateConfig(options.pop("steps", 100), **options), **kept)


def radii(learner, steps, *, batch=4):
    """Play and give the distance from the equilibrium after every step."""
    data = Batch(jnp.zeros((batch, 1)), jnp.zeros(batch, jnp.int32))
    state = learner.init(lane_key(0))

    def body(state, number):
        state, _ = learner.step(state, data, jax.random.fold_in(lane_key(1), number))
        return state, jnp.hypot(state.generator.params["at"], state.discriminator.params["slope"])

    return np.asarray(jax.jit(lambda s: jax.lax.scan(body, s, jnp.arange(steps)))(state)[1])


def test_simultaneous_updates_spiral_out_as_theory_says():
    """The most quoted failure of GANs would be another one here: radius (1 + rate^2)^(1/2) a step, 1.6446 after 100."""
    found = radii(dirac(update="simultaneous"), 100)
    np.testing.assert_allclose(found[-1], 1.6446318, rtol=1e-5)
    np.testing.assert_allclose(found, (1 + RATE**2) ** (np.arange(1, 101) / 2), rtol=1e-5)


def test_alternating_updates_stay_on_a_ring():
    """Alternating would be simultaneous in disguise: it keeps its distance, within 1.06 of the start for ever."""
    found = radii(dirac(update="alternating"), 1000)
    assert found.max() < 1.06 and found.min() > 0.94


def test_extragradient_and_consensus_go_inwards():
    """The two cures of rotation would not cure: per step (1 - rate^2 + rate^4)^(1/2), and 1 - about rate x strength."""
    found = radii(dirac(update="extragradient"), 200)
    np.testing.assert_allclose(found, (1 - RATE**2 + RATE**4) ** (np.arange(1, 201) / 2), rtol=1e-4)
    strength = 0.5
    found = radii(dirac(update="consensus", consensus=strength), 100)
    factor = np.hypot(1 - RATE * strength, RATE)
    np.testing.assert_allclose(found, factor ** np.arange(1, 101), rtol=1e-4)


def test_consensus_of_no_strength_is_simultaneous():
    """A sweep to its neutral value would not meet the baseline."""
    neutral, plain = (radii(dirac(update=u), 50) for u in ("consensus", "simultaneous"))
    np.testing.assert_array_equal(neutral, plain)


def test_a_penalty_brings_the_game_to_rest():
    """R1 would not reach the learner: with it the game converges, below 1e-3 within 200 steps."""

    def r1(critic, real, fake, key):
        return 0.5 * jnp.mean(jnp.square(jax.grad(lambda x: jnp.sum(critic(x)))(real)))

    found = radii(dirac(SATURATING, penalties=[CriticPenalty(r1)], update="simultaneous"), 200)
    assert found[-1] < 1e-3 < radii(dirac(SATURATING, update="simultaneous"), 200)[-1]


def test_each_critic_update_sees_its_own_share():
    """Five critic updates would all see the same examples: (d, g) by hand, with data at two places."""
    data = Batch(jnp.array([[1.0], [1.0], [3.0], [3.0]]), jnp.zeros(4, jnp.int32))
    learner = dirac(n_critic=2, start=(0.5, 1.0))
    state, info = learner.step(learner.init(lane_key(0)), data, lane_key(1))
    d = 1.0 + RATE * (1.0 - 0.5)
    d = d + RATE * (3.0 - 0.5)
    np.testing.assert_allclose(state.discriminator.params["slope"], d, rtol=1e-6)
    np.testing.assert_allclose(state.generator.params["at"], 0.5 + RATE * d, rtol=1e-6)
    np.testing.assert_allclose(info.grads["discriminator.slope"], 0.5 - 3.0, rtol=1e-6)
    assert learner.evaluations == EVALUATIONS["alternating"] + 1


def test_weights_are_clipped_after_the_step_only_for_the_discriminator():
    """A Wasserstein critic would be unbounded, or the generator bounded too."""
    state = dirac(weight_clip=0.25, start=(3.0, 0.2)).init(lane_key(0))
    state, _ = dirac(weight_clip=0.25, start=(3.0, 0.2)).step(
        state, Batch(jnp.full((4, 1), 9.0), jnp.zeros(4, int)), lane_key(1)
    )
    assert float(state.discriminator.params["slope"]) == 0.25 and float(state.generator.params["at"]) > 3


def normalized(model):
    """Put batch normalization behind a model, with running statistics (decay 0.9) in its state."""

    def apply(params, state, x, *, key, train):
        y, kept = params["at"] * x, state["batch_stats"]
        now = {"mean": y.mean(0), "var": y.var(0)} if train else kept
        new = jax.tree.map(lambda old, seen: 0.9 * old + 0.1 * seen, kept, now) if train else kept
        return (y - now["mean"][None]) / jnp.sqrt(now["var"][None] + 1e-5), {"batch_stats": new}, {}

    return Model(
        lambda key, x: (model.init(key, x)[0], {"batch_stats": {"mean": jnp.zeros(1), "var": jnp.ones(1)}}), apply
    )


@pytest.mark.parametrize("decay", [0.0, 0.999])
def test_an_averaged_generator_is_judged_with_statistics_of_its_own(decay):
    """Lost: samples of the average, scaled by the statistics of other weights: here 50 times too small."""
    sgd = optax.named_chain(("optimizer", optax.sgd(0.0)))
    grow = optax.named_chain(("optimizer", optax.GradientTransformation(lambda p: (), lambda g, s, p=None: (p, s))))
    setup = Setup(Player(normalized(point(1.0)), grow), Player(slope(1.0), sgd), WASSERSTEIN, (), (1,), 1, 0, 1)
    example = Batch(np.zeros((1, 1), np.float32), np.zeros(1, np.int32))
    spread = Metric(lambda samples, real: samples, lambda rows, weights: jnp.std(rows), reduce="gather")
    learner = learner_of(
        setup=setup, example=example, config=UpdateConfig(6, average=jnp.float32(decay)), metrics={"spread": spread}
    )
    batches = Batch(jnp.zeros((60, 64, 1)), jnp.zeros((60, 64), jnp.int32))

    @jax.jit
    def judged():  # the weight doubles at every step, and the average hardly moves
        body = lambda s, each: (learner.step(s, each[1], jax.random.fold_in(lane_key(1), each[0]))[0], None)
        state, _ = jax.lax.scan(
            body, learner.init(lane_key(0)), (jnp.arange(6), jax.tree.map(lambda a: a[:6], batches))
        )
        after = learner.finalize_for_eval(state, batches, lane_key(2))
        return state, after, evaluate(learner, fit.Lane(after, -1), batches, jnp.ones((60, 64)))["spread"]

    state, after, found = judged()
    if decay:
        np.testing.assert_allclose(found, 1.0, rtol=0.05)
    else:  # the raw weights, with the statistics that they have: as without an average
        jax.tree.map(np.testing.assert_array_equal, after.average_state, state.generator.model_state)


def test_the_average_follows_slowly_and_is_what_is_kept():
    """Samples would be judged from other weights than those that are saved."""
    for decay in (0.0, 0.9):
        learner = dirac(average=decay, start=(1.0, 1.0))
        state = learner.init(lane_key(0))
        after, _ = learner.step(state, Batch(jnp.zeros((4, 1)), jnp.zeros(4, int)), lane_key(1))
        raw = float(after.generator.params["at"])
        kept = after.eval_params["generator"]["at"]
        np.testing.assert_allclose(kept, decay * 1.0 + (1 - decay) * raw, rtol=1e-6)
        assert (after.average is None) == (decay == 0.0)
        judged = learner.evaluate(after, Batch(jnp.zeros((4, 1)), jnp.zeros(4, int)), lane_key(0))["loss"]
        expected = kept * after.discriminator.params["slope"]
        np.testing.assert_allclose(judged, np.full(4, expected), rtol=1e-6)


def test_instance_noise_falls_to_nothing():
    """The noise would stay to the end, and blur what is learned."""
    data = Batch(jnp.zeros((4096, 1)), jnp.zeros(4096, jnp.int32))
    seen = []

    def spy(critic, real, fake, key):
        return jnp.std(real)

    learner = dirac(penalties=[CriticPenalty(spy)], instance_noise=0.5, steps=10)
    state = learner.init(lane_key(0))
    for number in range(11):
        state, info = learner.step(state, data, jax.random.fold_in(lane_key(3), number))
        seen.append(float(info.measures["penalty"]()))
    np.testing.assert_allclose(seen, 0.5 * (1 - np.arange(11) / 10), rtol=0.05, atol=1e-6)


def test_what_the_discriminator_is_shown():
    """Labels or partners would land on the wrong axis: by hand, on vectors and on pictures."""
    own = lambda classes, pack, shape: Setup(None, None, None, (), shape, 1, classes, pack)
    x, labels = jnp.arange(8.0).reshape(4, 2), jnp.array([0, 1, 2, 0])
    told = own(3, 1, (2,)).shown(x, labels)
    np.testing.assert_array_equal(told, np.concatenate([x, np.eye(3)[[0, 1, 2, 0]]], axis=1))
    np.testing.assert_array_equal(own(0, 2, (2,)).shown(x, labels), [[0, 1, 2, 3], [4, 5, 6, 7]])
    pictures = jnp.arange(4 * 2 * 2.0).reshape(4, 2, 2, 1)
    packed = own(0, 2, (2, 2, 1)).shown(pictures, labels)
    assert packed.shape == (2, 2, 2, 2)
    np.testing.assert_array_equal(packed[0, :, :, 1], pictures[1, :, :, 0])
    told = own(3, 1, (2, 2, 1)).shown(pictures, labels)
    assert told.shape == (4, 2, 2, 4) and float(told[2, 1, 0, 3]) == 1.0 and float(told[2, 1, 0, 1]) == 0.0


def test_packing_judges_groups():
    """PacGAN would see single examples: with pack 2 there are half as many logits, of the sum of both."""
    learner = dirac(pac_size=2, start=(1.0, 2.0))
    state = learner.init(lane_key(0))
    loss = learner.evaluate(state, Batch(jnp.zeros((6, 1)), jnp.zeros(6, int)), lane_key(0))["loss"]
    np.testing.assert_allclose(loss, np.full(6, 2.0 * 2.0))  # of three packs, one value for each example


def test_a_split_is_judged_as_a_whole():
    """Metrics of sets would be averaged over batches, or padding would count."""
    score = lambda sets, weights: jnp.sum(sets[1][:, 0] * weights) + 10 * len(sets[0])
    spread = Metric(lambda samples, real: (samples, real), score, reduce="gather")
    learner = dirac(metrics={"spread": spread}, snapshots=3, start=(0.25, 1.0))
    state = learner.init(lane_key(0))
    batches = Batch(np.array([[[1.0], [2.0]], [[4.0], [100.0]]], np.float32), np.zeros((2, 2), np.int32))
    found = evaluate(learner, fit.Lane(state, jnp.int32(-1)), batches, np.array([[1.0, 1.0], [1.0, 0.0]]))
    assert float(found["spread"]) == 7.0 + 40.0
    assert found["samples"].shape == (3, 1) and found["interpolation"].shape == (8, 1)
    np.testing.assert_allclose(found["samples"], 0.25)


@pytest.mark.parametrize("update", list(EVALUATIONS))
def test_measures_tell_the_game(update):
    """The report's panels would show other numbers than their captions say."""
    learner = dirac(SATURATING, update=update, start=(1.0, 0.5), consensus=0.1)
    state = learner.init(lane_key(0))
    data = Batch(jnp.full((4, 1), 2.0), jnp.zeros(4, jnp.int32))
    _, info = learner.step(state, data, lane_key(1))
    found = {name: float(measure()) for name, measure in info.measures.items()}
    assert -1 <= found["rotation"] <= 1 and found["diversity"] == 0
    if update in ("simultaneous", "consensus"):
        np.testing.assert_allclose(found["discriminator_real"], 1 / (1 + np.exp(-1.0)), rtol=1e-6)
        np.testing.assert_allclose(found["discriminator_fake"], 1 / (1 + np.exp(-0.5)), rtol=1e-6)
        np.testing.assert_allclose(found["critic_gap"], 0.5, rtol=1e-6)
    assert set(info.grads) == {"generator.at", "discriminator.slope"}
