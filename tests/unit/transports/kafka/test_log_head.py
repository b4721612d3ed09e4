"""Whoever writes history finds out that somebody else does so too."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from streamer.errors import SettingsError
from streamer.flow.replay import Arrival
from streamer.settings import load_settings
from streamer.transports.kafka.log_head import KafkaHistory
from streamer.wire import HISTORY

SHARD = 1


class Batch:
    """Records that are sent together, at most two."""

    def __init__(self) -> None:
        self.records = 0

    def append(self, **_record: object) -> object | None:
        if self.records == 2:
            return None
        self.records += 1
        return self

    def record_count(self) -> int:
        return self.records


class Broker:
    """Partitions in which records of several producers come to lie as they are sent. ``loses``: it does not say where the next one lies."""

    def __init__(self) -> None:
        self.ends = {0: 0, SHARD: 7}
        self.loses = False

    def create_batch(self) -> Batch:
        return Batch()

    async def send_batch(self, batch: Batch, _topic: str, *, partition: int) -> asyncio.Future[Any]:
        found = asyncio.get_running_loop().create_future()
        offset, self.loses = -1 if self.loses else self.ends[partition], False
        found.set_result(SimpleNamespace(partition=partition, offset=offset))
        self.ends[partition] += batch.record_count()
        return found

    def writer(self) -> KafkaHistory:
        return KafkaHistory(load_settings(), cast("Any", self), HISTORY, dict(self.ends))


async def write(writer: KafkaHistory, *shards: int) -> None:
    for shard in shards:
        await writer.write([(shard, Arrival(1, 1, b"v", key=b"k"), ())] * 3)
    await writer.finish()


@pytest.mark.parametrize("order", ["abab", "abba", "aabb", "baab", "bbaa"])
async def test_of_two_who_write_at_the_same_time_one_is_refused(order: str) -> None:
    """Both had looked where history ends. What they write lies mixed, and so not in the order of time."""
    broker = Broker()
    writers, refused = {"a": broker.writer(), "b": broker.writer()}, set[str]()
    for who in order:
        try:
            await write(writers[who], SHARD)
        except SettingsError as error:
            assert f"shard {SHARD}: somebody else brings history in at the same time" in str(error)  # noqa: PT017 - it need not be raised
            refused.add(who)
    assert refused - {order[0]} or order[:2] not in ("aa", "bb")
    assert refused


async def test_one_who_writes_alone_is_not() -> None:
    """In several shards, also where the broker does not say where a record lies that was sent twice."""
    broker = Broker()
    writer = broker.writer()
    await write(writer, SHARD, 0, SHARD, 0)
    broker.loses = True
    await write(writer, SHARD, SHARD, 0)
    await write(broker.writer(), SHARD, 0)
