"""When something happened, as producers write it, in milliseconds since 1970.

Read are RFC 3339 texts with a zone and whole numbers of milliseconds. Numbers that are seconds are refused and not guessed at: read as
milliseconds they lie in 1970, and a purchase of today would be half a century old. A leap second, 23:59:60 in UTC, counts as the second
after it.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Final

import msgspec

from streamer.errors import RefusedError
from streamer.events.admission import SECONDS_END, SECONDS_MIN, TIMESTAMP_MS_MAX
from streamer.units import DAY_MS
from streamer.values import datetime_to_ms

SECOND_MS: Final = 1_000
TEXT_KEPT_MAX: Final = 40  # characters; longer texts name no moment, or one that nobody repeats
OUTSIDE: Final = "outside 1970 to 9999"
LOOKS_LIKE_SECONDS: Final = "looks like seconds; milliseconds or RFC 3339 text expected"

_Zoned = Annotated[datetime, msgspec.Meta(tz=True)]
_LEAP: Final = re.compile(r"([0-9-]{10}[Tt ][0-9]{2}:[0-9]{2}:)60((?:\.[0-9]+)?(?:[Zz]|[+-][0-9]{2}:?[0-9]{2}))")
_WHY_NOT: Final = (
    (
        re.compile(r"\s*[+-]?[0-9]+(\.[0-9]+)?\s*", re.ASCII),
        "a number as a text; a number of milliseconds, or RFC 3339 text expected",
    ),
    (re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII), "a date without a time; RFC 3339 text with a zone expected"),
    (re.compile(r"[0-9-]{10}[Tt ][0-9:.]+", re.ASCII), "a time without a zone; RFC 3339 text such as 2026-01-31T09:00:00Z expected"),
)


def moment_ms(value: object, *, path: str = "$.timestamp") -> int:
    """Milliseconds since 1970 of what ``value`` names, from 1970 to 9999; ``RefusedError`` with ``path`` if it names no such moment.

    Digits beyond microseconds are rounded.

    >>> moment_ms("1970-01-01T01:00:00.001+01:00")
    1
    """
    return within_years(instant_ms(value, path=path), path=path)


def instant_ms(value: object, *, path: str) -> int:
    """The same without bounds, for clocks that are corrected before they are judged: negative before 1970."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _of_number(value, path)
    found = _of_text(value) if isinstance(value, str) else None
    if found is None:
        raise RefusedError("bad_timestamp", path=path, detail=_why_not(value))
    return found


def within_years(ms: int, *, path: str) -> int:
    """``ms``, where it lies in the years 1970 to 9999; else ``RefusedError``."""
    if not 0 <= ms <= TIMESTAMP_MS_MAX:
        raise RefusedError("bad_timestamp", path=path, detail=OUTSIDE)
    return ms


def looks_like_seconds(number: float) -> bool:
    """Whether a number read as seconds lies between 1973 and 5138, and read as milliseconds before March 1973.

    Smaller numbers lie before 1973 whichever they are: they are milliseconds, of a clock that was never set.
    """
    return SECONDS_MIN <= number < SECONDS_END


def _of_number(value: float, path: str) -> int:
    if looks_like_seconds(value):
        raise RefusedError("epoch_seconds", path=path, detail=LOOKS_LIKE_SECONDS)
    if isinstance(value, float) and not value.is_integer():  # JSON does not tell 1.0 from 1; NaN and infinity are no integers either
        raise RefusedError("bad_timestamp", path=path, detail="a number with a fraction; whole milliseconds expected")
    if abs(value) > TIMESTAMP_MS_MAX:
        detail = f"a number beyond the milliseconds of {OUTSIDE.removeprefix('outside ')}; are they microseconds or nanoseconds?"
        raise RefusedError("bad_timestamp", path=path, detail=detail)
    return int(value)


def _of_text(text: str) -> int | None:
    return _of_known_text(text) if len(text) <= TEXT_KEPT_MAX else _read_text(text)


def _read_text(text: str) -> int | None:
    leap = _LEAP.fullmatch(text)
    try:
        moment = msgspec.convert(f"{leap[1]}59{leap[2]}" if leap else text, _Zoned)
    except (msgspec.ValidationError, UnicodeEncodeError):  # the second of half of a surrogate pair
        return None
    ms = datetime_to_ms(moment)
    if leap is None:
        return ms
    ms += SECOND_MS
    return ms if ms % DAY_MS < SECOND_MS else None  # 60 is a second only at the end of a day


# Messages of one request repeat when it was sent, and those of one page are of one moment.
_of_known_text = lru_cache(maxsize=1_024)(_read_text)


def _why_not(value: object) -> str:
    if value is None:
        return "absent"
    if isinstance(value, str):
        for pattern, why in _WHY_NOT:
            if pattern.fullmatch(value):
                return why
    return "neither RFC 3339 text with a zone nor whole milliseconds from 1970 to 9999"
