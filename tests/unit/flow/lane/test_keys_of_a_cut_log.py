"""Where retention has taken the records by which keys came to hold, a lane judges what is left of the log as its shard did."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from itertools import count
from typing import Any, Final

import pytest

from streamer.flow.amendments import Amendments
from streamer.flow.catalog import Plans
from streamer.flow.checkpoint import CheckpointBody
from streamer.flow.forwards import Forward
from streamer.flow.identity_records import Side, encode_identity
from streamer.flow.lane.inherited import NOTHING, Inherited, inherited_from
from streamer.flow.lane.lane import LaneSettings, SideLane
from streamer.flow.lane.lane_plan import plan_lane
from streamer.flow.lane.lanes import OnTheSpot
from streamer.flow.past_trusts import TRUSTS_KEPT, trust_at, with_trust
from streamer.flow.rules import Rules
from streamer.flow.same_log import View
from streamer.flow.shard import Shard
from streamer.language.definitions import Definitions, parse_definitions
from streamer.segments.plan.plan import Plan
from streamer.signing import FORWARD, Keyring, SignedPlace, Signer, Trust
from streamer.stores.memory import MemoryStore
from streamer.transports.memory import MemoryLog, MemoryRecord
from streamer.wire import EVENTS, Control, LogRecord, definitions_control, encode_control
from tests.property.driving import never

pytestmark = pytest.mark.fast

RULES: Final = Rules(shards=1)
RING: Final = Keyring("shop", {"old": b"o" * 32, "new": b"n" * 32})
START_MS: Final = 1_767_225_600_000
ERASE: Final = encode_control(Control("erase", customer="ann"))
SEEN: Final = {"seen": 'did("Seen")'}
NEW: Final = {**SEEN, "buyer": 'did("Buy")'}


def definitions(segments: dict[str, str]) -> Definitions:
    return parse_definitions({"segments": {name: {"for": "x", "when": when} for name, when in segments.items()}})


class CutLog:
    """A log that begins at ``begin``, as whoever reads it beside the shard sees it."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self.begin = 0

    async def look(self, shard: int, offset: int) -> View:
        return (await self._log.look(shard, offset))._replace(begin=self.begin)

    async def read(self, shard: int, offset: int, limit: int) -> AsyncGenerator[Sequence[LogRecord]]:
        async with aclosing(self._log.read(shard, max(offset, self.begin), limit)) as batches:
            async for records in batches:
                yield records

    async def history(self, shard: int, begin: int, end: int, limit: int) -> Sequence[LogRecord]:
        return await self._log.history(shard, begin, end, limit)


class Shop:
    """One shard that keys rule."""

    def __init__(self) -> None:
        self.log = MemoryLog(1, lambda: START_MS)
        self.cut = CutLog(self.log)
        self.store = MemoryStore()
        numbers = count(1_000)
        self.old, self.new = (Signer(RING, key, name, lambda: next(numbers)) for key, name in (("old", "a1"), ("new", "b2")))

    def keys(self, *ids: str, by: Signer) -> MemoryRecord:
        self.log.send_control(encode_control(Control("keys", keys={key: RING.check_value(key) for key in ids})), signer=by)
        return self.log.records(EVENTS, 0)[-1]

    def define(self, version: int, segments: dict[str, str], by: Signer) -> None:
        found = definitions(segments)
        self.log.send_control(definitions_control(found.content(), found.digest, version), signer=by)

    def buys(self, customer: str) -> None:
        event = {"event": "Buy", "messageId": f"m{len(self.log.records(EVENTS, 0))}", "userId": customer, "timestamp": START_MS}
        self.log.append(EVENTS, 0, json.dumps(event).encode(), key=customer.encode())

    async def catch_up(self) -> Shard:
        lanes = OnTheSpot(self.store, self.cut, RULES, pause=never, keyring=RING)
        shard = await Shard.acquire(0, self.store, Plans(self.store, RULES), RULES, lanes=lanes, pause=never, keyring=RING)
        while records := self.log.fetch(0, shard.position.offset, 3):
            await shard.process(records)
        return shard

    async def rotated(self) -> None:
        """The key ``old`` held, then both, then ``new``; all of that is cut."""
        self.define(1, SEEN, self.old)
        self.keys("old", by=self.old)
        self.keys("old", "new", by=self.old)
        self.keys("new", by=self.new)
        self.buys("bert")
        await self.catch_up()
        self.cut.begin = self.log.end(EVENTS, 0)


async def bought(shop: Shop) -> dict[str, int]:
    """How many of whom the log still has are buyers, by what a shard says that publishes this now; and what it refused."""
    shop.define(2, NEW, shop.new)
    shard = await shop.catch_up()
    assert shard.body.version == 2
    return {**shard.sizes, "refused": shard.body.counts.get("bad_signature", 0)}


