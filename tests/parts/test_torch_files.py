"""Files of torch.save: read to the bit, and a hostile one runs nothing, fills no memory and is one line."""

import io
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch

from deepprinciples.errors import IntegrityError
from deepprinciples.parts.files import torch_files
from deepprinciples.parts.files.torch_files import is_torch_file, state_dict_of


def saved(value, zipped=True):
    out = io.BytesIO()
    torch.save(value, out, _use_new_zipfile_serialization=zipped)
    return out.getvalue()


def refused(content, *words):
    with pytest.raises(IntegrityError) as caught:
        state_dict_of(content, "a.pth")
    text = str(caught.value)
    assert text.startswith("a.pth: ") and "\n" not in text and text.endswith("torch.save(model.state_dict(), path)")
    assert all(word in text for word in words), text


def archive(pickled, members=(), compression=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as file:
        file.writestr("a/data.pkl", pickled)
        for name, content in members:
            file.writestr(f"a/{name}", content)
    return out.getvalue()


@pytest.mark.parametrize("zipped", [True, False])
def test_what_pytorch_saves_is_what_is_read(zipped):
    """Lost: weights, or their order, type or layout."""
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    one = torch.randn(4, 6)
    given = {
        **module.state_dict(), "turned": one.T, "cut": one[1:, 2:5], "none": torch.zeros(0, 3), "half": one.half(),
        "double": one.double(), "flags": one > 0, "bytes": torch.arange(5, dtype=torch.uint8),
        "scalar": torch.tensor(3),
    }  # fmt: skip
    found = state_dict_of(saved(given, zipped), "a.pth")
    assert list(found) == list(given)
    for name, tensor in given.items():
        assert found[name].dtype == tensor.numpy().dtype
        np.testing.assert_array_equal(found[name], tensor.numpy())
    assert not found["turned"].flags.writeable


def test_an_ordered_dict_with_the_versions_of_modules_is_a_state_dict():
    """Lost: every file of a module, whose state_dict has `_metadata`."""
    module = torch.nn.Linear(2, 3)
    assert set(state_dict_of(saved(module.state_dict()), "a.pth")) == {"weight", "bias"}


def test_the_format_is_known_by_its_first_bytes():
    """Lost: the reader for one of the formats."""
    one = {"w": torch.zeros(1)}
    assert is_torch_file(saved(one)) and is_torch_file(saved(one, False)) and not is_torch_file(b"\x10\x00\x00{")


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_not_run(zipped, tmp_path, monkeypatch):
    """Opening a downloaded file of weights would run its code."""
    monkeypatch.chdir(tmp_path)
    refused(saved({"w": Evil()}, zipped), "mkdir", "never loaded")
    assert not list(tmp_path.iterdir())


OTHERS = {
    "a whole module": saved(torch.nn.Linear(2, 2)),
    "a tensor": saved(torch.zeros(2)),
    "a nested dict": saved({"state_dict": {"w": torch.zeros(2)}}),
    "a number": saved({"epoch": 3, "w": torch.zeros(2)}),
    "a name that is none": saved({3: torch.zeros(2)}),
    "a parameter": saved({"w": torch.nn.Parameter(torch.zeros(2))}),
    "bfloat16": saved({"w": torch.zeros(2, dtype=torch.bfloat16)}),
    "a legacy number": saved({"epoch": 3}, False),
    "an eval": archive(b"c__builtin__\neval\n(S'1'\ntR."),
    "an object": archive(b"ios\nsystem\n."),
    "a text operation": archive(b"S'abc'\n."),
    "nothing": archive(b""),
    "no end": archive(b"\x80\x02}"),
    "an empty stack": archive(b"\x80\x020."),
    "no mark": archive(b"\x80\x02t."),
    "an unknown memo": archive(b"\x80\x02h\x07."),
    "a cycle": archive(b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s."),
    "no pickle": archive(b"")[:30],
    "a plain archive": archive(b"x").replace(b"data.pkl", b"none.pkl"),
    "a compressed archive": archive(b"\x80\x02}.", compression=zipfile.ZIP_DEFLATED),
    "the other byte order": archive(b"\x80\x02}.", [("byteorder", b"big")]),
    "the legacy magic alone": torch_files.LEGACY,
}


@pytest.mark.parametrize("what", OTHERS)
def test_anything_else_is_one_line(what):
    """A traceback of a parser, or something taken for weights."""
    refused(OTHERS[what])


def with_tensor(offset=0, shape=(2,), strides=(1,), size=2, kind="FloatStorage", content=b"\0" * 8):
    """Write a file of one tensor by hand."""

    class Storage:
        pass

    class Writer(pickle._Pickler):
        def persistent_id(self, one):
            return ("storage", getattr(torch, kind), "0", "cpu", size) if isinstance(one, Storage) else None

    class Tensor:
        def __reduce__(self):
            return torch._utils._rebuild_tensor_v2, (Storage(), offset, shape, strides, False, {})

    out = io.BytesIO()
    Writer(out, 2).dump({"w": Tensor()})
    return archive(out.getvalue(), [("data/0", content)])


def test_sizes_that_do_not_fit_are_refused():
    """Memory of the process would be read, or all of it taken."""
    assert state_dict_of(with_tensor(), "a.pth")["w"].tolist() == [0, 0]
    refused(with_tensor(offset=1), "beyond its storage")
    refused(with_tensor(strides=(2,)), "beyond its storage")
    refused(with_tensor(offset=-1), "size")
    refused(with_tensor(strides=(-1,)), "size")
    refused(with_tensor(size=3), "ends too early")
    refused(with_tensor(shape=(2**40,), strides=(0,)), "larger arrays")
    refused(with_tensor(shape=(2**47,) * 30, strides=(0,) * 30), "larger arrays")
    refused(with_tensor(shape=(1,) * 40, strides=(0,) * 40), "shape and strides")
    refused(with_tensor(shape=(2, 1)), "shape and strides")
    refused(with_tensor(shape=(True,)), "size")


def test_a_large_pickle_is_not_followed(monkeypatch):
    """A file would keep the process busy for hours."""
    monkeypatch.setattr(torch_files, "MOST_BYTES", 100)
    refused(archive(b"\x80\x02" + b"}0" * 100 + b"}."), "pickle of more than")
    monkeypatch.setattr(torch_files, "MOST_OPERATIONS", 50)
    monkeypatch.setattr(torch_files, "MOST_BYTES", 2**20)
    refused(archive(b"\x80\x02" + b"N" * 100 + b"."), "pickle of more than")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_damaged_file_is_read_or_refused(zipped):
    """An index error, an endless loop or a read outside of the file."""
    content = saved({"w": torch.randn(3, 2), "b": torch.arange(3)}, zipped)
    rng = np.random.default_rng(0)
    for length in rng.integers(0, len(content), 40):
        refused(content[:length])
    for place, byte in zip(rng.integers(0, len(content), 200), rng.integers(0, 256, 200), strict=True):
        changed = bytearray(content)
        changed[place] = byte
        try:
            found = state_dict_of(bytes(changed), "a.pth")
        except IntegrityError:
            continue
        assert all(isinstance(one, np.ndarray) for one in found.values())


def test_a_legacy_storage_of_another_size_is_refused():
    """The arrays after it would be read from the wrong place."""
    content = saved({"w": torch.ones(3)}, False)
    assert content.count(struct.pack("<q", 3)) >= 1
    refused(content[::-1].replace(struct.pack("<q", 3)[::-1], struct.pack("<q", 2)[::-1], 1)[::-1], "ends too early")
