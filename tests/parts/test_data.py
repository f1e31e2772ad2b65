"""Data sets and their preparation: sizes and sums of the real sets, fixed splits, and one clear line for bad arrays."""

from __future__ import annotations

import inspect
import typing

import jax.numpy as jnp
import numpy as np
import pytest

from deepprinciples.errors import DataError
from deepprinciples.parts.data import TABLE, Source, prepare
from deepprinciples.parts.data.mnist1d import generate
from deepprinciples.parts.splitting.array_checks import as_array
from deepprinciples.parts.splitting.held_out import split_order
from deepprinciples.parts.splitting.split import moments
from deepprinciples.types import Split

X = np.arange(40, dtype=np.float32).reshape(20, 2)
Y = np.arange(20) % 2
BAD = X.copy()
BAD[3, 1], BAD[7, 0] = np.nan, np.inf
ONE_HOT = np.eye(2)[Y]


def refusal(call, *args, **kwargs) -> str:
    with pytest.raises(DataError) as error:
        call(*args, **kwargs)
    text = str(error.value)
    assert "\n" not in text, "an error is one line"
    return text


def arrays(inputs=X, targets=Y, batch_size=4, **rest):
    kept = {k: rest.pop(k) for k in list(rest) if k in inspect.signature(prepare).parameters}
    return prepare(TABLE["arrays"](inputs=inputs, targets=targets, **rest), batch_size=batch_size, **kept)


# --- the sets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shape", "outputs", "pixel_sum", "target_sum"),
    [
        ("digits", (1797, 8, 8, 1), 10, 561718 / 16, 8070),
        ("breast_cancer", (569, 30), 2, 1056474.4596356, 357),
        ("wine", (178, 13), 3, 159975.295999, 71 + 2 * 48),
        ("diabetes", (442, 10), 1, 276404.2336, 67243),
    ],
)
def test_real_sets_are_the_published_ones(name, shape, outputs, pixel_sum, target_sum):
    """Lost when it fails: results on these sets can no longer be compared with anyone else's."""
    source = TABLE[name]()
    assert source.inputs.shape == shape
    assert source.outputs == outputs
    assert source.targets.sum() == target_sum
    assert source.inputs.sum(dtype=np.float64) == pytest.approx(pixel_sum, rel=1e-9)


