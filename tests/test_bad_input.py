"""Bad configs and bad data: each is refused in one line before anything is compiled or written.

Every case goes through a public door, `dp.compare` or the command line. What a user would lose otherwise: hours of a
run that could not mean anything. The numbers are rows of the list of bad inputs: configuration 1 to 22, data 23 to 39.
The rows that need a run to go wrong are in `faults`; `faults/test_rows.py` lists all.
"""

from __future__ import annotations

import copy
import gzip
import json
import os
import re
import struct
import time
import zipfile
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pandas
import pytest
from typer.testing import CliRunner

import deepprinciples as dp
from deepprinciples import config as configs
from deepprinciples.cli.main import app
from deepprinciples.errors import ConfigError, DataError, DeepprinciplesError
from deepprinciples.learners.assembly import from_config
from deepprinciples.parts.data import Source
from deepprinciples.results.finished_run import Run

BASE: dict[str, Any] = {
    "data": {"name": "wine", "batch_size": 16},
    "model": {"name": "mlp", "depth": 1, "width": 4},
    "loss": {"name": "softmax_cross_entropy"},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "train": {"steps": 6, "probes": []},
    "study": {"seeds": 2},
    "arms": {"plain": {}, "fast": {"optimizer.learning_rate": 0.2}},
}
X = np.random.RandomState(0).randn(40, 3).astype(np.float32)
Y = np.arange(40) % 2
HOLES = np.where(np.arange(120).reshape(40, 3) == 10, np.nan, X)
SECONDS = 2.0


def changed(edits: dict[str, Any]) -> dict[str, Any]:
    """Put values at dotted paths of the base config; None takes the key away."""
    config = copy.deepcopy(BASE)
    for path, value in edits.items():
        *parents, leaf = path.split(".")
        table = config
        for key in parents:
            table = table.setdefault(key, {})
        table[leaf] = value
        if value is None:
            del table[leaf]
    return config


def own(**given: Any) -> dict[str, Any]:
    return {"data": {"name": "arrays", "inputs": X, "targets": Y, "batch_size": 8, **given}}


def stream(batches: Any) -> dict[str, Any]:
    fixed = {"validation_inputs": X, "validation_targets": Y, "test_inputs": X, "test_targets": Y, "classes": 2}
    return {"data": {"name": "stream", "batches": batches, **fixed}}


def tune(**limits: Any) -> dict[str, Any]:
    return {"study.tune": {"optimizer.learning_rate": limits}}


@pytest.fixture(autouse=True)
def _empty_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module", autouse=True)
def _ready() -> None:
    """Importing JAX is not what the time limit is about."""
    assert dp.compare


def refused(edits: dict[str, Any]) -> DeepprinciplesError:
    begun = time.process_time()
    with pytest.raises(DeepprinciplesError) as caught:
        dp.compare(changed(edits))
    assert time.process_time() - begun < SECONDS
    assert os.listdir() == []
    return caught.value


def agrees(message: str, expected: str) -> bool:
    """Compare whole lines; "..." at the end leaves out a long list of names."""
    return message.startswith(expected[:-3]) if expected.endswith("...") else message == expected


def noisy(*, noise: dp.types.Scalar = 0.0) -> Source:
    """Make labels that are wrong with a probability that a user has annotated as if it were swept."""
    rng = np.random.default_rng(0)
    return Source(X, np.where(rng.random(40) < noise, 1 - Y, Y), "classification")


