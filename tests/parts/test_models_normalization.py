"""Normalizations beside the usual ones compute what their papers say: PyTorch and NumPy as twins."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from deepprinciples.parts.layers.kernel_transforms import Spectral, WeightNorm, standardized
from deepprinciples.parts.layers.normalization import groups_of
from deepprinciples.parts.models import cnn, mlp, rnn

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
    model = mlp(**DENSE, normalization="ghost", ghost_size=3)
    params, state, activations = run(model, X, train=True)
    twin = torch.nn.BatchNorm1d(4, momentum=0.1)
    z = products(params, X)
    parts = [twin(torch.tensor(z[i : i + 3])).detach().numpy() for i in (0, 3)]
    np.testing.assert_allclose(activations["layer_00"], np.concatenate(parts), atol=1e-5)
    stats = state["batch_stats"]["layer_00"]["norm"]
    np.testing.assert_allclose(stats["mean"], twin.running_mean.numpy(), atol=1e-6)
    var = np.ones(4)
    for i in (0, 3):  # PyTorch's running variance divides by n - 1
        var = 0.9 * var + 0.1 * z[i : i + 3].var(axis=0)
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
    with pytest.raises(ValueError, match=r"instance normalization of \[B, 4\]: 1 value to each statistic"):
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
    model = rnn(outputs=2, width=4, activation="identity", normalization="weight_standardized")
    x = jnp.zeros((3, 2, 3)).at[:, 0].set(jnp.eye(3))
    params, _, activations = run(model, x)
    w, u = (np.asarray(standardized(params["layer_00"]["forward"][n]["kernel"])) for n in ("input", "recurrent"))
    np.testing.assert_allclose(activations["layer_00"][:, 0], w, atol=1e-5)
    np.testing.assert_allclose(activations["layer_00"][:, 1], w @ u, atol=1e-5)


def slopes(model, x):
    """Give the gradient of some loss with respect to the parameters, in training, by the path of each."""
    params, state = jax.jit(model.init)(KEY, x)
    loss = lambda p: jnp.sum(jnp.sin(model.apply(p, state, x, key=None, train=True)[0]))
    return {
        jax.tree_util.keystr(k): np.asarray(g) for k, g in jax.tree.leaves_with_path(jax.jit(jax.grad(loss))(params))
    }


@pytest.mark.parametrize("normalization", ["layer", "group", "rms", "weight_standardized"])
def test_an_empty_example_does_not_blow_up_the_gradient(normalization):
    """Lost: every run on data with one example of zeros: 14 layers of slope 1 / sqrt(1e-6) are more than float32."""
    model = mlp(outputs=2, depth=14, width=16, activation="tanh", normalization=normalization)
    found = slopes(model, X.at[0].set(0.0))
    assert all(np.isfinite(g).all() and np.abs(g).max() < 1e3 for g in found.values()), found


@pytest.mark.parametrize("normalization", ["group", "weight_standardized", "layer"])
@pytest.mark.parametrize("width", [3, 4, 8, 16])
def test_narrow_layers_learn(normalization, width):
    """Lost: groups of one value are 0 and groups of two are signs, so a narrow network would stay at chance."""
    found = slopes(mlp(outputs=2, depth=1, width=width, normalization=normalization), X)
    assert np.abs(found["['layer_00']['linear']['kernel']"]).max() > 0.05


def test_groups_are_as_many_as_leave_four_values():
    """Lost: the usual 8 groups where there is room for them, and some normalization where there is not."""
    assert [groups_of(width, 1) for width in (3, 4, 8, 12, 16, 32, 64)] == [1, 1, 2, 2, 4, 8, 8]
    assert [groups_of(width, 4) for width in (1, 2, 6, 8)] == [1, 2, 2, 8]


@pytest.mark.parametrize("normalization, width", [("group", 2), ("weight_standardized", 1), ("layer", 2), ("rms", 1)])
def test_layers_too_narrow_to_normalize_are_refused(normalization, width):
    """Lost: a network that no step changes before its last norm, without a word."""
    model = mlp(outputs=2, depth=1, width=width, normalization=normalization)
    with pytest.raises(ValueError, match=rf"{normalization} normalization of \[B, {width}\]: {width} value"):
        jax.eval_shape(model.init, KEY, X)


@pytest.mark.parametrize("examples", [1, 2])
@pytest.mark.parametrize("normalization", ["batch", "ghost"])
def test_a_batch_too_small_for_statistics_is_refused(normalization, examples):
    """Lost: over one example or two, batch normalization lets no gradient pass to what is before it."""
    model = mlp(**DENSE, normalization=normalization)
    call = lambda x, train: model.apply(*model.init(KEY, X), x, key=None, train=train)
    with pytest.raises(ValueError, match=f"{normalization} normalization over {examples} example"):
        jax.eval_shape(lambda x: call(x, True), X[:examples])
    jax.eval_shape(lambda x: call(x, False), X[:examples])
    picture = cnn(outputs=2, depth=1, width=4, normalization=normalization)  # its positions are values enough
    jax.eval_shape(lambda x: picture.apply(*picture.init(KEY, x), x, key=None, train=True), PICTURES[:examples])


def test_a_kernel_of_zeros_is_the_plain_map_under_weight_normalization():
    """Lost: 0 / 0 from the start, or a unit that never moves."""
    x, v = jnp.ones((2, 3)), jnp.zeros((3, 4)).at[:, 0].set(2.0)
    module = WeightNorm()
    params = module.init(KEY, v)
    out, slope = jax.value_and_grad(lambda v: jnp.sum(x @ module.apply(params, v)))(v)
    np.testing.assert_allclose(out, 12.0, rtol=1e-6)
    np.testing.assert_allclose(slope[:, 1:], np.full((3, 3), 2.0), rtol=1e-6)
    assert np.isfinite(slope).all()


def test_a_kernel_of_zeros_is_divided_once_it_moves():
    """Lost: the spectral norm, for good: a vector of zeros stays one through every step of the power iteration."""
    module = Spectral()
    state = module.init(KEY, jnp.zeros((3, 4)), train=False)
    _, state = module.apply(state, jnp.zeros((3, 4)), train=True, mutable=["batch_stats"])
    kernel = 5.0 * jnp.eye(3, 4)
    for _ in range(20):
        found, state = module.apply(state, kernel, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(np.linalg.svd(found, compute_uv=False)[0], 1.0, rtol=1e-3)


def test_equal_weights_pass_the_plain_gradient():
    """Lost: a kernel of zeros would get a gradient of 1e5 where it is standardized, and never come back."""
    slope = jax.grad(lambda v: jnp.sum(standardized(v)[0]))(jnp.zeros((4, 2)))
    np.testing.assert_allclose(slope, np.repeat([[0.75], [-0.25], [-0.25], [-0.25]], 2, axis=1), rtol=1e-6)


def test_ghosts_that_do_not_fit_are_named():
    """Lost: a batch of 50 in ghosts of 16 would leave examples out."""
    model = mlp(**DENSE, normalization="ghost", ghost_size=4)
    params, state = jax.eval_shape(model.init, KEY, X)
    call = lambda p, s: model.apply(p, s, X, key=None, train=True)
    with pytest.raises(ValueError, match="ghost: a batch of 6 does not come in parts of 4; choose a ghost_size"):
        jax.eval_shape(call, params, state)
