"""Autoencoders put out what they were given, and the variational bound is that of the densities."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.test_util import check_grads
from scipy import integrate, stats
from sklearn.datasets import load_digits

from deepprinciples.parts.models.autoencoders import TABLE, autoencoder, vae
from deepprinciples.parts.variational import LOSSES, METRICS, Variational, elbo, reconstruction_error
from deepprinciples.types import ACTIVATION_DERIVATIVE

# compiling is most of the time here, so XLA optimizes little
KEY, OTHER = jax.random.key(0), jax.random.key(1)
X = jax.random.normal(jax.random.key(2), (5, 3, 2))
SMALL = {"outputs": 10, "shape": (3, 2), "depth": 2, "width": 6, "latent": 4, "activation": "tanh"}
every = pytest.mark.parametrize("name", sorted(TABLE))


def call(model, key=None, train=False):
    def run(x):
        params, state = model.init(KEY, x)
        return params, *model.apply(params, state, x, key=key, train=train)

    return jax.device_get(jax.jit(run)(X))


def made(outputs):
    return outputs.reconstruction if isinstance(outputs, Variational) else outputs


def triple(seed=0, latent=4):
    r, m, v = jax.random.split(jax.random.key(seed), 3)
    return Variational(*(jax.random.normal(k, s) for k, s in ((r, (5, 3, 2)), (m, (5, latent)), (v, (5, latent)))))


def test_the_tables_name_all():
    """A part would be reachable by no config."""
    assert set(TABLE.values()) == {autoencoder, vae}
    assert set(LOSSES.values()) == {elbo} and set(METRICS.values()) == {reconstruction_error}


@every
def test_shapes_and_names(name):
    """The code would not have the size asked for, or a layer no row in the heat-map."""
    params, outputs, state, activations = call(TABLE[name](**SMALL), KEY, train=True)
    assert made(outputs).shape == X.shape and state == {}
    assert activations["code"].shape == (5, 8 if name == "vae" else 4)
    hidden = [f"layer_{number:02d}" for number in range(4)]
    assert (
        {n for n in activations if not n.endswith(ACTIVATION_DERIVATIVE)} == {*hidden, "code", "output"} == set(params)
    )
    assert all(activations[n].shape == activations[n + ACTIVATION_DERIVATIVE].shape == (5, 6) for n in hidden)
    np.testing.assert_array_equal(activations["output"], made(outputs).reshape(5, 6))
    assert params["layer_02"]["linear"]["kernel"].shape == (4, 6)  # the decoder reads a code


def dense(layer, x):
    return x @ layer["kernel"] + layer["bias"]


def test_the_autoencoder_by_hand():
    """The output would reach around the code."""
    params, outputs, _, activations = call(autoencoder(**{**SMALL, "depth": 1, "bias_initializer": "he_normal"}))
    code = dense(params["code"], np.tanh(dense(params["layer_00"]["linear"], np.asarray(X).reshape(5, -1))))
    np.testing.assert_allclose(activations["code"], code, atol=1e-5)
    expected = dense(params["output"], np.tanh(dense(params["layer_01"]["linear"], code)))
    np.testing.assert_allclose(outputs.reshape(5, -1), expected, atol=1e-5)


def test_codes_are_drawn_in_training_only():
    """The noise would not have the encoder's variance, be the same each step, or enter the evaluation."""
    model = vae(**{**SMALL, "depth": 0, "bias_initializer": "he_normal"})
    params, outputs, _, activations = call(model, KEY, train=True)
    m, v = np.split(dense(params["code"], np.asarray(X).reshape(5, -1)), 2, axis=1)
    np.testing.assert_allclose(outputs.mean, m, atol=1e-5)
    np.testing.assert_allclose(outputs.log_variance, v, atol=1e-5)
    np.testing.assert_allclose(activations["code"], np.concatenate([m, v], axis=1), atol=1e-5)
    evaluated = call(model, KEY)[1].reconstruction.reshape(5, -1)
    np.testing.assert_allclose(evaluated, dense(params["output"], m), atol=1e-5)
    assert not np.allclose(outputs.reconstruction, call(model, OTHER, train=True)[1].reconstruction)

    def drawn(key):  # least squares undoes the decoder: 6 outputs, 4 numbers in a code
        outputs = model.apply(params, {}, X, key=key, train=True)[0]
        return outputs.reconstruction.reshape(5, -1) - params["output"]["bias"][None]

    draws = np.asarray(jax.jit(jax.vmap(drawn))(jax.random.split(KEY, 4000)))
    noise = (draws @ np.linalg.pinv(params["output"]["kernel"]) - m) / np.exp(v / 2)
    np.testing.assert_allclose(noise.mean(axis=0), np.zeros((5, 4)), atol=0.08)  # 5 standard errors
    np.testing.assert_allclose(noise.var(axis=0), np.ones((5, 4)), atol=0.12)
    with pytest.raises(ValueError, match="vae: key is None in training"):
        jax.eval_shape(lambda: model.apply(params, {}, X, key=None, train=True))


