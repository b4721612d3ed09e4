# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""What JSON values mean in rules: paths, comparisons, dates, money. One meaning for the whole package.

The rules are those of ``language/LANGUAGE.md`` section 4. Nothing here raises on a strange value: a comparison of different types is no
match.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, Final

import msgspec
import orjson

from streamer.units import DAY_MS, SECOND_MS
from streamer.zones import LAST_MS

Json = Any  # a decoded JSON value; missing is None
CompareValues = Callable[[Json, Json], bool]

SCALE: Final = (
    10_000  # aggregated numbers are kept in ten-thousandths: every currency has at most 4 decimals, and integers add in any order
)
NUMBER_MAX: Final = 1e12  # larger ones are not money; 2^63 / SCALE leaves room for 900 of them in a sum
TEXT_KEPT: Final = 513  # one more than the longest text a rule can name, so a longer one equals none of them

SECONDS_BELOW: Final = 100_000_000_000  # 1973-03-03 in milliseconds; in seconds the year 5138
FIRST_MS: Final = -62_135_596_800_000  # 0001-01-01T00:00:00Z

_DECIMAL = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{1,20})?")
_BELOW_MICROSECONDS = re.compile(r"(\.[0-9]{6})[0-9]+")
MICROSECONDS_CHARS: Final = len("2026-01-31T09:12:03.123456Z")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_decode_datetime = msgspec.json.Decoder(datetime).decode
_to_json = orjson.dumps


def lookup(path: tuple[str, ...]) -> Callable[[dict[str, Json]], Json]:
    """A function from an object to what lies at ``path``; None when missing, a list when the path runs through one and finds something."""
    if len(path) == 1:
        return _lookup_one(path[0])
    head, rest = path[0], lookup(path[1:])

    def nested(source: dict[str, Json]) -> Json:
        inner = source.get(head)
        if type(inner) is dict:
            return rest(inner)
        if type(inner) is list:
            return _through(inner, rest)
        return None

    return nested


def _through(items: list[Json], rest: Callable[[dict[str, Json]], Json]) -> Json:
    """What a path finds in the objects of a list, and of the lists in it."""
    return _flat([rest(item) if type(item) is dict else _through(item, rest) for item in items if type(item) in (dict, list)])


def _lookup_one(key: str) -> Callable[[dict[str, Json]], Json]:
    def single(source: dict[str, Json]) -> Json:
        found = source.get(key)
        return (_flat(found) or []) if type(found) is list else found  # emptied, a list replaces what it held

    return single


def _flat(found: list[Json]) -> Json:
    """Nested lists flattened, nulls dropped; None when nothing is left."""
    flat: list[Json] = []
    for item in found:
        if type(item) is list:
            flat.extend(_flat(item) or ())
        elif item is not None:
            flat.append(item)
    return flat or None


class _Missing:
    """Tells an explicit ``null`` from nothing at all."""


MISSING: Final = _Missing()


def lookup_present(path: tuple[str, ...]) -> Callable[[dict[str, Json]], Json]:
    """Like ``lookup``, but ``MISSING`` where there is nothing and None where an explicit ``null`` stands."""
    find, parents, last = lookup(path), path[:-1], path[-1]

    def present(source: dict[str, Json]) -> Json:
        found = find(source)
        if found is not None:
            return found
        inner: Json = source
        for key in parents:
            inner = inner.get(key) if type(inner) is dict else None
        return None if type(inner) is dict and last in inner and inner[last] is None else MISSING

    return present


def kept(value: Json) -> Json:
    """The part of a value worth keeping for later comparison: texts cut to 513 characters, objects emptied (they exist, no more)."""
    if type(value) is str:
        return value[:TEXT_KEPT]
    if type(value) is dict:
        return {}
    if type(value) is list:
        return [kept(item) for item in value if type(item) is not dict] or {}
    return value


def is_number(value: Json) -> bool:
    """Numbers, without booleans."""
    return type(value) is int or type(value) is float


def equal(left: Json, right: Json) -> bool:
    """Same type and same value; a list on the left matches by any element. Missing equals nothing."""
    if type(left) is str:  # nearly always
        return type(right) is str and left == right
    if type(left) is list:
        return any(equal(item, right) for item in left)
    if left is None or type(left) is dict:
        return False
    if is_number(left):
        return is_number(right) and left == right
    return type(left) is type(right) and left == right


def one_of(value: Json, items: tuple[Json, ...]) -> bool:
    """Whether a value (or an element of it) equals one of the items."""
    if type(value) is str:  # nearly always; no number equals a text
        return value in items
    return any(equal(value, item) for item in items)


def same(left: Json, right: Json) -> bool:
    """Equal as whole values, by the same rules: missing is the same as missing, and lists and objects are compared by what is in them."""
    if type(left) is str and type(right) is str:  # nearly always
        return left == right
    if type(left) is list and type(right) is list:
        return len(left) == len(right) and all(map(same, left, right))
    if type(left) is dict and type(right) is dict:
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return left is right or equal(left, right)


def _ordered(holds: CompareValues) -> CompareValues:
    def compare(left: Json, right: Json) -> bool:
        if type(left) is list:
            return any(compare(item, right) for item in left)
        if is_number(left):
            return is_number(right) and holds(left, right)
        return type(left) is str and type(right) is str and holds(left, right)

    return compare