def test_mnist_1d_equals_the_published_package():
    """Lost when it fails: MNIST-1D numbers of the paper no longer apply."""
    from mnist1d import data as oracle

    published = oracle.make_dataset(oracle.get_dataset_args())
    train, test = generate()
    np.testing.assert_allclose(train.inputs, published["x"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(test.inputs, published["x_test"], rtol=0, atol=1e-12)
    np.testing.assert_array_equal(train.targets, published["y"])
    np.testing.assert_array_equal(test.targets, published["y_test"])


def test_mnist_1d_keeps_its_parts_counts_and_scale():
    """Lost when it fails: the test part leaks into training, or the scale of the benchmark is changed."""
    source = TABLE["mnist_1d"]()
    assert np.bincount(source.targets).tolist() == [398, 396, 411, 394, 394, 402, 401, 404, 402, 398]
    data = prepare(source)
    assert [len(p.inputs) for p in data[:3]] == [3200, 800, 1000]
    assert data.train.inputs.shape[1:] == (40, 1)
    np.testing.assert_allclose(data.test.inputs, source.test.inputs, rtol=1e-6)


def test_adding_targets_are_the_sum_of_the_marked_values():
    """Lost when it fails: the adding problem cannot be solved by any model."""
    source = TABLE["adding"](length=7, size=200, data_seed=3)
    values, marks = source.inputs[..., 0], source.inputs[..., 1]
    np.testing.assert_array_equal(marks[:, :3].sum(1), 1)
    np.testing.assert_array_equal(marks[:, 3:].sum(1), 1)
    np.testing.assert_allclose((values * marks).sum(1), source.targets, rtol=1e-6)
    many = TABLE["adding"](length=2, size=50000).targets
    assert np.mean((many - 1) ** 2) == pytest.approx(1 / 6, rel=0.02)


def test_copy_memory_repeats_its_symbols_after_the_marker():
    """Lost when it fails: a model is scored on something other than memory."""
    source = TABLE["copy_memory"](delay=5, size=50)
    assert source.inputs.shape == source.targets.shape == (50, 25)
    assert np.unique(source.inputs[:, :10]).tolist() == list(range(1, 9))
    assert (source.inputs[:, 14] == 9).all()
    assert (np.delete(source.inputs, 14, axis=1)[:, 10:] == 0).all()
    np.testing.assert_array_equal(source.targets[:, -10:], source.inputs[:, :10])
    assert (source.targets[:, :-10] == 0).all()
    data = prepare(source, batch_size=8)
    assert (data.vocabulary, data.outputs, data.train.inputs.dtype, data.notes) == (10, 10, np.int32, ())


def test_teacher_noise_is_the_share_that_cannot_be_learned():
    """Lost when it fails: the promised best error (noise squared) is wrong."""
    clean, noisy = (TABLE["teacher"](noise=n, size=4000).targets for n in (0.0, 0.5))
    assert clean.std() == pytest.approx(1, abs=1e-9)
    assert (noisy - clean).std() == pytest.approx(0.5, rel=0.03)


@pytest.mark.parametrize("name", ["adding", "copy_memory", "teacher"])
def test_a_data_seed_fixes_the_examples(name):
    """Lost when it fails: two runs of one config see different data."""
    first, again, other = (TABLE[name](size=20, data_seed=s).inputs for s in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


# --- the schema ------------------------------------------------------------------------------------------------------


def test_every_factory_is_a_config_schema_of_its_own():
    """Lost when it fails: a config key of a data section means two things, or has no type."""
    shared = set(inspect.signature(prepare).parameters) - {"source"}
    for name, factory in TABLE.items():
        assert name == factory.__name__
        parameters = inspect.signature(factory).parameters.values()
        assert all(p.kind is p.KEYWORD_ONLY for p in parameters)
        assert not shared & {p.name for p in parameters}, name
        hints = typing.get_type_hints(factory, include_extras=True)
        assert hints.pop("return") is Source
        assert set(hints) == {p.name for p in parameters}
        assert all(f"{p.name}:" in factory.__doc__ for p in parameters), name


# --- splits ----------------------------------------------------------------------------------------------------------


def test_parts_are_disjoint_stable_and_depend_on_the_split_seed_only():
    """Lost when it fails: test examples are trained on, or differ from run to run."""
    x = np.arange(100.0)[:, None].astype(np.float32)
    runs = [arrays(x, np.arange(100) % 3, standardize=False, split_seed=s) for s in (0, 0, 1)]
    parts = [[p.inputs[:, 0].tolist() for p in run[:3]] for run in runs]
    assert parts[0] == parts[1] != parts[2]
    assert [len(p) for p in parts[0]] == [60, 20, 20]
    assert sorted(sum(parts[0], [])) == list(range(100))
    assert parts[0][2][:6] == [2, 7, 8, 13, 16, 22], "the split of version 0.1; a change breaks every stored study"


def test_splits_are_stratified_even_when_classes_are_rare():
    """Lost when it fails: a rare class may be missing from the test part."""
    labels = np.repeat([0, 1, 2], [900, 90, 10])
    data = arrays(np.zeros((1000, 1)), labels, standardize=False)
    for part, share in zip(data[:3], (0.6, 0.2, 0.2), strict=True):
        np.testing.assert_allclose(np.bincount(part.targets), share * np.array([900, 90, 10]), atol=1)
    small = arrays(np.zeros((1000, 1)), labels, train_size=100)
    np.testing.assert_allclose(np.bincount(small.train.targets), [90, 9, 1], atol=1)
    np.testing.assert_array_equal(small.test.targets, data.test.targets)


def test_split_order_is_a_shuffle():
    """Lost when it fails: neighbors in a sorted file end up together."""
    order = split_order(np.arange(60) // 30, 60, 0)
    assert sorted(order) == list(range(60))
    assert abs(np.corrcoef(order[order < 30], np.arange(30))[0, 1]) < 0.5


def test_parts_a_set_ships_are_kept():
    """Lost when it fails: published test parts are mixed into training."""
    data = arrays(
        test_inputs=X[:3] + 100,
        test_targets=Y[:3],
        validation_inputs=X[:2] + 200,
        validation_targets=Y[:2],
        standardize=False,
    )
    np.testing.assert_array_equal(data.train.inputs, X)
    np.testing.assert_array_equal(data.test.inputs, X[:3] + 100)
    np.testing.assert_array_equal(data.validation.inputs, X[:2] + 200)


# --- scaling ---------------------------------------------------------------------------------------------------------


def test_standardizing_uses_the_training_part_only():
    """Lost when it fails: the test part leaks into training through mean and scale."""
    random = np.random.RandomState(0)
    x = random.randn(200, 3) * [1, 10, 100] + 5
    plain, scaled = (arrays(x, np.arange(200) % 2, standardize=s) for s in (False, True))
    mean, std = plain.train.inputs.mean(0, dtype=float), plain.train.inputs.std(0, dtype=float)
    for before, after in zip(plain[:3], scaled[:3], strict=True):
        np.testing.assert_allclose(after.inputs, (before.inputs - mean) / std, atol=1e-5)
    assert np.abs(scaled.test.inputs.mean(0)).max() > 1e-3


def test_a_constant_feature_becomes_zero_and_not_nan():
    """Lost when it fails: one dull column turns the whole run into NaN."""
    x = np.stack([np.arange(50), np.full(50, 0.1)], axis=1)
    data = arrays(x, np.arange(50) % 2)
    assert all(np.isfinite(p.inputs).all() for p in data[:3])
    np.testing.assert_allclose(data.train.inputs[:, 1], 0, atol=1e-6)


def test_images_are_scaled_channel_by_channel():
    """Lost when it fails: each pixel is scaled on its own, which blows up the dark border."""
    x = np.random.RandomState(0).rand(30, 4, 4, 2) * np.array([1, 50])
    train = arrays(x, np.arange(30) % 2).train.inputs
    np.testing.assert_allclose(train.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(train.std((0, 1, 2)), 1, atol=1e-5)
    assert train.std(0).std() > 0.01


def test_moments_match_numpy_over_many_chunks_and_large_offsets():
    """Lost when it fails: float32 sums lose the scale of data far from zero."""
    x = (np.random.RandomState(0).randn(9000, 2) + 1e4).astype(np.float32)
    mean, std = moments(x)
    np.testing.assert_allclose(mean, x.mean(0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(std, x.std(0, dtype=np.float64), rtol=1e-9)


def test_regression_targets_are_scaled_and_the_note_says_how():
    """Lost when it fails: nobody can turn the reported error back into the target's unit."""
    source = TABLE["diabetes"]()
    data = prepare(source)
    assert data.train.targets.shape == (266, 1)
    assert data.train.targets.mean() == pytest.approx(0, abs=1e-5)
    raw = prepare(source, standardize=False).train.targets
    assert f"mean {raw.mean(dtype=float):.6g}, standard deviation {raw.std(dtype=float):.6g}" in data.notes[0]


def test_types_are_float32_and_int32():
    """Lost when it fails: a float64 array doubles memory or recompiles the program."""
    for name in ("digits", "diabetes", "adding"):
        source = TABLE[name]()
        for part in prepare(source)[:3]:
            assert part.inputs.dtype == np.float32
            assert part.targets.dtype == (np.int32 if source.task == "classification" else np.float32)


def test_what_was_changed_is_noted():
    """Lost when it fails: values are rescaled in silence."""
    image = np.full((20, 2, 2, 1), 255, np.uint8)
    data = arrays(image, standardize=False)
    assert (data.train.inputs == 1).all()
    assert data.notes == ("inputs: uint8 values were divided by 255",)
    assert arrays(X.astype(float)).notes == ("note: inputs: float64 values were narrowed to float32",)
    assert "one class only (label 0)" in arrays(targets=np.zeros(20, int)).notes[0]
    assert "integers above 2**24" in arrays(X.astype(int) + 2**30).notes[0]
    assert arrays().notes == ()


def test_a_part_without_a_class_is_noted():
    """Lost when it fails: a score over classes that the test part does not have, without a word."""
    test = {"test_inputs": X[:4], "test_targets": np.zeros(4, int)}
    assert arrays(**test).notes == ("1 of 2 classes has no test example, first 1",)
    assert arrays(classes=4).notes[0] == "2 of 4 classes have no training example, first 2"


def test_channels_first_are_turned_or_refused():
    """Lost when it fails: PyTorch's pictures [N, C, H, W] are read as pictures of height C."""
    x = np.random.RandomState(0).randn(20, 3, 6, 8).astype(np.float32)
    message = refusal(arrays, x)
    assert "data.inputs: found pictures of shape [20, 3, 6, 8], which look like [N, C, H, W]" in message
    turned, kept = (arrays(x, channels=c, standardize=False).train.inputs for c in ("first", "last"))
    assert turned.shape == (12, 6, 8, 3) and kept.shape == (12, 3, 6, 8)
    np.testing.assert_array_equal(turned, np.moveaxis(kept, 1, -1))
    assert arrays(np.moveaxis(x, 1, -1)).notes == ()
    assert 'expected [N, C, ...] for channels = "first"' in refusal(arrays, X, channels="first")


def test_signals_that_look_like_channels_first_are_noted():
    """Lost when it fails: three channels of 50 steps are read as three steps of 50 features, without a word."""
    x = np.random.RandomState(0).randn(20, 3, 50).astype(np.float32)
    assert arrays(x).notes[0].startswith("inputs: examples of shape [3, 50] are read as 3 steps of 50 features")
    assert arrays(x, channels="last").notes == () and arrays(x, channels="first").train.inputs.shape == (12, 50, 3)


def test_labels_a_step_that_could_be_one_hot_are_noted():
    """Lost when it fails: one-hot rows of three classes are read as a label for each of three steps."""
    assert "one label a step" in arrays(np.zeros((20, 2, 1), np.float32), ONE_HOT.astype(int)).notes[-1]


def test_a_tensor_that_requires_a_gradient_is_an_array():
    """Lost when it fails: arrays straight from a PyTorch model end in a traceback."""
    import torch

    np.testing.assert_array_equal(as_array(torch.tensor(X, requires_grad=True), "x"), X)
    assert "cannot be read as an array" in refusal(as_array, [torch.tensor(X, requires_grad=True)] * 2, "x")


def test_a_mask_that_hides_nothing_is_no_reason():
    """Lost when it fails: clean masked arrays, as readers of tables give them, are refused."""
    np.testing.assert_array_equal(as_array(np.ma.masked_equal(X, -1), "x"), X)


# --- bad inputs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": X[:0], "targets": Y[:0]}, "data.inputs: found no examples (shape [0, 2]), expected at least one"),
        ({"targets": Y[:7]}, "data.targets: found 7 targets for 20 examples of inputs; give one target an example"),
        ({"targets": Y - 1}, "data.targets: label -1 at [0] is below 0; number the classes from 0"),
        (
            {"targets": Y + 1, "classes": 2},
            "data.targets: label 2 at [1] is outside 0..1; subtract 1 from labels that count from 1",
        ),
        ({"targets": Y * 7, "classes": 2}, "data.targets: label 7 at [1] is outside 0..1; number the classes from 0"),
        ({"targets": Y * -100}, "label -100 at [1] is below 0; PyTorch leaves labels of -100 out of the loss"),
        (
            {"targets": Y + 1},
            "found labels from 1 to 2 and none of 0, expected labels from 0; subtract 1",
        ),
        (
            {"targets": ONE_HOT.astype(int)},
            "data.targets: found one-hot labels of shape [20, 2], expected integers of shape [20]",
        ),
        ({"inputs": np.ma.masked_equal(X, 5)}, "data.inputs: found 1 masked value, first at [2, 1]; fill them with"),
        ({"inputs": [np.ma.masked_equal(row, 5) for row in X]}, "data.inputs: found 1 masked value, first at [2, 1]"),
        ({"targets": np.ma.masked_equal(Y, 1)}, "data.targets: found 10 masked values, first at [1]"),
        (
            {"inputs": X.astype(np.uint8), "test_inputs": X[:4], "test_targets": Y[:4]},
            "data.test_inputs: found float32, expected uint8 as in the training part: uint8 is divided by 255",
        ),
        (
            {"validation_inputs": X[:4].astype(np.uint8), "validation_targets": Y[:4]},
            "data.validation_inputs: found uint8, expected float32 as in the training part",
        ),
        ({"targets": Y * 99}, "data.targets: found label 99, more classes than examples"),
        ({"targets": Y * 2**40}, f"data.targets: label {2**40} at [1] does not fit int32"),
        (
            {"targets": Y.astype(float)},
            "data.targets: found float64 labels, first 0.0, expected integers from 0; use targets.astype(int)",
        ),
        ({"targets": Y + 0.5}, 'expected integers from 0; for real-valued targets set task = "regression"'),
        (
            {"targets": ONE_HOT},
            "data.targets: found one-hot labels of shape [20, 2], expected integers of shape [20]; "
            "use targets.argmax(axis=1)",
        ),
        ({"targets": Y[:, None]}, "data.targets: found labels of shape [20, 1], expected [20]; use targets[:, 0]"),
        ({"inputs": BAD}, "data.inputs: found 2 values not finite, first nan at [3, 1]; clean them"),
        ({"inputs": X[:, 0]}, "data.inputs: found shape [20], expected [N, features]; use inputs[:, None]"),
        ({"inputs": X.astype(str)}, "data.inputs: found dtype <U32, expected numbers"),
        ({"inputs": X.astype(object)}, "data.inputs: found dtype object, expected numbers"),
        ({"inputs": X.astype(complex)}, "data.inputs: found dtype complex128, expected numbers"),
        ({"inputs": X.astype(float) * 1e300}, "does not fit float32; rescale the column"),
        ({"inputs": [[1.0], [1.0, 2.0]]}, "data.inputs: cannot be read as an array"),
        ({"inputs": X.astype(int), "tokens": 30}, "data.inputs: token 30 at [15, 0] is outside 0..29"),
        ({"inputs": X, "tokens": 30}, "data.inputs: found dtype float32, expected integer token ids below 30"),
        ({"test_inputs": X[:3]}, "data.test_targets: found none although test_inputs are given; give both or neither"),
        (
            {"test_inputs": X[:3, :1], "test_targets": Y[:3]},
            "data.test_inputs: found examples of shape [1], expected [2] as in the training part",
        ),
        ({"test_inputs": X[:3], "test_targets": Y[:3] - 5}, "data.test_targets: label -5 at [0]"),
        ({"task": "regression", "targets": np.where(Y == 1, np.inf, 1)}, "data.targets: found 10 values"),
        ({"task": "regression", "targets": np.zeros((20, 2, 2))}, "expected [20, outputs]"),
        ({"batch_size": 13}, "data.batch_size: found 13, more than the 12 training examples; set batch_size to 12"),
        ({"batch_size": 0}, "data.batch_size: found 0, expected at least 1"),
        ({"validation": 0.0}, "data.validation: found 0.0, expected a share between 0 and 1, such as 0.2"),
        ({"test": 1.0}, "data.test: found 1.0, expected a share between 0 and 1"),
        ({"test": float("nan")}, "data.test: found nan, expected a share between 0 and 1"),
        ({"test": 0.01}, "data.test: a share of 0.01 of 20 examples leaves none; raise it or give more data"),
        ({"test": 0.5, "validation": 0.5}, "test 10 and validation 10 of 20 examples leave none for training"),
        ({"train_size": 13}, "data.train_size: found 13, expected 0 (all) to 12, the training part's size"),
    ],
)
def test_bad_data_is_refused_with_one_clear_line(change, message):
    """Lost when it fails: a mistake in the data gives a plausible but wrong result."""
    with np.errstate(all="ignore"):
        assert message in refusal(arrays, **change)


def test_nonfinite_inputs_may_be_allowed():
    """Lost when it fails: one NaN makes the scaled feature NaN everywhere, or cannot be kept at all."""
    data = arrays(BAD, allow_nonfinite=True)
    assert sum(int((~np.isfinite(p.inputs)).sum()) for p in data[:3]) == 2


def test_labels_for_each_step_are_accepted():
    """Lost when it fails: sequence labeling needs another tool."""
    data = arrays(np.zeros((20, 5, 1)), np.tile([0, 1, 2, 0, 1], (20, 1)))
    assert (data.outputs, data.train.targets.shape) == (3, (12, 5))


def test_a_test_part_can_raise_the_number_of_classes():
    """Lost when it fails: a class seen only in the test part indexes past the model's outputs."""
    assert arrays(test_inputs=X[:2], test_targets=np.array([0, 4])).outputs == 5


def test_half_precision_arrays_are_numbers():
    """Lost when it fails: arrays computed with JAX in bfloat16 are refused."""
    assert as_array(X.astype(jnp.bfloat16), "x").dtype == np.float32


def test_source_of_an_unknown_task_is_refused():
    """Lost when it fails: a factory of the user's own with a typo fails deep inside the training loop."""
    assert 'data.task: found "ranking"' in refusal(prepare, Source(X, Y, "ranking", test=Split(X, Y)))
