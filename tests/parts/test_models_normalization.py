"""Normalizations beside the usual ones compute what their papers say: PyTorch and NumPy as twins."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from deepprinciples.parts.models import cnn, lstm, mlp
from deepprinciples.parts.models.normalization import standardized

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (6, 5))
PICTURES = jax.random.normal(jax.random.key(2), (3, 5, 4, 2))
DENSE = {"outputs": 3, "depth": 1, "width": 4, "activation": "identity"}


def run(model, x, train=False, state=None):
    """Give params, new state and activations."""

    @jax.jit
    def call(x):
        params, first = model.init(KEY, x)
        _, new, activations = model.apply(params, first if state is None else state, x, key=None, train=train)
        return params, new, activations

    return jax.device_get(call(x))


def products(params, x):
    return np.asarray(x) @ params["layer_00"]["linear"]["kernel"] + params["layer_00"]["linear"]["bias"]


def test_ghost_batches_are_batches_in_a_row():
    """Lost: small batches inside a large one; evaluation with other statistics than batches one by one would leave."""
    model = mlp(**DENSE, normalization="ghost", ghost_size=2)
    params, state, activations = run(model, X, train=True)
    twin = torch.nn.BatchNorm1d(4, momentum=0.1)
    z = products(params, X)
    parts = [twin(torch.tensor(z[i : i + 2])).detach().numpy() for i in (0, 2, 4)]
    np.testing.assert_allclose(activations["layer_00"], np.concatenate(parts), atol=1e-5)
    stats = state["batch_stats"]["layer_00"]["norm"]
    np.testing.assert_allclose(stats["mean"], twin.running_mean.numpy(), atol=1e-6)
    var = np.ones(4)
    for i in (0, 2, 4):  # PyTorch's running variance divides by n - 1
        var = 0.9 * var + 0.1 * z[i : i + 2].var(axis=0)
    np.testing.assert_allclose(stats["var"], var, rtol=1e-5)
    _, same, activations = run(model, X, state=state)
    jax.tree.map(np.testing.assert_array_equal, same, state)
    np.testing.assert_allclose(activations["layer_00"], (z - stats["mean"]) / np.sqrt(var + 1e-5), atol=1e-5)


@pytest.mark.parametrize("size", [6, 16])
def test_one_ghost_is_batch_normalization(size):
    """Lost: the arm with a batch no larger than a ghost would differ from the arm with batch normalization."""
    ghost = run(mlp(**DENSE, normalization="ghost", ghost_size=size), X, train=True)
    batch = run(mlp(**DENSE, normalization="batch"), X, train=True)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), ghost, batch)


def test_instances_are_pytorchs():
    """Lost: statistics of each picture and channel; and where Linen gives zeros, a dead network without a word."""
    model = cnn(outputs=2, depth=1, width=4, stages=0, activation="identity", normalization="instance")
    plain = cnn(outputs=2, depth=1, width=4, stages=0, activation="identity")
    z = torch.tensor(run(plain, PICTURES)[2]["layer_00"]).movedim(-1, 1)
    expected = torch.nn.functional.instance_norm(z, eps=1e-6).movedim(1, -1).numpy()
    np.testing.assert_allclose(run(model, PICTURES)[2]["layer_00"], expected, atol=1e-5)
    with pytest.raises(ValueError, match=r"instance: each feature has one position \[B, 4\]"):
        jax.eval_shape(mlp(**DENSE, normalization="instance").init, KEY, X)


def test_standardized_kernels_by_hand():
    """Lost: mean 0 and variance 1 / fan-in for each output unit; a library's axes would make it of each input."""
    found = standardized(jnp.array([[1.0, 5.0], [3.0, 5.0], [1.0, 2.0], [3.0, 0.0]]))
    root = 18**0.5
    by_hand = [[-0.5, 2 / root], [0.5, 2 / root], [-0.5, -1 / root], [0.5, -3 / root]]
    np.testing.assert_allclose(found, by_hand, rtol=1e-5)
    conv = standardized(jax.random.normal(KEY, (3, 3, 2, 5)) + 0.3)
    np.testing.assert_allclose(conv.mean(axis=(0, 1, 2)), np.zeros(5), atol=1e-6)
    np.testing.assert_allclose((conv**2).sum(axis=(0, 1, 2)), np.ones(5), rtol=1e-5)
    np.testing.assert_array_equal(standardized(jnp.full((3, 1), 0.25)), np.zeros((3, 1)))
    with pytest.raises(ValueError, match=r"weight_standardized: a kernel \[1, 4\] has one weight"):
        standardized(jnp.ones((1, 4)))


def test_standardized_convolutions_are_the_papers():
    """Lost: the published pair, kernels of variance 1 before a group normalization; a bias or scale that steers."""
    model = cnn(outputs=2, depth=1, width=4, stages=0, activation="identity", normalization="weight_standardized")
    params, _, activations = run(model, PICTURES)
    w = params["layer_00"]["linear"]["kernel"]
    theirs = (w - w.mean(axis=(0, 1, 2))) / w.std(axis=(0, 1, 2))
    x = torch.tensor(np.asarray(PICTURES)).movedim(-1, 1)
    z = torch.nn.functional.conv2d(x, torch.tensor(theirs.transpose(3, 2, 0, 1)), padding="same")
    expected = torch.nn.functional.group_norm(z, 4, eps=1e-6).movedim(1, -1).numpy()
    np.testing.assert_allclose(activations["layer_00"], expected, atol=1e-5)
    moved = jax.tree.map_with_path(
        lambda path, p: 3 * p + 2 if "linear" in str(path) and "kernel" in str(path) else p, params
    )
    again = jax.jit(lambda p: model.apply(p, {}, PICTURES, key=None, train=False)[2])(moved)
    np.testing.assert_allclose(again["layer_00"], activations["layer_00"], atol=1e-4)


def test_both_kernels_of_a_recurrence_are_standardized():
    """Lost: the recurrence would keep its own scale. h_1 = W x, h_2 = U h_1, before the groups."""
    model = lstm(outputs=2, cell="rnn", width=4, activation="identity", normalization="weight_standardized")
    x = jnp.zeros((3, 2, 3)).at[:, 0].set(jnp.eye(3))
    params, _, activations = run(model, x)
    w, u = (np.asarray(standardized(params["layer_00"]["forward"][n]["kernel"])) for n in ("input", "recurrent"))
    np.testing.assert_allclose(activations["layer_00"][:, 0], w, atol=1e-5)
    np.testing.assert_allclose(activations["layer_00"][:, 1], w @ u, atol=1e-5)


def test_ghosts_that_do_not_fit_are_named():
    """Lost: a batch of 50 in ghosts of 16 would leave examples out."""
    model = mlp(**DENSE, normalization="ghost", ghost_size=4)
    params, state = jax.eval_shape(model.init, KEY, X)
    call = lambda p, s: model.apply(p, s, X, key=None, train=True)
    with pytest.raises(ValueError, match="ghost: a batch of 6 does not come in parts of 4; choose a ghost_size"):
        jax.eval_shape(call, params, state)
