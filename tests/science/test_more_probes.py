"""Probes of signals, of conflict and of further curvature, against dense twins and numbers by hand."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import deepprinciples as dp
from deepprinciples.engine.streams import lane_key
from deepprinciples.kernels.sequences import recurrence
from deepprinciples.learners.objective import minimize, objective_of
from deepprinciples.parts import probes
from deepprinciples.parts.models import TABLE
from deepprinciples.parts.models.mlp import mlp
from deepprinciples.parts.probes import curvature, gradients, signals
from deepprinciples.types import Batch, Info

KEY = lane_key(0)


def looked(objective: Any, params: Any, batch: Batch, step: Any = None, **more: Any) -> Info:
    """Make what a learner tells a probe, for an objective (params, batch) -> scalar."""
    gradient = jax.grad(objective)
    step = jax.tree.map(jnp.zeros_like, params) if step is None else step
    told = {"batch": batch, "gradient": gradient, "objective": objective, "key": KEY, **more}
    return Info(objective(params, batch), params, gradient(params, batch), step, (), {}, dict, **told)


def bowl(w: jax.Array, batch: Batch) -> jax.Array:
    return 0.5 * jnp.sum(jnp.array([1.0, 4.0]) * w**2) + 0.0 * jnp.sum(batch.inputs)


ONE = Batch(jnp.zeros((2, 1)), jnp.zeros(2))


def test_a_spectrum_has_the_moments_of_the_matrix() -> None:
    """Lost: a density of another matrix. On 3 eigenvalues the quadrature is exact: nodes, and weights that sum to 1."""
    h = jnp.array([1.0, 1.0, 4.0, -2.0])
    info = looked(lambda w, batch: 0.5 * jnp.sum(h * w**2), jnp.ones(4), ONE)
    found = curvature.spectrum(iterations=4)(info)
    nodes, weights = (np.array([*found[name].values()]) for name in ("hessian_ritz", "hessian_weight"))
    held = weights > 1e-6
    np.testing.assert_allclose(sorted(nodes[held]), [-2.0, 1.0, 4.0], atol=1e-4)
    assert weights.sum() == pytest.approx(1.0, abs=1e-5)


def test_sharpness_up_the_gradient() -> None:
    """SAM's rise: at (0, 1) the gradient (0, 4) points along w_2: (1 + rho)^2 * 2 - 2."""
    found = curvature.sam_sharpness(rho=0.1)(looked(bowl, jnp.array([0.0, 1.0]), ONE))
    assert float(found["sam_sharpness"]) == pytest.approx(2.0 * 1.1**2 - 2.0, rel=1e-5)


def test_sharpness_as_adam_sees_it() -> None:
    """Lost: a curvature that the optimizer does not feel. H = diag(1, 4), P = diag(0.5, 16): 1 / 0.5 = 2 is largest."""
    state = optax.ScaleByAdamState(jnp.int32(3), jnp.zeros(2), jnp.array([0.25, 256.0]) * (1 - 0.999**3))
    info = looked(bowl, jnp.ones(2), ONE)._replace(opt_state={"optimizer": (state,)})
    found = curvature.preconditioned_sharpness(eps=0.0)(info)
    assert float(found["preconditioned_sharpness"]) == pytest.approx(2.0, rel=1e-3)
    assert curvature.preconditioned_sharpness()(looked(bowl, jnp.ones(2), ONE)) == {}


@pytest.mark.parametrize(("rate", "alpha"), [(0.5, -0.5), (1.0, 0.0), (2.0, 1.0)])
def test_where_a_step_ends_on_its_parabola(rate: float, alpha: float) -> None:
    """Lost: -1 where it began, 0 at the bottom, 1 as high as before."""
    w = jnp.array([1.0, 0.0])
    info = looked(bowl, w, ONE, step=-rate * jnp.array([1.0, 0.0]))
    assert float(gradients.step_cosine()(info)["step_alpha"]) == pytest.approx(alpha, abs=1e-6)


def linear(w: jax.Array, batch: Batch) -> jax.Array:
    return jnp.mean((batch.inputs @ w - batch.targets) ** 2)


