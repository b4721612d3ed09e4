"""The driver drives any state machine: here one that counts, of which the step knows nothing."""

from __future__ import annotations

import json
from bisect import insort
from collections.abc import Container, Mapping, Sequence

import pytest

from streamer.errors import StoreUnavailableError
from streamer.events.codec import encode
from streamer.events.event import Event
from streamer.flow.amendments import Amendment, Amendments, MemoryJournal
from streamer.flow.driver import ShardDriver, open_session
from streamer.flow.machine import CommitBatch, Content, InHand, Limits
from streamer.flow.rules import Rules
from streamer.flow.same_log import Delivered
from streamer.stores.base import Checkpoint, Holdings, Page
from streamer.stores.buckets import bucket_sizes, place_of
from streamer.stores.memory import MemoryStore
from streamer.wire import CHANGES, TICK, Control, LogRecord, Output, definitions_control

RULES = Rules(shards=1)
WHOLE = Limits()
NOW_MS = 1_767_225_600_000
WAIT_MS = 60_000
POISON = "poison"


class Counter:
    """Counts the events of each customer and says the number a minute after the newest. A ``definitions`` record doubles every number.

    Its body is log time, how often numbers were doubled, where a doubling stands, the names of all customers and of those with a
    timer; the state of a customer is a number and how often it was doubled.
    """

    def __init__(self, checkpoint: Checkpoint, amendments: Amendments) -> None:
        body = json.loads(checkpoint.body or b"[0, 0, null, [], []]")
        self.time_ms, self.doublings, walk, self.customers, self.timers = body
        self.output_digest = checkpoint.output_digest
        self.migration: Doubling | None = Doubling(self, *walk) if walk is not None else None
        self._aside = amendments.aside
        self.load({}, ())

    def load(self, states: Mapping[str, bytes | None], due: Sequence[tuple[int, str]], awaited: Container[str] = ()) -> None:
        self.blobs, self.queue = dict(states), list(due)
        self.changed: dict[str, bytes | None] = {}
        self.due: dict[str, int | None] = {}
        self.outputs: list[Output] = []
        self.timer: InHand | None = None

    def time_at(self, record: LogRecord) -> int:
        return max(self.time_ms, record.arrival_ms)

    def begin(self, offset: int) -> None:
        """It says at most one thing for a customer, so it numbers nothing."""

    def is_quiet_until(self, now: int) -> bool:
        return not self.queue or self.queue[0][0] > now

    def fire(self, offset: int, until_ms: int, bound: tuple[int, str] | None, limits: Limits | None) -> bool:
        while self.queue and self.queue[0][0] <= until_ms:
            if (bound is not None and self.queue[0] >= bound) or (limits is not None and self.is_full(limits)):
                return False
            due_ms, customer = self.queue.pop(0)
            if self.migration is not None:
                self.migration.touch(customer, offset)
            self.timer = InHand(customer, due_ms)
            if (offset, customer, due_ms) not in self._aside:
                self._say(customer, offset)
            self.due[customer] = None
            self.timers.remove(customer)
        self.timer = None
        return bound is None or bound[0] > until_ms

    def _say(self, customer: str, offset: int) -> None:
        if customer == POISON:
            raise ZeroDivisionError(customer)
        value = f"{customer} {self.number(customer)}".encode()
        self.outputs.append(Output(CHANGES, 0, offset, len(self.outputs), customer.encode(), value))
        self.output_digest += value + b";"

    def number(self, customer: str) -> int:
        return self.read(customer)[0]

    def read(self, customer: str) -> tuple[int, int]:
        blob = self.changed.get(customer, self.blobs.get(customer))
        number, doubled = (0, self.doublings) if blob is None else map(int, blob.split(b"/"))
        return number, doubled

    def is_before(self, customer: str) -> bool:
        return self.read(customer)[1] < self.doublings

    def write(self, customer: str, number: int) -> None:
        self.changed[customer] = b"%d/%d" % (number, self.doublings)

    def apply(self, record: LogRecord, content: Content, now: int) -> None:
        self.time_ms = now
        if isinstance(content, Event):
            customer = content.customer
            if self.number(customer) == 0:
                self.customers.append(customer)
            self.write(customer, self.number(customer) + 1)
            self.due[customer] = now + WAIT_MS
            if customer not in self.timers:
                self.timers.append(customer)
            insort(self.queue, (now + WAIT_MS, customer))

    def encode(self, customer: str) -> None:
        """A number is encoded at once."""

    def is_full(self, limits: Limits) -> bool:
        return len(self.changed.keys() | self.due.keys()) >= limits.states

    def in_hand(self) -> InHand | None:
        return self.timer

    def finish_migration(self) -> None:
        self.migration = None

    def keep_last(self, last: Delivered) -> None:
        """Nobody asks it whether the log is still the same."""

    def take(self) -> CommitBatch:
        walk = None if self.migration is None else self.migration.place
        body = json.dumps([self.time_ms, self.doublings, walk, self.customers, self.timers]).encode()
        return CommitBatch(
            self.output_digest, body, self.changed, self.due, self.outputs, Holdings(bucket_sizes(self.customers), len(self.timers), 0)
        )


