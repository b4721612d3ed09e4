"""What a condition says something of: a value, number or time of the language, or how two times lie to each other."""

from __future__ import annotations

from typing import Literal, NamedTuple

from streamer.language.tree import Numeric, Time, Unchanged, Value


class TimeRelation(NamedTuple):
    """A time and what it is compared with, named by their texts. ``at``: a moment; ``same``: the time itself; ``times``: another one."""

    kind: Literal["at", "same", "times"]
    one: str
    other: str = ""


Subject = Value | Numeric | Time | Unchanged | TimeRelation
