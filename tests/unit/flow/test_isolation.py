"""An error of ours that nobody foresaw costs the record or the customer in hand, twice tried, and nobody else anything."""
# pyright: reportPrivateUsage=false
# Whoever breaks things must reach inside.

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest

from streamer.customers.state import decode_state
from streamer.errors import StoreUnavailableError
from streamer.events.codec import encode
from streamer.events.dead_letter import read_dead_letter
from streamer.events.event import Event
from streamer.flow.amendments import FOR_DEFINITIONS, Amendment, MemoryJournal, decode_amendment, encode_amendment
from streamer.flow.catalog import Plans
from streamer.flow.evaluation import Evaluator
from streamer.flow.machine import Limits
from streamer.flow.rules import Rules
from streamer.flow.shard import Shard
from streamer.flow.step import Step
from streamer.language.definitions import parse_definitions
from streamer.segments.change import decode_change
from streamer.segments.explain import explain
from streamer.segments.plan.plan_change import PlanChange
from streamer.segments.plan.turns import Turns
from streamer.stores.memory import MemoryStore
from streamer.wire import CHANGES, DEAD_LETTERS, TICK, LogRecord, Output, definitions_control

NOW_MS = 1_767_225_600_000
MINUTE_MS = 60_000
WHOLE = Limits()
RULES = Rules(shards=1)
SEEN = 'segments: {seen: {for: x, when: \'did("View", within="10m")\'}, calm: {for: x, when: \'not did("View", within="5m")\'}}'
OTHER = 'segments: {often: {for: x, when: \'did("View", within="10m")\'}}'


def view(customer: str, number: int, at_ms: int = NOW_MS) -> bytes:
    return encode(Event(event="View", message_id=f"{customer}-{number}", user_id=customer, timestamp_ms=at_ms))


def switch(text: str, version: int = 1) -> bytes:
    definitions = parse_definitions(text)
    return definitions_control(definitions.content(), definitions.digest, version)


def log_of(*entries: tuple[int, bytes]) -> list[LogRecord]:
    """Records of (arrival, value); control records are known by what they say."""
    return [LogRecord(at, arrival_ms, value, value.startswith(b'{"control"')) for at, (arrival_ms, value) in enumerate(entries)]


class Told(NamedTuple):
    """One run of a log: the shard afterwards, its outputs, and what the journal has."""

    shard: Shard
    store: MemoryStore
    outputs: list[Output]
    kept: list[Amendment]

    @property
    def changes(self) -> list[tuple[str, str, str]]:
        found = [decode_change(output.value) for output in self.outputs if output.topic == CHANGES]
        return [(change.subject, change.data.segment, change.type.removeprefix("segment.")) for change in found]

    @property
    def letters(self) -> list[Any]:
        return [read_dead_letter(output.value) for output in self.outputs if output.topic == DEAD_LETTERS]


async def tell(records: Sequence[LogRecord], *, kept: list[Amendment] | None = None, limits: Limits = WHOLE) -> Told:
    """The log through a fresh shard."""
    store, journal = MemoryStore(), MemoryJournal(kept)
    shard = await Shard.acquire(0, store, Plans(store, RULES), RULES, limits=limits, journal=journal, pause=_never)
    outputs = [output for _, entry in await shard.process(records) for output in entry]
    return Told(shard, store, outputs, journal.kept)


async def _never(_seconds: float) -> None:
    raise StoreUnavailableError("a store in memory does not come and go")


Break = Callable[[pytest.MonkeyPatch], None]


def fails_at_events_of(customer: str, error: type[Exception] = ZeroDivisionError, times: int = 1 << 30) -> Break:
    """After the memories are fed: what has happened to the state by then must not stay."""
    sound, left = Evaluator._remember, [times]

    def remember(self: Evaluator, state: Any, event: Event, t: int, now: int) -> Turns:
        found = sound(self, state, event, t, now)
        if event.customer == customer and left[0] > 0 and event.message_id.endswith("-2"):
            left[0] -= 1
            raise error(customer)
        return found

    return lambda patch: patch.setattr(Evaluator, "_remember", remember)


