"""Records in the wrong shard are sent on: each counts once, by when it first arrived, whatever crashes and is told anew."""

from __future__ import annotations

import json

import pytest

from streamer.events.dead_letter import read_dead_letter
from streamer.flow.catalog import Plans
from streamer.flow.forwards import Forward
from streamer.flow.relay import Relay
from streamer.flow.rules import Rules
from streamer.flow.shard import Shard
from streamer.language.definitions import parse_definitions
from streamer.stores.memory import MemoryStore
from streamer.transports.memory import MemoryLog, MemorySink
from streamer.wire import CHANGES, DEAD_LETTERS, EVENTS, FORWARD_HEADER, Headers, definitions_control, shard_of

SHARDS = 2
RULES = Rules(shards=SHARDS)
START_MS = 1_767_225_600_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
ANNA = next(f"anna-{number}" for number in range(99) if shard_of(f"anna-{number}", SHARDS) == 1)
BELA = next(f"bela-{number}" for number in range(99) if shard_of(f"bela-{number}", SHARDS) == 1)
TWICE = parse_definitions({"segments": {"twice": {"for": "x", "when": 'count("A") >= 2'}, "once": {"for": "x", "when": 'did("A")'}}})


class Shop:
    """Two shards over a log in memory; the clock is moved by hand."""

    def __init__(self) -> None:
        self.now_ms = START_MS
        self.log = MemoryLog(SHARDS, lambda: self.now_ms)
        self.log.send_control(definitions_control(TWICE.content(), TWICE.digest, 1))
        self.shards: dict[int, Shard] = {}
        self.stores = [MemoryStore() for _ in range(SHARDS)]

    def write(self, shard: int, message_id: str, *, at_ms: int, customer: str = ANNA, key: bytes = b"", headers: Headers = ()) -> None:
        event = {"event": "A", "messageId": message_id, "userId": customer, "timestamp": at_ms}
        self.log.append(EVENTS, shard, json.dumps(event).encode(), key=key or customer.encode(), headers=headers)

    async def catch_up(self, number: int) -> Shard:
        """Process what there is, and publish it, by a new owner."""
        store = self.stores[number]
        shard = await Shard.acquire(number, store, Plans(store, RULES), RULES, pause=_never)
        relay = Relay(number, store, MemorySink(self.log))
        await relay.start()
        while records := self.log.fetch(number, shard.position.offset, 3):
            relay.add(await shard.process(records))
        while await relay.turn():
            pass
        return shard

    def reasons(self, shard: int) -> list[str]:
        return [read_dead_letter(record.value).reason for record in self.log.records(DEAD_LETTERS, shard)]

    def entered(self) -> list[tuple[str, str]]:
        return [(change.subject, change.data.segment) for change in self.log.read_changes()]


async def _never(_seconds: float) -> None:
    raise AssertionError("a store in memory does not come and go")


async def test_an_event_is_not_late_for_having_been_sent_on() -> None:
    """The other shard's owner was away for two days: the customer did it in time all the same."""
    shop = Shop()
    shop.write(0, "m1", at_ms=START_MS)
    shop.now_ms += 2 * DAY_MS
    shop.log.send_tick(1)
    await shop.catch_up(1)
    await shop.catch_up(0)
    shard = await shop.catch_up(1)
    assert shard.body.counts == {"accepted": 1}
    assert shop.entered() == [(ANNA, "once")]


async def test_an_event_that_came_late_to_the_wrong_shard_is_late() -> None:
    """The way round does not make it any younger either."""
    shop = Shop()
    shop.now_ms += 2 * DAY_MS
    shop.write(0, "m1", at_ms=START_MS)
    await shop.catch_up(0)
    assert (await shop.catch_up(1)).body.counts == {"late": 1}


async def test_a_shard_told_anew_sends_on_again_and_nothing_counts_twice() -> None:
    """Redis was emptied after months, and the ids that would tell a duplicate are long forgotten."""
    shop = Shop()
    shop.write(0, "m1", at_ms=START_MS)
    await shop.catch_up(0)
    before = await shop.catch_up(1)
    shop.now_ms += 90 * DAY_MS
    shop.write(1, "m2", at_ms=shop.now_ms, customer=BELA)
    shop.stores[0] = MemoryStore()
    await shop.catch_up(0)
    sent = [record for record in shop.log.records(EVENTS, 1) if FORWARD_HEADER in dict(record.headers)]
    assert len(sent) == 2, "it was sent again"
    assert sent[0].value == sent[1].value
    shard = await shop.catch_up(1)
    assert shard.body.counts == {"accepted": 2, "forwarded_again": 1}
    assert before.body.counts == {"accepted": 1}
    assert (ANNA, "twice") not in shop.entered()


