"""One contract for every small part: what a sweep and a compiled comparison rely on.

A failure here means: a config that names the part crashes, gives NaN, or trains differently inside a vmapped sweep.
"""

from __future__ import annotations

import functools
import inspect
import types
import typing

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from deepprinciples.domains.registry import TABLES
from deepprinciples.parts import (
    activations,
    augment,
    gradient_rules,
    initializers,
    losses,
    metrics,
    optimizers,
    regularizers,
    schedules,
    transforms,
    weights,
)
from deepprinciples.types import ActivationPenalty, Array, Batch, ClipState, FunctionPenalty, Scalar

ROOMS = {
    "activations": activations,
    "initializers": initializers,
    "losses": losses,
    "metrics": metrics,
    "optimizers": optimizers,
    "augment": augment,
    "regularizers": regularizers,
    "gradient_rules": gradient_rules,
    "schedules": schedules,
    "transforms": transforms,
    "weights": weights,
}
PARTS = [(room, name) for room, module in ROOMS.items() for name in module.TABLE]
NEUTRAL = {(room, name): one.TABLE[name].neutral for room, one in ROOMS.items() for name in one.TABLE
           if hasattr(one.TABLE[name], "neutral")}  # fmt: skip

KEY = jax.random.key(7, impl="threefry2x32")
PARAMS = {
    "layer_00": {"kernel": jnp.array([[0.5, -1.0], [0.25, 2.0], [1.5, -0.75]]), "bias": jnp.array([0.1, -0.2])},
    "output": {"kernel": jax.random.normal(KEY, (3, 2, 2))},
}
LOGITS = jnp.array([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0], [0.2, 0.1, 0.3], [-1.0, 1.0, 0.0]])
LABELS = jnp.array([0, 1, 2, 0])
PICTURES = jax.random.normal(KEY, (4, 5, 6, 2))
REAL = jnp.array([[0.5, -1.0, 0.0], [1.0, 2.0, -1.5], [0.0, 0.0, 0.1], [3.0, -2.0, 1.0]])


def neutral_names(room: str) -> list[str]:
    return [name for each, name in NEUTRAL if each == room]


def floats(factory) -> dict[str, float]:
    return {k: p.default for k, p in inspect.signature(factory).parameters.items() if isinstance(p.default, float)}


def targets_of(name: str) -> Array:
    needed = getattr((losses.TABLE | metrics.TABLE)[name], "targets", "")
    return {"binary": (REAL > 0).astype(jnp.float32), "": REAL}.get(needed, LABELS)


def inputs_of(name: str) -> Array:
    if name in augment.TABLE and name not in ("label_smoothing", "mixup", "dropout", "input_noise"):
        return PICTURES
    return REAL


def result(room: str, name: str, hypers: dict):
    """Use a part once, the way the engine does."""
    factory = ROOMS[room].TABLE[name]
    given = {"outputs": 3, "steps": 4, **({"k": 2} if name == "top_k_accuracy" else {})}
    asked = {key: value for key, value in given.items() if key in inspect.signature(factory).parameters}
    return USE[room](factory(**hypers, **asked), name)


def penalty(part, name):
    del name
    if isinstance(part, ActivationPenalty):
        return part.apply({"layer_00": LOGITS, "layer_01": PARAMS["output"]["kernel"], "output": LOGITS})
    return part.apply(jnp.sin, REAL, KEY) if isinstance(part, FunctionPenalty) else part(PARAMS)


USE = {  # kind -> (part, its name) -> what it computes
    "activations": lambda part, _: part(REAL),
    "initializers": lambda part, _: part(KEY, (2, 3, 4), jnp.float32),
    "schedules": lambda part, _: part(jnp.linspace(0.0, 1.0, 11)),
    "losses": lambda part, name: part(LOGITS, targets_of(name)),
    "metrics": lambda part, name: part(LOGITS, targets_of(name)),
    "regularizers": penalty,
    "augment": lambda part, name: part.apply(KEY, Batch(inputs_of(name), LABELS)),
    "weights": lambda part, _: part.apply(*part.after(*part.init(KEY, PARAMS))),
    "gradient_rules": lambda part, _: part(curved)(PARAMS, {}, Batch(REAL, LABELS), KEY),
    "optimizers": lambda part, _: descend(part),
    "transforms": lambda part, _: descend(part),
}