@every
def test_taps_give_the_gradient_of_every_activation(name):
    """The backward half of the gradient-flow evidence would be wrong: compared with finite differences."""
    model = TABLE[name](**SMALL)
    assert model.takes_perturbations
    params, _, _, activations = call(model)
    names = [n for n in activations if not n.endswith(ACTIVATION_DERIVATIVE)]
    random = np.random.default_rng(1)
    directions = {n: random.normal(size=activations[n].shape).astype("float32") for n in names}

    def loss(lengths):
        perturbations = {n: length * directions[n] for length, n in zip(lengths, names, strict=True)}
        outputs = model.apply(params, {"perturbations": perturbations}, X, key=KEY, train=True)[0]
        return jnp.sum(jnp.sin(made(outputs)))

    steps = 0.01 * jnp.eye(len(names))
    ahead, back = jax.jit(jax.vmap(loss))(jnp.concatenate([steps, -steps])).reshape(2, -1)
    gradients = jax.jit(jax.grad(loss))(jnp.zeros(len(names)))
    np.testing.assert_allclose((ahead - back) / 0.02, gradients, rtol=0.02, atol=1e-3)
    assert (abs(gradients) > 0.05).all()


def test_the_bound_equals_densities_integrated():
    """The bound would not be one: the code would be pulled too much or too little to the prior."""
    outputs = triple()
    m, v = (np.asarray(a, np.float64) for a in (outputs.mean, outputs.log_variance))

    def divergence(mean, log_variance):
        q, prior = stats.norm(mean, np.exp(log_variance / 2)), stats.norm()
        gap = lambda z: q.pdf(z) * (q.logpdf(z) - prior.logpdf(z))
        return integrate.quad(gap, q.mean() - 12 * q.std(), q.mean() + 12 * q.std())[0]

    kl = np.vectorize(divergence)(m, v).sum(axis=1)
    made = np.asarray(outputs.reconstruction, np.float64)
    error = -stats.norm(made, 1.0).logpdf(np.asarray(X)).sum(axis=(1, 2)) - 0.5 * 6 * np.log(2 * np.pi)
    for strength in (0.0, 1.0, 2.5):
        np.testing.assert_allclose(elbo(strength=strength)(outputs, X), error + strength * kl, rtol=1e-4)


def test_the_bound_by_hand_and_its_slope():
    """A slip in the closed form would train, only to the wrong code."""
    outputs = Variational(jnp.array([[1.0, 2.0]]), jnp.array([[3.0]]), jnp.array([[0.0]]))
    np.testing.assert_allclose(elbo(strength=2.0)(outputs, jnp.array([[1.0, 4.0]])), [4 / 2 + 2 * 9 / 2])
    exact = Variational(X, jnp.zeros((5, 4)), jnp.zeros((5, 4)))
    np.testing.assert_array_equal(elbo()(exact, X), np.zeros(5))
    check_grads(lambda o: jnp.sum(elbo(strength=0.7)(o, X)), (triple(1),), order=1, modes=["rev"], rtol=0.02)
    slope = jax.grad(lambda s: jnp.sum(elbo(strength=s)(triple(), X)))(0.5)
    expected = jnp.sum(elbo(strength=1.0)(triple(), X) - elbo(strength=0.0)(triple(), X))
    np.testing.assert_allclose(slope, expected, rtol=1e-5)


def test_the_error_of_arrays_and_triples_is_one_number():
    """An autoencoder and a variational one could not be compared."""
    outputs = triple()
    expected = np.mean((np.asarray(outputs.reconstruction) - np.asarray(X)) ** 2, axis=(1, 2))
    np.testing.assert_allclose(reconstruction_error()(outputs, X), expected, rtol=1e-5)
    np.testing.assert_allclose(reconstruction_error()(outputs.reconstruction, X), expected, rtol=1e-5)


@every
def test_digits_are_learned_through_the_code(name):
    """Nothing would be learned: unseen digits come back no better than as the mean digit."""
    images = load_digits().images.astype("float32") / 16.0
    train, test = images[:1200], images[1200:]
    model = TABLE[name](outputs=10, shape=(8, 8), latent=8, activation="tanh")
    loss = elbo(strength=0.1) if name == "vae" else reconstruction_error()
    optimizer = optax.adam(1e-2)

    @jax.jit
    def fit(key):
        params, _ = model.init(key, train[:1])

        def step(carry, key):
            params, opt_state = carry
            picks, draw = jax.random.split(key)
            batch = jnp.asarray(train)[jax.random.randint(picks, (64,), 0, len(train))]
            objective = lambda p: jnp.mean(loss(model.apply(p, {}, batch, key=draw, train=True)[0], batch))
            updates, opt_state = optimizer.update(jax.grad(objective)(params), opt_state)
            return (optax.apply_updates(params, updates), opt_state), None

        return jax.lax.scan(step, (params, optimizer.init(params)), jax.random.split(key, 100))[0][0]

    outputs = model.apply(fit(KEY), {}, test, key=None, train=False)[0]
    mean_digit = np.mean((test - train.mean(axis=0)) ** 2)
    assert float(jnp.mean(reconstruction_error()(outputs, test))) < 0.7 * mean_digit


@pytest.mark.parametrize(("attempt", "words"), [
    (lambda: vae(**SMALL).init(KEY, jnp.ones((2, 3))), r"vae: inputs must be floats \[B, 3, 2\]; found .* \[B, 3\]"),
    (lambda: autoencoder(**SMALL).init(KEY, jnp.ones((2, 3, 2), int)), "autoencoder: inputs must be floats"),
    (lambda: elbo()(X, X), "elbo: found outputs of type ArrayImpl; expected Variational"),
    (lambda: elbo()(triple(), X[:, 0]), "elbo: outputs .* and targets .* do not pair"),
    (lambda: reconstruction_error()(X, X[:4]), "reconstruction_error: .* do not pair"),
])  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(attempt, words):
    """A user would read a traceback, or a number of something broadcast."""
    with pytest.raises(ValueError, match=words) as caught:
        attempt()
    assert "\n" not in str(caught.value)
