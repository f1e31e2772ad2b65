"""Files that others made: what is whole is read exactly, the rest is refused in one line and little memory."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from deepprinciples.errors import DataError
from deepprinciples.parts.data import TABLE, prepare
from deepprinciples.parts.fetched import published
from deepprinciples.parts.files.array_files import read_idx, read_npz
from deepprinciples.parts.files.tabular import read_csv
from deepprinciples.parts.splitting.held_out import TestSet as Further

PIXELS = np.arange(24, dtype=np.uint8).reshape(4, 3, 2)

FASHION = published.SETS["fashion_mnist"]


def idx_bytes(array: np.ndarray, code: int = 0x08) -> bytes:
    big = array.astype(array.dtype.newbyteorder(">"))
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + big.tobytes()


def refusal(call, *args, **kwargs) -> str:
    """The one line of a refusal, which must not need more than 64 MiB."""
    tracemalloc.start()
    with pytest.raises(DataError) as error:
        call(*args, **kwargs)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * 2**20
    assert "\n" not in str(error.value)
    return str(error.value)


def written(tmp_path, content: bytes, name: str = "file"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


# --- IDX -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "dtype"), [(8, "u1"), (9, "i1"), (0x0B, "i2"), (0x0C, "i4"), (0x0D, "f4"), (0x0E, "f8")]
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_idx_of_every_type_is_read_exactly(tmp_path, code, dtype, pack):
    """Lost when it fails: MNIST and its relatives are read with swapped bytes or wrong shapes."""
    array = (PIXELS.astype(float) - 3).astype(dtype)
    found = read_idx(written(tmp_path, pack(idx_bytes(array, code))))
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found, array)


def test_large_gzip_is_read_whole(tmp_path):
    """Lost when it fails: a set of many pieces is cut, or taken for truncated."""
    array = np.zeros((50, 300, 200), np.uint8)
    array[-1, -1, -1] = 7
    np.testing.assert_array_equal(read_idx(written(tmp_path, gzip.compress(idx_bytes(array), mtime=0), "x.gz")), array)


def header(*shape: int, code: int = 8, rank: int | None = None) -> bytes:
    return bytes([0, 0, code, len(shape) if rank is None else rank]) + struct.pack(f">{len(shape)}I", *shape)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "offset 0: the file ends inside its header"),
        (b"\0\0\x08", "offset 3: the file ends inside its header"),
        (header(4, 3)[:9], "offset 9: the file ends inside its header"),
        (b"\x80\x04\x95\x10" * 9, "offset 0: bad magic number 80 04 95 10, expected 00 00 TYPE RANK"),
        (header(4, code=7), "offset 0: bad magic number 00 00 07 01"),
        (header(rank=0) + b"\0", "offset 3: rank 0, expected 1 to 4"),
        (header(rank=255) + b"\0" * 2000, "offset 3: rank 255, expected 1 to 4"),
        (header(4, 0, 2), "offset 8: a dimension is 0 in shape [4, 0, 2]"),
        (header(2**31), "offset 8: truncated, the header declares 2147483656 bytes"),
        (header(2**31, 2**31, 2**31, 2**31), "more than the limit of 4294967296"),
        (idx_bytes(PIXELS)[:-1], "offset 39: truncated, the header declares 40 bytes"),
        (idx_bytes(PIXELS) + b"\0\0", "offset 40: 2 trailing bytes after the declared array"),
    ],
)
def test_damaged_idx_is_refused_with_its_offset(tmp_path, content, message):
    """Lost when it fails: a cut or forged file is read as pictures, or fills the memory."""
    path = written(tmp_path, content)
    assert refusal(read_idx, path).startswith(f"{path}: ")
    assert message in refusal(read_idx, path)


GOOD = gzip.compress(idx_bytes(PIXELS), mtime=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (idx_bytes(PIXELS), "offset 0: not gzip data though named .gz, found bytes 00 00"),
        (GOOD[:-9], "damaged or truncated gzip stream"),
        (GOOD[:-1], "damaged or truncated gzip stream"),
        (GOOD[:4], "damaged or truncated gzip stream"),
        (GOOD[:-6] + b"\xff" + GOOD[-5:], "damaged or truncated gzip stream (CRC check failed"),
        (GOOD + b"x", "damaged or truncated gzip stream (Not a gzipped file"),
        (GOOD + GOOD, "offset 40: trailing bytes after the array of 40 bytes"),
        (gzip.compress(idx_bytes(PIXELS) + b"\0", mtime=0), "trailing bytes after the array of 40 bytes"),
        (gzip.compress(header(4, 3, 2) + b"\0" * 2**28, mtime=0), "trailing bytes after the array of 40 bytes"),
        (gzip.compress(header(2**31) + b"\0" * 99, mtime=0), "more than 200 to 1; it looks like a gzip bomb"),
        (gzip.compress(header(2**20) + b"\0" * 99, mtime=0), "truncated, the header declares 1048584 bytes"),
    ],
)
def test_damaged_gzip_is_refused_and_bombs_stay_small(tmp_path, content, message):
    """Lost when it fails: a download that broke off is used, or 4 MB on disk become 4 GB in memory."""
    assert message in refusal(read_idx, written(tmp_path, content, "x.gz"))


def test_every_truncation_of_a_gzip_idx_is_refused(tmp_path):
    """Lost when it fails: some cut length passes for a whole file."""
    for length in range(len(GOOD)):
        with pytest.raises(DataError):
            read_idx(written(tmp_path, GOOD[:length], "x.gz"))


def test_missing_files_and_folders_are_named(tmp_path):
    """Lost when it fails: a wrong path ends in a traceback."""
    assert refusal(read_idx, tmp_path / "none") == f"{tmp_path / 'none'}: no such file"
    assert refusal(read_csv, tmp_path) == f"{tmp_path}: is a directory, expected a file"
    assert "not a regular file" in refusal(read_idx, "/dev/zero")
    assert "cannot be opened" in refusal(read_idx, "a\0b")


def test_idx_pairs_must_belong_together(tmp_path):
    """Lost when it fails: pictures are trained with the labels of another file."""
    images = str(written(tmp_path, idx_bytes(np.tile(PIXELS, (5, 1, 1))), "images"))
    labels = written(tmp_path, idx_bytes((np.arange(20) % 2).astype(np.uint8)), "labels")
    data = prepare(TABLE["idx"](images=images, labels=str(labels)), batch_size=4)
    assert data.train.inputs.shape == (12, 3, 2, 1)
    labels.write_bytes(idx_bytes(np.zeros(19, np.uint8)))
    message = refusal(TABLE["idx"], images=images, labels=str(labels))
    assert message == f"{labels}: 19 labels for 20 images in {images}; the two files must belong together"


# --- npz -------------------------------------------------------------------------------------------------------------


def npz_of(tmp_path, **members: bytes):
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name + ".npy", content)
    return path


def npy(descr: str, shape: str, body: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    width = 2 if version == b"\x01\x00" else 4
    return b"\x93NUMPY" + version + len(text).to_bytes(width, "little") + text + body


def test_npz_is_read_exactly(tmp_path):
    """Lost when it fails: arrays come back transposed, swapped or cut."""
    a, b = np.asfortranarray(np.arange(12.0).reshape(3, 4)), np.arange(5, dtype=">i4")
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "x.npz", a=a, b=b, c=np.zeros((1000, 100)))
        found = read_npz(tmp_path / "x.npz", ("b", "a", "c"))
        np.testing.assert_array_equal(found[0], b)
        np.testing.assert_array_equal(found[1], a)
        assert found[0].dtype.isnative
        assert found[2].shape == (1000, 100)


def test_npz_factory_reads_both_parts(tmp_path):
    """Lost when it fails: the test part of the user's file is ignored."""
    x, y = np.random.RandomState(0).rand(30, 3), np.arange(30) % 3
    np.savez(tmp_path / "d.npz", inputs=x, targets=y, tx=x[:6], ty=y[:6])
    path = str(tmp_path / "d.npz")
    data = prepare(TABLE["npz"](path=path, test_inputs="tx", test_targets="ty"), batch_size=4)
    assert [len(p.inputs) for p in data[:3]] == [24, 6, 6]
    message = refusal(TABLE["npz"], path=path, inputs="images")
    held = 'found no array named "images", expected one; the file holds: inputs, targets, tx, ty; write it as '
    assert message.endswith(f"{held}numpy.savez(path, inputs=..., targets=...)")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy("'<f8'", f"({2**40},)"), f"shape [{2**40}] of float64 needs {2**43} bytes, found 0"),
        (npy("'<f8'", "(4,)", b"\0" * 31), "needs 32 bytes, found 31"),
        (npy("'<f8'", "(4,)", b"\0" * 33), "needs 32 bytes, found 33"),
        (npy("'<f8'", "(-4, -1)", b"\0" * 32), "bad dimension in shape [-4, -1]"),
        (npy("'|O'", "(1,)", b"\x80\x04K\x01."), "holds Python objects, expected numbers"),
        (npy("'<U3'", "(1,)", b"\0" * 12), "holds dtype <U3, expected numbers"),
        (npy("__import__('os').getcwd()", "(1,)"), "not a readable .npy array"),
        (npy("'<f8'", "(" * 4000), "not a readable .npy array"),
        (npy("'<f8'", "-" * 9000 + "1"), "not a readable .npy array"),
        (npy("'<f8'", "(True,)", b"\0" * 8), "bad dimension in shape [True]"),
        (b"\x93NUMPY\x01\x00\xff", "not a readable .npy array (EOF: reading array header length"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "not a readable .npy array (EOF: reading array header"),
        (b"\x93NUMPY\x09\x00", "not a readable .npy array"),
        (b"cos\nsystem\n", "not a readable .npy array (the magic string is not correct"),
        (npy("'<f8'", f"({2**24},)", b"\0" * 2**27), "it looks like a zip bomb"),
    ],
    ids=range(15),
)
def test_hostile_npz_is_refused(tmp_path, content, message):
    """Lost when it fails: opening a colleague's file runs code or fills the memory."""
    path = npz_of(tmp_path, x=content)
    found = refusal(read_npz, path, ("x",))
    assert found.startswith(f'{path}: array "x"')
    assert message in found


