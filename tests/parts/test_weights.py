"""Reparameterizations of the weights against numbers by hand, against PyTorch, and through a whole study."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.nn.utils import prune as torch_prune

import deepprinciples as dp
from deepprinciples import config as configs
from deepprinciples.errors import ConfigError
from deepprinciples.kernels.smallest import smallest
from deepprinciples.learners.assembly import from_config
from deepprinciples.learners.reparameterized import reparameterized, used
from deepprinciples.parts import weights
from deepprinciples.parts.models.mlp import mlp
from deepprinciples.runs import arrays

RANDOM = np.random.default_rng(3)
PARAMS = {
    "layer_00": {"kernel": RANDOM.normal(size=(6, 5)).astype(np.float32), "bias": np.ones(5, np.float32)},
    "output": {"kernel": 0.3 * RANDOM.normal(size=(5, 4)).astype(np.float32)},
}
KERNELS = ("layer_00", "output")
KEY = jax.random.key(0)
BASE = {
    "data": {"name": "digits", "batch_size": 32},
    "model": {"name": "mlp", "depth": 1, "width": 32},
    "loss": "softmax_cross_entropy",
    "optimizer": {"name": "adam", "learning_rate": 0.003},
    "train": {"steps": 200, "evaluate_every": 200, "probes": []},
    "study": {"seeds": 2, "keep": 1},
}


def begun(name, params=PARAMS, **hypers):
    """Begin a reparameterization: itself, what is stored and its state."""
    needs_steps = "steps" in inspect.signature(weights.TABLE[name]).parameters
    one = weights.TABLE[name](**hypers, **({"steps": 10} if needs_steps and "steps" not in hypers else {}))
    return one, *one.init(KEY, jax.tree.map(jnp.asarray, params))


def zeros(params):
    return [int(np.sum(np.asarray(params[layer]["kernel"]) == 0)) for layer in KERNELS]


@pytest.mark.parametrize("values", [RANDOM.normal(size=(7, 9)), RANDOM.integers(-2, 3, size=63), np.zeros(5)])
def test_exactly_the_smallest_are_marked_and_the_first_of_equal_ones(values):
    """Lost: a sparsity that is not the one asked for, where weights are equal or zero."""
    x = jnp.asarray(values, jnp.float32)
    counts = np.arange(x.size + 1)
    found = jax.jit(jax.vmap(lambda count: smallest(x, count)))(jnp.asarray(counts))
    order = np.argsort(np.abs(np.asarray(values, np.float32)).ravel(), kind="stable")
    for count in counts:
        expected = np.zeros(x.size, bool)
        expected[order[:count]] = True
        np.testing.assert_array_equal(np.asarray(found[count]).ravel(), expected)


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_pruned_as_by_pytorch(sparsity, scope):
    """Lost: weights that are not the smallest, or another number of them."""
    one, stored, state = begun("prune", sparsity=sparsity, scope=scope, begin=0.0, end=0.0)
    found = one.apply(stored, state)
    modules = []
    for layer in KERNELS:
        module = torch.nn.Linear(*PARAMS[layer]["kernel"].shape[::-1])
        module.weight = torch.nn.Parameter(torch.tensor(PARAMS[layer]["kernel"]))
        modules.append(module)
    if scope == "global":
        method = torch_prune.L1Unstructured
        torch_prune.global_unstructured([(one, "weight") for one in modules], method, amount=sparsity)
    else:
        for module in modules:
            torch_prune.l1_unstructured(module, "weight", amount=sparsity)
    for layer, module in zip(KERNELS, modules, strict=True):
        np.testing.assert_array_equal(found[layer]["kernel"], module.weight.detach().numpy())
    np.testing.assert_array_equal(found["layer_00"]["bias"], PARAMS["layer_00"]["bias"])
    sizes = [PARAMS[layer]["kernel"].size for layer in KERNELS]
    counts = zeros(found)
    assert (
        counts == [round(sparsity * size) for size in sizes]
        if scope == "layer"
        else sum(counts) == round(sparsity * sum(sizes))
    )


def test_sparsity_rises_with_the_cube_and_the_mask_stays_after_the_end():
    """Lost: all weights removed at once, or weights that come and go when pruning is over."""
    one, stored, state = begun("prune", sparsity=0.5, begin=0.2, end=0.6, steps=10)
    counts = [sum(zeros(one.apply(stored, state)))]
    for _ in range(10):
        stored, state = one.after(stored, state)
        counts.append(sum(zeros(one.apply(stored, state))))
    done = np.clip((np.arange(11) - 2) / 4, 0, 1)
    assert counts == [int(np.round(50 * 0.5 * (1 - (1 - d) ** 3))) for d in done] and counts[-1] == 25
    masks = state["masks"]
    stored, state = one.after(jax.tree.map(lambda w: w[::-1], stored), state)
    jax.tree.map(np.testing.assert_array_equal, state["masks"], masks)


def test_a_removed_weight_has_no_gradient_and_can_come_back():
    """Lost: a mask that is learned through, or one that is never taken anew."""
    params = {"kernel": jnp.array([[1.0, 2.0], [3.0, 4.0]])}
    one, stored, state = begun("prune", params, sparsity=0.5, begin=0.0, end=0.0)
    slope = jax.grad(lambda v: jnp.sum(one.apply(v, state)["kernel"] ** 2))(stored)["kernel"]
    np.testing.assert_array_equal(slope, [[0.0, 0.0], [6.0, 8.0]])
    one, stored, state = begun("prune", params, sparsity=0.5, begin=0.0, end=1.0, steps=1)
    _, state = one.after({"kernel": stored["kernel"] * jnp.array([[9.0, 1.0], [1.0, 1.0]])}, state)
    np.testing.assert_array_equal(state["masks"]["kernel"], [[True, False], [False, True]])


def test_rewinding_returns_to_the_recorded_weights():
    """Lost: a lottery ticket that starts from other weights than it was drawn with; a dense arm that is rewound."""
    for rewind_to, sparsity, start in ((0.0, 0.5, 0), (0.2, 0.5, 2), (0.2, 0.0, 5)):
        one, stored, state = begun(
            "prune", sparsity=sparsity, begin=0.5, end=0.5, rewind=True, rewind_to=rewind_to, steps=10
        )
        walked = [stored]
        for _ in range(5):
            walked.append(jax.tree.map(lambda w: 1.1 * w + 0.01, walked[-1]))
        for params in walked[1:]:
            stored, state = jax.jit(one.after)(params, state)
        jax.tree.map(np.testing.assert_array_equal, stored, walked[start])
        removed = np.argsort(np.abs(np.concatenate([walked[5][k]["kernel"].ravel() for k in KERNELS])))[
            : round(50 * sparsity)
        ]
        kept = np.concatenate([np.asarray(m).ravel() for m in state["masks"].values()])
        assert set(np.flatnonzero(~kept)) == set(removed.tolist())


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_quantized_as_by_pytorch(bits):
    """Lost: another grid than the one of the paper: a zero that moves, or one scale for all channels."""
    one, stored, state = begun("quantize", bits=float(bits))
    found = one.apply(stored, state)
    most = 2 ** (bits - 1) - 1
    for layer in KERNELS:
        kernel = torch.tensor(PARAMS[layer]["kernel"])
        scale = kernel.abs().amax(dim=0) / most
        zero = torch.zeros(len(scale), dtype=torch.int32)
        expected = torch.fake_quantize_per_channel_affine(kernel, scale, zero, 1, -most, most)
        np.testing.assert_allclose(found[layer]["kernel"], expected.numpy(), rtol=1e-6, atol=1e-7)
        assert all(len(np.unique(column)) <= 2 * most + 1 for column in np.asarray(found[layer]["kernel"]).T)


def test_quantized_by_hand():
    """Lost: rounding towards zero, or NaN in a channel of zeros."""
    one, stored, state = begun("quantize", {"kernel": jnp.array([[3.0, 0.0], [-1.6, 0.0], [0.4, 0.0]])}, bits=3.0)
    np.testing.assert_array_equal(one.apply(stored, state)["kernel"], [[3.0, 0.0], [-2.0, 0.0], [0.0, 0.0]])


def test_the_gradient_passes_straight_through():
    """Lost: a gradient of zero, as that of rounding is, with which nothing trains."""
    one, stored, state = begun("quantize", bits=3.0)
    target = jax.tree.map(lambda w: 0.5 * w, stored)

    def loss(params):
        return sum(jnp.sum((a - b) ** 2) for a, b in zip(*map(jax.tree.leaves, (params, target)), strict=True))

    slope = jax.grad(lambda stored: loss(one.apply(stored, state)))(stored)
    jax.tree.map(np.testing.assert_array_equal, slope, jax.grad(loss)(one.apply(stored, state)))


def test_low_rank_begins_as_the_model_and_changes_by_that_rank():
    """Lost: a start other than the model's, or fixed weights that are trained after all."""
    one, stored, state = begun("low_rank", rank=2, alpha=3.0, match="layer_*kernel")
    jax.tree.map(np.testing.assert_array_equal, one.apply(stored, state), PARAMS)
    assert {k: v.shape for k, v in stored["layer_00"]["kernel"].items()} == {"a": (6, 2), "b": (2, 5)}
    factors = {"a": RANDOM.normal(size=(6, 2)), "b": RANDOM.normal(size=(2, 5))}
    stored["layer_00"]["kernel"] = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), factors)
    change = one.apply(stored, state)["layer_00"]["kernel"] - PARAMS["layer_00"]["kernel"]
    np.testing.assert_allclose(change, 1.5 * factors["a"] @ factors["b"], rtol=1e-4, atol=1e-5)
    assert np.linalg.matrix_rank(change, tol=1e-4) == 2
    assert one.after(stored, state) == (stored, state)


