"""Who came and went, by day and by how soon."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import msgspec
import pytest

from streamer.previews.flows import DAYS_KEPT, Flows, Move, Moves, MovesAhead, days_until
from streamer.units import DAY_MS, HOUR_MS

pytestmark = pytest.mark.fast

UTC = ZoneInfo("UTC")
NOON_MS = 1_772_366_400_000  # 2026-03-01 12:00 UTC


def test_a_day_counts_customers_and_not_their_turns() -> None:
    """Somebody who goes in and out all day is one customer, so that an interval may be said of it."""
    flows = Flows(UTC)
    for minute in range(10):
        flows.take(Move("cart", "ann", NOON_MS + minute, minute % 2 == 0))
    flows.take(Move("cart", "bob", NOON_MS + 99, True))
    flows.take(Move("cart", "ann", NOON_MS + DAY_MS, True))
    assert dict(flows.by_day["2026-03-01"]) == {("cart", True): 2, ("cart", False): 1}
    assert dict(flows.by_day["2026-03-02"]) == {("cart", True): 1}


def test_days_are_those_of_the_shops_calendar() -> None:
    """In Tehran it is the next day three and a half hours earlier; and a day may have 23 hours."""
    flows = Flows(ZoneInfo("Asia/Tehran"))
    flows.take(Move("cart", "ann", NOON_MS + 9 * HOUR_MS, True))  # 00:30 there
    assert list(flows.by_day) == ["2026-03-02"]
    berlin = ZoneInfo("Europe/Berlin")
    spring = Flows(berlin)
    midnight_ms = 1_774_738_800_000  # 2026-03-29 00:00 in Berlin, a day of 23 hours
    spring.take(Move("cart", "ann", midnight_ms, True))
    spring.take(Move("cart", "bob", midnight_ms + 23 * HOUR_MS - 1, True))
    spring.take(Move("cart", "eve", midnight_ms + 23 * HOUR_MS, True))
    assert {day: sum(counts.values()) for day, counts in spring.by_day.items()} == {"2026-03-29": 2, "2026-03-30": 1}
    assert list(days_until(midnight_ms, 3, berlin)) == ["2026-03-27", "2026-03-28", "2026-03-29"]


def test_what_is_kept_of_days_is_bounded_and_no_moment_is_too_far() -> None:
    """A log of years, and a clock that says the year 9999."""
    flows = Flows(UTC)
    for day in range(DAYS_KEPT + 5):
        flows.take(Move("cart", "ann", NOON_MS + day * DAY_MS, True))
    assert len(flows.by_day) == DAYS_KEPT
    flows.take(Move("cart", "ann", 253_402_300_799_999, True))
    assert list(flows.by_day)[-1] == "9998-12-31"


def test_ahead_counts_each_customer_once_and_within_each_horizon() -> None:
    """Within a day are those within an hour, too; whoever leaves twice has left once."""
    ahead = MovesAhead(NOON_MS, (HOUR_MS, DAY_MS))
    for at_ms in (NOON_MS + HOUR_MS, NOON_MS + 2 * HOUR_MS):
        ahead.take(Move("cart", "ann", at_ms, False))
    ahead.take(Move("cart", "bob", NOON_MS + HOUR_MS + 1, False))
    assert dict(ahead.counts) == {(HOUR_MS, "cart", False): 1, (DAY_MS, "cart", False): 2}


def change(what: str, subject: str, **cause: str) -> bytes:
    """As much of a change as is read."""
    data = {"segment": "cart", "cause": cause}
    return msgspec.json.encode({"type": what, "subject": subject, "time": "2026-03-01T12:00:00.000Z", "data": data})


def test_a_login_moves_nobody_who_was_inside_before() -> None:
    """The visitor leaves and the user enters: one person, who has not moved. Who enters by what came in has."""
    moves = Moves()
    assert moves.read(change("segment.exited", "an-1", kind="merge", into="u-1")) is None
    assert moves.read(change("segment.entered", "u-1", kind="merge", **{"from": "an-1"})) is None
    assert moves.read(change("segment.entered", "u-1", kind="merge", **{"from": "an-1"})) == Move("cart", "u-1", NOON_MS, True)
    assert moves.read(change("segment.exited", "u-1", kind="timer")) == Move("cart", "u-1", NOON_MS, False)
