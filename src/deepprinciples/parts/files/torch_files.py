"""Arrays of a file of `torch.save(model.state_dict(), path)` (.pth, .pt), read without PyTorch and without trust.

Such a file holds a pickle. It is not unpickled: `pickletools.genops` lists its operations, and those of a state_dict,
few and without effect, are followed here; any other is an error. Nothing is imported, called or built but dicts of
strings, numbers and views of the file's bytes.
"""

from __future__ import annotations

import io
import math
import pickletools
import struct
import zipfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from deepprinciples.errors import IntegrityError

MOST_BYTES = 2**24  # of a pickle: 100,000 arrays take 14 MB
MOST_OPERATIONS = 2**22
MOST_AXES = 32
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # how a file of PyTorch before 1.6 begins
ZIP = b"PK\x03\x04"
_TYPES = {
    "FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "LongStorage": "<i8", "IntStorage": "<i4",
    "ShortStorage": "<i2", "CharStorage": "i1", "ByteStorage": "u1", "BoolStorage": "?",
}  # fmt: skip
_PUT, _GET = ("BINPUT", "LONG_BINPUT"), ("BINGET", "LONG_BINGET")
_NUMBERS = ("BININT", "BININT1", "BININT2", "LONG1")
_TEXTS = ("BINUNICODE", "SHORT_BINUNICODE")
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_TUPLE": tuple, "EMPTY_LIST": list}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Global(NamedTuple):
    name: str  # such as "torch FloatStorage"


class _Storage(NamedTuple):
    dtype: np.dtype
    key: str
    size: int  # elements


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in elements


class _Mark:
    pass


_MARK = _Mark()
_ORDERED, _REBUILD = _Global("collections OrderedDict"), _Global("torch._utils _rebuild_tensor_v2")
_STORAGES = {f"torch {name}": np.dtype(code) for name, code in _TYPES.items()}


class _Refused(ValueError):
    pass


def is_torch_file(content: bytes) -> bool:
    """Check whether content begins as a file of `torch.save` does."""
    return content.startswith((LEGACY, ZIP))


def state_dict_of(content: bytes, where: str) -> dict[str, np.ndarray]:
    """Read the arrays of a state_dict, name -> array, in its order.

    Args:
        content: of the file, in PyTorch's zip format or the one before version 1.6.
        where: what an error message begins with.

    Returns:
        Views of the content that cannot be written.

    Raises:
        IntegrityError: the file is damaged, holds anything else than a state_dict, or is of a machine with the other
            byte order.
    """
    try:
        tensors, storages = _legacy(content) if content.startswith(LEGACY) else _zipped(content)
        return _arrays(tensors, storages, len(content))
    except _Refused as error:
        reason = str(error)
    except (ValueError, LookupError, TypeError, OverflowError, EOFError, RuntimeError, struct.error,
            zipfile.BadZipFile) as error:  # fmt: skip
        reason = f"is damaged ({type(error).__name__})"
    raise IntegrityError(f"{where}: {reason}; expected a file of torch.save(model.state_dict(), path)")


def _zipped(content: bytes) -> tuple[Any, Mapping[str, memoryview]]:
    """Read a file of PyTorch 1.6 or later: a zip archive, nothing in it compressed."""
    view = memoryview(content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info.filename.partition("/")[2]: info for info in archive.infolist()}
        if any(info.compress_type != zipfile.ZIP_STORED for info in members.values()):
            raise _Refused("holds compressed members, which torch.save does not write")
        if "data.pkl" not in members:
            raise _Refused("is an archive without data.pkl")
        if members["data.pkl"].file_size > MOST_BYTES:
            raise _Refused(f"holds a pickle of more than {MOST_BYTES // 2**20} MiB")
        if "byteorder" in members and archive.read(members["byteorder"])[:8] != b"little":
            raise _Refused("has the other byte order")
        storages = {name[5:]: _stored(view, info) for name, info in members.items() if name.startswith("data/")}
        return _followed(io.BytesIO(archive.read(members["data.pkl"]))), storages


