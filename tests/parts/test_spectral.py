"""Spectral normalization: every kernel a model multiplies by has largest singular value 1, in training and after."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepprinciples.parts.models import TABLE, cnn, lstm, mlp, rnn
from deepprinciples.parts.models.generators import resize_cnn

# compiling is most of the time here, so XLA optimizes little
KEY = jax.random.key(0)
CASES = {
    "mlp": ({"depth": 2, "skip": "highway"}, (3, 5)),
    "cnn": ({"depth": 2, "kernel": 3}, (3, 6, 5, 2)),
    "resnet": ({"blocks": 1, "stages": 2}, (3, 7, 2)),
    "lstm": ({"depth": 1, "bidirectional": True, "recurrent_initializer": "he_normal"}, (3, 4, 2)),
}


def settled(model, x, steps=300):
    """Give params and the state after so many calls in training: the power iteration has converged."""

    @jax.jit
    def run(x):
        params, state = model.init(KEY, x)
        move = lambda _, state: model.apply(params, state, x, key=None, train=True)[1]
        return params, jax.lax.fori_loop(0, steps, move, state)

    return jax.device_get(run(x))


def call(model, params, state, x, train=False):
    outputs = jax.jit(functools.partial(model.apply, key=None, train=train))
    return jax.device_get(outputs(params, state, x))


def top(kernel):
    return np.linalg.svd(np.asarray(kernel).reshape(-1, np.shape(kernel)[-1]), compute_uv=False)[0]


def kernels_of(params):
    paths = {jax.tree_util.keystr(p, simple=True, separator="/"): v for p, v in jax.tree.leaves_with_path(params)}
    return {path: value for path, value in paths.items() if path.endswith("kernel")}


def sigmas_of(state):
    """Give the singular values the layers divide by, under the names of their kernels."""
    found = {}
    for path, value in jax.tree.leaves_with_path(state["batch_stats"]):
        words = jax.tree_util.keystr(path, simple=True, separator="/").split("/")
        if words[-1] == "sigma":
            found["/".join([*words[:-2], words[-2].removesuffix("_norm"), "kernel"])] = value
    return found


def test_every_model_is_tried():
    """A model could leave its kernels unbounded and nobody would know."""
    assert set(CASES) <= set(TABLE)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in ("resnet", "lstm"))) for name in sorted(CASES)]
)
def test_every_kernel_is_divided_by_its_largest_singular_value(name):
    """A discriminator would not be Lipschitz: one layer, the readout or a gate, would be forgotten. Twin: NumPy."""
    changes, shape = CASES[name]
    model = TABLE[name](outputs=3, width=4, normalization="spectral", **changes)
    params, state = settled(model, jax.random.normal(KEY, shape))
    kernels, sigmas = kernels_of(params), sigmas_of(state)
    assert set(kernels) == set(sigmas) and "output/kernel" in kernels
    for path, kernel in kernels.items():
        np.testing.assert_allclose(sigmas[path], top(kernel), rtol=1e-3, err_msg=path)
        assert abs(top(kernel) - 1.0) > 1e-3, path  # else nothing was shown


def test_one_step_equals_linens():
    """The power iteration would take another step, or another gradient, than the library's."""
    x = jax.random.normal(KEY, (6, 5))

    class Twin(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.SpectralNorm(nn.Dense(4, name="output"), name="norm")(x, update_stats=True)

    model = mlp(outputs=4, depth=0, normalization="spectral", bias_initializer="ones")
    params, state = jax.device_get(jax.jit(model.init)(KEY, x))
    stats = {"norm": {f"output/kernel/{n}": value for n, value in state["batch_stats"]["output_norm"].items()}}

    def theirs(params):
        return Twin().apply({"params": params, "batch_stats": stats}, x, mutable=["batch_stats"])

    def ours(params):
        return model.apply(params, state, x, key=None, train=True)[:2]

    @jax.jit
    def both(params):
        grads = [jax.grad(lambda p, f=f: jnp.sum(jnp.sin(f(p)[0])))(params) for f in (ours, theirs)]
        return ours(params), theirs(params), *grads

    (outputs, moved), (expected, twin), grad, twin_grad = jax.device_get(both(params))
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-6)
    for name, value in moved["batch_stats"]["output_norm"].items():
        np.testing.assert_allclose(value, twin["batch_stats"]["norm"][f"output/kernel/{name}"], rtol=1e-4)
    # far from convergence, u and v would pass a gradient on if they were no constants
    np.testing.assert_allclose(grad["output"]["kernel"], twin_grad["output"]["kernel"], rtol=1e-4, atol=1e-5)


def test_a_dense_map_has_norm_one():
    """The kernel that acts would not be the one that was measured."""
    model = mlp(outputs=4, depth=0, normalization="spectral", bias_initializer="ones")
    eye = jnp.eye(6)
    params, state = settled(model, eye)
    effective = call(model, params, state, eye)[0] - 1.0
    np.testing.assert_allclose(top(effective), 1.0, atol=1e-3)
    np.testing.assert_allclose(effective, params["output"]["kernel"] / top(params["output"]["kernel"]), atol=1e-3)


