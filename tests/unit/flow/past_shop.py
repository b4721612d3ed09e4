"""A shop of two shards whose models are defined when years have gone by already: what its learner comes to, in one order or another."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import msgspec

from streamer.errors import StoreUnavailableError
from streamer.flow.catalog import Plans
from streamer.flow.lane.lanes import OnTheSpot
from streamer.flow.learner_checkpoint import LearnerCheckpoint
from streamer.flow.published import GivenVersions
from streamer.flow.relay import Relay
from streamer.flow.rules import Rules
from streamer.flow.shard import Shard
from streamer.flow.training import TrainingLog
from streamer.flow.training_order import read_training_record
from streamer.language.definitions import Definitions, parse_definitions
from streamer.stores.base import Store
from streamer.stores.memory import MemoryStore
from streamer.transports.memory import MemoryLog, MemorySink
from streamer.wire import (
    ARRIVED_HEADER,
    CONTROL_HEADER,
    EVENTS,
    EXAMPLES,
    HISTORY,
    LANE_HEADER,
    Headers,
    LogRecord,
    arrived_text,
    definitions_control,
    shard_of,
)

SHARDS = 2
T0 = 1_767_225_600_000
MINUTE = 60_000
SEGMENTS = """
segments:
  staff: {for: not customers, when: 'did("Staff Seen")'}
  keen: {for: bought twice, when: 'count("Order Completed") >= 2'}
"""
OLD = SEGMENTS + "models:\n  old: {kind: churn, horizon: 2h}\n"
NEW = """
models:
  old: {kind: churn, horizon: 2h}
  purchase: {kind: purchase, horizon: 30m, window: 10m, exclude: staff}
  spend: {kind: value, horizon: 30m}
  behaviour: {kind: groups, groups: 3}
  like_keen: {kind: lookalike, seed: keen}
  odd: {kind: unusual}