async def test_a_key_that_was_revoked_rules_nothing_in_a_lane_though_the_log_does_not_say_so() -> None:
    """Whoever has stolen it could take from segments of tomorrow whomever they like: the shard refused the record, and had them."""
    shop = Shop()
    await shop.rotated()
    shop.buys("ann")
    shop.log.send_control(ERASE, signer=shop.old)
    shop.log.send_control(ERASE)
    assert await bought(shop) == {"seen": 0, "buyer": 1, "refused": 2}


async def test_what_a_key_that_holds_has_signed_counts_in_a_lane_too() -> None:
    """It is not that lanes obey nobody."""
    shop = Shop()
    await shop.rotated()
    shop.buys("ann")
    shop.log.send_control(ERASE, signer=shop.new)
    assert await bought(shop) == {"seen": 0, "buyer": 0, "refused": 0}


async def test_keys_that_held_before_the_newest_change_are_those_of_the_logs_begin() -> None:
    """The log may reach back behind the change: what the old key signed there the shard has obeyed, and nothing unsigned."""
    shop = Shop()
    shop.define(1, SEEN, shop.old)
    shop.keys("old", by=shop.old)
    await shop.catch_up()
    shop.cut.begin = shop.log.end(EVENTS, 0)
    shop.buys("ann")
    shop.log.send_control(ERASE, signer=shop.old)
    shop.buys("cleo")
    shop.log.send_control(encode_control(Control("erase", customer="cleo")))
    shop.keys("old", "new", by=shop.old)
    shop.keys("new", by=shop.new)
    shop.buys("bert")
    assert await bought(shop) == {"seen": 0, "buyer": 2, "refused": 1}


async def test_the_record_that_let_a_revoked_key_hold_does_not_do_so_again() -> None:
    """It was captured and is written once more, and its first copy is cut: the shard knows its number, and so does the lane."""
    shop = Shop()
    shop.keys("new", by=shop.new)
    captured = shop.keys("new", "old", by=shop.new)
    shop.keys("new", by=shop.new)
    shop.define(1, SEEN, shop.new)
    shop.buys("bert")
    await shop.catch_up()
    shop.cut.begin = shop.log.end(EVENTS, 0)
    shop.log.append(EVENTS, 0, captured.value, headers=captured.headers)
    shop.buys("ann")
    shop.log.send_control(ERASE, signer=shop.old)
    assert await bought(shop) == {"seen": 0, "buyer": 1, "refused": 1}


def side(offset: int, before: str, by: Signer | None) -> LogRecord:
    """What says that it comes of another shard's lane."""
    said = Side(version=2, before=before, to="to", from_="from", cause="m", linked_ms=1, origin_ms=1, drained_ms=1, memories={"k": 1})
    forward, value = Forward(1, 1, offset, 0, 1, "side"), encode_identity(said)
    signed = by.sign(SignedPlace(FORWARD, EVENTS, 0), forward.text, b"to", value) if by is not None else ()
    return LogRecord(offset, 1, value, key=b"to", headers=(*forward.headers, *signed))


async def test_a_lane_hears_nothing_that_a_revoked_key_has_signed_or_none() -> None:
    """It would adopt a past that nobody has."""
    shop = Shop()
    await shop.rotated()
    inherited = inherited_from((await shop.catch_up()).body)
    settings = LaneSettings(0, shop.store, Rules(shards=2), Amendments(), never, RING, inherited=inherited)
    before, after = (Plan(definitions(segments), lateness_ms=RULES.lateness_ms) for segments in (SEEN, NEW))
    plan = plan_lane(before, after, lateness_ms=RULES.lateness_ms)
    assert plan is not None
    lane = await SideLane.open(settings, plan, 2, begin=shop.cut.begin)
    lane.hear([side(90, plan.before, shop.old), side(91, plan.before, None)])
    assert not lane.has_come((1, 90))
    assert not lane.has_come((1, 91))
    lane.hear([side(92, plan.before, shop.new)])
    assert lane.has_come((1, 92))


def test_of_many_changes_the_newest_are_remembered_and_none_is_a_log_without_keys() -> None:
    """A checkpoint has a bound; what is before the oldest that it has is judged by that."""
    trusts: Any = []
    for number in range(TRUSTS_KEPT):
        trusts = with_trust(trusts, 10 * number + 5, Trust({f"k{number}": "x"}))
    assert [trust_at(trusts, begin).keys for begin in (0, 4, 5, 14, 15, 999)] == [
        {},
        {},
        {"k0": "x"},
        {"k0": "x"},
        {"k1": "x"},
        {f"k{TRUSTS_KEPT - 1}": "x"},
    ]
    trusts = with_trust(trusts, 500, Trust({"last": "x"}))
    assert len(trusts) == TRUSTS_KEPT
    assert [trust_at(trusts, begin).keys for begin in (0, 4, 14, 499, 500)] == [
        {},
        {"k1": "x"},
        {"k1": "x"},
        {f"k{TRUSTS_KEPT - 1}": "x"},
        {"last": "x"},
    ]
    assert CheckpointBody().trusts == NOTHING.trusts == Inherited().trusts == []
