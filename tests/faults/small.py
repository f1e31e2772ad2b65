"""Small whole things to damage: a finished run, a checkpoint, data files. No jax, so that they are made in no time."""

from __future__ import annotations

import gzip
import io
import struct
import wave
import zlib
from pathlib import Path

import numpy as np
import xarray as xr

from deepprinciples.runs import arrays, checkpoints, directory, files

STATE = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "count": np.array(7, np.int32),
    "key": np.array([1, 2], np.uint32),
    "nothing": np.zeros((0, 3), np.float64),
}
FACTS = {"phase": "0/report", "steps": 12, "rate": 0.1}
PARAMETERS = {"seed-0": {"kernel": np.arange(4, dtype=np.float32), "bias": np.ones(2, np.float32)}}
CONFIG = b'title = "x"\nschema_version = 1\n[data]\nname = "digits"\n[optimizer]\nlearning_rate = 0.1\n'


def checkpoint(folder: Path) -> Path:
    """Save a checkpoint and return its file."""
    return checkpoints.save(folder, "0-report", STATE, FACTS, 1)


def results() -> xr.Dataset:
    """Give results of one arm and three seeds."""
    return xr.Dataset(
        {"score": (("arm", "seed"), np.array([[0.5, 0.25, 0.125]])), "diverged_at": (("seed",), np.array([-1, 5, -1]))},
        coords={"arm": ["plain"], "seed": np.arange(3)},
        attrs={"metric": "accuracy"},
    )


def finished(path: Path) -> Path:
    """Write what a finished run leaves, as far as it is opened again."""
    directory.create(path, "x")
    files.write_bytes(path / directory.CONFIG, CONFIG)
    files.write_json(path / directory.SUMMARY, {"schema_version": 1, "headline": "even", "arms": [{"name": "plain"}]})
    arrays.save_dataset(results(), path / directory.RESULTS)
    files.write_jsonl(path / directory.METRICS, [{"sequence": 0, "loss": 0.5}, {"sequence": 1, "loss": 0.25}])
    arrays.save_arrays(PARAMETERS, path / directory.PARAMETERS)
    sealed(path)
    directory.write_status(path, "finished", kind="compare")
    return path


def sealed(path: Path) -> None:
    """Write the manifest anew, as a stranger does who changed a file and wants it opened."""
    files.write_json(path / directory.MANIFEST, directory.manifest(device="cpu", files=directory.file_hashes(path)))


def idx(array: np.ndarray | None = None, code: int = 8) -> bytes:
    """Give an IDX file."""
    array = np.arange(24, dtype=np.uint8).reshape(4, 3, 2) if array is None else array
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def npz(**named: np.ndarray) -> bytes:
    """Give an .npz file; without names one of two arrays."""
    buffer = io.BytesIO()
    np.savez(buffer, **(named or {"x": np.arange(12.0).reshape(3, 4), "y": np.arange(3, dtype=np.int32)}))
    return buffer.getvalue()


def wav() -> bytes:
    """Give a recording of a quarter of a second: a tone with one channel of 16 bits."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
        file.writeframes((8000 * np.sin(np.arange(2000))).astype("<i2").tobytes())
    return buffer.getvalue()


def module() -> dict[str, bytes]:
    """Give the files of a module of verses: two books of twelve chapters, a verse each."""
    files = {}
    for part in ("ot", "nt"):
        verses = [
            f'<chapter osisID="{n}" sID="{n}"/>{part} verse <w lemma="x">{n}</w> &amp; more'.encode() for n in range(12)
        ]
        block = zlib.compress(b"".join(verses))
        starts = np.cumsum([0, *map(len, verses)])
        files[f"{part}.bzs"] = struct.pack("<III", 0, len(block), int(starts[-1]))
        files[f"{part}.bzv"] = b"".join(
            struct.pack("<IIH", 0, int(at), len(one)) for at, one in zip(starts, verses, strict=False)
        )
        files[f"{part}.bzz"] = block
    return files


TEXT = "Ein Text, na\u00efve \u2013 zum Lesen.\r\n\tUnd noch einer.\n".encode() * 10
GZ = gzip.compress(idx(), mtime=0)
CSV = b'age,"size, cm",label\n1,2.5,0\n3,4e1,1\n-7,nan,0\n'
