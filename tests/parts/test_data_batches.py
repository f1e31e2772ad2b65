"""Batches from the user's loader: any re-iterable works, and every fault names its batch."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from deepprinciples.errors import DataError
from deepprinciples.parts.data import TABLE, prepare

X = np.arange(24, dtype=np.float64).reshape(12, 2)
Y = np.arange(12) % 3
PAIRS = [(X[i : i + 4], Y[i : i + 4]) for i in (0, 4, 8)]


class Tensor:
    """Stands for a tensor of another library: all that is asked of it is to become an array."""

    def __init__(self, value):
        self.value = value

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.value, dtype)


def streamed(batches, batch_size=4, **rest):
    parts = {f"{p}_{n}": v for p in ("validation", "test") for n, v in (("inputs", X[:3]), ("targets", Y[:3]))}
    return prepare(TABLE["stream"](**{"batches": batches, **parts, **rest}), batch_size=batch_size)


def refusal(call, *args, **kwargs) -> str:
    with pytest.raises(DataError) as error:
        call(*args, **kwargs)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "batches",
    [
        PAIRS,
        [list(p) for p in PAIRS],
        [{"inputs": x, "targets": y, "id": 1} for x, y in PAIRS],
        [(Tensor(x), Tensor(y)) for x, y in PAIRS],
        lambda: (p for p in PAIRS),
    ],
    ids=["tuples", "lists", "dicts", "tensors", "function"],
)
def test_every_form_of_loader_streams_the_same_batches_again_and_again(batches):
    """Lost when it fails: a loader of another library, or the second pass over it, does not work."""
    data = streamed(batches)
    assert (data.outputs, data.batch_size, data.task) == (3, 4, "classification")
    np.testing.assert_array_equal(data.train.inputs, X[:4])
    for _ in range(2):
        given = list(data.stream)
        np.testing.assert_array_equal(np.concatenate([b.inputs for b in given]), X)
        np.testing.assert_array_equal(np.concatenate([b.targets for b in given]), Y)
        assert {(b.inputs.dtype, b.targets.dtype) for b in given} == {(np.dtype("f4"), np.dtype("i4"))}


def test_values_of_a_stream_are_used_as_they_come_and_the_notes_say_so():
    """Lost when it fails: validation is scaled and training is not."""
    data = streamed(PAIRS, batch_size=64)
    np.testing.assert_array_equal(data.validation.inputs, X[:3])
    assert "note: a stream's values are used as they come, not standardized" in data.notes
    assert "batch_size: the stream's batches of 4 are used, not 64" in data.notes


def test_regression_and_token_streams_have_the_right_types():
    """Lost when it fails: a stream's targets broadcast against the outputs to [B, B]."""
    pairs = [(x, x[:, 0] * 2) for x, _ in PAIRS]
    data = streamed(pairs, task="regression", validation_targets=X[:3, 0], test_targets=X[:3, 0])
    assert [b.targets.shape for b in data.stream] == [(4, 1)] * 3
    data = streamed(
        [(x.astype(int), y) for x, y in PAIRS],
        tokens=24,
        validation_inputs=X[:3].astype(int),
        test_inputs=X[:3].astype(int),
    )
    assert {b.inputs.dtype for b in data.stream} == {np.dtype("i4")}


def test_a_smaller_last_batch_is_left_out():
    """Lost when it fails: the last batch has another shape, and the program is compiled again."""
    assert [len(b.inputs) for b in streamed([*PAIRS, (X[:1], Y[:1])]).stream] == [4, 4, 4]


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        (lambda: 3, "is not iterable"),
        (3, "data.batches: found int, which is not iterable; give a re-iterable"),
        ((p for p in PAIRS), "data.batches: found a one-shot iterator (generator); give a re-iterable"),
        (iter(PAIRS), "found a one-shot iterator (list_iterator); give a re-iterable"),
        ([], "data.batches: a pass gave no batch"),
        ([X], "data.batches: batch 0 is a ndarray, expected a pair (inputs, targets) or a dict"),
        ([{"x": X, "targets": Y}], "data.batches: batch 0 has no \"inputs\"; it has 'x', 'targets'"),
        ([(X, "cat")], "data.batches: batch 0, targets: found dtype <U3"),
    ],
)
def test_what_cannot_be_streamed_is_refused_before_training(batches, message):
    """Lost when it fails: training stops after the first pass, or never starts without a word why."""
    assert message in refusal(streamed, batches)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ((X[:4, :1], Y[:4]), "data.batches: batch 2 has inputs of shape [4, 1], expected [4, 2] as in batch 0"),
        ((X[:5], Y[:5]), "data.batches: batch 2 has inputs of shape [5, 2], expected [4, 2] as in batch 0"),
        ((X[:4], Y[:3]), "data.batches: batch 2, targets: found 3 targets for 4 examples"),
        ((X[:4], Y[:4] + 9), "data.batches: batch 2, targets: label 9 at [0] is outside 0..2"),
        ((X[:4] * np.nan, Y[:4]), "data.batches: batch 2, inputs: found 8 values not finite"),
        (None, "data.batches: batch 2 is a NoneType"),
    ],
)
def test_a_bad_batch_is_named_when_it_comes(batch, message):
    """Lost when it fails: one bad batch out of a million spoils the run and cannot be found."""
    stream = streamed([*PAIRS[:2], batch]).stream
    assert message in refusal(list, stream)


