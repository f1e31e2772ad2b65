"""Lanes of networks that take long to compile: `make long` runs them, `make test` does not."""

from __future__ import annotations

from typing import Any

import pytest
from test_models_skips import SLOW
from test_models_skips import test_lanes_train_as_they_would_alone as run


@pytest.mark.parametrize(("name", "changes"), SLOW)
def test_slow_lanes_train_as_they_would_alone(name: str, changes: dict[str, Any]) -> None:
    """Many seeds in one program would not be the runs they stand for."""
    run(name, changes)
