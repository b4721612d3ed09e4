"""Who has several ids, or was erased, when history is brought into a log that has begun."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

import pytest

from streamer.customers.state import State
from streamer.customers.tombstone import Tombstone
from streamer.flow.catalog import Plans
from streamer.flow.lane.lanes import OnTheSpot
from streamer.flow.relay import Relay
from streamer.flow.shard import Shard
from streamer.language.definitions import Definitions
from streamer.transports.memory import MemorySink
from streamer.wire import ARRIVED_HEADER, HISTORY, arrived_text, definitions_control, shard_of
from tests.unit.flow.persons import DAY_MS, HOUR_MS, MINUTE_MS, START_MS, Persons, named, segments

pytestmark = pytest.mark.fast

SHARDS: Final = 2
RULES: Final = segments(buyer='did("Order Completed")', regular='count("Order Completed") >= 2', idle='idle("*") >= "400d"')
ANN, BERT, VISITOR = named("ann", 0, SHARDS), named("bert", 1, SHARDS), named("visitor", 1, SHARDS)


class OldShop(Persons):
    """A shop whose past can be brought in."""

    async def _owner(self, number: int) -> tuple[Shard, Relay]:
        store = self.stores[number]
        lanes = OnTheSpot(store, self.log, self.rules, pause=asyncio.sleep)
        shard = await Shard.acquire(number, store, Plans(store, self.rules), self.rules, lanes=lanes, pause=asyncio.sleep)
        relay = Relay(number, store, MemorySink(self.log))
        await relay.start()
        return shard, relay

    def remember(self, days_ago: int, **fields: Any) -> None:
        """An order of long ago, as it was imported."""
        self._message += 1
        at_ms = START_MS - days_ago * DAY_MS
        body: dict[str, Any] = {"event": "Order Completed", "messageId": f"h{self._message}", "timestamp": at_ms, **fields}
        customer = body.get("userId") or body["anonymousId"]
        header = (ARRIVED_HEADER, arrived_text(at_ms, "00000000000000aa"))
        self.log.append(HISTORY, shard_of(customer, SHARDS), json.dumps(body).encode(), key=customer.encode(), headers=(header,))

    def bring(self, version: int = 2, rules: Definitions = RULES) -> None:
        """Make what was imported a part of the past."""
        ends = [self.log.end(HISTORY, shard) for shard in range(SHARDS)]
        self.log.send_control(definitions_control(rules.content(), rules.digest, version, history=ends))


async def test_whom_only_history_knows_is_born_and_who_is_known_already_has_both() -> None:
    """Only who is in another segment than before is said, with a cause of its own."""
    shop = OldShop(RULES, SHARDS)
    shop.write("Order Completed", userId=ANN)
    await shop.settle()
    assert await shop.inside(ANN) == {"buyer"}
    shop.remember(40, userId=ANN)
    shop.remember(500, userId=BERT)
    shop.now_ms += MINUTE_MS
    shop.bring()
    await shop.settle()
    assert await shop.inside(ANN) == {"buyer", "regular"}
    assert await shop.inside(BERT) == {"buyer", "idle"}
    assert shop.said() == [
        (ANN, "buyer", "entered", "event"),
        (ANN, "regular", "entered", "backfill"),
        (BERT, "buyer", "entered", "backfill"),
        (BERT, "idle", "entered", "backfill"),
    ]
    assert await shop.sizes() == {"buyer": 2, "regular": 1, "idle": 1}
    shop.bring(version=3)
    await shop.settle()
    assert len(shop.said()) == 4, "the same past once more is nothing"


async def test_what_does_not_say_when_it_happened_delays_nobodys_history() -> None:
    """Anybody with the right to write could put it there. Had all behind it waited for the time at which the broker took it, the shard's
    log would have begun by then, and what others did before would be left out."""
    shop = OldShop(RULES, SHARDS)
    shop.write("Order Completed", userId=ANN)
    await shop.settle()
    shop.now_ms += MINUTE_MS
    shop.log.append(HISTORY, 0, json.dumps({"event": "Order Completed", "messageId": "x", "userId": ANN}).encode(), key=ANN.encode())
    shop.remember(40, userId=ANN)
    shop.now_ms += MINUTE_MS
    shop.bring()
    await shop.settle()
    assert await shop.inside(ANN) == {"buyer", "regular"}
    assert [change.data.segment for change in shop.changes()] == ["buyer", "regular"], "the order that says no time is none"


async def test_whoever_was_erased_before_does_not_come_back() -> None:
    """History knows them still; it is to be forgotten all the same."""
    shop = OldShop(RULES, SHARDS)
    shop.write("Order Completed", userId=ANN)
    shop.erase(BERT)
    shop.erase(ANN)
    shop.remember(40, userId=ANN)
    shop.remember(500, userId=BERT)
    shop.now_ms += MINUTE_MS
    shop.bring()
    await shop.settle()
    assert await shop.entry(ANN) is None
    assert await shop.entry(BERT) is None


async def test_an_old_id_that_only_history_knew_when_it_was_linked_gives_its_past_to_the_survivor() -> None:
    """There was nothing to drain then. What came in under it since counts for the survivor, and once."""
    shop = OldShop(RULES, SHARDS)
    shop.write("Signed In", userId=ANN, anonymousId=VISITOR)
    await shop.settle()
    assert isinstance(await shop.entry(VISITOR), Tombstone)
    shop.write("Product Viewed", anonymousId=VISITOR)
    await shop.settle()
    shop.remember(30, anonymousId=VISITOR)
    shop.remember(20, anonymousId=VISITOR)
    shop.now_ms += MINUTE_MS
    shop.bring()
    await shop.settle()
    assert await shop.inside(ANN) == {"buyer", "regular"}
    assert await shop.entry(VISITOR) == Tombstone(ANN)
    assert {change.subject for change in shop.changes()} == {ANN}


async def test_ids_that_history_ties_together_are_joined_where_it_is_brought_in() -> None:
    """An order says who the visitor was; the visitor's own past goes to them."""
    shop = OldShop(RULES, SHARDS)
    shop.write("Product Viewed", userId=BERT)
    await shop.settle()
    shop.remember(30, anonymousId=VISITOR)
    shop.remember(20, userId=ANN, anonymousId=VISITOR)
    shop.now_ms += MINUTE_MS
    shop.bring()
    await shop.settle()
    shop.wait(HOUR_MS)
    await shop.settle()
    assert await shop.inside(ANN) == {"buyer", "regular"}
    assert await shop.entry(VISITOR) == Tombstone(ANN)
    [merge] = shop.merges()
    assert (merge.subject, merge.data.from_) == (ANN, VISITOR)
    found = await shop.entry(ANN)
    assert isinstance(found, State)
    assert list(found.links) == [VISITOR]


async def test_a_rebuilt_shard_reads_history_before_its_log_and_comes_to_the_same() -> None:
    """Its store was lost. What a relay says again has the same positions, and nobody hears it twice."""
    shop = OldShop(RULES, SHARDS)
    shop.write("Order Completed", userId=ANN)
    shop.remember(40, userId=ANN)
    shop.remember(500, userId=named("cleo", 0, SHARDS))
    shop.now_ms += MINUTE_MS
    shop.bring()
    shop.wait(HOUR_MS)
    await shop.settle()
    before, said = await shop.stores[0].checkpoint(0), shop.said()
    states = [await shop.entry(one) for one in (ANN, named("cleo", 0, SHARDS))]
    await shop.stores[0].reset(0)
    await shop.settle()
    after = await shop.stores[0].checkpoint(0)
    assert (after.position, after.output_digest) == (before.position, before.output_digest)
    assert [await shop.entry(one) for one in (ANN, named("cleo", 0, SHARDS))] == states
    assert shop.said() == said
