"""What holds of every log: quiet hours in the zones of the world, caps in every window, nobody written to against what is in the log."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.language.message_specs import Quiet
from streamer.messages.arms import EVERY_MESSAGE, decision_key, is_held_out, variant_of
from streamer.messages.decision import MessageDecision
from streamer.messages.quiet_hours import is_quiet, quiet_until
from streamer.units import HOUR_MS, MINUTE_MS
from streamer.values import parse_time_ms
from streamer.zones import find_zone, local
from tests.unit.messages.desk import decisions, definitions, event, ms

ZONES = (
    *("Europe/Berlin", "Europe/London", "Europe/Kyiv", "Europe/Chisinau", "Europe/Lisbon", "Atlantic/Azores", "Europe/Istanbul"),
    *("Africa/Cairo", "Africa/Casablanca", "Africa/El_Aaiun", "Africa/Lagos", "Asia/Beirut", "Asia/Jerusalem", "Asia/Gaza"),
    *("Asia/Tehran", "Asia/Kathmandu", "Asia/Kolkata", "Asia/Tokyo", "Australia/Sydney", "Australia/Adelaide", "Australia/Lord_Howe"),
    *("Pacific/Auckland", "Pacific/Chatham", "America/New_York", "America/St_Johns", "America/Havana", "America/Santiago"),
    *("America/Asuncion", "America/Los_Angeles", "Antarctica/Troll", "UTC"),
)
# Days on which clocks change somewhere, and one on which they do not
DAYS = ("2026-03-08", "2026-03-29", "2026-04-05", "2026-04-24", "2026-09-06", "2026-10-04", "2026-10-25", "2026-11-01", "2026-07-01")
minutes = st.integers(0, 1_439)


def minute_of(moment: int, zone: ZoneInfo) -> int:
    """The minute of the day on a wall."""
    wall = local(moment, zone)
    return wall.hour * 60 + wall.minute


def start_of(day: str) -> int:
    """The beginning of a day in UTC."""
    found = parse_time_ms(f"{day}T00:00:00Z")
    assert found is not None
    return found


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.sampled_from(ZONES), st.sampled_from(DAYS), st.integers(-12 * 60, 36 * 60), minutes, minutes)
def test_quiet_hours_end_when_the_wall_clock_shows_it_and_no_earlier(name: str, day: str, at: int, begin: int, end: int) -> None:
    """Looked at minute by minute: in no minute before it did the clock show the end, and at it nobody is woken."""
    zone, now = find_zone(name), start_of(day) + at * MINUTE_MS + 1
    assert zone is not None
    if begin == end:
        return
    quiet = Quiet(begin, end)
    until = quiet_until(quiet, now, zone)
    assert (until is None) is not is_quiet(quiet, minute_of(now, zone))
    if until is None:
        return
    between = range(now - now % MINUTE_MS + MINUTE_MS, until, MINUTE_MS)
    assert now < until <= now + 26 * HOUR_MS
    assert not any(minute_of(moment, zone) == end for moment in between)
    shown = minute_of(until, zone)
    skipped = local(until, zone).utcoffset() != local(until - 1, zone).utcoffset()
    assert shown == end or (skipped and not is_quiet(quiet, shown) and minute_of(until - 1, zone) < end)


def test_the_end_of_quiet_hours_that_the_clock_skips_or_shows_twice() -> None:
    """Berlin puts its clock from 2 to 3 on 29 March and from 3 back to 2 on 25 October."""
    berlin, quiet = ZoneInfo("Europe/Berlin"), Quiet(21 * 60, 2 * 60 + 30)
    assert quiet_until(quiet, start_of("2026-03-29"), berlin) == start_of("2026-03-29") + HOUR_MS, "2:30 is not: at the change"
    night = start_of("2026-10-25")
    assert quiet_until(quiet, night, berlin) == night + 30 * MINUTE_MS, "the first 2:30"
    assert quiet_until(quiet, night + 70 * MINUTE_MS, berlin) == night + 90 * MINUTE_MS, "it is 2:10 again, and soon 2:30"
    assert quiet_until(quiet, night + 40 * MINUTE_MS, berlin) is None


# Worked out by hashlib alone
HELD_OUT = [True, False, False, False, False, False, True, False, False, False, False, False]
VARIANTS = ["b", "a", "b", "b", "b", "a", "b", "a"]
KEY = "482d8fc7100842fb0ac7254f21d9c9a3"


class Shopping:
    """Orders and carts of three people over two days, as minutes and what they do."""

    steps = st.lists(
        st.tuples(st.integers(0, 2_880), st.sampled_from(("ada", "bob", "cem")), st.sampled_from(("Product Added", "Order Completed"))),
        min_size=1,
        max_size=40,
    )

    @staticmethod
    def events(steps: list[tuple[int, str, str]]) -> list[dict[str, Any]]:
        """In the order of time."""
        return [{**event("01T00:00", what, user=who), "timestamp": ms("01T00:00") + at * MINUTE_MS} for at, who, what in sorted(steps)]


RULES = definitions(
    """
  thanks: {for: x, on: entered("buyer"), channel: console, topic: offers, cap: [1 per 2h, 2 per 9h], holdout: 20%, delay: 10m}
  back: {for: x, on: left("buyer"), channel: console, topic: offers, cap: 2 per 1d, quiet: "01:00-06:00"}
  reminder:
    {for: x, on: entered("cart_left"), delay: 45m, channel: email, address: 'trait("none")', topic: offers}
  nudge:
    {for: x, on: entered("cart_left"), delay: 45m, channel: console, topic: offers, require: 'never("Order Completed", within="1h")'}
