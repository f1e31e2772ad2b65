"""Examples that are trees of arrays: checked leaf by leaf, split and batched as one."""

from __future__ import annotations

import numpy as np
import pytest

from deepprinciples.errors import DataError
from deepprinciples.parts.data import TABLE, prepare

N = 40


def made(**changes):
    rng = np.random.default_rng(0)
    inputs = {"tokens": rng.integers(0, 9, (N, 5)), "mask": np.ones((N, 5), bool)}
    targets = {"boxes": rng.normal(size=(N, 2, 4)), "labels": rng.integers(-1, 3, (N, 2)), "lengths": np.arange(N) % 5}
    given = {"inputs": inputs, "targets": targets, "vocabulary": 9, "classes": 3} | changes
    return TABLE["examples"](**given)


def inputs(name, value):
    return {"inputs": made().inputs | {name: value}}


def targets(name, value):
    return {"targets": made().targets | {name: value}}


def test_a_tree_is_split_row_by_row():
    source = made()
    parts = prepare(source, batch_size=4, split_seed=3)
    again = np.concatenate(
        [np.asarray(getattr(parts, name).targets["boxes"]) for name in ("train", "validation", "test")]
    )
    assert parts.train.size == 24 and parts.validation.size == parts.test.size == 8
    given = source.targets["boxes"].astype(np.float32)
    rows = [int(np.flatnonzero((given == row).all(axis=(1, 2)))[0]) for row in again]
    assert sorted(rows) == list(range(N))  # every example once
    tokens = np.concatenate([getattr(parts, name).inputs["tokens"] for name in ("train", "validation", "test")])
    assert np.array_equal(tokens, source.inputs["tokens"][rows])  # and its leaves stay together
    assert parts.task == "structured" and parts.outputs == 3 and parts.vocabulary == 9


def test_types_of_leaves():
    parts = prepare(made(), batch_size=4)
    kinds = {name: str(a.dtype) for name, a in {**parts.train.inputs, **parts.train.targets}.items()}
    assert kinds == {"tokens": "int32", "mask": "bool", "boxes": "float32", "labels": "int32", "lengths": "int32"}
    pictures = np.full((N, 3, 3, 1), 255, np.uint8)
    parts = prepare(made(inputs={"left": pictures, "right": pictures}, vocabulary=0), batch_size=4)
    assert parts.train.inputs["left"].max() == 1.0
    assert any("divided by 255" in note for note in parts.notes)


def test_a_pair_of_inputs_is_a_tuple():
    source, shifted = np.ones((N, 4), int), np.zeros((N, 3), int)
    parts = prepare(made(inputs=(source, shifted), vocabulary=2), batch_size=4)
    assert isinstance(parts.train.inputs, tuple) and parts.train.inputs[1].shape == (24, 3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (targets("boxes", np.ones((N - 1, 2, 4))), f"data.targets.boxes: found {N - 1} examples, expected {N}"),
        (inputs("tokens", np.full((N, 5), 9)), "data.inputs.tokens: id 9 at [0, 0] is outside 0..8"),
        (inputs("tokens", np.full((N, 5), -1)), "data.inputs.tokens: id -1 at [0, 0] is outside 0..8"),
        (targets("labels", np.full((N, 2), -2)), "data.targets.labels: label -2 at [0, 0] is outside -1..2"),
        (targets("labels", np.full((N, 2), 3)), "data.targets.labels: label 3 at [0, 0] is outside -1..2"),
        (inputs("mask", np.zeros((N, 5))), "data.inputs.mask: is 0 everywhere in 40 examples, first number 0"),
        (targets("mask", np.zeros((N, 5))), "data.targets.mask: is 0 everywhere"),
        (targets("boxes", np.full((N, 2, 4), np.nan)), "data.targets.boxes: found 320 values not finite"),
        (targets("boxes", np.full((N, 2), "a")), "data.targets.boxes: found dtype <U1"),
        (inputs("tokens", np.full((N, 5), 2**40)), "data.inputs.tokens: id 1099511627776"),
        ({"inputs": {}}, "data.inputs: found an empty table"),
        ({"vocabulary": {"token": 9}}, 'data.vocabulary: names no leaf "token"'),
        ({"validation_inputs": made().inputs}, "data.validation_targets: found none"),
        (
            {"validation_inputs": {"tokens": np.ones((N, 5), int)}, "validation_targets": made().targets},
            "data.validation_inputs: found leaves tokens, expected mask, tokens as in the training part",
        ),
        (
            {"test_inputs": made().inputs | {"tokens": np.ones((N, 6), int)}, "test_targets": made().targets},
            "data.test_inputs.tokens: found examples of shape [6], expected [5] as in the training part",
        ),
    ],
)  # fmt: skip
def test_bad_trees_are_refused_in_one_line(changes, words):
    with pytest.raises(DataError) as error:
        prepare(made(**changes), batch_size=4)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_one_array_of_labels_of_any_shape():
    pictures = np.random.default_rng(1).normal(size=(N, 4, 4, 1))
    labels = np.random.default_rng(2).integers(-1, 2, (N, 2, 2))
    labels[:, 0, 0] = 1
    parts = prepare(TABLE["examples"](inputs=pictures, targets=labels), batch_size=4)
    assert parts.task == "classification" and parts.outputs == 2
    assert parts.train.targets.shape == (24, 2, 2) and parts.train.targets.min() == -1
    labels[3] = -1
    with pytest.raises(DataError, match="no label in 1 example, first number 3"):
        prepare(TABLE["examples"](inputs=pictures, targets=labels), batch_size=4)


def test_labels_of_pictures_given_as_arrays():
    pictures = np.random.default_rng(1).normal(size=(N, 4, 4, 1))
    labels = np.random.default_rng(2).integers(0, 3, (N, 4, 4))
    labels[:, 0] = -1
    parts = prepare(TABLE["arrays"](inputs=pictures, targets=labels), batch_size=4)
    assert parts.train.targets.shape == (24, 4, 4) and parts.outputs == 3
    with pytest.raises(DataError, match="label -2"):
        prepare(TABLE["arrays"](inputs=pictures, targets=labels - 1), batch_size=4)
