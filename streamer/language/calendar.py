"""The calendar in a customer's own zone: periods, readings, ages, and when each next changes.

A local midnight that a change to summer time skips counts as the moment of the change; one that comes twice is the first of the two. The
calendar ends with the year 9999: what would change after it never does (``NO_TIMER``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import MAXYEAR, date, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from streamer.customers.state import NO_TIMER
from streamer.units import HOUR_MS, WEEKDAYS
from streamer.values import Json, is_number, parse_date, parse_time_ms
from streamer.zones import local, midnight_ms

from .tree import ClockUnit, Period

QUARTER_MS: Final = 900_000  # offsets of zones since 1972 are multiples of a quarter of an hour
_DAY: Final = timedelta(days=1)
# The longest span a current period can have, an hour of summer time included: what a memory for it has to hold.
PERIOD_MS_MAX: Final[dict[Period, int]] = {
    "day": 26 * HOUR_MS,
    "week": 170 * HOUR_MS,
    "month": 746 * HOUR_MS,
    "year": 8_786 * HOUR_MS,
}


def _first_day(day: date, period: Period) -> date:
    match period:
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case "year":
            return day.replace(month=1, day=1)


@lru_cache(maxsize=4_096)
def _period_of_day(day: date, zone: ZoneInfo, period: Period) -> tuple[int, int]:
    first = _first_day(day, period)
    try:
        later = first + timedelta(days={"day": 1, "week": 7, "month": 32, "year": 367}[period])
    except OverflowError:
        return midnight_ms(first, zone), NO_TIMER
    return midnight_ms(first, zone), midnight_ms(_first_day(later, period), zone)


def current_period(now: int, zone: ZoneInfo, period: Period) -> tuple[int, int]:
    """First moment of the current period, and of the next."""
    day = local(now, zone).date()
    start, end = _period_of_day(day, zone, period)
    return (start, end) if start <= now else _period_of_day(day - _DAY, zone, period)


def clock_value(now: int, zone: ZoneInfo, unit: ClockUnit) -> Json:
    """What a clock or a calendar on the customer's wall says."""
    moment = local(now, zone)
    match unit:
        case "hour":
            return moment.hour
        case "weekday":
            return WEEKDAYS[moment.weekday()]
        case "day":
            return moment.day
        case "month":
            return moment.month


def boundaries(now: int, zone: ZoneInfo, unit: ClockUnit) -> Iterator[int]:
    """Moments after ``now`` that include every change of the unit, for a bit more than a year (hours: two days)."""
    if unit == "hour":
        first = now - now % QUARTER_MS + QUARTER_MS
        yield from range(first, first + 200 * QUARTER_MS, QUARTER_MS)
        return
    day = local(now, zone).date()
    for _ in range(1, min(400, 1 + (date.max - day).days)):
        day += _DAY
        yield midnight_ms(day, zone)


def next_flip(now: int, zone: ZoneInfo, unit: ClockUnit, holds: Callable[[Json], bool]) -> int | None:
    """The first moment after ``now`` at which ``holds`` of the unit's value changes; None if not within a year."""
    before = holds(clock_value(now, zone, unit))
    for moment in boundaries(now, zone, unit):
        if moment > now and holds(clock_value(moment, zone, unit)) != before:
            return moment
    return None


def calendar_date(value: Json, zone: ZoneInfo) -> date | None:
    """The date as written in a text; of a moment in milliseconds the date in ``zone``."""
    if is_number(value):
        moment = parse_time_ms(value)
        return None if moment is None else local(moment, zone).date()
    return _date_in_text(value) if type(value) is str else None


@lru_cache(maxsize=4_096)  # birthdays come again and again
def _date_in_text(text: str) -> date | None:
    return parse_date(text) if parse_time_ms(text) is not None else None


def _anniversary(born: date, year: int) -> date:
    try:
        return born.replace(year=year)
    except ValueError:  # 29 February
        return date(year, 3, 1)


def age_years(born: date, now: int, zone: ZoneInfo) -> int | None:
    """Whole years; None before birth."""
    today = local(now, zone).date()
    years = today.year - born.year - (today < _anniversary(born, today.year))
    return years if today >= born else None


def next_birthday_ms(born: date, now: int, zone: ZoneInfo) -> int:
    """The next moment after ``now`` at which the age changes, or the person is born."""
    first = midnight_ms(born, zone)
    return first if first > now else next_anniversary_ms(born, now, zone)


def next_anniversary_ms(born: date, now: int, zone: ZoneInfo) -> int:
    """The next moment after ``now`` at which the month and day of a date come round; ``NO_TIMER`` if they do not."""
    for moment in _anniversaries_ms(born, local(now, zone).year, zone):
        if moment > now:
            return moment
    return NO_TIMER


@lru_cache(maxsize=4_096)
def _anniversaries_ms(born: date, year: int, zone: ZoneInfo) -> tuple[int, ...]:
    """Those of a year and the two after it, ascending: one evening of a zone may lie in the next year of another."""
    return tuple(midnight_ms(_anniversary(born, ahead), zone) for ahead in range(year, min(year + 2, MAXYEAR) + 1))


def is_birthday(born: date, now: int, zone: ZoneInfo) -> bool:
    """Whether today is the day (29 February counts on 1 March in other years)."""
    today = local(now, zone).date()
    return today == _anniversary(born, today.year)
