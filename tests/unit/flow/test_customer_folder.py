"""One customer folded by their own records where models came, went and were replaced: the bytes that the shard has."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
import pytest

from streamer.customers import ids
from streamer.customers.offsets import history_places
from streamer.customers.state import decode_state
from streamer.deployment.past import KnownThen, PastCustomers
from streamer.flow import scorers as scorers_module
from streamer.flow.amendments import Amendments
from streamer.flow.audit import Audited, audit
from streamer.flow.catalog import Plans
from streamer.flow.checkpoint import decode_body
from streamer.flow.committed import CommittedCustomers
from streamer.flow.customer_folder import CustomerFolder
from streamer.flow.folding import TooManyRecordsError
from streamer.flow.lane.lanes import OnTheSpot
from streamer.flow.mismatch import Mismatch, decode_mismatch, encode_mismatch, mismatch_of, retell
from streamer.flow.rules import Rules
from streamer.flow.shard import Shard
from streamer.language.definitions import content_digest, parse_definitions
from streamer.signing import NO_KEYS
from streamer.stores.memory import MemoryStore
from streamer.wire import ARRIVED_HEADER, TICK, LogRecord, arrived_text, definitions_control, model_control, withdraw_control
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
        self.past: list[LogRecord] = []
        self.store, self.rules = MemoryStore(), Rules(shards=1)

    def add(self, at_ms: int, value: bytes, *, control: bool = True) -> None:
        self.records.append(LogRecord(len(self.records), at_ms, value, control))

    def define(self, at_ms: int, text: str, version: int, *, history: Sequence[int] = ()) -> None:
        definitions = parse_definitions(text)
        self.add(at_ms, definitions_control(definitions.content(), definitions.digest, version, history=history))

    def event(self, at_ms: int, customer: str, name: str, message_id: str) -> None:
        self.add(at_ms, said(at_ms, customer, name, message_id), control=False)

    def happened(self, at_ms: int, customer: str, name: str, message_id: str) -> None:
        """History, which is imported."""
        headers = ((ARRIVED_HEADER, arrived_text(at_ms, "00ff00ff00ff00ff")),)
        value = said(at_ms, customer, name, message_id)
        self.past.append(LogRecord(len(self.past), at_ms, value, key=customer.encode(), headers=headers))

    async def process(self) -> None:
        lanes = OnTheSpot(self.store, ListLog(self.records, past=self.past), self.rules, pause=asyncio.sleep)
        plans = Plans(self.store, self.rules)
        shard = await Shard.acquire(0, self.store, plans, self.rules, lanes=lanes, keeps_offsets=True, pause=asyncio.sleep)
        await shard.process(self.records)

    async def pick(self, shard: int, offsets: Sequence[int]) -> Mapping[int, LogRecord]:
        return {offset: self.records[offset] for offset in offsets}

    async def pick_history(self, shard: int, offsets: Sequence[int]) -> Mapping[int, LogRecord]:
        return {offset: self.past[offset] for offset in offsets}

    @property
    def folder(self) -> CustomerFolder:
        return CustomerFolder(self.store, self.rules, Plans(self.store, self.rules), NO_KEYS, self, nothing_decided)

    async def fold(self, customer: str, records_max: int | None = None) -> tuple[bytes | None, bytes | None]:
        """What the store has, and what the records come to; twice the same where nothing is known."""
        found = await self.store.committed(0, [customer])
        blob = found.states[0]
        if blob is None:
            return None, None
        folder = self.folder
        body, offsets = decode_body(found.checkpoint.body), decode_state(blob).offsets
        folded = await folder.fold(0, customer, found.checkpoint.position, body, offsets, records_max=records_max)
        return blob, folded.state


def said(at_ms: int, customer: str, name: str, message_id: str) -> bytes:
    return msgspec.json.encode({"event": name, "messageId": message_id, "userId": customer, "timestamp": at_ms})


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


def shop_with_history() -> Shop:
    """The log begins at ``T0``; what happened in the hundred days before it is brought in two days later, and dan with it."""
    shop = Shop()
    shop.define(T0, BOUGHT, 1)
    for number in range(12):
        shop.event(T0 + number * HOUR, CUSTOMERS[number % 3], "Order Completed", f"m{number}")
    for number in range(40):
        shop.happened(T0 - (100 - number) * DAY, CUSTOMERS[number % 4], "Order Completed", f"h{number}")
    shop.define(T0 + 2 * DAY, BOUGHT, 2, history=[40])
    for number in range(12):
        shop.event(T0 + 3 * DAY + number * HOUR, CUSTOMERS[number % 4], "Order Completed", f"n{number}")
    return shop


async def known(shop: Shop, customer: str, at_ms: int) -> KnownThen | None:
    """What was known of a customer at a moment."""
    customers = CommittedCustomers(shop.store, shop.rules, Plans(shop.store, shop.rules))
    return await PastCustomers(shop.folder, customers).at(await customers.look_up(customer), at_ms)


def test_imported_history_is_folded_by_where_it_lies() -> None:
    """Which is noted in the state, in a row of its own: so the audit judges whoever has some, and says what differs whole enough to be told
    again."""

    async def holds() -> None:
        shop = shop_with_history()
        await shop.process()
        for customer in CUSTOMERS:
            stored, folded = await shop.fold(customer)
            assert stored is not None
            assert folded == stored, customer
            offsets = decode_state(stored).offsets
            assert [place.offset for place in history_places(offsets)] == [
                at for at, one in enumerate(shop.past) if one.key == customer.encode()
            ]
            found = await audit(shop.store, shop.folder, 0, customer)
            assert isinstance(found, Audited)
            assert found.is_equal
            shown.append((decode_mismatch(encode_mismatch(mismatch_of(found, shop.rules, Amendments()))), stored))

    shown: list[tuple[Mismatch, bytes]] = []
    asyncio.run(holds())
    assert [retell(mismatch).state for mismatch, _ in shown] == [stored for _, stored in shown]


def test_before_anything_was_known_history_says_who_they_were() -> None:
    """Under the definitions in force now. What was known at a moment stays what is said of it: then nobody knew of the history."""

    async def holds() -> None:
        shop = shop_with_history()
        await shop.process()
        assert await known(shop, "ann", T0 - 101 * DAY) is None
        long_ago = await known(shop, "ann", T0 - 70 * DAY)
        assert long_ago is not None
        assert (long_ago.is_of_history, long_ago.state.is_inside(0), long_ago.body.version) == (True, False, 2)
        assert len(ids.keys(long_ago.state.seen)) > 0
        begun = await known(shop, "ann", T0 + DAY)
        assert begun is not None
        assert (begun.is_of_history, begun.state.is_inside(0)) == (False, False)
        brought = await known(shop, "ann", T0 + 2 * DAY)
        assert brought is not None
        assert (brought.is_of_history, brought.state.is_inside(0)) == (False, True)
        unknown = await known(shop, "dan", T0 + DAY)
        assert unknown is not None
        assert unknown.is_of_history, "only history knew them then"

    asyncio.run(holds())