def test_tests_of_the_batch_size_are_those_of_one_gradient_at_a_time() -> None:
    """Lost: a batch that looks large enough and is not. The twin takes one gradient at a time in float64."""
    rng = np.random.default_rng(1)
    x, y, w = rng.normal(size=(12, 3)), rng.normal(size=12), rng.normal(size=3)
    batch = Batch(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32))
    found = gradients.gradient_noise(microbatch=4)(looked(linear, jnp.asarray(w, jnp.float32), batch))
    each = 2 * x * (x @ w - y)[:, None]
    g, b = each.mean(axis=0), 12
    norm = each.var(axis=0, ddof=1).sum() / (b * g @ g)
    inner = (each @ g).var(ddof=1) / (b * (g @ g) ** 2)
    twins = {
        "norm_test": norm, "inner_product_test": inner, "orthogonality_test": norm - inner,
        "early_stopping": 1 - np.mean(b * g**2 / each.var(axis=0, ddof=1)),
        "cabs": each.var(axis=0, ddof=1).sum() / np.mean((x @ w - y) ** 2),
    }  # fmt: skip
    for name, value in twins.items():
        assert float(found[name]) == pytest.approx(value, rel=2e-3), name


def test_conflict_between_parts_of_a_batch() -> None:
    """Lost: parts that pull against each other would not be seen: by hand, gradients (1, 0) and (-1, 1) / sqrt 2."""
    batch = Batch(jnp.array([[1.0, 0.0], [-1.0, 1.0]]), jnp.zeros(2))
    info = looked(lambda w, b: jnp.mean(b.inputs @ w), jnp.zeros(2), batch)
    found = gradients.gradient_conflict(shares=2)(info)
    assert float(found["gradient_cosine_least"]) == pytest.approx(-(0.5**0.5), rel=1e-5)


def learner_of(model: Any, example: Any) -> Any:
    loss = lambda outputs, targets: jnp.sum(outputs**2, axis=-1)
    return minimize(objective_of(model, loss), optimizer=optax.sgd(0.1), example=Batch(example, example))


def test_travel_is_measured_from_the_first_weights() -> None:
    """Lost: a distance from anywhere else."""
    x = jax.random.normal(KEY, (4, 3))
    learner = learner_of(mlp(outputs=2, depth=1, width=5), x)
    begun = learner.init(KEY)
    state, _ = learner.step(begun, Batch(x, jnp.zeros(4)), KEY)
    _, info = learner.step(state, Batch(x, jnp.zeros(4)), KEY)
    found = signals.travel()(info._replace(start=lambda: learner.init(KEY).params))
    for name in begun.params:
        moved = [
            np.asarray(a - b).ravel()
            for a, b in zip(*map(jax.tree.leaves, (state.params[name], begun.params[name])), strict=True)
        ]
        assert float(found["distance"][name]) == pytest.approx(np.linalg.norm(np.concatenate(moved)), rel=1e-5)
    assert signals.travel()(info) == {}


def test_gradient_entries_by_decade() -> None:
    """Lost: the picture of a gradient that vanishes entry by entry. Zeros count below all."""
    grads = {"a": jnp.array([0.0, 2e-9, 3e-5]), "b": jnp.array([[0.5, -5.0, 1e6]])}
    found = signals.gradient_histogram()(Info(jnp.zeros(()), grads, grads, grads, (), {}, dict))
    shares = np.array([*found["gradient_histogram"].values()])
    np.testing.assert_allclose(shares * 6, [2, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1], atol=1e-6)


