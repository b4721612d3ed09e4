"""On real Kafka and Redis: one customer is folded anew from a handful of records, and comes to the bytes that the worker left."""

from __future__ import annotations

from collections.abc import AsyncIterator
from time import time

import msgspec
import pytest
from redis import Redis

from streamer.customers.offsets import places
from streamer.customers.state import decode_state
from streamer.flow.amendments import Amendments
from streamer.flow.catalog import Plans
from streamer.flow.checkpoint import decode_body
from streamer.flow.customer_folder import CustomerFolder
from streamer.local.redis import RedisServer
from streamer.signing import NO_KEYS
from streamer.stores.buckets import bucket_of
from streamer.transports.kafka.journal import read_amendments
from streamer.transports.kafka.record_picker import RecordPicker
from streamer.wire import EVENTS, shard_of
from tests.walk import customers_of

from .deployment import SHARDS, Deployment

BUSY = "customer-of-many"
EVENTS_OF_BUSY = 200


@pytest.fixture
async def picker(shop: Deployment) -> AsyncIterator[RecordPicker]:
    made = RecordPicker(shop.settings)
    yield made
    await made.stop()


def now_ms() -> int:
    return int(time() * 1_000)


async def send_busy(shop: Deployment) -> None:
    """200 events of one customer, far from each other in a log of others."""
    shard = shard_of(BUSY, SHARDS)
    others = [name for number in range(2_000) if shard_of(name := f"other-{number}", SHARDS) == shard]
    async with shop.producer() as client:
        for number in range(EVENTS_OF_BUSY):
            for customer in (BUSY, *(others[(number * 40 + at) % len(others)] for at in range(40))):
                event = {
                    "event": "Product Viewed",
                    "messageId": f"{number}-{customer}",
                    "userId": customer,
                    "timestamp": int(time() * 1_000),
                }
                await client.send(shop.settings.topic(EVENTS), msgspec.json.encode(event), key=customer.encode(), partition=shard)
            await client.flush()


async def test_each_customer_is_what_their_own_records_come_to(shop: Deployment, own_redis: RedisServer, picker: RecordPicker) -> None:
    """Beside a worker, by whoever asks; and where a state cannot be read the worker folds it by the same records."""
    worker = shop.start_worker()
    await shop.load(2)
    await send_busy(shop)
    await shop.until_caught_up()
    rules = shop.settings.rules

    async def amendments(shard: int) -> Amendments:
        return Amendments([each async for each in read_amendments(shop.settings, shard)])

    async with shop.store() as store:
        folder = CustomerFolder(store, rules, Plans(store, rules), NO_KEYS, picker, amendments)
        read = 0
        for shard in range(SHARDS):
            for customer in [name for name in await customers_of(store, shard) if not name.startswith("other")]:
                found = await store.committed(shard, [customer])
                blob = found.states[0] or b""
                body = decode_body(found.checkpoint.body)
                folded = await folder.fold(shard, customer, found.checkpoint.position, body, decode_state(blob).offsets)
                assert folded.state == blob, f"{customer} after {len(folded.told)} records"
                read += len(folded.told)
        assert read > EVENTS_OF_BUSY + 100

        before = await shop.command("explain", "customer-1", "--at", "1s", "--json")
        assert '"segment":"quiet"' in before.replace(" ", "")
        assert "nothing was known" in await shop.until_said("nothing was known", "explain", BUSY, "--at", "2000-01-01")

        shard = shard_of(BUSY, SHARDS)
        key, sound = f"{{{shop.settings.namespace}:{shard}}}:customers:{bucket_of(BUSY)}", b""
        with Redis.from_url(own_redis.url) as admin:
            sound = admin.hget(key, BUSY)
            assert isinstance(sound, bytes)
            assert len(places(decode_state(sound).offsets)) == EVENTS_OF_BUSY
            damaged = b"\x9f\xa1x" + sound[2:]
            admin.hset(key, BUSY, damaged)
        await send_busy(shop)
        await shop.until_caught_up()
    assert "their own records" in shop.logs()
    worker.process.terminate()
    assert set(await shop.stop_all()) == {0}, shop.logs()
    await shop.reckon()
