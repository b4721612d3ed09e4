"""Changes in Kafka, deliverers as processes, and an endpoint that remembers what came, in which order, and how it answered."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import NamedTuple, Self
from urllib.error import URLError
from urllib.request import urlopen

from aiohttp import web
from aiokafka import AIOKafkaConsumer, TopicPartition
from typer.testing import CliRunner

from streamer.cli import command_line
from streamer.language.definitions import parse_definitions
from streamer.local.apache_kafka import ApacheKafka, ExternalKafka
from streamer.local.children import Child, free_port
from streamer.settings import Settings
from streamer.transports.kafka.clients import connection, producer
from streamer.transports.kafka.definitions_topic import DefinitionsTopic
from streamer.transports.kafka.topics import ensure_webhook_topics
from streamer.webhooks.administration import read_log
from streamer.webhooks.signatures import new_secret
from streamer.webhooks.subscription import Filter, Start, Subscription
from streamer.webhooks.subscriptions import read_subscriptions, write_subscription
from streamer.wire import CHANGES, DEFINITIONS, EVENTS, POSITION_HEADER, definitions_control, position_text, shard_of

SHARDS = 3
WAIT_S = 50  # less than an endpoint hangs
VARIABLE = "STREAMER_TEST_WEBHOOK_SECRET"
SEGMENTS = """
segments:
  cart_left: {for: left a cart, when: 'since(last("Product Added")) >= "30m"'}
