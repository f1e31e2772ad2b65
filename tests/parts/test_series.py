"""Time series on tiny stand-ins of their files."""

from __future__ import annotations

import numpy as np
import pytest

from deepprinciples.errors import DataError
from deepprinciples.parts.data import prepare
from deepprinciples.parts.fetched.published import SETS
from deepprinciples.parts.fetched.series_archive import CLASSES, read_ts, series

HEAD = "#about\n@problemName x\n@missing false\n@classLabel true 1 2 3\n@data\n"


def refusal(call, *args, **kwargs) -> str:
    """Give the message of the error, which has to be one line."""
    with pytest.raises(DataError) as caught:
        call(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 300, message
    return message


def test_features_are_parted_by_colons():
    """Lost: time taken for features; or labels that are shifted by one."""
    found, targets = read_ts(HEAD + "1,2,3:4,5,6:2\n\n7:8:1\n", "x.ts")
    assert [one.tolist() for one in found] == [[[1, 4], [2, 5], [3, 6]], [[7, 8]]] and targets.tolist() == [1, 0]


@pytest.mark.parametrize(("content", "message"), [
    ("@classLabel true 1 2\n", "no @data"), ("@data\n1:1\n", "no @data or no @classLabel"),
    (HEAD + "1,?:1\n", "example 0 of x.ts cannot be read"), (HEAD + "1:1\n1:4\n", "example 1 of x.ts cannot be read"),
    (HEAD + "1,2:3:1\n", "cannot be read"), (HEAD + "1:2:1\n1:1\n", "lacks features"), (HEAD + "nan:1\n", "not finite"),
])  # fmt: skip
def test_a_damaged_file_is_one_line(content, message):
    """Lost: NaN in the training, or a traceback."""
    assert message in refusal(read_ts, content, "x.ts")


def test_the_test_part_is_that_of_the_archive_and_shorter_series_end_together(publish):
    """Lost: results that cannot be compared with published ones; or a state that is read after filling."""
    head = "@classLabel true 1 2 3 4 5 6 7 8 9\n@data\n"
    train = head + "".join(f"{number},{number}:1,3:{number % 9 + 1}\n" for number in range(20))
    test = head + "5,6,7:8,9,10:9\n" * 4
    files = {file.name: (train if "TRAIN" in file.name else test).encode() for file in SETS["series"].files}
    path = publish("series", **files)
    source = series(path=path)
    assert source.inputs.shape == (20, 3, 2) and source.test.inputs.shape == (4, 3, 2)
    assert source.inputs[4].tolist() == [[9.5, 2], [4, 1], [4, 3]] and source.targets[4] == 4
    assert source.test.targets.tolist() == [8] * 4 and source.test.inputs[0].T.tolist() == [[5, 6, 7], [8, 9, 10]]
    data = prepare(source, batch_size=4)
    assert (data.train.size, data.validation.size, data.test.size) == (16, 4, 4)
    np.testing.assert_allclose(data.train.inputs[:, 0, 1], 0, atol=1e-6)
    assert data.class_names == CLASSES["JapaneseVowels"] and "Source: " in series.__doc__
    assert 'data.set: found "x"' in refusal(series, set="x")