def test_object_arrays_written_by_numpy_are_refused_unread(tmp_path):
    """Lost when it fails: a pickle inside an .npz is run."""
    np.savez(tmp_path / "x.npz", x=np.array([{}, []], object))
    assert "Python objects" in refusal(read_npz, tmp_path / "x.npz", ("x",))


def test_damaged_zips_are_refused(tmp_path):
    """Lost when it fails: a damaged file ends in a traceback, or a flipped bit is trained on."""
    np.savez(tmp_path / "x.npz", x=np.arange(50.0))
    whole = (tmp_path / "x.npz").read_bytes()
    for cut in range(0, len(whole), 7):
        assert "not a readable .npz" in refusal(read_npz, written(tmp_path, whole[:cut]), ("x",))
    flipped = bytearray(whole)
    flipped[300] ^= 1
    assert "not a readable .npz" in refusal(read_npz, written(tmp_path, bytes(flipped)), ("x",))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.npy", npy("'<f8'", "(1,)", b"\0" * 8))
    assert "unsupported compression" in refusal(read_npz, written(tmp_path, buffer.getvalue()), ("x",))


# --- CSV -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_csv_is_read_with_and_without_header(tmp_path, mark):
    """Lost when it fails: the first example is taken for a header, or the header for an example."""
    path = written(tmp_path, f'{mark}age,"size, cm",label\r\n1,2.5,0\r\n\r\n3,4e1,1\r\n'.encode())
    table = read_csv(path)
    assert table.names == ["age", "size, cm", "label"]
    np.testing.assert_array_equal(table.cells, [[1, 2.5, 0], [3, 40, 1]])
    table = read_csv(written(tmp_path, f"{mark}1;2\n3;4".encode()), delimiter=";")
    assert table.names == ["0", "1"]
    np.testing.assert_array_equal(table.cells, [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "found no row of numbers"),
        (b"a,b\n", "found no row of numbers"),
        (
            b"a,b\n1,2\nx,3\n",
            ': line 3, column "a": found "x", expected a number; correct the cell, or leave the column',
        ),
        (b"a,b\n1,2\n3,x\n", ': line 3, column "b": found "x", expected a number as in other rows; give all labels as'),
        (
            b"a,b\n1,\n",
            ': line 2, column "b": found an empty cell, expected a label; fill the label in or drop the row',
        ),
        (b"a,b\n,1\n", ': line 2, column "a": found an empty cell, expected a number; fill or drop missing values'),
        (b"a,b\n1,0\n\nNA,1\n", ': line 4, column "a": found "NA", expected a number; fill or drop missing values'),
        (b'a,b,c\n1,2,0\n"2",,"1"\n', ': line 3, column "b": found an empty cell'),
        (b"a,b\n1_0,2\n", 'column "a": found "1_0", expected a number'),
        (b"a,b\n1,2,3\n", ": line 2: found more than 2 cells"),
        (
            b"a,b\n1,2\n1,2,3\n",
            "not readable as CSV (Error tokenizing data. C error: Expected 2 fields in line 3, saw 3)",
        ),
        (b"a,b\n1\n", ': line 2, column "b": found an empty cell'),
        (b"a,b\n1,2\n\xff,3\n", ": line 3: not UTF-8"),
        (b'a,b\n1,"2\n', "not readable as CSV"),
        (b"a,b\n" + b"1,0\n" * 40_000 + b"1,\xff\n", ": line 40002: not UTF-8"),
        (b"1.5,x\n2.5,y\n", ': line 1 holds numbers and "x", which may be names of columns or an example'),
    ],
    ids=range(16),
)
def test_bad_csv_is_refused_with_line_and_column(tmp_path, text, message):
    """Lost when it fails: a typo in row 40,000 cannot be found."""
    assert message in refusal(TABLE["csv"], path=str(written(tmp_path, text)))


