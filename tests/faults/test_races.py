"""P14: of two runs that want one directory exactly one gets it, and the other leaves nothing there."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import racing
import small

from deepprinciples.runs import directory

pytest.importorskip("fcntl", reason="two processes in one directory are the user's to avoid on Windows")
LEAD = 0.01  # seconds from the order to the start


@pytest.fixture
def runners() -> Iterator[list[subprocess.Popen[str]]]:
    """Two processes that race when they are told to."""
    command = [sys.executable, racing.__file__]
    found = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        assert [answer(one) for one in found] == ["ready", "ready"]
        yield found
    finally:
        for one in found:
            one.kill()
            one.communicate()


def answer(runner: subprocess.Popen[str]) -> str:
    """Read a line."""
    assert runner.stdout is not None
    return runner.stdout.readline().strip()


def race(runners: list[subprocess.Popen[str]], word: str, path: Path) -> list[str]:
    """Let both start at one moment; give what they say, the winner first."""
    moment = time.monotonic() + LEAD
    for runner in runners:
        assert runner.stdin is not None
        runner.stdin.write(f"{word} {path} {moment}\n")
        runner.stdin.flush()
    return sorted(map(answer, runners), reverse=True)


@pytest.mark.parametrize("word", ["create", "hold"])
def test_of_two_processes_one_wins_and_the_other_leaves_no_bytes(
    word: str, tmp_path: Path, runners: list[subprocess.Popen[str]], often: Any, account: Any
) -> None:
    """Two jobs that were started twice by mistake would write one result between them."""
    races, winners = often(20, 100), set()
    for number in range(races):
        path = tmp_path / str(number)
        before = set() if word == "create" else {one.name for one in small.finished(path).iterdir()}
        won, lost = race(runners, word, path)
        winner = won.removeprefix("won ")
        assert won.startswith("won ") and lost.startswith("lost "), (won, lost)
        assert {one.name for one in path.iterdir()} - before == {f"bytes of {winner}"} | {".deepprinciples"} - before
        assert f"process {winner} on" in (path / ".deepprinciples").read_text()
        winners.add(winner)
    account("P14", of=f"two processes, {word}", races=races, exactly_one_won=races, winners=len(winners))


def test_of_two_threads_one_wins(tmp_path: Path, often: Any, account: Any) -> None:
    """Two studies in one notebook would mix their files."""
    races, barrier = often(20, 100), threading.Barrier(2)
    for number in range(races):
        path = directory.create(tmp_path / str(number), "x")
        with ThreadPoolExecutor(2) as pool, contextlib.ExitStack() as first, contextlib.ExitStack() as second:

            def run(holding: contextlib.ExitStack, path: Path = path) -> str:
                barrier.wait(timeout=10)
                return racing.attempt("hold", path, holding)

            words = sorted(found.split()[0] for found in pool.map(run, [first, second]))
        assert words == ["lost", "won"]
    account("P14", of="two threads, hold", races=races, exactly_one_won=races)


def test_who_holds_a_directory_is_told_in_printable_words(tmp_path: Path) -> None:
    """The name of a stranger's process could clear the screen of who is refused."""
    path = directory.create(tmp_path / "run", "x")
    with contextlib.ExitStack() as holding:
        assert racing.attempt("hold", path, holding).startswith("won")
        (path / ".deepprinciples").write_bytes(b"A run directory of deepprinciples.\n\x1b[2J\xff\n")
        assert "is in use by another process" in racing.attempt("hold", path, contextlib.ExitStack())
