"""Days, weeks, months and ages in zones whose clocks jump."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import pytest

from streamer.language import calendar
from streamer.language.calendar import (
    PERIOD_MS_MAX,
    age_years,
    calendar_date,
    clock_value,
    current_period,
    is_birthday,
    next_anniversary_ms,
    next_birthday_ms,
    next_flip,
)
from streamer.values import parse_time_ms, time_text
from streamer.zones import find_zone, midnight_ms

BERLIN, NEW_YORK, LORD_HOWE = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York"), ZoneInfo("Australia/Lord_Howe")
UTC = ZoneInfo("UTC")
HOUR_MS = 3_600_000


def ms(text: str) -> int:
    found = parse_time_ms(text)
    assert found is not None, text
    return found


# zone, a moment, the period, its first moment, the first of the next
PERIODS = [
    (BERLIN, "2026-03-29T12:00:00Z", "day", "2026-03-28T23:00:00.000Z", "2026-03-29T22:00:00.000Z"),  # 23 hours
    (BERLIN, "2026-10-25T12:00:00Z", "day", "2026-10-24T22:00:00.000Z", "2026-10-25T23:00:00.000Z"),  # 25 hours
    (BERLIN, "2026-03-29T12:00:00Z", "week", "2026-03-22T23:00:00.000Z", "2026-03-29T22:00:00.000Z"),
    (BERLIN, "2026-03-30T12:00:00Z", "month", "2026-02-28T23:00:00.000Z", "2026-03-31T22:00:00.000Z"),
    (BERLIN, "2026-07-01T00:00:00Z", "year", "2025-12-31T23:00:00.000Z", "2026-12-31T23:00:00.000Z"),
    (NEW_YORK, "2026-03-08T20:00:00Z", "day", "2026-03-08T05:00:00.000Z", "2026-03-09T04:00:00.000Z"),
    (NEW_YORK, "2026-11-01T20:00:00Z", "day", "2026-11-01T04:00:00.000Z", "2026-11-02T05:00:00.000Z"),
    (NEW_YORK, "2026-03-01T04:59:59.999Z", "month", "2026-02-01T05:00:00.000Z", "2026-03-01T05:00:00.000Z"),
    (LORD_HOWE, "2026-04-04T20:00:00Z", "day", "2026-04-04T13:00:00.000Z", "2026-04-05T13:30:00.000Z"),  # half an hour longer
    (LORD_HOWE, "2026-10-03T20:00:00Z", "day", "2026-10-03T13:30:00.000Z", "2026-10-04T13:00:00.000Z"),  # half an hour shorter
    (UTC, "2028-02-29T23:59:59.999Z", "day", "2028-02-29T00:00:00.000Z", "2028-03-01T00:00:00.000Z"),
    (UTC, "2028-02-29T00:00:00Z", "month", "2028-02-01T00:00:00.000Z", "2028-03-01T00:00:00.000Z"),
    (UTC, "2026-01-01T00:00:00Z", "week", "2025-12-29T00:00:00.000Z", "2026-01-05T00:00:00.000Z"),  # a week over two years
    (ZoneInfo("America/Santiago"), "2026-09-06T12:00:00Z", "day", "2026-09-06T04:00:00.000Z", "2026-09-07T03:00:00.000Z"),  # no midnight
    (
        ZoneInfo("Pacific/Apia"),
        "2011-12-30T09:59:59Z",
        "day",
        "2011-12-29T10:00:00.000Z",
        "2011-12-30T10:00:00.000Z",
    ),  # 30 December was left out
]


@pytest.mark.parametrize(("zone", "now", "period", "start", "end"), PERIODS)
def test_a_period_begins_and_ends_at_local_midnight(zone: ZoneInfo, now: str, period: calendar.Period, start: str, end: str) -> None:
    """Today is 23, 24 or 25 hours long, and on Lord Howe Island something between."""
    assert [time_text(moment) for moment in current_period(ms(now), zone, period)] == [start, end]


@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK, LORD_HOWE, ZoneInfo("Asia/Kathmandu"), ZoneInfo("America/Santiago")])
@pytest.mark.parametrize("period", ["day", "week", "month", "year"])
def test_periods_follow_each_other_without_gap_or_overlap(zone: ZoneInfo, period: calendar.Period) -> None:
    """Every moment of two years lies in the period that it is asked for, and none is longer than the memory for it."""
    now, end = ms("2026-01-01T00:00:00Z"), ms("2028-01-01T00:00:00Z")
    while now < end:
        first, following = current_period(now, zone, period)
        assert first <= now < following
        assert current_period(following - 1, zone, period) == (first, following)
        assert current_period(following, zone, period)[0] == following
        assert following - first <= PERIOD_MS_MAX[period]
        now = following


READINGS = [
    (BERLIN, "2026-03-29T00:59:59.999Z", "hour", 1),
    (BERLIN, "2026-03-29T01:00:00Z", "hour", 3),  # two o'clock does not exist
    (BERLIN, "2026-10-25T00:30:00Z", "hour", 2),
    (BERLIN, "2026-10-25T01:30:00Z", "hour", 2),  # and exists twice
    (NEW_YORK, "2026-03-08T06:59:59Z", "hour", 1),
    (NEW_YORK, "2026-03-08T07:00:00Z", "hour", 3),
    (LORD_HOWE, "2026-04-04T14:59:59Z", "hour", 1),
    (LORD_HOWE, "2026-04-04T15:00:00Z", "hour", 1),  # 1:30 again
    (LORD_HOWE, "2026-10-03T15:30:00Z", "hour", 2),  # from 2:00 to 2:30
    (BERLIN, "2026-12-31T23:00:00Z", "weekday", "fri"),
    (BERLIN, "2026-12-31T22:59:59Z", "weekday", "thu"),
    (BERLIN, "2026-12-31T23:00:00Z", "day", 1),
    (BERLIN, "2026-12-31T23:00:00Z", "month", 1),
    (NEW_YORK, "2026-12-31T23:00:00Z", "month", 12),
    (UTC, "2028-02-29T12:00:00Z", "day", 29),
]


@pytest.mark.parametrize(("zone", "now", "unit", "expected"), READINGS)
def test_a_reading_is_what_the_wall_says(zone: ZoneInfo, now: str, unit: calendar.ClockUnit, expected: object) -> None:
    """Rules on the hour are about the customer's hour."""
    assert clock_value(ms(now), zone, unit) == expected