@pytest.mark.parametrize(("cell", "names"), [("lstm", ("input", "forget", "output")), ("gru", ("reset", "update"))])
@pytest.mark.parametrize("backward", [False, True])
def test_gates_are_those_of_the_cell(cell: Any, names: tuple[str, ...], backward: bool) -> None:
    """Lost: whether a cell keeps or forgets. The twin walks through time with the cell's own sums; 0 is padding."""
    tokens = jnp.array([[3, 1, 2, 1, 0], [2, 3, 0, 0, 0]])
    model = TABLE[cell](outputs=2, width=4, bidirectional=backward, vocabulary=4, embedding=3, padding=0)
    learner = learner_of(model, tokens)
    state = learner.init(KEY)
    wide = jax.tree.map(lambda w: 6.0 * w + 1.0, state.params)  # so that some gates are near 0 and some near 1
    _, info = learner.step(state._replace(params=wide), Batch(tokens, jnp.zeros(2)), KEY)
    found = signals.gate_saturation(edge=0.1)(info)
    blocks: list[list[jax.Array]] = [[] for _ in names]
    for direction in ("forward", "backward")[: 1 + backward]:
        layer = wide["layer_00"][direction]
        kernel, advance = layer["recurrent"]["kernel"], recurrence.CELLS[cell]
        for example in tokens:
            kept = example[example != 0]
            rows = wide["embedding"]["embedding"][kept] @ layer["input"]["kernel"]
            rows = rows + layer["input"]["bias"].reshape(1, -1)
            carry = tuple(jnp.zeros((1, 4)) for _ in range(2 if cell == "lstm" else 1))
            for row in rows[::-1] if direction == "backward" else rows:
                sums = jnp.split(row[None] + carry[0] @ kernel, 4 if cell == "lstm" else 3, axis=-1)
                for k, block in enumerate((0, 1, 3) if cell == "lstm" else (0, 1)):
                    blocks[k].append(jax.nn.sigmoid(sums[block]))
                carry, _ = advance(carry, row[None], carry[0] @ kernel, jnp.tanh)
    for name, values in zip(names, blocks, strict=True):
        flat = np.concatenate(values)
        assert float(found["gate_closed"][f"layer_00.{name}"]) == pytest.approx(np.mean(flat < 0.1), abs=1e-6)
        assert float(found["gate_open"][f"layer_00.{name}"]) == pytest.approx(np.mean(flat > 0.9), abs=1e-6)
    assert 0.0 < sum(float(share) for share in found["gate_open"].values()) < len(names)


@pytest.mark.parametrize("cell", ["lstm", "rnn"])
def test_gradient_through_time_is_that_of_the_hidden_states(cell: Any) -> None:
    """Lost: how far back a recurrent net learns. The twin walks back by the cell's own Jacobians."""
    x = jax.random.normal(KEY, (3, 9, 2))
    learner = learner_of(TABLE[cell](outputs=2, width=4), x)
    state = learner.init(KEY)
    _, info = learner.step(state, Batch(x, jnp.zeros(3)), KEY)
    found = signals.gradient_through_time()(info)["gradient_through_time"]
    assert [*found] == [f"lag_{lag:04d}" for lag in (0, 1, 2, 4, 8)]
    layer, out = state.params["layer_00"]["forward"], state.params["output"]
    advance, kernel = recurrence.CELLS[cell], layer["recurrent"]["kernel"]
    rows = x @ layer["input"]["kernel"] + layer["input"]["bias"].reshape(1, 1, -1)
    zero = jnp.zeros((3, 4))

    def loss_after(t: int, h: jax.Array, before: tuple) -> jax.Array:
        carry = (h, *before[1:])
        for k in range(t + 1, 9):
            carry, _ = advance(carry, rows[:, k], carry[0] @ kernel, jnp.tanh)
        return jnp.sum((carry[0] @ out["kernel"] + out["bias"].reshape(1, -1)) ** 2)

    carry = (zero, zero) if cell == "lstm" else (zero,)
    for t in range(9):
        carry, _ = advance(carry, rows[:, t], carry[0] @ kernel, jnp.tanh)
        lag = f"lag_{8 - t:04d}"
        if lag in found:
            g = jax.grad(loss_after, argnums=1)(t, carry[0], carry)
            assert float(found[lag]) == pytest.approx(float(np.sqrt(np.mean(np.sum(g**2, axis=1)))), rel=1e-4)


def test_radius_of_a_recurrent_kernel() -> None:
    """Lost: whether states can grow. A rotation by 0.9 has radius 0.9; a Jordan block has a norm far above its own."""
    turn = 0.9 * np.array([[0.0, -1.0], [1.0, 0.0]])
    block = np.array([[0.5, 10.0], [0.0, 0.5]])
    both = jnp.asarray(np.concatenate([turn, block], axis=1), jnp.float32)
    assert float(signals._radius(both[:, :2])) == pytest.approx(0.9, rel=1e-3)
    assert float(signals._radius(both[:, 2:])) == pytest.approx(0.5, rel=0.02)
    assert float(signals._radius(both)) == pytest.approx(0.9, rel=1e-3)


def test_jacobian_of_a_linear_net_is_its_kernel() -> None:
    """Lost: singular values of something else than outputs against inputs."""
    x = jax.random.normal(KEY, (5, 6))
    learner = learner_of(mlp(outputs=3, depth=0), x)
    state = learner.init(KEY)
    _, info = learner.step(state, Batch(x, jnp.zeros(5)), KEY)
    found = signals.input_jacobian(examples=2)(info)
    s = np.linalg.svd(jax.tree.leaves(state.params)[1], compute_uv=False)
    assert float(found["jacobian_largest"]) == pytest.approx(s[0], rel=1e-4)
    assert float(found["jacobian_smallest"]) == pytest.approx(s[-1], rel=1e-4)
    assert float(found["jacobian_mean_square"]) == pytest.approx(np.mean(s**2), rel=1e-4)


