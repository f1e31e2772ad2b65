"""The recurrent networks compute what their formulas say, forward and through time."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepprinciples.parts.models import gru, lstm, rnn
from deepprinciples.types import ACTIVATION_DERIVATIVE

# compiling is most of the time here, so XLA optimizes little
KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (2, 5, 3))
SMALL = {"outputs": 2, "width": 4, "bias_initializer": "ones"}


def run(model, x):
    @jax.jit
    def call(x):
        params, state = model.init(KEY, x)
        outputs, _, activations = model.apply(params, state, x, key=None, train=False)
        return params, outputs, activations

    return jax.device_get(call(x))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def weights(params, direction="forward", layer="layer_00"):
    part = jax.tree.map(np.asarray, params[layer][direction])
    return part["input"]["kernel"], part["recurrent"]["kernel"], part["input"]["bias"]


def lstm_by_hand(params, x, **place):
    w, u, b = weights(params, **place)
    h = c = np.zeros((x.shape[0], u.shape[0]))
    hidden, cells = [], []
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ w + h @ u + b, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        hidden.append(h)
        cells.append(c)
    return np.stack(hidden, 1), np.stack(cells, 1)


def test_lstm_by_hand():
    """The LSTM would be another cell: gates in another order, or no forget bias of 1."""
    params, outputs, activations = run(lstm(**SMALL, depth=2), X)
    np.testing.assert_array_equal(weights(params)[2], np.repeat([1.0, 2.0, 1.0, 1.0], 4))
    hidden, cells = lstm_by_hand(params, np.asarray(X))
    np.testing.assert_allclose(activations["layer_00"], hidden, atol=1e-6)
    np.testing.assert_allclose(activations["layer_00" + ACTIVATION_DERIVATIVE], 1 - np.tanh(cells) ** 2, atol=1e-6)
    hidden, _ = lstm_by_hand(params, hidden, layer="layer_01")
    last = hidden[:, -1] @ np.asarray(params["output"]["kernel"]) + 1.0
    np.testing.assert_allclose(outputs, last, atol=1e-5)


def test_plain_cell_by_hand():
    """The plain recurrent network would be another one."""
    params, outputs, _ = run(rnn(**SMALL, readout="mean"), X)
    w, u, b = weights(params)
    h, hidden = np.zeros((2, 4)), []
    for t in range(5):
        h = np.tanh(np.asarray(X)[:, t] @ w + h @ u + b)
        hidden.append(h)
    expected = np.mean(hidden, axis=0) @ np.asarray(params["output"]["kernel"]) + 1.0
    np.testing.assert_allclose(outputs, expected, atol=1e-5)


def test_gru_equals_linens():
    """The GRU would be another cell than Linen's."""
    params, _, activations = run(gru(**SMALL, readout="every"), X)
    w, u, b = (np.split(a, 3, axis=-1) for a in weights(params))
    theirs = {f"i{gate}": {"kernel": w[n], "bias": b[n]} for n, gate in enumerate("rzn")}
    theirs |= {f"h{gate}": {"kernel": u[n]} for n, gate in enumerate("rzn")}
    theirs["hn"]["bias"] = np.zeros(4)
    hidden = jax.jit(nn.RNN(nn.GRUCell(4)).apply)({"params": {"cell": theirs}}, X)
    np.testing.assert_allclose(activations["layer_00"], hidden, atol=1e-6)


def test_bidirectional_reads_both_ends():
    """The backward half would read in order, or "last" would take its first state."""
    params, outputs, activations = run(lstm(**SMALL, bidirectional=True), X)
    assert not np.allclose(weights(params)[0], weights(params, "backward")[0])
    ahead, _ = lstm_by_hand(params, np.asarray(X))
    back, _ = lstm_by_hand(params, np.asarray(X)[:, ::-1], direction="backward")
    both = np.concatenate([ahead, back[:, ::-1]], axis=-1)
    np.testing.assert_allclose(activations["layer_00"], both, atol=1e-6)
    ends = np.concatenate([ahead[:, -1], back[:, -1]], axis=-1)
    np.testing.assert_allclose(outputs, ends @ np.asarray(params["output"]["kernel"]) + 1.0, atol=1e-5)


def test_skips_between_layers_by_hand():
    """A skip between recurrent layers would add in the wrong place."""
    x = np.asarray(X)
    for skip in ("residual", "highway", "dense"):
        params, outputs, activations = run(lstm(**SMALL, depth=2, skip=skip, readout="every", branch_scale=0.5), X)
        first, _ = lstm_by_hand(params, x)
        second, _ = lstm_by_hand(params, first, layer="layer_01")
        if skip == "residual":
            expected = first + 0.5 * second
        elif skip == "dense":
            expected = np.concatenate([first, second], axis=-1)
        else:
            gate = params["layer_01"]["gate"]
            opened = sigmoid(first @ np.asarray(gate["kernel"]) + np.asarray(gate["bias"]) - 1.0)
            expected = opened * second + (1 - opened) * first
        np.testing.assert_allclose(activations["layer_01"], expected, atol=1e-5)
        np.testing.assert_allclose(outputs, expected @ np.asarray(params["output"]["kernel"]) + 1.0, atol=1e-5)