def _stored(view: memoryview, info: zipfile.ZipInfo) -> memoryview:
    """Return the bytes of an uncompressed member without a copy of them."""
    start = info.header_offset
    if bytes(view[start : start + 4]) != ZIP:
        raise _Refused("is damaged (no member where one is promised)")
    name, extra = struct.unpack("<HH", view[start + 26 : start + 30])
    start += 30 + name + extra
    if start + info.file_size > len(view):
        raise _Refused("ends too early")
    return view[start : start + info.file_size]


def _legacy(content: bytes) -> tuple[Any, Mapping[str, memoryview]]:
    """Read a file of PyTorch before 1.6: five pickles, then the storages one after another."""
    stream = io.BytesIO(content)
    if (_followed(stream), _followed(stream)) != (_MAGIC, _PROTOCOL):
        raise _Refused("is of an unknown version")
    machine = _followed(stream)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise _Refused("has the other byte order")
    needed: dict[str, _Storage] = {}
    tensors, keys = _followed(stream, needed), _followed(stream)
    view, at, storages = memoryview(content), stream.tell(), dict[str, memoryview]()
    for key in keys if isinstance(keys, list) else []:
        if not isinstance(key, str) or key not in needed:
            raise _Refused("holds a storage that nothing uses")
        (size,) = struct.unpack("<q", view[at : at + 8])
        count = size * needed[key].dtype.itemsize
        if size != needed[key].size or at + 8 + count > len(view):
            raise _Refused("ends too early")
        storages[key] = view[at + 8 : at + 8 + count]
        at += 8 + count
    return tensors, storages


