"""The script of style transfer: picture in, picture out, and one line for each mistake."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image
from test_experiments import script

from deepprinciples.errors import ConfigError, DataError

TOY = ("size=32", "feature_steps=4")


@pytest.fixture(autouse=True)
def _quick_to_compile() -> Iterator[None]:
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def losses(printed: str, start: str) -> list[float]:
    """Read the total losses in the lines that start so."""
    found = [line for line in printed.splitlines() if line.strip().startswith(start)]
    return [float(re.findall(r"(?:total|loss) ([0-9.]+)", line)[0]) for line in found]


@pytest.mark.parametrize(("change", "said"), [
    ("size=8", "size: expected a whole number of at least 32 and at most 640, found 8"),
    ("size=big", 'size: expected a whole number, found the string "big"'),
    ("size=²", "size: expected a TOML value"),
    ("steps=0", "steps: expected a whole number of at least 1 and at most 10000, found 0"),
    ("steps=1e2", "steps: expected a whole number, found 100.0"),
    ("way=fast", 'way: expected one of "optimize", "feed_forward", found the string "fast"'),
    ("sytle=a.png", 'did you mean "style"?'),
    ("a.png", 'expected NAME=VALUE'),
    ("content=", "content: found nothing after =, expected a value; leave content out for the default"),
    ("out=a.jpg", 'expected a name that ends in .png'),
    ("out=missing/a.png", "missing is no folder that can be written to"),
    ("out=taken.png", "taken.png is there already and is never overwritten"),
])  # fmt: skip
def test_a_wrong_option_is_told_before_anything_runs(
    change: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else minutes are spent before a typing error is told, or a file is lost."""
    monkeypatch.chdir(tmp_path)
    Path("taken.png").write_bytes(b"mine")
    with pytest.raises(ConfigError) as error:
        script("style_transfer").main(change)
    assert said in str(error.value) and "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["taken.png"] and Path("taken.png").read_bytes() == b"mine"


def test_all_wrong_options_are_told_at_once() -> None:
    """Else a user mends one typing error after the other."""
    with pytest.raises(ConfigError) as error:
        script("style_transfer").main("size=8", "way=fast", "out=a.jpg")
    assert len(error.value.problems) == 3


def bad(kind: str, folder: Path) -> Path:
    """Make a file that is no picture, or none that can be used."""
    path = folder / f"{kind}.png"
    if kind == "text":
        path.write_text("no picture")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "narrow":
        Image.new("RGB", (100, 10)).save(path)
    elif kind == "deep":
        Image.fromarray(np.zeros((40, 40), np.uint16)).save(path)
    elif kind == "huge":
        Image.new("1", (2**14, 2**13)).save(path)
    elif kind == "torn":
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(path)
        path.write_bytes(path.read_bytes()[:3000])
    elif kind == "folder":
        path.mkdir()
    return path


@pytest.mark.parametrize(("kind", "said"), [
    ("missing", "no such file"), ("text", "not a picture"), ("empty", "not a picture"), ("folder", "cannot be read"),
    ("narrow", "expected both sides of at least 16"), ("deep", "8 bits a channel"), ("huge", "expected at most"),
    ("torn", "cannot be read"),
])  # fmt: skip
@pytest.mark.parametrize("which", ["content", "style"])
def test_a_bad_picture_is_told_in_one_line(which: str, kind: str, said: str, tmp_path: Path) -> None:
    """Else a user meets a traceback, or a machine without memory."""
    path = bad(kind, tmp_path)
    with pytest.raises(DataError) as error:
        script("style_transfer").main(*TOY, f"{which}={path}", f"out={tmp_path / 'out.png'}")
    assert str(error.value).startswith(f"{which}: {path}: ") and said in str(error.value)
    assert "\n" not in str(error.value) and not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(("change", "code"), [("size=8", 2), ("content=missing.png", 3)])
def test_the_exit_code_and_no_traceback(change: str, code: int, tmp_path: Path) -> None:
    """Else a shell script takes a failure for a picture."""
    path = Path(__file__).parents[2] / "experiments" / "style_transfer.py"
    done = subprocess.run([sys.executable, path, change], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (
        done.returncode == code
        and len(done.stderr.splitlines()) == 1
        and done.stderr.startswith(f"error: {change[:4]}")
    )
    assert done.stdout == "" and list(tmp_path.iterdir()) == []
