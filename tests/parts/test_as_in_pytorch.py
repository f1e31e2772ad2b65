"""Parts against PyTorch: equal where the card is silent, and as the card says where they differ."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from deepprinciples.parts import activations, initializers, losses, optimizers, schedules
from deepprinciples.parts.models.mlp import mlp

START = np.random.default_rng(2).normal(size=(4, 3)).astype(np.float32)
GRADS = np.random.default_rng(1).normal(size=(12, 4, 3)).astype(np.float32)
T = torch.optim
FIXED = {"momentum_decay": 1e6}  # the schedule of PyTorch's nadam, run to its end


def ours(part: optax.GradientTransformation, grads: np.ndarray = GRADS, start: np.ndarray = START) -> np.ndarray:
    """Return the steps that an optimizer makes of given gradients, [steps, ...]."""

    def step(carry, grad):
        x, state = carry
        updates, state = part.update(grad, state, x)
        return (optax.apply_updates(x, updates), state), updates

    x = jnp.asarray(start)
    return np.asarray(jax.lax.scan(step, (x, part.init(x)), jnp.asarray(grads))[1])


def theirs(
    make: Callable, grads: np.ndarray = GRADS, start: np.ndarray = START, schedule: Callable | None = None, **hypers
) -> np.ndarray:
    """Return PyTorch's steps of the same gradients, in float64."""
    weight = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
    optimizer, steps = make([weight], **hypers), []
    for count, grad in enumerate(grads):
        if schedule is not None:
            optimizer.param_groups[0]["lr"] = schedule(count)
        before = weight.detach().clone()
        weight.grad = torch.tensor(grad, dtype=torch.float64)
        optimizer.step()
        steps.append((weight.detach() - before).numpy())
    return np.array(steps)