def test_dense_bidirectional_layers_end_at_both_ends():
    """With concatenated layers "last" would take the first state of a backward half."""
    params, outputs, activations = run(lstm(**SMALL, depth=2, skip="dense", bidirectional=True), X)
    first, both = (np.asarray(activations[name]) for name in ("layer_00", "layer_01"))
    np.testing.assert_array_equal(both[..., :8], first)
    ahead, _ = lstm_by_hand(params, first, layer="layer_01")
    back, _ = lstm_by_hand(params, first[:, ::-1], layer="layer_01", direction="backward")
    np.testing.assert_allclose(both[..., 8:], np.concatenate([ahead, back[:, ::-1]], axis=-1), atol=1e-6)
    ends = np.concatenate([first[:, -1, :4], first[:, 0, 4:], ahead[:, -1], back[:, -1]], axis=-1)
    np.testing.assert_allclose(outputs, ends @ np.asarray(params["output"]["kernel"]) + 1.0, atol=1e-5)


def test_parameters_are_counted_by_hand():
    """Arms would differ in size where the user thinks they differ in method."""
    count = lambda factory=lstm, **changes: sum(
        leaf.size for leaf in jax.tree.leaves(jax.eval_shape(factory(**(SMALL | changes)).init, KEY, X)[0])
    )
    assert count() == 4 * (3 * 4 + 4 * 4 + 4) + 10
    assert count(gru) == 3 * (3 * 4 + 4 * 4 + 4) + 10
    assert count(rnn) == (3 * 4 + 4 * 4 + 4) + 10
    assert count(bidirectional=True) == 2 * 4 * (3 * 4 + 4 * 4 + 4) + (8 * 2 + 2)
    assert count(depth=2, skip="dense") == 4 * (3 * 4 + 4 * 4 + 4) + 4 * (4 * 4 + 4 * 4 + 4) + (8 * 2 + 2)
    assert count(normalization="weight") == 4 * (3 * 4 + 4 * 4 + 4) + 2 * 16 + 10


def test_gates_are_initialized_one_by_one():
    """Orthogonal recurrent kernels would be orthogonal over all gates at once, and Glorot fans four times too wide."""
    params, _ = jax.jit(lstm(outputs=2, width=4).init)(KEY, X)
    for gate in np.split(weights(params)[1], 4, axis=-1):
        np.testing.assert_allclose(gate @ gate.T, np.eye(4), atol=1e-5)
    assert float(np.abs(weights(params)[0]).max()) > (6 / (3 + 16)) ** 0.5


def test_forget_bias_opens_the_path_through_time():
    """The forget bias would not reach the forget gate. Zero weights, 50 steps: the cell path carries sigmoid(b)^50."""
    x = jnp.zeros((1, 51, 1))

    def through(forget_bias):
        zeros = {"initializer": "zeros", "recurrent_initializer": "zeros"}
        model = lstm(outputs=1, width=1, forget_bias=forget_bias, **zeros)
        params, state = model.init(KEY, x)
        part = params["layer_00"]["forward"]
        candidate = jnp.array([[0.0, 0.0, 1.0, 0.0]])  # one way in: dc_1/dx_1 = sig(0) = 1/2, and dh/dc = sig(0)
        part = {**part, "input": {**part["input"], "kernel": candidate}}
        params = {**params, "layer_00": {"forward": part}}
        last = lambda x: model.apply(params, state, x, key=None, train=False)[2]["layer_00"][0, -1, 0]
        return 4 * jax.grad(last)(x)[0, 0, 0]

    carried = jax.jit(jax.vmap(through))(jnp.array([0.0, 1.0, np.log(49.0)]))
    np.testing.assert_allclose(carried, [8.9e-16, 1.576e-7, 0.3642], rtol=3e-3)


def test_chrono_biases_span_the_lags():
    """Chrono initialization would cover other time scales: b_f = log U(1, T - 1), b_i = -b_f."""
    params, _ = jax.jit(
        lstm(outputs=2, width=200, longest_lag=50, forget_bias=9.0, recurrent_initializer="zeros").init
    )(KEY, X)
    i, f, g, o = np.split(np.asarray(weights(params)[2]), 4)
    np.testing.assert_array_equal(i, -f)
    assert 0.0 <= f.min() < 1.0 and 3.7 < f.max() <= np.log(49.0)
    assert abs(np.exp(f).mean() - 25.0) < 4 * 48 / np.sqrt(12 * 200)
    assert not g.any() and not o.any()


