"""A learner so small that it compiles in a moment, with a switch for every way a lane can go wrong; and its twin.

`by_hand` is the twin: a plain loop that draws its keys and batches from the recipe in words, not from the engine.
"""

import functools
import zlib

import jax
import jax.numpy as jnp
import numpy as np

from deepprinciples.engine.batching import pad_split, resident
from deepprinciples.engine.population import Layout, compile_program
from deepprinciples.engine.run import Block, run
from deepprinciples.engine.segments import plan
from deepprinciples.types import Batch, Info, Learner

SIZE, BATCH = 20, 3  # six batches an epoch, two examples left over
WIDE = Layout(devices=2, blocks=2, points=2, mode="map")
CUT = plan(23, probe_every=3, evaluate_every=6)
NAMES = ("learning_rate", "noise", "bomb", "poison", "broken_init")
VALIDATION = 5

_random = np.random.RandomState(0)
DATA = Batch(_random.randn(SIZE, 3).astype(np.float32), _random.randn(SIZE).astype(np.float32))
SPLIT = pad_split(Batch(_random.randn(VALIDATION, 3).astype(np.float32), np.zeros(VALIDATION, np.float32)), size=8)


def point(learning_rate=0.05, noise=0.1, bomb=-1.0, poison=-1.0, broken_init=0.0):
    """Settings of one lane; at step `bomb` the loss becomes NaN, at `poison` what no loss reads becomes infinite."""
    return dict(zip(NAMES, (learning_rate, noise, bomb, poison, broken_init), strict=True))


def learner(hyper):
    """Noisy gradient descent on mean (x.w - y)^2; the state counts its steps, and holds what no loss reads."""

    def init(key):
        w = jax.random.normal(jax.random.fold_in(key, zlib.crc32(b"init")), (3,))
        w = jnp.where(hyper["broken_init"] > 0, jnp.nan, w)
        return {"w": w, "steps": jnp.zeros(()), "unread": jnp.full((2,), 3e38)}

    def step(state, batch, key):
        def objective(w):
            return jnp.mean((batch.inputs @ w - batch.targets) ** 2)

        loss, grads = jax.value_and_grad(objective)(state["w"])
        loss = jnp.where(state["steps"] == hyper["bomb"], jnp.nan, loss)
        updates = -hyper["learning_rate"] * (grads + hyper["noise"] * jax.random.normal(key, (3,)))
        unread = jnp.where(state["steps"] == hyper["poison"], jnp.inf, state["unread"])
        info = Info(loss, state["w"], grads, updates, (), {}, dict)
        return {"w": state["w"] + updates, "steps": state["steps"] + 1, "unread": unread}, info

    def evaluate(state, batch, key):
        return {"loss": (batch.inputs @ state["w"] - batch.targets) ** 2}

    return Learner(init, step, evaluate)


def probe(info):
    """Log the loss of the probed step, and the first weight in a table."""
    return {"probed_loss": info.loss, "weight": {"first": info.params[0]}}


def program(layout=WIDE, cut=CUT):
    """Compile once for all tests that share a layout and the shape of a segment."""
    return _program(layout, cut._replace(steps=0, segments=0))


@functools.cache
def _program(layout, cut):
    return compile_program(
        learner, probe, layout=layout, names=NAMES, plan=cut, data=DATA, batch_size=BATCH, split=SPLIT
    )


def train(blocks, *, layout=WIDE, cut=CUT, data=DATA, feed=None, **options):
    """Run blocks of (seed, points); states are kept."""
    made = program(layout, cut)
    feed = feed or (
        _feed(cut, made.mesh) if data is DATA else resident(data, batch_size=BATCH, plan=cut, mesh=made.mesh)
    )
    lanes = [Block(seed, tuple(points)) for seed, points in blocks]
    return run(made, lanes, plan=cut, feed=feed, curve=SPLIT, keep_states=True, **options)


@functools.cache
def _feed(cut, mesh):
    return resident(DATA, batch_size=BATCH, plan=cut, mesh=mesh)


def by_hand(seed, settings, *, steps=CUT.steps, span=CUT.span, data=DATA):
    """Train one lane in a plain Python loop, in segments of `span` steps, until it diverges.

    Returns the weights (where it diverged, those with which the segment began), the finite losses, and the step at
    which it diverged or -1.
    """
    key = jax.random.key(seed, impl="threefry2x32")
    step_key = jax.random.fold_in(key, zlib.crc32(b"step"))
    hyper = {name: jnp.float32(value) for name, value in settings.items()}
    state = begun = learner(hyper).init(key)
    losses = []
    for step, chosen in enumerate(order_by_hand(seed, steps)):
        if step % span == 0:
            begun = state
        batch = Batch(data.inputs[chosen], data.targets[chosen])
        state, loss = _advance(hyper, state, batch, jax.random.fold_in(step_key, step))
        if not np.isfinite(loss):
            return begun["w"], losses, step
        losses.append(float(loss))
        last = (step + 1) % span == 0 or step + 1 == steps
        if last and not all(np.isfinite(np.asarray(a)).all() for a in jax.tree.leaves(state)):
            return begun["w"], losses, step
    return state["w"], losses, -1


@jax.jit
def _advance(hyper, state, batch, key):
    after, info = learner(hyper).step(state, batch, key)
    return after, info.loss


def order_by_hand(seed, steps, *, size=SIZE, batch_size=BATCH):
    """List the examples of each step: every epoch sorts fresh random bits and deals batches, leftovers stay out."""
    key = jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), zlib.crc32(b"order"))
    per_epoch, rows = size // batch_size, []
    for epoch in range(-(-steps // per_epoch)):
        shuffled = np.argsort(np.asarray(jax.random.bits(jax.random.fold_in(key, epoch), (size,))), kind="stable")
        rows += [shuffled[b * batch_size : (b + 1) * batch_size] for b in range(per_epoch)]
    return rows[:steps]


def same_bits(one, other):
    """Raise unless two trees of arrays hold the same bits (NaN equals NaN)."""
    jax.tree.map(np.testing.assert_array_equal, one, other)