""",
    "channels: {console: {cap: 3 per 7h}}\nmessage_limits: {cap: 4 per 12h}",
)


def at_ms(one: MessageDecision) -> int:
    """The instant of a decision."""
    found = parse_time_ms(one.time)
    assert found is not None
    return found


@settings(max_examples=40, deadline=None, derandomize=True)
@given(Shopping.steps, st.sampled_from((1, 2, 7)))
def test_no_window_of_a_cap_ever_holds_more_and_no_cut_of_the_log_changes_a_decision(steps: list[tuple[int, str, str]], batch: int) -> None:
    """Counted anew from the decisions alone: of each message, of the channel, of all; and no nudge within an hour of an order."""
    events = Shopping.events(steps)
    found = decisions(RULES, events, "05T00:00")
    assert decisions(RULES, events, "05T00:00", batch=batch) == found
    limits: list[tuple[set[str], int, int]] = [({"thanks"}, 1, 2), ({"thanks"}, 2, 9), ({"back"}, 2, 24)]
    limits += [({"thanks", "back", "nudge"}, 3, 7), ({"thanks", "back", "nudge", "reminder"}, 4, 12)]
    for who in ("ada", "bob", "cem"):
        sent = [one for one in found if one.subject == who and (one.outcome == "send" or one.data.reason == "holdout")]
        for names, most, hours in limits:
            times = [at_ms(one) for one in sent if one.data.message in names]
            assert all(sum(end - hours * HOUR_MS < time <= end for time in times) <= most for end in times)
        orders = [one["timestamp"] for one in events if one["userId"] == who and one["event"] == "Order Completed"]
        for one in sent:
            assert one.data.message != "nudge" or not any(at_ms(one) - HOUR_MS < order < at_ms(one) for order in orders)
            assert one.data.message != "back" or not 1 <= int(one.time[11:13]) < 6
    assert {one.data.reason for one in found if one.data.message == "reminder"} <= {"no_address", "stay"}


def test_who_is_held_out_and_which_variant_somebody_gets_is_the_same_for_ever() -> None:
    """Figures of the first version: another hash would put everybody on another side in the middle of a comparison."""
    assert [is_held_out("offer", f"u-{number}", 2_000) for number in range(12)] == HELD_OUT
    assert [variant_of("offer", f"u-{number}", (("a", 1), ("b", 2))) for number in range(8)] == VARIANTS
    assert decision_key("offer", "u-1", 3).hex() == KEY
    everybody = [f"u-{number}" for number in range(5_000)]
    both = sum(is_held_out("offer", one, 2_000) and is_held_out(EVERY_MESSAGE, one, 2_000) for one in everybody)
    assert 150 <= both <= 250, "sides of two messages have nothing to do with each other"
    assert all(is_held_out("offer", one, 3_000) for one in everybody if is_held_out("offer", one, 2_000)), "a larger share only adds people"
