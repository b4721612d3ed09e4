"""Segment changes, read back from Kafka as a downstream service should read them."""

from __future__ import annotations

from collections.abc import AsyncIterator

from streamer.flow.reader import Deduplicator
from streamer.segments.change import Change, decode_change
from streamer.settings import Settings
from streamer.wire import CHANGES

from .clients import reader


async def read_changes(
    settings: Settings, *, group: str | None = None, from_start: bool = True, wait_ms: int = 500
) -> AsyncIterator[Change]:
    """Segment changes as a downstream service should read them: each once, in order per shard.

    A repeated position (a relay that crashed between publishing and trimming, a former owner) is dropped: ``skip what is not above the
    highest position seen in this shard``. With a ``group`` offsets are committed as changes are handed out, and a restart may repeat the
    last few: then keep ``(shard, generation, offset, ordinal)`` beside your own result and drop likewise. ``wait_ms`` is how long the
    broker may hold a request while there is nothing new; the embedded one holds it so long whatever comes.
    """
    consumer = reader(
        settings,
        settings.topic(CHANGES),
        group_id=group,
        auto_offset_reset="earliest" if from_start else "latest",
        fetch_max_wait_ms=wait_ms,
    )
    highest = Deduplicator()
    await consumer.start()
    try:
        async for record in consumer:
            change = decode_change(record.value or b"")
            position = change.data.position
            if highest.is_new(position.shard, position.generation, position.offset, position.ordinal):
                yield change
    finally:
        await consumer.stop()


__all__ = ["read_changes"]
