"""Every model of the table keeps the contract the engine, the probes and the sweeps rely on."""

import functools
import inspect
from typing import get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepprinciples.parts import models, transformers
from deepprinciples.parts.models import autoencoders
from deepprinciples.types import ACTIVATION_DERIVATIVE, AUXILIARY, Scalar

TABLE = {**models.TABLE, **transformers.TABLE}
KEY, OTHER = jax.random.key(0), jax.random.key(9)
SERIES = np.asarray(jax.random.normal(jax.random.key(2), (3, 4, 2)))
CASES = {
    "mlp": {"depth": 2, "width": 4, "skip": "residual", "normalization": "batch"},
    "cnn": {"depth": 2, "width": 4, "stages": 1, "skip": "residual", "normalization": "batch"},
    "resnet": {"blocks": 1, "width": 4},
    "unet": {"levels": 2, "width": 4, "normalization": "batch"},
    "lstm": {"depth": 2, "width": 4, "skip": "residual", "normalization": "batch"},
    "gru": {"depth": 2, "width": 4, "skip": "residual", "normalization": "batch"},
    "rnn": {"depth": 2, "width": 4, "skip": "residual", "normalization": "batch"},
    "transformer": {"depth": 2, "width": 8, "heads": 2, "readout": "mean"},
}
# compiling is most of the time here, so XLA optimizes little
every = pytest.mark.parametrize("name", sorted(CASES))


def floats_of(name):
    hints = get_type_hints(TABLE[name])
    return [p for p in inspect.signature(TABLE[name]).parameters if hints[p] == Scalar]


def lane(name, key_init, key, values, train=True, **changes):
    """One call from the key on: params, state, outputs, new state, activations."""
    model = TABLE[name](outputs=3, **{**CASES[name], **changes, **values})
    params, state = model.init(key_init, SERIES)
    return params, state, *model.apply(params, state, SERIES, key=key, train=train)


@functools.cache  # one compilation serves all tests of a model
def jitted(name):
    return jax.jit(functools.partial(lane, name), static_argnames="train")


def settings(name, value):
    return dict.fromkeys(floats_of(name), jnp.float32(value))


def test_cases_cover_the_table():
    """A model without a case would be promised to users and never tried."""
    # What reads pairs of sequences is tried in tests/parts/test_models_encoder_decoder.py and test_models_seq2seq.py.
    pairs = {"encoder_decoder", "seq2seq"}
    assert {*CASES, *pairs} == {name for name, factory in TABLE.items() if hasattr(factory, "neutral")}
    # What reconstructs its inputs has another shape of outputs: tests/parts/test_models_autoencoders.py.
    assert {*CASES, *pairs, *autoencoders.TABLE} == set(TABLE)


@every
def test_layers_have_one_name_and_states_one_shape(name):
    """The gradient and the activation of a layer would not share a row of the heat-map, or scan refuse the state."""
    params, state, outputs, new_state, activations = jitted(name)(KEY, KEY, settings(name, 0.4))
    positions = SERIES.shape[1:-1] if name == "unet" else ()
    assert outputs.shape == (3, *positions, 3) and bool(jnp.isfinite(outputs).all())
    assert jax.tree.map(jnp.shape, new_state) == jax.tree.map(jnp.shape, state)
    assert "perturbations" not in state and "intermediates" not in state
    assert {n for n in activations if not n.endswith(AUXILIARY)} == set(params)
    assert all(a.shape[0] == 3 for a in activations.values())
    assert {"layer_00", "layer_00" + ACTIVATION_DERIVATIVE, "output"} <= set(activations)


@pytest.mark.parametrize("name", ["mlp"])  # op by op the others take long
def test_plain_call_equals_jit(name):
    """What a user tries at the prompt would not be what trains."""
    plain, fast = (f(KEY, KEY, settings(name, 0.4)) for f in (functools.partial(lane, name), jitted(name)))
    assert jax.tree.structure(plain) == jax.tree.structure(fast)
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(fast), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@every
def test_seeds_and_floats_are_lanes_of_one_program(name):
    """Many lanes in one program would not be the runs they stand for, or a sweep not trace at all."""
    assert {"dropout"} <= set(TABLE[name].neutral) <= set(floats_of(name))
    keys = jax.random.split(KEY, 3)
    values = {n: jnp.array([0.0, 0.4, 0.4]) for n in floats_of(name)}
    outputs = lambda k, v: lane(name, k, k, v)[2]
    wide = jax.jit(jax.vmap(outputs))(keys, values)
    loop = [jitted(name)(k, k, settings(name, v))[2] for k, v in zip(keys, (0.0, 0.4, 0.4), strict=True)]
    np.testing.assert_allclose(wide, jnp.stack(loop), rtol=1e-4, atol=5e-6)
    assert not np.allclose(wide[0], wide[1]) and not np.allclose(wide[1], wide[2])


