"""What the specification calls values: paths, missing, equality, order, dates and durations (LANGUAGE.md, section 4).

``None`` is missing. ``ABSENT`` tells "the path leads nowhere" from "the path leads to null", which only ``trait`` and ``context`` ask.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from functools import cache
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones, reset_tzpath

reset_tzpath(())  # the package `tzdata` alone, on every machine

ABSENT: Final = object()
UNITS_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
QUARTER_MS: Final = 900_000
FIRST_MS: Final = -62_135_596_800_000  # the beginning of the year 1
LAST_MS: Final = 253_402_300_799_999  # the end of the year 9999
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DURATION = re.compile(r"(?:\d+(?:ms|s|m|h|d|w))+")
_DAY = re.compile(r"(\d{4})-(\d\d)-(\d\d)", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d{1,20}(\.\d{1,20})?", re.ASCII)


def find(document: Any, path: str | list[str]) -> Any:
    """What lies at a dotted path: a value, ``None`` for null, ``ABSENT`` for nothing; through a list, the flat list of what is found."""
    keys = path.split(".") if isinstance(path, str) else path
    if isinstance(document, list):
        found: list[Any] = []
        for element in document:
            inner = find(element, keys)
            if isinstance(inner, list):
                found.extend(inner)
            elif inner is not None and inner is not ABSENT:
                found.append(inner)
        return found if found or not keys else ABSENT
    if not keys:
        return document
    if isinstance(document, dict) and keys[0] in document:
        return find(document[keys[0]], keys[1:])
    return ABSENT


def kind(value: Any) -> str:
    """The type a comparison sees; ``true`` is no number."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float | Fraction):
        return "number"
    return "text" if isinstance(value, str) else "other"


def scalars(value: Any) -> list[Any]:
    """The texts, numbers and booleans of a value: itself, or the elements of a list."""
    return [each for each in (value if isinstance(value, list) else [value]) if kind(each) != "other"]


def equal(left: Any, right: Any) -> bool:
    """Some element of one is of the same type as, and the same as, some element of the other."""
    return any(kind(a) == kind(b) and a == b for a in scalars(left) for b in scalars(right))


def less(left: Any, right: Any) -> bool:
    """Some element of one lies before some element of the other in the order of their common type."""
    return any(kind(a) == kind(b) and a < b for a in scalars(left) for b in scalars(right))


def same(left: Any, right: Any) -> bool:
    """Equal as whole JSON values (for the run of ``unchanged``)."""
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return kind(left) == kind(right) and left == right


def whole(value: Any) -> Any:
    """``5.0`` as ``5``: they are one number, so they have one JSON text."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def number(value: Any) -> Any:
    """A text that is a decimal number as that number; numbers stay; anything else is missing; of a list each element."""
    if isinstance(value, list):
        return [found for each in value if (found := number(each)) is not None] or None
    if kind(value) == "number":
        return value
    if kind(value) == "text" and _NUMBER.fullmatch(value):
        return float(value) if "." in value or len(value) > 16 else int(value)
    return None


def is_amount(value: Any) -> bool:
    """A number, or a text that is a decimal number."""
    return kind(value) == "number" or (kind(value) == "text" and _NUMBER.fullmatch(value) is not None)


def lower(value: Any) -> Any:
    """A text in lower case; others stay; of a list each element."""
    if isinstance(value, list):
        return [lower(each) for each in value]
    return value.lower() if isinstance(value, str) else value


def duration_ms(text: Any) -> int | None:
    """``"1h30m"`` in milliseconds, or ``None`` if the text is no duration."""
    if not isinstance(text, str) or not _DURATION.fullmatch(text):
        return None
    return sum(int(amount) * UNITS_MS[unit] for amount, unit in re.findall(r"(\d+)(ms|s|m|h|d|w)", text))


def calendar_day(value: Any) -> date | None:
    """The date as it is written in a text, whatever its zone."""
    if not isinstance(value, str) or not (_DAY.fullmatch(value) or instant_ms(value) is not None):
        return None
    try:
        return date(int(value[0:4]), int(value[5:7]), int(value[8:10]))
    except ValueError:
        return None


def instant_ms(value: Any) -> int | None:
    """The instant that a text or a number of milliseconds names, or ``None``."""
    if kind(value) == "number":
        whole_ms = value == int(value) and FIRST_MS <= value <= LAST_MS and (value == 0 or abs(value) >= 10**11)
        return int(value) if whole_ms else None
    if not isinstance(value, str):
        return None
    try:
        if _DAY.fullmatch(value):
            return to_ms(datetime(int(value[0:4]), int(value[5:7]), int(value[8:10]), tzinfo=UTC))
        if _INSTANT.fullmatch(value):
            return to_ms(datetime.fromisoformat(value.upper()))
    except ValueError:
        return None
    return None


def to_ms(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)


@cache
def known_zones() -> frozenset[str]:
    return frozenset(available_timezones()) - {"Factory"}


@cache
def local(ms: int, zone: str) -> datetime:
    """The clock on the wall of a zone."""
    try:
        return (EPOCH + timedelta(milliseconds=ms)).astimezone(ZoneInfo(zone))
    except OverflowError:  # the wall would show a day before the first or after the last of the calendar
        return datetime(9999, 12, 31, 23, 59, 59) if ms > 0 else datetime(1, 1, 1)  # noqa: DTZ001


@cache
def day_start_ms(day: date, zone: str) -> int:
    """The first instant at which the calendar of a zone shows the day or, if it skips it, a later one (clocks turn on quarter hours)."""
    around = to_ms(datetime(day.year, day.month, day.day, tzinfo=UTC))
    quarters = range(around - 16 * 3_600_000, around + 16 * 3_600_000, QUARTER_MS)
    return next(quarter for quarter in quarters if local(quarter, zone).date() >= day)


@cache
def turns_ms(utc_day: int, zone: str) -> tuple[tuple[int, bool], ...]:
    """The instants within a UTC day (days since 1970) at which a zone's hour or date turns, each with whether it is the date."""
    found: list[tuple[int, bool]] = []
    for quarter in range(utc_day * 86_400_000, (utc_day + 1) * 86_400_000, QUARTER_MS):
        before, after = local(quarter - 1, zone), local(quarter, zone)
        if (before.date(), before.hour) != (after.date(), after.hour):
            found.append((quarter, before.date() != after.date()))
    return tuple(found)