def curved(params, state, batch, key):
    """Compute a loss that is a mean over examples, with a state and auxiliary values, as a learner does."""
    del key
    hidden = jnp.tanh(batch.inputs @ params["output"]["kernel"].reshape(3, 4))
    loss = jnp.mean(jnp.sum(hidden**2, axis=1) + 0.1 * batch.targets * hidden[:, 0])
    return loss + 0.01 * sum(jnp.sum(w**2) for w in jax.tree.leaves(params)), (loss, state, {"layer": hidden})


def slope_of(params, t):
    del t
    return jax.tree.map(lambda w: 0.3 * (w - 0.2), params)


def descend(part, steps: int = 3, gradient=slope_of):
    part = optax.with_extra_args_support(part)

    def step(carry, t):
        params, state = carry
        value = 0.15 * sum(jnp.sum((w - 0.2) ** 2) for w in jax.tree.leaves(params))
        extras = {"key": jax.random.fold_in(KEY, t), "value": value}
        updates, state = part.update(gradient(params, t), state, params, **extras)
        return (optax.apply_updates(params, updates), state), updates

    (params, _), updates = jax.lax.scan(step, (PARAMS, part.init(PARAMS)), jnp.arange(steps))
    return params, updates


def close(a, b, tolerance: float = 2e-6) -> None:
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=tolerance * 10, atol=tolerance)


def same(a, b) -> None:
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


@pytest.mark.parametrize(("room", "name"), PARTS)
def test_signature_is_a_schema(room: str, name: str) -> None:
    """Lost: the config cannot be checked, or a float cannot be swept."""
    factory = ROOMS[room].TABLE[name]
    hints = typing.get_type_hints(factory)  # without ranges
    assert factory.__name__ == name
    for key, parameter in inspect.signature(factory).parameters.items():
        assert parameter.kind is parameter.KEYWORD_ONLY, key
        if isinstance(parameter.default, float):
            assert hints[key] == Scalar, key
        elif parameter.default is not inspect.Parameter.empty:
            assert hints[key] in (int, bool, str) or typing.get_origin(hints[key]) in (
                tuple,
                typing.Literal,
                types.UnionType,
            ), key
        assert f"\n  {key}: " in inspect.cleandoc(factory.__doc__), f"{key} is not on the card"
    card = inspect.cleandoc(factory.__doc__)
    assert "Returns:" in card and card.splitlines()[0].endswith(".")


@functools.cache
def plain_of(room: str) -> dict:
    """Run every part of a room as it is: step by step, but random draws, slow that way, in one program."""
    run = lambda: {name: result(room, name, {}) for name in ROOMS[room].TABLE}
    return jax.jit(run)() if room == "initializers" else run()


@functools.cache
def lanes_of(room: str) -> dict:
    """Run two lanes of every part of a room, or the part itself where nothing can be swept, in one program."""
    table = ROOMS[room].TABLE
    hypers = {n: {k: jnp.array([0.9 * v, v], jnp.float32) for k, v in floats(f).items()} for n, f in table.items()}

    def run(lanes):
        one = lambda name: functools.partial(result, room, name)
        return {name: jax.vmap(one(name))(h) if h else one(name)({}) for name, h in lanes.items()}

    return jax.jit(run)(hypers)


@pytest.mark.parametrize(("room", "name"), [part for part in PARTS if part[0] not in ("optimizers", "transforms")])
def test_finite_and_the_same_under_jit_and_vmap(room: str, name: str) -> None:
    """Lost: a lane of a sweep is not the run it stands for."""
    plain, out = plain_of(room)[name], lanes_of(room)[name]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(plain))
    close(plain, jax.tree.map(lambda leaf: leaf[1], out) if floats(ROOMS[room].TABLE[name]) else out)


@functools.cache
def descents_of(room: str) -> dict:
    """Run every part of a room in one program: alone, and as lanes, the last of which sleeps at first."""
    table = ROOMS[room].TABLE

    def every(name, h):
        def lane(h, sleeps):  # without any gradient for so many steps
            awake = lambda params, t: jax.tree.map(lambda g: jnp.where(t < sleeps, 0.0, g), slope_of(params, t))
            return descend(table[name](**h), 3, awake)

        lanes = jax.tree.map(lambda v: jnp.stack([0.9 * v, v, v]), h)
        alone = {**h, "learning_rate": lambda count: h["learning_rate"] + 0.0 * count} if room == "optimizers" else h
        return result(room, name, alone), jax.vmap(lane)(lanes, jnp.array([0, 0, 2]))

    hypers = {name: {k: jnp.float32(v) for k, v in floats(factory).items()} for name, factory in table.items()}
    return jax.jit(lambda given: {name: every(name, h) for name, h in given.items()})(hypers)