def test_outputs_at_every_step_see_no_future():
    """A sequence model would read its answers: tested through gradients."""
    model = lstm(**SMALL, readout="every", depth=2, skip="residual", normalization="layer")

    @jax.jit
    def slopes(x):
        params, state = model.init(KEY, x)
        at_step = lambda x, t: model.apply(params, state, x, key=None, train=False)[0][:, t].sum()
        return jax.vmap(jax.grad(at_step), in_axes=(None, 0))(x, jnp.arange(5))

    grads = np.asarray(slopes(X))
    reach = np.abs(grads).sum(axis=(1, 3)) > 0  # [output step, input step]
    np.testing.assert_array_equal(reach, np.tril(np.ones((5, 5), bool)))


def test_taps_reach_through_the_recurrence():
    """The gradient through time would stop at each step: with the last state read, all steps must matter."""
    model = lstm(**SMALL, depth=2, skip="dense")

    def loss(perturbations):
        params, state = model.init(KEY, X)
        return model.apply(params, {**state, "perturbations": perturbations}, X, key=None, train=False)[0].sum()

    first, both = jax.jit(jax.grad(loss))({"layer_00": jnp.zeros((2, 5, 4)), "layer_01": jnp.zeros((2, 5, 8))}).values()
    copied, own = np.split(np.abs(both), 2, axis=-1)  # what a dense layer only passes on is no part of its recurrence
    assert (np.abs(first).max(axis=(0, 2)) > 1e-6).all() and (own.max(axis=(0, 2)) > 1e-6).all()
    assert not copied[:, :-1].any() and copied[:, -1].all()


def test_tokens_are_embedded_and_named():
    """Token ids would be taken for numbers, or the embedding miss in the gradient-flow picture."""
    tokens = jnp.array([[0, 1, 2], [2, 2, 6]])
    params, outputs, activations = run(lstm(**SMALL, vocabulary=7, embedding=3), tokens)
    table = np.asarray(params["embedding"]["embedding"])
    assert table.shape == (7, 3)
    np.testing.assert_array_equal(activations["embedding"], table[np.asarray(tokens)])
    hidden, _ = lstm_by_hand(params, table[np.asarray(tokens)])
    np.testing.assert_allclose(activations["layer_00"], hidden, atol=1e-6)
    assert outputs.shape == (2, 2)


@pytest.mark.parametrize("readout", ["last", "mean"])
def test_padding_changes_nothing(readout):
    """A sentence would be classified by how much it was filled up."""
    model = lstm(**SMALL, vocabulary=7, padding=0, readout=readout, bidirectional=True, depth=2, skip="residual")

    @jax.jit
    def call(short, filled):
        params, state = model.init(KEY, short)
        return [model.apply(params, state, x, key=None, train=False)[0] for x in (short, filled)]

    short, filled = call(jnp.array([[3, 1, 2], [2, 2, 6]]), jnp.array([[3, 1, 2, 0, 0], [2, 2, 6, 0, 0]]))
    np.testing.assert_allclose(filled, short, atol=1e-6)


@pytest.mark.parametrize("readout", ["last", "mean"])
def test_an_empty_sequence_is_one_of_zeros(readout):
    """Lost: the mean over no step is 0 / 0, and one empty text makes every weight NaN."""
    x = jnp.array([[0, 0, 0], [1, 2, 0]])
    model = lstm(outputs=2, width=4, vocabulary=5, padding=0, readout=readout)
    params, state = jax.jit(model.init)(KEY, x)
    loss = lambda p: jnp.sum(model.apply(p, state, x, key=None, train=True)[0])
    value, slopes = jax.jit(jax.value_and_grad(loss))(params)
    assert np.isfinite(value) and all(np.isfinite(g).all() for g in jax.tree.leaves(slopes))
    outputs = jax.jit(lambda p: model.apply(p, state, x, key=None, train=False)[0])(params)
    np.testing.assert_allclose(outputs[0], params["output"]["bias"], atol=1e-6)


def test_stock_kernels_give_the_same_network():
    """The twin that the fast kernels are checked against could not be asked for, or be another network."""
    fast, stock = (run(lstm(**SMALL, depth=2, kernels=k), X) for k in ("auto", "stock"))
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-6), fast, stock)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (jnp.ones((2, 8, 8, 1)), r"^lstm: .* found float32 \[B, 8, 8, 1\]; use model cnn or mlp for images"),
        (jnp.ones((2, 8)), r"found float32 \[B, 8\]; use model mlp for feature vectors"),
        (jnp.ones((2, 8), jnp.int32), "token ids need a vocabulary"),
    ],
)
def test_what_is_no_sequence_is_refused_in_one_line(x, words):
    """A user would read a traceback from inside a scan."""
    with pytest.raises(ValueError, match=words) as caught:
        jax.eval_shape(lstm(outputs=2).init, KEY, x)
    assert "\n" not in str(caught.value)
