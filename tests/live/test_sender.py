"""Senders as processes on a real broker, with a real SMTP server: killed while mails leave, no offer arrives twice."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Set
from pathlib import Path
from time import monotonic, time

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.admin import DeleteGroupsRequest
from redis import Redis

from streamer.events.codec import decode
from streamer.local.apache_kafka import ApacheKafka, ExternalKafka
from streamer.local.children import Child, free_port
from streamer.local.redis import RedisServer
from streamer.sender.decision import SendDecision, read_decision
from streamer.sender.kafka_ledger import sender_group
from streamer.transports.kafka.clients import connection
from streamer.transports.kafka.partition import read_partition
from streamer.values import Json
from streamer.wire import EVENTS, MESSAGES, shard_of
from tests.unit.sender.mailbox import Mailboxes, mailboxes

from .deployment import SHARDS, Deployment

MAILS = 120
TEMPLATE = {"subject.liquid": "Your order", "text.liquid": "Hi {{ first_name }}, {{ unsubscribe_url }}"}
DEFINITIONS = """
segments:
  buyer:
    for: bought and did not cancel
    when: did("Order Completed") and (never("Order Cancelled") or last("Order Completed") > last("Order Cancelled"))
topics: {offers: opt_out}
messages:
  offer:
    for: says thanks with an offer
    on: entered("buyer")
    channel: email
    topic: offers
    template: thanks
    facts: {first_name: trait("name")}
  receipt:
    for: confirms the order
    on: entered("buyer")
    channel: email
    kind: transactional
    stay: false
    template: thanks
    facts: {first_name: trait("name")}
