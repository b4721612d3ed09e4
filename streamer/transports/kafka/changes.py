"""Segment changes, read back from Kafka as a downstream service should read them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal, overload

from streamer.flow.reader import Deduplicator
from streamer.segments.change import Change
from streamer.segments.merge import Merge, decode_change_or_merge
from streamer.segments.unmerge import Unmerge
from streamer.settings import Settings
from streamer.wire import CHANGES

from .clients import reader


@overload
def read_changes(
    settings: Settings, *, group: str | None = None, from_start: bool = True, wait_ms: int = 500, merges: Literal[False] = False
) -> AsyncIterator[Change]: ...


@overload
def read_changes(
    settings: Settings, *, group: str | None = None, from_start: bool = True, wait_ms: int = 500, merges: Literal[True]
) -> AsyncIterator[Change | Merge | Unmerge]: ...


async def read_changes(
    settings: Settings, *, group: str | None = None, from_start: bool = True, wait_ms: int = 500, merges: bool = False
) -> AsyncIterator[Change | Merge | Unmerge]:
    """Segment changes as a downstream service should read them: each once, in order per shard.

    A repeated position (a relay that crashed between publishing and trimming, a former owner) is dropped: ``skip what is not above the
    highest position seen in this shard``. With a ``group`` offsets are committed as changes are handed out, and a restart may repeat the
    last few: then keep ``(shard, generation, offset, ordinal)`` beside your own result and drop likewise. ``wait_ms`` is how long the
    broker may hold a request while there is nothing new; the embedded one holds it so long whatever comes.

    With ``merges`` it also hands out that the past of another id has come to a customer, and that such an id is a customer again, before
    the changes that this brings about: for whoever keeps something of their own by customer. Without it they are passed over: the changes
    alone say who is in which segment.
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
            said = decode_change_or_merge(record.value or b"")
            position = said.data.position
            is_new = highest.is_new(position.shard, position.generation, position.offset, position.ordinal)
            if is_new and (merges or isinstance(said, Change)):
                yield said
    finally:
        await consumer.stop()


__all__ = ["read_changes"]
