"""Writes history to the head of the log, and goes on where it broke off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, Protocol

from streamer.errors import RefusedError
from streamer.flow.replay import Arrival
from streamer.wire import ARRIVED_HEADER, COMPARED_HEADER, Headers, arrived_text, shard_of

from .head import HistoryHead
from .overlap import NO_OVERLAP, LogOverlap
from .sifting import Refuse

WRITE_EVENTS: Final = 5_000  # at a time: whole batches where there are a dozen shards, and 2 MB
KEYS_REMEMBERED: Final = 20_000  # whose shard need not be computed again
BEFORE: Final = "before_head"  # history goes on behind what is there, and this happened earlier


class HistoryWriter(Protocol):
    """Where records of history go."""

    async def write(self, records: list[tuple[int, Arrival, Headers]]) -> None:
        """Write (shard, event, headers), each behind those before in its shard. Raises what the transport does."""
        ...


class Importer:
    """One import, whose events come in the order of time. ``written`` and ``was_there`` count them; ``first_ms`` and ``last_ms`` are the
    times of the first and the last of both."""

    def __init__(
        self, name: str, heads: Mapping[int, HistoryHead], writer: HistoryWriter, refuse: Refuse, overlap: LogOverlap = NO_OVERLAP
    ) -> None:
        self.written = 0
        self.was_there = 0
        self.first_ms: int | None = None
        self.last_ms: int | None = None
        self.by_shard: Counter[int] = Counter()  # written
        self._name = name
        self._heads = heads
        self._writer = writer
        self._refuse = refuse
        self._overlap = overlap

        def in_shard(key: bytes) -> int:
            return shard_of(key.decode(), len(heads))

        self._shard_of = lru_cache(maxsize=KEYS_REMEMBERED)(in_shard)

    async def write(self, events: Iterable[Arrival]) -> None:
        """Write all events that are not there yet. What happened before the end of another import is refused."""
        waiting: list[tuple[int, Arrival, Headers]] = []
        for event in events:
            shard = self._shard_of(event.key)
            if not self._is_next(self._heads[shard], event):
                continue
            headers = self._headers(event, shard)
            if headers is None:
                continue
            waiting.append((shard, event, headers))
            self.by_shard[shard] += 1
            self.written += 1
            if len(waiting) == WRITE_EVENTS:
                await self._writer.write(waiting)
                waiting = []
        if waiting:
            await self._writer.write(waiting)

    def _headers(self, event: Arrival, shard: int) -> Headers | None:
        """With what an event is written; None where it is left out."""
        try:
            is_compared = self._overlap.is_compared(event, shard)
        except RefusedError as error:
            self._refuse(event, error)
            return None
        arrived = (ARRIVED_HEADER, arrived_text(event.arrival_ms, self._name))
        return (arrived, (COMPARED_HEADER, b"1")) if is_compared else (arrived,)

    def _is_next(self, head: HistoryHead, event: Arrival) -> bool:
        is_ours = head.brought_by == self._name
        if not is_ours and event.arrival_ms < head.last_ms:
            self._refuse(event, RefusedError(BEFORE, path="$.timestamp", detail="history goes on where the import before it ended"))
            return False
        self.first_ms = event.arrival_ms if self.first_ms is None else self.first_ms
        self.last_ms = event.arrival_ms
        if is_ours and head.has(event):
            self.was_there += 1
            return False
        return True


__all__ = ["BEFORE", "HistoryWriter", "Importer"]