def fails_at_timers_of(customer: str) -> Break:
    sound = Step._fire_one

    def fire_one(self: Step, whose: str, state: Any, offset: int) -> None:
        if whose == customer and not self._set_aside.is_amended(offset, whose, state.due_ms):
            state.members.clear()
            raise KeyError(whose)
        sound(self, whose, state, offset)

    return lambda patch: patch.setattr(Step, "_fire_one", fire_one)


LOG = log_of(
    (NOW_MS, switch(SEEN)),
    (NOW_MS, view("mila", 1)),
    (NOW_MS, view("odd", 1)),
    (NOW_MS + 1, view("odd", 2)),
    (NOW_MS + 2, view("mila", 2)),
    (NOW_MS + 3, view("odd", 3)),
    (NOW_MS + 30 * MINUTE_MS, TICK),
)


@pytest.mark.parametrize("limits", [Limits(), Limits(records=1), Limits(records=2, states=1, wakes=1)])
async def test_a_record_at_which_we_fail_is_a_dead_letter_and_nothing_else_changes(monkeypatch: pytest.MonkeyPatch, limits: Limits) -> None:
    """As if it had never been there, but for the letter; wherever the slices are cut."""
    without = await tell([*LOG[:3], *LOG[4:]])
    fails_at_events_of("odd")(monkeypatch)
    told = await tell(LOG, limits=limits)

    [letter] = told.letters
    assert (letter.reason, letter.detail, letter.origin.offset) == ("fault", "ZeroDivisionError", 3)
    assert [output.key for output in told.outputs if output.topic == DEAD_LETTERS] == [b"odd"]
    assert told.changes == without.changes
    for customer in ("mila", "odd"):
        assert await _state(told, customer) == await _state(without, customer)
    assert told.shard.body.counts == {"accepted": 4, "fault": 1}
    assert [(fault.what, fault.offset, fault.error) for fault in told.shard.take_faults()] == [("fault", 3, "ZeroDivisionError")]


async def _state(told: Told, customer: str) -> bytes | None:
    return (await told.store.fetch(0, [customer], until_ms=0, limit=0)).states[0]


async def test_a_rebuild_obeys_what_was_amended_even_by_code_that_does_not_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """The story has been told; a release that mends the fault must not tell another one."""
    with monkeypatch.context() as broken:
        fails_at_events_of("odd")(broken)
        told = await tell(LOG)
    again = await tell(LOG, kept=[decode_amendment(encode_amendment(one)) for one in told.kept])
    assert again.outputs == told.outputs
    assert again.shard.checkpoint.output_digest == told.shard.checkpoint.output_digest
    assert len(again.kept) == 1, "nothing more was amended"


async def test_what_fails_once_is_chance_and_amends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bit that flipped is no reason to lose a customer's event."""
    sound = await tell(LOG)
    fails_at_events_of("odd", times=1)(monkeypatch)
    told = await tell(LOG)
    assert told.outputs == sound.outputs
    assert told.kept == []
    assert told.shard._isolation.suspect is None, "it goes on in large steps"


