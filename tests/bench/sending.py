"""Events into a log: as fast as the broker takes them, or at a steady rate."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import islice
from time import monotonic
from typing import Any

from aiokafka import AIOKafkaProducer

from streamer.wire import shard_of

from .shop import Made

TURN_SECONDS = 0.01


async def write(client: AIOKafkaProducer, topic: str, made: Iterable[Made], ends: list[int]) -> None:
    """Append in whole batches, with the times that the events carry; ``ends`` of the partitions rise by what was written."""
    batches: dict[int, Any] = {}
    waiting: list[Any] = []
    for one in made:
        shard = shard_of(one.customer, len(ends))
        ends[shard] += 1
        batch = batches.get(shard)
        if batch is None or batch.append(timestamp=one.at_ms, key=one.customer.encode(), value=one.value) is None:
            if batch is not None:
                waiting.append(await client.send_batch(batch, topic, partition=shard))
            batch = batches[shard] = client.create_batch()
            batch.append(timestamp=one.at_ms, key=one.customer.encode(), value=one.value)
    for shard, batch in batches.items():
        waiting.append(await client.send_batch(batch, topic, partition=shard))
    for acknowledged in waiting:
        await acknowledged


async def send_steadily(
    client: AIOKafkaProducer, topic: str, made: Iterable[Made], ends: list[int], per_second: float
) -> dict[tuple[int, int], int]:
    """Send at a steady rate; the broker's time of every record by (shard, offset)."""
    waiting: list[tuple[int, int, Any]] = []
    source, sent, began = iter(made), 0, monotonic()
    while True:
        due = int((monotonic() - began) * per_second) - sent
        turn = list(islice(source, due)) if due > 0 else []
        if due > 0 and not turn:
            break
        sent += len(turn)
        by_shard: dict[int, list[Made]] = {}
        for one in turn:
            by_shard.setdefault(shard_of(one.customer, len(ends)), []).append(one)
        for shard, found in by_shard.items():
            batch: Any = client.create_batch()
            for one in found:
                batch.append(timestamp=None, key=one.customer.encode(), value=one.value)
            ends[shard] += len(found)
            waiting.append((shard, len(found), await client.send_batch(batch, topic, partition=shard)))
        await asyncio.sleep(TURN_SECONDS)
    arrivals: dict[tuple[int, int], int] = {}
    for shard, number, acknowledged in waiting:
        told = await acknowledged
        arrivals.update({(shard, told.offset + index): told.timestamp for index in range(number)})
    return arrivals
