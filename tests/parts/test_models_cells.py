"""What recurrent networks do between time steps: by hand, and absent where it is switched off."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepprinciples.parts.models import TABLE, lstm, rnn

KEY = jax.random.key(0)
X = np.asarray(jax.random.normal(jax.random.key(1), (2, 5, 3)))
SMALL = {"outputs": 2, "width": 4, "bias_initializer": "ones"}
TRICKS = ("variational_dropout", "zoneout", "cell_zoneout", "max_gradient")
# h_t = W x_t + U h_{t-1} with W = U = 1: states can be told by counting
PLAIN = {
    "outputs": 1, "activation": "identity", "initializer": "identity",
    "recurrent_initializer": "identity", "bias_initializer": "zeros",
}  # fmt: skip


def run(model, x, train=False, change=lambda params: params):
    @jax.jit
    def call(x):
        params, state = model.init(KEY, x)
        params = change(params)
        return params, model.apply(params, state, x, key=KEY, train=train)[2]

    params, activations = jax.device_get(call(x))
    return params["layer_00"]["forward"], activations["layer_00"]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def standard(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_sequences_that_begin_with_zeros_have_a_gradient(cell):
    """Lost: every run with layer normalization in its cells on padded series, at its first step."""
    x = np.concatenate([np.zeros((2, 30, 3), np.float32), X], axis=1)
    model = TABLE[cell](outputs=2, width=4, cell_normalization="layer")
    params, state = jax.jit(model.init)(KEY, x)
    loss = lambda p: jnp.sum(jnp.sin(model.apply(p, state, x, key=KEY, train=True)[0]))
    for path, slope in jax.tree.leaves_with_path(jax.jit(jax.grad(loss))(params)):
        assert np.isfinite(slope).all() and 0.0 < np.abs(slope).max() < 1e3, jax.tree_util.keystr(path)


def test_cells_too_narrow_to_normalize_are_refused():
    """Lost: two units normalized over themselves are signs, and no gradient passes."""
    with pytest.raises(ValueError, match="cell_normalization of width 2: 2 values to each statistic"):
        jax.eval_shape(lstm(outputs=2, width=2, cell_normalization="layer").init, KEY, X)


def norm_by_hand(cell, p, x):
    w, u, b = p["input"]["kernel"], p["recurrent"]["kernel"], p["input"]["bias"]
    h = c = np.zeros((len(x), u.shape[0]))
    hidden = []
    for t in range(x.shape[1]):
        xs, hs = x[:, t] @ w, h @ u
        if cell == "lstm":
            z = standard(xs) * p["input_gain"] + standard(hs) * p["recurrent_gain"] + b
            i, f, g, o = np.split(z, 4, axis=-1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(standard(c) * p["cell_gain"] + p["cell_bias"])
        elif cell == "gru":
            xs, hs = (np.concatenate([standard(a[:, :8]), standard(a[:, 8:])], axis=-1) for a in (xs, hs))
            (xr, xz, xn), (hr, hz, hn) = (
                np.split(a, 3, axis=-1) for a in (xs * p["input_gain"] + b, hs * p["recurrent_gain"])
            )
            z = sigmoid(xz + hz)
            h = (1 - z) * np.tanh(xn + sigmoid(xr + hr) * hn) + z * h
        else:
            h = np.tanh(standard(xs + hs) * p["recurrent_gain"] + b)
        hidden.append(h)
    return np.stack(hidden, 1)


def learned(params):
    """Move gains and biases off their start, where many mistakes do not show."""
    return jax.tree.map_with_path(
        lambda path, p: p + 0.3 * jnp.cos(jnp.arange(p.size, dtype=p.dtype)) if p.ndim == 1 else p, params
    )


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_layer_normalization_in_cells_by_hand(cell):
    """Lost: the paper's cell: sums of inputs and states apart, c before the output gate, the bias after."""
    model = TABLE[cell](**SMALL, cell_normalization="layer", recurrent_initializer="he_normal")
    params, hidden = run(model, X, change=learned)
    np.testing.assert_allclose(hidden, norm_by_hand(cell, params, X), atol=1e-4)


