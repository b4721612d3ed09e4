"""Shards that are compared with the store once in a while."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from aiokafka import TopicPartition

from streamer.worker.shards.owned_shard import OwnedShard
from streamer.worker.status.shard_state import ShardState
from tests.unit.worker.one_worker import Worker

SHARDS = 3


async def test_shards_that_are_due_are_compared_together_and_once() -> None:
    """One after the other each paid a round trip of its own; a revoked one is its next owner's to look after."""
    worker, begun, all_begun = Worker(), list[int](), asyncio.Event()

    async def probe(number: int) -> None:
        begun.append(number)
        if len(begun) == SHARDS:
            all_begun.set()
        await asyncio.wait_for(all_begun.wait(), 5)

    def owned_shard(number: int) -> OwnedShard:
        owned = OwnedShard(TopicPartition(worker.owned.partition.topic, number), ShardState.OWNED)
        owned.shard = cast("Any", SimpleNamespace(position=number, probe=lambda: probe(number)))
        return owned

    shards = [owned_shard(number) for number in range(1, SHARDS + 2)]  # none that the log consumer reads
    shards[SHARDS].is_ours = False
    await worker.segmenter.upkeep.look_after(shards)
    await worker.segmenter.upkeep.look_after(shards)  # within the interval
    assert sorted(begun) == [1, 2, 3]
