"""What a cell of a row says: text, number, or moment. CSV knows only text; Parquet and NDJSON know more.

A cell is empty when it is None, empty text or NaN, which is how pandas writes None. Bytes are UTF-8 text, as older writers of Parquet leave
them. Every refusal names the column, never the content.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final, TypeGuard, cast

from streamer.errors import RefusedError
from streamer.events.admission import EXACT_MAX, INTEGER_MAX, INTEGER_MIN, TIMESTAMP_MS_MAX
from streamer.events.json_limits import is_whole_text, json_type
from streamer.events.moments import LOOKS_LIKE_SECONDS, looks_like_seconds, within_years
from streamer.values import datetime_to_ms

if TYPE_CHECKING:
    from collections.abc import Sequence
    from zoneinfo import ZoneInfo

Cast = Callable[[object, str], object]
"""(cell, column) -> what it says; None when empty; ``RefusedError`` when it says nothing of the kind."""

NUMBER: Final = re.compile(r"[+-]?[0-9]{1,4000}(\.[0-9]*)?([eE][+-]?[0-9]{1,4})?", re.ASCII)
UNITS_MS: Final = {"s": 1_000, "ms": 1}
LARGEST_EXPONENT: Final = 20  # of a number that may be a moment; larger ones are not multiplied out
MOMENTS_KEPT: Final = 4_096  # rows come in the order of time, so a moment is mostly the one before


def is_empty(cell: object) -> bool:
    """Whether there is nothing in the cell. 0 and False are something."""
    if isinstance(cell, Decimal):
        return cell.is_nan()
    return cell is None or cell == "" or (isinstance(cell, float) and math.isnan(cell))


def text(cell: object, column: str) -> str | None:
    """The cell as text. A whole number has no ``.0``: pandas turns a column of ids with one gap into doubles."""
    if is_empty(cell):
        return None
    if isinstance(cell, bytes):
        return _decoded(cell, column)
    if isinstance(cell, str):
        return _whole_text(cell, column)
    if isinstance(cell, (date, datetime, time)):
        return cell.isoformat()
    if _is_number(cell):
        _check_exact(cell, column)
        return str(int(cell)) if _is_whole(cell) else str(cell)
    raise _refused(column, "a text", cell)


def identifier(cell: object, column: str) -> str | None:
    """The cell as the name of somebody or something: a text that is a large double as some tool wrote it has lost digits."""
    found = text(cell, column)
    if found is not None and (match := NUMBER.fullmatch(found)) and (match[1] is not None or match[2] is not None):
        _check_exact(float(found), column)
    return found


def number(cell: object, column: str) -> int | float | None:
    """The cell as a number: an int where it is written as one. ``not_finite`` if it is beyond 64 bits, or the range of a double."""
    if isinstance(cell, bytes):
        cell = _decoded(cell, column)
    if is_empty(cell):
        return None
    found = _number(cell)
    if found is None:
        raise _refused(column, "a number", cell)
    if not (INTEGER_MIN <= found <= INTEGER_MAX if isinstance(found, int) else math.isfinite(found)):
        raise RefusedError("not_finite", path=f"$.{column}", detail="expected a number of at most 64 bits")
    return found


def _number(cell: object) -> int | float | None:
    if isinstance(cell, Decimal):
        return int(cell) if _is_whole(cell) else float(cell)
    if isinstance(cell, (int, float)) and not isinstance(cell, bool):
        return cell
    if isinstance(cell, str) and (match := NUMBER.fullmatch(cell.strip())):
        return float(match[0]) if match[1] is not None or match[2] is not None else int(match[0])
    return None


def unchanged(cell: object) -> object:
    """The cell of a file whose numbers have a point before their fraction."""
    return cell


def with_point(cell: object) -> object:
    """The cell of a file whose numbers have a comma there, as one with a point. One with a point and a comma (1.234,50) stays what it is:
    no number.

    >>> with_point("4,5"), with_point("1.234,5"), with_point(7)
    ('4.5', '1.234,5', 7)
    """
    if isinstance(cell, bytes):
        return cell if b"." in cell else cell.replace(b",", b".", 1)
    if isinstance(cell, str):
        return cell if "." in cell else cell.replace(",", ".", 1)
    return cell


def exact(cell: object, column: str) -> Decimal:
    """The cell as the decimal number that was written, for sums of money; an empty cell is 0."""
    if number(cell, column) is None:
        return Decimal(0)
    return Decimal(_decoded(cell, column).strip() if isinstance(cell, bytes) else str(cell).strip())


def as_is(cell: object, column: str) -> object:
    """The cell as the file has it; what JSON cannot say becomes text or number, also within lists and objects."""
    if is_empty(cell):
        return None
    if isinstance(cell, Decimal):
        return number(cell, column)
    if isinstance(cell, (str, bytes, date, datetime, time)):
        return text(cell, column)
    if isinstance(cell, list):
        items = cast("list[object]", cell)
        if items and all(isinstance(item, tuple) for item in items):  # a map of Parquet, as pairs
            return {key: as_is(inner, column) for key, inner in cast("list[tuple[object, object]]", items)}
        return [as_is(item, column) for item in items]
    if isinstance(cell, dict):
        return {key: as_is(inner, column) for key, inner in cast("dict[object, object]", cell).items()}
    return cell


def moment(formats: Sequence[str], zone: ZoneInfo) -> Callable[[object, str], int]:
    """A function from (cell, column) to UTC milliseconds, by the first of ``formats`` that fits.

    A format is ``iso``, ``ms``, ``s``, or one of ``strptime``. ``zone`` holds where the cell names none; an hour that the clocks show
    twice is the first of the two. A number fits ``ms`` or ``s`` if that moment lies in 1970 to 9999 and, for ``ms``, does not look like
    seconds.
    """
    texts = lru_cache(MOMENTS_KEPT)(partial(_text_ms, formats=formats, zone=zone))
    expected = " or ".join(formats)

    def read(cell: object, column: str) -> int:
        if isinstance(cell, bytes):
            cell = _decoded(cell, column)
        if is_empty(cell):
            raise RefusedError("bad_timestamp", path=f"$.{column}", detail="absent")
        found = texts(cell) if isinstance(cell, str) else _typed_ms(cell, formats, zone)
        if found is not None:
            return within_years(found, path=f"$.{column}")
        if "ms" in formats and _number_ms(cell, ("s",)) is not None:
            raise RefusedError("epoch_seconds", path=f"$.{column}", detail=f"{LOOKS_LIKE_SECONDS}: say 's' among the formats")
        raise RefusedError("bad_timestamp", path=f"$.{column}", detail=f"expected {expected}")

    return read


def _text_ms(cell: str, *, formats: Sequence[str], zone: ZoneInfo) -> int | None:
    for name in formats:
        found = _number_ms(cell, (name,)) if name in UNITS_MS else _written_ms(cell, name, zone)
        if found is not None:
            return found
    return None


def _written_ms(cell: str, name: str, zone: ZoneInfo) -> int | None:
    try:
        moment = datetime.fromisoformat(cell) if name == "iso" else datetime.strptime(cell, name)  # noqa: DTZ007
    except ValueError:
        return None
    return _datetime_ms(moment, zone)


def _number_ms(cell: object, formats: Sequence[str]) -> int | None:
    """The moment that a number, or a text of one, is in the first unit that makes sense of it."""
    if isinstance(cell, str):
        if NUMBER.fullmatch(cell) is None:
            return None
    elif not (_is_number(cell) and _is_finite(cell)):
        return None
    written = Decimal(str(cell))
    for name in formats:
        if name not in UNITS_MS or written.adjusted() > LARGEST_EXPONENT:
            continue
        ms = int(written * UNITS_MS[name])
        if 0 <= ms <= TIMESTAMP_MS_MAX and not (name == "ms" and looks_like_seconds(ms)):
            return ms
    return None


def _typed_ms(cell: object, formats: Sequence[str], zone: ZoneInfo) -> int | None:
    """The moment of a cell that knows what it is; of a date its midnight."""
    if isinstance(cell, datetime):
        return _datetime_ms(cell, zone)
    if isinstance(cell, date):
        return _datetime_ms(datetime(cell.year, cell.month, cell.day), zone)  # noqa: DTZ001 - the zone comes next
    return _number_ms(cell, formats)


def _datetime_ms(value: datetime, zone: ZoneInfo) -> int:
    return datetime_to_ms(value if value.tzinfo else value.replace(tzinfo=zone))


def _decoded(cell: bytes, column: str) -> str:
    try:
        return cell.decode()
    except UnicodeDecodeError:
        raise _not_utf8(column) from None


def _whole_text(cell: str, column: str) -> str:
    if is_whole_text(cell):
        return cell
    raise _not_utf8(column)


def _not_utf8(column: str) -> RefusedError:
    return RefusedError("bad_utf8", path=f"$.{column}", detail="the bytes of the cell are not UTF-8")


def _check_exact(cell: int | float | Decimal, column: str) -> None:
    if isinstance(cell, float) and math.isfinite(cell) and abs(cell) > EXACT_MAX:
        detail = "a double beyond 2^53, of which digits may be lost; a text or a whole number expected"
        raise RefusedError("wrong_type", path=f"$.{column}", detail=detail)


def _is_number(cell: object) -> TypeGuard[int | float | Decimal]:
    return isinstance(cell, (int, float, Decimal)) and not isinstance(cell, bool)


def _is_finite(cell: int | float | Decimal) -> bool:
    return isinstance(cell, int) or math.isfinite(cell)


def _is_whole(cell: int | float | Decimal) -> bool:
    return _is_finite(cell) and cell == int(cell)


def _refused(column: str, expected: str, cell: object) -> RefusedError:
    return RefusedError("wrong_type", path=f"$.{column}", detail=f"expected {expected}, found {json_type(cell)}")
