"""A state that cannot be read is folded anew from the log: to the byte, wherever the shard stands, and nothing is said twice."""
# pyright: reportPrivateUsage=false
# Whoever damages things must reach inside.

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import NamedTuple

import pytest

from streamer.errors import HaltError, StoreUnavailableError, UnreadableStateError
from streamer.events.codec import encode
from streamer.events.event import Event
from streamer.flow.amendments import Amendment, MemoryJournal
from streamer.flow.catalog import Plans
from streamer.flow.evaluation import Evaluator
from streamer.flow.forwards import Forward
from streamer.flow.machine import Limits
from streamer.flow.refold import refold
from streamer.flow.rules import Rules
from streamer.flow.same_log import View
from streamer.flow.shard import Shard
from streamer.language.definitions import parse_definitions
from streamer.stores.base import Commit
from streamer.stores.buckets import place_of
from streamer.stores.memory import MemoryStore
from streamer.wire import TICK, Control, Headers, LogRecord, Output, decode_outputs, definitions_control, encode_control, shard_of

NOW_MS = 1_767_225_600_000
MINUTE_MS = 60_000
WHOLE = Limits()
RULES = Rules(shards=2, lateness_ms=60 * MINUTE_MS)
ONE = """
segments:
  seen: {for: x, when: 'did("View", within="10m")'}
  calm: {for: x, when: 'not did("View", within="5m")'}
  keen: {for: x, when: 'count("View", within="20m") >= 2'}
"""
OTHER = """
segments:
  seen: {for: x, when: 'did("View", within="7m")'}
  often: {for: x, when: 'count("View", within="15m") >= 2'}
"""
HERE = [name for name in ("ada", "bo", "cleo", "dan", "eve", "finn", "gus", "hal", "ida", "jon") if shard_of(name, 2) == 0][:4]
THERE = next(name for name in ("kim", "lea", "mo", "ned", "oda") if shard_of(name, 2) == 1)


def view(customer: str, number: int, at_ms: int) -> bytes:
    return encode(Event(event="View", message_id=f"{customer}-{number}", user_id=customer, timestamp_ms=at_ms))


def switch(text: str, version: int) -> bytes:
    definitions = parse_definitions(text)
    return definitions_control(definitions.content(), definitions.digest, version)


class Line(NamedTuple):
    """A record to be, ``minute`` minutes after the beginning."""

    minute: int
    value: bytes
    headers: Headers = ()
    key: str = ""


def event(minute: int, customer: str) -> Line:
    return Line(minute, view(customer, minute, NOW_MS + minute * MINUTE_MS))


def sent_on(minute: int, customer: str, offset: int) -> Line:
    """By shard 1, where it lay at ``offset``."""
    arrival_ms = NOW_MS + 9 * MINUTE_MS
    return Line(minute, view(customer, 40 + minute, arrival_ms), Forward(1, 1, offset, 0, arrival_ms).headers, customer)


def the_log() -> list[LogRecord]:
    """Everything on which a state depends: events, timers, other definitions, an erasure, what another shard sent on and sent again, what
    is refused, and an offset that is no record."""
    a, b, c, d = HERE
    lines = [Line(0, switch(ONE, 1)), *(event(minute, who) for minute, who in enumerate([a, b, c, a, d, b, a]))]
    lines += [Line(8, b"no event"), event(9, THERE), sent_on(10, c, offset=7), sent_on(11, a, offset=6)]  # the last one is dropped
    lines += [Line(19, TICK), event(20, a), event(21, c), event(22, d), Line(24, switch(OTHER, 2))]
    lines += [Line(25, encode_control(Control("erase", customer=b))), event(26, b), event(27, a), Line(60, TICK)]
    lines += [event(61, who) for who in HERE]
    found = list[LogRecord]()
    for at, (minute, value, headers, key) in enumerate(lines):
        offset = at if at < 5 else at + 2  # markers of transactions take offsets too
        found.append(LogRecord(offset, NOW_MS + minute * MINUTE_MS, value, value.startswith(b'{"control"'), key.encode(), headers))
    return found


LOG = the_log()