@pytest.mark.parametrize(("room", "name"), [part for part in PARTS if part[0] in ("optimizers", "transforms")])
def test_lanes_schedules_and_zero_gradients(room: str, name: str) -> None:
    """Lost: a lane of a sweep is not the run it stands for; a schedule crashes; a dead network turns into NaN."""
    alone, lanes = descents_of(room)[name]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((alone, lanes)))
    # Sums in another order: sharp functions of them (Newton-Schulz, third roots) differ by more than one rounding.
    close(alone, jax.tree.map(lambda leaf: leaf[1], lanes), 1e-5)


@pytest.mark.parametrize("name", ["sgd", "adam", "clip_by_global_norm", "noise"])
def test_python_floats_give_what_tracers_give(name: str) -> None:
    """Lost: a fixed hyper-parameter trains differently from the same value in a sweep."""
    room = "optimizers" if name in optimizers.TABLE else "transforms"
    hypers = floats(ROOMS[room].TABLE[name])
    close(*jax.jit(lambda h: (result(room, name, {}), result(room, name, h)))(hypers))


@pytest.mark.parametrize("name", neutral_names("transforms"))
def test_neutral_transform_hands_every_bit_on(name: str) -> None:
    """Lost: an arm without the trick is not the baseline."""
    grads = {"a": {"kernel": jnp.array([[1e20, -3.0], [1e-20, 0.0]])}, "b": jnp.array([1e-36, 7.0, -0.1])}

    @jax.jit
    def run(hypers):
        part = transforms.TABLE[name](**hypers)
        state = part.init(grads)
        given = [jax.tree.map(lambda g, size=size: g * size, grads) for size in (1.0, 2.0, 3.0)]
        outs = []
        for each in given:
            out, state = part.update(each, state, grads, key=KEY)
            outs.append(out)
        return outs, given

    outs, given = run({k: jnp.float32(v) for k, v in transforms.TABLE[name].neutral.items()})
    same(outs, given)


@pytest.mark.parametrize("name", neutral_names("augment"))
def test_neutral_augmentation_changes_nothing(name: str) -> None:
    """Lost: an arm without the trick is not the baseline."""
    out = jax.jit(lambda h: result("augment", name, h))(
        {k: jnp.float32(v) for k, v in augment.TABLE[name].neutral.items()}
    )
    rows = out.targets if jnp.issubdtype(out.targets.dtype, jnp.floating) else jax.nn.one_hot(out.targets, 3)
    same(out.inputs, inputs_of(name))
    same(rows, jax.nn.one_hot(LABELS, 3))
    same(losses.softmax_cross_entropy()(LOGITS, out.targets), losses.softmax_cross_entropy()(LOGITS, LABELS))


@pytest.mark.parametrize("name", neutral_names("regularizers"))
def test_neutral_regularizer_changes_nothing(name: str) -> None:
    """Lost: an arm without the trick is not the baseline."""
    out = jax.jit(lambda h: result("regularizers", name, h))(
        {k: jnp.float32(v) for k, v in regularizers.TABLE[name].neutral.items()}
    )
    assert float(out) == 0.0


@pytest.mark.parametrize(("room", "name"), [one for one in NEUTRAL if one[0] in ("losses", "schedules")])
def test_neutral_loss_and_schedule(room: str, name: str) -> None:
    """Lost: the card's promise of which value switches a part off."""
    out = result(room, name, {k: jnp.float32(v) for k, v in NEUTRAL[room, name].items()})
    if room == "schedules":
        same(out, jnp.ones(11))
        return
    plain = "sigmoid_binary_cross_entropy" if name == "sigmoid_focal" else "softmax_cross_entropy"
    close(out, losses.TABLE[plain]()(LOGITS, targets_of(name)))


@pytest.mark.parametrize("name", list(gradient_rules.TABLE))
def test_every_rule_tells_what_plain_tells_and_its_neutral_takes_the_gradient_of_plain(name: str) -> None:
    """Lost: losses, batch statistics and activations are those of another point; an arm without the trick differs."""
    neutral = {k: jnp.float32(v) for k, v in NEUTRAL.get(("gradient_rules", name), {}).items()}
    told, expected = plain_of("gradient_rules")[name][0], plain_of("gradient_rules")["plain"]
    close(told, expected[0], 1e-7)
    off = result("gradient_rules", name, neutral)  # step by step: a compiler may add in another order
    if name in ("sam", "asam", "extragradient", "gradient_norm_penalty"):
        same(off, expected)
    elif neutral or name == "microbatches":
        close(off, expected, 1e-7)


