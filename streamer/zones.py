"""Zone data and wall clocks: the rules of the world's time zones, always those of one named version of the `tzdata` package.

The operating system's zone data are never looked at: they differ from machine to machine, and two machines must tell the same log the same
way. Which version holds is said by the definitions in the log (``zone_data``), so a log that is told anew is told by what held then. The
installed package has one version; ``know`` makes known those of a folder. What is known is known to one process: each that is begun anew
must be told.

Moments are UTC milliseconds from 1970 to 9999. Where a zone's wall shows a moment that the calendar does not have (before the year 1, after
9999) it shows the first or the last that it has.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import tzdata

from streamer.errors import SettingsError
from streamer.units import DAY_MS

LAST_MS: Final = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z
_NO_PLACES: Final = frozenset({"Factory", "localtime", "posixrules"})  # names that mean whatever a machine is set to
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_SECOND: Final = -62_135_596_800  # 0001-01-01T00:00:00Z
_MILLISECOND: Final = timedelta(milliseconds=1)


class Zones:
    """The zones of one version. ``version`` is that of the package on PyPI, such as ``2026.6``."""

    def __init__(self, version: str, folder: Traversable, home: Path | None = None) -> None:
        """``folder`` is laid out as the package `tzdata` is. ``home`` is the folder of versions that it is of; None: of none."""
        self.version = version
        self.home = home
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

_known: dict[str, Zones] = {PINNED.version: PINNED}
_VERSION: Final = re.compile(r"20[0-9]{2}\.[0-9]{1,3}")


class MissingZonesError(SettingsError):
    """Zone data of a version that is not here. The text says how to get them."""

    def __init__(self, version: str) -> None:
        super().__init__(
            f"needs the zone data of tzdata {version}, and {', '.join(sorted(_known))} is here: "
            f"pip install --no-deps --target DIR/{version} tzdata=={version}, and set STREAMER_ZONES_DIR=DIR"
        )


def is_version(text: str) -> bool:
    """Whether a text may name a version of tzdata, such as ``2026.6``."""
    return _VERSION.fullmatch(text) is not None


def zones_of(version: str) -> Zones:
    """The zones of a version. Raises MissingZonesError where they are not."""
    found = _known.get(version)
    if found is None:
        raise MissingZonesError(version)
    return found


def add(folder: Path) -> list[str]:
    """Make known every version of a folder, and return them: ``FOLDER/2025.2/tzdata`` as pip's ``--target`` makes it.

    Raises NotADirectoryError where there is no such folder.
    """
    if not folder.is_dir():
        raise NotADirectoryError(folder)
    found = sorted(path.name for path in folder.iterdir() if is_version(path.name) and (path / "tzdata" / "zones").is_file())
    for name in found:
        _known.setdefault(name, Zones(name, folder / name / "tzdata", folder))
    return found


def know(folder: Path | None) -> None:
    """Make known every version of the folder that ``STREAMER_ZONES_DIR`` names, if one is set. Called at the start of each process.

    Raises SettingsError where there is no such folder.
    """
    if folder is None:
        return
    try:
        add(folder)
    except OSError as error:
        raise SettingsError(f"STREAMER_ZONES_DIR: expected a folder, {error.strerror or 'found none'}") from None


def known_folder() -> Path | None:
    """The folder whose versions are known here, as ``know`` takes it in a process that this one begins; None where there is none."""
    return next((one.home for one in _known.values() if one.home is not None), None)


def version() -> str:
    """Which version of `tzdata` is installed."""
    return PINNED.version


def find_zone(name: str) -> ZoneInfo | None:
    """The zone of an IANA name in the installed version; None if there is none."""
    return PINNED.find(name)


@lru_cache(maxsize=64)  # the rules of one customer ask it of the same moment again and again
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
    return (day.toordinal() - _EPOCH_DAY) * DAY_MS - offset // _MILLISECOND
