"""Where an import stands at the head of a shard's log: what lies there is history and nothing else, or the log has begun."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from streamer.errors import RefusedError, SettingsError
from streamer.events.codec import decode
from streamer.flow.replay import Arrival
from streamer.wire import LogRecord, read_arrived


class LogHasBegunError(SettingsError):
    """There is more than history at the head of a log."""


class HistoryHead(NamedTuple):
    """The newest of the history in a shard. ``brought_by`` is the import that wrote it, empty where there is none; ``last_ms`` when it
    happened, and ``ids`` are the message ids of all that did at that moment."""

    brought_by: str = ""
    last_ms: int = -1
    ids: frozenset[str] = frozenset()

    def has(self, event: Arrival) -> bool:
        """Whether an event of the import that wrote the newest lies there: those of one import come in the order of time."""
        if event.arrival_ms != self.last_ms:
            return event.arrival_ms < self.last_ms
        return _id_of(event.value) in self.ids


def head_of(shard: int, tail: Sequence[LogRecord]) -> HistoryHead:
    """The head of a shard by the last records of its log. LogHasBegunError where not all of them are history: time has gone on there, and
    what was written behind would be late."""
    found = [read_arrived(record.headers) for record in tail]
    if None in found:
        raise LogHasBegunError(f"shard {shard}: the log has begun, and what is written at its head goes before everything else")
    marks = [mark for mark in found if mark is not None]
    if not marks:
        return HistoryHead()
    last_ms, brought_by = marks[-1]
    ids = {_id_of(record.value) for record, (at_ms, _) in zip(tail, marks, strict=True) if at_ms == last_ms}
    return HistoryHead(brought_by, last_ms, frozenset(ids))


def _id_of(value: bytes) -> str:
    try:
        return decode(value).message_id
    except RefusedError:
        return ""


__all__ = ["HistoryHead", "LogHasBegunError", "head_of"]
