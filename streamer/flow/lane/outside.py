"""The log and the topics as a lane meets them in the midst of its shard's work: that one does not answer is no fault of the record in hand.

Their errors are of a client's own classes. A shard that met one would take it for a fault of our code at the ``definitions`` record, and
pass over that.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import aclosing, contextmanager

from streamer.errors import StreamerError
from streamer.flow.relay import Sink
from streamer.flow.same_log import View
from streamer.flow.shard_log import Log
from streamer.stores.base import OutputPosition
from streamer.wire import LogRecord, Output


@contextmanager
def _asking() -> Generator[None]:
    """Whatever is raised inside is one of ours, or ConnectionError."""
    try:
        yield
    except (StreamerError, OSError):
        raise
    except Exception as error:
        raise ConnectionError(f"{type(error).__name__}: {error}") from error


class OutsideLog:
    """See ``Log``. Raises what is ours, else ConnectionError."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def history(self, shard: int, begin: int, end: int, limit: int) -> Sequence[LogRecord]:
        """See ``Log``."""
        with _asking():
            return await self._log.history(shard, begin, end, limit)

    async def look(self, shard: int, offset: int) -> View:
        """See ``Log``."""
        with _asking():
            return await self._log.look(shard, offset)

    async def read(self, shard: int, offset: int, limit: int) -> AsyncGenerator[Sequence[LogRecord]]:
        """See ``Log``."""
        async with aclosing(self._log.read(shard, offset, limit)) as batches:
            while True:
                with _asking():
                    try:
                        batch = await anext(batches)
                    except StopAsyncIteration:
                        return
                yield batch


class OutsideSink:
    """See ``Sink``. Raises what is ours, else ConnectionError."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    async def tail(self, topic: str, shard: int) -> OutputPosition | None:
        """See ``Sink``."""
        with _asking():
            return await self._sink.tail(topic, shard)

    async def send(self, outputs: Sequence[Output]) -> None:
        """See ``Sink``."""
        with _asking():
            await self._sink.send(outputs)
