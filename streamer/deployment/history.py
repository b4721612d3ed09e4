"""Which shards have no past that new definitions could ask for: there they hold from the record on that publishing itself writes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import Final

from streamer.flow.checkpoint import CheckpointBody
from streamer.flow.refold import Log

from .shards import ShardNow

BATCH_RECORDS: Final = 500


async def shards_without_past(shards: Sequence[ShardNow], log: Log) -> list[int]:
    """The shards of which nobody is known and in whose logs nothing lies but control records.

    An event that arrives at this moment may lie before or behind what is written next: its past is folded then as any other is.
    Raises what Kafka raises.
    """
    return [number for number, shard in enumerate(shards) if await _is_without_past(shard, log, number)]


async def _is_without_past(now: ShardNow, log: Log, shard: int) -> bool:
    if has_past(now.body):
        return False
    view = await log.look(shard, -1)
    begin = max(view.begin, now.offset)
    if begin >= view.end:
        return True
    async with aclosing(log.read(shard, begin, BATCH_RECORDS)) as batches:
        async for records in batches:
            if not all(record.control for record in records):
                return False
    return True


def has_past(body: CheckpointBody) -> bool:
    """Whether a shard has applied anything of which a memory could tell."""
    return bool(body.counts.get("accepted")) or bool(body.forwards) or any(body.customers)


__all__ = ["has_past", "shards_without_past"]
