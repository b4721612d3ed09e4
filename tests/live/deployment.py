"""A shop in miniature on real servers: workers as processes, a load, and the reckoning afterwards.

The reckoning reads the whole log back from Kafka and tells its story anew in memory, undisturbed. What the workers left in Redis and what
a reader of the output topic sees must equal it.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import zip_longest
from pathlib import Path
from time import monotonic, time
from typing import Any, NamedTuple, Self
from urllib.error import HTTPError
from urllib.request import urlopen

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from streamer.customers.state import State, decode_state
from streamer.customers.tombstone import Tombstone, decode_tombstone, is_tombstone
from streamer.deployment.manifest import check_manifest
from streamer.flow.catalog import Plans
from streamer.flow.lane.lanes import OnTheSpot
from streamer.flow.same_log import View
from streamer.flow.shard import Shard
from streamer.flow.shard_log import Histories
from streamer.language.definitions import parse_definitions
from streamer.local.children import Child, free_port
from streamer.segments.change import Change
from streamer.segments.merge import Merge, decode_change_or_merge
from streamer.segments.unmerge import Unmerge
from streamer.settings import Settings
from streamer.stores.base import Checkpoint, Store
from streamer.stores.memory import MemoryStore
from streamer.transports.kafka.clients import connection, log_record, producer, reader
from streamer.transports.kafka.control import CONTROL
from streamer.transports.kafka.definitions_topic import DefinitionsTopic
from streamer.transports.kafka.log_inspector import LogInspector
from streamer.transports.kafka.topics import ensure_topics
from streamer.wire import CHANGES, EVENTS, LogRecord, definitions_control, shard_of
from tests.walk import customers_of

SHARDS = 3
SESSION_TIMEOUT_MS = 6_000  # the least that a broker allows by default
DEFINITIONS = """
segments:
  cart_left:
    for: left a cart a moment ago
    when: since(last("Product Added")) >= "700ms" and last("Product Added") > last("Order Completed")
    exit: since(last("Product Added")) >= "2s" or did("Order Completed", within="1s")
  busy: {for: many views at once, when: 'count("Product Viewed", within="3s") >= 4'}
  buyer: {for: bought lately, when: 'did("Order Completed", within="5s")', cooldown: 1s}
  spender: {for: spends, when: 'sum("Order Completed", "total", within="10s") >= 100'}
  quiet: {for: nothing for a while, when: 'idle("*") >= "2s"'}
  back: {for: came back after a silence, when: 'since(left("quiet")) < "1s"'}
