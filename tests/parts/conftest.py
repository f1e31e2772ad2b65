"""Stand-ins of the files of published sets."""

from __future__ import annotations

import gzip
import hashlib

import pytest

from deepprinciples.parts.fetched.published import SETS


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """Put the files of a set into a folder, and take their hashes for the published ones."""

    def write(name, **contents):
        files = []
        for file, key in zip(SETS[name].files, contents, strict=True):
            content = contents[key]
            (tmp_path / file.name).write_bytes(gzip.compress(content) if file.name.endswith(".gz") else content)
            files.append(file._replace(sha256=hashlib.sha256(content).hexdigest(), size=len(content)))
        monkeypatch.setitem(SETS, name, SETS[name]._replace(files=tuple(files)))
        return str(tmp_path)

    return write
