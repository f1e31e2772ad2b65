"""The commands for published sets: quick, one line for every error, and nothing is fetched unasked."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from hashlib import sha256

import pytest
from typer.testing import CliRunner

from deepprinciples.cli.main import app
from deepprinciples.parts.fetched.published import SETS, File, Published


def command(*words: str):
    return CliRunner().invoke(app, ["data", *words])


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A set of one file, and a pip that packs it; gives the list of what pip was called with."""
    content = b"a set"
    file = File("x.bin", sha256(content).hexdigest(), len(content), "p/x.bin")
    monkeypatch.setitem(SETS, "tiny", Published("one file", "MIT", "nobody", (file,), "PyPI", "no-such-package", "1"))
    monkeypatch.setenv("DEEPPRINCIPLES_DATA", str(tmp_path))
    monkeypatch.delenv("DEEPPRINCIPLES_OFFLINE", raising=False)
    calls = []

    def run(words, **options):
        calls.append(words)
        with zipfile.ZipFile(options["cwd"] / "p.whl", "w") as packed:
            packed.writestr("p/x.bin", content)
        return subprocess.CompletedProcess(words, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    return calls


def test_a_set_is_listed_fetched_and_found(tiny, tmp_path):
    """Lost: the way to get a set before a machine goes offline."""
    assert "tiny: one file. 5 B, not here" in command("list").stdout
    missing = command("where", "tiny")
    assert missing.exit_code == 3 and missing.stderr.count("\n") == 1 and not tiny, "where fetches nothing"
    assert 'run "deepprinciples data fetch tiny"' in missing.stderr
    fetched = command("fetch", "tiny")
    assert fetched.exit_code == 0 and fetched.stdout.strip() == str(tmp_path / "tiny")
    assert fetched.stderr.startswith("fetching tiny (one file; 5 B to keep, license: MIT)")
    assert command("fetch", "tiny").stderr == "" and len(tiny) == 1
    assert command("where", "tiny").stdout == fetched.stdout
    assert "tiny: one file. 5 B, here" in command("list").stdout


def test_every_set_is_listed_with_its_license():
    """Lost: a set that nobody finds, or that is used as its authors do not allow."""
    said = command("list").stdout
    for name, one in SETS.items():
        assert f"{name}: {one.what}" in said and one.license in said and one.source in said


def test_an_unknown_set_is_answered_with_the_nearest():
    """Lost: a user's time."""
    said = command("fetch", "nucle")
    assert said.exit_code == 2
    assert said.stderr.startswith(
        'error: data: no set "nucle"; did you mean "nuclei"? (sets that are fetched: brain_tissue, brown'
    )


def test_listing_imports_no_jax():
    """Lost: the answer waits for JAX."""
    code = """
import sys
from deepprinciples.cli.main import app
try:
    app(["data", "list"])
except SystemExit as end:
    print(end.code, [name for name in ("jax", "numpy", "flax", "matplotlib") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.endswith("0 []\n"), done
