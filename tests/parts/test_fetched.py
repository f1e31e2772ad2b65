"""Sets fetched by name: every place that is looked at, what comes out of an archive, and what is never kept."""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import os
import random
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from deepprinciples.errors import DataError
from deepprinciples.parts.fetched import fetching
from deepprinciples.parts.fetched.published import SETS, File, Published

CONTENTS = {"a.bin": b"first" * 50, "b.bin": b"second"}


def refusal(call, *args, **kwargs) -> str:
    """Give the message of the error, which has to be one line."""
    with pytest.raises(DataError) as caught:
        call(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 1000, message
    return message


def tiny(origin: str = "PyPI", **changes) -> Published:
    files = tuple(
        File(name, hashlib.sha256(content).hexdigest(), len(content), f"pack/data/{name}")
        for name, content in CONTENTS.items()
    )
    made = Published("two files", "MIT", "nobody", files, origin, "no-such-package-here", "1.2")  # type: ignore[arg-type]
    return made._replace(**changes)


def wheel(path: Path, contents: dict[str, bytes] = CONTENTS) -> None:
    """Write an archive with the files of a set, and others beside them."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("pack/__init__.py", "raise SystemExit('imported')")
        for name, content in contents.items():
            packed.writestr(f"pack/data/{name}", content)


def tarball(path: Path, contents: dict[str, bytes] = CONTENTS) -> None:
    """The same as npm and source archives pack it."""
    with tarfile.open(path, "w:gz") as packed:
        for name, content in contents.items():
            info = tarfile.TarInfo(f"pack/data/{name}")
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """A cache directory, a set `tiny`, and a stand-in for the clients that writes what `calls.write` says."""
    monkeypatch.setenv("DEEPPRINCIPLES_DATA", str(tmp_path / "cache"))
    monkeypatch.delenv("DEEPPRINCIPLES_OFFLINE", raising=False)
    monkeypatch.setitem(SETS, "tiny", tiny())

    class Calls(list):
        write = staticmethod(lambda folder: wheel(folder / "pack-1.2-py3-none-any.whl"))

    made = Calls()

    def run(command, **options):
        assert isinstance(command, list) and not options.get("shell")
        made.append((command, Path(options["cwd"])))
        said = made.write(Path(options["cwd"]))
        return subprocess.CompletedProcess(command, 1 if said else 0, "", said or "")

    monkeypatch.setattr(subprocess, "run", run)
    return made


def test_a_wheel_is_fetched_once_and_thrown_away(calls, tmp_path, capsys):
    """Lost: a set by its name; or an archive, or an import of the package, stays behind."""
    for _ in range(2):
        folder = fetching.get("tiny")
        assert folder == tmp_path / "cache" / "tiny"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENTS
    assert len(calls) == 1, "the second call reads the cache"
    command, where = calls[0]
    assert command[:4] == [sys.executable, "-m", "pip", "download"] and "no-such-package-here==1.2" in command
    assert {"--no-deps", "--only-binary"} <= set(command)
    assert not where.exists() and "pack" not in sys.modules
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert all(word in said.err for word in ("tiny", "256 B", "MIT", "no-such-package-here 1.2 of PyPI")), said.err


def test_a_source_archive_is_opened_by_pip_only_with_its_hash(calls, monkeypatch):
    """Lost: pip runs the setup of a source archive that somebody exchanged."""
    monkeypatch.setitem(SETS, "tiny", tiny(sdist="ab" * 32))
    written = []

    def write(folder):
        written.append((folder / "wanted.txt").read_text())
        tarball(folder / "pack-1.2.tar.gz")

    calls.write = write
    fetching.get("tiny")
    assert written == [f"no-such-package-here==1.2 --hash=sha256:{'ab' * 32}\n"]
    assert "--require-hashes" in calls[0][0] and "--only-binary" not in calls[0][0]


@pytest.mark.parametrize("client", [True, False])
def test_an_npm_package_comes_by_npm_or_from_its_address(calls, monkeypatch, client):
    """Lost: a set of npm without npm, or a script of a package that runs while it is packed."""
    monkeypatch.setitem(SETS, "tiny", tiny("npm"))
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}" if client else None)
    asked = []

    def download(address, file, _):
        asked.append(address)
        tarball(Path(file))

    monkeypatch.setattr("pooch.HTTPDownloader", lambda timeout: download)
    calls.write = lambda folder: tarball(folder / "pack-1.2.tgz")
    assert fetching.get("tiny").is_dir()
    if client:
        assert calls[0][0][0] == "/bin/npm" and "--ignore-scripts" in calls[0][0] and not asked
    else:
        assert asked == ["https://registry.npmjs.org/no-such-package-here/-/no-such-package-here-1.2.tgz"]


def deb(path: Path, contents: dict[str, bytes] = CONTENTS) -> None:
    """Write a Debian package: an `ar` archive whose last member is a data.tar.xz of names that begin with "./"."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as tar:
        for name, content in contents.items():
            info = tarfile.TarInfo(f"./pack/data/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    members = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz/": packed.getvalue()}
    file = b"!<arch>\n"
    for name, content in members.items():
        file += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode() + content
        file += b"\n" * (len(content) % 2)
    path.write_bytes(file)


def torn(path: Path) -> None:
    """The same with bytes that changed far inside, which shows only while it is read."""
    deb(path, {"z.bin": random.Random(0).randbytes(10**6), **CONTENTS})
    content = bytearray(path.read_bytes())
    content[700_000:900_000] = b"\x7f" * 200_000
    path.write_bytes(content)


def debian() -> Published:
    made = tiny("Debian")
    return made._replace(files=tuple(file._replace(member=f"./{file.member}") for file in made.files))


@pytest.mark.parametrize("client", ["has it", "has another", "none"])
def test_a_debian_package_comes_by_apt_or_from_its_address(calls, monkeypatch, client):
    """Lost: a set of Debian on another release or another system; or a package is installed."""
    monkeypatch.setitem(SETS, "tiny", debian())
    monkeypatch.setattr("shutil.which", lambda name: None if client == "none" else f"/bin/{name}")
    asked = []

    def download(address, file, _):
        asked.append(address)
        deb(Path(file))

    monkeypatch.setattr("pooch.HTTPDownloader", lambda timeout: download)
    calls.write = lambda folder: deb(folder / "pack.deb") if client == "has it" else "E: Version '1.2' was not found"
    folder = fetching.get("tiny")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENTS
    if client != "none":
        assert calls[0][0] == ["/bin/apt-get", "download", "--quiet", "no-such-package-here=1.2"]
    if client != "has it":
        assert asked == [
            "https://deb.debian.org/debian/pool/main/n/no-such-package-here/no-such-package-here_1.2_all.deb"
        ]


@pytest.mark.parametrize(("write", "message"), [
    (lambda f: (f / "p.deb").write_bytes(b"no package"), "p.deb: is no Debian package"),
    (lambda f: (f / "p.deb").write_bytes(b"!<arch>\n" + b" " * 60), "p.deb: has no data.tar"),
    (lambda f: (f / "p.deb").write_bytes(b"!<arch>\n" + f"{'data.tar.xz':<48}4         `\nnone".encode()),
     "data.tar.xz:"),
    (lambda f: torn(f / "p.deb"), "data.tar.xz: Corrupt input data"),
    (lambda f: deb(f / "p.deb", {"a.bin": b"other", "b.bin": b"second"}), "SHA-256"),
])  # fmt: skip
def test_a_damaged_debian_package_is_one_line(calls, monkeypatch, tmp_path, write, message):
    """Lost: a traceback, or half a package in the cache."""
    monkeypatch.setitem(SETS, "tiny", debian())
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    calls.write = lambda folder: write(folder) and None
    assert message in refusal(fetching.get, "tiny")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("pack", [wheel, tarball])
def test_members_of_a_pattern_are_joined_in_the_order_of_their_names(calls, monkeypatch, pack):
    """Lost: a corpus of hundreds of files; or its texts in another order, and another split."""
    joined = b"#a.bin\n" + CONTENTS["a.bin"] + b"#b.bin\n" + CONTENTS["b.bin"]
    file = File("all.bin", hashlib.sha256(joined).hexdigest(), len(joined), "pack/data/[a-z].bin")
    monkeypatch.setitem(SETS, "tiny", tiny(files=(file,)))
    contents = {"other.bin": b"left out", "b.bin": CONTENTS["b.bin"], "a.bin": CONTENTS["a.bin"]}
    calls.write = lambda folder: pack(folder / ("p.whl" if pack is wheel else "p.tgz"), contents)
    assert (fetching.get("tiny") / "all.bin").read_bytes() == joined


def test_debian_packages_are_kept_as_they_come(calls, monkeypatch):
    """Lost: a set of Debian; or a package that somebody exchanged, or that is unpacked or installed."""
    kept = tuple(file._replace(name=f"{file.name}.deb") for file in tiny("Debian").files)
    monkeypatch.setitem(SETS, "tiny", tiny("Debian")._replace(files=kept))
    contents = {f"{name}.deb": content for name, content in CONTENTS.items()}
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    calls.write = lambda folder: [(folder / name).write_bytes(content) for name, content in contents.items()] and None
    folder = fetching.get("tiny")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == contents
    assert calls[0][0] == ["/bin/apt-get", "download", "--quiet", "pack/data/a.bin=1.2", "pack/data/b.bin=1.2"]
    (folder / "b.bin.deb").unlink()
    calls.write = lambda folder: [(folder / name).write_bytes(b"other") for name in contents] and None
    assert "a.bin.deb of no-such-package-here 1.2 of Debian: the content has" in refusal(fetching.get, "tiny")
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert "did not give it (there is no apt-get here)" in refusal(fetching.get, "tiny")


def damaged(folder: Path) -> None:
    (folder / "pack-1.2.whl").write_bytes(b"no zip")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (
            lambda f: wheel(f / "p.whl", CONTENTS | {"b.bin": b"other"}),
            "b.bin of no-such-package-here 1.2 of PyPI:",
        ),
        (lambda f: wheel(f / "p.whl", CONTENTS | {"b.bin": b"second" * 10**6}), "SHA-256"),
        (lambda f: wheel(f / "p.whl", {"a.bin": CONTENTS["a.bin"]}), "There is no item named 'pack/data/b.bin'"),
        (lambda f: tarball(f / "p.tgz", {"a.bin": CONTENTS["a.bin"]}), "pack/data/b.bin"),
        (lambda f: None, "0 archives came, expected one"),
        (damaged, "pack-1.2.whl: File is not a zip file"),
        (lambda f: "WARNING: old\nERROR: No matching distribution\n", "(ERROR: No matching distribution)"),
    ],
)
def test_what_is_not_the_published_set_is_one_line_and_never_kept(calls, tmp_path, write, message):
    """Lost: a login page, an exchanged package or half a set in the cache, which every later run would read."""
    calls.write = write
    assert message in refusal(fetching.get, "tiny")
    assert not (tmp_path / "cache").exists()


