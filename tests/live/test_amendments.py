"""Decisions about places of the log, on a real broker: written by the owner alone, obeyed by every rebuild, and the way out of a halt."""

from __future__ import annotations

import asyncio
import gc
import os
from base64 import b64encode
from pathlib import Path
from time import monotonic, time
from typing import Any

import msgspec
import pytest
import redis
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from pydantic import SecretStr

from streamer.errors import FencedError, HaltError
from streamer.events.dead_letter import read_dead_letter
from streamer.flow.amendments import Amendment, encode_amendment
from streamer.flow.checkpoint import decode_body
from streamer.language.definitions import parse_definitions
from streamer.local.apache_kafka import ApacheKafka, ExternalKafka
from streamer.settings import Settings
from streamer.stores.base import Checkpoint
from streamer.stores.buckets import bucket_of
from streamer.transports.kafka.clients import connection, reader
from streamer.transports.kafka.definitions_topic import read_published
from streamer.transports.kafka.journal import KafkaJournal, read_amendments
from streamer.transports.kafka.topics import ensure_topics
from streamer.wire import AMENDMENTS, DEAD_LETTERS, DEFINITIONS, EVENTS, DeadLetter, definitions_control, shard_of

from .deployment import SHARDS, Deployment

ANOTHER = parse_definitions({"segments": {"forged": {"for": "x", "when": 'did("A")'}}})

# A worker whose code fails at one customer, as a release of ours may.
POISONED = """
import sys
from streamer.flow.evaluation import Evaluator
sound = Evaluator._remember
def remember(self, state, event, t, now):
    found = sound(self, state, event, t, now)
    if event.customer == "poison":
        raise ZeroDivisionError(event.customer)
    return found
Evaluator._remember = remember
from streamer.cli import main
sys.argv = ["streamer", "worker"]
main()
"""


async def test_an_owner_that_lost_a_shard_cannot_amend_it_any_more(kafka: ApacheKafka | ExternalKafka, fresh_name: str) -> None:
    """What the new owner has read is whole: nothing comes behind it that a rebuild would obey and this owner did not."""
    settings = Settings(kafka=kafka.bootstrap, topic_prefix=fresh_name, shards=2)  # pyright: ignore[reportCallIssue] - all have defaults
    await ensure_topics(settings)
    unheard = list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unheard.append(context))
    former = await KafkaJournal.open(settings, 1, "former")
    try:
        await former.write(Amendment("fault", 1, 17, detail="KeyError"))
        heir = await KafkaJournal.open(settings, 1, "heir")
        try:
            assert heir.amendments.refusal(17) is not None
            with pytest.raises(FencedError):
                await former.write(Amendment("fault", 1, 18))
            await heir.write(Amendment("aside", 1, 19, customer="c", due_ms=5))
        finally:
            await heir.close()
    finally:
        await former.close()
    del former
    gc.collect()
    assert unheard == [], "the client keeps its error for nobody, and asyncio prints it when it is forgotten"
    kept = [one async for one in read_amendments(settings, 1)]
    assert [(one.what, one.offset, one.who) for one in kept] == [("fault", 17, "former"), ("aside", 19, "heir")]
    assert all(one.when is not None for one in kept)
    assert [one async for one in read_amendments(settings, 0)] == []