SEED = "expected a whole number of at least 0 and below 4294967296, found {}; JAX takes other seeds for one of these"
CONFIG = {
    "1 unknown key": (
        {"optimizer.learning_rat": 0.1},
        'optimizer.learning_rat: unknown key; did you mean "learning_rate"? (sgd takes: learning_rate, momentum, ...',
    ),
    "1 unknown section": ({"modle": {}}, 'modle: unknown key; did you mean "model"? (a config takes: title, data, ...'),
    "2 unknown model": (
        {"model.name": "mpl"},
        'model.name: no model "mpl"; did you mean "mlp"? (models: autoencoder, circuit, ...',
    ),
    "2 unknown metric": (
        {"study.metric": "acuracy"},
        'study.metric.name: no metric "acuracy"; did you mean "accuracy"? ...',
    ),
    "2 unknown probe": (
        {"train.probes": ["gradient_nrm"]},
        'train.probes[0]: no probe "gradient_nrm"; did you mean "gradient_norm"? ...',
    ),
    "2 unknown baseline": ({"study.baseline": "plan"}, "study.baseline: no arm 'plan' (arms: plain, fast)"),
    "3 number in quotes": (
        {"optimizer.learning_rate": "0.1"},
        'optimizer.learning_rate: expected a number, found the string "0.1"; write 0.1 without quotes',
    ),
    "3 bool for number": ({"optimizer.learning_rate": True}, "optimizer.learning_rate: expected a number, found true"),
    "3 bool for count": ({"model.depth": True}, "model.depth: expected a whole number, found true"),
    "3 section is a list": ({"model": []}, "model: expected the name of a model or a table, found a list"),
    **{
        f"4 rate {value}": (
            {"optimizer.learning_rate": value},
            f"optimizer.learning_rate: expected a number above 0, found {value}; give a positive rate such as 0.1",
        )
        for value in (-0.1, 0.0)
    },
    "4 rate nan": ({"optimizer.learning_rate": float("nan")}, "optimizer.learning_rate: expected a number, found nan"),
    "4 rate inf": (
        {"optimizer.learning_rate": float("inf")},
        "optimizer.learning_rate: expected a number that is finite, found inf; give a positive rate such as 0.1",
    ),
    "4 rate 1e400": (
        {"optimizer.learning_rate": 10**400},
        "optimizer.learning_rate: expected a number that is finite, found inf; give a positive rate such as 0.1",
    ),
    **{
        f"5 batch {value}": (
            {"data.batch_size": value},
            f"data.batch_size: expected a whole number of at least 1, found {value}",
        )
        for value in (0, -1)
    },
    "5 batch 2.5": ({"data.batch_size": 2.5}, "data.batch_size: expected a whole number, found 2.5"),
    "7 no steps": ({"train.steps": 0}, "train.steps: expected a whole number of at least 1, found 0"),
    **{f"9 seed {value}": ({"train.seed": value}, f"train.seed: {SEED.format(value)}") for value in (-1, 2**32, 2**40)},
    "13 empty axis": (
        {"study.tune": {"optimizer.learning_rate": []}},
        "study.tune.optimizer.learning_rate: expected { low = ..., high = ..., scale = ... }, found a list",
    ),
    "13 half an axis": (tune(low=0.1), "study.tune.optimizer.learning_rate.high: missing; a search space needs it"),
    "13 axis of one point": (
        tune(low=1.0, high=1.0),
        "study.tune.optimizer.learning_rate: expected low below high, found low = 1.0 and high = 1.0",
    ),
    "13 log axis from 0": (
        tune(low=0.0, high=1.0),
        'study.tune.optimizer.learning_rate.low: a log scale needs a number above 0, found 0.0; write scale = "linear" '
        "or raise it",
    ),
    "13 a billion trials": (
        {"study.trials": 10**9},
        "study.trials: expected a whole number of at least 1 and at most 1000000, found 1000000000",
    ),
    "13 unknown axis": (
        {"study.tune": {"optimizer.learning_rat": {"low": 0.1, "high": 1.0}}},
        'study.tune.optimizer.learning_rat: no such path; did you mean "optimizer.learning_rate"? (sweepable: ...',
    ),
    "13 static axis": (
        {"study.tune": {"model.depth": {"low": 1, "high": 4}}},
        "study.tune.model.depth: is a whole number and fixes the program; compare values of depth as arms",
    ),
    "13 tuned data": (
        {"study.tune": {"data.noise": {"low": 0.1, "high": 1.0}}, "data": {"factory": noisy}},
        "study.tune.data.noise: data are loaded before anything is trained; compare values of noise as arms",
    ),
    "14 smoothed real target": (
        {"data.name": "diabetes", "loss.name": "mse", "study.metric": "mse", "augment": {"label_smoothing": {}}},
        "arms.plain: augment.label_smoothing: label_smoothing needs class labels, but data.name 'diabetes' has "
        "real-valued targets; remove it",
    ),
    "14 LSTM on images": (
        {"data.name": "digits", "model": {"name": "lstm", "width": 4}},
        "arms.plain: model.name: does not fit data.name 'digits': lstm: inputs must be floats [batch, time, "
        "features] or "
        "token ids [batch, time]; found float32 [B, 8, 8, 1]; use model cnn or mlp for images",
    ),
    "14 accuracy of a regression": (
        {"data.name": "diabetes", "loss.name": "mse"},
        "arms.plain: study.metric.name: accuracy needs class labels, but data.name 'diabetes' has real-valued targets; "
        "use mse or mae",
    ),
    "14 cross-entropy of a regression": (
        {"data.name": "diabetes", "study.metric": "mse"},
        "arms.plain: loss.name: softmax_cross_entropy needs class labels, but data.name 'diabetes' has real-valued "
        "targets; use mse or mae",
    ),
    "14 squares of class labels": (
        {"loss.name": "mse"},
        "arms.plain: loss: does not fit data.name 'wine': mse: outputs float32[16, 3] and targets int32[16] do not "
        "pair; expected the same shape, [B, ...]",
    ),
    **{
        f"16 clip {value}": (
            {"transforms": {"clip_by_global_norm": {"max_norm": value}}},
            f"transforms.clip_by_global_norm.max_norm: expected a number above 0, found {value}; inf switches it off",
        )
        for value in (0.0, -1.0)
    },
    "17 b1 = 1": (
        {"optimizer": {"name": "adam", "b1": 1.0}},
        "optimizer.b1: expected a number of at least 0 and below 1, found 1.0",
    ),
    "17 eps = 0": (
        {"optimizer": {"name": "adam", "eps": 0.0}},
        "optimizer.eps: expected a number above 0, found 0.0; give a small positive number such as 1e-8",
    ),
    "17 dropout = 1": (
        {"model.dropout": 1.0},
        "model.dropout: expected a number of at least 0 and below 1, found 1.0; 0.0 switches it off",
    ),
    "18 half precision": (
        {"train.matmul": "float16"},
        'train.matmul: expected one of "default", "bfloat16", "tensorfloat32", "float32", found the string ...',
    ),
    "19 warm-up longer than the run": (
        {"schedule": {"name": "cosine", "warmup": 1.1}},
        "schedule.warmup: expected a number of at least 0 and at most 1, found 1.1",
    ),
    "21 ${...} is a text": ({"data.name": "${HOME}"}, 'data.name: no data "${HOME}" (data: adding, arrays, ...'),
    "21 _target_ is a key": (
        {"model._target_": "os.system"},
        'model._target_: unknown key; did you mean "start"? (mlp takes: depth, width, ...',
    ),
    "22 later version": (
        {"schema_version": 2},
        "schema_version: expected 1, found 2, written by a later version; upgrade deepprinciples",
    ),
    "no arms": (
        {"arms": None},
        "arms: a comparison needs at least 2, found none; add [arms.NAME] tables; an empty table such as [arms.plain] "
        "stands for the config as it is",
    ),
    "arm with a typo": (
        {"arms.fast": {"model.dept": 3}},
        'arms.fast.model.dept: unknown key; did you mean "depth"? (mlp takes: ...',
    ),
    "arm that changes the budget": (
        {"arms.fast": {"train.steps": 3}},
        "arms.fast.train.steps: an arm may not change it; it is the same for all arms",
    ),
    "a loss that is one number": (
        {"loss": {"factory": lambda: lambda outputs, targets: (outputs**2).mean()}},
        "arms.plain: loss: does not fit data.name 'wine': gives shape [] for 16 examples, expected one value per "
        "example",
    ),
    "a line search": (
        {"optimizer": {"factory": lambda *, learning_rate=1.0: optax.lbfgs(learning_rate)}},
        "arms.plain: the parts do not fit together: scale_by_zoom_linesearch.<locals>.update_fn() missing 2 required "
        "keyword-only arguments: 'grad' and 'value_fn'; a line search evaluates the loss again, which a step here does "
        "not do: optax.lbfgs takes linesearch=None",
    ),
    "a model that is none": (
        {"model": {"factory": lambda: 3}},
        "model.factory: found int; expected a Model, a Linen module or a pair (init, apply); wrap NNX and Equinox "
        "modules "
        "with ...",
    ),
}


