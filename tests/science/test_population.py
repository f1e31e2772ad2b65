"""A lane of a population is the run it stands for: every model, against a loop by hand and against itself alone.

The loop knows neither the engine nor optax: momentum is three lines, keys and batches come from the recipe in words.
"""

import functools
import zlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepprinciples import config as configs
from deepprinciples.engine.batching import pad_split, resident
from deepprinciples.engine.population import Layout, compile_program, make_mesh
from deepprinciples.engine.run import Block, run
from deepprinciples.engine.segments import plan
from deepprinciples.learners.assembly import factories, from_config
from deepprinciples.parts.models import TABLE, autoencoders

STEPS, BATCH, RATE, MOMENTUM = 100, 4, 0.02, 0.9
WIDE = Layout(devices=2, blocks=1, points=2, mode="vmap")
ALONE = Layout(devices=1, blocks=1, points=1, mode="map")
MODELS = {
    "mlp": ({"depth": 2, "width": 6, "normalization": "layer"}, (5,)),
    "cnn": ({"depth": 1, "width": 3, "stages": 1, "normalization": "batch"}, (4, 4, 1)),
    "lstm": ({"depth": 1, "width": 4}, (5, 2)),
    "gru": ({"depth": 1, "width": 4}, (5, 2)),
    "rnn": ({"depth": 1, "width": 4}, (5, 2)),
    "resnet": ({"blocks": 1, "stages": 1, "width": 2}, (4, 4, 1)),
    "unet": ({"levels": 2, "width": 4}, (8, 8, 1)),
}
OF_PAIRS = {"seq2seq"}  # reads two sequences; tests/learners/test_written_pairs.py compares it in a population
OF_POSITIONS = {"unet"}  # models whose outputs, and so labels, are one for each position


def resolved(name):
    keywords, shape = MODELS[name]
    random = np.random.RandomState(1)
    inputs = random.randn(40, *shape).astype(np.float32)
    targets = np.digitize(inputs[..., 0], (-0.5, 0.5)) if name in OF_POSITIONS else random.randint(0, 3, 40)
    return configs.resolve({
        "data": {"name": "arrays", "inputs": inputs, "targets": targets, "batch_size": BATCH},
        "model": {"name": name, "dropout": 0.2, **keywords},
        "loss": {"name": "softmax_cross_entropy"},
        "optimizer": {"name": "sgd", "learning_rate": RATE, "momentum": MOMENTUM},
        # one step a chunk compiles half as long; how chunks are cut is tried with the smallest model
        "train": {"probes": ["gradient_norm"] * (name == "mlp"), "probe_every": 7 if name == "mlp" else 1,
                  "steps": STEPS},
    }, from_config.KINDS)  # fmt: skip


@functools.cache
def dataset(name):
    return from_config.dataset(resolved(name))


