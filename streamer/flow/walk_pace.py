"""How many customers come under new definitions at a record in the order of the walk: as many as log time has passed for.

Events of other customers wait meanwhile, so what is done must be bounded by time and not by records: with a hundred at each record a shop
with a thousand events a second would wait for a hundred thousand customers a second. And it must be a function of the log, or two runs
would say the same at different positions.
"""

from __future__ import annotations

from typing import Final

from .checkpoint import Switch

A_SECOND: Final = 250  # customers, for each second of log time: of twelve shards in one worker less than a fifth of a core
RECORDS_EACH: Final = 16  # so many records bring one customer more: where no record moves log time the walk ends all the same
FIRST: Final = 10  # at the record with the definitions itself
A_RECORD_MAX: Final = 100  # at one record, though log time jumps: about 5 ms of work


def due_by(switch: Switch, offset: int, now: int) -> int:
    """How many customers are due in all by the record at ``offset``, which has log time ``now``."""
    return FIRST + (now - switch.at_ms) * A_SECOND // 1_000 + (offset - switch.offset) // RECORDS_EACH


def allowed_at(switch: Switch, offset: int, now: int) -> int:
    """How many are due at the record itself. What more than ``A_RECORD_MAX`` would be is not made up for later."""
    return switch.allowed if switch.record == offset else min(A_RECORD_MAX, due_by(switch, offset, now) - switch.given)


def begin(switch: Switch, offset: int, now: int) -> None:
    """The first of those who are due at a record have their turn."""
    if switch.record != offset:
        switch.allowed = allowed_at(switch, offset, now)
        switch.given, switch.record, switch.done = due_by(switch, offset, now), offset, 0


__all__ = ["allowed_at", "begin", "due_by"]