@pytest.mark.parametrize("name", CONFIG)
def test_bad_config_is_refused_in_one_line(name: str) -> None:
    """Lost: a run that trains something else than the config says, or dies after an hour with a traceback."""
    edits, expected = CONFIG[name]
    error = refused(edits)
    assert type(error) is ConfigError and error.exit_code == 2
    assert len(error.problems) == 1 and agrees(str(error), expected), str(error)


def test_all_problems_come_at_once() -> None:
    """Lost: a config with three slips takes three starts to mend."""
    error = refused({"optimizer.learning_rat": 1, "data.batch_size": 0, "model.widht": 3})
    assert isinstance(error, ConfigError)
    assert [line.split(":")[0] for line in error.problems] == [
        "data.batch_size",
        "model.widht",
        "optimizer.learning_rat",
    ]


DATA = {
    "6 batch above the data": (
        {"data.batch_size": 1000},
        "data.batch_size: found 1000, more than the 106 training examples; set batch_size to 106 or less",
    ),
    "23 missing": ({"data": {"name": "csv", "path": "none.csv"}}, "none.csv: no such file"),
    "23 directory": ({"data": {"name": "npz", "path": "/"}}, "/: is a directory, expected a file"),
    "24 empty": (
        own(inputs=X[:0], targets=Y[:0]),
        "data.inputs: found no examples (shape [0, 3]), expected at least one",
    ),
    "24 one example": (
        own(inputs=X[:1], targets=Y[:1]),
        "data.test: a share of 0.2 of 1 example leaves none; raise it or give more data",
    ),
    "25 label below 0": (
        own(targets=Y - 1),
        "data.targets: label -1 at [0] is below 0; number the classes from 0",
    ),
    "25 label too large": (
        own(targets=Y + 1, classes=2),
        "data.targets: label 2 at [1] is outside 0..1; subtract 1 from labels that count from 1",
    ),
    "26 float labels": (
        own(targets=Y.astype(float)),
        "data.targets: found float64 labels, first 0.0, expected integers from 0; use targets.astype(int)",
    ),
    "26 one-hot labels": (
        own(targets=np.eye(2)[Y]),
        "data.targets: found one-hot labels of shape [40, 2], expected integers of shape [40]; use "
        "targets.argmax(axis=1)",
    ),
    "26 labels as text": (
        own(targets=np.array(["a", "b"] * 20)),
        "data.targets: found dtype <U1, expected numbers; encode text, as np.unique(text, return_inverse=True)[1]",
    ),
    "27 counts differ": (
        own(targets=Y[:-3]),
        "data.targets: found 37 targets for 40 examples of inputs; give one target an example",
    ),
    "29 not finite": (
        own(inputs=HOLES),
        "data.inputs: found 1 value ... not finite, first nan at [3, 1]; clean them, or set allow_nonfinite = true "
        "where "
        "the data set takes it",
    ),
    "30 beyond float32": (
        own(inputs=np.full((40, 3), 1e300)),
        "data.inputs: value 1e+300 at [0, 0] does not fit float32; rescale the column",
    ),
    "30 beyond int32": (
        own(targets=Y + 2**40),
        "data.targets: label 1099511627776 at [0] does not fit int32; number the classes from 0",
    ),
    "objects": (
        own(inputs=np.array([object()] * 40)),
        "data.inputs: found dtype object, expected numbers; encode text, as np.unique(text, return_inverse=True)[1]",
    ),
    "half of a part": (
        own(validation_inputs=X),
        "data.validation_targets: found none although validation_inputs are given; give both or neither",
    ),
    "nothing left to train": (
        own(validation=0.6, test=0.6),
        "data.test: test 24 and validation 24 of 40 examples leave none for training; lower the shares",
    ),
    "38 loader fails at once": (
        stream(lambda: (1 / 0 for _ in range(1))),
        "data.batches: the loader failed at batch 0: ZeroDivisionError: division by zero",
    ),
    "38 one-shot loader": (
        stream(iter([(X, Y)])),
        "data.batches: found a one-shot iterator (list_iterator); give a re-iterable (a list, ...",
    ),
}