def test_a_member_that_grows_is_not_read_to_its_end(calls):
    """Lost: a small archive fills the memory."""

    def write(folder):
        wheel(folder / "p.whl", CONTENTS | {"b.bin": bytes(2 * 10**7)})
        tracemalloc.start()

    calls.write = write
    assert "SHA-256" in refusal(fetching.get, "tiny")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2 * 10**6


def test_a_client_that_is_missing_or_waits_forever_is_one_line(calls):
    """Lost: a traceback where pip is not installed, or the network hangs."""

    def write(folder):
        raise subprocess.TimeoutExpired(["pip"], 3)

    calls.write = write
    assert "timed out" in refusal(fetching.get, "tiny")

    def missing(folder):
        raise FileNotFoundError(2, "No such file", "python")

    calls.write = missing
    assert "No such file" in refusal(fetching.get, "tiny")


def test_offline_never_tries(calls, tmp_path, monkeypatch):
    """Lost: a machine without a network waits, or a study on a closed machine calls out."""
    for value in ("1", "true"):
        monkeypatch.setenv("DEEPPRINCIPLES_OFFLINE", value)
        message = refusal(fetching.get, "tiny")
        for part in (
            f"data.tiny: the set was not found in {tmp_path / 'cache' / 'tiny'} or an installed no-such-package-here",
            "DEEPPRINCIPLES_OFFLINE",
            "put a.bin, b.bin into",
            "data.path",
            "install no-such-package-here==1.2",
            "deepprinciples data fetch tiny",
        ):
            assert part in message
    assert "OFFLINE" not in refusal(fetching.get, "tiny", download=False) and not calls
    monkeypatch.setenv("DEEPPRINCIPLES_OFFLINE", "0")
    assert fetching.get("tiny").is_dir() and len(calls) == 1