@every
def test_neutral_equals_absent(name):
    """An arm whose trick is switched off would differ from the arm without it."""
    neutral = {k: jnp.float32(v) for k, v in TABLE[name].neutral.items()}
    others = {n: jnp.float32(1.0) for n in floats_of(name) if n not in neutral}
    off = jitted(name)(KEY, KEY, {**neutral, **others})[2]
    absent = jax.jit(lambda v: lane(name, KEY, None, v)[2])(others)
    np.testing.assert_allclose(off, absent, rtol=1e-5, atol=1e-6)


@every
def test_keys_decide_weights_and_dropout(name):
    """Seeds would share an initialization or their masks, and the verdict would rest on one seed."""
    call, half = jitted(name), settings(name, 0.5)
    first, again, other = call(KEY, KEY, half), call(KEY, KEY, half), call(OTHER, KEY, half)
    jax.tree.map(np.testing.assert_array_equal, first, again)
    kernels = lambda result: [k for k in jax.tree.leaves(result[0]) if k.ndim > 1]
    assert all(not np.allclose(a, b) for a, b in zip(kernels(first), kernels(other), strict=True))
    masked = call(KEY, OTHER, half)
    jax.tree.map(np.testing.assert_array_equal, first[0], masked[0])
    assert not np.allclose(first[2], masked[2])


@every
def test_evaluation_needs_no_key(name):
    """Evaluation would be random, or ask for a key it must not use."""
    call, half = jitted(name), settings(name, 0.5)
    a, b = call(KEY, KEY, half, train=False), call(KEY, OTHER, half, train=False)
    np.testing.assert_array_equal(a[2], b[2])
    jax.tree.map(np.testing.assert_array_equal, a[1], a[3])
    jax.eval_shape(lambda: lane(name, KEY, None, {"dropout": 0.5}, train=False))
    with pytest.raises(ValueError, match="key is None in training"):
        jax.eval_shape(lambda: lane(name, KEY, None, {"dropout": 0.5}, train=True))


@every
def test_taps_give_the_gradient_of_every_activation(name):
    """The backward half of the gradient-flow evidence would be wrong: compared with finite differences."""
    # a smooth activation, and no maximum: differences across a kink would prove nothing
    smooth = {"activation": "tanh", "normalization": "none"} | ({"stages": 0} if name == "cnn" else {})
    model = TABLE[name](outputs=3, **{**CASES[name], **smooth})

    @jax.jit
    def slopes(directions):
        params, state = model.init(KEY, SERIES)

        def loss(lengths):
            perturbations = {n: length * d for length, (n, d) in zip(lengths, directions.items(), strict=True)}
            takes_perturbations = {**state, "perturbations": perturbations}
            outputs, new_state, _ = model.apply(params, takes_perturbations, SERIES, key=None, train=False)
            assert "perturbations" not in new_state
            return jnp.sum(jnp.sin(outputs))

        steps = 0.02 * jnp.eye(len(directions))
        ahead, back = jax.vmap(loss)(jnp.concatenate([steps, -steps])).reshape(2, -1)
        return (ahead - back) / 0.04, jax.grad(loss)(jnp.zeros(len(directions)))

    shapes = jax.eval_shape(lambda: lane(name, KEY, KEY, {}, **smooth)[4])
    directions = {
        n: jax.random.normal(jax.random.key(number), a.shape) / a.size**0.5
        for number, (n, a) in enumerate(shapes.items())
        if not n.endswith(AUXILIARY)
    }
    differences, gradients = slopes(directions)
    np.testing.assert_allclose(differences, gradients, rtol=0.02, atol=3e-4)
    assert (abs(gradients) > 1e-3).all()
