"""The logs of all shards of a deployment, read from outside a worker."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Final, NamedTuple

from streamer.flow.amendments import Amendments
from streamer.flow.shard_history import ShardHistory
from streamer.flow.whole_log import ShardRecords, ShardStory
from streamer.settings import Settings
from streamer.wire import EVENTS, LogRecord

from .clients import log_record
from .journal import read_amendments
from .log_ends import LogEnds
from .log_inspector import LogInspector
from .partition import read_partition

BATCH_RECORDS: Final = 1_000


class PastWanted(NamedTuple):
    """Which history is to be told: by shard what lies below an ``end``, of what happened from ``since_ms`` until ``until_ms`` (UTC)."""

    ends: Mapping[int, int]
    since_ms: int
    until_ms: int


NO_PAST: Final = PastWanted({}, 0, 0)


async def open_logs(settings: Settings, ends: Mapping[int, LogEnds], past: PastWanted = NO_PAST) -> list[ShardStory]:
    """Each shard's log between two offsets, for ``whole_log``, with what its amendments and keys say. Raises KafkaError, HaltError where a
    key that holds is not in the settings; reading raises TimeoutError besides, when nothing comes for long."""
    found, histories = list[ShardStory](), LogInspector(settings)  # of which only what needs no connection kept is asked
    for shard, between in ends.items():
        amendments = Amendments([one async for one in read_amendments(settings, shard)])
        records = ShardRecords(shard, settings.rules, amendments, settings.keyring)
        end = past.ends.get(shard, 0)
        history = ShardHistory(histories, shard, end, since_ms=past.since_ms) if end else None
        found.append(ShardStory(_between(settings, shard, between), records, history, past.until_ms))
    return found


async def _between(settings: Settings, shard: int, ends: LogEnds) -> AsyncGenerator[Sequence[LogRecord]]:
    if ends.begin >= ends.end:
        return
    async with aclosing(read_partition(settings, EVENTS, shard, begin=ends.begin, max_records=BATCH_RECORDS)) as batches:
        async for records in batches:
            yield [log_record(record) for record in records if record.offset < ends.end]
            if records[-1].offset >= ends.end - 1:
                return


__all__ = ["NO_PAST", "PastWanted", "open_logs"]