async def test_an_id_that_may_be_forgotten_is_refused_rather_than_counted_twice() -> None:
    """The event lay in both shards, and the copy of the wrong one comes a month after its id was forgotten."""
    shop = Shop()
    shop.write(1, "m1", at_ms=START_MS)
    shop.write(0, "m1", at_ms=START_MS)
    await shop.catch_up(1)
    shop.now_ms += 30 * DAY_MS
    shop.write(1, "m2", at_ms=shop.now_ms)
    await shop.catch_up(1)
    await shop.catch_up(0)
    shard = await shop.catch_up(1)
    assert shard.body.counts == {"accepted": 2, "late": 1}


async def test_two_copies_that_were_sent_on_are_one_event() -> None:
    """Both are judged by when they first arrived, and so is what is remembered of them."""
    shop = Shop()
    shop.write(0, "m1", at_ms=START_MS)
    shop.write(0, "m1", at_ms=START_MS)
    shop.now_ms += 30 * DAY_MS
    shop.log.send_tick(1)
    await shop.catch_up(0)
    shard = await shop.catch_up(1)
    assert shard.body.counts == {"accepted": 1, "duplicate": 1}


async def test_the_customer_is_the_one_whom_the_sender_meant() -> None:
    """The shard that sends on has decided whose event it is, and says so by the key."""
    shop = Shop()
    shop.write(1, "m1", at_ms=START_MS, customer="somebody", key=ANNA.encode(), headers=Forward(1, 0, 5, 0, START_MS).headers)
    await shop.catch_up(1)
    assert shop.entered() == [(ANNA, "once")]


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        pytest.param(((FORWARD_HEADER, b"from somewhere"),), b"", id="another form"),
        pytest.param(Forward(1, SHARDS, 5, 0, START_MS).headers, b"", id="a shard that does not exist"),
        pytest.param(Forward(1, 1, 5, 0, START_MS).headers, b"", id="from itself"),
        pytest.param(Forward(2, 0, 5, 0, START_MS).headers, b"", id="another generation of the log"),
        pytest.param(Forward(1, 0, 5, 0, 999_999_999_999_999).headers, b"", id="a time that no calendar has"),
        pytest.param(Forward(1, 0, 5, 0, START_MS).headers, b"\xff\xfe", id="a key that is no text"),
        pytest.param(Forward(1, 0, 5, 0, START_MS).headers, b"anna\nERROR", id="a key that forges a line of a log"),
    ],
)
async def test_what_no_shard_can_have_sent_is_put_aside(headers: Headers, key: bytes) -> None:
    """Producers have no business writing such a header; the shard goes on."""
    shop = Shop()
    shop.write(1, "m1", at_ms=START_MS, key=key, headers=headers)
    shop.write(1, "m2", at_ms=START_MS)
    shard = await shop.catch_up(1)
    assert shop.reasons(1) == ["bad_control"]
    assert shard.body.counts == {"accepted": 1, "bad_control": 1}


async def test_positions_carry_the_generation_of_the_log() -> None:
    """In ids, in data and in what is sent on."""
    store, rules = MemoryStore(), Rules(shards=SHARDS, log_generation=3)
    log = MemoryLog(SHARDS, lambda: START_MS)
    log.send_control(definitions_control(TWICE.content(), TWICE.digest, 1))
    for customer in (ANNA, next(name for name in "bcdefgh" if shard_of(name, SHARDS) == 0)):
        event = {"event": "A", "messageId": "m", "userId": customer, "timestamp": START_MS}
        log.append(EVENTS, 0, json.dumps(event).encode())
    shard = await Shard.acquire(0, store, Plans(store, rules), rules, pause=_never)
    outputs = [output for _, entry in await shard.process(log.fetch(0, 0, 9)) for output in entry]
    by_topic = {output.topic: output for output in outputs}
    assert by_topic[EVENTS].headers == Forward(3, 0, 1, 0, START_MS).headers
    change = json.loads(by_topic[CHANGES].value)
    assert (change["id"], change["data"]["position"]["generation"]) == ("3-0-2-0", 3)