FLIPS = [
    (BERLIN, "2026-03-28T23:00:00Z", "hour", 3, "2026-03-29T01:00:00.000Z"),
    (BERLIN, "2026-03-29T01:00:00Z", "hour", 3, "2026-03-29T02:00:00.000Z"),
    (BERLIN, "2026-10-25T00:00:00Z", "hour", 2, "2026-10-25T02:00:00.000Z"),  # two hours of two o'clock
    (LORD_HOWE, "2026-04-04T14:00:00Z", "hour", 1, "2026-04-04T15:30:00.000Z"),  # from 1:00 over 1:30 again: an hour and a half
    (NEW_YORK, "2026-10-31T12:00:00Z", "weekday", "sun", "2026-11-01T04:00:00.000Z"),
    (NEW_YORK, "2026-11-01T12:00:00Z", "weekday", "sun", "2026-11-02T05:00:00.000Z"),
    (UTC, "2027-01-01T00:00:00Z", "month", 2, "2027-02-01T00:00:00.000Z"),
    (UTC, "2028-02-28T00:00:00Z", "day", 29, "2028-02-29T00:00:00.000Z"),
]


@pytest.mark.parametrize(("zone", "now", "unit", "value", "expected"), FLIPS)
def test_the_next_flip_is_the_first_moment_at_which_the_answer_changes(
    zone: ZoneInfo, now: str, unit: calendar.ClockUnit, value: object, expected: str
) -> None:
    """A timer a millisecond late is a wrong answer for a millisecond; an hour of summer time is one for an hour."""
    found = next_flip(ms(now), zone, unit, lambda found: found == value)
    assert found is not None
    assert time_text(found) == expected
    assert (clock_value(found, zone, unit) == value) != (clock_value(found - 1, zone, unit) == value)


def test_a_reading_that_never_changes_has_no_next_flip() -> None:
    """`hour() == 25` needs no timer."""
    assert next_flip(ms("2026-01-01"), UTC, "hour", lambda found: found == 25) is None


