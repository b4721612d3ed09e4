"""What the log does to messages besides events: other definitions, pauses, logins, erasures; and what stays of it in the state."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from streamer.customers.message_state import CapSlot, Intent, MessageState, shifted_messages
from streamer.customers.state import State, decode_state, encode_state
from streamer.errors import StoreUnavailableError
from streamer.flow.catalog import Plans
from streamer.flow.machine import Limits
from streamer.flow.rules import Rules
from streamer.flow.shard import Shard
from streamer.language.definitions import Definitions
from streamer.messages.decision import MessageDecision, decode_decision
from streamer.stores.memory import MemoryStore
from streamer.wire import MESSAGES, TICK, Control, LogRecord, definitions_control, encode_control
from tests.unit.messages.desk import decisions, definitions, event, ms, traits

ORDER, ADDED = "Order Completed", "Product Added"
WELCOME = '  welcome: {for: x, on: entered("buyer"), delay: 2h, channel: console, topic: offers, stay: false%s}\n'
OTHER = '  another: {for: x, on: left("buyer"), channel: console, topic: offers%s}\n'
EMPTY = '  unused: {for: x, on: entered("cart_left"), channel: console, topic: offers}\n'


class Log:
    """One shard, records appended one after the other."""

    def __init__(self, batch: int = 1_000) -> None:
        self.records: list[LogRecord] = []
        self.batch = batch
        self.version = 0

    def add(self, at: str, value: bytes, *, control: bool = False) -> Log:
        self.records.append(LogRecord(len(self.records), ms(at), value, control=control))
        return self

    def define(self, at: str, rules: Definitions) -> Log:
        self.version += 1
        return self.add(at, definitions_control(rules.content(), rules.digest, self.version), control=True)

    def control(self, at: str, control: Control) -> Log:
        return self.add(at, encode_control(control), control=True)

    def events(self, *events: dict[str, Any]) -> Log:
        for one in events:
            self.records.append(LogRecord(len(self.records), one["timestamp"], msgspec.json.encode(one)))
        return self

    async def told(self, until: str) -> list[MessageDecision]:
        """Every decision; the same however the log is cut, and whoever takes it over in between."""
        records = [*self.records, LogRecord(len(self.records), ms(until), TICK, control=True)]
        whole = await _told(records, 1_000, [len(records)])
        assert await _told(records, 1, [*range(1, len(records) + 1)]) == whole, "cut into single records, each by another owner"
        return whole


async def _told(records: Sequence[LogRecord], batch: int, ends: Sequence[int]) -> list[MessageDecision]:
    rules, store, found, begin = Rules(shards=1), MemoryStore(), list[MessageDecision](), 0
    for end in ends:
        shard = await Shard.acquire(0, store, Plans(store, rules), rules, limits=Limits(records=batch, wakes=2, states=2), pause=_never)
        for _, outputs in await shard.process(records[begin:end]):
            found += [decode_decision(one.value) for one in outputs if one.topic == MESSAGES]
        begin = end
    return found


async def _never(_seconds: float) -> None:
    raise StoreUnavailableError("a store in memory does not come and go")


def short(told: Sequence[MessageDecision]) -> list[tuple[str, str, str, str | None]]:
    return [(one.time[8:16], one.data.message, one.outcome, one.data.reason) for one in told]


async def test_a_message_that_is_gone_at_its_instant_is_withdrawn_and_one_that_is_back_is_not() -> None:
    """Its due instant stays; numbers of messages move under other definitions."""
    log = Log().define("01T08:00", definitions(OTHER % "" + WELCOME % "")).events(event("01T10:00", ORDER))
    gone = log.define("01T10:30", definitions(EMPTY))
    assert short(await gone.told("01T20:00")) == [("01T12:00", "welcome", "skip", "withdrawn")]
    [told] = await gone.told("01T20:00")
    assert (told.data.channel, told.data.trigger.on, told.data.valid_until, told.data.definitions) == (None, None, told.data.due, 2)
    back = gone.define("01T11:30", definitions(WELCOME % ""))
    assert short(await back.told("01T20:00")) == [("01T12:00", "welcome", "send", None)]


@pytest.mark.parametrize(("expiry", "reason"), [("2h", "expired"), ("120m1ms", None)])
async def test_an_expiry_that_was_shortened_meanwhile_is_over_to_the_millisecond(expiry: str, reason: str | None) -> None:
    """Held until two o'clock by the older definitions; by those in force then it is good for two hours, the end not included."""
    log = Log().define("01T08:00", definitions(WELCOME % ', quiet: "11:00-14:00"')).events(event("01T10:00", ORDER))
    told = await log.define("01T13:00", definitions(WELCOME % f", expiry: {expiry}")).told("01T20:00")
    assert [(one.time[8:16], one.data.reason) for one in told] == [("01T12:00", "quiet"), ("01T14:00", reason)]