def test_a_loader_that_shuffles_by_itself_is_refused():
    """Lost when it fails: every program trains on other batches, and pairs of arms are no pairs."""
    random = np.random.RandomState(0)

    def shuffled():
        order = random.permutation(12)
        yield from ((X[order[i : i + 4]], Y[order[i : i + 4]]) for i in (0, 4, 8))

    assert "data.batches: two passes begin with different batches" in refusal(streamed, shuffled)
    assert "data.batches: two passes begin" in refusal(streamed, lambda: ((x + random.rand(4, 2), y) for x, y in PAIRS))


def test_a_batch_of_another_scale_is_named():
    """Lost when it fails: some batches are divided by 255 and others are not."""
    pairs = [(x.astype(np.uint8), y) for x, y in PAIRS]
    parts = {"validation_inputs": X[:3].astype(np.uint8), "test_inputs": X[:3].astype(np.uint8)}
    lists = [([*x], y) for x, y in pairs]
    assert len(list(streamed(lists, **parts).stream)) == 3
    message = refusal(list, streamed([*pairs[:2], PAIRS[2]], **parts).stream)
    assert message.startswith("data.batches: batch 2, inputs: found float64, expected uint8 as in batch 0")
    assert "data.validation_inputs: found float64, expected uint8 as in the training part" in refusal(streamed, pairs)


def test_masks_and_channels_of_a_stream_are_those_of_arrays():
    """Lost when it fails: what is refused in an array passes in a batch."""
    masked = np.ma.masked_less(X[8:], 20)
    assert "batch 2, inputs: found 4 masked values" in refusal(list, streamed([*PAIRS[:2], (masked, Y[8:])]).stream)
    x = np.random.RandomState(0).rand(12, 3, 5, 5)
    pictures = [(x[i : i + 4], Y[i : i + 4]) for i in (0, 4, 8)]
    parts = {f"{p}_{n}": v for p in ("validation", "test") for n, v in (("inputs", x[:3]), ("targets", Y[:3]))}
    source = TABLE["stream"](batches=pictures, **parts)
    assert "look like [N, C, H, W]" in refusal(prepare, source)
    assert [b.inputs.shape for b in prepare(source, channels="first").stream] == [(4, 5, 5, 3)] * 3


def test_only_the_last_batch_may_be_smaller():
    """Lost when it fails: batches in the middle are dropped in silence."""
    message = refusal(list, streamed([PAIRS[0], (X[:1], Y[:1]), PAIRS[1]]).stream)
    assert message == "data.batches: batch 1 has 1 example, expected 4; only the last batch of a pass may be smaller"


def failing():
    yield PAIRS[0]
    yield PAIRS[1]
    raise KeyError("disk gone")


def test_a_loader_that_fails_is_named_with_its_batch_and_cause():
    """Lost when it fails: the user's own exception, or the batches before it."""
    given = []
    with pytest.raises(DataError, match="the loader failed at batch 2: KeyError: 'disk gone'") as error:
        for batch in streamed(failing).stream:
            given.append(batch)
    assert len(given) == 2
    assert isinstance(error.value.__cause__, KeyError)


def test_a_batch_costs_few_calls():
    """Lost when it fails: a small model on 10 million rows waits for the checks of its batches."""
    plain = [(X[i : i + 4].astype(np.float32), Y[i : i + 4].astype(np.int32)) for i in (0, 4, 8)] * 100
    stream = iter(streamed(plain).stream)
    next(stream)
    calls = []
    sys.setprofile(lambda frame, event, arg: calls.append(event))
    try:
        count = sum(1 for _ in stream)
    finally:
        sys.setprofile(None)
    assert count == 299
    assert sum(event == "call" for event in calls) <= 45 * count, "calls of Python functions"


def test_a_stream_needs_its_other_parts_and_cannot_be_cut():
    """Lost when it fails: a study is judged on the batches it was trained on."""
    empty = dict.fromkeys(("test_inputs", "test_targets"))
    assert "data.test_inputs: a stream needs its test part as arrays" in refusal(streamed, PAIRS, **empty)
    source = TABLE["stream"](batches=PAIRS, validation_inputs=X, validation_targets=Y, test_inputs=X, test_targets=Y)
    assert "data.train_size: a stream cannot be cut" in refusal(prepare, source, train_size=4)
