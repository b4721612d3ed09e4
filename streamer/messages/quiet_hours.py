"""Quiet hours on a customer's own wall clock: whether a moment lies in them, and when they end."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from streamer.language.message_specs import Quiet
from streamer.units import SECOND_MS
from streamer.zones import local

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_DAY: Final = timedelta(days=1)
_HOUR_MINUTES: Final = 60


def quiet_until(quiet: Quiet, now: int, zone: ZoneInfo) -> int | None:
    """When the quiet hours end in which ``now`` lies, in UTC milliseconds and after ``now``; None where it lies in none.

    An end that the clock skips is the moment at which it does; of one that comes twice it is the first that is after ``now``.
    """
    wall = local(now, zone)
    minute = wall.hour * _HOUR_MINUTES + wall.minute
    if not is_quiet(quiet, minute):
        return None
    day = wall.date()
    if minute >= quiet.until_minute:
        day += _DAY
    while True:
        for moment in _moments(day, quiet.until_minute, zone):
            if moment > now:
                return moment
        day += _DAY


def is_quiet(quiet: Quiet, minute: int) -> bool:
    """Whether a minute of the day lies in quiet hours, which may reach over midnight."""
    if quiet.from_minute < quiet.until_minute:
        return quiet.from_minute <= minute < quiet.until_minute
    return minute >= quiet.from_minute or minute < quiet.until_minute


def _moments(day: date, minute: int, zone: ZoneInfo) -> list[int]:
    """The moments at which a wall clock shows that minute of the day: one, two where it is put back, or the one at which it skips it."""
    hours, minutes = divmod(minute, _HOUR_MINUTES)
    walls = [datetime(day.year, day.month, day.day, hours, minutes, tzinfo=zone, fold=fold) for fold in (0, 1)]
    first, second = (_utc_ms(wall) for wall in walls)
    if first <= second:
        return [first] if first == second else [first, second]
    return [_change_between(second, first, zone)]  # by the offset after the change it would be before it, and the other way round


def _utc_ms(wall: datetime) -> int:
    return (wall - _EPOCH) // _MILLISECOND


def _change_between(before: int, after: int, zone: ZoneInfo) -> int:
    """The moment in ``(before, after]`` at which the offset of the zone changes."""
    old = local(before, zone).utcoffset()
    while after - before > SECOND_MS:
        middle = (before + after) // 2 // SECOND_MS * SECOND_MS
        if local(middle, zone).utcoffset() == old:
            before = middle
        else:
            after = middle
    return after
