"""Which values an event may carry: JSON's, without the ones that cannot be held or written again.

Refused are halves of surrogate pairs, containers nested too deep, numbers that are not finite, and integers beyond 64 bits. The question is
answered twice: quickly with yes or no, then, only for a no, again with the place. Fields and their meaning are not known here.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final, cast

from streamer.errors import RefusedError
from streamer.events.admission import DEPTH_MAX, INTEGER_MAX, INTEGER_MIN

if TYPE_CHECKING:
    from collections.abc import Iterator

    Place = tuple[()] | tuple["Place", object]  # the place of what it lies in, and its key or index there

SURROGATE: Final = re.compile("[\ud800-\udfff]")
PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_ -]{0,63}")
PATH_MAX: Final = 256  # characters; a path is for reading
ORDER: Final = ("bad_utf8", "too_deep", "not_finite", "wrong_type")
NO_JSON: Final = object()  # stands for a key that is no text


def check_values(fields: dict[str, Any]) -> None:
    """Refuse the first broken text, else the first value too deep, else the first number that cannot be held.

    "First" is by the order of keys and items, so equal records are refused at equal places.
    """
    if _is_sound(fields, 1):
        return
    found: dict[str, tuple[Place, str]] = {}
    for place, depth, value in _walk(fields, (), 1):
        fault = _fault(value, depth)
        if fault is not None:
            found.setdefault(fault[0], (place, fault[1]))
    for reason in ORDER:
        if reason in found:
            place, detail = found[reason]
            raise RefusedError(reason, path=_path(place), detail=detail)
    raise AssertionError(f"unsound, and yet no fault among {ORDER}")


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


def _is_sound(container: dict[Any, Any] | list[Any], depth: int) -> bool:
    """Whether there is no fault in ``container``, which lies at ``depth``. Most values are short ASCII texts: they are asked first."""
    if depth > DEPTH_MAX:
        return False
    if isinstance(container, dict):
        for key in container:
            if not (isinstance(key, str) and (key.isascii() or SURROGATE.search(key) is None)):
                return False
        container = list(container.values())
    for value in container:
        if isinstance(value, str):
            if not value.isascii() and SURROGATE.search(value):
                return False
        elif isinstance(value, (dict, list)):
            if not _is_sound(cast("dict[Any, Any] | list[Any]", value), depth + 1):
                return False
        elif _fault(value, depth + 1) is not None:
            return False
    return True


def _fault(value: Any, depth: int) -> tuple[str, str] | None:
    """What is wrong with ``value`` itself, as (reason, detail); not with what it holds."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int):
        return None if INTEGER_MIN <= value <= INTEGER_MAX else ("not_finite", "an integer beyond 64 bits")
    if isinstance(value, float):
        return None if math.isfinite(value) else ("not_finite", str(value))
    if isinstance(value, str):
        return ("bad_utf8", "half of a surrogate pair") if SURROGATE.search(value) else None
    if isinstance(value, (list, dict)):
        return None if depth <= DEPTH_MAX else ("too_deep", f"at most {DEPTH_MAX} containers inside each other")
    return "wrong_type", "nothing JSON knows"


def _walk(value: Any, place: Place, depth: int) -> Iterator[tuple[Place, int, Any]]:
    """``value`` and everything in it, keys too, as (place, depth, value). It stops one step below the deepest place allowed."""
    yield place, depth, value
    if depth > DEPTH_MAX:
        return
    if isinstance(value, dict):
        for key, inner in cast("dict[Any, Any]", value).items():
            yield (place, key), depth, key if isinstance(key, str) else NO_JSON
            yield from _walk(inner, (place, key), depth + 1)
    elif isinstance(value, list):
        for index, item in enumerate(cast("list[Any]", value)):
            yield from _walk(item, (place, index), depth + 1)


def _path(place: Place) -> str:
    """A place as JSON path, for reading. Keys that do not look like names may be customers' data, or forge a log line: not repeated."""
    steps: list[str] = []
    while place:
        place, key = place  # pyright: ignore[reportAssignmentType] - a chain of pairs that ends in an empty one
        if isinstance(key, int):
            steps.append(f"[{key}]")
        else:
            steps.append(f".{key}" if isinstance(key, str) and PLAIN_KEY.fullmatch(key) else "[...]")
    return "".join(("$", *reversed(steps)))[:PATH_MAX]
