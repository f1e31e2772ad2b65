"""The fuzz itself: run in a process of its own, whose memory is bounded. Prints what came of it as one line of JSON.

    python tests/faults/fuzzing.py FOLDER FAMILY COUNT

Each file is spoiled (see `mutations`), put on the disk and read by the reader that a user's command would call. It may
be read, or be refused by one of our errors; anything else ends the process with a traceback that holds the file.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import resource
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import mutations
import small

from deepprinciples import config as configs
from deepprinciples.errors import DeepprinciplesError
from deepprinciples.parts import text as texts
from deepprinciples.parts.data import TABLE
from deepprinciples.parts.files.array_files import read_idx, read_npz
from deepprinciples.parts.text import verses_set
from deepprinciples.runs import arrays, checkpoints
from deepprinciples.types import Scalar, better

FREE = 64 * 2**20 + 2 * mutations.MOST  # what a reader may take


def sgd(*, learning_rate: Scalar = 0.1, momentum: Scalar = 0.0) -> None: ...


def mlp(*, depth: int = 2, width: int = 128, activation: str = "relu", channels: tuple[int, ...] = (8, 16)) -> None: ...


def data(*, path: str = "") -> None: ...


class Train(NamedTuple):
    steps: int = 1000
    probes: tuple[str, ...] = ()


class Study(NamedTuple):
    metric: str = "accuracy"
    tune: Mapping[str, Any] = {}
    trials: int = 20


for one in (sgd, mlp, data, Train, Study):  # what is written in code is no data: it is evaluated here, once
    one.__annotations__ = get_type_hints(one, include_extras=True)

KINDS = configs.Registry(
    tables={
        "data": {"digits": data},
        "model": {"mlp": mlp},
        "loss": {"mse": lambda: None},
        "metric": {"accuracy": better("max")(lambda: None)},
        "probe": {},
        "gradient": {"plain": lambda: None},
        "optimizer": {"sgd": sgd},
        "schedule": {"constant": lambda: None},
        "weight_averaging": {"none": lambda: None},
        "augment": {},
        "regularizers": {},
        "transforms": {},
    },
    functions={"train": Train, "study": Study},
)
TOML = b"""title = "a question"
schema_version = 1
[data]
name = "digits"
[model]
name = "mlp"
depth = 3
channels = [4, 8]
[loss]
name = "mse"
[optimizer]
name = "sgd"
learning_rate = 0.1
[train]
steps = 100
[study.tune]
"optimizer.learning_rate" = { low = 1e-3, high = 1.0, scale = "log" }
[arms.plain]
[arms.deep]
"model.depth" = 7
[arms."fast one"]
optimizer = { name = "sgd", momentum = 0.5 }
"""


def toml(chance: random.Random, folder: Path) -> Callable[[], Any]:
    """Spoil a config in TOML."""
    return _config(folder / "c.toml", mutations.spoiled(chance, TOML, gentle=0.6))


def as_json(chance: random.Random, folder: Path) -> Callable[[], Any]:
    """Spoil a config in JSON."""
    return _config(folder / "c.json", mutations.spoiled(chance, JSON, gentle=0.6))


def _config(path: Path, content: bytes) -> Callable[[], Any]:
    path.write_bytes(content)

    def read() -> None:
        found = configs.resolve(configs.load(path), KINDS, command="compare")
        configs.dumps(found)

    return read


def idx(chance: random.Random, folder: Path) -> Callable[[], Any]:
    """Spoil an IDX file."""
    (folder / "x").write_bytes(mutations.spoiled(chance, small.idx()))
    return lambda: read_idx(folder / "x")


def idx_gz(chance: random.Random, folder: Path) -> Callable[[], Any]:
    """Spoil a packed IDX file, or pack a spoiled one."""
    inside = chance.random() < 0.5
    content = gzip.compress(mutations.spoiled(chance, small.idx()), 1, mtime=0) if inside else None
    (folder / "x.gz").write_bytes(content or mutations.spoiled(chance, small.GZ))
    return lambda: read_idx(folder / "x.gz")


def npz(chance: random.Random, folder: Path) -> Callable[[], Any]:
    """Spoil a zip of arrays, or zip a spoiled array."""
    content = mutations.spoiled(chance, NPZ) if chance.random() < 0.5 else _zipped(chance)
    (folder / "x.npz").write_bytes(content)
    return lambda: read_npz(folder / "x.npz", ("x", "y"))


def _zipped(chance: random.Random) -> bytes:
    packed = chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packed, compresslevel=1) as archive, zipfile.ZipFile(io.BytesIO(NPZ)) as whole:
        for name in whole.namelist():
            archive.writestr(name, mutations.spoiled(chance, whole.read(name)))
    return buffer.getvalue()


def csv(chance: random.Random, folder: Path) -> Callable[[], Any]:
    """Spoil a table."""
    (folder / "x.csv").write_bytes(mutations.spoiled(chance, small.CSV))
    return lambda: TABLE["csv"](path=str(folder / "x.csv"), allow_nonfinite=True)


def checkpoint(chance: random.Random, folder: Path) -> Callable[[], Any]:
    """Spoil a checkpoint: its bytes as a disk does, or its facts with a checksum that fits, as an attacker does."""
    content = mutations.spoiled(chance, STATE)
    if chance.random() < 0.7:
        text = mutations.spoiled(chance, FACTS, STATE).decode("utf-8", "replace").replace("\0", " ")
        content = arrays.save_flat(small.STATE, {"facts": text, "sha256": checkpoints._checksum(small.STATE, text)})
    (folder / "0-report.safetensors").write_bytes(content)
    return lambda: checkpoints.read(folder / "0-report.safetensors")


def safetensors(chance: random.Random, folder: Path) -> Callable[[], Any]:
    """Spoil the header of an array file, and make its length fit."""
    length = int.from_bytes(STATE[:8], "little")
    header = mutations.spoiled(chance, STATE[8 : 8 + length])
    (folder / "x.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + STATE[8 + length :])
    return lambda: arrays.load_arrays(folder / "x.safetensors")


def text(chance: random.Random, folder: Path) -> Callable[[], Any]:
    """Spoil a text."""
    (folder / "x.txt").write_bytes(mutations.spoiled(chance, small.TEXT))
    tokens = chance.choice(("characters", "bytes"))
    return lambda: texts.TABLE["text"](path=str(folder / "x.txt"), tokens=tokens, length=8)


def wav(chance: random.Random, folder: Path) -> Callable[[], Any]:
    """Spoil a recording or its transcript."""
    from deepprinciples.domains.speech import wav_files

    place = folder / "recordings"
    place.mkdir(exist_ok=True)
    said = chance.random() < 0.2
    (place / "x.wav").write_bytes(small.wav() if said else mutations.spoiled(chance, small.wav()))
    (place / "x.txt").write_bytes(mutations.spoiled(chance, b"a b c") if said else b"a b c")
    return lambda: wav_files.wav(path=str(place), rate=8000, resample=True)


def module(chance: random.Random, folder: Path) -> Callable[[], Any]:
    """Spoil one of the six files of a module of verses."""
    place, files = folder / "verses", small.module()
    place.mkdir(exist_ok=True)
    spoiled = chance.choice(list(files))
    for name, content in files.items():
        (place / name).write_bytes(mutations.spoiled(chance, content) if name == spoiled else content)

    def read() -> None:
        found = verses_set.read_module(place)
        verses_set.chapters_held_out(found, found, 20)

    return read


def names(chance: random.Random, folder: Path) -> Callable[[], Any]:
    """Spoil the names of tokens, as another run's may be, and read a text with them."""
    del folder
    content = mutations.spoiled(chance, "\n".join(("<padding>", "\ufffd", "a", "b", "\u00e9")).encode())
    given = content.decode("utf-8", "replace").split("\n")

    def read() -> None:
        tokenizer = texts.tokenizer_of(given)
        tokenizer.decode(tokenizer.encode("ab \u00e9 b"))

    return read


