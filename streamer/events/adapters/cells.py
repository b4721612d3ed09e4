"""What a cell of a row says: text, number, or moment. CSV knows only text; Parquet and NDJSON know more.

A cell is empty when it is None, empty text or NaN, which is how pandas writes None. Every refusal names the column, never the content.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from streamer.errors import RefusedError
from streamer.events.codec import EPOCH, MILLISECOND
from streamer.events.sound import json_type

if TYPE_CHECKING:
    from collections.abc import Sequence
    from zoneinfo import ZoneInfo

Cast = Callable[[Any, str], Any]
"""(cell, column) -> what it says; None when empty; ``RefusedError`` when it says nothing of the kind."""

NUMBER: Final = re.compile(r"[+-]?[0-9]{1,4000}(\.[0-9]*)?([eE][+-]?[0-9]{1,4})?", re.ASCII)
UNITS_MS: Final = {"s": 1_000, "ms": 1}
MOMENTS_KEPT: Final = 4_096  # rows come in the order of time, so a moment is mostly the one before


def is_empty(cell: Any) -> bool:
    """Whether there is nothing in the cell. 0 and False are something."""
    if isinstance(cell, Decimal):
        return cell.is_nan()
    return cell is None or cell == "" or (isinstance(cell, float) and math.isnan(cell))


def text(cell: Any, column: str) -> str | None:
    """The cell as text. A whole number has no ``.0``: pandas turns a column of ids with one gap into doubles."""
    if is_empty(cell):
        return None
    if isinstance(cell, str):
        return cell
    if isinstance(cell, (date, datetime)):
        return cell.isoformat()
    if _is_number(cell):
        return str(int(cell)) if _is_whole(cell) else str(cell)
    raise _refused(column, "a text", cell)


def number(cell: Any, column: str) -> int | float | None:
    """The cell as a number: an int where it is written as one."""
    if is_empty(cell):
        return None
    if isinstance(cell, Decimal):
        return int(cell) if _is_whole(cell) else float(cell)
    if isinstance(cell, (int, float)) and not isinstance(cell, bool):
        return cell
    if isinstance(cell, str) and (match := NUMBER.fullmatch(cell.strip())):
        return float(match[0]) if match[1] is not None or match[2] is not None else int(match[0])
    raise _refused(column, "a number", cell)


def exact(cell: Any, column: str) -> Decimal:
    """The cell as the decimal number that was written, for sums of money; an empty cell is 0."""
    found = number(cell, column)
    if found is None:
        return Decimal(0)
    if not _is_finite(found):
        raise RefusedError("not_finite", path=f"$.{column}")
    return Decimal(str(cell).strip())


def as_is(cell: Any, column: str) -> Any:
    """The cell as the file has it; what JSON cannot say becomes text or number."""
    if is_empty(cell):
        return None
    if isinstance(cell, Decimal):
        return number(cell, column)
    return text(cell, column) if isinstance(cell, (date, datetime)) else cell


def moment(formats: Sequence[str], zone: ZoneInfo) -> Callable[[Any, str], int]:
    """A function from (cell, column) to UTC milliseconds, by the first of ``formats`` that fits.

    A format is ``iso``, ``ms``, ``s``, or one of ``strptime``. ``zone`` holds where the cell names none; an hour that the clocks show
    twice is the first of the two.
    """
    texts = lru_cache(MOMENTS_KEPT)(partial(_text_ms, formats=formats, zone=zone))
    unit_ms = next((UNITS_MS[name] for name in formats if name in UNITS_MS), None)

    def read(cell: Any, column: str) -> int:
        if isinstance(cell, datetime):
            return _datetime_ms(cell, zone)
        if isinstance(cell, str) and (found := texts(cell)) is not None:
            return found
        if is_empty(cell):
            raise RefusedError("bad_timestamp", path=f"$.{column}", detail="absent")
        if unit_ms is not None and _is_number(cell) and _is_finite(cell):
            return int(Decimal(str(cell)) * unit_ms)
        raise RefusedError("bad_timestamp", path=f"$.{column}", detail=f"expected {' or '.join(formats)}")

    return read


def _text_ms(cell: str, *, formats: Sequence[str], zone: ZoneInfo) -> int | None:
    for name in formats:
        try:
            if name in UNITS_MS:
                return int(Decimal(cell) * UNITS_MS[name]) if NUMBER.fullmatch(cell) else None
            return _datetime_ms(datetime.fromisoformat(cell) if name == "iso" else datetime.strptime(cell, name), zone)  # noqa: DTZ007
        except ValueError:
            continue
    return None


def _datetime_ms(value: datetime, zone: ZoneInfo) -> int:
    return ((value if value.tzinfo else value.replace(tzinfo=zone)) - EPOCH) // MILLISECOND


def _is_number(cell: Any) -> TypeGuard[int | float | Decimal]:
    return isinstance(cell, (int, float, Decimal)) and not isinstance(cell, bool)


def _is_finite(cell: int | float | Decimal) -> bool:
    return isinstance(cell, int) or math.isfinite(cell)


def _is_whole(cell: int | float | Decimal) -> bool:
    return _is_finite(cell) and cell == int(cell)


def _refused(column: str, expected: str, cell: Any) -> RefusedError:
    return RefusedError("wrong_type", path=f"$.{column}", detail=f"expected {expected}, found {json_type(cell)}")