def table_of(tmp_path, *lines: str, **rest):
    return prepare(TABLE["csv"](path=str(written(tmp_path, "\n".join(lines).encode())), **rest), batch_size=2)


def test_a_csv_column_without_a_name_is_refused_or_dropped(tmp_path):
    """Lost when it fails: the index that DataFrame.to_csv writes becomes a feature and gives the class away."""
    rows = [f"{i},{(7 * i) % 5},{i % 2}" for i in range(20)]
    for name in ("", "Unnamed: 0"):
        lines = [f"{name},a,y", *rows]
        message = refusal(table_of, tmp_path, *lines)
        assert "column 0 has no name, as the index that DataFrame.to_csv writes; leave it out with " in message
        assert message.endswith(f'data.drop = ["{name or 0}"], or name it in the file')
        data = table_of(tmp_path, *lines, drop=(name or "0",))
        assert data.train.inputs.shape == (12, 1)
    named = table_of(tmp_path, "id,a,y", *rows)
    assert 'column "id" counts the rows; if it is an index, leave it out with data.drop' in named.notes
    assert 'data.drop: column "y" is the target; leave it in' in refusal(
        table_of, tmp_path, "a,b,y", *rows, target="y", drop=("y",)
    )
    assert table_of(tmp_path, "a,y,id", *rows, drop=("id",)).train.inputs.shape == (12, 1)