"""


class Deployment:
    """Topics, keys and workers of one test."""

    def __init__(
        self,
        bootstrap: str,
        store_url: str,
        name: str,
        folder: Path,
        *,
        definitions: str = DEFINITIONS,
        tick: int = 200,
        trust_producer_time: bool = False,
    ) -> None:
        self.settings = Settings(
            kafka=bootstrap,
            store=store_url,  # type: ignore[arg-type] - pydantic makes the secret
            topic_prefix=name,
            namespace=name,
            group=name,
            shards=SHARDS,
            session_timeout=SESSION_TIMEOUT_MS,
            tick=tick,
            probe=300,
            trust_producer_time=trust_producer_time,
        )
        self.definitions = parse_definitions(definitions)
        self.workers: list[Child] = []
        self.ports: list[int] = []  # of the workers' web pages
        self.sent = 0
        self._folder = folder
        self._random = random.Random(name)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for child in self.workers:
            child.kill()

    async def prepare(self, *, at_ms: int | None = None) -> None:
        """Topics, manifest and definitions. ``at_ms``: the time of the definitions, where the topic does not take the broker's."""
        await ensure_topics(self.settings)
        definitions = self.definitions
        async with self.producer() as client:
            topic = DefinitionsTopic(self.settings, client)
            await check_manifest(self.settings, topic)
            raw = definitions_control(definitions.content(), definitions.digest, 1)
            await topic.append(raw)
            for shard in range(SHARDS):  # a time of one's own counts only where the topic takes it
                sent = await client.send(self.settings.topic(EVENTS), raw, partition=shard, headers=CONTROL, timestamp_ms=at_ms)
                await sent

    def start_worker(self, script: str = "", **settings: str) -> Child:
        """One more worker process; ``settings`` besides those of the deployment, by the names of their variables. ``script`` is a file that
        runs a worker whose code is not as it should be."""
        self.ports.append(free_port())
        environment = {
            **os.environ,
            "STREAMER_KAFKA": self.settings.kafka,
            "STREAMER_STORE": self.settings.store.get_secret_value(),
            "STREAMER_TOPIC_PREFIX": self.settings.topic_prefix,
            "STREAMER_NAMESPACE": self.settings.namespace,
            "STREAMER_GROUP": self.settings.group,
            "STREAMER_SHARDS": str(SHARDS),
            "STREAMER_SESSION_TIMEOUT": str(SESSION_TIMEOUT_MS),
            "STREAMER_TICK": str(self.settings.tick),
            "STREAMER_PROBE": "300",
            "STREAMER_TRUST_PRODUCER_TIME": str(self.settings.trust_producer_time),
            "STREAMER_WEB_PORT": str(self.ports[-1]),
            "STREAMER_BATCH_RECORDS": "50",
            **settings,
        }
        log = self._folder / f"worker-{len(self.workers)}.log"
        child = Child([sys.executable, *([script] if script else ["-m", "streamer", "worker"])], log=log, env=environment)
        self.workers.append(child)
        return child

    async def command(self, *words: str, **settings: str) -> str:
        """Run a command of ours as an operator would; its output. ``settings`` as for a worker."""
        return (await self._run(words, settings))[0]

    async def exit_code(self, *words: str, **settings: str) -> int | None:
        """Run a command as ``command`` does; with what it ended."""
        return (await self._run(words, settings))[1]

    async def _run(self, words: Sequence[str], settings: Mapping[str, str]) -> tuple[str, int | None]:
        environment = {
            **os.environ,
            "STREAMER_KAFKA": self.settings.kafka,
            "STREAMER_STORE": self.settings.store.get_secret_value(),
            "STREAMER_TOPIC_PREFIX": self.settings.topic_prefix,
            "STREAMER_NAMESPACE": self.settings.namespace,
            "STREAMER_SHARDS": str(SHARDS),
            "STREAMER_TRUST_PRODUCER_TIME": str(self.settings.trust_producer_time),
            **settings,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "streamer", *words, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        out, _ = await process.communicate()
        return out.decode(), process.returncode

    async def until_said(self, text: str, *words: str, deadline_s: float = 20) -> str:
        """Run a command until it says something: what it shows of a shard is a note, which comes within a second of the news."""
        deadline = monotonic() + deadline_s
        while text not in (said := await self.command(*words)):
            assert monotonic() < deadline, f"no {text!r} within {deadline_s} s, but {said}\n{self.logs()}"
        return said

    def logs(self) -> str:
        """What the workers wrote, for a failure."""
        return "\n\n".join(f"worker {number}:\n{child.log_tail(30)}" for number, child in enumerate(self.workers))

    @asynccontextmanager
    async def store(self) -> AsyncGenerator[Store]:
        store = self.settings.open_store()
        try:
            yield store
        finally:
            await store.close()

    @asynccontextmanager
    async def producer(self) -> AsyncGenerator[AIOKafkaProducer]:
        client = producer(self.settings)
        await client.start()
        try:
            yield client
        finally:
            await client.stop()

    # load

    async def load(self, seconds: float, *, rate: float = 150) -> None:
        """Customers' events for a while, one in ten sent twice. Goes on over a broker that is away."""
        async with self.producer() as client:
            end = monotonic() + seconds
            while monotonic() < end:
                customer, raw = self.event()
                for _ in range(2 if self._random.random() < 0.1 else 1):
                    try:
                        await client.send(self.settings.topic(EVENTS), raw, key=customer.encode(), partition=shard_of(customer, SHARDS))
                        self.sent += 1
                    except KafkaError:
                        await asyncio.sleep(0.2)
                await asyncio.sleep(1 / rate)

    def event(self) -> tuple[str, bytes]:
        """A customer and an event of theirs."""
        draw = self._random
        customer = f"customer-{draw.randrange(40)}"
        name = draw.choice(["Product Viewed"] * 5 + ["Product Added"] * 2 + ["Order Completed"])
        event = {
            "event": name,
            "messageId": f"{draw.getrandbits(64):016x}",
            "userId": customer,
            "timestamp": int(time() * 1_000) - draw.choice([0, 0, 0, 900]),
            "properties": {"total": draw.randrange(5, 60)},
        }
        return customer, msgspec.json.encode(event)

    # waiting

    async def checkpoints(self) -> list[Checkpoint]:
        """What the store has of each shard."""
        async with self.store() as store:
            return [await store.checkpoint(shard) for shard in range(SHARDS)]

    async def until_caught_up(self, *, deadline_s: float = 60) -> None:
        """Wait until every shard has reached the end that its log has now."""
        ends = await self.ends(EVENTS)
        await self.until(lambda found: all(c.position.offset >= end for c, end in zip(found, ends, strict=True)), deadline_s=deadline_s)

    async def until(self, holds: Callable[[list[Checkpoint]], bool], *, deadline_s: float = 60) -> None:
        """Wait for something to hold of the checkpoints."""
        deadline = monotonic() + deadline_s
        while not holds(found := await self.checkpoints()):
            if monotonic() > deadline:
                raise AssertionError(f"not within {deadline_s} s; checkpoints {[(c.epoch, c.position) for c in found]}\n{self.logs()}")
            await asyncio.sleep(0.1)

    async def until_owned(self) -> None:
        """Wait until every shard has an owner that works: one that has read the definitions."""
        await self.until(lambda found: all(checkpoint.position.offset > 1 for checkpoint in found))

    async def until_longer(self, shard: int, records: int, *, deadline_s: float = 20) -> None:
        """Wait until so many more records lie in a shard of the log, committed or not; ticks are some."""
        partition, deadline = TopicPartition(self.settings.topic(EVENTS), shard), monotonic() + deadline_s
        async with AIOKafkaConsumer(**connection(self.settings)) as consumer:
            begun = (await consumer.end_offsets([partition]))[partition]
            while (await consumer.end_offsets([partition]))[partition] < begun + records:
                assert monotonic() < deadline, f"no {records} records within {deadline_s} s\n{self.logs()}"
                await asyncio.sleep(0.1)

    async def problems(self) -> list[str]:
        """Why the newest worker says that it is not ready; empty when it is, or does not answer yet."""
        return await asyncio.to_thread(_problems, self.ports[-1])

    async def until_problem(self, text: str, *, deadline_s: float = 30) -> list[str]:
        """Wait until the newest worker names a problem; return all that it names."""
        deadline = monotonic() + deadline_s
        while text not in "\n".join(found := await self.problems()):
            assert monotonic() < deadline, f"no {text!r} within {deadline_s} s, but {found}\n{self.logs()}"
            await asyncio.sleep(0.1)
        return found

    async def until_moved(self, shard: int) -> None:
        """Wait until a shard has read more of its log than now."""
        before = (await self.checkpoints())[shard].position
        await self.until(lambda found: found[shard].position > before)

    async def ends(self, suffix: str) -> list[int]:
        """The last stable offset of every partition of a topic."""
        async with self._reader() as consumer:
            partitions = [TopicPartition(self.settings.topic(suffix), shard) for shard in range(SHARDS)]
            ends = await consumer.end_offsets(partitions)
            return [ends[partition] for partition in partitions]

    @asynccontextmanager
    async def _reader(self) -> AsyncGenerator[AIOKafkaConsumer]:
        consumer = reader(self.settings, enable_auto_commit=False, auto_offset_reset="earliest")
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()

    async def read(self, suffix: str, shard: int) -> list[Any]:
        """Every record of a partition."""
        async with self._reader() as consumer:
            partition = TopicPartition(self.settings.topic(suffix), shard)
            consumer.assign([partition])
            end = (await consumer.end_offsets([partition]))[partition]
            found: list[Any] = []
            await consumer.seek_to_beginning(partition)
            while await consumer.position(partition) < end:
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found += records
            return found

    # reckoning

    async def stop_all(self) -> list[int | None]:
        """SIGTERM to every worker that still runs; their exit codes."""
        for child in self.workers:
            child.resume()
        running = [child for child in self.workers if child.alive]
        for child in running:
            child.process.terminate()
        deadline = monotonic() + 10
        while any(child.alive for child in running) and monotonic() < deadline:  # noqa: ASYNC110 - processes have no event
            await asyncio.sleep(0.05)
        return [child.process.returncode for child in running]

    async def reckon(self) -> Reckoning:
        """Tell the story of the log anew and compare it with what the workers left. Call with all workers stopped."""
        changes = repeats = 0
        async with self.store() as store:
            for shard in range(SHARDS):
                checkpoint = await store.checkpoint(shard)
                records = [log_record(record) for record in await self.read(EVENTS, shard)]
                expected, twin, memory = await self.told(shard, records, checkpoint.position.offset)
                seen, again = _by_the_rule([decode_change_or_merge(record.value) for record in await self.read(CHANGES, shard)])
                assert not (wrong := _difference(seen, expected)), f"shard {shard}: another story: {wrong}\n{self.logs()}"
                assert seen == expected
                assert checkpoint.output_digest == twin.checkpoint.output_digest
                customers = await customers_of(memory, shard)
                assert customers == await customers_of(store, shard)
                mine = (await store.fetch(shard, customers, until_ms=0, limit=0)).states
                theirs = (await memory.fetch(shard, customers, until_ms=0, limit=0)).states
                assert [_entry(blob or b"") for blob in mine] == [_entry(blob or b"") for blob in theirs]
                changes += len(seen)
                repeats += again
        return Reckoning(changes, repeats)

    async def told(self, shard: int, records: list[LogRecord], upto: int) -> tuple[list[Change | Merge | Unmerge], Shard, MemoryStore]:
        """The story of a log up to an offset, told in memory: what it says, the shard that told it, and its store. What lies behind is what
        lanes of other shards may have sent."""
        memory, rules = MemoryStore(), self.settings.rules
        inspector = LogInspector(self.settings)
        lanes = OnTheSpot(memory, _ReadLog(records, inspector), rules, pause=asyncio.sleep)
        keeps, plans = self.settings.record_offsets, Plans(memory, rules)
        twin = await Shard.acquire(shard, memory, plans, rules, lanes=lanes, keeps_offsets=keeps, pause=asyncio.sleep)
        outputs = [output for _, entry in await twin.process([one for one in records if one.offset < upto]) for output in entry]
        return [decode_change_or_merge(output.value) for output in outputs if output.topic == CHANGES], twin, memory


class _ReadLog:
    """The log of a shard that was read whole; of other shards it only says that they have all of theirs."""

    def __init__(self, records: list[LogRecord], histories: Histories) -> None:
        self._records = records
        self._histories = histories

    async def look(self, shard: int, offset: int) -> View:
        """See ``flow.shard_log.Log``."""
        return View(0, self._records[-1].offset + 1 if self._records else 0)

    async def read(self, shard: int, offset: int, limit: int) -> AsyncGenerator[Sequence[LogRecord]]:
        """See ``flow.shard_log.Log``."""
        left = [record for record in self._records if record.offset >= offset]
        for at in range(0, len(left), limit):
            yield left[at : at + limit]

    async def history(self, shard: int, begin: int, end: int, limit: int) -> Sequence[LogRecord]:
        """See ``flow.shard_log.Histories``."""
        return await self._histories.history(shard, begin, end, limit)


def _problems(port: int) -> list[str]:
    try:
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return []
    except HTTPError as error:
        return msgspec.json.decode(error.read())["problems"]
    except OSError:
        return []


class Reckoning(NamedTuple):
    """How many changes a reader saw, and how many repeats it had to skip."""

    changes: int
    repeats: int


def _entry(blob: bytes) -> State | Tombstone:
    """What lies under an id."""
    return decode_tombstone(blob) if is_tombstone(blob) else decode_state(blob)


def _difference(seen: list[Change | Merge | Unmerge], expected: list[Change | Merge | Unmerge]) -> str:
    """The first place at which two stories part."""
    for at, (mine, theirs) in enumerate(zip_longest(seen, expected)):
        if mine != theirs:
            return f"change {at} of {len(seen)}, {len(expected)} expected:\n  seen     {mine}\n  expected {theirs}"
    return ""


def _by_the_rule(changes: list[Change | Merge | Unmerge]) -> tuple[list[Change | Merge | Unmerge], int]:
    """What a reader keeps that skips every position not above the highest it has seen."""
    kept: list[Change | Merge | Unmerge] = []
    highest = (-1, -1)
    for change in changes:
        position = (change.data.position.offset, change.data.position.ordinal)
        if position > highest:
            kept.append(change)
            highest = position
    return kept, len(changes) - len(kept)
