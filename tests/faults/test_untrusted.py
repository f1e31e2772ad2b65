"""The ten checks of a careful toolkit, by their numbers: what comes from a stranger is data, and stays where it is.

1 no code from data, 2 names from tables, 3 strict JSON, 4 checkpoints, 5 IDX, 6 zip and npz, 7 names and links (next
door, in test_places), 8 what is shown, 9 who may read, 10 secrets.
"""

from __future__ import annotations

import ast
import builtins
import gzip
import json
import os
import re
import stat
import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import pytest
import small
from fuzzing import KINDS, TOML
from typer.testing import CliRunner

import deepprinciples as dp
from deepprinciples import config as configs
from deepprinciples.cli.main import app
from deepprinciples.errors import ConfigError, DataError, DeepprinciplesError, IntegrityError
from deepprinciples.parts.data import TABLE, prepare
from deepprinciples.parts.files.array_files import read_idx, read_npz
from deepprinciples.parts.files.tabular import read_csv
from deepprinciples.report import formatting
from deepprinciples.runs import arrays, checkpoints, directory, files

MIB = 2**20


def refused(call: Callable[[], Any], kind: type[DeepprinciplesError], most: float = 64.0) -> str:
    """Give the line of a refusal that took at most `most` MiB and a second."""
    begun = time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises(kind) as caught:
            call()
        peak = tracemalloc.get_traced_memory()[1] / MIB
    finally:
        tracemalloc.stop()
    assert peak <= most, f"{peak:.0f} MiB"
    assert time.process_time() - begun < 5.0  # a second, five times slower under tracemalloc
    return str(caught.value)