def test_a_csv_header_of_numbers_is_asked_about(tmp_path):
    """Lost when it fails: the column names of a table without names, 0, 1, 2, ..., become an example."""
    rows = [f"{i / 3},{(7 * i) % 5},{i % 2}" for i in range(20)]
    message = refusal(table_of, tmp_path, "0,1,2", *rows)
    assert (
        'line 1 counts from 0 to 2, which may be names of columns or an example; set data.header = "names"' in message
    )
    read = lambda header: table_of(tmp_path, "0,1,2", *rows, header=header, classes=3)
    sizes = {header: len(read(header).train.inputs) for header in ("names", "none")}
    assert sizes == {"names": 12, "none": 13}


def test_csv_target_is_found_by_name_or_index(tmp_path):
    """Lost when it fails: a feature is predicted instead of the target."""
    rows = "\n".join(f"{i},{i % 2},{i / 8}" for i in range(20))
    path = str(written(tmp_path, f"a,kind,b\n{rows}\n".encode()))
    for target in ("kind", "1", "-2"):
        source = TABLE["csv"](path=path, target=target)
        assert source.targets.tolist() == [i % 2 for i in range(20)]
        assert source.inputs[:, 1].tolist() == [i / 8 for i in range(20)]
    regression = prepare(TABLE["csv"](path=path, task="regression"), batch_size=4, standardize=False)
    assert regression.train.targets.max() <= 19 / 8
    assert 'has no column "sort"; it has 3: a, kind, b' in refusal(TABLE["csv"], path=path, target="sort")
    assert 'set task = "regression"' in refusal(prepare, TABLE["csv"](path=path))


