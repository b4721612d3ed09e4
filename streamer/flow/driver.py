"""Drives a state machine over the log of one shard: reads states, lets the machine decide, commits, and hands the outputs on.

It waits and never decides. What a commit covers is a slice: at most so many records, states and timers, and a record that touches more is
committed in several. Where the slices are cut changes nothing that is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from math import inf
from typing import Final, Generic, NamedTuple

from streamer.errors import HaltError, ReleasedError, StoreError
from streamer.events.event import Event
from streamer.stores.base import Checkpoint, Commit, OutputPosition, Position, Store
from streamer.wire import TIME_PASSES, Control, LogRecord, Output, encode_outputs

from .amendments import Amendments, Journal
from .customer_walk import CustomerWalk, NextCustomers
from .isolation import Fault, Isolation
from .machine import CommitBatch, Content, Limits, Machine, MachineSource, MigrationInProgress
from .record_reader import Item, RecordReader
from .rules import Rules
from .same_log import NOTHING, delivered
from .slicing import RECONFIGURE, Slicing, customer_of
from .store_session import Pause, StoreSession, retry

SPARE: Final = 4  # customers of a walk that are loaded beyond those who are due, since some are done already

Entry = tuple[OutputPosition, Sequence[Output]]  # what one commit has to say
HandOver = Callable[[Entry], Awaitable[None]]


class RecordSpan(NamedTuple):
    """Records that one commit may cover, by their indexes: the first, the one behind the last, the last one of each customer, log times as
    known beforehand, and the first timer that was not loaded. ``turn`` has those who are loaded to be done in the order of a migration's
    walk; None where there is no migration, or nobody's turn comes."""

    at: int
    end: int
    last: Mapping[str, int]
    times: Sequence[int]
    bound: tuple[int, str] | None
    turn: NextCustomers | None = None