AGES = [
    ("2008-02-29", "2026-02-28T23:59:59.999Z", UTC, 17),
    ("2008-02-29", "2026-03-01T00:00:00Z", UTC, 18),  # comes of age on 1 March
    ("2008-02-29", "2028-02-28T23:59:59Z", UTC, 19),
    ("2008-02-29", "2028-02-29T00:00:00Z", UTC, 20),
    ("2001-03-29", "2026-03-28T22:59:59.999Z", BERLIN, 24),
    ("2001-03-29", "2026-03-28T23:00:00Z", BERLIN, 25),
    ("2001-03-29", "2026-03-28T23:00:00Z", NEW_YORK, 24),
    ("2026-06-01", "2026-06-01T00:00:00Z", UTC, 0),
    ("2026-06-02", "2026-06-01T00:00:00Z", UTC, None),
]


@pytest.mark.parametrize(("born", "now", "zone", "expected"), AGES)
def test_an_age_changes_at_local_midnight_of_the_birthday(born: str, now: str, zone: ZoneInfo, expected: int | None) -> None:
    """The calendar decides, not a number of days."""
    assert age_years(date.fromisoformat(born), ms(now), zone) == expected


@pytest.mark.parametrize(
    ("born", "now", "expected"),
    [
        ("2008-02-29", "2028-02-29T12:00:00Z", True),
        ("2008-02-29", "2028-03-01T12:00:00Z", False),
        ("2008-02-29", "2027-02-28T12:00:00Z", False),
        ("2008-02-29", "2027-03-01T12:00:00Z", True),
        ("2008-03-01", "2027-03-01T12:00:00Z", True),
    ],
)
def test_whoever_was_born_on_29_february_has_a_birthday_every_year(born: str, now: str, expected: bool) -> None:
    """On 1 March where there is no 29 February, and only then."""
    assert is_birthday(date.fromisoformat(born), ms(now), UTC) is expected


@pytest.mark.parametrize(
    ("born", "now", "zone", "expected"),
    [
        ("2008-02-29", "2026-03-01T00:00:00Z", UTC, "2027-03-01T00:00:00.000Z"),
        ("2008-02-29", "2027-03-01T00:00:00Z", UTC, "2028-02-29T00:00:00.000Z"),
        ("2001-03-29", "2026-03-01T00:00:00Z", BERLIN, "2026-03-28T23:00:00.000Z"),
        ("1999-12-31", "2026-12-30T23:00:00Z", BERLIN, "2027-12-30T23:00:00.000Z"),
    ],
)
def test_the_next_anniversary_is_strictly_later(born: str, now: str, zone: ZoneInfo, expected: str) -> None:
    """A timer that fires at its own moment again would never end."""
    assert time_text(next_anniversary_ms(date.fromisoformat(born), ms(now), zone)) == expected


def test_before_birth_the_next_change_is_birth() -> None:
    """A date in the future is no age until it is reached."""
    assert time_text(next_birthday_ms(date(2026, 6, 2), ms("2026-06-01"), BERLIN)) == "2026-06-01T22:00:00.000Z"


def test_a_date_is_read_as_written() -> None:
    """A birthday is a day on a calendar and not a moment; only a moment in milliseconds needs a zone."""
    assert calendar_date("2001-03-29", BERLIN) == date(2001, 3, 29)
    assert calendar_date("2001-03-29T23:30:00-05:00", BERLIN) == date(2001, 3, 29)
    assert calendar_date(ms("2001-03-29T23:30:00Z"), BERLIN) == date(2001, 3, 30)
    assert [calendar_date(value, UTC) for value in ("soon", "2001-02-29", "", None, True, [], {})] == [None] * 7


def test_a_midnight_that_comes_twice_is_the_first_and_one_that_is_skipped_the_moment_of_the_change() -> None:
    """Havana sets its clocks back at one, to midnight; Santiago forward at midnight."""
    assert time_text(midnight_ms(date(2026, 11, 1), ZoneInfo("America/Havana"))) == "2026-11-01T04:00:00.000Z"
    assert time_text(midnight_ms(date(2026, 9, 6), ZoneInfo("America/Santiago"))) == "2026-09-06T04:00:00.000Z"


@pytest.mark.parametrize("name", ["", "Nowhere/Land", "../etc/passwd", "/etc/localtime", "A" * 65, "Europe", "\0", "posixrules\n"])
def test_a_zone_that_is_none_is_none(name: str) -> None:
    """Customers send whatever their devices say."""
    assert find_zone(name) is None
