"""Files that want to run code, write elsewhere or fill the memory, and the doors through which a user would open them.

CASES: {name: (make, open)}. `make(folder)` writes the files and gives what `open` is called with. What a file would do
if it could is touch `pwned` in its folder.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import small

OUTSIDE = "outside"  # a folder that no case may change


class Evil:
    """Touches a file when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.order = f"touch {folder}/pwned"

    def __reduce__(self) -> Any:
        return os.system, (self.order,)


Make = Callable[[Path], Any]
CASES: dict[str, tuple[Make, Callable[[Any], Any]]] = {}


def pickled(folder: Path) -> bytes:
    """Give bytes that run a command when they are unpickled."""
    return pickle.dumps(Evil(folder))


def file(name: str, content: Callable[[Path], bytes]) -> Make:
    """Make a case of one file."""

    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content(folder))
        return folder / name

    return make


def npy(descr: str, shape: str, body: bytes = b"") -> bytes:
    """Give an .npy file with a header of one's own wording."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


def zipped(*members: tuple[Any, bytes], packed: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Give a zip of members, whatever they are called."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packed) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def link(name: str) -> zipfile.ZipInfo:
    """Give a zip member that says it is a link."""
    member = zipfile.ZipInfo(name)
    member.create_system, member.external_attr = 3, 0o120777 << 16
    return member


def tensors(header: Any, body: bytes = b"", length: int | None = None) -> bytes:
    """Give a safetensors file with a header of one's own."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + body


