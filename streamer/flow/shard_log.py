"""The log of a shard, as whoever reads it beside the loop that works on it wants it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from streamer.wire import LogRecord

from .same_log import View


class Log(Protocol):
    """The log of a shard, read beside the loop that works on it."""

    async def look(self, shard: int, offset: int) -> View:
        """What the log of a shard has, and at ``offset``."""
        ...

    def read(self, shard: int, offset: int, limit: int) -> AsyncGenerator[Sequence[LogRecord]]:
        """From an offset to the end, at most ``limit`` records at a time."""
        ...
