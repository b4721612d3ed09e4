"""Which values an event may carry: JSON's, with the few that cannot be held or written again replaced.

A value that nobody may ever read must not cost its event, so these are replaced where they stand, by one rule for every door:

- an integer beyond 64 bits is the text of its digits: what is so long is a name, not an amount; beyond 256 digits it is null;
- a number that is not finite (``NaN``, ``1e999``) is null, that is missing;
- half of a surrogate pair, as a text has that was cut within an emoji, is U+FFFD.

Refused are only containers nested too deep, and what is no JSON at all. The question is answered twice: quickly with yes or no, then, only
for a no, again with care. Fields and their meaning are not known here.
"""

from __future__ import annotations

import math
import re
from typing import Final, cast

from streamer.errors import RefusedError
from streamer.events.admission import DEPTH_MAX, INTEGER_MAX, INTEGER_MIN, TEXT_MAX

JsonPlace = tuple[()] | tuple["JsonPlace", object]  # the place of what it lies in, and its key or index there

SURROGATE: Final = re.compile("[\ud800-\udfff]")
REPLACEMENT: Final = "\ufffd"
PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_ -]{0,63}")
PATH_MAX: Final = 256  # characters; a path is for reading
LONGEST_INTEGER: Final = 10**TEXT_MAX


def within_limits(values: dict[str, object], *, section: str = "") -> dict[str, object]:
    """``values`` as an event can carry them: the same object where nothing has to be replaced.

    ``section`` is the field of the record that they stand in; without it they are the record. ``RefusedError`` with the place, the first
    by the order of keys and items, for what is too deep or nothing JSON knows.

    >>> within_limits({"total": 5, "click": 2**70, "ratio": float("nan")})
    {'total': 5, 'click': '1180591620717411303424', 'ratio': None}
    """
    place, depth = (((), section), 2) if section else ((), 1)
    if _is_within_limits(cast("dict[object, object]", values), depth):
        return values
    return cast("dict[str, object]", _limited(values, place, depth))


def json_type(value: object) -> str:
    """What kind of JSON value it is, with its article, for messages.

    >>> json_type([])
    'an array'
    """
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "an array"
        case dict():
            return "an object"
        case _:
            return "nothing JSON knows"


def is_whole_text(text: str) -> bool:
    """Whether a text has no halves of surrogate pairs, and so can be written as UTF-8."""
    return text.isascii() or SURROGATE.search(text) is None


def _is_within_limits(container: dict[object, object] | list[object], depth: int) -> bool:
    """Whether there is nothing to replace in ``container``, which lies at ``depth``. Texts are asked first: most values are some."""
    if depth > DEPTH_MAX:
        return False
    if isinstance(container, dict):
        for key in container:
            if not (isinstance(key, str) and is_whole_text(key)):
                return False
        container = list(container.values())
    for value in container:
        if isinstance(value, str):
            if not is_whole_text(value):
                return False
        elif isinstance(value, (dict, list)):
            if not _is_within_limits(cast("dict[object, object] | list[object]", value), depth + 1):
                return False
        elif not _is_scalar_within_limits(value):
            return False
    return True


def _is_scalar_within_limits(value: object) -> bool:
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, int):
        return INTEGER_MIN <= value <= INTEGER_MAX
    return isinstance(value, float) and math.isfinite(value)


def _limited(value: object, place: JsonPlace, depth: int) -> object:
    """A copy of ``value``, which lies at ``place``, with what cannot be held replaced."""
    match value:
        case str():
            return SURROGATE.sub(REPLACEMENT, value)
        case dict() | list() if depth > DEPTH_MAX:
            raise RefusedError("too_deep", path=path_text(place), detail=f"at most {DEPTH_MAX} containers inside each other")
        case dict():
            items = cast("dict[object, object]", value).items()
            return {_limited_key(key, place): _limited(inner, (place, key), depth + 1) for key, inner in items}
        case list():
            return [_limited(item, (place, index), depth + 1) for index, item in enumerate(cast("list[object]", value))]
        case bool() | None:
            return value
        case int():
            return value if INTEGER_MIN <= value <= INTEGER_MAX else _digits(value)
        case float():
            return value if math.isfinite(value) else None
        case _:
            raise RefusedError("wrong_type", path=path_text(place), detail="nothing JSON knows")


def _limited_key(key: object, place: JsonPlace) -> str:
    if not isinstance(key, str):
        raise RefusedError("wrong_type", path=path_text((place, key)), detail="a key that is no text")
    return SURROGATE.sub(REPLACEMENT, key)


def _digits(value: int) -> str | None:
    return str(value) if -LONGEST_INTEGER < value < LONGEST_INTEGER else None


def path_text(place: JsonPlace) -> str:
    """A place as JSON path, for reading. Keys that do not look like names may be customers' data, or forge a log line: not repeated."""
    steps: list[str] = []
    while place:
        place, key = place  # pyright: ignore[reportAssignmentType] - a chain of pairs that ends in an empty one
        if isinstance(key, int):
            steps.append(f"[{key}]")
        else:
            steps.append(f".{key}" if isinstance(key, str) and PLAIN_KEY.fullmatch(key) else "[...]")
    return "".join(("$", *reversed(steps)))[:PATH_MAX]