@pytest.mark.parametrize("name", [name for name, f in weights.TABLE.items() if hasattr(f, "neutral")])
def test_neutral_is_absent_to_the_bit(name):
    """Lost: an arm without the trick is not the baseline."""

    @jax.jit
    def off(hypers):
        one, stored, state = begun(name, **hypers)
        stored, state = one.after(stored, state)
        slope = jax.grad(lambda v: sum(jnp.sum(jnp.sin(w)) for w in jax.tree.leaves(one.apply(v, state))))(stored)
        plain = jax.grad(lambda v: sum(jnp.sum(jnp.sin(w)) for w in jax.tree.leaves(v)))(stored)
        return one.apply(stored, state), (slope, plain)

    found, slopes = off({key: jnp.float32(value) for key, value in weights.TABLE[name].neutral.items()})
    jax.tree.map(np.testing.assert_array_equal, found, PARAMS)
    jax.tree.map(np.testing.assert_array_equal, *slopes)


@pytest.mark.parametrize(("name", "key", "values"), [
    ("prune", "sparsity", [0.0, 0.3, 0.9]), ("quantize", "bits", [2.0, 6.5, np.inf]), ("low_rank", "alpha", [0.0, 2.0]),
])  # fmt: skip
def test_lanes_are_what_each_is_alone(name, key, values):
    """Lost: a lane of a sweep is not the run it stands for."""
    hypers = {"begin": 0.0, "end": 0.1} if name == "prune" else {}

    def result(value):
        one, stored, state = begun(name, **{key: value}, **hypers)
        stored, state = one.after(stored, state)
        return one.apply(jax.tree.map(lambda w: w + 0.01, stored), state)

    lanes = jax.jit(jax.vmap(result))(jnp.asarray(values, jnp.float32))
    for lane, value in enumerate(values):
        for a, b in zip(jax.tree.leaves(result(value)), jax.tree.leaves(lanes), strict=True):
            np.testing.assert_allclose(a, b[lane], rtol=1e-6, atol=1e-7)


