"""Steps in order, and what must not follow."""

from __future__ import annotations

from streamer.customers.memories import MIN_TIME, Data
from streamer.customers.state import State
from streamer.segments.plan.single_pass import (
    sequence_pass,
)
from streamer.values import Json, time_text

from .predicate import Predicate, never, with_single_pass


def sequence_predicate(text: str, slot: int, wait_ms: int, over_ms: int, span_ms: int) -> Predicate:
    """A completed match, and nothing that forbids it; data as ``memories.Steps`` keeps it."""
    evaluate = sequence_pass(wait_ms, over_ms)

    def newest(data: Data, now: int) -> int:
        best = data[2] if data is not None else MIN_TIME
        for completion in data[3] if data is not None else ():
            if completion + wait_ms <= now and completion > best:
                best = completion
        return best

    def value(data: Data, now: int, state: State) -> Json:
        best = newest(data, now)
        return None if best == MIN_TIME else time_text(best + state.origin_ms)

    def approximate(data: Data, now: int, _state: State) -> Json:
        """1 while a completion that is not known would count: it may have turned the answer at another moment."""
        if data is None or data[0] is None or (over_ms and data[0] + wait_ms + over_ms < now):
            return None
        return 1

    return with_single_pass(Predicate(text, never, value=value, approximate=approximate, slots=(slot,), span_ms=span_ms), evaluate)