def tensor(begin: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, Any]:
    """Give an entry of such a header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


GOOD = npy("'<f8'", "(1,)", b"\0" * 8)
CALL = "__import__('os').system('touch pwned')"
ARRAYS: dict[str, Callable[[Path], bytes]] = {
    "array of objects": lambda f: zipped(("x.npy", npy("'|O'", "(1,)", pickled(f)))),
    "array header that calls": lambda f: zipped(("x.npy", npy(CALL, "(1,)"))),
    "array shape that calls": lambda f: zipped(("x.npy", npy("'<f8'", f"({CALL},)"))),
    "array of many brackets": lambda f: zipped(("x.npy", npy("'<f8'", "(" * 4000))),
    "array of tuples of objects": lambda f: zipped(("x.npy", npy("[('a', '|O')]", "(1,)", pickled(f)))),
    "array of 8 TiB": lambda f: zipped(("x.npy", npy("'<f8'", f"({2**40},)"))),
    "array type with commas": lambda f: zipped(("x.npy", npy(f"'({CALL})f8,O'", "(1,)"))),
    "zip that leaves its folder": lambda f: zipped(("../../pwned.npy", GOOD), ("x.npy", GOOD)),
    "zip with a full path": lambda f: zipped((f"{f}/pwned", GOOD), ("x.npy", GOOD)),
    "zip with a link": lambda f: zipped((link("x.npy"), b"/etc/passwd")),
    "zip with two of a name": lambda f: zipped(("x.npy", GOOD), ("X.npy", GOOD), ("x.npy", pickled(f))),
    "zip bomb": lambda f: zipped(("x.npy", npy("'<f8'", f"({2**24},)", b"\0" * 2**27))),
    "zip with a pickle before it": lambda f: pickled(f) + zipped(("x.npy", GOOD)),
    "zip with a script before it": lambda f: b"#!/bin/sh\ntouch pwned\n" + zipped(("x.npy", GOOD)),
    "zip that Python would run": lambda f: zipped(("__main__.py", b"import os; os.system('touch pwned')")),
    "pickle called npz": pickled,
}
IDX: dict[str, Callable[[Path], bytes]] = {
    "pickle called idx": pickled,
    "idx of 16 EiB": lambda f: b"\0\0\x0e\x04" + b"\x80\0\0\0" * 4,
    "idx that is a zip too": lambda f: small.idx() + zipped(("x.npy", GOOD)),
    "gzip bomb": lambda f: gzip.compress(small.idx()[:16] + b"\0" * 2**27, 9),
    "gzip bomb that keeps its word": lambda f: gzip.compress(b"\0\0\x08\x01\x04\x80\0\0" + b"\0" * 0x04800000, 9),
    "gzip with a name that leaves": lambda f: b"\x1f\x8b\x08\x08" + b"\0" * 6 + b"../../pwned\0" + small.GZ[10:],
}
TENSORS: dict[str, Callable[[Path], bytes]] = {
    "arrays that overlap": lambda f: tensors({"a": tensor(0, 8, [2]), "b": tensor(4, 12, [2])}, b"\0" * 12),
    "arrays with a hole": lambda f: tensors({"a": tensor(0, 4, [1]), "b": tensor(8, 12, [1])}, b"\0" * 12),
    "arrays and then more": lambda f: tensors({"a": tensor(0, 4, [1])}, b"\0" * 4 + pickled(f)),
    "arrays of 8 EiB": lambda f: tensors({"a": tensor(0, 2**63, [2**61])}),
    "arrays whose size wraps": lambda f: tensors({"a": tensor(0, 4, [2**32, 2**32, 1])}, b"\0" * 4),
    "arrays of one name": lambda f: tensors(
        b'{"a": 1, "a": ' + json.dumps(tensor(0, 4, [1])).encode() + b"}", b"\0" * 4
    ),
    "arrays of pickles": lambda f: tensors({"a": tensor(0, 4, [1], "PICKLE")}, b"\0" * 4),
    "arrays with a header of 8 EiB": lambda f: tensors(b"{}", length=2**63),
    "arrays that leave": lambda f: tensors({"../../pwned": tensor(0, 4, [1]), "/etc/x": tensor(4, 8, [1])}, b"\0" * 8),
    "arrays in a thousand tables": lambda f: tensors({"a/" * 1000 + "a": tensor(0, 4, [1])}, b"\0" * 4),
    "pickle called safetensors": pickled,
}
CONFIGS: dict[str, tuple[str, str]] = {
    "config with a target": ("c.toml", "_target_ = 'os.system'\n_args_ = ['touch pwned']\n"),
    "config with a yaml tag": ("c.json", '{"title": "!!python/object/apply:os.system [touch pwned]"}'),
    "config with a factory": ("c.toml", "[model]\nfactory = 'os.system'\n"),
    "config with a variable": ("c.toml", "title = '${oc.env:HOME}'\n[model]\nname = '$(touch pwned)'\n"),
    "config with a call": ("c.toml", f'[model]\nname = "{CALL}"\n[schedule]\nname = "0.1*cos(t)"\n'),
    "config with a module": ("c.toml", "[model]\nname = 'os.system'\n[optimizer]\nname = 'os:system'\n"),
    "config with a pipe": ("c.toml", "[data]\nname = 'digits'\npath = '|touch pwned'\n"),
    "config that includes": ("c.toml", "include = '/etc/passwd'\n'!include' = '/etc/passwd'\n"),
    "config nested deep": ("c.json", '{"a":' * 5000 + "1" + "}" * 5000),
    "config of many lists": ("c.json", "[" + "[],[]," * 2_000_000 + "1]"),
    "config of many keys": ("c.json", "{" + ",".join(f'"{i}":1' for i in range(150_000)) + "}"),
    "config with a key twice": ("c.json", '{"title": "a", "title": "b"}'),
    "config with half a character": ("c.json", '{"title": "\\ud800"}'),
    "config that is a module": ("c.py", "import os; os.system('touch pwned')"),
}
TABLES: dict[str, Callable[[Path], bytes]] = {
    "table with formulas": lambda f: b"=cmd|'/C touch pwned'!A0,b\n=1+1,2\n",
    "table with escapes": lambda f: b"\x1b]0;x\x07\x1b[2J,b\n\x1b[31m,2\n",
    "table of one long line": lambda f: b"1," * 2**22,
    "pickle called csv": pickled,
}
PICTURES: dict[str, Callable[[Path], bytes]] = {
    "picture for Ghostscript": lambda f: (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n(pwned) (w) file closefile\n%%EOF\n"
    ),
    "picture of 4 billion pixels": lambda f: b"P6 65535 65535 255\n" + b"\0" * 99,
    "pickle called png": pickled,
}


def fill() -> Iterator[tuple[str, tuple[Make, Callable[[Any], Any]]]]:
    """Give the cases of one file; those of whole runs are in `hostile_runs`."""
    from fuzzing import KINDS

    from deepprinciples import config as configs
    from deepprinciples.domains.style.pictures import read as read_picture
    from deepprinciples.parts.data import TABLE
    from deepprinciples.parts.files.array_files import read_idx, read_npz
    from deepprinciples.runs.arrays import load_arrays

    for name, content in ARRAYS.items():
        yield name, (file("x.npz", content), lambda path: read_npz(path, ("x",)))
    for name, content in IDX.items():
        yield name, (file("x", content), read_idx)
    for name, content in TENSORS.items():
        yield name, (file("x.safetensors", content), load_arrays)
    for name, content in PICTURES.items():
        yield name, (file("x", content), lambda path: read_picture(path, 64))
    for name, content in TABLES.items():
        yield name, (file("x.csv", content), lambda path: TABLE["csv"](path=str(path), allow_nonfinite=True))
    for name, (called, text) in CONFIGS.items():
        make = file(called, lambda folder, text=text: text.encode())
        yield name, (make, lambda path: configs.resolve(configs.load(path), KINDS))