@pytest.mark.parametrize("error", [MemoryError, RecursionError, OSError, TimeoutError])
async def test_what_is_no_function_of_the_record_is_never_held_against_it(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    """A machine without memory would make dead letters of everything."""
    fails_at_events_of("odd", error)(monkeypatch)
    kept = list[Amendment]()
    with pytest.raises(error):
        await tell(LOG, kept=kept)
    assert kept == []


async def test_an_amendment_is_acknowledged_before_the_commit_that_depends_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a rebuild after a crash between the two would meet the record unwarned."""

    class Refuses(MemoryJournal):
        async def write(self, amendment: Amendment) -> None:
            raise StoreUnavailableError("the broker is away")

    fails_at_events_of("odd")(monkeypatch)
    store = MemoryStore()
    shard = await Shard.acquire(0, store, Plans(store, RULES), RULES, journal=Refuses(), pause=_never)
    with pytest.raises(StoreUnavailableError):
        await shard.process(LOG)
    assert (await store.checkpoint(0)).position == (3, 0), "what lies before it is kept, one by one"


@pytest.mark.parametrize("limits", [Limits(), Limits(wakes=1)])
async def test_a_customer_at_whose_timer_we_fail_is_set_aside_until_their_next_event(
    monkeypatch: pytest.MonkeyPatch, limits: Limits
) -> None:
    """Their memberships stand and nobody else's timers wait; what happened meanwhile is found out at the next event."""
    fails_at_timers_of("odd")(monkeypatch)
    told = await tell(LOG, limits=limits)
    assert told.changes == [
        ("mila", "seen", "entered"),
        ("odd", "seen", "entered"),
        ("mila", "calm", "entered"),
        ("mila", "seen", "exited"),
    ]
    blob = await _state(told, "odd")
    assert blob is not None
    assert decode_state(blob).aside_ms == NOW_MS + 5 * MINUTE_MS
    assert told.shard.body.aside == 1
    said = {one.segment: one for one in explain(told.shard.plan, decode_state(blob), NOW_MS + 30 * MINUTE_MS)}
    assert said["seen"].inside, "it stands, though the window is over"
    assert "set aside since 2026-01-01T00:05:00.000Z" in (said["seen"].note or "")
    [amendment] = told.kept
    assert (amendment.what, amendment.customer, amendment.offset, amendment.detail) == ("aside", "odd", 6, "KeyError")

    later = LogRecord(7, NOW_MS + 40 * MINUTE_MS, view("odd", 4, NOW_MS + 28 * MINUTE_MS))
    outputs = [output for _, entry in await told.shard.process([later]) for output in entry]
    back = Told(told.shard, told.store, outputs, told.kept)
    assert back.changes == [("odd", "calm", "entered"), ("odd", "seen", "exited")]
    assert told.shard.body.aside == 0
    blob = await _state(back, "odd")
    assert blob is not None
    assert decode_state(blob).aside_ms == 0


async def test_a_rebuild_sets_the_same_customer_aside_at_the_same_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the timer fires in another slice, and by code that would not fail."""
    with monkeypatch.context() as broken:
        fails_at_timers_of("odd")(broken)
        told = await tell(LOG)
    again = await tell(LOG, kept=list(told.kept), limits=Limits(records=1, wakes=1, states=1))
    assert again.outputs == told.outputs
    assert [await _state(again, customer) for customer in ("mila", "odd")] == [await _state(told, customer) for customer in ("mila", "odd")]


async def test_a_change_of_definitions_goes_on_past_a_customer_at_whom_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their memberships stand as far as the segments do; the switch is everybody's."""
    sound = PlanChange.settle

    def settle(self: PlanChange, state: Any, now: int) -> None:
        if state.seen == poisoned:
            raise IndexError
        sound(self, state, now)

    before = await tell(LOG[:6])
    blob = await _state(before, "odd")
    assert blob is not None
    poisoned = decode_state(blob).seen
    monkeypatch.setattr(PlanChange, "settle", settle)
    told = await tell([*LOG[:6], LogRecord(6, NOW_MS + 4, switch(OTHER, 2), control=True)])
    assert told.changes[2:] == [
        ("mila", "often", "entered"),
        ("mila", "seen", "exited"),
        ("odd", "seen", "exited"),
    ]
    assert [(one.what, one.customer, one.due_ms) for one in told.kept] == [("aside", "odd", FOR_DEFINITIONS)]
    monkeypatch.undo()
    event = LogRecord(7, NOW_MS + 5, view("odd", 4))
    outputs = [output for _, entry in await told.shard.process([event]) for output in entry]
    assert Told(told.shard, told.store, outputs, []).changes == [("odd", "often", "entered")]


async def test_a_record_that_a_person_passes_over_is_a_dead_letter_that_says_so() -> None:
    """Nothing disappears."""
    told = await tell(LOG, kept=[Amendment("skip", 0, 3, who="ops@shop", why="poison")])
    [letter] = told.letters
    assert (letter.reason, letter.origin.offset) == ("passed_over", 3)


async def test_a_bounded_arrival_moves_log_time_to_where_a_person_put_it() -> None:
    """One record three days ahead would make everybody's events late for three days."""
    ahead = LOG[3]._replace(arrival_ms=NOW_MS + 3 * 86_400_000)
    told = await tell([*LOG[:3], ahead, *LOG[4:]], kept=[Amendment("arrival", 0, 3, to=4, arrival_ms=NOW_MS + 1)])
    assert told.outputs == (await tell(LOG)).outputs
