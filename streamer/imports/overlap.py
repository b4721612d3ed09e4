"""Where history and the log of a shard meet: history ends where the log begins, or a property tells which of it the log has too."""

from __future__ import annotations

from collections.abc import Mapping, Set
from contextlib import aclosing
from hashlib import blake2b
from typing import Final

import msgspec

from streamer.errors import RefusedError
from streamer.events.codec import decode
from streamer.events.event import Event
from streamer.flow.replay import Arrival
from streamer.flow.shard_log import Log
from streamer.values import MISSING, time_text
from streamer.wire import LogRecord

OVERLAP: Final = "log_has_begun"  # it happened when the log of its shard had begun
KNOWN: Final = "in_the_log"  # the log has it
READ_RECORDS: Final = 2_000


class LogOverlap:
    """What of history is left out. ``begins_ms`` has by shard log time at the first event of its log, where it has one; ``known`` are the
    ``same_by`` of all events of the log, by the property ``dedupe`` (empty: there is none, and history ends where the log begins)."""

    def __init__(self, begins_ms: Mapping[int, int], dedupe: str = "", known: Set[bytes] = frozenset()) -> None:
        self._begins_ms = begins_ms
        self._dedupe = dedupe
        self._known = known

    def is_compared(self, event: Arrival, shard: int) -> bool:
        """Whether an event, which arrived when it happened, counts as compared with the log, for it happened after that begins.
        RefusedError where it is left out."""
        if not self._begins_ms:
            return False
        begin_ms = self._begins_ms.get(shard)
        found = same_by(decode(event.value), self._dedupe) if self._dedupe else None
        if found is not None and found in self._known:
            raise RefusedError(KNOWN, path=f"$.properties.{self._dedupe}", detail="the log has the same, and that one counts")
        is_later = begin_ms is not None and event.arrival_ms >= begin_ms
        if begin_ms is not None and is_later and found is None:
            raise RefusedError(OVERLAP, path="$.timestamp", detail=f"at or after {time_text(begin_ms)}, when the log of its shard began")
        return is_later


NO_OVERLAP: Final = LogOverlap({})


def same_by(event: Event, name: str) -> bytes | None:
    """Two events of the same name and with the same value of a property give the same; None where an event does not have it."""
    value = (event.properties or {}).get(name, MISSING)
    if value is MISSING or value is None:
        return None
    return blake2b(f"{event.name}\0".encode() + msgspec.json.encode(value), digest_size=12).digest()


async def read_overlap(log: Log, shards: int, dedupe: str = "") -> LogOverlap:
    """What the logs of the shards have now; the whole of them where events are to be compared. Raises what reading the log may."""
    begins_ms, known = dict[int, int](), set[bytes]()
    for shard in range(shards):
        view, now = await log.look(shard, -1), 0
        if view.begin >= view.end:
            continue
        async with aclosing(log.read(shard, view.begin, READ_RECORDS)) as batches:
            async for records in batches:
                for record in records:
                    now = max(now, record.arrival_ms)
                    if (event := _event_of(record)) is None:
                        continue
                    begins_ms.setdefault(shard, now)
                    if dedupe and (found := same_by(event, dedupe)) is not None:
                        known.add(found)
                if shard in begins_ms and not dedupe:
                    break
    return LogOverlap(begins_ms, dedupe, known)


def _event_of(record: LogRecord) -> Event | None:
    try:
        return None if record.control else decode(record.value)
    except RefusedError:
        return None


__all__ = ["KNOWN", "NO_OVERLAP", "OVERLAP", "LogOverlap", "read_overlap", "same_by"]
