"""Messages at a steady rate: from the instant at which one is due to the moment at which its provider has it, and how old its last look is.

The provider is an SMTP server on this machine that takes each mail at once: what is measured is ours, and the broker's.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from contextlib import suppress
from time import perf_counter, time
from typing import Final

from aiohttp import ClientError, ClientSession
from aiosmtpd.smtp import SMTP, Envelope, Session

from streamer.language.definitions import parse_definitions
from streamer.local.children import Child, free_port
from streamer.sender.decision import read_decision
from streamer.transports.kafka.clients import producer
from streamer.transports.kafka.partition import read_partition
from streamer.transports.kafka.topics import ensure_topics
from streamer.values import parse_time_ms
from streamer.wire import EVENTS, MESSAGES, shard_of

from .deployment import SHARDS, Deployment, Servers
from .report import Report, percentile

PART: Final = "send"
RATE: Final = 100.0  # messages a second
SECONDS: Final = 40.0
WARM_SHARE: Final = 0.25  # of the run; the first moments are not the ordinary ones
WAIT_SECONDS: Final = 60.0
DEFINITIONS: Final = """
segments:
  buyer: {for: bought, when: 'did("Order Completed")'}
topics: {offers: opt_out}
messages:
  thanks: {for: says thanks, on: entered("buyer"), channel: email, topic: offers, template: thanks, facts: {first_name: trait("name")}}
"""


class Provider:
    """Takes every mail; ``arrived`` has the moment of each (UTC milliseconds) by the message's key."""

    def __init__(self) -> None:
        self.arrived: dict[str, int] = {}

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        del server, session
        assert isinstance(envelope.content, bytes)
        head = envelope.content.partition(b"\r\n\r\n")[0].lower()
        key = head.partition(b"\r\nmessage-id: <")[2].partition(b"@")[0].decode()
        assert key not in self.arrived, "one arrived twice"
        self.arrived[key] = int(time() * 1_000)
        return "250 OK"


async def measure(report: Report, servers: Servers, *, quick: bool) -> None:
    """p50 and p99 from due to handed over, and the same from the decision's record in Kafka."""
    seconds = SECONDS / (2 if quick else 1)
    report.begin(PART, f"{RATE:g} mails a second for {seconds:g} s, one worker, one sender; SMTP on this machine")
    deployment, provider = Deployment(servers, "bench-send", log_time=False), Provider()
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(provider, enable_SMTPUTF8=True), "127.0.0.1", 0)
    web_port = free_port()
    sender: Child | None = None
    try:
        await ensure_topics(deployment.settings)
        await deployment.define(parse_definitions(DEFINITIONS))
        deployment.start_worker()
        await deployment.work_off()
        sender = _start_sender(servers, deployment, server.sockets[0].getsockname()[1], web_port)
        await _until_ready(sender, web_port)
        number = int(RATE * seconds)
        await _buy(deployment, number)
        await _until_arrived(provider, number, sender)
        await _add(report, deployment, provider, web_port)
    finally:
        if sender is not None:
            sender.stop()
        server.close()
        await deployment.close()


def _start_sender(servers: Servers, deployment: Deployment, smtp_port: int, web_port: int) -> Child:
    folder = servers.folder / "templates"
    place = folder / "thanks" / "en"
    place.mkdir(parents=True)
    (place / "subject.liquid").write_text("Thank you")
    (place / "text.liquid").write_text("Hi {{ first_name }}, thank you. {{ unsubscribe_url }}")
    settings = deployment.settings
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("STREAMER_")},
        "STREAMER_KAFKA": settings.kafka,
        "STREAMER_STORE": settings.store.get_secret_value(),
        "STREAMER_TOPIC_PREFIX": settings.topic_prefix,
        "STREAMER_NAMESPACE": settings.namespace,
        "STREAMER_GROUP": settings.group,
        "STREAMER_SHARDS": str(settings.shards),
        "STREAMER_SENDER_WEB_PORT": str(web_port),
        "STREAMER_TEMPLATES": str(folder),
        "STREAMER_SMTP_HOST": "127.0.0.1",
        "STREAMER_SMTP_PORT": str(smtp_port),
        "STREAMER_SMTP_TLS": "none",
        "STREAMER_SMTP_FROM": "Shop <news@shop.example>",
        "STREAMER_LINK_KEYS": f"k1:{base64.b64encode(b's' * 32).decode()}",
        "STREAMER_COLLECT_URL": "https://shop.example",
        "STREAMER_SENDER_RATE": "1000",
        "STREAMER_SENDER_DOMAIN_RATE": "1000",
    }
    return Child([sys.executable, "-m", "streamer", "send"], log=servers.folder / "sender.log", env=environment)