FAMILIES = {
    "files": (checkpoint, safetensors, idx, idx_gz, npz, csv),
    "configs": (toml, as_json),
    "texts": (text, wav, module, names),
}
JSON = NPZ = STATE = FACTS = b""


def prepare(folder: Path) -> None:
    """Make the whole files that are spoiled."""
    global JSON, NPZ, STATE, FACTS
    (folder / "c.toml").write_bytes(TOML)
    JSON, NPZ = json.dumps(configs.load(folder / "c.toml"), indent=1).encode(), small.npz()
    place = small.checkpoint(folder / "checkpoints")
    STATE, FACTS = place.read_bytes(), json.dumps(checkpoints.read(place).facts).encode()


def memory(word: str) -> int:
    """Give a size of this process in bytes, such as VmHWM."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(word))


def tried(read: Callable[[], Any]) -> tuple[bool, float]:
    """Read once; tell whether it was read, and the seconds of the processor that it took."""
    begun = time.process_time()
    try:
        read()
        done = True
    except DeepprinciplesError as error:
        done, cause = False, error.__context__
        while cause is not None:
            if isinstance(cause, MemoryError):  # an honest refusal comes before the memory is gone
                raise MemoryError("more memory than a reader may take") from error
            cause = cause.__context__
        if "\n" in str(error) and not hasattr(error, "problems"):
            raise AssertionError("a refusal of several lines") from error
    return done, time.process_time() - begun


def main(folder: Path, family: str, count: int) -> dict[str, Any]:
    """Read `count` spoiled files of a family in turn."""
    prepare(folder)
    chance, makers = random.Random(f"{family}/0"), FAMILIES[family]
    for maker in makers * 20:  # so that imports and tables are not counted
        tried(maker(random.Random(0), folder))
    Path("/proc/self/clear_refs").write_text("5")  # the highest mark begins here
    begun, allowed = memory("VmRSS"), memory("VmSize") + FREE
    resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))
    read, slowest = 0, 0.0
    for number in range(count):
        maker = makers[number % len(makers)]
        try:
            done, seconds = tried(maker(chance, folder))
        except BaseException:
            print(f"file {number} of {maker.__name__}", file=sys.stderr)
            raise
        read, slowest = read + done, max(slowest, seconds)
    peak = (memory("VmHWM") - begun) / 2**20
    return {
        "files": count,
        "read": read,
        "refused": count - read,
        "peak_mib": round(peak, 1),
        "slowest_s": round(slowest, 3),
    }


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    zlib.crc32(b"")
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
