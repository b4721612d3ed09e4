"""Lengths of time as people write them: ``30m``, ``1h30m``, ``7d``."""

from __future__ import annotations

import re
from typing import Final

from streamer.units import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, WEEK_MS

UNITS_MS: Final = {"w": WEEK_MS, "d": DAY_MS, "h": HOUR_MS, "m": MINUTE_MS, "s": SECOND_MS, "ms": 1}
_PARTS = re.compile(r"([0-9]{1,12})(ms|w|d|h|m|s)")


def parse_duration(text: str) -> int:
    """Milliseconds, 0 or more; ValueError for anything that is not a list of number and unit.

    >>> parse_duration("1h30m")
    5400000
    """
    found = _PARTS.findall(text)
    if not found or "".join(number + unit for number, unit in found) != text:
        raise ValueError(f"expected a duration such as '30m', '1h30m' or '7d' (units ms s m h d w), found {text!r:.80}")
    return sum(int(number) * UNITS_MS[unit] for number, unit in found)


def format_duration(ms: int) -> str:
    """The exact text in days and smaller units, largest first.

    >>> format_duration(5_400_000), format_duration(0), format_duration(-1500)
    ('1h30m', '0ms', '-1s500ms')
    """
    if ms < 0:
        return "-" + format_duration(-ms)
    parts: list[str] = []
    for unit, size in UNITS_MS.items():
        if unit != "w" and ms >= size:
            parts.append(f"{ms // size}{unit}")
            ms %= size
    return "".join(parts) or "0ms"
