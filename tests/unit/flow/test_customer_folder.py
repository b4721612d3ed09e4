"""One customer folded by their own records where models came, went and were replaced: the bytes that the shard has."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
import pytest

from streamer.customers.state import decode_state
from streamer.flow import scorers as scorers_module
from streamer.flow.amendments import Amendments
from streamer.flow.catalog import Plans
from streamer.flow.checkpoint import decode_body
from streamer.flow.customer_folder import CustomerFolder
from streamer.flow.folding import TooManyRecordsError
from streamer.flow.lane.lanes import OnTheSpot
from streamer.flow.rules import Rules
from streamer.flow.shard import Shard
from streamer.language.definitions import content_digest, parse_definitions
from streamer.signing import NO_KEYS
from streamer.stores.memory import MemoryStore
from streamer.wire import TICK, LogRecord, definitions_control, model_control, withdraw_control
from tests.property.driving import ListLog
from tests.unit.flow.test_scoring import DAY, DEFINITIONS, HOUR, T0, Stub

WIDER = DEFINITIONS + '  idle: {for: gone, when: \'not did("Product Added", within="2d")\'}\n'
BOUGHT = """
segments:
  often: {for: bought ten times, when: 'count("Order Completed") >= 10'}
"""
CUSTOMERS = ("ann", "bob", "cid", "dan")


class Shop:
    """A shard in memory, and its log."""

    def __init__(self) -> None:
        self.records: list[LogRecord] = []
        self.store, self.rules = MemoryStore(), Rules(shards=1)

    def add(self, at_ms: int, value: bytes, *, control: bool = True) -> None:
        self.records.append(LogRecord(len(self.records), at_ms, value, control))

    def define(self, at_ms: int, text: str, version: int) -> None:
        definitions = parse_definitions(text)
        self.add(at_ms, definitions_control(definitions.content(), definitions.digest, version))

    def event(self, at_ms: int, customer: str, name: str, message_id: str) -> None:
        event = {"event": name, "messageId": message_id, "userId": customer, "timestamp": at_ms}
        self.add(at_ms, msgspec.json.encode(event), control=False)

    async def process(self) -> None:
        lanes = OnTheSpot(self.store, ListLog(self.records), self.rules, pause=asyncio.sleep)
        plans = Plans(self.store, self.rules)
        shard = await Shard.acquire(0, self.store, plans, self.rules, lanes=lanes, keeps_offsets=True, pause=asyncio.sleep)
        await shard.process(self.records)

    async def pick(self, shard: int, offsets: Sequence[int]) -> Mapping[int, LogRecord]:
        return {offset: self.records[offset] for offset in offsets}

    async def fold(self, customer: str, records_max: int | None = None) -> tuple[bytes | None, bytes | None]:
        """What the store has, and what the records come to; twice the same where nothing is known."""
        found = await self.store.committed(0, [customer])
        blob = found.states[0]
        if blob is None:
            return None, None
        folder = CustomerFolder(self.store, self.rules, Plans(self.store, self.rules), NO_KEYS, self, nothing_decided)
        body, offsets = decode_body(found.checkpoint.body), decode_state(blob).offsets
        folded = await folder.fold(0, customer, found.checkpoint.position, body, offsets, records_max=records_max)
        return blob, folded.state


async def nothing_decided(_shard: int) -> Amendments:
    return Amendments()


@pytest.fixture(autouse=True)
def stub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorers_module, "decode_scorer", lambda content: Stub(int(content)))


def shop_of(seed: int, met: Counter[str]) -> Shop:
    """Events, scorers, withdrawals and definitions in any order, hours or days apart."""
    draw, shop, at_ms, version = random.Random(seed), Shop(), T0, 1
    shop.define(T0 - DAY, DEFINITIONS, 1)
    for number in range(draw.randrange(10, 60)):
        at_ms += draw.choice([1_000, 60_000, HOUR, 5 * HOUR, DAY])
        what = draw.choices(["event", "model", "withdraw", "definitions"], [80, 12, 4, 4])[0]
        met[what] += 1
        version += 1
        if what == "model":
            content = str(version).encode()
            shop.add(at_ms, model_control("purchase", content, content_digest(content), version))
        elif what == "withdraw":
            shop.add(at_ms, withdraw_control("purchase", version))
        elif what == "definitions":
            shop.define(at_ms, draw.choice([DEFINITIONS, WIDER, BOUGHT]), version)
        else:
            name = draw.choice(["Product Added", "Order Completed", "Product Viewed"])
            shop.event(at_ms, draw.choice(CUSTOMERS), name, f"m{number}")
    shop.add(at_ms + draw.choice([1, HOUR, 4 * DAY]), TICK)
    return shop


def test_under_models_each_state_is_that_of_its_own_records() -> None:
    """Scores, what is awaited of a customer, segments on a score; after a withdrawal, and where models came and went with definitions."""
    met: Counter[str] = Counter()

    async def holds(seed: int) -> None:
        shop = shop_of(seed, met)
        await shop.process()
        body = decode_body((await shop.store.checkpoint(0)).body)
        for customer in CUSTOMERS if body.switch is None else ():
            stored, folded = await shop.fold(customer)
            assert folded == stored, (seed, customer)
            met["a model in force"] += bool(body.models) and stored is not None

    for seed in range(16):
        asyncio.run(holds(seed))
    assert min(met[what] for what in ("event", "model", "withdraw", "definitions", "a model in force")) > 5, met


def test_more_records_than_are_to_be_read_are_not_read() -> None:
    """Of a customer of thousands of events, or where a model was replaced thousands of times."""

    async def holds() -> None:
        shop = shop_of(1, Counter())
        await shop.process()
        stored, folded = await shop.fold("ann", records_max=1_000)
        assert stored is not None
        assert folded == stored
        with pytest.raises(TooManyRecordsError):
            await shop.fold("ann", records_max=2)

    asyncio.run(holds())


def test_history_at_the_head_of_a_log_is_folded_with_what_came_after_it() -> None:
    """It arrived when it happened, years before anything was defined; the lane of the first definitions is over the same few records."""

    async def holds() -> None:
        shop = Shop()
        for number in range(60):
            shop.event(T0 - (700 - 10 * number) * DAY, CUSTOMERS[number % 3], "Order Completed", f"h{number}")
        shop.define(T0, BOUGHT, 1)
        for number in range(12):
            shop.event(T0 + number * HOUR, CUSTOMERS[number % 4], "Order Completed", f"m{number}")
        await shop.process()
        for customer in CUSTOMERS:
            stored, folded = await shop.fold(customer)
            assert stored is not None
            assert folded == stored, customer
            assert decode_state(stored).is_inside(0) == (customer != "dan"), "who bought often did so before the definitions"

    asyncio.run(holds())
