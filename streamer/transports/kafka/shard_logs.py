"""The logs of all shards of a deployment, read from outside a worker."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Final

from streamer.flow.amendments import Amendments
from streamer.flow.whole_log import Batches, ShardRecords
from streamer.settings import Settings
from streamer.wire import EVENTS, LogRecord

from .clients import log_record
from .journal import read_amendments
from .log_ends import LogEnds
from .partition import read_partition

BATCH_RECORDS: Final = 1_000


async def open_logs(settings: Settings, ends: Mapping[int, LogEnds]) -> list[tuple[Batches, ShardRecords]]:
    """Each shard's log between two offsets, for ``whole_log``, with what its amendments and keys say. Raises KafkaError, HaltError where a
    key that holds is not in the settings; reading raises TimeoutError besides, when nothing comes for long."""
    found: list[tuple[Batches, ShardRecords]] = []
    for shard, between in ends.items():
        amendments = Amendments([one async for one in read_amendments(settings, shard)])
        found.append((_between(settings, shard, between), ShardRecords(shard, settings.rules, amendments, settings.keyring)))
    return found


async def _between(settings: Settings, shard: int, ends: LogEnds) -> AsyncGenerator[Sequence[LogRecord]]:
    if ends.begin >= ends.end:
        return
    async with aclosing(read_partition(settings, EVENTS, shard, begin=ends.begin, max_records=BATCH_RECORDS)) as batches:
        async for records in batches:
            yield [log_record(record) for record in records if record.offset < ends.end]
            if records[-1].offset >= ends.end - 1:
                return


__all__ = ["open_logs"]