class Doubling:
    """Every customer's number is doubled, a hundred at a record."""

    at_once_max = 10

    def __init__(self, counter: Counter, offset: int, cursor: str = "", record: int = -1, done: int = 0) -> None:
        self._counter = counter
        self.offset, self.cursor = offset, cursor
        self._record, self._done = record, done

    @property
    def place(self) -> tuple[int, str, int, int]:
        return self.offset, self.cursor, self._record, self._done

    def done_at(self, offset: int) -> int:
        return self._done if self._record == offset else 0

    def allowed_at(self, offset: int, now: int) -> int:
        return 100

    def begin_at(self, offset: int, now: int) -> None:
        self._record, self._done = offset, self.done_at(offset)

    def migrate(self, customer: str, offset: int) -> None:
        self._done += self._counter.is_before(customer)
        self.touch(customer, offset)
        self.cursor = customer

    def touch(self, customer: str, offset: int) -> None:
        if self._counter.is_before(customer):
            self._counter.write(customer, 2 * self._counter.number(customer))


class Counters:
    """Where counters come from."""

    async def machine_at(self, shard: int, checkpoint: Checkpoint, amendments: Amendments) -> Counter:
        return Counter(checkpoint, amendments)

    async def reconfigure(self, machine: Counter, record: LogRecord, control: Control, now: int) -> None:
        machine.time_ms = now
        machine.doublings += 1
        machine.migration = Doubling(machine, record.offset)

    async def recall(self, machine: Counter, customers: Sequence[str]) -> None:
        """Nobody has a past."""

    def also_known(self, machine: Counter) -> None:
        """Nobody is known from elsewhere."""

    async def finished(self) -> None:
        """Nothing is left to do."""


async def _never(_seconds: float) -> None:
    raise StoreUnavailableError("a store in memory does not come and go")


async def owned(store: MemoryStore, journal: MemoryJournal, limits: Limits = WHOLE) -> ShardDriver[Counter]:
    session, counter = await open_session(0, store, Counters(), journal.amendments, _never)
    return ShardDriver(session, Counters(), counter, RULES, limits, journal)


def event(offset: int, minute: int, customer: str) -> LogRecord:
    at_ms = NOW_MS + minute * WAIT_MS
    sent = Event(event="View", message_id=f"{offset}", user_id=customer, timestamp_ms=at_ms)
    return LogRecord(offset, at_ms, encode(sent))


def control(offset: int, minute: int, value: bytes) -> LogRecord:
    return LogRecord(offset, NOW_MS + minute * WAIT_MS, value, control=True)


NAMES = ("ada", "bo", "cleo", "dan")
LOG = [
    *(event(at, 0, name) for at, name in enumerate(NAMES)),
    control(4, 2, TICK),
    control(5, 3, definitions_control(b"double", "0" * 16, 1)),
    *(event(6 + at, 4, name) for at, name in enumerate(NAMES)),
    control(10, 6, TICK),
]
SAID = [*(f"{name} 1" for name in NAMES), *(f"{name} 3" for name in NAMES)]


def told(store: MemoryStore) -> list[str]:
    return [text.decode() for text in store._shard(0).checkpoint.output_digest.split(b";") if text]  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("limits", [Limits(), Limits(records=1), Limits(records=3, states=1, wakes=2)], ids=["whole", "single", "tiny"])
async def test_events_timers_and_a_migration_reach_any_machine_however_slices_are_cut(limits: Limits) -> None:
    """The protocol is complete: nothing of the step is needed to run a shard."""
    store = MemoryStore()
    shard = await owned(store, MemoryJournal(), limits)
    entries = await shard.process(LOG)
    assert told(store) == SAID
    assert [output.value.decode() for _, outputs in entries for output in outputs] == SAID
    assert shard.position == (11, 0)
    await shard.probe()


async def test_another_owner_goes_on_in_the_middle_of_a_migration() -> None:
    """A crash between two slices of one record doubles nobody twice."""

    class Dies(MemoryStore):
        left = 7

        async def commit(self, shard: int, commit: object) -> None:
            if self.left == 0:
                raise ConnectionError
            self.left -= 1
            await super().commit(shard, commit)  # type: ignore[arg-type] - it is one

    store, journal, limits = Dies(), MemoryJournal(), Limits(records=1, states=1)
    with pytest.raises(ConnectionError):
        await (await owned(store, journal, limits)).process(LOG)
    store.left = 1_000
    again = await owned(store, journal, limits)
    assert again.position.step > 0
    await again.process([record for record in LOG if record.offset >= again.position.offset])
    assert told(store) == SAID