def test_words_become_classes_in_sorted_order(tmp_path):
    """Lost when it fails: the commonest tables, with classes by name, need another tool first."""
    kinds = ["setosa", "virginica", "iris", "setosa "]
    lines = [f"{i / 7},{i % 5},{kinds[i % 4]}" for i in range(24)]
    named = table_of(tmp_path, "a,b,kind", *lines)
    assert (named.class_names, named.outputs, named.task) == (("iris", "setosa", "virginica"), 3, "classification")
    bare = TABLE["csv"](path=str(written(tmp_path, "\n".join(lines).encode())), header="none")
    assert bare.targets.tolist() == [1, 2, 0, 1] * 6
    answers = [f"{i / 7},{i % 3 == 0}" for i in range(24)]
    assert table_of(tmp_path, "a,right", *answers).class_names == ("False", "True")
    assert 'found "setosa", expected a number; real-valued targets are numbers' in refusal(
        table_of, tmp_path, "a,b,kind", *lines, task="regression"
    )
    assert "found 24 different words in as many rows" in refusal(
        table_of, tmp_path, "a,id", *[f"1,n{i}" for i in range(24)]
    )


def test_test_sets_share_the_numbers_of_classes_given_as_words(tmp_path):
    """Lost when it fails: a test file without one of the classes is scored with every label shifted."""
    source = TABLE["csv"](path=str(written(tmp_path, b"a,k\n" + b"1,x\n2,y\n3,z\n" * 8)))
    other = TABLE["csv"](path=str(written(tmp_path, b"a,k\n" + b"1,x\n3,z\n" * 8, "other")))
    data = prepare(source, batch_size=4, test_sets={"later": Further(other, "all")})
    assert data.test_sets["later"].targets.tolist() == [0, 2] * 8
    strange = TABLE["csv"](path=str(written(tmp_path, b"a,k\n" + b"1,x\n3,w\n" * 8, "strange")))
    message = refusal(prepare, source, batch_size=4, test_sets={"later": Further(strange, "all")})
    assert message == 'test_sets.later: found the class "w", expected those of [data]: x, y, z'


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("Rome", 'column "x": found "Rome", expected a number; leave the column out with data.drop = ["x"]'),
        ("2024-03-01", 'column "x": found the date "2024-03-01", expected a number; dates are not read; write them as'),
        ("01/03/2024 12:30", 'found the date "01/03/2024 12:30"'),
    ],
)
def test_columns_of_text_and_dates_are_refused_or_dropped(tmp_path, column, message):
    """Lost when it fails: a text or a date becomes a number that means nothing."""
    lines = ["x,a,y", *[f"{column},{(7 * i) % 5},{i % 2}" for i in range(20)]]
    found = refusal(table_of, tmp_path, *lines)
    assert ": line 2, " in found and message in found and found.endswith('data.drop = ["x"]')
    assert table_of(tmp_path, *lines, drop=("x",)).train.inputs.shape == (12, 1)
    backwards = ["a,x", *[f"{i},{column}" for i in range(20)]]
    if "date" in message:
        assert "found the date" in refusal(table_of, tmp_path, *backwards)


