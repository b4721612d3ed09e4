"""Senders as processes on a real broker, with a real SMTP server: killed while mails leave, no offer arrives twice."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic, time

import pytest
from aiokafka import AIOKafkaProducer

from streamer.events.codec import decode
from streamer.local.children import Child, free_port
from streamer.transports.kafka.partition import read_partition
from streamer.values import Json, time_text
from streamer.wire import EVENTS, MESSAGES, shard_of
from tests.unit.sender.decisions import decision_bytes
from tests.unit.sender.mailbox import Mailboxes, mailboxes

from .deployment import SHARDS, Deployment

MAILS = 120
TEMPLATE = {"subject.liquid": "Your cart", "text.liquid": "Hi {{ first_name }}, {{ unsubscribe_url }}"}


class Sending:
    """A deployment whose customers are buyers, decisions to write to them, and senders."""

    def __init__(self, shop: Deployment, server: Mailboxes, folder: Path) -> None:
        self.shop = shop
        self.server = server
        self.senders: list[Child] = []
        self.keys: set[str] = set()
        self._folder = folder
        self._number = 0
        place = folder / "templates" / "cart_reminder" / "en"
        place.mkdir(parents=True)
        for name, text in TEMPLATE.items():
            (place / name).write_text(text)

    def start(self) -> Child:
        """One more sender."""
        settings = self.shop.settings
        environment = {
            **os.environ,
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
        child = Child([sys.executable, "-m", "streamer", "send"], log=self._folder / f"sender-{len(self.senders)}.log", env=environment)
        self.senders.append(child)
        return child

    def logs(self) -> str:
        return "\n\n".join([*(child.log_tail(30) for child in self.senders), self.shop.logs()])

    async def make_customers(self, count: int) -> None:
        """Let so many customers enter `spender`, which they leave only with time."""
        async with self.shop.producer() as client:
            for number in range(count):
                await self.event(client, number, "Order Completed")
        await self.shop.until_caught_up()

    async def event(self, client: AIOKafkaProducer, number: int, name: str) -> None:
        customer = f"c-{number}"
        fields = {"event": name, "messageId": f"{name}-{number}", "userId": customer, "timestamp": int(time() * 1_000)}
        raw = json.dumps({**fields, "properties": {"total": 500}}).encode()
        await client.send_and_wait(self.shop.settings.topic(EVENTS), raw, key=customer.encode(), partition=shard_of(customer, SHARDS))

    async def decide(self, numbers: range, **data: Json) -> None:
        """Decisions to write to these customers."""
        topic = self.shop.settings.topic(MESSAGES)
        until = time_text(int(time() * 1_000) + 3_600_000)
        async with self.shop.producer() as client:
            for number in numbers:
                self._number += 1
                shard = shard_of(f"c-{number}", SHARDS)
                position: Json = {"generation": 1, "shard": shard, "offset": self._number, "ordinal": 0}
                more: dict[str, Json] = {"valid_until": until, "position": position, "address": f"good+{number}@shop.example", **data}
                await client.send(topic, decision_bytes(number, **more), key=f"c-{number}".encode(), partition=shard)
                self.keys.add(f"{number:032x}")
            await client.flush()

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

    async def until_all_are_told(self, deadline_s: float = 60) -> dict[str, set[str]]:
        deadline = monotonic() + deadline_s
        while (found := await self.outcomes()).keys() != self.keys:
            assert monotonic() < deadline, f"{len(found)} of {len(self.keys)} outcomes\n{self.logs()}"
            await asyncio.sleep(0.2)
        return found

    async def until_arrived(self, mails: int) -> None:
        deadline = monotonic() + 40
        while len(self.server.mails) < mails:
            assert monotonic() < deadline, f"{len(self.server.mails)} of {mails} mails\n{self.logs()}"
            await asyncio.sleep(0.01)


@pytest.fixture
async def sending(shop: Deployment, tmp_path: Path) -> AsyncIterator[Sending]:
    async with mailboxes() as server:
        made = Sending(shop, server, tmp_path)
        shop.start_worker()
        yield made
        for child in made.senders:
            child.kill()


ALWAYS: dict[str, Json] = {"trigger": {"on": None, "sequence": 1, "at": "2026-11-29T12:00:00.000Z"}}


async def test_killed_while_mails_leave_no_offer_arrives_twice_and_every_confirmation_arrives(sending: Sending) -> None:
    """kill -9 between a mail and the word of it: two senders share the shards, and the other takes over."""
    await sending.make_customers(MAILS)
    await sending.decide(range(0, MAILS, 2), **ALWAYS)
    await sending.decide(range(1, MAILS, 2), kind="transactional", **ALWAYS)
    sending.server.delay_seconds = 0.02
    sending.start()
    sending.start()
    await sending.until_arrived(20)
    sending.senders[0].kill()
    assert len(sending.server.mails) < MAILS, "the kill came while mails were leaving"
    told = await sending.until_all_are_told()
    ids = sending.server.ids
    for number in range(MAILS):
        key = f"{number:032x}"
        assert len(told[key]) == 1, told[key]
        assert ids[key] >= 1 or (told[key] == {"unknown"} and number % 2 == 0), (number, told[key])
        assert number % 2 or ids[key] <= 1, f"an offer arrived {ids[key]} times"
    assert Counter(kind for kinds in told.values() for kind in kinds)["sent"] > MAILS // 2


async def test_a_message_that_an_event_contradicts_does_not_leave(sending: Sending) -> None:
    """The last look reads the state that was committed after the decision: whoever is in no such stay any more gets nothing."""
    await sending.make_customers(4)
    entered: dict[str, Json] = {"on": "entered spender", "sequence": 1, "at": "2026-11-29T12:00:00.000Z"}
    await sending.decide(range(2), trigger=entered)
    await sending.decide(range(2, 4), trigger={**entered, "sequence": 3})
    sending.start()
    told = await sending.until_all_are_told()
    assert [told[f"{number:032x}"] for number in range(4)] == [{"sent"}, {"sent"}, {"failed"}, {"failed"}], sending.logs()
    assert set(sending.server.ids) == {f"{number:032x}" for number in range(2)}