def test_a_path_goes_before_all_and_is_checked(calls, tmp_path):
    """Lost: results on a set that is not the published one, under its name."""
    given = tmp_path / "given"
    message = refusal(fetching.get, "tiny", path=str(given))
    assert f"not found in {given};" in message and not calls
    given.mkdir()
    for name, content in CONTENTS.items():
        (given / name).write_bytes(content)
    assert fetching.get("tiny", path=str(given)) == given
    (given / "b.bin").write_bytes(b"Second")
    assert f"{given / 'b.bin'}: the content has SHA-256" in refusal(fetching.get, "tiny", path=str(given))


def test_an_installed_package_is_read_and_not_imported(calls, tmp_path, monkeypatch):
    """Lost: a set that is on the machine already, or the import of the package."""
    home = tmp_path / "site"
    (home / "pack" / "data").mkdir(parents=True)
    for name, content in CONTENTS.items():
        (home / "pack" / "data" / name).write_bytes(content)

    class Distribution:
        def locate_file(self, path):
            return home / path

    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Distribution())
    assert fetching.get("tiny") == home / "pack" / "data" and not calls
    (home / "pack" / "data" / "a.bin").write_bytes(b"of another version")
    assert fetching.get("tiny") == tmp_path / "cache" / "tiny" and len(calls) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written_is_one_line(calls, tmp_path):
    """Lost: a traceback on a machine with a full or read-only home."""
    (tmp_path / "cache").mkdir(mode=0o500)
    assert "set DEEPPRINCIPLES_DATA" in refusal(fetching.get, "tiny")


def test_a_file_where_the_cache_should_be_is_one_line(calls, tmp_path):
    """Lost: the same where a file has the name of the folder."""
    (tmp_path / "cache").write_text("")
    assert "set DEEPPRINCIPLES_DATA" in refusal(fetching.get, "tiny")


def test_the_table_is_complete():
    """Lost: a set without a license, or one that any content would pass for."""
    for name, one in SETS.items():
        assert name.isidentifier() and one.what and one.license and one.source, name
        assert one.files and len({file.name for file in one.files}) == len(one.files), name
        assert bool(one.version) == (one.origin != "address"), name
        for file in one.files:
            assert len(file.sha256) == 64 and set(file.sha256) <= set("0123456789abcdef"), name
            assert file.size > 0 and bool(file.member) == (one.origin != "address"), name
            assert "/" not in file.name, name
