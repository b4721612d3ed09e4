"""One wild clock in a file does not rule the lines after it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.flow.replay import Arrival
from streamer.flow.wild_clocks import NEIGHBOURS, without_wild_clocks

DAY = 86_400_000
AHEAD = 366 * DAY
START = 1_772_359_200_000
WILD = START + 3_653 * DAY


def told(times: list[int], ahead_ms: int = AHEAD) -> tuple[list[int], list[int]]:
    """The numbers of the lines that are let through, and of those that are refused."""
    refused: list[int] = []
    lines = [Arrival(number, time, b"") for number, time in enumerate(times, 1)]
    kept = [arrival.line for arrival in without_wild_clocks(lines, ahead_ms, lambda arrival, _: refused.append(arrival.line))]
    return kept, refused


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_a_line_ten_years_ahead_is_refused_wherever_it_stands(place: int) -> None:
    """Also as the first and as the last, and as the last of a file that was sorted."""
    times = [START + number for number in range(3)]
    times.insert(place, WILD)
    kept, refused = told(times)
    assert refused == [place + 1]
    assert kept == [number for number in range(1, 5) if number != place + 1]


@pytest.mark.parametrize("length", [1, 5, NEIGHBOURS // 2])
def test_a_burst_of_one_broken_device_is_refused_whole(length: int) -> None:
    """It sends what it has kept, all of it ten years ahead."""
    times = [START] * 200 + [WILD + number for number in range(length)] + [START] * 200
    assert told(times)[1] == list(range(201, 201 + length))
    assert told(sorted(times))[1] == list(range(401, 401 + length))


def test_time_that_goes_on_is_let_through() -> None:
    """A shop that was closed for two years is open again, and its lines stay where they are."""
    assert told([START] * 300 + [START + 730 * DAY] * 300)[1] == []
    assert told([START, START + 730 * DAY])[1] == []


def test_a_line_within_what_is_allowed_is_let_through() -> None:
    """Up to the length itself; a file in no order at all is a matter of sorting."""
    assert told([START, START, START, START + AHEAD])[1] == []
    assert told([START, START, START, START + AHEAD + 1])[1] == [4]
    assert told([START, START, START, START + AHEAD + 1], AHEAD + 1)[1] == []


def test_what_is_late_is_not_this_functions_business() -> None:
    """A line from long ago moves no time."""
    assert told([START, 0, START, 1, START])[1] == []


def test_nothing_is_read_in_advance_where_time_is_calm() -> None:
    """A pipe is replayed as it flows."""
    lines = iter([Arrival(1, START, b""), Arrival(2, START + 1, b""), Arrival(3, START + 2, b"")])
    steady = without_wild_clocks(lines, 2 * START, lambda *_: None)
    assert next(steady).line == 1
    assert next(lines).line == 2


@given(st.lists(st.integers(0, 10_000), max_size=60), st.integers(1, 3_000))
def test_every_line_is_let_through_or_refused_and_order_is_kept(times: list[int], ahead_ms: int) -> None:
    """None is lost, none comes twice; and after them time makes no step that its neighbours do not bear out."""
    kept, refused = told(times, ahead_ms)
    assert sorted(kept + refused) == list(range(1, len(times) + 1))
    assert kept == sorted(kept)