def test_lines_are_counted_as_an_editor_counts_them(tmp_path):
    """Lost when it fails: after a text over several lines, the line named is another one."""
    text = b'note,a,y\n"two\nlines",1,0\n\nx,nan,1\n'
    message = refusal(TABLE["csv"], path=str(written(tmp_path, text)), drop=("note",))
    assert ': line 5, column "a": found "nan", expected a number' in message


@pytest.mark.parametrize("delimiter", ["", ";;", '"', "\n", "\u20ac"])
def test_a_delimiter_is_one_plain_character(tmp_path, delimiter):
    """Lost when it fails: a typo in the delimiter ends in a message about something else."""
    path = str(written(tmp_path, b"a,y\n1,0\n"))
    assert "expected one ASCII character such as ','" in refusal(TABLE["csv"], path=path, delimiter=delimiter)


def test_numbers_of_thousands_of_digits_are_refused(tmp_path):
    """Lost when it fails: one damaged cell ends in a traceback of pandas."""
    for digits, message in ((400, "found 1 value not finite"), (5000, "expected a number")):
        for line in (f"{'1' * digits},0", f"0,{'1' * digits}"):
            lines = ["a,y", line, *[f"{i / 3},{i % 2}" for i in range(20)]]
            assert message in refusal(table_of, tmp_path, *lines)


def test_missing_cells_may_be_allowed_in_inputs_only(tmp_path):
    """Lost when it fails: a table with gaps cannot be read at all, or a missing label becomes one."""
    lines = ["a,b,y", *[f"{i},{'' if i == 3 else i},{i % 2}" for i in range(20)]]
    source = TABLE["csv"](path=str(written(tmp_path, "\n".join(lines).encode())), allow_nonfinite=True)
    assert np.argwhere(np.isnan(source.inputs)).tolist() == [[3, 1]]
    assert "found an empty cell, expected a label" in refusal(table_of, tmp_path, *lines, "1,2,", allow_nonfinite=True)
    assert "found an empty cell, expected a number" in refusal(table_of, tmp_path, *lines, "1,2,", task="regression")


def test_wide_tables_load_in_seconds(tmp_path):
    """Lost when it fails: a table of genes or pixels takes minutes."""
    row = ",".join(f"{i / 7:.4f}" for i in range(10_000))
    names = ",".join(f"gene{i}" for i in range(10_000))
    content = "\n".join([f"{names},kind", *[f"{row},{'ab'[i % 2]}" for i in range(100)]])
    begun = time.process_time()
    source = TABLE["csv"](path=str(written(tmp_path, content.encode())))
    assert source.inputs.shape == (100, 10_000) and source.class_names == ("a", "b")
    assert time.process_time() - begun < 10
    assert "more than 100000 columns" in refusal(TABLE["csv"], path=str(written(tmp_path, b"1," * 100_001)))


# --- Fashion-MNIST ---------------------------------------------------------------------------------------------------


@pytest.fixture
def small_fashion(tmp_path, monkeypatch):
    """Four tiny files whose hashes are taken for the published ones."""
    monkeypatch.setenv("DEEPPRINCIPLES_DATA", str(tmp_path / "cache"))
    contents, files = {}, []
    for file in FASHION.files:
        count = 60 if file.name.startswith("train") else 10
        array = np.arange(count, dtype=np.uint8) % 10
        plain = idx_bytes(np.tile(array[:, None, None], (1, 28, 28)) if "images" in file.name else array)
        contents[file.name] = gzip.compress(plain, mtime=0)
        files.append(file._replace(sha256=hashlib.sha256(plain).hexdigest(), size=len(plain)))
    tiny = FASHION._replace(files=tuple(files), folders=(str(tmp_path / "debian"),))
    monkeypatch.setitem(published.SETS, "fashion_mnist", tiny)
    return contents


