"""Rules: how a gradient is taken."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepprinciples.parts import gradient_rules
from deepprinciples.types import Batch

KEY = jax.random.key(3, impl="threefry2x32")
NEUTRAL = {name: one.neutral for name, one in gradient_rules.TABLE.items() if hasattr(one, "neutral")}


def least_squares(w, state, batch, key):
    """Give mean_i (x_i . w - y_i)^2 / 2, and a state and activations beside it."""
    del key
    outputs = batch.inputs @ w
    loss = 0.5 * jnp.mean((outputs - batch.targets) ** 2)
    return loss, (loss, {"passes": state["passes"] + 1, "shift": jnp.mean(outputs)}, {"layer": outputs})


def linear(w, state, batch, key):
    """Give a loss whose gradient, for an example, is the example."""
    del key
    return jnp.mean(batch.inputs @ w), state


def data(size: int = 12, width: int = 5):
    draw = np.random.default_rng(1)
    w, x, y = (draw.normal(size=shape).astype(np.float32) for shape in ((width,), (size, width), (size,)))
    return jnp.array(w), Batch(jnp.array(x), jnp.array(y))


def rows(*grads):
    return Batch(jnp.array(grads, jnp.float32), jnp.arange(len(grads)))


def test_plain_gradient_by_hand() -> None:
    """Lost: the loss, what comes beside it, and its gradient."""
    loss_fn = lambda w, x: (jnp.sum(x * w**2), {"x": x})
    (loss, aux), grads = gradient_rules.plain()(loss_fn)(jnp.array([1.0, 3.0]), jnp.array([2.0, 0.5]))
    assert float(loss) == 6.5
    np.testing.assert_array_equal(aux["x"], [2.0, 0.5])
    np.testing.assert_array_equal(grads, [4.0, 3.0])


@pytest.mark.parametrize("name", ["sam", "asam", "extragradient", "gradient_norm_penalty", "dp_sgd", "pcgrad"])
def test_what_is_told_belongs_to_the_point_where_the_step_starts(name: str) -> None:
    """Lost: batch statistics and losses of a point the training never visits."""
    w, batch = data()
    hypers = {"tasks": 6} if name == "pcgrad" else {}
    given = (w, {"passes": 4, "shift": 0.0}, batch, KEY)
    told, grads = gradient_rules.TABLE[name](**hypers)(least_squares)(*given)
    jax.tree.map(np.testing.assert_array_equal, told, least_squares(*given))
    assert np.abs(grads - gradient_rules.plain()(least_squares)(*given)[1]).max() > 1e-4


@pytest.mark.parametrize("name", [name for name in NEUTRAL if name != "gradvac"])
def test_switched_off_an_infinite_gradient_stays_what_it_is(name: str) -> None:
    """Lost: 0 * inf makes NaN, and an arm without the trick diverges elsewhere than the baseline."""
    bent = lambda w, state, batch, key: (jnp.mean(batch.inputs @ (0.5 * w**2)), state)
    grads = gradient_rules.TABLE[name](**NEUTRAL[name])(bent)(jnp.ones(2), {}, rows([jnp.inf, 1], [1, 3]), KEY)[1]
    np.testing.assert_array_equal(grads, [jnp.inf, 2.0])


@pytest.mark.parametrize("count", [1, 3, 12])
def test_microbatches_add_up_to_the_batch(count: int) -> None:
    """Lost: accumulation is another method; probes see activations of a part of the batch."""
    w, batch = data()
    given = (w, {"passes": 4, "shift": 0.0}, batch, KEY)
    found = jax.jit(gradient_rules.microbatches(count=count)(least_squares))(*given)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6), found,
                 gradient_rules.plain()(least_squares)(*given))  # fmt: skip


def test_shares_that_are_not_equal_are_refused_in_words() -> None:
    """Lost: examples dropped without a word."""
    w, batch = data()
    with pytest.raises(ValueError, match="microbatches: a batch of 12 does not come in 5 equal shares"):
        gradient_rules.microbatches(count=5)(least_squares)(w, {"passes": 0}, batch, KEY)
    with pytest.raises(ValueError, match="gradvac: a batch of 12 does not come in 7 equal shares"):
        gradient_rules.gradvac(tasks=7)(least_squares)(w, {"passes": 0}, batch, KEY)
    with pytest.raises(ValueError, match="set grouping to position"):
        gradient_rules.pcgrad()(linear)(w, {}, Batch(batch.inputs, batch.inputs), KEY)


@pytest.mark.parametrize("microbatch", [1, 4, 5, 12, 100])
def test_clipped_gradients_of_examples_are_those_of_a_loop(microbatch: int) -> None:
    """Lost: the mean is clipped and not the example, or the last examples are left out."""
    w, batch = data()
    total = np.zeros(5)
    clipped = 0
    for x, y in zip(np.float64(batch.inputs), np.float64(batch.targets), strict=True):
        g = (x @ np.float64(w) - y) * x
        clipped += np.linalg.norm(g) > 2.0
        total += g * min(1.0, 2.0 / np.linalg.norm(g))
    assert 0 < clipped < 12
    rule = gradient_rules.dp_sgd(max_norm=2.0, noise_multiplier=0.0, microbatch=microbatch)
    _, grads = jax.jit(rule(least_squares))(w, {"passes": 0}, batch, KEY)
    np.testing.assert_allclose(grads, total / 12, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("rule", [
    lambda share: gradient_rules.dp_sgd(microbatch=share), lambda share: gradient_rules.microbatches(count=64 // share)
])  # fmt: skip
def test_shares_bound_the_memory(rule) -> None:
    """Lost: the reason to take a batch in shares: a network that fits one example at a time would not train."""
    deep = lambda w, state, batch, key: (jnp.mean(jnp.tanh(jnp.tanh(batch.inputs @ w[0]) @ w[1])), state)
    w, batch = jnp.ones((2, 150, 150)), Batch(jnp.ones((64, 40, 150)), jnp.ones((64,)))

    def needed(share: int) -> int:
        compiled = jax.jit(lambda *given: rule(share)(deep)(*given)[1]).lower(w, {}, batch, KEY).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert 3 * needed(2) < needed(64)


def test_noise_has_its_size_and_every_lane_its_own() -> None:
    """Lost: the noise of the paper; or all seeds share one draw and cannot be averaged."""
    zeros = jnp.zeros((2, 10000))
    flat = lambda w, state, batch, key: (0.0 * jnp.sum(w["a"] + w["b"]), state)
    batch = Batch(jnp.ones((4, 1)), jnp.ones((4,)))
    take = gradient_rules.dp_sgd(max_norm=0.5, noise_multiplier=2.0)(flat)
    keys = jax.random.split(KEY, 3)
    noise = np.asarray(jax.vmap(lambda key: take({"a": zeros, "b": zeros}, {}, batch, key)[1]["a"])(keys))
    np.testing.assert_allclose(noise.std(axis=(1, 2)), 2.0 * 0.5 / 4, rtol=0.03)  # 6 standard errors of 20,000
    np.testing.assert_allclose(noise.mean(axis=(1, 2)), 0.0, atol=0.01)
    assert np.abs(np.corrcoef(noise.reshape(3, -1)) - np.eye(3)).max() < 0.05
    one, other = take({"a": zeros, "b": zeros}, {}, batch, keys[0])[1].values()
    np.testing.assert_allclose(one, noise[0], rtol=1e-5, atol=1e-7)
    assert abs(np.corrcoef(np.ravel(one), np.ravel(other))[0, 1]) < 0.05


def test_examples_draw_their_own_dropout() -> None:
    """Lost: one mask for the whole batch, which is another regularizer."""
    drops = lambda w, state, batch, key: (jnp.sum(w * jax.random.bernoulli(key, 0.5, w.shape)), state)
    batch = Batch(jnp.ones((64, 1)), jnp.ones((64,)))
    _, grads = gradient_rules.dp_sgd(max_norm=jnp.inf, noise_multiplier=0.0)(drops)(jnp.ones(8), {}, batch, KEY)
    assert np.all((grads > 0.2) & (grads < 0.8)), grads


def test_batch_norm_has_no_gradient_of_an_example() -> None:
    """Lost: alone in its batch every example is normalized to zero, and nothing would be learned, without a word."""
    state = {"batch_stats": {"norm": {"mean": jnp.zeros(2), "var": jnp.ones(2)}}}
    with pytest.raises(ValueError, match="dp_sgd: batch norm"):
        gradient_rules.dp_sgd()(linear)(jnp.ones(2), state, rows([1, 0]), KEY)


def test_penalty_on_inputs_needs_real_inputs() -> None:
    """Lost: a language model fails with an error of the compiler."""
    with pytest.raises(ValueError, match="inputs are int32"):
        gradient_rules.input_gradient_penalty()(linear)(jnp.ones(1), {}, Batch(jnp.array([[1]]), jnp.ones(1)), KEY)


def test_conflicting_tasks_are_projected_by_hand() -> None:
    """Lost: PCGrad. g1 = (1, 0), g2 = (-1, 1): g1' = g1 + g2 / 2 = (0.5, 0.5), g2' = g2 + g1 = (0, 1)."""
    take = gradient_rules.pcgrad(tasks=2)(linear)
    batch = rows([1, 0], [-1, 1])
    for given in (batch, jax.tree.map(lambda a: a[::-1], batch)):
        np.testing.assert_allclose(take(jnp.ones(2), {}, given, KEY)[1], [0.25, 0.75], rtol=1e-6)
    apart = rows([1, 0], [1, 1])
    np.testing.assert_array_equal(take(jnp.ones(2), {}, apart, KEY)[1], [1.0, 0.5])
    dead = rows([0, 0], [1, 1])
    np.testing.assert_array_equal(take(jnp.ones(2), {}, dead, KEY)[1], [0.5, 0.5])


def test_tasks_are_classes_or_neighbors() -> None:
    """Lost: tasks are random shares of a shuffled batch, which hardly ever conflict."""
    batch = Batch(jnp.array([[2.0, 0], [-2, 2], [0, 0], [0, 0]]), jnp.array([0, 1, 1, 0]))
    found = gradient_rules.pcgrad(tasks=2)(linear)(jnp.ones(2), {}, batch, KEY)[1]
    np.testing.assert_allclose(found, [0.25, 0.75], rtol=1e-6)
    found = gradient_rules.pcgrad(tasks=2, grouping="position")(linear)(jnp.ones(2), {}, batch, KEY)[1]
    np.testing.assert_allclose(found, [0.0, 0.5], rtol=1e-6)


def test_every_task_meets_the_others_in_an_order_of_its_own() -> None:
    """Lost: the first task always wins. With three tasks the outcome depends on the orders; a loop tries them all."""
    grads = np.array([[1.0, 0.2], [-1.0, 1.0], [-0.5, -1.0]])
    outcomes = []
    for orders in itertools.product(*(itertools.permutations({0, 1, 2} - {i}) for i in range(3))):
        turned = grads.copy()
        for i, order in enumerate(orders):
            for j in order:
                turned[i] -= min(turned[i] @ grads[j], 0.0) / (grads[j] @ grads[j]) * grads[j]
        outcomes.append(turned.mean(axis=0))
    take = gradient_rules.pcgrad(tasks=3)(linear)
    keys = jax.random.split(KEY, 40)
    found = np.asarray(jax.jit(jax.vmap(lambda key: take(jnp.ones(2), {}, rows(*grads), key)[1]))(keys))
    gaps = np.abs(found[:, None] - np.array(outcomes)).max(axis=2)  # [keys, orders]
    assert gaps.min(axis=1).max() < 1e-6
    # Some orders lead to the same; all that differ are drawn.
    assert len(np.unique(found.round(5), axis=0)) == len(np.unique(np.round(outcomes, 5), axis=0)) > 1


def test_tasks_are_turned_to_a_cosine_by_hand() -> None:
    """Lost: GradVac. Orthogonal unit gradients at cosine 0.6: g1' = g1 + 0.6 / 0.8 g2 = (1, 0.75), g2' = (0.75, 1)."""
    batch = rows([1, 0], [0, 1])
    take = lambda cosine, given: gradient_rules.gradvac(tasks=2, cosine=cosine)(linear)(jnp.ones(2), {}, given, KEY)[1]
    np.testing.assert_allclose(take(0.6, batch), [0.875, 0.875], rtol=1e-6)
    # Cosine 0.6 brought to 0.8, of lengths 1 and 2: g1 + 0.28 / 1.2 g2 and g2 + 0.56 / 0.6 g1.
    np.testing.assert_allclose(take(0.8, rows([1, 0], [1.2, 1.6])), [5.12 / 3, 2.96 / 3], rtol=1e-5)
    found = jax.vmap(lambda cosine: take(cosine, rows([1, 0], [-1, 1])))(jnp.array([0.0, -1.0]))
    np.testing.assert_allclose(found, [[0.25, 0.75], [0.0, 0.5]], rtol=1e-6, atol=1e-7)  # PCGrad, and the plain mean
    opposite = rows([1, 0], [-1, 0])
    np.testing.assert_allclose(take(-1.0, opposite), [0.0, 0.0], atol=1e-7)


@pytest.mark.parametrize("name, path", [(name, path) for name, off in NEUTRAL.items() for path in off])
def test_a_sweep_is_the_loop_it_stands_for(name: str, path: str) -> None:
    """Lost: a lane of a sweep is not the run it stands for."""
    w, batch = data()
    values = [0.9 if path == "cosine" else 0.02, 0.3, NEUTRAL[name][path]]
    values[2] = 0.9 if path == "noise_multiplier" or np.isinf(values[2]) else values[2]  # inf is no size of noise
    take = lambda value: gradient_rules.TABLE[name](**{path: value})(least_squares)(w, {"passes": 0}, batch, KEY)[1]
    swept = jax.jit(jax.vmap(take))(jnp.array(values))
    np.testing.assert_allclose(swept, [take(value) for value in values], rtol=2e-5, atol=2e-6)
    assert np.abs(swept[0] - swept[1]).max() > 1e-5
