"""Instants at which truth can flip because time passed: far too many of them, and none left out.

Every comparison of the language is between an instant that was remembered (of an event, of a date in a value, of entering or leaving),
moved by a duration that the definition writes, and now; or it asks the calendar. So: all sums of those, a millisecond to either side,
and each turn of the hour or the day.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from tests.oracle.values import UNITS_MS, duration_ms, instant_ms, number, turns_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.oracle.expressions import Accepted, Standing

HOURLY = frozenset({"hour"})
DAILY = frozenset({"weekday", "day", "month", "age", "birthday"})


class Clockwork:
    """What the definitions say about time: durations, dates, and how often the calendar is asked."""

    def __init__(self, trees: Iterable[ast.expr], more_durations: Iterable[int]) -> None:
        nodes = [node for tree in trees for node in ast.walk(tree)]
        calls = [node for node in nodes if isinstance(node, ast.Call)]
        names = {call.func.id for call in calls if isinstance(call.func, ast.Name)}
        constants = [node.value for node in nodes if isinstance(node, ast.Constant)]
        written = {span for text in constants if (span := duration_ms(text)) is not None}
        combined = {total for call in calls for total in _combined(call)}
        self.durations = {0, *written, *combined, *more_durations}
        self.dates = {ms for value in constants for ms in _dates_in(value)}
        self.hourly = bool(names & HOURLY)
        self.daily = bool(names & DAILY) or any(word.arg == "this" for call in calls for word in call.keywords)
        self.looks_ahead = "until" in names

    def moments(self, after: int, until: int, zone: str, history: Iterable[Accepted], standings: Iterable[Standing]) -> list[int]:
        """All candidates in ``(after, until]``, in order."""
        bases = {*self.dates, *(each.t for each in history), *(ms for each in history for ms in _dates_in(each.event))}
        bases |= {ms for each in standings for ms in (each.entered_ms, each.left_ms) if ms is not None}
        spans = self.durations | ({-span for span in self.durations} if self.looks_ahead else set())
        found = {base + span for base in bases for span in spans}
        if self.looks_ahead:  # until(a) < since(b) flips half-way between them
            found |= {(a + b) // 2 for a in bases for b in bases}
        found = {instant + near for instant in found for near in (-1, 0, 1)} | set(self._calendar(after, until, zone))
        return sorted(instant for instant in found if after < instant <= until)

    def _calendar(self, after: int, until: int, zone: str) -> Iterator[int]:
        if self.hourly or self.daily:
            for utc_day in range(after // UNITS_MS["d"], until // UNITS_MS["d"] + 1):
                yield from (instant for instant, is_date in turns_ms(utc_day, zone) if is_date or self.hourly)


def _combined(call: ast.Call) -> Iterator[int]:
    """Durations that one clause adds up: the periods of ``active``, the wait and the reach of ``sequence``."""
    words: dict[str | None, Any] = {word.arg: word.value.value for word in call.keywords if isinstance(word.value, ast.Constant)}
    if "each" in words:
        each = duration_ms(words["each"])
        assert each is not None
        yield from (each * times for times in range(words["of"] + 1))
    if "wait" in words and "over" in words:
        yield (duration_ms(words["wait"]) or 0) + (duration_ms(words["over"]) or 0)


def _dates_in(value: Any) -> Iterator[int]:
    """Every instant that some part of a JSON value could be read as."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _dates_in(inner)
        return
    for read in (value, number(value)):
        ms = instant_ms(read)
        if ms is not None:
            yield ms