def test_fashion_mnist_is_found_in_each_place(tmp_path, small_fashion):
    """Lost when it fails: a set that is on the machine is not found."""
    for folder in ("debian", "cache/fashion-mnist", "given"):
        (tmp_path / folder).mkdir(parents=True)
        for name, content in small_fashion.items():
            (tmp_path / folder / name).write_bytes(content)
        source = TABLE["fashion_mnist"](path=str(tmp_path / "given") if folder == "given" else "", download=False)
        assert source.inputs.shape == (60, 28, 28, 1)
        assert source.test.inputs.shape == (10, 28, 28, 1)
    small = TABLE["fashion_mnist"](size=30)
    assert (len(small.inputs), len(small.test.inputs)) == (30, 5)
    plain = tmp_path / "given" / "t10k-labels-idx1-ubyte"
    plain.write_bytes(gzip.decompress(small_fashion[plain.name + ".gz"]))
    assert TABLE["fashion_mnist"](path=str(tmp_path / "given")).test.targets.shape == (10,)
    plain.write_bytes(idx_bytes(np.zeros(10, np.uint8)))
    assert "expected " in refusal(TABLE["fashion_mnist"], path=str(tmp_path / "given"))


def test_a_missing_set_says_where_it_was_looked_for_and_how_to_get_it(tmp_path, small_fashion):
    """Lost when it fails: a new user does not know what to do next."""
    for download in (False, True):  # the suite has no network: the download fails as it does offline
        message = refusal(TABLE["fashion_mnist"], download=download)
        for part in (
            tmp_path / "cache" / "fashion-mnist",
            tmp_path / "debian",
            "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz",
            "given as data.path",
            "install the Debian package dataset-fashion-mnist",
            "network",
        ):
            assert str(part) in message
        assert (FASHION.package in message) == download
    assert f"not found in {tmp_path / 'nowhere'};" in refusal(TABLE["fashion_mnist"], path=str(tmp_path / "nowhere"))


def test_a_download_is_kept_only_when_its_content_is_right(tmp_path, small_fashion, monkeypatch):
    """Lost when it fails: a login page or half a file stays in the cache and breaks every later run."""
    asked = []

    def answer_with(content):
        def download(address, file, _):
            asked.append(address)
            Path(file).write_bytes(content(address.removeprefix(FASHION.package)))

        monkeypatch.setattr("pooch.HTTPDownloader", lambda timeout: download)

    answer_with(lambda name: b"<html>")
    assert "train-images-idx3-ubyte.gz of https" in refusal(TABLE["fashion_mnist"])
    assert not (tmp_path / "cache").exists()
    answer_with(small_fashion.__getitem__)
    asked.clear()
    for _ in range(2):
        assert TABLE["fashion_mnist"]().inputs.shape == (60, 28, 28, 1)
    assert len(asked) == 4, "the second call reads the cache"


@pytest.mark.skipif(not Path(FASHION.folders[0]).is_dir(), reason="the Debian package is not installed")
def test_fashion_mnist_is_the_published_set(monkeypatch, tmp_path):
    """Lost when it fails: results on Fashion-MNIST can no longer be compared with anyone else's."""
    monkeypatch.setenv("DEEPPRINCIPLES_DATA", str(tmp_path))
    source = TABLE["fashion_mnist"](download=False)
    assert np.bincount(source.targets).tolist() == [6000] * 10
    assert np.bincount(source.test.targets).tolist() == [1000] * 10
    assert source.inputs.mean() / 255 == pytest.approx(0.2860, abs=5e-5)
    assert source.inputs.std() / 255 == pytest.approx(0.3530, abs=5e-5)
