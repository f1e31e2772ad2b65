"""How hard the promises are tried, and the account of it.

`make test` tries them in their short form. `make torture` sets TORTURE to the path of a file, tries the long form, and
every test enters what it did there; `account.py` makes docs/reliability.md of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator

import pytest

from deepprinciples.report.figures import plots

TORTURE = os.environ.get("TORTURE", "")


@pytest.fixture(scope="module", autouse=True)
def _no_figures(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave out the files of figures: only one file here is about them."""
    with pytest.MonkeyPatch.context() as patch:
        if request.module.__name__ != "test_places":
            patch.setattr(plots, "save_all", lambda *given: [])
        yield


@pytest.fixture(scope="session")
def often() -> Callable[[int, int], int]:
    """Choose between how often something is tried in the short form and in the long one."""
    return lambda short, long: long if TORTURE else short


@pytest.fixture(scope="session")
def account() -> Callable[..., None]:
    """Enter what was done for a promise and what came of it: account("P7", flips=10000, silent=0)."""

    def enter(promise: str, **figures: float | str) -> None:
        if TORTURE:
            with open(TORTURE, "a", encoding="utf-8") as file:  # one short line a call: processes do not mix theirs
                file.write(json.dumps({"promise": promise, "figures": figures}) + "\n")

    return enter