def test_check_1_no_parser_of_code_ever_sees_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A header or a value of a file could be made to run, or to bring the parser down."""
    (tmp_path / "x.npz").write_bytes(small.npz())
    (tmp_path / "c.toml").write_bytes(TOML)
    path, place = small.finished(tmp_path / "run"), small.checkpoint(tmp_path / "checkpoints")

    def read() -> list[Any]:
        found = [read_npz(tmp_path / "x.npz", ("x", "y")), configs.load(tmp_path / "c.toml"), dp.load(path).results]
        return [*found, arrays.load_arrays(path / directory.PARAMETERS), checkpoints.read(place)]

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("data were given to Python's parser")

    def parse(source: Any, name: str, mode: str, flags: int = 0, *rest: Any, **named: Any) -> Any:
        assert flags & ast.PyCF_ONLY_AST, "data were made into code"
        return compiled(source, name, mode, flags, *rest, **named)

    read()  # what is imported late is imported now
    compiled = builtins.compile
    with monkeypatch.context() as patch:
        for name in ("builtins.eval", "builtins.exec", "pickle.loads", "pickle.load"):
            patch.setattr(name, refuse)
        patch.setattr("builtins.compile", parse)  # NumPy reads the header of an array as a literal
        assert len(read()) == 5


@pytest.mark.parametrize(
    "name", ["os.system", "os:system", hostile.CALL, "0.1*cos(t)", "../x", "__class__", "mlp.__call__"]
)
def test_check_2_a_part_is_named_and_nothing_else(name: str, tmp_path: Path) -> None:
    """A config from the web could choose any function of any module."""
    for section in ("model", "optimizer", "schedule", "loss"):
        (tmp_path / "c.json").write_text(json.dumps({section: {"name": name}}))
        with pytest.raises(ConfigError) as caught:
            configs.resolve(configs.load(tmp_path / "c.json"), KINDS)
        assert any(line.startswith(f"{section}.name: no {section} ") for line in caught.value.problems)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b'{"a": 1, "a": 2}', 'the key "a" is given twice'),
        (b'{"a": NaN}', "found NaN"),
        (b'{"a": 1e400}', "the number 1e400 is too large"),
        (b'{"a": 18446744073709551616}', "more than 64 bits"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "nested deeper than 32 levels"),
        (b" " * (16 * MIB + 1), "at most 16 MiB"),
        (b"[" + b"[]," * 5_000_000 + b"[]]", "more than 100,000 entries"),
        (b'"' + b'\\",' * 5_000_000, "not JSON"),
        (b'["\\udc00"]', "half of a character"),
    ],
)
def test_check_3_json_is_strict_and_small(content: bytes, line: str, tmp_path: Path) -> None:
    """One file would be read in two ways, or 16 MB of brackets take half a gigabyte."""
    (tmp_path / "s.json").write_bytes(content)
    assert line in refused(lambda: files.read_json(tmp_path / "s.json"), IntegrityError, most=64 + 2 * 16)


def test_check_3_long_texts_are_no_entries(tmp_path: Path) -> None:
    """A summary that holds a long config would count as too large."""
    told = {"config_toml": 'a = [1, {b = "\\"", c = 2}]\n' * 50_000, "rows": [["a,b", "[,"]] * 20_000}
    files.write_json(tmp_path / "s.json", told)
    assert files.read_json(tmp_path / "s.json") == told
    (tmp_path / "s.json").write_bytes(b"[" + b'"",' * 1_000_000 + b"1]")
    with pytest.raises(IntegrityError, match="more than 100,000 entries"):
        files.read_json(tmp_path / "s.json")


ONE = hostile.tensor(0, 4, [1])


@pytest.mark.parametrize(
    ("header", "body", "line"),
    [
        ({"a": ONE, "b": hostile.tensor(2, 6, [1])}, 6, "invalid offset for tensor"),
        ({"a": ONE, "b": hostile.tensor(0, 4, [1])}, 4, "invalid offset for tensor"),
        ({"a": ONE, "b": hostile.tensor(8, 12, [1])}, 12, "invalid offset for tensor"),
        ({"a": hostile.tensor(4, 8, [1])}, 8, "invalid offset for tensor"),
        ({"a": ONE}, 5, "file not fully covered"),
        ({"a": ONE}, 3, "file not fully covered"),
        ({"a": hostile.tensor(0, 4, [2])}, 4, "invalid shape, data type, or offset"),
        ({"a": hostile.tensor(0, 4, [2**32, 2**32, 1])}, 4, "overflow computing buffer size"),
        ({"a": hostile.tensor(0, 2**62, [2**60])}, 4, "overflow computing buffer size"),
        ({"a": hostile.tensor(0, 4, [-1, -1])}, 4, "integer `-1`, expected usize"),
        ({"a": hostile.tensor(0, 4, [True])}, 4, "boolean `true`, expected usize"),  # type: ignore[list-item]
        ({"a": hostile.tensor(0, 4, [1] * 65)}, 4, "maximum supported dimension"),
        ({"a": hostile.tensor(0, 4, [4], "F8_E4M3")}, 4, "is 'F8_E4M3', which is not read here"),
        ({"a": {"dtype": "F32", "factory": "os.system"}}, 4, "missing field `shape`"),
        (b'{"a":' + json.dumps(ONE).encode() + b',"a":' + json.dumps(ONE).encode() + b"}", 4, "given twice"),
        (b"x" * 30, 0, "not JSON"),
    ],
)
def test_check_4_arrays_fill_their_file_and_nothing_else(header: Any, body: int, line: str, tmp_path: Path) -> None:
    """Two names could share bytes, a file carry a stowaway, or a shape ask for more than there is."""
    (tmp_path / "x.safetensors").write_bytes(hostile.tensors(header, b"\0" * body))
    assert line in refused(lambda: arrays.load_arrays(tmp_path / "x.safetensors"), IntegrityError)


def test_check_4_a_size_that_is_only_claimed_is_not_allocated(tmp_path: Path) -> None:
    """A checkpoint of a few bytes could take all memory."""
    place = small.checkpoint(tmp_path)
    place.write_bytes(hostile.tensors({"a": hostile.tensor(0, 2**30, [2**28])}, b"\0" * 8))
    assert "file not fully covered" in refused(lambda: checkpoints.read(place), IntegrityError, most=1)


def test_check_5_a_packed_idx_that_keeps_its_word_is_bounded_too(tmp_path: Path) -> None:
    """Half a megabyte from the web would grow to as much memory as there is."""
    size = 2**27
    (tmp_path / "x.gz").write_bytes(gzip.compress(small.idx()[:3] + struct.pack(">BI", 1, size) + bytes(size), 1))
    line = refused(lambda: read_idx(tmp_path / "x.gz"), DataError, most=128)  # a buffer that grows is held twice
    assert "it looks like a gzip bomb" in line


def test_check_5_labels_fit_their_pictures_and_classes(tmp_path: Path) -> None:
    """JAX would take a label that there is not for another, or for NaN, without a word."""
    (tmp_path / "images").write_bytes(small.idx(np.arange(20 * 4, dtype=np.uint8).reshape(20, 2, 2)))
    for labels, line in ((19, "19 labels for 20 images"), (20, "label")):
        (tmp_path / "labels").write_bytes(small.idx(np.arange(labels, dtype=np.uint8)))
        given = {"images": str(tmp_path / "images"), "labels": str(tmp_path / "labels"), "classes": 3}
        with pytest.raises(DataError, match=line):
            prepare(TABLE["idx"](**given), batch_size=4)


def test_check_6_a_long_list_of_members_is_not_taken_in(tmp_path: Path) -> None:
    """A zip of a million empty members would take a gigabyte before the first is looked at."""
    member = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, *(0,) * 14)
    listed = 100_000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, listed % 2**16, listed % 2**16, len(member) * listed, 0, 0)
    (tmp_path / "x.npz").write_bytes(member * listed + end)
    assert "list of members is too long" in refused(lambda: read_npz(tmp_path / "x.npz", ("x",)), DataError, most=8)


def test_check_6_headers_in_another_order_are_read(tmp_path: Path) -> None:
    """Arrays that other programs wrote could not be read any more."""
    for text_ in (
        "{'shape': (2, 1), 'fortran_order': True, 'descr': '<f8'}",
        '{"descr":"<f8","fortran_order":False,"shape":(2,)}',
        "{'descr': '<f8', 'fortran_order': False, 'shape': (2, ), }          \n",
    ):
        header = b"\x93NUMPY\x01\x00" + len(text_).to_bytes(2, "little") + text_.encode()
        (tmp_path / "x.npz").write_bytes(hostile.zipped(("x.npy", header + np.array([1.0, 2.0]).tobytes())))
        assert read_npz(tmp_path / "x.npz", ("x",))[0].ravel().tolist() == [1.0, 2.0]


def test_check_6_a_table_of_short_rows_takes_no_more_than_its_numbers(tmp_path: Path) -> None:
    """A million rows of one digit, two megabytes, would take a hundred and fifty."""
    (tmp_path / "x.csv").write_bytes(b"1\n" * 50_000)
    tracemalloc.start()
    assert read_csv(tmp_path / "x.csv").cells.shape == (50_000, 1)
    assert tracemalloc.get_traced_memory()[1] < 3 * MIB
    tracemalloc.stop()
    (tmp_path / "x.csv").write_bytes(b"1," * 2**22)
    assert "line 1: longer than" in refused(lambda: read_csv(tmp_path / "x.csv"), DataError)


def test_check_8_names_from_files_are_shown_on_one_line(tmp_path: Path) -> None:
    """A file could clear the screen of who opens it, or forge the lines that follow."""
    (tmp_path / "x.csv").write_bytes(b'"a\n\x1b[2J",b\n\x1b]0;x\x07,1\n')
    (tmp_path / "x.npz").write_bytes(hostile.zipped(("\x1b[2J\n.npy", hostile.GOOD)))
    for call in (lambda: TABLE["csv"](path=str(tmp_path / "x.csv")), lambda: read_npz(tmp_path / "x.npz", ("x",))):
        assert refused(call, DataError).isprintable()
    shown = formatting.clean("\x1b[2Jx\u202ey\u2028z")
    assert shown == "[2Jxy z"


def test_check_8_errors_reach_the_terminal_without_control_characters() -> None:
    """The name of a file would ring the bell, or turn the line around."""
    told = CliRunner().invoke(app, ["report", "no\x07where\u202e"])
    assert told.exit_code == 4 and "nowhere: no such directory" in told.stderr
    assert told.stdout == "nowhere: writing the report\n"


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_check_9_a_run_is_as_private_as_its_user_asks(tmp_path: Path) -> None:
    """Others on a shared machine could read, or change, what a careful user keeps to himself."""
    before = os.umask(0o077)
    try:
        path = small.finished(tmp_path / "run")
        small.checkpoint(path / "checkpoints")
    finally:
        os.umask(before)
    for found in [path, *path.rglob("*")]:
        assert not stat.S_IMODE(found.stat().st_mode) & 0o077, found


def test_check_9_no_compiled_program_is_kept_where_others_write() -> None:
    """Whoever can write into JAX's cache of programs runs code; it is off unless the user turns it on."""
    root = Path(dp.__file__).parent
    assert not [path for path in root.rglob("*.py") if "compilation_cache" in path.read_text(encoding="utf-8")]


def test_check_10_no_secret_is_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is shared would carry its author's passwords."""
    for name in ("AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "MY_JAX_TOKEN", "XLA_FLAGS_PASSWORD", "jax_secret"):
        monkeypatch.setenv(name, "hunter2")
    path = small.finished(tmp_path / "run")
    assert not [found for found in path.rglob("*") if found.is_file() and b"hunter2" in found.read_bytes()]


def test_every_check_has_a_test() -> None:
    """A check that is only written down protects nobody."""
    here = Path(__file__).parent
    words = "".join((here / name).read_text(encoding="utf-8") for name in ("test_untrusted.py", "test_places.py"))
    assert {int(number) for number in re.findall(r"def test_check_(\d+)_", words)} == set(range(1, 11))