NAMES_OF_300 = [f"c{number}" for number in range(300)]
EVENTS_OF_300 = [event(at, 0, name) for at, name in enumerate(NAMES_OF_300)]
DOUBLES = control(300, 0, definitions_control(b"double", "0" * 16, 1))


async def states(store: MemoryStore) -> dict[str, bytes | None]:
    fetched = await store.fetch(0, NAMES_OF_300, until_ms=0, limit=0)
    return dict(zip(NAMES_OF_300, fetched.states, strict=True))


async def test_a_migration_asks_for_one_page_of_customers_after_the_other() -> None:
    """A shard may have millions, and the ids of all of them are nothing to have in hand."""
    pages: list[list[str]] = []

    class Seen(MemoryStore):
        async def customers(self, shard: int, bucket: int, *, limit: int, expected: Checkpoint | None = None) -> Page:
            page = await super().customers(shard, bucket, limit=limit, expected=expected)
            pages.append(page.customers)
            return page

    store = Seen()
    shard = await owned(store, MemoryJournal(), Limits(states=20))
    await shard.process([*EVENTS_OF_300, DOUBLES, *(control(offset, 0, TICK) for offset in (301, 302, 303))])
    assert [name for page in pages for name in page] == sorted(NAMES_OF_300, key=place_of)
    assert max(map(len, pages)) < 20 + max(bucket_sizes(NAMES_OF_300))
    assert set((await states(store)).values()) == {b"2/1"}
    assert shard.machine.migration is None


@pytest.mark.parametrize("limits", [Limits(), Limits(records=1), Limits(states=7)], ids=["whole", "single", "small"])
async def test_a_migration_does_a_hundred_customers_at_a_record_and_whom_a_record_is_of(limits: Limits) -> None:
    """So nobody waits for a million others, and which customers a record does is the same however slices are cut."""
    store, in_order = MemoryStore(), sorted(NAMES_OF_300, key=place_of)
    shard = await owned(store, MemoryJournal(), limits)
    await shard.process([*EVENTS_OF_300, DOUBLES])
    assert [name for name in in_order if (await states(store))[name] == b"2/1"] == in_order[:100]
    last = in_order[-1]
    await shard.process([event(301, 0, last)])
    found = await states(store)
    assert [name for name in in_order if found[name] == b"2/1"] == in_order[:200], "the next hundred came first"
    assert found[last] == b"3/1", "an event counts after the doubling"
    await shard.process([control(302, 0, TICK)])
    assert shard.machine.migration is None, "one is done already, so the walk comes to its end"
    assert set((await states(store)).values()) == {b"2/1", b"3/1"}


async def test_a_timer_of_somebody_whose_turn_has_not_come_fires_after_the_migration() -> None:
    """A timer says what holds under the newest definitions."""
    store, in_order = MemoryStore(), sorted(NAMES_OF_300, key=place_of)
    shard = await owned(store, MemoryJournal())
    await shard.process([*EVENTS_OF_300, DOUBLES, control(301, 2, TICK)])
    assert sorted(told(store)) == sorted(f"{name} 2" for name in in_order)


async def test_a_second_migration_begins_when_the_first_has_done_everybody() -> None:
    """States of two generations are read at a time, never of three."""
    store = MemoryStore()
    shard = await owned(store, MemoryJournal())
    await shard.process([*EVENTS_OF_300, DOUBLES, DOUBLES._replace(offset=301), *(control(offset, 0, TICK) for offset in (302, 303, 304))])
    assert set((await states(store)).values()) == {b"4/2"}


async def test_a_place_that_a_person_chose_ends_a_migration() -> None:
    """What the walk would do at the records that are passed over is done before."""
    store = MemoryStore()
    shard = await owned(store, MemoryJournal())
    await shard.process([*EVENTS_OF_300, DOUBLES])
    await shard.resume(400)
    assert (shard.machine.migration, shard.position) == (None, (400, 0))
    assert set((await states(store)).values()) == {b"2/1"}


async def test_what_a_machine_fails_at_twice_is_passed_over() -> None:
    """Isolation belongs to the driver: the customer at whose timer it fails is amended, and nobody else waits."""
    store, journal = MemoryStore(), MemoryJournal()
    shard = await owned(store, journal)
    await shard.process([event(0, 0, "ada"), event(1, 0, POISON), control(2, 2, TICK)])
    assert told(store) == ["ada 1"]
    assert [(one.what, one.customer, one.due_ms) for one in journal.kept] == [("aside", POISON, NOW_MS + WAIT_MS)]
    assert [fault.what for fault in shard.take_faults()] == ["aside"]
    assert isinstance(journal.kept[0], Amendment)
