"""The luck of the search is in the verdict; `make science` does it at full size, here is one simulated A/A."""

from __future__ import annotations

import pytest
import search_luck
from search_luck import SURFACES, Protocol


def test_identical_arms_that_search_on_their_own_are_told_apart_at_most_six_times_in_a_hundred() -> None:
    """Lost: an honest verdict. One search draws a fragile setting, and its fresh seeds speak for the method."""
    found = search_luck.rates(SURFACES["fragile"], Protocol(), studies=150)
    assert found.claims <= 0.06
    assert found.coverage >= 0.93


@pytest.mark.parametrize("protocol", [Protocol(1, 8, 3, 30), Protocol(5, 8, 1, 6)])
def test_a_few_searches_make_no_claim_about_the_method(protocol: Protocol) -> None:
    """Lost: the warning. The same arms would be told apart in a quarter of all studies with one search."""
    found = search_luck.rates(SURFACES["fragile"], protocol, studies=60)
    assert found.claims == 0.0
    assert found.conditional > 0.06, "the surface has no luck to lose, and the test above shows nothing"


def test_a_real_gain_is_found() -> None:
    """Lost: all power, for the sake of no false claim."""
    found = search_luck.rates(SURFACES["no fragile region"], Protocol(), studies=40, gain=0.04)
    assert found.claims > 0.7  # 88 % of 400 studies in docs/science.md