class ListLog:
    """Records as a log; ``begin``: what lies before it is gone."""

    def __init__(self, records: Sequence[LogRecord], begin: int = 0) -> None:
        self.records, self.begin, self.batches = records, begin, 0
        self.past: Sequence[LogRecord] = ()

    async def history(self, shard: int, begin: int, end: int, limit: int) -> Sequence[LogRecord]:
        return [record for record in self.past if begin <= record.offset < end][:limit]

    async def look(self, shard: int, offset: int) -> View:
        return View(self.begin, self.records[-1].offset + 1, None)

    async def read(self, shard: int, offset: int, limit: int) -> AsyncGenerator[Sequence[LogRecord]]:
        found = [record for record in self.records if record.offset >= offset]
        for start in range(0, len(found), 3):  # not aligned with anything
            self.batches += 1
            yield found[start : start + 3]


class Spy(MemoryStore):
    """Keeps what the store had after each commit."""

    def __init__(self) -> None:
        super().__init__()
        self.copies = list[MemoryStore]()
        self.said = list[Output]()

    async def commit(self, shard: int, commit: Commit) -> None:
        await super().commit(shard, commit)
        self.copies.append(self.copy())
        if commit.outbox is not None:
            self.said += decode_outputs(commit.outbox[1])


async def _never(_seconds: float) -> None:
    raise StoreUnavailableError("a store in memory does not come and go")


async def own(store: MemoryStore, kept: list[Amendment] | None = None, limits: Limits = WHOLE) -> Shard:
    return await Shard.acquire(0, store, Plans(store, RULES), RULES, limits=limits, journal=MemoryJournal(kept), pause=_never)


async def tell(kept: list[Amendment] | None = None, limits: Limits = WHOLE) -> Spy:
    store = Spy()
    shard = await own(store, kept, limits)
    await shard.resume_where_chosen()
    await shard.process([record for record in LOG if record.offset >= shard.position.offset])
    return store


def kept_of(store: MemoryStore) -> tuple[dict[str, bytes], dict[str, int]]:
    found = store._shard(0)
    return found.states, found.wakes


AMENDED = [
    Amendment("skip", 0, LOG[4].offset),
    Amendment("aside", 0, LOG[11].offset, customer=HERE[0], due_ms=LOG[11].arrival_ms),
    Amendment("arrival", 0, LOG[-1].offset, to=LOG[-1].offset + 1, arrival_ms=NOW_MS + 60 * MINUTE_MS),
]

RESUMED = [Amendment("resume", 0, LOG[5].offset + 1, to=LOG[8].offset)]


@pytest.mark.parametrize("kept", [[], AMENDED, RESUMED], ids=["plain", "amended", "resumed"])
@pytest.mark.parametrize("limits", [Limits(), Limits(records=1), Limits(records=2, states=1, wakes=1)], ids=["whole", "single", "tiny"])
async def test_wherever_the_shard_stands_each_customer_comes_back_to_the_byte(limits: Limits, kept: list[Amendment]) -> None:
    """Between records, among the timers of one, in the middle of a change of definitions: every commit of the run and every customer."""
    told = await tell(list(kept), limits)
    assert len(told.copies) > (0 if limits == Limits() else len(LOG) - 2)
    tried = 0
    for copy in told.copies[:-1]:
        states, wakes = kept_of(copy)
        for customer in states:
            damaged = copy.copy()
            damaged._shard(0).states[customer] = b"\xc1"
            shard = await own(damaged, list(kept), limits)
            output_digest, begun = shard.checkpoint.output_digest, shard.position
            cursor = shard.body.cursor
            if cursor and place_of(customer) <= place_of(cursor):
                continue  # under the new definitions already: nobody reads them before the change is done
            await refold(shard, customer, ListLog(LOG))
            assert kept_of(damaged) == (states, wakes), f"{customer} at {begun}"
            assert shard.checkpoint.output_digest == output_digest, "nothing was said"
            tried += 1
            if tried % 5 == 0:
                await shard.process([record for record in LOG if record.offset >= shard.position.offset])
                assert shard.checkpoint.output_digest == told._shard(0).checkpoint.output_digest, f"{customer} at {begun}"
                assert kept_of(damaged) == kept_of(told)
    assert tried > 0 or limits == Limits()


async def test_the_run_above_is_really_cut_among_timers_and_definitions_and_amended() -> None:
    """What the test above is about."""
    told = await tell(AMENDED, limits=Limits(records=2, states=1, wakes=1))
    checkpoints = [copy._shard(0).checkpoint for copy in told.copies]
    cursors = [(await own(copy)).body.cursor for copy in told.copies]
    assert sum(checkpoint.position.step > 0 for checkpoint in checkpoints) > 5
    assert sum(cursor != "" for cursor in cursors) >= 2
    bodies = [(await own(copy)).body for copy in told.copies]
    assert max(body.aside for body in bodies) == 1
    assert bodies[-1].counts.items() >= {"passed_over": 1, "erased": 1, "forwarded_again": 1, "wrong_shard": 1}.items()


