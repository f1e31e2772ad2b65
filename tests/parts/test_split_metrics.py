"""Metrics of a whole split against scikit-learn and by hand, computed as an evaluation does: in batches, padded."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from sklearn import metrics as oracle
from sklearn.calibration import calibration_curve

from deepprinciples.domains.registry import TABLES
from deepprinciples.engine.lane.evaluation import PER_CLASS, evaluate
from deepprinciples.parts.metrics import ranking_metrics, split_metrics
from deepprinciples.types import Batch, Learner, Metric, Scalar

RNG = np.random.default_rng(11)
RANKED = ("roc_auc", "average_precision", "sensitivity_at_specificity")
TABLE = split_metrics.TABLE | ranking_metrics.TABLE
COUNTED = ("f1", "balanced_accuracy", "mean_iou", "dice_score", "expected_calibration_error", "perplexity")
NAN = float("nan")


@functools.cache
def made(name: str, **hypers: object) -> Metric:
    """Make a metric with what the build would supply."""
    if name == "f1" and not hypers:
        hypers = {"average": "macro"}
    supplied = {"r2": {"center": jnp.zeros(())}, "bits_per_byte": {"byte_lengths": jnp.ones(3)}}
    return TABLE[name](**{**supplied.get(name, {}), **hypers})


def learner_of(metric: Metric) -> Learner:
    def look(state: object, batch: Batch, key: object) -> dict[str, object]:
        return {"m": metric.statistics(batch.inputs, batch.targets)}

    return Learner(None, None, look, metrics={"m": metric})  # type: ignore[arg-type]


def every(metric: Metric, outputs: object, targets: object, size: int = 7) -> dict[str, jax.Array]:
    """Evaluate in batches of `size`; the last is filled up with outputs of NaN and targets of 0, of weight 0."""
    x, y = jnp.asarray(outputs, jnp.float32), jnp.asarray(targets)
    return program(metric, size)(x, y)


@functools.cache
def program(metric: Metric, size: int) -> Callable[[jax.Array, jax.Array], dict[str, jax.Array]]:
    return jax.jit(functools.partial(evaluated, metric, size))


def evaluated(metric: Metric, size: int, x: jax.Array, y: jax.Array) -> dict[str, jax.Array]:
    more = -len(y) % size
    fill = lambda a, v: jnp.concatenate([a, jnp.full((more, *a.shape[1:]), v, a.dtype)]).reshape(-1, size, *a.shape[1:])
    weights = fill(jnp.ones(len(y)), 0.0)
    return evaluate(learner_of(metric), types.SimpleNamespace(state=None), Batch(fill(x, NAN), fill(y, 0)), weights)


def value(name: str, outputs: object, targets: object, **hypers: object) -> float:
    found = every(made(name, **hypers), outputs, targets)["m"]
    assert found.shape == ()
    return float(found)


def classes(name: str, outputs: object, targets: object, **hypers: object) -> np.ndarray:
    return np.asarray(every(made(name, **hypers), outputs, targets)["m" + PER_CLASS])


def softmax(x: np.ndarray) -> np.ndarray:
    p = np.exp(x - x.max(-1, keepdims=True), dtype=np.float64)
    return p / p.sum(-1, keepdims=True)


def examples(case: str, count: int = 60, width: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Make outputs [N, C] and labels [N]: random ones, or such as are at the edge of a definition."""
    rng = np.random.default_rng(len(case))
    x, y = rng.normal(size=(count, width)).astype(np.float32), rng.integers(0, width, count)
    if case == "class not in targets":
        y = np.where(y == 1, 0, y)
    if case == "class not in predictions":
        x[:, 1] = -10 - rng.random(count)
    if case == "class nowhere":
        y, x[:, 1] = np.where(y == 1, 0, y), -10
    if case == "ties":
        x = np.zeros_like(x)
    if case == "many ties":
        x = x[rng.integers(0, 6, count)]  # six answers
    if case == "perfect":
        x = 20 * np.eye(width, dtype=np.float32)[y]
    if case == "worst":
        x = 20 * np.eye(width, dtype=np.float32)[(y + 1) % width]
    if case == "rare class":
        y = np.where(np.arange(count) == 3, 1, np.where(y == 1, 0, y))
    return x, y


CASES = ("random", "class not in targets", "class not in predictions", "class nowhere", "ties", "many ties", "perfect",
         "worst", "rare class")  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("width", [2, 4])
