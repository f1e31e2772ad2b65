"""Data sets of other libraries as data: each example is read once, and none too many."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, Subset, TensorDataset
from torch.utils.data import Dataset as TorchDataset

import deepprinciples as dp
from deepprinciples.errors import DataError
from deepprinciples.parts.data import TABLE, prepare

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)
PAIRS = list(zip(X, Y, strict=True))
DICTS = [{"image": x, "label": y} for x, y in PAIRS]


class Endless(TorchDataset):
    """A data set that would read on beyond its length, as many a Dataset of PyTorch does."""

    def __len__(self) -> int:
        return 30

    def __getitem__(self, k: int) -> tuple[torch.Tensor, int]:
        return torch.tensor(X[k], requires_grad=True), int(Y[k])


class Once:
    """A data set that can be iterated again and again, such as one of tf.data."""

    def __iter__(self) -> Any:
        return iter(DICTS)


def collected(items: Any, **rest: Any) -> Any:
    """Return the source of a data set."""
    return TABLE["dataset"](items=items, **rest)


@pytest.mark.parametrize(
    ("items", "count", "keys"),
    [
        (PAIRS, 40, {}),
        (TensorDataset(torch.tensor(X), torch.tensor(Y)), 40, {}),
        (Subset(TensorDataset(torch.tensor(X), torch.tensor(Y)), range(25)), 25, {}),
        (Endless(), 30, {}),
        (DICTS, 40, {"inputs": "image", "targets": "label"}),
        (Once(), 40, {"inputs": "image", "targets": "label"}),
    ],
    ids=["list", "TensorDataset", "Subset", "Dataset", "dicts", "iterable"],
)
def test_every_example_once(items: Any, count: int, keys: dict[str, str]) -> None:
    """Lost: examples, their order, or the label that belongs to an input; or memory, to a data set without an end."""
    source = collected(items, **keys)
    np.testing.assert_array_equal(source.inputs, X[:count])
    np.testing.assert_array_equal(source.targets, Y[:count])


def test_parts_are_those_of_the_same_arrays() -> None:
    """Lost: the same data, to the bit, whichever way they came; and fixed parts that stay what they are."""
    sets = [TensorDataset(torch.tensor(x), torch.tensor(y)) for x, y in ((X[:30], Y[:30]), (X[30:], Y[30:]))]
    fixed = {"test_inputs": X[30:], "test_targets": Y[30:]}
    found = prepare(collected(sets[0], test_items=sets[1]), batch_size=8)
    expected = prepare(TABLE["arrays"](inputs=X[:30], targets=Y[:30], **fixed), batch_size=8)
    for part in ("train", "validation", "test"):
        for one, other in zip(getattr(found, part), getattr(expected, part), strict=True):
            np.testing.assert_array_equal(one, other)


def test_data_of_pytorch_train(small: Any, tmp_path: Any) -> None:
    """Lost: the lines of the page on other tools that hand a Dataset or a DataLoader over in a config."""
    held = TensorDataset(torch.tensor(X), torch.tensor(Y))
    fixed = {
        "validation_inputs": X[32:36],
        "validation_targets": Y[32:36],
        "test_inputs": X[36:],
        "test_targets": Y[36:],
    }
    data = [
        {"name": "dataset", "items": held, "batch_size": 8},
        {"name": "stream", "batches": DataLoader(Subset(held, range(32)), 8), "classes": 2, **fixed},
    ]
    for k, one in enumerate(data):
        run = dp.train({**small(**{"train.steps": 5}), "data": one}, tmp_path / str(k))
        assert np.isfinite(run.results.train_loss).all() and run.summary["arms"][0]["diverged"] == 0


def test_tables_of_pandas_are_arrays() -> None:
    """Lost: the lines of the page on other tools that hand a DataFrame over, words as classes included."""
    table = pd.DataFrame(X, columns=["a", "b", "c"]).assign(y=Y, word=np.where(Y > 0, "yes", "no"))
    words = table["word"].astype("category").cat.codes  # no is 0, yes is 1
    for targets in (table["y"], words, torch.tensor(Y)):
        data = prepare(TABLE["arrays"](inputs=table[["a", "b", "c"]], targets=targets), batch_size=8, standardize=False)
        rows = [np.flatnonzero(np.all(x == X, axis=1)).item() for x in data.train.inputs]
        np.testing.assert_array_equal(data.train.targets, Y[rows])


def test_trees_stay_trees() -> None:
    """Lost: tokens with their mask, or a box beside a label, from a data set whose examples hold them."""
    items = [({"tokens": np.arange(4), "mask": np.ones(4)}, {"box": x, "label": y}) for x, y in PAIRS]
    source = collected(items, tokens=4)
    assert source.inputs["tokens"].shape == (40, 4) and source.vocabulary == 4
    np.testing.assert_array_equal(source.targets["box"], X)
    np.testing.assert_array_equal(source.targets["label"], Y)


class Failing(Endless):
    """A data set with a file that cannot be read."""

    def __getitem__(self, k: int) -> Any:
        if k == 3:
            raise OSError("3.png is truncated")
        return super().__getitem__(k)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (iter(PAIRS), "data.items: found a one-shot iterator (list_iterator); give the data set itself, or list(...)"),
        (3, "data.items: found int; expected a list, or what has __getitem__ and __len__"),
        ([], "data.items: holds no example, expected at least one"),
        (DICTS, "data.items: example 0 has no \"inputs\"; it has 'image', 'label'"),
        ([X[0], X[1]], "data.items: example 0 is a ndarray, expected a pair (input, target) or a dict"),
        (
            [*PAIRS[:5], (X[5][:2], 0)],
            "data.items: inputs of example 5 has shape [2], expected [3] as in example 0; crop, resize or pad",
        ),
        (
            [({"a": 1.0, "b": 2.0}, 0), ({"a": 1.0}, 1)],
            "data.items: inputs.b of example 1 has shape none, expected [] as in example 0",
        ),
        (Failing(), "data.items: reading example 3 failed: OSError: 3.png is truncated"),
        ([(np.ma.masked_equal(X[0], X[0, 0]), 0)], "data.items: example 0, inputs: found 1 masked value"),
    ],
)
def test_what_cannot_be_read_is_named(items: Any, message: str) -> None:
    """Lost: which example of thousands is the wrong one."""
    with pytest.raises(DataError) as caught:
        collected(items)
    assert str(caught.value).startswith(message) and len(str(caught.value).splitlines()) == 1


def test_words_are_refused() -> None:
    """Lost: a hint, where labels are texts."""
    with pytest.raises(DataError, match=r"data.targets: found dtype <U3, expected numbers; encode text, as np.unique"):
        prepare(collected([(x, "yes" if y else "no") for x, y in PAIRS]), batch_size=8)
