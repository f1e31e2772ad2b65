"""Compiled functions on disk: loaded the next time, dropped where damaged, unused where others could write them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepprinciples.engine import compile_cache

X = np.arange(6, dtype=np.float32)


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """An empty cache, and a list that grows with every compilation."""
    monkeypatch.setenv(compile_cache.SETTING, str(tmp_path / "cache"))
    seen: list[int] = []
    real = compile_cache._compile
    monkeypatch.setattr(compile_cache, "_compile", lambda *args: seen.append(1) or real(*args))
    return seen


def wave(x: Any) -> Any:
    return jnp.sin(x) + jnp.cumsum(x)


def run(function: Any = wave, **options: Any) -> np.ndarray:
    lowered = jax.jit(function).lower(jax.ShapeDtypeStruct(X.shape, X.dtype))
    made = compile_cache.compiled(lowered, lowered.as_text(), options, jax.devices()[:1])
    return np.asarray(made(X))


def entries() -> list[Path]:
    root = compile_cache.root()
    assert root is not None
    return sorted(path for path in root.rglob("*") if path.is_file())


def test_a_function_is_compiled_once_and_loaded_to_the_same_bits(compilations: list[int]) -> None:
    """The second run of a config would wait for the compiler again."""
    first = run()
    assert len(entries()) == 1
    assert run().tobytes() == first.tobytes()
    assert len(compilations) == 1
    run(lambda x: jnp.cos(x) + jnp.cumsum(x))
    run(xla_cpu_prefer_vector_width=256)
    assert len(compilations) == len(entries()) == 3, "another function, or other options, is another entry"


def test_arguments_that_are_not_read_are_arguments(compilations: list[int]) -> None:
    """Two programs that differ in a hyper-parameter that one function ignores would be taken for each other."""
    spec, count = jax.ShapeDtypeStruct(X.shape, X.dtype), jax.ShapeDtypeStruct((), jnp.int32)
    for function, args in ((lambda x, n: wave(x), (spec, count)), (lambda n, x: wave(x), (count, spec))):
        lowered = jax.jit(function).lower(*args)
        made = compile_cache.compiled(lowered, lowered.as_text(), {}, jax.devices()[:1])
        given = [X if one is spec else np.int32(1) for one in args]
        np.testing.assert_array_equal(made(*given), np.asarray(jax.jit(wave)(X)))


@pytest.mark.parametrize("place", [0, 40, -1, "short", "empty"])
def test_a_damaged_entry_is_compiled_anew(compilations: list[int], place: Any) -> None:
    """A flipped bit in machine code gives a wrong result in silence, or ends the process."""
    first = run()
    (entry,) = entries()
    content = bytearray(entry.read_bytes())
    if isinstance(place, int):
        content[place] ^= 1
    entry.write_bytes({"short": content[:-7], "empty": b""}.get(place, bytes(content)))
    assert run().tobytes() == first.tobytes()
    assert len(compilations) == 2
    assert run().tobytes() == first.tobytes()
    assert len(compilations) == 2, "what was compiled anew is kept"


def test_a_thousand_flipped_bits_are_a_thousand_dropped_entries(
    compilations: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """One bit that slips through would run as machine code."""
    run()
    (entry,) = entries()
    good = entry.read_bytes()
    rng = np.random.default_rng(0)
    for bit in rng.choice(8 * len(good), 1000, replace=False):
        content = bytearray(good)
        content[bit // 8] ^= 1 << (bit % 8)
        entry.write_bytes(content)
        assert compile_cache._read(entry) is None
        assert not entry.exists()
    assert len(caplog.messages) == 1000
    assert all(str(entry) in one and "\n" not in one for one in caplog.messages)
    entry.write_bytes(good)
    run()
    assert len(compilations) == 1


@pytest.mark.parametrize("where", ["folder", "name"])
def test_an_entry_from_elsewhere_is_compiled_anew(compilations: list[int], where: str) -> None:
    """Machine code that was made for another processor, or another function, would run here."""
    first = run()
    run(lambda x: x * 3 + 1)
    folder = entries()[0].parent
    if where == "folder":  # a cache that was copied: its folder is named by the machine
        copy = folder.with_name("jax-0.0.1-0123456789abcdef")
        folder.rename(copy)
        folder.mkdir(mode=0o700)
        for one in copy.iterdir():
            one.rename(folder / one.name)
            moved = (folder / one.name).read_bytes()
            elsewhere = compile_cache._checksum(copy / one.name, moved[32:])
            (folder / one.name).write_bytes(elsewhere + moved[32:])
    else:
        one, other = entries()
        content = one.read_bytes(), other.read_bytes()
        one.write_bytes(content[1]), other.write_bytes(content[0])
    assert run().tobytes() == first.tobytes()
    assert len(compilations) == 3


def test_a_note_is_read_as_it_was_written(compilations: list[int]) -> None:
    """What a run found out would be found out again, or a damaged note be believed."""
    devices = jax.devices()[:1]
    assert compile_cache.read_note("some key", devices) is None
    compile_cache.write_note("some key", devices, {"a": [1, 2.5, None]})
    assert compile_cache.read_note("some key", devices) == {"a": [1, 2.5, None]}
    assert compile_cache.read_note("another key", devices) is None
    (entry,) = entries()
    entry.write_bytes(entry.read_bytes().replace(b"2.5", b"3.5"))
    assert compile_cache.read_note("some key", devices) is None


def test_the_folder_is_the_users_alone_and_is_described(
    compilations: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others could read what a user trains; a full disk would have no explanation."""
    run()
    (entry,) = entries()
    assert entry.parent.stat().st_mode & 0o777 == 0o700
    said = compile_cache.described()
    assert str(compile_cache.root()) in said
    assert "1 entry" in said
    monkeypatch.setenv(compile_cache.SETTING, "off")
    assert "off" in compile_cache.described()