def test_neutral_optimizer_keyword_is_absent() -> None:
    """Lost: sgd with momentum 0 in a sweep is not sgd."""

    def updates(momentum):
        part = optimizers.sgd(momentum=momentum)
        return part.update(PARAMS, part.init(PARAMS), PARAMS)[0]

    same(jax.jit(lambda: updates(0.0))(), jax.jit(updates)(0.0))
    traced = jax.jit(lambda m: result("optimizers", "adamw", {"weight_decay": m}))(0.0)
    close(traced, result("optimizers", "adam", {}))


@pytest.mark.parametrize("name", [n for n in transforms.TABLE if "clip" in n])
def test_every_clip_tells_how_often_it_acts(name: str) -> None:
    """Lost: the trigger rate in the report."""
    part = transforms.TABLE[name]()
    state = jax.jit(lambda: part.update(PARAMS, part.init(PARAMS), PARAMS)[1])()
    clips = [n for n in jax.tree.leaves(state, is_leaf=lambda n: isinstance(n, ClipState)) if isinstance(n, ClipState)]
    assert len(clips) == 1 and int(clips[0].steps) == 1 and float(clips[0].norm) > 0


@functools.cache
def loss_gradients() -> dict[str, Array]:
    """Take the gradient of every loss at usual, confident, zero and perfect outputs, in one program: [4, B, C] each."""
    outputs = jnp.stack([LOGITS, 200.0 * LOGITS, jnp.zeros_like(LOGITS), REAL])

    def gradient(name: str):
        return jax.grad(lambda x: jnp.mean(losses.TABLE[name]()(x, targets_of(name))))

    return jax.jit(lambda x: {name: jnp.stack([gradient(name)(each) for each in x]) for name in losses.TABLE})(outputs)


@pytest.mark.parametrize("name", list(losses.TABLE))
def test_loss_gradients_are_finite_and_mispairings_are_named(name: str) -> None:
    """Lost: NaN on confident or perfect outputs, or a silently broadcast loss."""
    loss = losses.TABLE[name]()
    assert np.isfinite(loss_gradients()[name]).all()
    with pytest.raises(ValueError, match=rf"{name}: outputs float32\[4, 3\] and targets float32\[5, 3\] do not pair"):
        loss(LOGITS, jnp.zeros((5, 3)))
    with pytest.raises(ValueError, match="do not pair"):
        loss(LOGITS, jnp.zeros((4,)))


@functools.cache
def values_of_examples() -> dict:
    """Value every loss and metric in one program: all examples, the second alone, doubled outputs, both as steps."""

    def values(name: str, x: Array, y: Array):
        hypers = {"k": 2} if name == "top_k_accuracy" else {}
        part = losses.TABLE[name]() if name in losses.TABLE else metrics.TABLE[name](**hypers)
        steps = part(jnp.stack([x, 2 * x], axis=1), jnp.stack([y, y], axis=1))
        return part(x, y), part(x[1:2], y[1:2]), part(2 * x, y), steps

    given = {name: targets_of(name) for name in (*losses.TABLE, *metrics.TABLE)}
    return jax.jit(lambda x, targets: {name: values(name, x, y) for name, y in targets.items()})(LOGITS, given)


@pytest.mark.parametrize("name", [*losses.TABLE, *metrics.TABLE])
def test_values_are_per_example(name: str) -> None:
    """Lost: the statistics average over the wrong thing; an example's value depends on its neighbors."""
    values, second, doubled, steps = values_of_examples()[name]
    assert values.shape == (4,)
    close(values[1:2], second)
    if name not in ("dice", "tversky"):  # they see the positions of an example together
        close(steps, 0.5 * (values + doubled))


def test_tables_of_metrics_and_rules_are_complete() -> None:
    """Lost: a metric without direction, a rule without cost."""
    for name, factory in TABLES["metric"].items():
        assert factory.direction in ("max", "min"), name
        assert factory.worst is None or factory.direction == "min" or factory.worst == 0.0, name
    assert all(factory.evaluations >= 1 for factory in gradient_rules.TABLE.values())
