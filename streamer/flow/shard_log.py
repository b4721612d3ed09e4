"""The log of a shard, as whoever reads it beside the loop that works on it wants it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from streamer.wire import LogRecord

from .same_log import View


class Histories(Protocol):
    """What was imported, by shard."""

    async def history(self, shard: int, begin: int, end: int, limit: int) -> Sequence[LogRecord]:
        """At most ``limit`` records from the offset ``begin`` on, none from ``end`` on; empty only where there are none. Each arrived when
        it happened."""
        ...


class Log(Histories, Protocol):
    """The log of a shard, read beside the loop that works on it, and its history."""

    async def look(self, shard: int, offset: int) -> View:
        """What the log of a shard has, and at ``offset``."""
        ...

    def read(self, shard: int, offset: int, limit: int) -> AsyncGenerator[Sequence[LogRecord]]:
        """From an offset to the end, at most ``limit`` records at a time."""
        ...