@pytest.mark.parametrize("kernels", ["auto", "stock"])
def test_a_convolution_has_norm_one_as_a_matrix(kernels):
    """Convolutions would be scaled by another norm than the paper's [k k in, out], or our own kernels leave it out."""
    model = cnn(outputs=2, depth=1, width=4, stages=0, activation="identity", normalization="spectral", kernels=kernels)
    x = jnp.zeros((2, 5, 5, 2)).at[0, 2, 2, 0].set(1.0).at[1, 2, 2, 1].set(1.0)  # an impulse for each channel
    params, state = settled(model, x)
    answer = call(model, params, state, x)[2]["layer_00"]
    np.testing.assert_allclose(top(answer), 1.0, atol=1e-3)
    expected = params["layer_00"]["linear"]["kernel"] / top(params["layer_00"]["linear"]["kernel"])
    np.testing.assert_allclose(answer[0, 1:4, 1:4][::-1, ::-1], expected[:, :, 0], atol=1e-3)


def test_an_upsampling_convolution_has_norm_one_as_a_matrix():
    """A generator's kernels would be bounded in the form that is quick, not in the form they have."""
    model = resize_cnn(shape=(4, 4, 2), depth=1, width=3, normalization="spectral")
    params, state = settled(model, jax.random.normal(KEY, (3, 4)))
    kernels, sigmas = kernels_of(params), sigmas_of(state)
    assert set(kernels) == set(sigmas) and len(kernels) == 3
    for path, kernel in kernels.items():
        np.testing.assert_allclose(sigmas[path], top(kernel), rtol=1e-3, err_msg=path)


def test_both_kernels_of_a_recurrence_have_norm_one():
    """The recurrence would keep its norm, and the gradient through time grow as before."""
    model = rnn(
        outputs=2, width=4, activation="identity", recurrent_initializer="he_normal",
        normalization="spectral",
    )  # fmt: skip
    x = jnp.zeros((3, 2, 3)).at[:, 0].set(jnp.eye(3))  # h_1 = W x, h_2 = U h_1
    params, state = settled(model, x)
    hidden = call(model, params, state, x)[2]["layer_00"]
    weights = {n: params["layer_00"]["forward"][n]["kernel"] for n in ("input", "recurrent")}
    w, u = (weights[n] / top(weights[n]) for n in ("input", "recurrent"))
    np.testing.assert_allclose(hidden[:, 0], w, atol=1e-3)
    np.testing.assert_allclose(hidden[:, 1], w @ u, atol=1e-3)


def test_the_power_iteration_moves_in_training_only():
    """Evaluation would change the model, or training never find the singular value."""
    model, x = mlp(outputs=3, width=4, normalization="spectral"), jax.random.normal(KEY, (6, 5))
    params, state = jax.jit(model.init)(KEY, x)
    jax.tree.map(np.testing.assert_array_equal, call(model, params, state, x)[1], jax.device_get(state))
    moved = call(model, params, state, x, train=True)[1]
    changed = jax.tree.map(lambda a, b: not np.allclose(a, b), moved, jax.device_get(state))
    assert all(jax.tree.leaves(changed))


def test_the_norm_of_a_kernel_does_not_steer_the_function():
    """A penalty on weights would still act on the function, and the gradient point along the kernel."""
    model, x = mlp(outputs=3, width=4, activation="tanh", normalization="spectral"), jax.random.normal(KEY, (6, 5))
    params, state = settled(model, x)
    doubled = jax.tree.map_with_path(lambda path, p: p * (1 + ("'kernel'" in str(path))), params)
    np.testing.assert_allclose(call(model, doubled, state, x)[0], call(model, params, state, x)[0], atol=1e-5)
    loss = lambda p: jnp.sum(jnp.sin(model.apply(p, state, x, key=None, train=True)[0]))
    grads = jax.device_get(jax.jit(jax.grad(loss))(params))
    for layer in ("layer_00", "layer_01"):
        kernel, grad = params[layer]["linear"]["kernel"], grads[layer]["linear"]["kernel"]
        assert abs(np.sum(kernel * grad)) < 1e-3 < np.abs(grad).max()


def test_paired_arms_share_their_weights():
    """Seed k would mean other weights in the arm with the trick, which is how Linen's own layer starts."""
    for factory, shape in ((mlp, (2, 5)), (cnn, (2, 6, 2)), (lstm, (2, 4, 2))):
        arms = [factory(outputs=3, width=4, normalization=n) for n in ("none", "spectral")]
        plain, spectral = jax.jit(lambda x, arms=arms: [arm.init(KEY, x)[0] for arm in arms])(jnp.ones(shape))
        jax.tree.map(np.testing.assert_array_equal, plain, spectral)