async def test_once_keys_hold_nobody_obeys_what_is_not_signed(shop: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else whoever may write into that topic could have a shard pass over an erasure; and `streamer doctor` tells of them."""
    monkeypatch.setenv("STREAMER_SIGNING_KEYS", f"k1:{b64encode(b'1' * 32).decode()}")
    assert "k1 now in" in await shop.command("keys", "use", "k1")
    settings = shop.settings.model_copy(update={"signing_keys": SecretStr(os.environ["STREAMER_SIGNING_KEYS"])})
    assert (await read_published(settings)).keys == ["k1"]
    with pytest.raises(HaltError, match="'k1', which is not in STREAMER_SIGNING_KEYS"):
        await KafkaJournal.open(shop.settings, 0)
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka) as client:
        await client.send_and_wait(settings.topic(AMENDMENTS), encode_amendment(Amendment("skip", 0, 5)), partition=0)
        await client.send_and_wait(settings.topic(DEFINITIONS), definitions_control(ANOTHER.content(), ANOTHER.digest, 9), partition=0)
    journal = await KafkaJournal.open(settings, 0)
    await journal.write(Amendment("fault", 0, 6))
    await journal.close()
    await (await KafkaJournal.open(settings, 0)).close()  # the next owner sees a commit at once, other readers a moment later
    assert [one.offset async for one in read_amendments(settings, 0)] == [6]
    assert list((await read_published(settings)).refused) != []
    assert "1 records of shard 0 are not signed as they must be" in await shop.command("doctor")


async def test_a_shard_whose_log_lost_its_beginning_goes_on_where_a_person_says(shop: Deployment) -> None:
    """Retention ran over unread records: the halt is listed with its reason, one command ends it, and nobody starts a worker again."""
    await shop.load(2)
    gap = (await shop.ends(EVENTS))[0] - 1
    operator = AIOKafkaAdminClient(**connection(shop.settings))
    await operator.start()
    try:
        await operator.delete_records({TopicPartition(shop.settings.topic(EVENTS), 0): RecordsToDelete(gap)})
    finally:
        await operator.close()
    worker = shop.start_worker()
    await shop.until_problem("begins at offset")
    listed = await shop.until_said("halted", "shards", "list")
    assert "its retention took records that were not read yet" in listed

    said = await shop.command("shards", "resume", "0", "--at", str(gap), "--why", "a test of the way out")
    assert "amended: resume at offset 0 of shard 0" in said, said
    await shop.until(lambda found: found[0].position.offset > gap, deadline_s=30)
    assert worker.alive

    said = await shop.command("shards", "rebuild", "0", "--why", "once more")
    assert "is told anew" in said, said
    kept = [one async for one in read_amendments(shop.settings, 0)]
    assert [(one.what, one.offset, one.to, one.why) for one in kept] == [
        ("resume", 0, gap, "a test of the way out"),
        ("resume", 0, gap, "once more"),
    ]
    await shop.until_caught_up()
    assert set(await shop.stop_all()) == {0}, shop.logs()


async def test_a_record_at_which_a_release_fails_costs_that_record_and_every_rebuild_agrees(shop: Deployment, tmp_path: Path) -> None:
    """A poisoned record on real servers: a dead letter at once, the shard goes on, and a sound worker that rebuilds obeys the amendment."""
    script = tmp_path / "poisoned.py"
    script.write_text(POISONED)
    shop.start_worker(str(script))
    shard = shard_of("poison", SHARDS)
    async with shop.producer() as client:
        now_ms = int(time() * 1_000)
        event = msgspec.json.encode({"event": "Product Viewed", "messageId": "p-1", "userId": "poison", "timestamp": now_ms})
        sent = await client.send_and_wait(shop.settings.topic(EVENTS), event, key=b"poison", partition=shard)
    await shop.until(lambda found: found[shard].position.offset > sent.offset + 2)
    letter, key = await _letter(shop, shard)
    assert letter.origin is not None
    assert (letter.reason, letter.detail, letter.origin.offset, key) == ("fault", "ZeroDivisionError", sent.offset, b"poison")
    assert set(await shop.stop_all()) == {0}, shop.logs()
    before: Checkpoint = (await shop.checkpoints())[shard]

    shop.start_worker()
    assert "is told anew" in await shop.command("shards", "rebuild", str(shard))
    await shop.until(lambda found: found[shard].position.offset >= before.position.offset)
    assert [(one.what, one.offset) async for one in read_amendments(shop.settings, shard)] == [("fault", sent.offset)]

    listed = await shop.command("dead-letters", "list", "--reason", "fault")
    assert f"shard {shard} offset {sent.offset}  fault at $ (ZeroDivisionError)" in listed
    assert '"userId":"poison"' in await shop.command("dead-letters", "show", str(shard), str(sent.offset))
    for _ in range(2):  # the second time it is a duplicate
        said = await shop.command("dead-letters", "redrive", "--reason", "fault")
        assert "1 records are in the log again, 0 were not sent" in said, said
    await shop.until(lambda found: decode_body(found[shard].body).counts.get("duplicate") == 1)
    assert decode_body((await shop.checkpoints())[shard].body).counts == {"fault": 1, "accepted": 1, "duplicate": 1}
    await shop.stop_all()


async def test_a_customers_state_that_cannot_be_read_is_folded_anew_from_the_log(shop: Deployment) -> None:
    """Damaged under a running worker: it is back to the byte, and readers are told nothing of it."""
    worker = shop.start_worker()
    await shop.load(2)
    await shop.until_caught_up()
    customer = "customer-7"  # one of forty who do something all the time
    with redis.Redis.from_url(shop.settings.store.get_secret_value()) as client:
        key = f"{{{shop.settings.namespace}:{shard_of(customer, SHARDS)}}}:customers:{bucket_of(customer)}"
        assert client.hexists(key, customer)
        client.hset(key, customer, b"\xc1")
    await shop.load(2)
    await shop.until_caught_up()
    assert '"kind":"refolded"' in worker.log_tail(500).replace('": "', '":"')
    assert set(await shop.stop_all()) == {0}, shop.logs()
    assert (await shop.reckon()).changes > 0


async def _letter(shop: Deployment, shard: int) -> tuple[DeadLetter, bytes]:
    partition, deadline = TopicPartition(shop.settings.topic(DEAD_LETTERS), shard), monotonic() + 30
    async with reader(shop.settings, enable_auto_commit=False, auto_offset_reset="earliest") as consumer:
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        while monotonic() < deadline:
            for records in (await consumer.getmany(partition, timeout_ms=500)).values():
                return read_dead_letter(records[0].value or b""), records[0].key or b""
    raise AssertionError(f"no dead letter\n{shop.logs()}")