def test_layer_normalization_in_cells_takes_normalized_kernels():
    """Lost: with weight normalization the bias would come before the norm of the sums."""
    outputs = []
    for normalization in ("none", "weight"):
        model = lstm(**SMALL, cell_normalization="layer", normalization=normalization)
        outputs.append(run(model, X)[1])
    np.testing.assert_allclose(*outputs, atol=1e-5)  # a weight-normalized network starts as the plain one


def test_variational_dropout_drops_the_same_units_at_all_steps():
    """Lost: noise that is drawn anew at every step, which wipes out what a recurrent network remembers."""
    steps = np.ones((300, 4, 1), np.float32)
    model = rnn(**PLAIN, width=1, variational_dropout=jnp.float32(0.4))
    params, hidden = run(model, steps, train=True)
    hidden = hidden[..., 0]
    seen, carried = hidden[:, 0], hidden[:, 1] - hidden[:, 0]  # x m / 0.6, and then h m' / 0.6
    np.testing.assert_allclose(np.unique(seen.round(4)), [0, 1.6667], atol=1e-4)
    alive = seen > 0
    kept = carried[alive] / seen[alive]
    np.testing.assert_allclose(np.unique(kept.round(4)), [0, 1.6667], atol=1e-4)
    for t in range(1, 4):
        np.testing.assert_allclose(hidden[alive, t], seen[alive] + kept * hidden[alive, t - 1], rtol=1e-5)
    assert not hidden[~alive].any() and abs(alive.mean() - 0.6) < 0.12 and abs((kept > 0).mean() - 0.6) < 0.15
    np.testing.assert_allclose(run(model, steps)[1][0, :, 0], [1, 2, 3, 4], rtol=1e-6)


def test_variational_dropout_reaches_the_outputs():
    """Lost: the paper's third mask, between the last layer and the outputs."""
    model = rnn(**{**PLAIN, "outputs": 1, "readout": "every"}, width=1, variational_dropout=jnp.float32(0.4))
    x = jnp.ones((200, 3, 1))

    @jax.jit
    def call(x):
        params, state = model.init(KEY, x)
        outputs, _, activations = model.apply(params, state, x, key=KEY, train=True)
        return params["output"]["kernel"], outputs[..., 0], activations["layer_00"][..., 0]

    kernel, outputs, hidden = jax.device_get(call(x))
    alive = hidden[:, 0] > 0
    factors = outputs[alive] / (hidden[alive] * kernel[0])
    np.testing.assert_allclose(factors, np.repeat(factors[:, :1], 3, axis=1), rtol=1e-5)
    np.testing.assert_allclose(np.unique(factors.round(4)), [0, 1.6667], atol=1e-4)


def test_zoneout_by_hand():
    """Lost: entries that keep their last value, one by one; and in evaluation, the mean of what training draws."""
    x = np.asarray(jax.random.normal(KEY, (400, 6, 1)))
    model = rnn(**{**PLAIN, "recurrent_initializer": "zeros"}, width=1, zoneout=jnp.float32(0.3))  # candidate: x_t
    _, drawn = run(model, x, train=True)
    _, mean = run(model, x)
    before = np.concatenate([np.zeros((400, 1, 1)), drawn[:, :-1]], axis=1)
    stayed = drawn == before
    np.testing.assert_array_equal(drawn, np.where(stayed, before, x).astype(np.float32))
    assert abs(stayed.mean() - 0.3) < 4 * np.sqrt(0.21 / 2400)
    assert abs((stayed[:, 1:] & stayed[:, :-1]).mean() - 0.09) < 0.03  # steps draw apart
    h = np.zeros((400, 1))
    for t in range(6):
        h = 0.3 * h + 0.7 * x[:, t]
        np.testing.assert_allclose(mean[:, t], h, atol=1e-5)