@pytest.mark.parametrize("damage", [b"", b"\xc1", b"\x80"])
async def test_a_shard_that_comes_to_such_a_state_says_whose_it_is_and_goes_on_afterwards(damage: bytes) -> None:
    """With what lies before it in the batch committed or done once more, and each output once."""
    sound, store = await tell(), Spy()
    shard = await own(store)
    await shard.process(LOG[:6])
    store._shard(0).states[HERE[0]] = damage
    todo = LOG[6:]
    with pytest.raises(UnreadableStateError) as raised:
        await shard.process(todo)
    assert raised.value.customer == HERE[0]
    assert HERE[0] not in str(raised.value), "it goes into logs"
    await refold(shard, raised.value.customer, ListLog(LOG))
    await shard.process([record for record in todo if record.offset >= shard.position.offset])
    assert store.said == sound.said
    assert kept_of(store) == kept_of(sound)
    assert shard.checkpoint.output_digest == sound._shard(0).checkpoint.output_digest


async def test_where_the_logs_beginning_is_gone_it_halts_with_the_truth() -> None:
    """A state from what is left would be another one."""
    store = Spy()
    shard = await own(store)
    await shard.process(LOG[:6])
    before = await store.checkpoint(0)
    with pytest.raises(HaltError, match=r"begins at offset 2 by now.*streamer shards rebuild 0"):
        await refold(shard, HERE[0], ListLog(LOG, begin=2))
    assert await store.checkpoint(0) == before


async def test_where_a_person_had_it_begin_later_it_is_folded_from_there() -> None:
    """That is how the shard was told."""
    resumed = [Amendment("resume", 0, 0, to=2)]
    told = await tell(list(resumed))
    states, wakes = kept_of(told)
    copy = told.copy()
    copy._shard(0).states[HERE[0]] = b"\xc1"
    shard = await own(copy, resumed)
    later = LogRecord(LOG[-1].offset + 1, LOG[-1].arrival_ms, TICK, control=True)
    await refold(shard, HERE[0], ListLog([*LOG[2:], later], begin=2))
    assert kept_of(copy) == (states, wakes)


async def test_what_fails_only_while_it_is_folded_anew_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shard did not fail there: its state has the event, and one without it would be another."""
    store = Spy()
    shard = await own(store)
    await shard.process(LOG[:6])
    monkeypatch.setattr(Evaluator, "_remember", _fails)
    with pytest.raises(HaltError, match=r"folding it anew fails at offset 1 \(ZeroDivisionError\)"):
        await refold(shard, HERE[0], ListLog(LOG))
    assert isinstance(shard._journal, MemoryJournal)
    assert shard._journal.kept == []


def _fails(*_: object) -> set[int]:
    raise ZeroDivisionError


async def test_a_state_of_nobody_is_left_to_a_person() -> None:
    """What the log does not know was not written by a shard."""
    store = Spy()
    shard = await own(store)
    await shard.process(LOG[:6])
    with pytest.raises(UnreadableStateError, match="the log does not know them"):
        await refold(shard, "nobody", ListLog(LOG))


async def test_while_a_customer_is_folded_anew_the_loop_goes_on() -> None:
    """Heartbeats share it."""
    store, turns = Spy(), [0]
    shard = await own(store)
    await shard.process(LOG[:-1])

    async def beat() -> None:
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    heart, log = asyncio.create_task(beat()), ListLog(LOG)
    await refold(shard, HERE[0], log)
    heart.cancel()
    assert turns[0] >= log.batches - 1 > 3


@pytest.mark.parametrize(
    "mutate",
    [
        lambda patch: patch.setattr("streamer.flow.refold.FORWARD_HEADER", "none"),
        lambda patch: patch.setattr(Shard, "first_timer", _no_bound),
    ],
    ids=["forwards cut out", "all timers fired"],
)
async def test_what_is_left_out_of_it_would_show(mutate: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each care taken matters."""
    mutate(monkeypatch)
    with pytest.raises(AssertionError):
        await test_wherever_the_shard_stands_each_customer_comes_back_to_the_byte(Limits(records=2, states=1, wakes=1), [])


async def _no_bound(_: Shard) -> None:
    return None