def test_a_folder_that_others_can_write_to_is_not_used(compilations: list[int]) -> None:
    """Whoever can write an entry runs code as the user."""
    run()
    entries()[0].parent.chmod(0o777)
    run()
    assert len(compilations) == 2


@pytest.mark.parametrize("setting", ["off", "OFF", "0"])
def test_the_cache_can_be_off(compilations: list[int], monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    """A user who measures compiling could not."""
    monkeypatch.setenv(compile_cache.SETTING, setting)
    assert compile_cache.root() is None
    run(), run()
    assert len(compilations) == 2


def test_a_folder_that_cannot_be_made_costs_nothing_but_time(
    compilations: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A read-only home would end every run."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(compile_cache.SETTING, str(tmp_path / "file" / "cache"))
    assert run().shape == X.shape


def test_a_function_that_calls_the_host_is_not_kept(compilations: list[int]) -> None:
    """Its entry would hold the address of a Python function of another process."""
    double = lambda x: jax.pure_callback(lambda a: 2 * a, jax.ShapeDtypeStruct(X.shape, X.dtype), x)
    np.testing.assert_array_equal(run(double), 2 * X)
    run(double)
    assert len(compilations) == 2
    assert entries() == []


def test_the_entries_that_were_not_used_for_longest_go(
    compilations: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder would grow for ever."""
    run()
    (old,) = entries()
    monkeypatch.setattr(compile_cache, "MOST_BYTES", old.stat().st_size + 100)
    elsewhere = old.parent.with_name("jax-0.0.1-0123456789abcdef") / ("0" * 64)  # of an earlier release
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(bytes(10))
    own = old.parent.parent / "notes.txt"
    own.write_text("a file of the user's")
    os.utime(elsewhere, (0, 0))
    run(lambda x: x + 1)
    left = entries()
    assert old not in left
    assert elsewhere not in left
    assert own in left
    assert len(left) == 2