def test_counts_are_scikit_learns(case: str, width: int) -> None:
    """Lost: a number that is called F1, and is not that of everybody else."""
    x, y = examples(case, width=width)
    guess, labels = x.argmax(1), range(width)
    nan = {"labels": labels, "zero_division": np.nan}
    np.testing.assert_allclose(classes("f1", x, y, average="macro"), oracle.f1_score(y, guess, average=None, **nan))
    assert value("f1", x, y, average="macro") == pytest.approx(oracle.f1_score(y, guess, average="macro", **nan))
    assert value("f1", x, y, average="micro") == pytest.approx(oracle.f1_score(y, guess, average="micro"))
    ious = oracle.jaccard_score(y, guess, labels=labels, average=None, zero_division=0)
    ious = np.where(np.isin(labels, np.union1d(y, guess)), ious, np.nan)
    np.testing.assert_allclose(classes("mean_iou", x, y), ious, rtol=1e-6)
    assert value("mean_iou", x, y) == pytest.approx(np.nanmean(ious))
    assert value("balanced_accuracy", x, y) == pytest.approx(oracle.balanced_accuracy_score(y, guess))
    dices = oracle.f1_score(y, guess, average=None, **nan)
    np.testing.assert_allclose(classes("dice_score", x, y), dices, rtol=1e-6)
    assert value("dice_score", x, y) == pytest.approx(np.nanmean(dices))
    without = value("dice_score", x, y, include_background=False)
    assert without == pytest.approx(np.nanmean(dices[1:]), nan_ok=True)
    recalls = oracle.recall_score(y, guess, average=None, **nan)
    np.testing.assert_allclose(classes("balanced_accuracy", x, y), recalls, rtol=1e-6)
    if width == 2 and (y == 1).any():
        assert value("f1", x, y, average="binary") == pytest.approx(oracle.f1_score(y, guess))


def sensitivity(y: np.ndarray, score: np.ndarray, specificity: float) -> float:
    false, true, _ = oracle.roc_curve(y, score, drop_intermediate=False)
    return float(true[1 - false >= specificity - 1e-9].max())


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("width", [2, 4])
def test_ranks_are_scikit_learns(case: str, width: int) -> None:
    """Lost: an AUC in which ties, or a confident model, count for more than they are."""
    x, y = examples(case, width=width)
    p = np.round(softmax(x), 12)  # equal answers in another order of classes differ by rounding
    one = {"roc_auc": oracle.roc_auc_score, "average_precision": oracle.average_precision_score,
           "sensitivity_at_specificity": lambda t, s: sensitivity(t, s, 0.8)}  # fmt: skip
    for name, score in one.items():
        hypers = {"specificity": 0.8} if name == "sensitivity_at_specificity" else {}
        there = [c for c in range(width) if 0 < (y == c).sum() < len(y)]
        expected = np.array([score(y == c, p[:, c]) if c in there else np.nan for c in range(width)])
        if name == "average_precision" and width == 2 and len(there) == 0:
            expected[y[0]] = 1.0  # every example is of it: no threshold is wrong
        np.testing.assert_allclose(classes(name, x, y, **hypers), expected, atol=2e-6, err_msg=name)
        mean = expected[1] if width == 2 else np.nanmean(expected)
        np.testing.assert_allclose(value(name, x, y, **hypers), mean, atol=2e-6, err_msg=name)
    if len(there) == width > 2:
        assert value("roc_auc", x, y) == pytest.approx(oracle.roc_auc_score(y, p, multi_class="ovr"), abs=2e-6)


@pytest.mark.parametrize("specificity", [0.0, 0.5, 0.8, 0.95, 1.0])
def test_sensitivity_at_every_specificity(specificity: float) -> None:
    """Lost: one negative example too many, where the share is met exactly: 0.8 of 5 is 4."""
    for count in (5, 10, 25):
        x, y = examples("many ties", count=2 * count, width=2)
        y[: 2 * count] = np.arange(2 * count) % 2
        expected = sensitivity(y, x[:, 1] - x[:, 0], specificity)
        found = value("sensitivity_at_specificity", x, y, specificity=specificity)
        assert found == pytest.approx(expected, abs=1e-6)


def calibration(y: np.ndarray, x: np.ndarray, bins: int) -> float:
    p = softmax(x)
    sure, right = p.max(1), p.argmax(1) == y
    share, mean = calibration_curve(right, sure, n_bins=bins)
    edges = np.linspace(0, 1, bins + 1)
    counts = np.bincount(np.searchsorted(edges[1:-1], sure), minlength=bins)
    return float(np.sum(np.abs(share - mean) * counts[counts > 0]) / len(y))


