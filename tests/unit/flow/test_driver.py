"""The driver drives any state machine: here one that counts, of which the step knows nothing."""

from __future__ import annotations

from bisect import insort
from collections.abc import Container, Mapping, Sequence

import pytest

from streamer.errors import StoreUnavailableError
from streamer.events.codec import encode
from streamer.events.event import Event
from streamer.flow.amendments import Amendment, Amendments, MemoryJournal
from streamer.flow.driver import ShardDriver, open_session
from streamer.flow.machine import CommitBatch, Content, InHand, Limits, MigrationInProgress
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

    Its body is log time, the customer up to whom a doubling has come, and the names of all customers; the state of a customer is a number
    and a moment.
    """

    def __init__(self, checkpoint: Checkpoint, amendments: Amendments) -> None:
        time_ms, cursor, customers, timers = checkpoint.body.decode().split(" ") if checkpoint.body else ("0", "", "", "0")
        self.time_ms, self.cursor = int(time_ms), cursor
        self.customers, self.timers = [name for name in customers.split(",") if name], int(timers)
        self.output_digest = checkpoint.output_digest
        self.migration: MigrationInProgress | None = Doubling(self) if cursor else None
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
            self.timer = InHand(customer, due_ms)
            if (offset, customer, due_ms) not in self._aside:
                self._say(customer, offset)
            self.due[customer] = None
            self.timers -= 1
        self.timer = None
        return bound is None or bound[0] > until_ms

    def _say(self, customer: str, offset: int) -> None:
        if customer == POISON:
            raise ZeroDivisionError(customer)
        value = f"{customer} {self.number(customer)}".encode()
        self.outputs.append(Output(CHANGES, 0, offset, len(self.outputs), customer.encode(), value))
        self.output_digest += value + b";"

    def number(self, customer: str) -> int:
        blob = self.changed.get(customer, self.blobs.get(customer))
        return 0 if blob is None else int(blob)

    def apply(self, record: LogRecord, content: Content, now: int) -> None:
        self.time_ms = now
        if isinstance(content, Event):
            customer = content.customer
            if self.number(customer) == 0:
                self.customers.append(customer)
            self.changed[customer] = b"%d" % (self.number(customer) + 1)
            self.due[customer] = now + WAIT_MS
            self.timers += 1  # each event of the test comes when no timer of its customer runs
            insort(self.queue, (now + WAIT_MS, customer))

    def encode(self, customer: str) -> None:
        """A number is encoded at once."""

    def is_full(self, limits: Limits) -> bool:
        return len(self.changed.keys() | self.due.keys()) >= limits.states

    def in_hand(self) -> InHand | None:
        return self.timer

    def finish_migration(self) -> None:
        self.migration, self.cursor = None, ""

    def keep_last(self, last: Delivered) -> None:
        """Nobody asks it whether the log is still the same."""

    def take(self) -> CommitBatch:
        body = f"{self.time_ms} {self.cursor} {','.join(self.customers)} {self.timers}".encode()
        return CommitBatch(
            self.output_digest, body, self.changed, self.due, self.outputs, Holdings(bucket_sizes(self.customers), self.timers, 0)
        )


class Doubling:
    """Every customer's number is doubled, one after the other."""

    at_once_max = 10

    def __init__(self, counter: Counter) -> None:
        self._counter = counter

    @property
    def cursor(self) -> str:
        return self._counter.cursor

    def migrate(self, customer: str, offset: int) -> None:
        self._counter.changed[customer] = b"%d" % (2 * self._counter.number(customer))
        self._counter.cursor = customer


class Counters:
    """Where counters come from."""

    async def machine_at(self, shard: int, checkpoint: Checkpoint, amendments: Amendments) -> Counter:
        return Counter(checkpoint, amendments)

    async def reconfigure(self, machine: Counter, record: LogRecord, control: Control, now: int) -> None:
        machine.time_ms = now
        machine.migration = Doubling(machine)

    async def recall(self, machine: Counter, customers: Sequence[str]) -> None:
        """Nobody has a past."""

    async def finished(self, machine: Counter) -> None:
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


async def test_a_migration_asks_for_one_page_of_customers_after_the_other() -> None:
    """A shard may have millions, and the ids of all of them are nothing to have in hand."""
    pages: list[list[str]] = []

    class Seen(MemoryStore):
        async def customers(self, shard: int, bucket: int, *, limit: int, expected: Checkpoint | None = None) -> Page:
            page = await super().customers(shard, bucket, limit=limit, expected=expected)
            pages.append(page.customers)
            return page

    names = [f"c{number}" for number in range(300)]
    store = Seen()
    shard = await owned(store, MemoryJournal(), Limits(states=20))
    await shard.process(
        [*(event(at, 0, name) for at, name in enumerate(names)), control(300, 0, definitions_control(b"double", "0" * 16, 1))]
    )
    assert [name for page in pages for name in page] == sorted(names, key=place_of)
    assert max(map(len, pages)) < 20 + max(bucket_sizes(names))
    assert set((await store.fetch(0, names, until_ms=0, limit=0)).states) == {b"2"}


async def test_what_a_machine_fails_at_twice_is_passed_over() -> None:
    """Isolation belongs to the driver: the customer at whose timer it fails is amended, and nobody else waits."""
    store, journal = MemoryStore(), MemoryJournal()
    shard = await owned(store, journal)
    await shard.process([event(0, 0, "ada"), event(1, 0, POISON), control(2, 2, TICK)])
    assert told(store) == ["ada 1"]
    assert [(one.what, one.customer, one.due_ms) for one in journal.kept] == [("aside", POISON, NOW_MS + WAIT_MS)]
    assert [fault.what for fault in shard.take_faults()] == ["aside"]
    assert isinstance(journal.kept[0], Amendment)