COMPARE: Final[dict[str, CompareValues]] = {
    "==": equal,
    "!=": lambda left, right: not equal(left, right),
    "<": _ordered(lambda left, right: left < right),
    "<=": _ordered(lambda left, right: left <= right),
    ">": _ordered(lambda left, right: left > right),
    ">=": _ordered(lambda left, right: left >= right),
}


def contains(value: Json, part: Json) -> bool:
    """A text has ``part`` in it; a list has an element equal to it."""
    if type(value) is str:
        return type(part) is str and part in value
    return type(value) is list and equal(value, part)


def starts_with(value: Json, prefix: str) -> bool:
    """A text (or an element of a list) begins with ``prefix``."""
    if type(value) is list:
        return any(starts_with(item, prefix) for item in value)
    return type(value) is str and value.startswith(prefix)


def as_number(value: Json) -> Json:
    """Decimal texts as numbers, numbers unchanged, anything else missing; of a list each element."""
    if type(value) is list:
        return _flat([as_number(item) for item in value])
    if is_number(value):
        return value
    if type(value) is not str or not _DECIMAL.fullmatch(value):
        return None
    return _whole(float(value))


def lower(value: Json) -> Json:
    """Texts in lower case, other values unchanged; of a list each element."""
    if type(value) is list:
        return [lower(item) for item in value]
    return value.lower() if type(value) is str else value


def language_of(locale: Json) -> Json:
    """``de-AT`` and ``de_AT`` as ``de``; not a text: missing."""
    if type(locale) is not str:
        return None
    return locale.replace("_", "-").split("-", 1)[0].lower() or None


def scaled(value: Json) -> int | None:
    """A number, or a text that is a decimal number, in ten-thousandths; None for what cannot be added."""
    number: Json = float(value) if type(value) is str and _DECIMAL.fullmatch(value) else value
    if not is_number(number) or not -NUMBER_MAX <= number <= NUMBER_MAX:
        return None
    return round(number * SCALE)


def scalars(value: Json) -> list[Json]:
    """The texts, numbers and booleans in a value, without repetition, in order; objects count for nothing."""
    if type(value) is not list:
        return [] if value is None or type(value) is dict else [_whole(value)]
    found: dict[str, Json] = {}
    for item in value:
        if item is not None and type(item) is not dict:
            found.setdefault(key_of(_whole(item)), _whole(item))
    return list(found.values())


def _whole(value: Json) -> Json:
    return int(value) if type(value) is float and value.is_integer() and abs(value) < 1e15 else value


def key_of(value: Json) -> str:
    """The JSON text of a scalar: tells ``1`` from ``"1"`` and ``true``, and orders values the same everywhere."""
    return _to_json(_whole(value)).decode()


@lru_cache(maxsize=8_192)  # categories and products come again and again
def key_of_text(text: str) -> str:
    """The same of a text."""
    return _to_json(text).decode()


def value_of_key(text: str) -> Json:
    """The value a ``key_of`` text stands for."""
    return orjson.loads(text)


def datetime_to_ms(moment: datetime) -> int:
    """UTC milliseconds, rounded down, by integers alone."""
    delta = moment - _EPOCH
    return delta.days * DAY_MS + delta.seconds * SECOND_MS + delta.microseconds // 1_000


def parse_time_ms(value: Json) -> int | None:
    """RFC 3339 text, ``YYYY-MM-DD`` (midnight UTC), or a whole number of milliseconds, from the year 1 to 9999; None for anything else.

    Numbers below ``SECONDS_BELOW`` but 0 are seconds by all likelihood, and nobody should take them for January 1970: None.
    """
    if is_number(value):
        likely = FIRST_MS <= value <= LAST_MS and (abs(value) >= SECONDS_BELOW or value == 0)
        return int(value) if likely and value == int(value) else None
    if type(value) is not str:
        return None
    if len(value) == 10:
        day = parse_date(value)
        return None if day is None else datetime_to_ms(datetime(day.year, day.month, day.day, tzinfo=UTC))
    if len(value) > MICROSECONDS_CHARS:
        value = _BELOW_MICROSECONDS.sub(r"\1", value)  # they would be rounded, and so end in the next second, or after 9999
    try:
        moment = _decode_datetime(b'"' + value.encode() + b'"')
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeEncodeError):
        return None
    return None if moment.tzinfo is None else datetime_to_ms(moment)


def parse_date(value: Json) -> date | None:
    """The calendar date a text begins with, as written; None if it does not."""
    if type(value) is not str or len(value) < 10 or (len(value) > 10 and value[10] not in "Tt "):
        return None
    try:
        return date.fromisoformat(value[:10])
    except ValueError:
        return None


def time_text(ms: int) -> str:
    """``2026-01-31T09:12:03.250Z``; total over the years 1 to 9999.

    >>> time_text(0)
    '1970-01-01T00:00:00.000Z'
    """
    seconds, part = divmod(ms, 1_000)
    return f"{_second_text(seconds)}.{part:03d}Z"


@lru_cache(maxsize=8_192)
def _second_text(seconds: int) -> str:
    if not -62_135_596_800 <= seconds <= 253_402_300_799:
        return f"{seconds}s"
    day, second = divmod(seconds, 86_400)
    minute, second = divmod(second, 60)
    return f"{_day_text(day)}T{minute // 60:02d}:{minute % 60:02d}:{second:02d}"


@lru_cache(maxsize=1_024)
def _day_text(day: int) -> str:
    return date.fromordinal(719_163 + day).isoformat()