async def test_what_waits_for_another_trigger_than_the_message_has_now_ends_at_the_switch() -> None:
    """The message that was meant is defined no longer."""
    log = Log().define("01T08:00", definitions(OTHER % "" + WELCOME % "")).events(event("01T10:00", ORDER))
    told = await log.define("01T10:30", definitions((WELCOME % "").replace("entered", "left"))).told("01T10:45")
    assert short(told) == [("01T10:30", "welcome", "skip", "withdrawn")]
    assert told[0].data.trigger.on == "left buyer", "what the definitions in force say"


async def test_a_change_of_definitions_sends_nothing_unless_it_is_asked_for() -> None:
    """A segment that is new would else write to everybody who is in it."""
    before = Log().define("01T08:00", definitions(EMPTY)).events(event("01T10:00", ORDER))
    text = "  %s: {for: x, on: 'did(\"Order Completed\")', channel: console, topic: offers%s}\n"
    told = await before.define("01T11:00", definitions(text % ("quiet", "") + text % ("asked", ", also: definitions"))).told("01T20:00")
    assert short(told) == [("01T11:00", "asked", "send", None)]


async def test_sends_count_through_changes_of_definitions() -> None:
    """Also those of a message that is gone for a while, and comes back under another number."""
    cap = ", cap: 1 per 2d, again: once"
    log = Log().define("01T08:00", definitions(OTHER % "" + WELCOME % cap)).events(event("01T10:00", ORDER))
    log.define("01T13:00", definitions(EMPTY)).define("01T14:00", definitions(WELCOME % ", cap: 1 per 2d"))
    told = await log.events(event("02T10:00", ORDER), event("03T14:00", ORDER)).told("04T20:00")
    assert [(one.time[8:16], one.data.reason) for one in told if one.data.message == "welcome"] == [
        ("01T12:00", None),
        ("02T12:00", "cap"),
        ("03T16:00", None),
    ]


async def test_a_paused_message_is_skipped_until_it_is_resumed() -> None:
    """One, or all of them; each resumption takes back its own pause."""
    log = Log().define("01T08:00", definitions(WELCOME % ""))
    for hour, what, message in ((9, "pause", "welcome"), (12, "pause", "*"), (15, "resume", "welcome"), (18, "resume", "*")):
        log.events(event(f"01T{hour - 1:02}:30", ORDER)).control(f"01T{hour:02}:00", Control(what, message=message))  # type: ignore[arg-type]
    told = await log.told("01T23:00")
    assert [(one.time[11:16], one.data.reason) for one in told] == [
        ("10:30", "paused"),
        ("13:30", "paused"),
        ("16:30", "paused"),
        ("19:30", None),
    ]


async def test_an_erasure_ends_what_waits_and_says_no_address() -> None:
    """The row accounts for the message, and has a hash for a key."""
    log = Log().define("01T08:00", definitions(WELCOME % ", address: 'trait(\"phone\")'"))
    log.events(traits("01T09:00", phone="0043 1"), event("01T10:00", ORDER)).control("01T11:00", Control("erase", customer="ada"))
    told = await log.told("01T20:00")
    assert short(told) == [("01T11:00", "welcome", "skip", "erased")]
    assert b"0043" not in msgspec.json.encode(told[0])


def login(at: str) -> dict[str, Any]:
    """A visitor says who they are."""
    return {**traits(at), "anonymousId": "an-1"}