class ShardDriver(Generic[Machine]):
    """One shard under one epoch. After any error but a refused call it must be dropped and acquired anew."""

    def __init__(
        self, session: StoreSession, source: MachineSource[Machine], machine: Machine, rules: Rules, limits: Limits, journal: Journal
    ) -> None:
        self.shard = session.shard
        self.machine = machine
        self._session = session
        self._source = source
        self._journal = journal
        self._reader = RecordReader(session.shard, rules, journal)
        self._isolation = Isolation(session.shard, rules.log_generation, journal)
        self._slicing = Slicing(limits, self._isolation)
        self._change_counts: Counter[tuple[str, str]] = Counter()
        self._decision_counts: Counter[tuple[str, str]] = Counter()
        self._collected: list[Entry] = []
        self._hand_over: HandOver = self._collect
        self._at: int | None = None  # the offset of the record in hand
        self.walk_customers: Callable[[], float] | None = None  # a record has done in a migration, instead of what the machine allows
        self._is_migrated = False  # the end of a migration is not committed yet
        self._walking: tuple[MigrationInProgress, CustomerWalk] | None = None
        self._record: LogRecord | None = None  # the newest that was begun, as it lies in the log

    # what others see of it

    @property
    def checkpoint(self) -> Checkpoint:
        """What was committed last."""
        return self._session.checkpoint

    @property
    def position(self) -> Position:
        """The next record to hand to ``process``."""
        return self._session.checkpoint.position

    @property
    def stalled(self) -> str:
        """Why the store does not take what this shard asks of it right now; empty when it does."""
        return self._session.stalled

    @property
    def amendments(self) -> Amendments:
        """What was decided about places of the log."""
        return self._journal.amendments

    def arrival_ms(self, record: LogRecord) -> int:
        """When a record arrived, in UTC milliseconds: as it says, or as a person has bounded it."""
        return self._reader.arrival_ms(record)

    def take_change_counts(self) -> Counter[tuple[str, str]]:
        """How many changes were committed since the last call, by (segment, type of change)."""
        counts, self._change_counts = self._change_counts, Counter()
        return counts

    def take_decision_counts(self) -> Counter[tuple[str, str]]:
        """How many decisions about messages were committed since the last call, by (message, reason; ``send`` where it is to be sent)."""
        counts, self._decision_counts = self._decision_counts, Counter()
        return counts

    def take_faults(self) -> list[Fault]:
        """What was passed over since the last call."""
        faults, self._isolation.faults = self._isolation.faults, []
        return faults

    async def probe(self) -> None:
        """Compare with the store: a quiet shard must notice too that it was fenced, that the store came back older, or that it has lost
        keys. Raises FencedError, KeysLostError."""
        await self._session.verify()

    # records

    async def process(self, records: Sequence[LogRecord], hand_over: HandOver | None = None) -> list[Entry]:
        """Apply the records that follow ``position``; return what was committed to the outbox, in order.

        With ``hand_over`` each entry is handed over as soon as it is committed, and nothing is returned: one record may wake 100,000
        customers, and the first change is out before the last is computed. It may take its time, while the outbox is full, and end the
        work with ReleasedError.
        Offsets rise and need not be dense: markers of transactions take some, and so do records of aborted ones.
        After an error what was committed before it is in the outbox, from which the next owner's relay takes it.
        Raises FencedError (another owner), HaltError (a person must look), StoreUnavailableError (the store did not come back), and
        UnreadableStateError: after ``refold.refold`` it goes on, with this same shard.
        """
        self._check_rising(records)
        self._hand_over = hand_over or self._collect
        todo = records
        while todo := await self._in_turn(todo):
            due = self._up_to_resume(todo)
            self._reader.begin()
            try:
                await self._process(await self._read_all(due))
            except (StoreError, ReleasedError):
                raise
            except Exception as error:
                await self.probe()  # it may come of reading what another owner wrote, or a store that came back older
                await self._isolate(error)
        entries, self._collected = self._collected, []
        return entries

    async def _collect(self, entry: Entry) -> None:
        self._collected.append(entry)

    def _check_rising(self, records: Sequence[LogRecord]) -> None:
        """Whether something is missing cannot be seen from offsets; whoever reads the log asks it for its begin and its end."""
        least, is_begun = self.position.offset, self.position.step > 0
        for record in records:
            if record.offset < least or (is_begun and record.offset != least):
                wanted = "the record that is done in part, at" if is_begun else "an offset of at least"
                raise HaltError(f"shard {self.shard}: expected {wanted} {least}, found {record.offset}; it is another log than it was")
            least, is_begun = record.offset + 1, False

    async def _in_turn(self, records: Sequence[LogRecord]) -> Sequence[LogRecord]:
        """Those of ``records`` that are still to be processed, from where a person had the shard go on if it stands at such a place."""
        await self.resume_where_chosen()
        at = self.position.offset
        return records if records and records[0].offset >= at else [record for record in records if record.offset >= at]

    def _up_to_resume(self, records: Sequence[LogRecord]) -> Sequence[LogRecord]:
        """Those before the next place from which a person had the shard go on elsewhere: a rebuild passes over the same ones."""
        until = self.amendments.next_resume(self.position.offset)
        return records if until is None else [record for record in records if record.offset < until]

    async def _read_all(self, records: Sequence[LogRecord]) -> Sequence[Item]:
        return [self._read(record) for record in records]

    def _read(self, record: LogRecord) -> Item:
        self._at = record.offset
        return self._reader.read(record)

    async def _process(self, items: Sequence[Item]) -> None:
        at = 0
        while at < len(items):
            record, content = items[at]
            if isinstance(content, Control) and content.control in RECONFIGURE:
                await self._reconfigure(record, content)
                at += 1
            else:
                at = await self._span(items, at)

    # a stretch of records

    async def _span(self, items: Sequence[Item], at: int) -> int:
        """Apply as many records from ``at`` as one commit may cover; return the next. The same ``at`` when only timers fitted, or customers
        of a migration."""
        machine = self.machine
        migration, most = machine.migration, len(items)
        self._at = items[at][0].offset
        end, last = self._slicing.extent(items, at, most if migration is None else min(most, at + migration.at_once_max))
        times = [machine.time_at(record) for record, _ in items[at:end]]
        turn = None if migration is None else await self._next_turn(migration, items[end - 1][0].offset, max(times))
        _, bound = await self._load(last, max(times), turn.todo if turn is not None else ())
        reached, is_cut = await self._apply_span(items, RecordSpan(at, end, last, times, bound, turn))
        self._slicing.learn(reached - at, end - at)
        await self._commit(self._within(items[reached][0].offset) if is_cut else self._behind(items[reached - 1][0]))
        return reached

    async def _apply_span(self, items: Sequence[Item], span: RecordSpan) -> tuple[int, bool]:
        """Apply records as far as the slice goes; the index of the next, and whether that has begun: some of its timers have fired."""
        return self._apply_from(items, span.at, span)

    def _apply_from(self, items: Sequence[Item], index: int, span: RecordSpan) -> tuple[int, bool]:
        """The same from an index on, in one go."""
        is_full = False
        while index < span.end and not is_full:
            after = self._apply_next(items, index, span)
            if after == index:
                return index, True
            index, is_full = after, self.machine.is_full(self._slicing.limits)
        return index, False

    def _apply_next(self, items: Sequence[Item], index: int, span: RecordSpan) -> int:
        """Apply one record or more; the index of the next. The same where the slice ended among the record's timers."""
        record, content = items[index]
        is_migrating = self.machine.migration is not None  # some have their turn at each record, also at one that only lets time pass
        if content is TIME_PASSES and not is_migrating and self._is_covered(span.times, index - span.at, span.bound):
            return index + 1
        if not self._apply(record, content, span):
            return index
        if isinstance(content, Event) and span.last[content.customer] == index:
            self.machine.encode(content.customer)
        return index + 1

    def _is_covered(self, times: Sequence[int], index: int, bound: tuple[int, str] | None) -> bool:
        """Whether the record behind a tick lets time pass as well: nothing is due at the tick, and log time does not go back behind it.

        Nights of a quiet shard are ticks alone, and a shard that is told anew reads those of years.
        """
        now = times[index]
        return index + 1 < len(times) and times[index + 1] >= now and (bound is None or bound[0] > now) and self.machine.is_quiet_until(now)

    async def _load(self, awaited: Mapping[str, int], until_ms: int, also: Iterable[str] = ()) -> tuple[bool, tuple[int, str] | None]:
        """Give the machine the states of the customers ``awaited`` and of others, and the first timers up to ``until_ms`` with theirs.

        Returns whether there are timers, and the first that was left out.
        """
        customers, wakes = sorted({*awaited, *also}), self._slicing.limits.wakes
        fetched = await self._session.fetch(customers, until_ms=until_ms, limit=wakes + 1)
        due, bound = fetched.due, None
        if len(due) > wakes:
            due, bound = due[:-1], due[-1]
        states = dict(zip(customers, fetched.states, strict=True))
        states |= await self._session.states([customer for _, customer in due if customer not in states])
        if self.machine.migration is not None:
            await self._source.recall(self.machine, list(states))
        self.machine.load(states, due, awaited)
        return bool(due), bound

    def _begin(self, record: LogRecord) -> int:
        """Log time at a record; its outputs are numbered from 0 unless part of it is committed already."""
        self._at, self._record = record.offset, self._reader.original(record)
        if not (self.position.step and record.offset == self.position.offset):
            self.machine.begin(record.offset)
        return self.machine.time_at(record)

    def _apply(self, record: LogRecord, content: Content, span: RecordSpan) -> bool:
        """Apply a record; False if the slice ended among its timers, or those whose turn was there, before the record itself."""
        now = self._begin(record)
        if self.machine.migration is not None and not self._take_turns(self.machine.migration, record.offset, now, span):
            return False
        if self.machine.migration is not None and (customer := customer_of(content)) is not None:
            self.machine.migration.touch(customer, record.offset)
        if not self.machine.fire(record.offset, now, span.bound, self._slicing.limits):
            return False
        self.machine.apply(record, content, now)
        return True

    def _behind(self, record: LogRecord) -> Position:
        """The position once a record is done."""
        return Position(record.offset + 1, 0)

    def _within(self, offset: int) -> Position:
        """The position after one more slice of a record that is not done."""
        return Position(offset, self.position.step + 1 if offset == self.position.offset else 1)

    # records that concern everybody

    async def _reconfigure(self, record: LogRecord, control: Control) -> None:
        """Timers first; then what the record changes; then the first customers, where it concerns them."""
        self._at = record.offset
        if not self._is_begun_at(record.offset):
            await self._pass_migration(record, is_next=control.control == "definitions")
            now = await self._fire_all(record)
            self.machine.load({}, ())
            if self._is_migrated:  # what one migration needed is let go before the next needs something
                await self._commit(self._within(record.offset))
                self.machine.load({}, ())
            await self._source.reconfigure(self.machine, record, control, now)
            if self._is_begun_at(record.offset):  # what it says is before all that the first customers say
                await self._commit(self._within(record.offset))
                self.machine.load({}, ())
        if self._is_begun_at(record.offset):
            await self._walk(record.offset, self._begin(record))
            self.machine.load({}, ())
        await self._commit(Position(record.offset + 1, 0))

    async def _fire_all(self, record: LogRecord) -> int:
        """Fire every timer up to the record's log time, a wave at a time; return that time."""
        while True:
            now = self._begin(record)
            is_due, bound = await self._load({}, now)
            if not is_due:
                return now
            self.machine.fire(record.offset, now, bound, self._slicing.limits)
            await self._commit(self._within(record.offset))

    # a migration

    def _is_begun_at(self, offset: int) -> bool:
        """Whether the migration in progress is that of the record at ``offset``."""
        return self.machine.migration is not None and self.machine.migration.offset == offset

    async def _pass_migration(self, record: LogRecord, *, is_next: bool) -> None:
        """Go on with the migration that began before a record: with those whose turn is there, or all the rest before the next."""
        if self.machine.migration is not None:
            now = self._begin(record)
            await self._walk(record.offset, None if is_next else now)

    def _left(self, migration: MigrationInProgress, offset: int, now: int) -> float:
        """How many customers are still to be done at the record at ``offset``, which has log time ``now``."""
        allowed = migration.allowed_at(offset, now) if self.walk_customers is None else self.walk_customers()
        return allowed - migration.done_at(offset)

    async def _next_turn(self, migration: MigrationInProgress, offset: int, now: int) -> NextCustomers | None:
        """Those whose turn is up to and including a record, and a few more, as far as one commit may have them."""
        left = self._left(migration, offset, now)
        if left <= 0:
            return None
        most = min(left * 1.5 + SPARE, self._slicing.limits.states, migration.at_once_max)
        return NextCustomers(await self._walk_of(migration).behind(migration.cursor, int(most)))

    def _take_turns(self, migration: MigrationInProgress, offset: int, now: int, span: RecordSpan) -> bool:
        """Do those whose turn is at a record; False where the commit is full, or more are to be loaded first. Where nobody is left the
        migration is over."""
        while self._left(migration, offset, now) > 0:
            if span.turn is None:
                return False
            if span.turn.is_over:
                self._end_migration()
                return True
            if not span.turn.todo or self.machine.is_full(self._slicing.limits):
                return False
            migration.begin_at(offset, now)
            customer = span.turn.todo.popleft()
            migration.migrate(customer, offset)
            if customer not in span.last:
                self.machine.encode(customer)
        return True

    def _end_migration(self) -> None:
        """That it is over is committed with whatever comes next."""
        self.machine.finish_migration()
        self._is_migrated = True

    async def _walk(self, offset: int, now: int | None) -> None:
        """Go on with the migration at the record at ``offset``, in slices, until those are done whose turn is there (``now`` None: all that
        are left)."""
        while (migration := self.machine.migration) is not None:
            left = inf if now is None else self._left(migration, offset, now)
            if left <= 0:
                return
            if now is not None:
                migration.begin_at(offset, now)
            limits = self._slicing.limits
            todo = await self._walk_of(migration).behind(migration.cursor, int(min(left, limits.states, migration.at_once_max)))
            await self._source.recall(self.machine, todo)
            self.machine.load(await self._session.states(todo), ())
            if not todo:
                self._end_migration()
                return
            for customer in todo:
                migration.migrate(customer, offset)
                if self.machine.is_full(limits):
                    break
            await self._commit(self._within(offset))

    def _walk_of(self, migration: MigrationInProgress) -> CustomerWalk:
        """Where the migration has come to among the customers."""
        if self._walking is None or self._walking[0] is not migration:
            also = self._source.also_known(self.machine)
            self._walking = migration, CustomerWalk(self._session, migration.cursor, self._slicing.limits.states, also)
        return self._walking[1]

    # places that a person chose

    async def resume(self, offset: int) -> None:
        """Go on at an offset that a person chose, above the position; what lies between is passed over, or not in the log any more. A
        migration that is done in part is brought to its end first."""
        assert offset > self.position.offset, f"{offset} is not above {self.position.offset}"
        if self.machine.migration is not None:
            self._record = None
            if not self.position.step:
                self.machine.begin(self.position.offset)
            await self._walk(self.position.offset, None)
        self.machine.load({}, ())
        self.machine.begin(offset)
        self.machine.keep_last(NOTHING)
        self._record = None
        if offset > self.position.offset:
            await self._commit(Position(offset, 0))

    async def resume_where_chosen(self) -> int | None:
        """Go on where a person chose, if one did so for the position; return that offset, or None."""
        found = None
        while (chosen := self.amendments.resumes_at(self.position.offset)) is not None:
            await self.resume(chosen)
            found = chosen
        return found

    # commit

    async def _commit(self, position: Position) -> None:
        """Commit what the machine did since ``_load``, and hand over what it says."""
        if self._record is not None:
            self.machine.keep_last(delivered(self._record))
        batch = self.machine.take()
        entry = (OutputPosition(batch.outputs[-1].offset, batch.outputs[-1].ordinal), batch.outputs) if batch.outputs else None
        await self._session.commit(self._as_commit(position, batch, entry))
        if self._is_migrated:
            self._is_migrated = False
            await self._source.finished()
        self._change_counts += batch.change_counts
        self._decision_counts += batch.decision_counts
        self._isolation.pass_position(position.offset)
        if entry is not None:
            await self._hand_over(entry)

    def _as_commit(self, position: Position, batch: CommitBatch, entry: Entry | None) -> Commit:
        return Commit(
            self.checkpoint,
            position,
            batch.output_digest,
            batch.body,
            batch.states,
            batch.wakes,
            None if entry is None else (entry[0], encode_outputs(entry[1])),
            batch.documents,
            batch.forgotten,
            batch.holds,
        )

    # what our own code fails at

    async def _isolate(self, error: Exception) -> None:
        """An error that nobody foresaw: begin anew at the checkpoint, so that what failed can be tried alone. Raises what is no function
        of the record or the customer in hand."""
        culprit = self._isolation.culprit(error, self._at, self.machine.in_hand())
        await self.begin_anew()
        await self._isolation.note(culprit, error)

    async def begin_anew(self) -> None:
        """At the checkpoint, without anything that is not committed."""
        self._is_migrated = False
        self.machine = await self._source.machine_at(self.shard, self.checkpoint, self.amendments)


async def open_session(
    shard: int, store: Store, source: MachineSource[Machine], amendments: Amendments, pause: Pause
) -> tuple[StoreSession, Machine]:
    """Become the owner of a shard: from here on whoever owned it before is fenced. Also returns the machine as it stood at the checkpoint.

    HaltError when what the machine needs is not there.
    """
    checkpoint = await retry(lambda: store.acquire(shard), pause)
    try:
        machine = await source.machine_at(shard, checkpoint, amendments)
    except HaltError:
        await store.verify(shard, checkpoint)
        raise
    return StoreSession(shard, store, checkpoint, pause), machine