def population(name, layout, blocks, *, steps=STEPS):
    made, cut, split, feed = program(name, layout)
    cut = cut._replace(steps=steps, segments=-(-steps // cut.span))  # the number of steps is traced
    lanes = [Block(seed, tuple({"optimizer.learning_rate": rate} for rate in rates)) for seed, rates in blocks]
    return run(made, lanes, plan=cut, feed=feed, curve=split, keep_states=True)


@functools.cache
def program(name, layout):
    config, data = resolved(name), dataset(name)
    every = config["train"]["probe_every"]
    cut = plan(STEPS, probe_every=every, evaluate_every=14)
    parts = from_config.splits(data)
    split = pad_split(parts["validation"], size=1)
    made = compile_program(
        lambda hyper: from_config.learner(from_config.replaced(config, hyper), data),
        from_config.probe(config),
        layout=layout,
        names=("optimizer.learning_rate",),
        plan=cut,
        data=parts["train"],
        batch_size=BATCH,
        split=split,
    )
    feed = resident(parts["train"], batch_size=BATCH, plan=cut, mesh=make_mesh(layout.devices))
    return made, cut, split, feed


def fold(key, name):
    return jax.random.fold_in(key, zlib.crc32(name))


def by_hand(name, seed):
    """Train one lane in a Python loop: mean cross-entropy, heavy ball, dropout from the stream of each step.

    All examples have the same number of labels, so the mean over examples of their means is the mean over labels.
    """
    config, data = resolved(name), dataset(name)
    model = factories.model_of(config, data)
    key = jax.random.key(seed, impl="threefry2x32")
    inputs, targets = data.train
    per_epoch, order = len(inputs) // BATCH, []
    for epoch in range(-(-STEPS // per_epoch)):
        bits = np.asarray(jax.random.bits(jax.random.fold_in(fold(key, b"order"), epoch), (len(inputs),)))
        order.extend(np.argsort(bits, kind="stable")[: per_epoch * BATCH].reshape(per_epoch, BATCH))
    params, state = jax.jit(model.init)(fold(key, b"init"), inputs[:1])

    @jax.jit
    def step(params, state, velocity, x, y, key):
        def objective(params):
            logits, new, _ = model.apply(params, state, x, key=fold(key, b"dropout"), train=True)
            right = jnp.take_along_axis(logits, y[..., None], axis=-1)[..., 0]  # [B], or [B, H, W]
            wrong = jax.nn.logsumexp(logits, axis=-1) - right
            return jnp.mean(wrong), new

        (loss, new), grads = jax.value_and_grad(objective, has_aux=True)(params)
        velocity = jax.tree.map(lambda v, g: MOMENTUM * v + g, velocity, grads)
        return jax.tree.map(lambda p, v: p - RATE * v, params, velocity), new, velocity, loss

    velocity, losses = jax.tree.map(jnp.zeros_like, params), []
    for t in range(STEPS):
        now = jax.random.fold_in(fold(key, b"step"), t)
        params, state, velocity, loss = step(params, state, velocity, inputs[order[t]], targets[order[t]], now)
        losses.append(float(loss))
    return params, state, losses


def test_every_model_is_tried():
    """A model could be broken in a population and nobody would know."""
    assert {*MODELS, *autoencoders.TABLE, *OF_PAIRS} == set(TABLE)  # autoencoders are perceptrons, tried as such


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in ("resnet", "unet"))) for n in MODELS]
)
def test_a_lane_is_the_run_it_stands_for(name):
    """A study would compare something else than the methods: a loop, a lane of eight, and a lane alone must agree."""
    wide = population(name, WIDE, [(seed, (RATE, 0.5 * RATE)) for seed in (3, 4, 5, 6)])
    params, state, losses = by_hand(name, 5)
    lane = jax.tree.map(lambda a: a[2, 0], (wide.states.params, wide.states.model_state, wide.logs))
    chex.assert_trees_all_close(lane[0], params, atol=1e-5, rtol=1e-5)
    chex.assert_trees_all_close(lane[1], state, atol=1e-5, rtol=1e-5)
    every = resolved(name)["train"]["probe_every"]
    means = [np.mean(losses[k : k + every]) for k in range(0, STEPS, every)]
    np.testing.assert_allclose(lane[2]["train_loss"], means, atol=1e-5, rtol=1e-5)
    assert np.mean(losses[-20:]) < np.mean(losses[:20]) - 0.02, "nothing was learned, so nothing was shown"

    solo = population(name, ALONE, [(5, (RATE,))])
    together = jax.tree.map(lambda a: a[2:3, :1], wide._replace(seconds=None))
    chex.assert_trees_all_close(solo._replace(seconds=None), together, atol=1e-5, rtol=1e-4)


def test_seeds_decide_weights_batches_and_dropout():
    """Replicates would share a source of chance: one seed repeats to the bit, two differ in each of the three."""
    data, config = dataset("mlp"), resolved("mlp")
    learner = from_config.learner(config, data)
    batch = from_config.splits(data)["train"]
    first, again, other = (jax.random.key(seed, impl="threefry2x32") for seed in (0, 0, 1))
    init = jax.jit(learner.init)
    chex.assert_trees_all_equal(init(first), init(again))
    one, two = init(first).params, init(other).params
    kernels = [(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True) if a.ndim > 1]
    assert kernels and all(not np.allclose(a, b) for a, b in kernels)

    step = jax.jit(lambda state, key: learner.step(state, batch, key)[1].loss)
    state = init(first)
    assert step(state, first) == step(state, again) and step(state, first) != step(state, other)


GOLDEN = {
    "train_loss": [1.2230709, 1.2168046],  # mean of 7 steps each
    "gradient_norm": [0.3497862, 0.7483007],  # of the first layer, at steps 0 and 7
    "validation_loss": [1.1068871],
}


def test_golden_values_of_a_tiny_mlp():
    """Training changed, though nobody meant it to.

    Update the numbers only where a change is meant to alter initialization, order, dropout or the update rule, and say
    so in the commit: results of earlier versions can then not be repeated.
    """
    outcome = population("mlp", ALONE, [(0, (RATE,))], steps=14)
    found = {
        "train_loss": outcome.logs["train_loss"][0, 0],
        "gradient_norm": jax.tree.leaves(outcome.logs["gradient_norm"])[0][0, 0],
        "validation_loss": outcome.curves["loss"][0, 0],
    }
    for name, values in GOLDEN.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, err_msg=f"{name}: see this test's docstring")