@pytest.mark.parametrize("case", CASES)
def test_calibration_is_scikit_learns(case: str) -> None:
    """Lost: how far the confidence of a model can be believed."""
    x, y = examples(case)
    for bins in (1, 7, 15):
        found = value("expected_calibration_error", x, y, bins=bins)
        assert found == pytest.approx(calibration(y, x, bins), abs=2e-6)


def test_perplexity_is_scikit_learns() -> None:
    """Lost: the number that language models are compared by."""
    x, y = examples("random")
    assert value("perplexity", x, y) == pytest.approx(np.exp(oracle.log_loss(y, softmax(x))), rel=1e-5)
    masked = np.where(np.arange(4) == 3, -np.inf, x)
    y = y % 3
    assert value("perplexity", masked, y) == pytest.approx(np.exp(oracle.log_loss(y, softmax(x[:, :3]))), rel=1e-5)


@pytest.mark.parametrize("case", ["random", "perfect", "mean", "worse than the mean", "far from 0"])
@pytest.mark.parametrize("shape", [(60,), (60, 1), (60, 3)])
def test_r2_is_scikit_learns(case: str, shape: tuple[int, ...]) -> None:
    """Lost: an R2 of 0.9 that is rounding, for targets such as years or pixels."""
    rng = np.random.default_rng(3)
    y = rng.normal(size=shape).astype(np.float32)
    x = {"perfect": y, "mean": np.broadcast_to(y.mean(0), shape), "worse than the mean": -y}.get(
        case, y + 0.5 * rng.normal(size=shape).astype(np.float32)
    )
    if case == "far from 0":
        x, y = x + 2000, y + 2000
    expected = oracle.r2_score(y, x)
    center = jnp.asarray(y[: len(y) // 2].mean(axis=0))
    found = every(TABLE["r2"](center=center), x, y)["m"]
    assert float(found) == pytest.approx(expected, abs=2e-5)


def test_r2_of_targets_that_do_not_vary() -> None:
    """Lost: a division by rounding; a column that is always 0, such as a border, decides the mean over columns."""
    y = np.full((50, 2), 7.3, np.float32)
    assert np.isnan(value("r2", y + 1, y))
    y[:, 1] = np.arange(50)
    x = y + RNG.normal(size=y.shape).astype(np.float32)
    assert value("r2", x, y) == pytest.approx(oracle.r2_score(y[:, 1], x[:, 1]), abs=1e-5)
    assert np.isnan(value("r2", x[:1], y[:1]))


# --- by hand ---------------------------------------------------------------------------------------------------------

THREE = np.array([[2, 0, 0], [0, 2, 0], [0, 2, 0], [0, 0, 2], [2, 0, 0]], np.float32)  # 0 1 1 2 0
OF_THREE = np.array([0, 1, 2, 2, 1])


def test_small_examples_by_hand() -> None:
    """Lost: that scikit-learn and this mean the same by a word."""
    # Class 0: 1 hit, 2 guesses, 1 example; class 1: 1, 2, 2; class 2: 1, 1, 2.
    np.testing.assert_allclose(classes("f1", THREE, OF_THREE, average="macro"), [2 / 3, 1 / 2, 2 / 3], rtol=1e-6)
    assert value("f1", THREE, OF_THREE, average="micro") == pytest.approx(3 / 5)
    np.testing.assert_allclose(classes("mean_iou", THREE, OF_THREE), [1 / 2, 1 / 3, 1 / 2], rtol=1e-6)
    assert value("balanced_accuracy", THREE, OF_THREE) == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)
    # Positives at 3, 1, 1 and negatives at 2, 1, 0: of 9 pairs 3 + 1.5 + 1.5 are in order.
    odds, labels = np.array([3.0, 2, 1, 1, 1, 0]), np.array([1, 0, 1, 1, 0, 0])
    assert value("roc_auc", odds, labels) == pytest.approx(6 / 9)
    assert value("average_precision", odds, labels) == pytest.approx((1 + 3 / 5 + 3 / 5) / 3)
    assert value("sensitivity_at_specificity", odds, labels, specificity=0.9) == pytest.approx(1 / 3)
    assert value("sensitivity_at_specificity", odds, labels, specificity=0.3) == pytest.approx(1.0)
    # Two bins: 0.6 sure and right once of twice; 0.9 sure and right.
    odds = np.log([0.6 / 0.4, 0.6 / 0.4, 0.1 / 0.9])
    assert value("expected_calibration_error", odds, np.array([1, 0, 0]), bins=4) == pytest.approx(0.3 / 3, abs=1e-6)
    assert value("perplexity", np.zeros((3, 8)), np.array([0, 3, 7])) == pytest.approx(8)
    assert value("r2", np.array([1.0, 2, 4]), np.array([1.0, 2, 3])) == pytest.approx(1 - 1 / 2)


def test_a_single_example() -> None:
    """Lost: a crash, or a number where there is none, at the smallest split there is."""
    x, y = np.array([[0.0, 3.0]], np.float32), np.array([1])
    assert value("f1", x, y, average="binary") == value("balanced_accuracy", x, y) == value("mean_iou", x, y) == 1
    assert value("dice_score", x, y) == 1
    assert value("average_precision", x, y) == 1
    assert np.isnan(value("roc_auc", x, y)) and np.isnan(value("sensitivity_at_specificity", x, y))
    assert value("expected_calibration_error", x, y) == pytest.approx(1 - 1 / (1 + np.exp(-3)), abs=1e-6)


# --- what every one of them keeps to ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*RANKED, *COUNTED[:-1]])
def test_single_log_odds_are_two_classes(name: str) -> None:
    """Lost: a model with one output, or real-valued targets of 0 and 1, gets another number."""
    x, y = examples("random", width=2)
    odds = x[:, 1] - x[:, 0]
    expected = value(name, x, y)
    for outputs, targets in (
        (odds, y),
        (odds[:, None], y),
        (odds[:, None], y[:, None].astype(np.float32)),
        (odds, y > 0),
    ):
        assert value(name, outputs, targets) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", [*RANKED, *COUNTED])
def test_labels_with_further_axes(name: str) -> None:
    """Lost: the edge of a mask, or what is behind the end of a sentence, counts as an example of a class."""
    shape = (9, 5) if name in RANKED else (4, 3, 5)
    x, y = RNG.normal(size=(*shape, 3)).astype(np.float32), RNG.integers(-1, 3, shape)
    x[y == -1] = np.where(RNG.random((y == -1).sum()) < 0.5, np.nan, 9.0)[:, None]
    y[0] = -1  # an example of which nothing is known
    kept = y >= 0
    found, expected = every(made(name), x, y), every(made(name), x[kept], y[kept])
    for key in expected:
        np.testing.assert_allclose(found[key], expected[key], rtol=1e-5, atol=1e-6)
    if name != "perplexity":
        binary, odds = np.minimum(y, 1), x[..., 0]
        hypers = {"average": "binary"} if name == "f1" else {}
        found = value(name, odds, binary, **hypers)
        assert found == pytest.approx(value(name, odds[kept], binary[kept], **hypers), abs=1e-6)


@pytest.mark.parametrize("name", [*RANKED, *COUNTED[:-1]])
@pytest.mark.parametrize("width", [2, 4])
def test_an_output_that_holds_nan_is_the_worst(name: str, width: int) -> None:
    """Lost: a broken model is right on all examples of class 0."""
    x, y = examples("perfect", width=width)
    factory = TABLE[name]
    bad = np.where(np.arange(width) == 1, np.nan, x)
    assert value(name, bad, y) == factory.worst
    some = np.where((np.arange(len(y)) % 3 == 0)[:, None], bad, x)
    wrong = np.where((np.arange(len(y)) % 3 == 0)[:, None], -x * 1e9, x)
    best, found, lower = value(name, x, y), value(name, some, y), value(name, wrong, y)
    assert best == pytest.approx(factory.best, abs=1e-6)
    assert abs(found - factory.worst) <= abs(lower - factory.worst) + 1e-6 < abs(best - factory.worst)
    if width == 2:
        odds = np.where(np.arange(len(y)) % 3 == 0, np.nan, x[:, 1] - x[:, 0])
        hypers = {"average": "binary"} if name == "f1" else {}
        assert value(name, odds, y, **hypers) == pytest.approx(value(name, some, y, **hypers))


def test_what_is_not_bounded_is_not_finite_of_nan() -> None:
    """Lost: a broken regression with a good score."""
    assert np.isnan(value("r2", np.array([1.0, NAN, 3]), np.array([1.0, 2, 3])))
    assert np.isnan(value("perplexity", np.array([[0, NAN], [0, 1]]), np.array([0, 1])))


def test_a_confident_model_keeps_its_ranks() -> None:
    """Lost: probabilities of 1 in float32 tie, and the AUC of a network that was trained long drops to 0.5."""
    y = np.arange(40) % 4
    x = 60 * np.eye(4, dtype=np.float32)[np.where(y == 0, 0, 1)] + 0.01 * np.eye(4, dtype=np.float32)[y]
    odds = 40 + np.arange(40)[:, None] * np.array([[0.0, 0.1]])
    assert value("roc_auc", odds, (np.arange(40) >= 20).astype(int)) == 1
    assert classes("roc_auc", x, y)[2] > 0.8


def test_what_is_undefined_is_nan() -> None:
    """Lost: an AUC of 0.5, or of 0, in a split where there is none."""
    x, ones = RNG.normal(size=(20, 2)).astype(np.float32), np.ones(20, int)
    for labels in (ones, 0 * ones):
        assert np.isnan(value("roc_auc", x, labels)) and np.isnan(value("sensitivity_at_specificity", x, labels))
    assert np.isnan(value("average_precision", x, 0 * ones)) and value("average_precision", x, ones) == 1
    assert np.isnan(value("f1", x, 0 * ones, average="binary"))
    nothing = np.full((20, 3), -1)
    for name in (*RANKED, *COUNTED):
        assert np.isnan(value(name, np.zeros((20, 3, 4)), nothing)), name


def test_what_does_not_pair_is_refused() -> None:
    """Lost: the F1 of class 1 among ten is taken for that of all."""
    metric = made("f1", average="binary")
    with pytest.raises(ValueError, match='f1: average = "binary" with 3 classes; use "macro" or "micro"'):
        metric.statistics(jnp.zeros((2, 3)), jnp.zeros(2, jnp.int32))
    for name in TABLE:
        with pytest.raises(
            ValueError, match=rf"{name}: outputs float32\[4, 3\] and targets float32\[5, 3\] do not pair"
        ):
            made(name).statistics(jnp.zeros((4, 3)), jnp.zeros((5, 3)))


@pytest.mark.parametrize("name", list(TABLE))
def test_plain_jit_and_vmap_agree(name: str) -> None:
    """Lost: a lane of a sweep is not the run it stands for."""
    rng = np.random.default_rng(5)
    y = jnp.asarray(rng.normal(size=20).astype(np.float32) if name == "r2" else np.arange(20) % 2)
    x = jnp.asarray(rng.normal(size=(2, 20) if name == "r2" else (2, 20, 2)).astype(np.float32))
    floats = {
        k: p.default for k, p in inspect.signature(TABLE[name]).parameters.items() if isinstance(p.default, float)
    }
    one = lambda x, hypers: evaluated(made.__wrapped__(name, **hypers), 7, x, y)
    plain, hypers = [one(each, {}) for each in x], {k: jnp.array([v, v]) for k, v in floats.items()}
    lanes = jax.jit(jax.vmap(one))(x, hypers)
    for key in plain[0]:
        np.testing.assert_allclose(jax.jit(one)(x[0], {})[key], plain[0][key], rtol=1e-6)
        np.testing.assert_allclose(lanes[key], jnp.stack([each[key] for each in plain]), rtol=1e-6)


@pytest.mark.parametrize("name", list(TABLE))
def test_signature_is_a_schema_and_a_card(name: str) -> None:
    """Lost: a config that cannot be checked, a keyword that no card tells of."""
    factory = TABLE[name]
    assert TABLES["metric"][name] is factory
    assert factory.direction == (
        "min" if name in ("expected_calibration_error", "perplexity", "bits_per_byte") else "max"
    )
    card = inspect.cleandoc(factory.__doc__)
    for key, parameter in inspect.signature(factory).parameters.items():
        assert f"\n  {key}: " in card
        if isinstance(parameter.default, float):
            assert typing.get_type_hints(factory)[key] == Scalar
    assert "Returns: Metric" in card and "Raises: ValueError" in card and "References: " in card
    assert not made(name).host  # lanes of a device are evaluated where they are


def test_ranks_are_sorted_once() -> None:
    """Lost: the values of the classes would double what an evaluation costs."""
    x, y = examples("random")
    text = jax.jit(lambda x: evaluated(made("roc_auc"), 7, x, jnp.asarray(y))).lower(x).compile().as_text()
    assert text.count(" sort(") == 1


def test_bits_are_counted_by_the_bytes_of_the_tokens() -> None:
    """Lost: tokens of two bytes that count as one, or positions without a label that count at all."""
    scores = RNG.normal(size=(9, 5, 3))
    labels = RNG.integers(-1, 3, (9, 5))
    sizes = np.array([1, 2, 4])
    logs = scipy.special.log_softmax(scores, axis=-1)
    bits = -sum(logs[i, j, labels[i, j]] for i, j in np.argwhere(labels >= 0)) / np.log(2)
    found = every(TABLE["bits_per_byte"](byte_lengths=sizes), scores, labels)["m"]
    np.testing.assert_allclose(found, bits / sizes[labels[labels >= 0]].sum(), rtol=1e-5)