def test_dormant_units_by_hand() -> None:
    """Lost: units that sleep. Mean sizes 1, 1, 0.01: the third is below 0.025 of the mean 0.67."""
    h = jnp.array([[1.0, -1.0, 0.01], [-1.0, 1.0, 0.01]])
    seen = {"layer_00": h, "layer_00.activation_derivative": h, "output": h}
    found = signals.dormant_units()(Info(jnp.zeros(()), {}, {}, {}, (), seen, dict))
    assert [*found["dormant_units"]] == ["layer_00"]
    assert float(found["dormant_units"]["layer_00"]) == pytest.approx(1 / 3)


@pytest.fixture(scope="module")
def run(tmp_path_factory: Any) -> Any:
    config = {
        "data": {"name": "wine", "batch_size": 16},
        "model": {"name": "mlp", "depth": 1, "width": 6, "normalization": "batch"},
        "loss": {"name": "softmax_cross_entropy"},
        "optimizer": {"name": "adam", "learning_rate": 0.01},
        "train": {"steps": 8, "seeds": 3, "probes": ["full"], "probe_every": 4},
    }
    return dp.train(config, tmp_path_factory.mktemp("probes") / "run")


def test_every_tier_holds_the_one_below(run: Any) -> None:
    """Lost: a probe that no tier names, or a value that no lane can take."""
    named = set(probes.TABLE) - {"cheap", "standard", "full"}
    assert set(probes._FULL) == named and set(probes._CHEAP) < set(probes._STANDARD) < set(probes._FULL)
    found = run.results
    assert found.hessian_ritz.dims == ("arm", "seed", "step", "ritz")
    assert found.effective_rank.dims == ("arm", "seed", "step", "layer")
    assert found.gradient_histogram.dims == ("arm", "seed", "step", "decade")
    np.testing.assert_allclose(found.gradient_histogram.sum("decade"), 1.0, atol=1e-5)
    for name in (
        "sharpness", "sharpness_residual", "hessian_trace", "step_cosine", "sam_sharpness", "preconditioned_sharpness",
        "jacobian_largest",
    ):  # fmt: skip
        assert found[name].dims == ("arm", "seed", "step") and np.isfinite(found[name]).all(), name
    single = {"noise_scale", "gradient_snr", "norm_test", "gradient_cosine_least"}
    assert not single & set(found), "batch normalization has no gradient of a single example"
    assert (found.distance.isel(step=0) < 1e-5).all() and (found.distance.isel(step=1) > 0).all()


def test_a_saved_run_is_probed_afterwards(run: Any, tmp_path: Any) -> None:
    """Lost: what was learned could only be measured while it was learned."""
    done = dp.probe(run.path, tmp_path / "probed", examples=64)
    found = done.results
    assert found.landscape.shape == (1, 3, 2, 21) and found.between.shape == (1, 3, 11)
    middle = found.landscape.isel(place=10)  # 0 along every direction: the same loss, whichever the direction
    np.testing.assert_allclose(middle.isel(way=0), middle.isel(way=1), rtol=1e-5)
    ends = found.between.sel(arm="run")
    losses = dict(zip(found.seed.values, middle.isel(arm=0, way=0).values, strict=True))
    assert float(ends.sel(pair="0 to 1")[0]) == pytest.approx(losses[0], rel=1e-4)
    assert float(ends.sel(pair="0 to 1")[-1]) == pytest.approx(losses[1], rel=1e-4)
    assert (found.barrier >= 0).all() and (np.diag(found.similarity[0]) > 0.1).all()
    assert (found.sharpness > 0).all() and done.summary["kind"] == "probe"
    page = (done.path / "report.html").read_text()
    assert '<th scope="row" class="text"><bdi>sam sharpness</bdi>' in page  # one step: a table, and no dots
    assert "Around and between solutions" in page and "Trained networks under the probes" in page


def test_a_run_without_parameters_cannot_be_probed(tmp_path: Any) -> None:
    """Lost: a traceback in place of a line that tells what to do."""
    from deepprinciples.errors import DeepprinciplesError

    with pytest.raises(DeepprinciplesError):
        dp.probe(tmp_path)