def test_the_first_acts_on_what_is_stored_and_the_next_on_what_it_gives():
    """Lost: factors that are pruned in place of their product, or a rewind that is dropped without a word."""
    model = mlp(outputs=3, depth=1, width=6)
    x = jnp.ones((2, 4))
    chain = {"low_rank": weights.low_rank(rank=1), "prune": weights.prune(end=0.0, steps=4)}
    whole = reparameterized(model, chain)
    params, state = whole.init(KEY, x)
    applied = used(chain, params, state)
    plain = model.init(KEY, x)[0]
    leaves = [leaf for leaf in jax.tree.leaves(applied) if leaf.ndim > 1]
    assert jax.tree.structure(applied) == jax.tree.structure(plain)
    assert sum(int(jnp.sum(leaf == 0)) for leaf in leaves) == round(sum(leaf.size for leaf in leaves) / 2)
    outputs, told, _ = whole.apply(params, state, x, key=None, train=False)
    np.testing.assert_array_equal(outputs, model.apply(applied, {}, x, key=None, train=False)[0])
    assert whole.after(params, state, told)[1]["weights"]["prune"]["step"] == 1
    back = reparameterized(model, {"quantize": weights.quantize(steps=4), "prune": weights.prune(rewind=True, steps=4)})
    with pytest.raises(
        ValueError, match=r"weights.prune: changes the stored weights; move it to the front of the table"
    ):
        back.after(*back.init(KEY, x), back.init(KEY, x)[1])


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Dense, half and nearly all pruned, and an arm without the table."""
    arms = {f"{s}": {"weights.prune": {"sparsity": s}} for s in (0.0, 0.5, 0.95)}
    return dp.compare({**BASE, "arms": {"absent": {}, **arms}}, tmp_path_factory.mktemp("study") / "run")


def test_arms_of_different_sparsity_are_one_program_and_only_the_sparsest_loses(study):
    """Lost: a question of sparsity that compiles once an arm, or masks that training and judging do not use."""
    assert [row["arms"] for row in study.summary["programs"]] == [["absent"], ["0.0", "0.5", "0.95"]]
    score = study.results.score.mean("seed").to_series()
    assert score["0.0"] > 0.92 and score["0.5"] > score["0.0"] - 0.03 and score["0.95"] < score["0.0"] - 0.05
    np.testing.assert_array_equal(study.results.score.sel(arm="absent"), study.results.score.sel(arm="0.0"))


@pytest.mark.parametrize("arm", ["0.0", "0.5", "0.95"])
def test_a_kept_model_answers_with_the_weights_that_were_judged(study, arm, tmp_path):
    """Lost: numbers read off a kept network that was never judged, or an export of weights that it does not use."""
    model, params = study.model(arm, seed=0)
    right = np.asarray(model.predict(params, model.data.test.inputs)).argmax(-1) == model.data.test.targets
    assert np.mean(right) == pytest.approx(float(study.results.score.sel(arm=arm, seed=0)), abs=1e-6)
    for naming in ("own", "torch"):
        file = dp.export_parameters(study.path, tmp_path / naming, arm=arm, naming=naming)
        kernels = [a for a in arrays.load_flat(file.read_bytes(), file).values() if a.ndim > 1]
        assert sum(int(np.sum(a == 0)) for a in kernels) == round(float(arm) * sum(a.size for a in kernels))


def test_a_probe_afterwards_looks_at_the_weights_that_are_used(tmp_path):
    """Lost: the sharpness of a network that nobody trained, where the masks are those of the start."""
    found = {}
    for name, table in {"plain": {}, "low_rank": {"low_rank": {}}, "prune": {"prune": {"sparsity": 1.0}}}.items():
        config = {**BASE, "data": {"name": "wine", "batch_size": 16}, "weights": table}
        run = dp.train({**config, "train": {"steps": 20, "probes": []}}, tmp_path / name)
        probed = dp.probe(run.path, tmp_path / f"{name} probed", examples=16)
        assert any("weights that the model uses" in line for line in probed.summary["warnings"]) == (name != "plain")
        found[name] = probed.results
    slope = {name: float(one["gradient_mean_square"].sel(layer="layer_00").max()) for name, one in found.items()}
    assert slope["prune"] == 0.0 and min(slope["plain"], slope["low_rank"]) > 0.0, "nothing comes back from the output"


@functools.cache
def digits():
    return from_config.dataset(resolved())


def resolved(**changes):
    return configs.resolve(configs.changes(BASE, {"train.steps": 4, **changes}), from_config.KINDS)


@pytest.mark.parametrize("changes", [
    {"gradient": "sam", "regularizers.l2": {}},
    {"gradient": {"name": "microbatches", "count": 4}, "weight_averaging": "ema"},
    {"weight_averaging": "lookahead", "model.normalization": "batch"}, {"gradient": "dp_sgd", "transforms.sign": {}},
])  # fmt: skip
def test_weights_join_rules_averages_and_regularizers(changes):
    """Lost: a mask that a rule counts twice, averages away or loses."""
    config = resolved(**changes, **{"weights.prune": {"end": 0.5}, "weights.quantize": {"bits": 4.0}})
    learner = from_config.learner(config, digits())
    batch = from_config.first(digits(), 32)
    state = learner.init(KEY)

    @jax.jit
    def step(state, key):
        state, info = learner.step(state, batch, key)
        return state, info.loss

    for number in range(4):
        state, loss = step(state, jax.random.key(number))
        assert np.isfinite(loss)
    kept = state.model_state["weights"]["prune"]
    assert int(kept["step"]) == 4
    masks = list(kept["masks"].values())
    assert sum(int(np.sum(~m)) for m in masks) == round(sum(m.size for m in masks) / 2)
    assert np.isfinite(np.mean(learner.evaluate(state, batch, KEY)["loss"]))


@pytest.mark.parametrize(("table", "line"), [
    ({"prune": {"match": "kernl"}}, r'weights.prune: match: no parameter matches "kernl"; the nearest are "output'),
    ({"prune": {"match": ["*kernel", "head/*"]}}, r'weights.prune: match: no parameter matches "head/\*"; the nearest'),
    ({"prune": {"begin": 0.5, "end": 0.2}}, r"weights.prune: end: 0.2 is before begin, 0.5; expected"),
    ({"low_rank": {"rank": 11}}, r"weights.low_rank: rank: 11 is above 10, the most of output.*\[32, 10\]; lower it"),
    ({"low_rank": {"match": "*bias"}}, r"weights.low_rank: match: '.bias' matches layer_00.*\[32\], which is no"),
    ({"quantize": {}, "prune": {"rewind": True}}, r"weights.prune: changes the stored weights; move it to the front"),
    ({"prune": {"sparsity": 1.5}}, r"weights.prune.sparsity: expected a number of at least 0 and at most 1"),
    ({"quantize": {"bits": 1.0}}, r"weights.quantize.bits: expected a number of at least 2, found 1.0"),
    ({"trim": {}}, r"weights.trim: no reparameterization \"trim\" \(weights: low_rank, prune, quantize\)"),
])  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(table, line, tmp_path):
    """Lost: hours of training with weights that no part changes."""
    with pytest.raises(ConfigError, match=line) as caught:
        dp.train({**BASE, "weights": table}, tmp_path / "run")
    assert len(str(caught.value).splitlines()) == 1 and not (tmp_path / "run").exists()