async def _until_ready(sender: Child, web_port: int) -> None:
    async with asyncio.timeout(WAIT_SECONDS), ClientSession() as session:
        while True:
            assert sender.alive, sender.log_tail()
            with suppress(ClientError):
                async with session.get(f"http://127.0.0.1:{web_port}/readyz") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.1)


async def _buy(deployment: Deployment, number: int) -> None:
    """New customers who say who they are and buy, at the rate."""
    topic, begin = deployment.settings.topic(EVENTS), perf_counter()
    client = producer(deployment.settings)
    await client.start()
    try:
        for index in range(number):
            await asyncio.sleep(max(0.0, begin + index / RATE - perf_counter()))
            customer, now_ms = f"c-{index}", int(time() * 1_000)
            head = {"userId": customer, "timestamp": now_ms}
            traits = {"name": "Anna", "email": f"c{index}@shop.example"}
            for event in (
                {**head, "type": "identify", "messageId": f"i-{index}", "traits": traits},
                {**head, "event": "Order Completed", "messageId": f"o-{index}"},
            ):
                await client.send(topic, json.dumps(event).encode(), key=customer.encode(), partition=shard_of(customer, SHARDS))
        await client.flush()
    finally:
        await client.stop()


async def _until_arrived(provider: Provider, number: int, sender: Child) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while len(provider.arrived) < number:
            assert sender.alive, sender.log_tail()
            await asyncio.sleep(0.1)


async def _add(report: Report, deployment: Deployment, provider: Provider, web_port: int) -> None:
    waits: list[tuple[int, int, int]] = []  # when due, how long from that and from the decision's record
    for shard in range(SHARDS):
        async for records in read_partition(deployment.settings, MESSAGES, shard):
            for record in records:
                decision = read_decision(record.value or b"")
                due_ms = None if decision is None else parse_time_ms(decision.data.due)
                if decision is not None and due_ms is not None:
                    arrived_ms = provider.arrived[decision.data.key]
                    waits.append((due_ms, arrived_ms - due_ms, arrived_ms - record.timestamp))
    waits.sort()
    counted = waits[int(len(waits) * WARM_SHARE) :]
    for name, column in (("due to handed over", 1), ("decision in Kafka to handed over", 2)):
        found = sorted(float(one[column]) for one in counted)
        report.add(PART, f"{name}, half within", percentile(found, 0.5), "ms", f"of {len(found):,}")
        report.add(PART, f"{name}, 99 of 100 within", percentile(found, 0.99), "ms")
    text = await _metrics(web_port)
    looks, total = text["sender_look_seconds_count"], text["sender_look_seconds_sum"]
    report.add(PART, "age of the last look, mean", total / looks * 1_000, "ms", f"of {looks:,.0f} mails")
    for name, value in text.items():
        if name.startswith("sender_look_seconds_bucket") and value >= 0.99 * looks:
            report.add(PART, "99 of 100 are younger than", float(name.split('"')[1]) * 1_000, "ms", "bound of a bucket")
            break


async def _metrics(web_port: int) -> dict[str, float]:
    async with ClientSession() as session, session.get(f"http://127.0.0.1:{web_port}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))}