"""


class Happens(NamedTuple):
    """An event of a customer at a moment."""

    at_ms: int
    customer: str
    name: str


def visits(customers: int, *, every_ms: int = 20_000, seed: int = 1) -> list[Happens]:
    """Visits one after another: who fills a cart buys more often than not; some are staff, and some come again."""
    draw, found = random.Random(seed), list[Happens]()
    for number in range(customers):
        customer, at_ms = f"c{draw.randrange(max(1, number)) if draw.random() < 0.3 else number}", T0 + number * every_ms
        if draw.random() < 0.02:
            found.append(Happens(at_ms, customer, "Staff Seen"))
        carts = draw.random() < 0.4
        names = ["Product Viewed"] * draw.randrange(1, 5) + ["Product Added"] * carts
        names += ["Order Completed"] * (draw.random() < (0.6 if carts else 0.03))
        found += [Happens(at_ms + step * MINUTE, customer, name) for step, name in enumerate(names)]
    return sorted(found)


def defined(text: str) -> Definitions:
    """Definitions of a text."""
    return parse_definitions(text)


@dataclass
class Shop:
    """A log, and the owners of its shards. ``definitions`` have the numbers 1, 2, 3 …"""

    definitions: Sequence[Definitions]
    learns: bool = True
    store: MemoryStore = field(default_factory=MemoryStore)
    now_ms: int = T0

    def __post_init__(self) -> None:
        self.rules = Rules(shards=SHARDS)
        self.log = MemoryLog(SHARDS, lambda: self.now_ms)
        self.sent = 0
        self.shards: list[Shard | None] = [None] * SHARDS
        self.relays: list[Relay | None] = [None] * SHARDS

    def publish(self, version: int, shards: Iterable[int] = range(SHARDS), *, with_history: bool = False) -> None:
        """The record behind which they hold, in some shards; ``with_history``: and what was remembered is a part of the past."""
        found = self.definitions[version - 1]
        history = [self.log.end(HISTORY, shard) for shard in range(SHARDS)] if with_history else ()
        self.log.send_control(definitions_control(found.content(), found.digest, version, history=history), list(shards))

    def remember(self, happened: Happens) -> None:
        """An event as it was imported."""
        self.now_ms = max(self.now_ms, happened.at_ms)
        header = (ARRIVED_HEADER, arrived_text(happened.at_ms, "00000000000000aa"))
        self._put(HISTORY, happened, (header,))

    def write(self, happened: Happens) -> None:
        """An event arrives as it happens."""
        self.now_ms = max(self.now_ms, happened.at_ms)
        self._put(EVENTS, happened, ())

    def _put(self, topic: str, happened: Happens, headers: Headers) -> None:
        self.sent += 1
        body: dict[str, Any] = {
            "event": happened.name,
            "messageId": f"m{self.sent}",
            "timestamp": happened.at_ms,
            "userId": happened.customer,
        }
        if happened.name == "Order Completed":
            body["properties"] = {"total": 10 + self.sent % 40}
        shard, key = shard_of(happened.customer, SHARDS), happened.customer.encode()
        self.log.append(topic, shard, json.dumps(body).encode(), key=key, headers=headers)

    async def take_over(self, number: int) -> None:
        """A new owner, who knows what the store knows."""
        sink = MemorySink(self.log)
        lanes = OnTheSpot(self.store, self.log, self.rules, pause=never, sink=sink)
        self.shards[number] = await Shard.acquire(number, self.store, Plans(self.store, self.rules), self.rules, lanes=lanes, pause=never)
        relay = self.relays[number] = Relay(number, self.store, sink)
        await relay.start()

    async def process(self, number: int) -> None:
        """All that a shard has, published."""
        if self.shards[number] is None:
            await self.take_over(number)
        shard, relay = cast("Shard", self.shards[number]), cast("Relay", self.relays[number])
        while records := self.log.fetch(number, shard.position.offset, 500):
            relay.add(await shard.process(records))
        while await relay.turn():
            pass

    async def settle(self) -> None:
        """All shards, behind a tick a day later."""
        self.now_ms += 24 * 60 * MINUTE
        for number in range(SHARDS):
            self.log.send_tick(number)
            await self.process(number)

    @property
    def versions(self) -> GivenVersions:
        return GivenVersions({number: found.content() for number, found in enumerate(self.definitions, 1)})

    def examples(self, shard: int, offset: int = 0) -> list[LogRecord]:
        """A shard's part of the topic, from an offset on."""
        records = self.log.records(EXAMPLES, shard)
        return [
            LogRecord(at, record.arrival_ms, record.value, CONTROL_HEADER in dict(record.headers), record.key, record.headers)
            for at, record in enumerate(records)
        ][offset:]


class Batches:
    """``ExamplesTopic`` over a shop, some records at a time."""

    def __init__(self, shop: Shop, size: int = 1_000) -> None:
        self._found = [shop.examples(shard) for shard in range(SHARDS)]
        self._size = size

    async def batch(self, shard: int, offset: int) -> Sequence[LogRecord]:
        return self._found[shard][offset : offset + self._size]


async def learned(shop: Shop, store: Store | None = None, most: int = 1_000_000) -> TrainingLog:
    """A learner that has heard all of the examples and kept what it has learned."""
    training = await TrainingLog.acquire(store or MemoryStore(), shop.versions, SHARDS, topic=Batches(shop))
    hear(shop, training)
    items = training.order.ready()
    await training.take(items, most)
    while training.has_todo and training.lacks is None:
        await training.take([], most)
    await training.commit()
    return training


def hear(shop: Shop, training: TrainingLog) -> None:
    """Everything that it has not learned yet."""
    for shard, offset in enumerate(training.body.offsets):
        training.order.add([read_training_record(shard, record) for record in shop.examples(shard, offset) if not is_of_lane(record)])


def is_of_lane(record: LogRecord) -> bool:
    return any(name == LANE_HEADER for name, _ in record.headers)


def trainers(body: LearnerCheckpoint, but: Callable[[str], bool] = lambda _: False) -> dict[str, Any]:
    """What each model has learned."""
    found = msgspec.json.decode(body.learner)["trainers"]
    return {name: state for name, state in found.items() if not but(name)}


async def never(_seconds: float) -> None:
    raise StoreUnavailableError("memory does not come and go")