"""


class Sending:
    """A deployment whose customers buy, a mail server, and senders."""

    def __init__(self, shop: Deployment, server: Mailboxes, folder: Path) -> None:
        self.shop = shop
        self.server = server
        self.senders: list[Child] = []
        self._folder = folder
        place = folder / "templates" / "thanks" / "en"
        place.mkdir(parents=True)
        for name, text in TEMPLATE.items():
            (place / name).write_text(text)

    @property
    def variables(self) -> dict[str, str]:
        """The settings of a sender."""
        settings = self.shop.settings
        return {
            "STREAMER_KAFKA": settings.kafka,
            "STREAMER_STORE": settings.store.get_secret_value(),
            "STREAMER_TOPIC_PREFIX": settings.topic_prefix,
            "STREAMER_NAMESPACE": settings.namespace,
            "STREAMER_GROUP": settings.group,
            "STREAMER_SHARDS": str(SHARDS),
            "STREAMER_SESSION_TIMEOUT": str(settings.session_timeout),
            "STREAMER_SENDER_WEB_PORT": str(free_port()),
            "STREAMER_TEMPLATES": str(self._folder / "templates"),
            "STREAMER_SMTP_HOST": "127.0.0.1",
            "STREAMER_SMTP_PORT": str(self.server.port),
            "STREAMER_SMTP_TLS": "none",
            "STREAMER_SMTP_FROM": "Shop <news@shop.example>",
            "STREAMER_LINK_KEYS": f"k1:{base64.b64encode(b's' * 32).decode()}",
            "STREAMER_COLLECT_URL": "https://shop.example",
            "STREAMER_SENDER_RATE": "1000",
            "STREAMER_SENDER_DOMAIN_RATE": "1000",
        }

    def start(self) -> Child:
        """One more sender."""
        log = self._folder / f"sender-{len(self.senders)}.log"
        child = Child([sys.executable, "-m", "streamer", "send"], log=log, env={**os.environ, **self.variables})
        self.senders.append(child)
        return child

    def logs(self) -> str:
        return "\n\n".join([*(child.log_tail(30) for child in self.senders), self.shop.logs()])

    async def customers(self, numbers: range, name: str = "Order Completed") -> None:
        """Let each of these customers say who they are, and do something."""
        async with self.shop.producer() as client:
            for number in numbers:
                customer, now_ms = f"c-{number}", int(time() * 1_000)
                traits = {"name": "Anna", "email": f"good+{number}@shop.example"}
                about: dict[str, Json] = {
                    "type": "identify",
                    "messageId": f"i-{number}",
                    "userId": customer,
                    "timestamp": now_ms,
                    "traits": traits,
                }
                did: dict[str, Json] = {"event": name, "messageId": f"{name}-{number}", "userId": customer, "timestamp": now_ms}
                for event in (about, did):
                    topic, raw = self.shop.settings.topic(EVENTS), json.dumps(event).encode()
                    await client.send(topic, raw, key=customer.encode(), partition=shard_of(customer, SHARDS))
            await client.flush()
        await self.shop.until_caught_up()

    async def decided(self) -> dict[str, SendDecision]:
        """The decisions to send, by key."""
        found: dict[str, SendDecision] = {}
        for shard in range(SHARDS):
            async for batch in read_partition(self.shop.settings, MESSAGES, shard):
                for record in batch:
                    if (decision := read_decision(record.value or b"")) is not None:
                        found[decision.data.key] = decision
        return found

    async def until_decided(self, count: int) -> dict[str, SendDecision]:
        deadline = monotonic() + 30
        while len(found := await self.decided()) < count:
            assert monotonic() < deadline, f"{len(found)} of {count} decisions\n{self.shop.logs()}"
            await asyncio.sleep(0.1)
        return found

    async def say_again(self) -> int:
        """Append every decision of the topic once more, as whoever tells a log anew may; how many."""
        copies = 0
        async with self.shop.producer() as client:
            for shard in range(SHARDS):
                for record in await self.shop.read(MESSAGES, shard):
                    await client.send_and_wait(self.shop.settings.topic(MESSAGES), record.value, key=record.key, partition=shard)
                    copies += 1
        return copies

    async def forget_group(self) -> int:
        """Delete the group of the senders, all of which have ended; how many positions it had."""
        group = sender_group(self.shop.settings)
        admin = AIOKafkaAdminClient(**connection(self.shop.settings))
        await admin.start()
        try:
            held = await admin.list_consumer_group_offsets(group)
            client = AIOKafkaClient(**connection(self.shop.settings))
            await client.bootstrap()
            try:
                answer = await client.send(await admin.find_coordinator(group), DeleteGroupsRequest([group]))
                assert [*answer.results] == [(group, 0)], "the broker deleted it"
            finally:
                await client.close()
            assert not await admin.list_consumer_group_offsets(group)
        finally:
            await admin.close()
        return len(held)

    async def outcomes(self) -> dict[str, set[str]]:
        """What the log says became of each message."""
        found: dict[str, set[str]] = {}
        for shard in range(SHARDS):
            async for batch in read_partition(self.shop.settings, EVENTS, shard):
                for record in batch:
                    if b'"messageId":"out:' in (record.value or b""):
                        event = decode(record.value or b"")
                        assert shard_of(event.customer, SHARDS) == shard
                        _, key, kind = event.message_id.split(":")
                        found.setdefault(key, set()).add(kind)
        return found

    async def until_told(self, keys: Set[str]) -> dict[str, set[str]]:
        deadline = monotonic() + 60
        while keys - (found := await self.outcomes()).keys():
            assert monotonic() < deadline, f"{len(found)} of {len(keys)} outcomes\n{self.logs()}"
            await asyncio.sleep(0.2)
        return found

    async def until_arrived(self, mails: int) -> None:
        deadline = monotonic() + 40
        while len(self.server.mails) < mails:
            assert monotonic() < deadline, f"{len(self.server.mails)} of {mails} mails\n{self.logs()}"
            await asyncio.sleep(0.01)


@pytest.fixture
async def sending(kafka: ApacheKafka | ExternalKafka, own_redis: RedisServer, fresh_name: str, tmp_path: Path) -> AsyncIterator[Sending]:
    """Definitions with messages, a worker, and no sender yet."""
    async with mailboxes() as server, Deployment(kafka.bootstrap, own_redis.url, fresh_name, tmp_path, definitions=DEFINITIONS) as shop:
        await shop.prepare()
        shop.start_worker()
        made = Sending(shop, server, tmp_path)
        yield made
        for child in made.senders:
            child.kill()


async def test_killed_while_mails_leave_no_offer_arrives_twice_and_every_confirmation_arrives(sending: Sending) -> None:
    """kill -9 between a mail and the word of it: two senders share the shards, and the other takes over."""
    await sending.customers(range(MAILS // 2))
    decided = await sending.until_decided(MAILS)
    sending.server.delay_seconds = 0.02
    sending.start()
    sending.start()
    await sending.until_arrived(20)
    sending.senders[0].kill()
    assert len(sending.server.mails) < MAILS, "the kill came while mails were leaving"
    told, ids = await sending.until_told(decided.keys()), sending.server.ids
    for key, decision in decided.items():
        assert len(told[key]) == 1, told[key]
        if decision.data.kind == "transactional":
            assert ids[key] >= 1, "a confirmation is lost"
        else:
            assert ids[key] <= 1, f"an offer arrived {ids[key]} times"
            assert ids[key] == 1 or told[key] == {"unknown"}, told[key]
    assert Counter(kind for kinds in told.values() for kind in kinds)["sent"] > MAILS // 2
    await sending.shop.until_caught_up()
    rows = (await sending.shop.command("messages", "ledger", "--customer", "c-7", "--json")).splitlines()
    assert {(json.loads(row)["message"], json.loads(row)["decided"]) for row in rows} == {("offer", "send"), ("receipt", "send")}
    assert all(json.loads(row)["became"] in ("sent", "unknown") for row in rows), rows


async def test_what_an_event_contradicts_or_a_pause_holds_does_not_leave(sending: Sending) -> None:
    """The last look reads what was committed after the decision: an order that was cancelled is thanked for by nobody. And what is paused
    waits, and leaves once it is resumed."""
    await sending.customers(range(4))
    decided = await sending.until_decided(8)
    await sending.customers(range(2), "Order Cancelled")
    assert "paused: receipt" in await sending.shop.command("messages", "pause", "receipt")
    await sending.shop.until_caught_up()
    sending.start()
    offers = {key: decision for key, decision in decided.items() if decision.data.message == "offer"}
    told = await sending.until_told(offers.keys())
    assert {decision.customer: told[key] for key, decision in offers.items()} == {
        "c-0": {"failed"},
        "c-1": {"failed"},
        "c-2": {"sent"},
        "c-3": {"sent"},
    }, sending.logs()
    assert set(sending.server.ids) == {key for key, decision in offers.items() if decision.customer in ("c-2", "c-3")}
    assert "gate, stay" in await sending.shop.command("messages", "ledger", "--reason", "gate")
    assert "resumed: receipt" in await sending.shop.command("messages", "resume", "receipt")
    told = await sending.until_told(decided.keys())
    assert len(sending.server.mails) == 2 + 4
    assert {told[key] == {"sent"} for key in decided.keys() - offers.keys()} == {True}
    said = await sending.shop.command("messages", "preview", "offer", "c-2", **sending.variables)
    assert "Hi Anna," in said, said
    said = await sending.shop.command("messages", "test", "offer", "c-2", "--to", "me@shop.example", **sending.variables)
    assert "the server has it" in said, said
    assert (sending.server.mails[-1]["To"], sending.server.mails[-1]["Subject"]) == ("me@shop.example", "[test] Your order")


async def test_an_emptied_redis_and_a_group_without_its_positions_send_nothing_twice(sending: Sending, own_redis: RedisServer) -> None:
    """What was sent stands in Kafka alone. An emptied Redis lets the worker tell the log anew, and decisions may be said once more; a
    group without positions has nothing to say of where its senders are. No customer may notice either."""
    await sending.customers(range(6))
    first = await sending.until_decided(12)
    sending.start()
    await sending.until_told(first.keys())
    assert sending.server.ids == Counter(first.keys()), "each message was sent, once"
    owners = [checkpoint.owner for checkpoint in await sending.shop.checkpoints()]

    with Redis.from_url(own_redis.url) as admin:
        assert admin.dbsize() > 0
        admin.flushall()
    await sending.shop.until(lambda found: all(one.owner not in (b"", owner) for one, owner in zip(found, owners, strict=True)))
    assert await sending.say_again() >= 12
    assert {shard_of(f"c-{number}", SHARDS) for number in range(6, 12)} == set(range(SHARDS)), "what is said again lies before them"
    await sending.customers(range(6, 12))
    second = await sending.until_decided(24)
    assert sending.logs().count("the rest is told again from the log") >= SHARDS, sending.logs()
    await sending.until_told(second.keys())
    assert sending.server.ids == Counter(second.keys()), sending.logs()

    sending.senders[0].stop()
    assert await sending.forget_group() > 0, "there was something to forget"
    sending.start()
    await sending.customers(range(12, 16))
    third = await sending.until_decided(32)
    told = await sending.until_told(third.keys())
    assert sending.server.ids == Counter(third.keys()), sending.logs()
    assert set(map(frozenset, told.values())) == {frozenset({"sent"})}
