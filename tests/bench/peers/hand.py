"""The consumer that a good engineer writes by hand in a day, on the five segments of ``rules``.

Durable: of each batch of a partition, one transaction keeps states, timers, the offset and what is to be said; after a crash the
outbox is sent again, so a change may come twice. It does not fence a second owner, rebalance, know duplicates, or say why.
Times are the log's; with ``JOB_CLOCK=wall`` timers also fire by the machine's clock.
"""

from __future__ import annotations

import asyncio
import os
from time import time
from typing import Any

import msgspec
import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from redis.asyncio import Redis

from tests.bench.peers.rules import NEVER, Change, Customer, take, wake

PARTITIONS = 12
EVENTS, CHANGES = os.environ.get("JOB_EVENTS", ""), os.environ.get("JOB_CHANGES", "")
WALL = os.environ.get("JOB_CLOCK") == "wall"
encode, decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(Customer).decode
encode_change = msgspec.json.Encoder().encode


def think(states: dict[str, Customer], events: list[tuple[int, Any]], until: int) -> list[Change]:
    """What a batch of (log time, event) changes in the states that it is given, and what it makes them say."""
    said: list[Change] = []
    for now, event in events:
        who = event["userId"]
        customer = states.get(who)
        if customer is None:
            customer = states[who] = Customer(now)
        said += wake(who, customer, now)
        said += take(who, customer, event["event"], event["properties"].get("total", 0), now)
    for who, customer in states.items():
        said += wake(who, customer, until)
    return said


class Partition:
    """One partition: its keys in Redis, and the outbox that is on its way."""

    def __init__(self, number: int, redis: Any, producer: AIOKafkaProducer) -> None:
        self.number, self.redis, self.producer = number, redis, producer
        self.timers, self.outbox, self.offset = f"timers:{number}", f"outbox:{number}", f"offset:{number}"
        self.sent: list[Any] = []  # what the broker has yet to acknowledge
        self.sent_count = 0

    async def start(self) -> int:
        """Send what a crash left unsent; returns the offset to go on from."""
        await self.send([Change(**orjson.loads(raw)) for raw in await self.redis.lrange(self.outbox, 0, -1)])
        return int(await self.redis.get(self.offset) or 0)

    async def handle(self, events: list[tuple[int, Any]], until: int, offset: int | None) -> None:
        names = {event["userId"] for _, event in events}
        names.update(raw.decode() for raw in await self.redis.zrangebyscore(self.timers, "-inf", until))
        if not names:
            return
        keys = list(names)
        raws = await self.redis.mget([f"c:{who}" for who in keys])
        states = {who: decode(raw) for who, raw in zip(keys, raws, strict=True) if raw is not None}
        said = think(states, events, until)
        await asyncio.gather(*self.sent)
        await self.commit(states, said, offset)
        await self.send(said)

    async def commit(self, states: dict[str, Customer], said: list[Change], offset: int | None) -> None:
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.mset({f"c:{who}": encode(customer) for who, customer in states.items()})
            if armed := {who: customer.due for who, customer in states.items() if customer.due != NEVER}:
                pipe.zadd(self.timers, armed)
            if unarmed := [who for who, customer in states.items() if customer.due == NEVER]:
                pipe.zrem(self.timers, *unarmed)
            if offset is not None:
                pipe.set(self.offset, offset)
            pipe.ltrim(self.outbox, self.sent_count, -1)
            if said:
                pipe.rpush(self.outbox, *map(encode_change, said))
            await pipe.execute()

    async def send(self, said: list[Change]) -> None:
        self.sent, self.sent_count = [], len(said)
        batch = self.producer.create_batch()
        for change in said:
            while batch.append(key=change.customer.encode(), value=encode_change(change), timestamp=None) is None:
                self.sent.append(await self.producer.send_batch(batch, CHANGES, partition=self.number))
                batch = self.producer.create_batch()
        if said:
            self.sent.append(await self.producer.send_batch(batch, CHANGES, partition=self.number))


async def main() -> None:
    redis: Any = Redis.from_url(os.environ["JOB_REDIS"])
    producer = AIOKafkaProducer(bootstrap_servers=os.environ["JOB_KAFKA"], enable_idempotence=True)
    consumer = AIOKafkaConsumer(bootstrap_servers=os.environ["JOB_KAFKA"], enable_auto_commit=False, auto_offset_reset="earliest")
    await producer.start()
    await consumer.start()
    partitions = [Partition(number, redis, producer) for number in range(PARTITIONS)]
    consumer.assign([TopicPartition(EVENTS, number) for number in range(PARTITIONS)])
    for partition in partitions:
        consumer.seek(TopicPartition(EVENTS, partition.number), await partition.start())
    looked = 0.0
    while True:
        fetched = await consumer.getmany(timeout_ms=20 if WALL else 200, max_records=6_000)
        for where, records in fetched.items():
            batch = [(record.timestamp, orjson.loads(record.value or b"{}")) for record in records]
            await partitions[where.partition].handle(batch, batch[-1][0], records[-1].offset + 1)
        if WALL and time() - looked > 0.1:
            looked = time()
            for partition in partitions:
                await partition.handle([], int(looked * 1_000), None)


if __name__ == "__main__":
    asyncio.run(main())