@pytest.mark.parametrize("name", DATA)
def test_bad_data_is_refused_in_one_line(name: str) -> None:
    """Lost: JAX takes such data without a word and trains to a plausible, wrong number."""
    edits, expected = DATA[name]
    error = refused(edits)
    assert type(error) is DataError and error.exit_code == 3
    head, _, tail = expected.partition(" ... ")
    around = bool(tail) and str(error).startswith(head) and str(error).endswith(tail)
    assert agrees(str(error), expected) or around, str(error)


def test_data_and_model_of_different_shape() -> None:
    """28. Lost: an error of XLA's in place of the two shapes."""
    error = refused({**own(), "model": {"name": "cnn"}})
    assert error.exit_code == 2
    assert str(error) == (
        "arms.plain: model.name: does not fit data.name 'arrays': cnn: inputs must be floats [batch, height, width, "
        "channels] or [batch, time, channels]; found float32 [B, 3]; use model mlp for feature vectors, lstm for "
        "token ids"
    )


def test_sequences_of_length_zero() -> None:
    """39. Lost: a loss that is NaN from the first step."""
    error = refused({"data": {"name": "adding", "length": 0}, "model": {"name": "lstm"}, "loss.name": "mse",
                     "study.metric": "mse"})  # fmt: skip
    assert error.exit_code == 2 and str(error) == "data.length: expected a whole number of at least 2, found 0"