def test_zoneout_of_the_cell_leaves_the_output_gate_to_see_it():
    """Lost: c and h have rates of their own; h is made of the c that was to be, as in the paper."""
    sizes = {**SMALL, "width": 3}
    model = lstm(**sizes, cell_zoneout=jnp.float32(0.4))
    params, hidden = run(model, X)
    w, u, b = params["input"]["kernel"], params["recurrent"]["kernel"], params["input"]["bias"]
    h = c = np.zeros((2, 3))
    for t in range(5):
        i, f, g, o = np.split(X[:, t] @ w + h @ u + b, 4, axis=-1)
        new = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h, c = sigmoid(o) * np.tanh(new), 0.4 * c + 0.6 * new
        np.testing.assert_allclose(hidden[:, t], h, atol=1e-5)
    assert not np.allclose(run(model, X, train=True)[1], hidden)


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_gradients_between_steps_are_bounded(cell):
    """Lost: clipped backpropagation through time. With U = 2 gradients of 1, 2, 4, 8, 16 become 1, 2, 3, 3, 3."""
    x = jnp.zeros((1, 5, 1))
    initializer = jax.nn.initializers.constant(2.0)
    model = rnn(**{**PLAIN, "recurrent_initializer": initializer}, width=1, max_gradient=jnp.float32(3.0))

    def slopes(model, weight=1.0):
        def loss(tap):
            params, state = model.init(KEY, x)
            state = {**state, "perturbations": {"layer_00": tap}}
            return weight * model.apply(params, state, x, key=None, train=False)[2]["layer_00"][0, -1, 0]

        return np.asarray(jax.jit(jax.grad(loss))(jnp.zeros((1, 5, 1))))[0, :, 0]

    if cell == "rnn":
        np.testing.assert_allclose(slopes(model), [3, 3, 3, 2, 1])
        return
    # the path of the cell: with a bound far below all slopes, what arrives at the first step is at most the bound
    bounded = slopes(lstm(outputs=1, width=1, max_gradient=jnp.float32(1e-3), recurrent_initializer="ones"), 100.0)
    free = slopes(lstm(outputs=1, width=1, recurrent_initializer="ones"), 100.0)
    assert np.abs(bounded[:-1]).max() <= 1e-3 + 1e-7 < np.abs(free[:-1]).max()
    np.testing.assert_allclose(bounded[-1], free[-1])  # the loss itself is not clipped


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_neutral_tricks_leave_values_and_gradients(cell):
    """Lost: an arm with all tricks carried along at their neutral values would train otherwise."""
    off = {name: value for name, value in TABLE[cell].neutral.items() if name in TRICKS}
    tokens = jnp.array([[3, 1, 2, 0, 0], [2, 2, 6, 1, 0]])
    sizes = {**SMALL, "vocabulary": 7, "padding": 0}

    @jax.jit
    def call(values):
        models = TABLE[cell](**sizes), TABLE[cell](**sizes, **values)
        params, state = models[0].init(KEY, tokens)
        loss = lambda p, m: jnp.sum(jnp.sin(m.apply(p, state, tokens, key=KEY, train=True)[0]))
        return [jax.value_and_grad(loss)(params, model) for model in models]

    plain, neutral = jax.device_get(call(jax.tree.map(jnp.float32, off)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), plain, neutral)


def test_without_tricks_the_quick_kernels_run():
    """Lost: their speed, and the bits of every network that was trained before."""

    def program(**tricks):
        model = lstm(**SMALL, **tricks)
        params, state = jax.eval_shape(model.init, KEY, X)
        return str(jax.make_jaxpr(lambda p, s: model.apply(p, s, X, key=KEY, train=True)[0])(params, state))

    off = {"variational_dropout": 0.0, "zoneout": 0.0, "cell_zoneout": 0.0, "max_gradient": float("inf")}
    assert program() == program(**off)
    assert program().count("custom_vjp") > program(zoneout=0.1).count("custom_vjp")