def visit(at: str, called: str, **properties: Any) -> dict[str, Any]:
    """Something that a visitor does before they have said who they are."""
    found = event(at, called, **properties)
    del found["userId"]
    return {**found, "anonymousId": "an-1"}


def test_what_waits_under_an_old_id_ends_there_and_the_survivor_gets_one_message() -> None:
    """A guest became a user in between: the shop's complaint was a reminder to both, or one after the order."""
    rule = definitions('  reminder: {for: x, on: entered("cart_left"), delay: 30m, channel: console, topic: offers, also: merge}')
    told = decisions(rule, [visit("01T10:00", ADDED), login("01T10:40")], "02T10:00")
    assert [(one.subject, one.time[11:16], one.data.reason) for one in told] == [("an-1", "10:40", "merged"), ("ada", "11:10", None)]
    silent = definitions('  reminder: {for: x, on: entered("cart_left"), delay: 30m, channel: console, topic: offers}')
    assert [one.subject for one in decisions(silent, [visit("01T10:00", ADDED), login("01T10:40")], "02T10:00")] == ["an-1"]


def test_what_was_sent_to_an_old_id_counts_for_the_person() -> None:
    """A cap is about a person, who got a mail, whatever they were called then."""
    for limit, reason in (("cap: 1 per 2d", "cap"), ("again: once", "again")):
        rule = definitions(f'  welcome: {{for: x, on: entered("buyer"), channel: console, topic: offers, {limit}}}')
        told = decisions(rule, [visit("01T10:00", ORDER), login("01T13:00"), event("01T15:00", ORDER)], "02T10:00")
        assert [(one.subject, one.data.reason) for one in told] == [("an-1", None), ("ada", reason)]


def test_what_is_left_in_a_cart_goes_along() -> None:
    """Whatever id it was put in under."""
    items = "{left_of: Product Added, minus: Product Removed, by: product_id, keep: [product_id]}"
    rule = definitions(
        f'  reminder: {{for: x, on: entered("cart_left"), channel: console, topic: offers, also: merge, facts: {{items: {items}}}}}'
    )
    events = [visit("01T10:00", ADDED, product_id="a"), visit("01T10:01", ADDED, product_id="b"), event("01T10:02", ADDED, product_id="c")]
    told = decisions(rule, [*events, login("01T10:10"), event("01T10:11", "Product Removed", product_id="a")], "01T11:00")
    assert [(one.subject, one.data.facts) for one in told if one.subject == "ada"] == [
        ("ada", {"items": [{"product_id": "c"}, {"product_id": "b"}]})
    ]


MESSAGES_HELD = MessageState(
    [Intent(0, 1, -5, 1_795, 1_795), Intent("old", 3, 10, 20, 30)], [CapSlot(7, 0, "email", b"12345678")], {0: 7, "old": -3}
)


def test_what_a_state_holds_of_messages_has_the_bytes_it_always_had() -> None:
    """It costs one byte where there is nothing, and whoever rewrites it must know."""
    empty, full = encode_state(State(generation=1)), encode_state(State(generation=1, messages=MESSAGES_HELD))
    assert empty[-5:] == b"\xc0\xc0\xff\xc4\x00", "nothing of messages, nobody parted, and nothing of where records lie"
    assert full[len(empty) - 5 : -4].hex() == (
        "9392950001fbcd0703cd070395a36f6c64030a141e91940700a5656d61696cc4083132333435363738820007a36f6c64fd"
    )
    assert decode_state(full).messages == MESSAGES_HELD


@pytest.mark.parametrize("by_ms", [-1_000, 0, 7_200_000])
def test_a_customers_clock_may_begin_elsewhere(by_ms: int) -> None:
    """All times move, and there and back is nothing."""
    moved = shifted_messages(MESSAGES_HELD, by_ms)
    assert [one.next_ms for one in moved.intents] == [1_795 + by_ms, 30 + by_ms]
    assert shifted_messages(moved, -by_ms) == MESSAGES_HELD
    assert json.loads(msgspec.json.encode(moved.newest_ms)) == {"0": 7 + by_ms, "old": -3 + by_ms}
