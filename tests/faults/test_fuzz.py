"""P8: whatever a file holds, it is read or refused in one line, in a second and in little memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="measures memory as Linux tells it")
@pytest.mark.parametrize(
    ("family", "short", "long"), [("files", 3000, 100_000), ("configs", 500, 10_000), ("texts", 1000, 20_000)]
)
def test_spoiled_files_are_read_or_refused(
    tmp_path: Path, family: str, short: int, long: int, often: Any, account: Any
) -> None:
    """A file that broke on its way, or that someone made to break us, would end in a traceback or eat the machine."""
    count = often(short, long)
    told = subprocess.run(
        [sys.executable, str(HERE / "fuzzing.py"), str(tmp_path), family, str(count)],
        capture_output=True, text=True, check=False, timeout=900,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert told.returncode == 0, told.stderr[-2000:]
    found = json.loads(told.stdout)
    account("P8", of=family, tracebacks=0, **found)
    assert found["files"] == count
    assert found["peak_mib"] <= 64.1 and found["slowest_s"] <= 1.0, found
    assert found["read"] > count / 50 and found["refused"] > count / 3, "nothing was tried but one of the two paths"