# Ours with which keywords, PyTorch's with which; nothing in common is left to a default.
EQUAL = {
    "adam": ({}, T.Adam, {}),
    "adam_l2": ({"weight_decay": 0.1}, T.Adam, {"weight_decay": 0.1}),
    "adamw": ({"weight_decay": 0.1}, T.AdamW, {"weight_decay": 0.1}),
    "adamax": ({}, T.Adamax, {}),
    "radam": ({"b2": 0.9}, T.RAdam, {"betas": (0.9, 0.9)}),
    "adadelta": ({"weight_decay": 0.1}, T.Adadelta, {"weight_decay": 0.1}),
    "rprop": ({}, T.Rprop, {}),
    "nadam": ({}, T.NAdam, FIXED),
    "nadamw": ({"weight_decay": 0.1}, T.NAdam, FIXED | {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    "adagrad": ({"initial_accumulator_value": 0.0, "eps": 1e-20}, T.Adagrad, {}),
    "rmsprop": ({"decay": 0.99, "eps_in_sqrt": False, "momentum": 0.8}, T.RMSprop, {"momentum": 0.8}),
    "adafactor": ({"min_dim_size_to_factor": 1}, T.Adafactor, {}),
    "sgd": ({"momentum": 0.9, "nesterov": True}, T.SGD, {"momentum": 0.9, "nesterov": True}),
}


@pytest.mark.parametrize("name", list(EQUAL))
def test_steps_are_pytorchs_with_the_keywords_on_the_card(name: str) -> None:
    """Lost: a user who moves a training from PyTorch, keyword by keyword, gets another optimizer."""
    keywords, make, hypers = EQUAL[name]
    found = ours(optimizers.TABLE[name](learning_rate=0.01, **keywords))
    np.testing.assert_allclose(found, theirs(make, lr=0.01, **hypers), rtol=2e-4, atol=2e-6)


NAMES = {"lr": "learning_rate", "alpha": "decay", "rho": "decay", "etas": "", "step_sizes": "", "betas": ""}
TWINS = {
    "sgd": T.SGD, "adam": T.Adam, "adam_l2": T.Adam, "adamw": T.AdamW, "amsgrad": T.Adam, "nadam": T.NAdam,
    "nadamw": T.NAdam, "adamax": T.Adamax, "radam": T.RAdam, "adadelta": T.Adadelta, "adagrad": T.Adagrad,
    "rmsprop": T.RMSprop, "rprop": T.Rprop, "adafactor": T.Adafactor, "muon": T.Muon,
}  # fmt: skip


@pytest.mark.parametrize("name", list(TWINS))
def test_defaults_that_differ_from_pytorchs_are_on_the_card(name: str) -> None:
    """Lost: a rate ten times lower than a PyTorch user expects, without a word."""
    own = {key: one.default for key, one in inspect.signature(optimizers.TABLE[name]).parameters.items()}
    card = " ".join((inspect.getdoc(optimizers.TABLE[name]) or "").split("Args:")[0].split())
    there = {key: one.default for key, one in inspect.signature(TWINS[name]).parameters.items()}
    if "betas" in there:
        there |= dict(zip(("b1", "b2"), there["betas"], strict=True))
    there = {NAMES.get(key, key): value for key, value in there.items()}
    differ = {
        key: value
        for key, value in there.items()
        if isinstance(own.get(key), float) and isinstance(value, (int, float)) and own[key] != value
    }
    said = card[card.index("PyTorch") :] if differ else ""
    for key, value in differ.items():
        numbers = [float(found) for found in re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?:e-?\d+)?", said)]
        found = [number for number in numbers if np.isclose(number, float(value), rtol=1e-6, atol=0.0)]
        assert found, f"{name}.{key} is {own[key]} here and {value} there; the card says: {said!r}"


def test_nadam_has_no_momentum_schedule() -> None:
    """Lost: the card's word that PyTorch and the paper halve the first momentum; b1 (1 - 0.96^(t / 250) / 2)."""
    grads = np.ones((2, 4, 3), np.float32)
    b1 = [0.9 * (1 - 0.96 ** (t / 250) / 2) for t in (1, 2, 3)]
    m = [0.1, 0.9 * 0.1 + 0.1]
    for t in (0, 1):
        past = np.prod(b1[: t + 1])
        due = (1 - b1[t]) / (1 - past) + b1[t + 1] * m[t] / (1 - past * b1[t + 1])
        np.testing.assert_allclose(theirs(T.NAdam, grads, lr=0.01)[t], -0.01 * due, rtol=1e-6)
    assert abs(ours(optimizers.nadam(learning_rate=0.01), grads) / theirs(T.NAdam, grads, lr=0.01) - 1).max() > 0.3


def test_amsgrads_maximum_is_taken_after_the_correction() -> None:
    """Lost: after a large first gradient steps stay short here, and recover in PyTorch."""
    grads = np.full((200, 1, 1), 0.1, np.float32)
    grads[0] = 1.0
    start = np.zeros((1, 1), np.float32)
    found = ours(optimizers.amsgrad(learning_rate=0.01), grads, start)
    m = v = u = 0.0
    for t, g in enumerate(grads.ravel(), start=1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        u = max(u, v / (1 - 0.999**t))
        np.testing.assert_allclose(found[t - 1], -0.01 * m / (1 - 0.9**t) / (u**0.5 + 1e-8), rtol=2e-4)
    ratio = (theirs(T.Adam, grads, start, lr=0.01, amsgrad=True) / found).ravel()
    assert ratio[0] == pytest.approx(1.0, rel=1e-4) and ratio[19] > 3 and ratio[-1] > 6


def test_small_gradients_move_less_where_the_cards_say_so() -> None:
    """Lost: eps under rmsprop's root, adagrad's accumulator that starts at 0.1 and radam's eps, as on the cards."""
    tiny = np.full((1, 1, 1), 1e-6, np.float32)
    start = np.zeros((1, 1), np.float32)
    long = np.repeat(tiny, 200, axis=0)
    share = ours(optimizers.rmsprop(), long, start) / ours(optimizers.rmsprop(eps_in_sqrt=False), long, start)
    assert float(share[-1, 0, 0]) == pytest.approx(0.01, rel=0.02)
    first = ours(optimizers.adagrad(learning_rate=1.0), 100 * tiny, start)
    assert float(first[0, 0, 0]) == pytest.approx(-1e-4 / 0.1**0.5, rel=1e-3)
    assert theirs(T.Adagrad, 100 * tiny, start, lr=1.0)[0, 0, 0] == pytest.approx(-1.0, rel=1e-3)
    near = np.full((8, 1, 1), 1e-7, np.float32)
    ratio = theirs(T.RAdam, near, start, lr=0.01)[7] / ours(optimizers.radam(learning_rate=0.01), near, start)[7]
    t, root = 8, 1e-7 * (1 - 0.999**8) ** 0.5
    due = (1 - 0.999**t) ** 0.5 / (root + 1e-8) * (1e-7 + 1e-8)
    assert float(ratio[0, 0]) == pytest.approx(due, rel=0.02) and due < 0.6


def test_rmsprops_momentum_keeps_the_rate_of_its_gradients() -> None:
    """Lost: under a schedule the momentum sums steps here, and gradients in PyTorch."""
    schedule = lambda count: 0.1 / (1 + count)
    part = optimizers.rmsprop(learning_rate=schedule, decay=0.99, eps_in_sqrt=False, momentum=0.9)
    one = np.ones((2, 1, 1), np.float32)
    found, twin = ours(part, one, one[0]), theirs(T.RMSprop, one, one[0], schedule, momentum=0.9)
    sizes = 1 / (1 - 0.99 ** np.array([1, 2])) ** 0.5
    np.testing.assert_allclose(found.ravel(), -0.1 * np.array([sizes[0], 0.9 * sizes[0] + sizes[1] / 2]), rtol=1e-4)
    np.testing.assert_allclose(twin.ravel(), -0.1 * np.array([sizes[0], (0.9 * sizes[0] + sizes[1]) / 2]), rtol=1e-4)


def test_adafactor_factors_from_128_on() -> None:
    """Lost: below min_dim_size_to_factor every entry has its own second moment, which PyTorch's matrices have not."""
    alone = ours(optimizers.adafactor(clipping_threshold=1e9), GRADS[:1])
    size = float(np.sqrt(np.mean(START**2)))
    np.testing.assert_allclose(alone[0], -0.01 * size * np.sign(GRADS[0]), rtol=1e-5)
    assert abs(alone / theirs(T.Adafactor, GRADS[:1], lr=0.01, d=1e9) - 1).max() > 0.3
    state = jax.eval_shape(optimizers.adafactor().init, [jnp.zeros((128, 128)), jnp.zeros((127, 999))])
    assert sorted(leaf.size for leaf in jax.tree.leaves(state) if leaf.size > 1) == [128, 128, 127 * 999]


def _newton_schulz(g: np.ndarray) -> np.ndarray:
    x = g / np.linalg.norm(g)
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x


def test_muon_mixes_corrected_averages_and_trains_vectors_by_nadam() -> None:
    """Lost: what nesterov means to muon here, and that biases get no weight decay and no orthogonal step."""
    grads = np.random.default_rng(4).normal(size=(5, 4, 4)).astype(np.float32)
    start = np.zeros((4, 4), np.float32)
    found, m = ours(optimizers.muon(learning_rate=1.0), grads, start), 0.0
    gaps = []
    for t, g in enumerate(grads, start=1):
        m = 0.95 * m + 0.05 * g
        mixed = 0.95 * m / (1 - 0.95 ** (t + 1)) + 0.05 * g / (1 - 0.95**t)
        np.testing.assert_allclose(found[t - 1], -_newton_schulz(mixed), atol=2e-3)
        gaps.append(abs(found[t - 1] + _newton_schulz(0.95 * m + 0.05 * g)).max())  # Jordan's
    assert gaps[0] < 1e-3 and gaps[1] > 0.01
    plain = ours(optimizers.muon(learning_rate=1.0, nesterov=False), grads, start)
    twin = theirs(T.Muon, grads.swapaxes(1, 2), start, lr=1.0, nesterov=False, weight_decay=0.0).swapaxes(1, 2)
    np.testing.assert_allclose(plain, twin, atol=0.06)  # bfloat16 there
    for nesterov, name in ((True, "nadam"), (False, "adam")):
        bias = optimizers.muon(learning_rate=0.1, weight_decay=0.5, nesterov=nesterov)
        rows = (GRADS[:, 0], START[0])
        np.testing.assert_allclose(ours(bias, *rows), ours(optimizers.TABLE[name](learning_rate=0.1), *rows), rtol=1e-5)


def test_averaged_momentum_is_dampening_but_for_the_first_step() -> None:
    """Lost: PyTorch takes the first gradient whole, and ours 1 - momentum of it."""
    found, m = ours(optimizers.sgd(learning_rate=0.1, momentum=0.9, averaged=True)), 0.0
    twin = theirs(T.SGD, lr=0.1, momentum=0.9, dampening=0.9)
    np.testing.assert_allclose(twin[0], -0.1 * GRADS[0], rtol=1e-5)
    for t, g in enumerate(GRADS):
        m = 0.9 * m + 0.1 * g
        np.testing.assert_allclose(found[t], -0.1 * m, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(twin[t], -0.1 * (m + 0.9 ** (t + 1) * GRADS[0]), rtol=1e-4, atol=1e-6)


ACTIVATIONS = {
    "relu": torch.nn.ReLU, "leaky_relu": torch.nn.LeakyReLU, "elu": torch.nn.ELU, "selu": torch.nn.SELU,
    "celu": torch.nn.CELU, "gelu": torch.nn.GELU, "silu": torch.nn.SiLU, "mish": torch.nn.Mish,
    "softplus": torch.nn.Softplus, "relu6": torch.nn.ReLU6, "sigmoid": torch.nn.Sigmoid, "tanh": torch.nn.Tanh,
    "hard_tanh": torch.nn.Hardtanh, "softsign": torch.nn.Softsign, "identity": torch.nn.Identity,
}  # fmt: skip


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_activations_are_pytorchs_by_default(name: str) -> None:
    """Lost: the function of that name that everybody else computes, such as a gelu that is exact."""
    x = np.linspace(-6.0, 8.0, 281, dtype=np.float32)
    twin = ACTIVATIONS[name]()(torch.tensor(x)).numpy()
    np.testing.assert_allclose(activations.TABLE[name]()(jnp.asarray(x)), twin, rtol=2e-5, atol=2e-6)


def test_gelu_by_tanh_is_asked_for() -> None:
    """Lost: the formula of GPT-2, or how far it is from the exact one."""
    x = np.linspace(-6.0, 6.0, 1201, dtype=np.float32)
    found = activations.gelu(approximate=True)(jnp.asarray(x))
    np.testing.assert_allclose(found, torch.nn.GELU(approximate="tanh")(torch.tensor(x)).numpy(), rtol=1e-4, atol=1e-6)
    assert 4e-4 < abs(found - activations.gelu()(jnp.asarray(x))).max() < 5e-4


def test_one_cycle_ends_higher_than_pytorchs() -> None:
    """Lost: the numbers on the card, 1e-4 of the peak here and 4e-6 there."""
    optimizer = T.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    twin = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=101)
    rates, momenta = [], []
    for _ in range(101):
        rates.append(optimizer.param_groups[0]["lr"])
        momenta.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        if len(rates) < 101:
            twin.step()
    assert rates[-1] == pytest.approx(4e-6) and (max(momenta), min(momenta)) == pytest.approx((0.95, 0.85), rel=1e-4)
    assert float(schedules.one_cycle()(jnp.asarray(1.0))) == pytest.approx(1e-4, rel=1e-3)
    assert rates[0] == pytest.approx(float(schedules.one_cycle()(jnp.asarray(0.0))))


def test_losses_differ_from_pytorchs_as_their_cards_say() -> None:
    """Lost: one rival class here, all of them and a division by C in PyTorch; sums over classes, not means."""
    outputs, labels = np.random.default_rng(3).normal(size=(6, 4)).astype(np.float32), np.arange(6) % 4
    rivals = np.maximum(outputs + 1.0 - outputs[np.arange(6), labels][:, None], 0.0)
    rivals[np.arange(6), labels] = 0.0
    twin = torch.nn.MultiMarginLoss(reduction="none")(torch.tensor(outputs), torch.tensor(labels)).numpy()
    np.testing.assert_allclose(twin, rivals.sum(axis=1) / 4, rtol=1e-5)
    np.testing.assert_allclose(losses.TABLE["multiclass_hinge"]()(outputs, labels), rivals.max(axis=1), rtol=1e-5)
    p = np.random.default_rng(5).dirichlet(np.ones(4), size=6).astype(np.float32)
    logs = torch.log_softmax(torch.tensor(outputs), dim=-1)
    found = losses.TABLE["kl_divergence"]()(jnp.asarray(outputs), jnp.asarray(p))
    with pytest.warns(UserWarning, match="mean"):
        mean = float(torch.nn.KLDivLoss(reduction="mean")(logs, torch.tensor(p)))
    assert float(jnp.mean(found)) == pytest.approx(4 * mean, rel=1e-4)


def test_normal_draws_are_not_cut() -> None:
    """Lost: he_normal as PyTorch has it; Keras, Flax and jax.nn cut it at two standard deviations."""
    for name in ("he_normal", "glorot_normal", "lecun_normal"):
        draw, cut = initializers.TABLE[name](), getattr(jax.nn.initializers, name)()
        w, flax = (np.asarray(one(jax.random.key(0), (200, 200), jnp.float32)) for one in (draw, cut))
        assert abs(w).max() > 3.5 * w.std() and abs(flax).max() < 2.3 * flax.std()
        assert w.std() == pytest.approx(flax.std(), rel=0.02)
    given = torch.nn.init.trunc_normal_(torch.empty(200, 200), std=0.01, generator=torch.Generator().manual_seed(0))
    assert given.abs().max() > 0.035, "PyTorch cuts at -2 and 2, not at two standard deviations"
    jaxs = jax.nn.initializers.truncated_normal(0.01)(jax.random.key(0), (200, 200), jnp.float32)
    assert float(jaxs.std()) == pytest.approx(0.0088, rel=0.02), "jax.nn does not widen what it cut"


@pytest.mark.slow
def test_batch_normalization_keeps_the_variance_of_its_batches() -> None:
    """Lost: what evaluation divides by: the biased variance here, n / (n - 1) times that in PyTorch."""
    x = np.random.default_rng(6).normal(size=(4, 3)).astype(np.float32)
    model = mlp(outputs=3, depth=1, width=3, activation="identity", initializer=initializers.identity(gain=1.0),
                normalization="batch")  # fmt: skip
    params, state = model.init(jax.random.key(0), jnp.asarray(x))
    twin = torch.nn.BatchNorm1d(3)
    for _ in range(200):
        _, state, _ = model.apply(params, state, jnp.asarray(x), key=jax.random.key(1), train=True)
        twin(torch.tensor(x))
    found = model.apply(params, state, jnp.asarray(x), key=jax.random.key(1), train=False)[0]
    np.testing.assert_allclose(found * 0.75**0.5, twin.eval()(torch.tensor(x)).detach().numpy(), rtol=1e-3, atol=1e-5)
