"""Zone data and wall clocks: the rules of the world's time zones, always those of one named version of the `tzdata` package.

The operating system's zone data are never looked at: they differ from machine to machine, and two machines must tell the same log the same
way. Moments are UTC milliseconds from 1970 to 9999. Where a zone's wall shows a moment that the calendar does not have (before the year 1,
after 9999) it shows the first or the last that it has.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final
from zoneinfo import ZoneInfo

import tzdata

LAST_MS: Final = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z
_NO_PLACES: Final = frozenset({"Factory", "localtime", "posixrules"})  # names that mean whatever a machine is set to
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_SECOND: Final = -62_135_596_800  # 0001-01-01T00:00:00Z
_MILLISECOND: Final = timedelta(milliseconds=1)


class Zones:
    """The zones of one version. ``version`` is that of the package on PyPI, such as ``2026.6``."""

    def __init__(self, version: str, folder: Traversable) -> None:
        """``folder`` is laid out as the package `tzdata` is."""
        self.version = version
        self._folder = folder
        self._names = frozenset(folder.joinpath("zones").read_text(encoding="ascii").split()) - _NO_PLACES
        self.utc: Final = self._read("UTC")
        self.find: Callable[[str], ZoneInfo | None] = lru_cache(maxsize=2_048)(self._find)

    def _find(self, name: str) -> ZoneInfo | None:
        """The zone of an IANA name, exactly as it is spelt; None if there is none."""
        return self._read(name) if name in self._names else None

    def _read(self, name: str) -> ZoneInfo:
        with self._folder.joinpath("zoneinfo", *name.split("/")).open("rb") as file:
            return ZoneInfo.from_file(file, key=name)


PINNED: Final = Zones(tzdata.__version__, files("tzdata"))
"""The zones of the installed package."""


def version() -> str:
    """Which version of `tzdata` is installed."""
    return PINNED.version


def find_zone(name: str) -> ZoneInfo | None:
    """The zone of an IANA name in the installed version; None if there is none."""
    return PINNED.find(name)


def local(ms: int, zone: ZoneInfo) -> datetime:
    """Wall clock time, to the second."""
    moment = _EPOCH + timedelta(seconds=max(_FIRST_SECOND, min(ms, LAST_MS) // 1_000))
    try:
        return moment.astimezone(zone)
    except OverflowError:
        return datetime(9999, 12, 31, 23, 59, 59, tzinfo=zone) if ms > 0 else datetime(1, 1, 1, tzinfo=zone)


def midnight_ms(day: date, zone: ZoneInfo) -> int:
    """The moment a local day begins; for the first and last days of the calendar it may lie outside 1 to 9999."""
    wall = datetime(day.year, day.month, day.day, tzinfo=zone)
    offset = zone.utcoffset(wall) or timedelta(0)
    return (day.toordinal() - _EPOCH_DAY) * 86_400_000 - offset // _MILLISECOND
