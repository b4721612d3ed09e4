"""Lengths of time as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.language.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("0s", 0),
        ("1ms", 1),
        ("90s", 90_000),
        ("30m", 1_800_000),
        ("1h30m", 5_400_000),
        ("7d", 604_800_000),
        ("2w", 1_209_600_000),
        ("1m1ms", 60_001),
    ],
)
def test_a_duration_is_the_sum_of_its_parts(text: str, ms: int) -> None:
    """Units from a millisecond to a week."""
    assert parse_duration(text) == ms


@pytest.mark.parametrize(
    "text", ["", "30", "m", "30 m", " 30m", "30m ", "-1h", "+1h", "1.5h", "1y", "1M", "1H", "١h", "1h\n", "P1D", "1" * 13 + "s", "1h,2m"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    """A month is not a length of time, and a number without a unit is a guess."""
    with pytest.raises(ValueError, match="expected a duration such as '30m'"):
        parse_duration(text)


@given(st.integers(0, 10**15))
def test_a_duration_prints_back_exactly(ms: int) -> None:
    """Texts of conditions are compared, so a length has one text."""
    assert parse_duration(format_duration(ms)) == ms
