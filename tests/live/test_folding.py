"""On real Kafka and Redis: one customer is folded anew from a handful of records, and comes to the bytes that the worker left."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from stat import S_IMODE
from time import time

import msgspec
import pytest
from redis import Redis

from streamer.customers.offsets import places
from streamer.customers.state import Membership, decode_state, encode_state
from streamer.customers.tombstone import is_tombstone
from streamer.flow.amendments import Amendments
from streamer.flow.catalog import Plans
from streamer.flow.checkpoint import decode_body
from streamer.flow.customer_folder import CustomerFolder
from streamer.local.redis import RedisServer
from streamer.signing import NO_KEYS
from streamer.stores.base import Store
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


async def records_folded(shop: Deployment, store: Store, picker: RecordPicker) -> int:
    """How many records it took to fold every customer (but those whose names begin with other), each to the bytes that the store has."""

    async def amendments(shard: int) -> Amendments:
        return Amendments([each async for each in read_amendments(shop.settings, shard)])

    rules, read = shop.settings.rules, 0
    folder = CustomerFolder(store, rules, Plans(store, rules), NO_KEYS, picker, amendments)
    for shard in range(SHARDS):
        for customer in [name for name in await customers_of(store, shard) if not name.startswith("other")]:
            found = await store.committed(shard, [customer])
            blob = found.states[0] or b""
            body = decode_body(found.checkpoint.body)
            folded = await folder.fold(shard, customer, found.checkpoint.position, body, decode_state(blob).offsets)
            assert folded.state == blob, f"{customer} after {len(folded.told)} records"
            read += len(folded.told)
    return read


async def test_each_customer_is_what_their_own_records_come_to(shop: Deployment, own_redis: RedisServer, picker: RecordPicker) -> None:
    """Beside a worker, by whoever asks; and where a state cannot be read the worker folds it by the same records."""
    worker = shop.start_worker()
    await shop.load(2)
    await send_busy(shop)
    await shop.until_caught_up()
    async with shop.store() as store:
        assert await records_folded(shop, store, picker) > EVENTS_OF_BUSY + 100

        before = await shop.command("explain", "customer-1", "--at", "1s", "--json")
        assert '"segment":"quiet"' in before.replace(" ", "")
        assert "nothing was known" in await shop.until_said("nothing was known", "explain", BUSY, "--at", "2000-01-01")

        shard = shard_of(BUSY, SHARDS)
        key, sound = f"{{{shop.settings.namespace}:{shard}}}:customers:{bucket_of(BUSY)}", b""
        with Redis.from_url(own_redis.url) as admin:
            sound = admin.hget(key, BUSY)
            assert isinstance(sound, bytes)
            assert len(places(decode_state(sound).offsets)) == EVENTS_OF_BUSY
            damaged = msgspec.msgpack.encode(["x", *msgspec.msgpack.decode(sound)[1:]])
            admin.hset(key, BUSY, damaged)
        await send_busy(shop)
        await shop.until_caught_up()
    assert "one customer was folded anew" in shop.logs()  # by their own records, or by the whole log where a slice was done in part
    worker.process.terminate()
    assert set(await shop.stop_all()) == {0}, shop.logs()
    await shop.reckon()


async def test_what_somebody_changed_in_the_store_is_found_by_the_worker_and_shown(
    shop: Deployment, own_redis: RedisServer, tmp_path: Path
) -> None:
    """Nothing fails at a state that can be read and is not true; the audit says so, and writes what shows it where it was told to."""
    folder = tmp_path / "audit"
    folder.mkdir()
    shop.start_worker(STREAMER_AUDIT_SHARE="0.5", STREAMER_AUDIT_FOLDER=str(folder))
    await shop.load(2)
    await shop.until_caught_up()
    await shop.until_said("since the workers began, none differs", "doctor", deadline_s=90)
    with Redis.from_url(own_redis.url) as admin:
        assert sum(_change_all(admin, key) for key in admin.scan_iter("*:customers:*")) > 10
    await shop.until_said("the store has something else than the log says", "doctor", deadline_s=120)
    file = next(folder.iterdir())
    assert S_IMODE(file.stat().st_mode) == 0o600
    shown = await shop.command("shards", "retell", str(file))
    assert "comes to what the worker was told" in shown
    assert "differs: segment" in shown


def _change_all(admin: Redis, key: bytes) -> int:
    """Write other states in place of those of one bucket: who was inside is outside, and the other way round. How many."""
    changed = 0
    for customer, blob in admin.hgetall(key).items():
        if isinstance(blob, str) or is_tombstone(blob) or not (state := decode_state(blob)).members:
            continue
        state.members = {number: Membership(entry.changes + 1, entry.at_ms) for number, entry in state.members.items()}
        admin.hset(key, customer, encode_state(state))
        changed += 1
    return changed
