"""Records of one customer in the log: those whose places are known, and the newest of a shard to look through."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from streamer.settings import Settings
from streamer.wire import EVENTS, LogRecord

from .answering import answering
from .clients import log_record
from .partition import read_partition
from .record_picker import RecordPicker


class CustomerRecords:
    """Connects when it is first asked. Everything raises UnansweredError where Kafka does not do its part."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._picker = RecordPicker(settings)

    async def at(self, shard: int, offsets: Sequence[int]) -> list[LogRecord]:
        """The records at these ascending offsets, as far as the log has them."""
        with answering():
            found = await self._picker.pick(shard, offsets)
        return [found[offset] for offset in offsets if offset in found]

    async def newest(self, shard: int, number: int) -> AsyncGenerator[Sequence[LogRecord]]:
        """The records at the last ``number`` offsets of a shard."""
        with answering():
            async with aclosing(read_partition(self._settings, EVENTS, shard, newest=number)) as batches:
                async for records in batches:
                    yield [log_record(record) for record in records]

    async def stop(self) -> None:
        """Close the connections."""
        await self._picker.stop()


__all__ = ["CustomerRecords"]
