"""How large definitions may be, and what a segment or model may be called."""

from __future__ import annotations

import re
from typing import Final

from streamer.units import DAY_MS

TEXT_CHARS_MAX: Final = 512
NODES_MAX: Final = 500
DEPTH_MAX: Final = 20
WINDOW_MS_MAX: Final = 400 * DAY_MS  # a year and a month of comparison
COUNT_MAX: Final = 1_000  # a threshold is kept as so many moments per customer
LIST_MAX: Final = 64
PERIODS_MAX: Final = 400
EXPRESSION_CHARS_MAX: Final = 20_000

_SEGMENT_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


def is_segment_name(name: str) -> bool:
    """Lower-case letters, digits and underscores, beginning with a letter, at most 64."""
    return bool(_SEGMENT_NAME.fullmatch(name))
