"""What the group deals and takes away, while a shard has something in hand."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from aiokafka import TopicPartition

from streamer.stores.memory import MemoryStore
from streamer.worker.shards.owned_shard import OwnedShard
from streamer.worker.status.shard_state import ShardState
from tests.unit.worker.one_shard import owning


async def test_a_shard_that_was_revoked_before_its_turn_is_not_acquired() -> None:
    """To acquire it all the same would fence its new owner."""
    store = MemoryStore()
    segmenter, owned = owning(store)
    segmenter.consumer.client = cast("Any", SimpleNamespace(assignment=set[TopicPartition]))
    async with owned.lock:
        task = segmenter.background.spawn(segmenter.ownership.own(owned))
        await asyncio.sleep(0)
        revoked = asyncio.create_task(segmenter.ownership.revoked([owned.partition]))
        await asyncio.sleep(0)
        assert not owned.is_ours
    await asyncio.gather(task, revoked)

    assert (await store.checkpoint(0)).epoch == 0
    assert owned.state is ShardState.RELEASED


async def test_a_busy_shard_does_not_hold_up_the_others_at_a_rebalance() -> None:
    """The group waits for all of them, and without heartbeats it waits only for so long."""
    store = MemoryStore()
    segmenter, busy = owning(store)
    partition = TopicPartition(busy.partition.topic, 1)
    other = segmenter.shards[partition] = OwnedShard(partition)
    async with busy.lock:
        revoked = asyncio.create_task(segmenter.ownership.revoked([busy.partition, partition]))
        for _ in range(10):
            await asyncio.sleep(0)
        assert other.state == ShardState.RELEASED
        assert busy.state != ShardState.RELEASED
        assert segmenter.shards == {}
    await revoked
    assert busy.state == ShardState.RELEASED