def _followed(stream: io.BytesIO, needed: dict[str, _Storage] | None = None) -> Any:
    """Follow the operations of one pickle, up to its end; storages that it names are added to `needed`."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    begun = stream.tell()
    for number, (code, argument, _) in enumerate(pickletools.genops(stream)):
        name = code.name
        if number > MOST_OPERATIONS or stream.tell() - begun > MOST_BYTES:
            raise _Refused(f"holds a pickle of more than {MOST_BYTES // 2**20} MiB")
        if name == "STOP":
            return stack.pop()
        _follow(name, argument, stack, memo, needed)
    raise _Refused("ends too early")


def _follow(name: str, argument: Any, stack: list[Any], memo: dict[int, Any], needed: dict[str, Any] | None) -> None:
    """Do one operation of those that a state_dict consists of."""
    if name in ("PROTO", "FRAME"):
        return
    if name in _PUT:
        memo[argument] = stack[-1]
    elif name == "MEMOIZE":
        memo[len(memo)] = stack[-1]
    elif name in _GET:
        stack.append(memo[argument])
    elif name in _NUMBERS or name in _TEXTS:
        stack.append(argument)
    elif name in _CONSTANTS:
        stack.append(_CONSTANTS[name])
    elif name in _EMPTY:
        stack.append(_EMPTY[name]())
    elif name == "MARK":
        stack.append(_MARK)
    elif name in _TUPLES:
        stack[-_TUPLES[name] :] = [tuple(stack[-_TUPLES[name] :])]
    elif name == "TUPLE":
        stack.append(tuple(_since_mark(stack)))
    elif name == "GLOBAL":
        stack.append(_known(argument))
    elif name == "STACK_GLOBAL":
        member, module = stack.pop(), stack.pop()
        stack.append(_known(f"{_text(module)} {_text(member)}"))
    elif name == "BINPERSID":
        stack.append(_storage(stack.pop(), needed))
    elif name == "REDUCE":
        arguments, function = stack.pop(), stack.pop()
        stack.append(_made(function, arguments))
    elif name in ("SETITEM", "SETITEMS"):
        items = _since_mark(stack) if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
        if not isinstance(stack[-1], dict) or len(items) % 2:
            raise _Refused("holds something else than a state_dict")
        stack[-1].update(zip(map(_text, items[::2]), items[1::2], strict=True))
    elif name in ("APPEND", "APPENDS"):
        items = _since_mark(stack) if name == "APPENDS" else [stack.pop()]
        if not isinstance(stack[-1], list):
            raise _Refused("holds something else than a state_dict")
        stack[-1].extend(items)
    elif name == "BUILD":
        stack.pop()  # the versions of the modules
    else:
        raise _Refused(f"holds the pickle operation {name}, which no state_dict has")


def _since_mark(stack: list[Any]) -> list[Any]:
    """Take what was put on the stack since the last mark, and the mark."""
    place = next((number for number in range(len(stack) - 1, -1, -1) if stack[number] is _MARK), None)
    if place is None:
        raise _Refused("is damaged (a mark is missing)")
    found = stack[place + 1 :]
    del stack[place:]
    return found


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Refused("holds a name that is no text")
    return value


def _known(name: str) -> _Global:
    if name in (_ORDERED.name, _REBUILD.name) or name in _STORAGES:
        return _Global(name)
    shown = "".join(char for char in name[:60] if char.isprintable())
    raise _Refused(f'asks for "{shown}", which is never loaded')


def _storage(given: Any, needed: dict[str, _Storage] | None) -> _Storage:
    kind, storage, key, _, size, *rest = given
    if (
        kind != "storage"
        or not isinstance(storage, _Global)
        or storage.name not in _STORAGES
        or rest not in ([], [None])
    ):
        raise _Refused("holds something else than a state_dict")
    found = _Storage(_STORAGES[storage.name], _text(key), _whole(size))
    if needed is not None and needed.setdefault(found.key, found) != found:
        raise _Refused("uses one storage in two ways")
    return found


def _made(function: Any, arguments: Any) -> Any:
    """Do what the two functions of a state_dict do, as data."""
    if function == _ORDERED and arguments == ():
        return {}
    if not isinstance(function, _Global) or function != _REBUILD or not isinstance(arguments, tuple):
        raise _Refused("calls something that no state_dict calls")
    storage, offset, shape, strides, *_ = arguments
    if not isinstance(storage, _Storage) or not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise _Refused("holds something else than a state_dict")
    if len(shape) != len(strides) or len(shape) > MOST_AXES:
        raise _Refused("is damaged (shape and strides differ)")
    return _Tensor(storage, _whole(offset), tuple(map(_whole, shape)), tuple(map(_whole, strides)))


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**48:
        raise _Refused("holds a size that is none")
    return value


def _arrays(tensors: Any, storages: Mapping[str, memoryview], size: int) -> dict[str, np.ndarray]:
    """Cut the arrays out of their storages; together they are no larger than a file with shared ones may be."""
    if not isinstance(tensors, dict) or not all(isinstance(one, _Tensor) for one in tensors.values()):
        raise _Refused("holds something else than a state_dict")
    if sum(math.prod(one.shape) * one.storage.dtype.itemsize for one in tensors.values()) > 4 * size:
        raise _Refused("promises larger arrays than it holds")
    found = {}
    for name, one in tensors.items():
        storage = storages.get(one.storage.key)
        if storage is None or len(storage) < one.storage.size * one.storage.dtype.itemsize:
            raise _Refused("ends too early")
        empty = 0 in one.shape
        last = sum((n - 1) * step for n, step in zip(one.shape, one.strides, strict=True))
        if not empty and one.offset + last >= one.storage.size:
            raise _Refused("is damaged (an array reaches beyond its storage)")
        flat = np.frombuffer(storage, one.storage.dtype, one.storage.size)
        steps = tuple(step * flat.itemsize for step in one.strides)
        flat = flat[:0] if empty else flat[one.offset :]
        found[name] = np.lib.stride_tricks.as_strided(flat, one.shape, steps, writeable=False)
    return found