# --- files, through the command line ---------------------------------------------------------------------------------

GOOD_TOML = """
[data]
name = "wine"
[model]
name = "mlp"
[loss]
name = "softmax_cross_entropy"
[optimizer]
name = "sgd"
[arms.a]
[arms.b]
"optimizer.learning_rate" = 0.2
"""


def command_line(*words: str) -> tuple[int, list[str]]:
    """Run a command; give its exit code and the lines of stderr."""
    there = sorted(os.listdir())
    begun = time.process_time()
    result = CliRunner().invoke(app, list(words))
    assert time.process_time() - begun < SECONDS
    assert sorted(os.listdir()) == there
    # The one line that says what begins, printed before JAX is imported and anything can be checked.
    assert re.fullmatch(r"(\S+: (comparing|training) .*\n)?", result.stdout)
    assert "Traceback" not in result.stderr
    return result.exit_code, result.stderr.splitlines()


def big(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(100 * 2**20)


FILES = {
    "11 key twice in TOML": (
        "c.toml",
        b"[model]\nname = 'mlp'\nname = 'cnn'\n",
        "not TOML: Cannot overwrite a value (at line 3...",
    ),
    "11 key twice in JSON": ("c.json", b'{"model": {}, "model": {}}', 'the key "model" is given twice'),
    "12 NaN in JSON": (
        "c.json",
        b'{"optimizer": {"learning_rate": NaN}}',
        "expected a number, found NaN, which JSON does not have",
    ),
    "20 empty": ("c.toml", b"\n", "the file is empty; expected sections such as [data], [model], [loss], [optimizer]"),
    "20 latin-1": ("c.toml", "title = 'caf\u00e9'".encode("latin-1"), "line 1: expected UTF-8 text, found byte 0xe9"),
    "20 deep TOML": ("c.toml", b"a = " + b"[" * 10_000, "nested deeper than 32 levels"),
    "20 deep JSON": ("c.json", b"[" * 10_000, "nested deeper than 32 levels"),
    "20 other format": ("c.yaml", b"a: !!python/object:os.system", "expected a file that ends in .toml or .json"),
}


@pytest.mark.parametrize("name", FILES)
def test_bad_config_files(name: str) -> None:
    """Lost: one of two values wins in silence, or a hostile file takes all memory."""
    file, content, expected = FILES[name]
    Path(file).write_bytes(content)
    code, lines = command_line("compare", file)
    assert code == 2 and len(lines) == 1 and agrees(lines[0], f"error: {file}: {expected}"), lines


def test_config_files_that_are_missing_huge_or_have_a_mark() -> None:
    """20. Lost: a traceback, a machine out of memory, or a file of Notepad's refused."""
    assert command_line("compare", "none.toml") == (
        2,
        ["error: none.toml: no such file; expected a config in TOML or JSON"],
    )
    big(Path("big.toml"))
    code, lines = command_line("compare", "big.toml")
    assert code == 2 and len(lines) == 1 and lines[0].startswith("error: big.toml: "), lines
    Path("mark.toml").write_bytes(b"\xef\xbb\xbf" + GOOD_TOML.encode())
    code, lines = command_line("compare", "mark.toml", "train.steps=0")  # the mark is no reason, the steps are
    assert lines == ["error: train.steps: expected a whole number of at least 1, found 0"]


def idx(shape: tuple[int, ...], content: bytes, magic: bytes = b"\0\0\x08") -> bytes:
    return magic + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + content


def npz(name: str, header: bytes, content: bytes = b"") -> None:
    with zipfile.ZipFile(name, "w") as file:
        for member in ("inputs.npy", "targets.npy"):
            file.writestr(member, b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content)


IDX = {
    "32 bad magic": (
        "x.idx",
        b"PK\x03\x04" + bytes(20),
        "offset 0: bad magic number 50 4b 03 04, expected 00 00 TYPE RANK",
    ),
    "32 rank 255": ("x.idx", b"\0\0\x08\xff" + bytes(20), "offset 3: rank 255, expected 1 to 4"),
    "32 product overflow": (
        "x.idx",
        idx((2**31, 2**31, 4), b""),
        "offset 4: shape [2147483648, 2147483648, 4] needs ...",
    ),
    "32 truncated": ("x.idx", idx((4, 2), bytes(7)), "offset 19: truncated, the header declares 20 bytes"),
    "32 trailing bytes": ("x.idx", idx((4, 2), bytes(9)), "offset 20: 1 trailing bytes after the declared array"),
    "33 gzip bomb": (
        "x.idx",
        gzip.compress(idx((4, 2), bytes(50 * 2**20)), 9),
        "offset 20: trailing bytes after the array ...",
    ),
    "33 truncated gzip": ("x.idx", gzip.compress(idx((4, 2), bytes(8)))[:-9], "offset ..."),
    "33 not gzip": ("x.gz", idx((4, 2), bytes(8)), "offset 0: not gzip data though named .gz, found bytes 00 00"),
}


@pytest.mark.parametrize("name", IDX)
def test_bad_image_files(name: str) -> None:
    """Lost: shifted pictures, or all memory for a header that lies."""
    file, content, expected = IDX[name]
    Path(file).write_bytes(content)
    Path("y.idx").write_bytes(idx((4,), bytes(4)))
    Path("c.toml").write_text(GOOD_TOML)
    section = f'data={{ name = "idx", images = "{file}", labels = "y.idx", batch_size = 1 }}'
    code, lines = command_line("compare", "c.toml", section)
    assert code == 3 and len(lines) == 1 and agrees(lines[0], f"error: {file}: {expected}"), lines


def test_bad_npz_files() -> None:
    """34. Lost: code that runs when a stranger's file is opened, or all memory for a header that lies."""
    Path("c.toml").write_text(GOOD_TOML)
    words = ("compare", "c.toml", 'data={ name = "npz", path = "x.npz" }')
    np.savez("x.npz", inputs=np.array([object()] * 4, dtype=object), targets=np.arange(4))
    code, lines = command_line(*words)
    assert code == 3 and len(lines) == 1 and "object" in lines[0], lines
    npz("x.npz", b"{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,), }\n")
    code, lines = command_line(*words)
    assert code == 3 and len(lines) == 1 and "x.npz" in lines[0], lines
    with zipfile.ZipFile("x.npz", "w", zipfile.ZIP_LZMA) as file:
        file.writestr("inputs.npy", b"\x93NUMPY")
    code, lines = command_line(*words)
    assert code == 3 and len(lines) == 1 and "compress" in lines[0], lines


# --- inputs that are odd but right: they run -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One study with seed 0, a twin, and an arm of another shape."""
    arms = {"plain": {}, "twin": {}, "wide": {"model.width": 5}}
    return dp.compare(changed({"arms": arms, "train.seed": 0}), tmp_path_factory.mktemp("odd") / "run")


@pytest.mark.slow
def test_seed_zero_is_a_seed(odd: Run) -> None:
    """8. Lost: seed 0 read as "no seed", so that the first replicate is not repeatable or equals another."""
    losses = odd.results.test_loss.sel(arm="plain")
    assert list(losses.seed.values) == [0, 1]
    assert np.isfinite(losses).all() and losses[0] != losses[1]


def test_identical_arms_are_told(odd: Run) -> None:
    """10. Lost: half of the budget goes into one method under two names."""
    assert "plain and twin are the same method under two names" in odd.summary["warnings"]
    assert not any("wide" in line and "same" in line for line in odd.summary["warnings"])
    np.testing.assert_array_equal(odd.results.test_loss.sel(arm="plain"), odd.results.test_loss.sel(arm="twin"))


def test_arms_of_different_shape_are_grouped(odd: Run) -> None:
    """15. Lost: the user has to sort arms into programs by hand. 35: a batch of 16 leaves a rest of 106 examples."""
    assert [row["arms"] for row in odd.summary["programs"]] == [["plain", "twin"], ["wide"]]
    assert [row["compiles"] for row in odd.summary["programs"]] == [odd.summary["programs"][0]["compiles"]] * 2


def test_several_labels_an_example_are_no_regression() -> None:
    """14. Lost: targets of 0 and 1, several an example, refused with the real-valued ones they travel with."""
    targets = np.stack([Y, 1 - Y, Y], axis=1)
    data = own(targets=targets, task="regression", standardize=False)
    config = changed({"arms": None, **data, "loss.name": "sigmoid_binary_cross_entropy"})
    resolved = configs.resolve(config, from_config.KINDS)
    assert from_config.check(resolved, from_config.dataset(resolved)) == []


def test_odd_data_is_used_and_told() -> None:
    """24, 30, 31. Lost: NaN from a constant feature; a narrowed type or a missing class that nobody hears of."""
    inputs = X.astype(np.float64)
    inputs[:, 0] = 7.0
    run = dp.train(changed({"arms": None, **own(inputs=inputs, targets=Y * 0, classes=2)}))
    assert np.isfinite(run.results.test_loss).all() and (run.results.diverged_at == -1).all()
    told = "\n".join(run.summary["warnings"])
    assert "one class only (label 0)" in told and "float64 values were narrowed to float32" in told


@pytest.mark.slow
def test_arms_may_bring_arrays_of_any_library(tmp_path: Path) -> None:
    """Lost: arms of pandas or JAX end in a traceback, or a run of large arrays cannot be opened when it is done."""
    x = np.random.RandomState(0).randn(3000, 40).astype(np.float32)
    y = (x[:, 0] > 0).astype(int)
    edits = own(inputs=x, targets=pandas.Series(y))
    arms = {
        "right": {},
        "wrong": {"data.targets": pandas.Series(1 - y)},
        "also wrong": {"data.targets": jnp.asarray(1 - y)},
        "double": {"data": {**edits["data"], "inputs": 2 * x}},
    }
    dp.compare(changed({**edits, "arms": arms}), tmp_path / "run")
    summary = dp.load(tmp_path / "run").summary
    found = {row["name"]: row["changes"] for row in summary["arms"]}
    assert found["double"]["data"]["inputs"].startswith("<array float32 (3000, 40) ")
    assert os.path.getsize(tmp_path / "run" / "summary.json") < 2**18
    assert not any("same method" in line for line in summary["warnings"])


def test_arms_that_differ_in_a_keyword_of_the_data_train_on_their_own(tmp_path: Path) -> None:
    """Lost: an arm is trained on the data of another, and compared with itself."""
    arms = {"clean": {}, "wrong": {"data.noise": 1.0}}
    run = dp.compare(changed({"data": {"factory": noisy, "batch_size": 8}, "arms": arms}), tmp_path / "run")
    assert [row["arms"] for row in run.summary["programs"]] == [["clean"], ["wrong"]]
    assert (run.results.test_loss.sel(arm="clean") != run.results.test_loss.sel(arm="wrong")).all()


def test_a_loader_that_fails_later_is_named() -> None:
    """38. Lost: which of ten thousand batches was the bad one."""

    def batches() -> Any:
        yield from [(X[:8], Y[:8])] * 2
        yield X[:8, :2], Y[:8]

    with pytest.raises(DataError) as caught:
        dp.train(changed({"arms": None, **stream(batches)}))
    assert str(caught.value) == "data.batches: batch 2 has inputs of shape [8, 2], expected [8, 3] as in batch 0"


def test_json_says_what_toml_says(tmp_path: Path) -> None:
    """Lost: a config from another program is judged by other rules."""
    (tmp_path / "c.json").write_text(json.dumps(changed({"optimizer.learning_rate": 0.0})))
    code, lines = command_line("compare", "c.json")
    assert code == 2 and lines == [
        "error: optimizer.learning_rate: expected a number above 0, found 0.0; give a positive rate such as 0.1"
    ]