"""
HASTY = """
import streamer.webhooks.circuit as circuit, streamer.webhooks.schedule as schedule
schedule.WAITS_MS = (200,) * 9
circuit.PROBE_FIRST_MS = 200
circuit.PROBE_MAX_MS = 400
from streamer.cli import main
main()
"""


def change(customer: str, sequence: int, offset: int, segment: str = "cart_left") -> bytes:
    """A change as the relay writes it."""
    at = f"2026-02-23T22:58:{offset % 60:02}.000Z"
    position = {"generation": 1, "shard": shard_of(customer, SHARDS), "offset": offset, "ordinal": 0}
    data = {"segment": segment, "definitions": 1, "at": at, "sequence": sequence, "cause": {"kind": "event", "id": f"m-{offset}"}}
    head = {
        "specversion": "1.0",
        "id": f"1-{position['shard']}-{offset}-0",
        "source": "/streamer",
        "type": "segment.entered" if sequence % 2 else "segment.exited",
        "subject": customer,
        "time": at,
        "datacontenttype": "application/json",
    }
    return json.dumps({**head, "data": {**data, "because": [], "position": position}}).encode()


class Arrival(NamedTuple):
    """A request as it came, and what it was answered; status 0: it was not."""

    path: str
    webhook_id: str
    customer: str
    sequence: int
    status: int
    headers: dict[str, str]
    body: bytes


Answer = Callable[[str, str, int], Awaitable[int | web.Response]]
"""What to answer to a path, a customer and a sequence: a status, or a whole answer."""


async def well(_path: str, _customer: str, _sequence: int) -> int:
    """An endpoint without faults."""
    return 204


class Receiver:
    """An endpoint on loopback. ``answer`` may be changed at any time."""

    def __init__(self, answer: Answer = well) -> None:
        self.answer = answer
        self.arrivals: list[Arrival] = []
        self.url = ""

    async def __aenter__(self) -> Self:
        port = free_port()
        self._runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        told = json.loads(body)
        customer, sequence = told["subject"], told["data"]["sequence"]
        answer = await self.answer(request.path, customer, sequence)
        response = answer if isinstance(answer, web.Response) else web.Response(status=answer)
        webhook_id = request.headers["webhook-id"]
        self.arrivals.append(Arrival(request.path, webhook_id, customer, sequence, response.status, dict(request.headers), body))
        return response

    def delivered(self, path: str = "/") -> dict[str, list[int]]:
        """The sequences that were answered with 2xx, by customer, in the order in which they came; repeats left out."""
        found: dict[str, list[int]] = defaultdict(list)
        for one in self.arrivals:
            if one.path == path and 200 <= one.status < 300 and one.sequence not in found[one.customer]:
                found[one.customer].append(one.sequence)
        return dict(found)


class Hooks:
    """The topics of one test, and its processes."""

    def __init__(self, kafka: ApacheKafka | ExternalKafka, name: str, folder: Path) -> None:
        self.settings = Settings(kafka=kafka.bootstrap, topic_prefix=name, shards=SHARDS, group=name)  # pyright: ignore[reportCallIssue]
        self.secret = new_secret()
        self.store = "redis://127.0.0.1:1"  # nobody is there: webhooks need none
        self.children: list[Child] = []
        self.ports: list[int] = []
        self._kafka = kafka
        self._folder = folder
        self._next = dict.fromkeys(range(SHARDS), 0)
        self._sequences: dict[str, int] = defaultdict(int)

    async def prepare(self) -> None:
        """The topics, and definitions with one segment."""
        for topic in (EVENTS, CHANGES):
            self._kafka.create_topic(self.settings.topic(topic), SHARDS)
        self._kafka.create_topic(self.settings.topic(DEFINITIONS), 1)
        await ensure_webhook_topics(self.settings)
        definitions = parse_definitions(SEGMENTS)
        async with producer(self.settings) as client:
            await DefinitionsTopic(self.settings, client).append(definitions_control(definitions.content(), definitions.digest, 1))

    async def command(self, *words: str, code: int) -> str:
        """What a command of ``streamer webhooks`` says, on both outputs; in this process, beside what runs here."""
        app, runner = command_line("webhooks"), CliRunner()
        result = await asyncio.to_thread(runner.invoke, app, ["webhooks", *words], env=self.environment, catch_exceptions=False)
        assert result.exit_code == code, f"{words}: {result.exit_code}\n{result.output}\n{self.logs()}"
        return result.output

    @property
    def environment(self) -> dict[str, str]:
        settings = self.settings
        return {
            **os.environ,
            "STREAMER_KAFKA": settings.kafka,
            "STREAMER_STORE": self.store,
            "STREAMER_TOPIC_PREFIX": settings.topic_prefix,
            "STREAMER_GROUP": settings.group,
            "STREAMER_SHARDS": str(SHARDS),
            "STREAMER_SESSION_TIMEOUT": "6000",
            "STREAMER_WEBHOOK_ALLOW": "127.0.0.0/8",
            VARIABLE: self.secret,
        }

    def start(self, script: str = HASTY) -> Child:
        """One more deliverer; by default one that does not wait as long as it should."""
        self.ports.append(free_port())
        environment = {**self.environment, "STREAMER_WEBHOOK_WEB_PORT": str(self.ports[-1])}
        child = Child(
            [sys.executable, "-c", script, "webhooks", "run"], log=self._folder / f"hooks-{len(self.children)}.log", env=environment
        )
        self.children.append(child)
        return child

    def subscription(self, url: str, name: str = "shop", wants: Filter | None = None) -> Subscription:
        wants = wants if wants is not None else Filter()
        return Subscription(name=name, id="0a1b2c3d", url=url, secrets=(f"env:{VARIABLE}",), start=Start(), wants=wants)

    async def subscribe(self, *subscriptions: Subscription) -> None:
        async with producer(self.settings) as client:
            for one in subscriptions:
                await write_subscription(self.settings, client, one.name, one)

    async def write(self, customers: Sequence[str]) -> None:
        """One more change of each of these customers, in this order."""
        async with producer(self.settings) as client:
            waiting = []
            for customer in customers:
                self._sequences[customer] += 1
                shard = shard_of(customer, SHARDS)
                offset = self._next[shard]
                self._next[shard] += 1
                raw, headers = change(customer, self._sequences[customer], offset), [(POSITION_HEADER, position_text(1, offset, 0))]
                topic = self.settings.topic(CHANGES)
                waiting.append(await client.send(topic, raw, key=customer.encode(), partition=shard, headers=headers))
            await asyncio.gather(*waiting)

    def written(self) -> dict[str, list[int]]:
        """All that was written: the sequences of each customer."""
        return {customer: list(range(1, last + 1)) for customer, last in self._sequences.items()}

    async def until(self, holds: Callable[[], bool], what: str, seconds: float = WAIT_S) -> None:
        deadline = monotonic() + seconds
        while not holds():
            assert monotonic() < deadline, f"not within {seconds} s: {what}\n{self.logs()}"
            await asyncio.sleep(0.05)

    async def until_status(self, name: str, status: str) -> Subscription:
        deadline = monotonic() + WAIT_S
        while (found := (await read_subscriptions(self.settings))[name]).status != status:
            assert monotonic() < deadline, f"{name} is {found.status}, not {status}\n{self.logs()}"
            await asyncio.sleep(0.2)
        return found

    async def until_logged(self, lines: int) -> None:
        """Return when the delivery log has so many lines, which are written behind the deliveries."""
        deadline = monotonic() + WAIT_S
        while (found := len(await read_log(self.settings))) < lines:
            assert monotonic() < deadline, f"{found} lines, not {lines}\n{self.logs()}"
            await asyncio.sleep(0.1)

    async def until_done(self, subscription: Subscription) -> None:
        """Return when the group says that all changes are done."""
        places = [TopicPartition(self.settings.topic(CHANGES), shard) for shard in range(SHARDS)]
        group = subscription.group(self.settings.group)
        async with AIOKafkaConsumer(**connection(self.settings), group_id=group, enable_auto_commit=False) as consumer:
            ends = await consumer.end_offsets(places)
            deadline = monotonic() + WAIT_S
            while (found := {place: await consumer.committed(place) for place in places}) != ends:
                assert monotonic() < deadline, f"the group is at {found}, not at {ends}\n{self.logs()}"
                await asyncio.sleep(0.2)

    def is_ready(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self.ports[-1]}/readyz", timeout=2) as answer:
                return answer.status == 200
        except (URLError, OSError):
            return False

    def figures(self, at: int = -1) -> str:
        with urlopen(f"http://127.0.0.1:{self.ports[at]}/metrics", timeout=2) as answer:
            return answer.read().decode()

    def logs(self) -> str:
        return "\n\n".join(child.log_tail(30) for child in self.children)

    def close(self) -> None:
        for child in self.children:
            child.kill()


def crowd(number: int, seed: int) -> list[str]:
    """So many customers, with repetitions, as they come."""
    draw = random.Random(seed)
    return [f"c-{draw.randrange(120)}" for _ in range(number)]
