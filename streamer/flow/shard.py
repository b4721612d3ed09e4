"""The owner of one shard: reads states, lets the pure step decide, commits, and hands the outputs to the relay.

It waits and never decides. What a commit covers is a slice: at most so many records, states and wake-ups, and a record that touches more is
committed in several. Where the slices are cut changes nothing that is said.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar, cast

import msgspec

from streamer.customers.features import FEATURES
from streamer.customers.state import NO_TIMER
from streamer.errors import (
    CommitUnknownError,
    DefinitionError,
    FencedError,
    HaltError,
    RefusedError,
    ReleasedError,
    StoreError,
    StoreUnavailableError,
    StreamerError,
    place_of,
)
from streamer.events.codec import decode
from streamer.events.event import Event
from streamer.events.placeholders import settle_customer
from streamer.language.definitions import Definitions, content_digest, parse_definitions
from streamer.learning.scorers.decode import Groups, Scorer, decode_scorer
from streamer.segments.plan.plan import Plan
from streamer.signing import NO_KEYS, Keyring
from streamer.stores.base import Checkpoint, Commit, Holdings, Place, Position, Store
from streamer.stores.documents import definitions_document, scorer_document
from streamer.wire import Control, LogRecord, Output, decode_control, encode_outputs, unpack
from streamer.zones import MissingZonesError

from .amendments import FOR_DEFINITIONS, Amendment, Amendments, Journal, MemoryJournal
from .checkpoint import CheckpointBody, decode_body, encode_body
from .forwards import addressed, check_forward, forward_of
from .rules import Rules
from .same_log import NOTHING, delivered
from .step import Step

Result = TypeVar("Result")
Pause = Callable[[float], Awaitable[None]]
Entry = tuple[Place, Sequence[Output]]  # what one commit has to say
HandOver = Callable[[Entry], Awaitable[None]]
Item = tuple[LogRecord, Event | Control | RefusedError]

TRIES_MAX: Final = 8  # of a call that the store refuses, about a quarter of a minute; then the worker gives the shard up
RETRY_SECONDS: Final = 0.05
JUDGEMENTS_MAX: Final = 50_000  # of customers times segments between two looks at the event loop when definitions change
NOT_OF_THE_RECORD: Final = (MemoryError, RecursionError, StreamerError, OSError)  # of the machine, the store, the network
PLANS_MAX: Final = 8  # kept ready for all shards of a worker
SCORERS_MAX: Final = 64  # kept ready for all shards of a worker


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one commit may cover, each at least 1. None of these changes what is said.

    ``bytes`` is of states and outputs. What one event, or one moment of one customer, does is never divided: a commit may be larger by it.
    """

    records: int = 1_000  # about 20 ms of work: the heartbeats share the loop
    states: int = 500
    wakes: int = 500
    bytes: int = 1_000_000


ALONE: Final = Limits(records=1, states=1, wakes=1)  # while something is suspected


def _documents(body: CheckpointBody) -> set[str]:
    """What a shard's states cannot be read without; nothing else is kept."""
    definitions = {definitions_document(digest) for digest in (body.digest, body.previous) if digest}
    return definitions | {scorer_document(model) for model in body.models}


async def at_once(work: Callable[[], Plan]) -> Plan:
    """Compile where it is asked for."""
    return work()


def read_definitions(content: bytes) -> Definitions:
    """Definitions as the log has them. HaltError where this machine lacks the zone data by which they are to be read: whoever tells the
    log by others tells another story."""
    try:
        return parse_definitions(content)
    except MissingZonesError as error:
        raise HaltError(f"the log {error}") from None


class Plans:
    """Plans by the digest of their definitions, compiled once for all shards of a worker.

    ``compile_by`` runs a compilation, which takes 15 s for 20,000 segments: ``asyncio.to_thread`` where heartbeats share the loop.
    """

    def __init__(self, store: Store, rules: Rules, *, compile_by: Callable[[Callable[[], Plan]], Awaitable[Plan]] = at_once) -> None:
        self._store = store
        self._rules = rules
        self._compile_by = compile_by
        self._compiling = asyncio.Lock()  # two shards that come to the same record compile it once
        self._scorers: dict[str, Scorer | Groups] = {}
        self._plans: dict[str, Plan] = {"": compile_plan(Definitions(()), rules)}

    def over(self, store: Store) -> Plans:
        """The same, of shards of another store; what is compiled is compiled for both."""
        others = Plans(store, self._rules, compile_by=self._compile_by)
        others._compiling, others._scorers, others._plans = self._compiling, self._scorers, self._plans
        return others

    async def get(self, digest: str, shard: int) -> Plan:
        """The plan of definitions that a shard is under; HaltError when the store does not have them."""
        if digest not in self._plans:
            content = await self._store.get_document(definitions_document(digest), shard=shard)
            if content is None:
                raise HaltError(f"definitions {digest} are not in the store of shard {shard}; run `streamer shards rebuild {shard}`")
            return await self._compiled(digest, content)
        return self._plans[digest]

    async def read(self, control: Control) -> tuple[Plan, bytes]:
        """What a ``definitions`` record carries, compiled and as it is. Raises RefusedError when it is damaged or wrong."""
        content = unpack(control)
        if content_digest(content) != control.digest:
            raise RefusedError("bad_control", path="$.digest", detail="the digest does not fit the content")
        try:
            return await self._compiled(control.digest, content), content
        except DefinitionError as error:
            raise RefusedError("bad_control", path="$.packed", detail=str(error)[:500]) from None
        except (MemoryError, RecursionError, HaltError):  # these depend on the machine, and not on the record alone
            raise
        except Exception as error:  # a fault of ours, but the same at every try: the definitions that hold go on
            raise RefusedError(
                "bad_control", path="$.packed", detail=f"it cannot be compiled: {type(error).__name__} in {place_of(error)}"
            ) from None

    async def _compiled(self, digest: str, content: bytes) -> Plan:
        async with self._compiling:
            plan = self._plans.get(digest)
            if plan is None:
                plan = await self._compile_by(lambda: compile_plan(read_definitions(content), self._rules))
                self._keep(digest, plan)
            return plan

    def _keep(self, digest: str, plan: Plan) -> None:
        """The newest few: shards differ only while some are told anew."""
        self._plans[digest] = plan
        for old in [name for name in self._plans if name][:-PLANS_MAX]:
            del self._plans[old]

    async def scorers(self, body: CheckpointBody, shard: int) -> dict[str, Scorer | Groups]:
        """The scorers in force in a shard; HaltError when the store does not have one."""
        found: dict[str, Scorer | Groups] = {}
        for model, (version, digest) in body.models.items():
            content = await self._store.get_document(scorer_document(model), shard=shard)
            if content is None or content_digest(content) != digest:
                raise HaltError(
                    f"the scorer of version {version} of the model {model!r} is not in the store of shard {shard}; "
                    f"run `streamer shards rebuild {shard}`"
                )
            found[model] = self._scorer(content, digest)
        return found

    def read_scorer(self, control: Control, plan: Plan) -> tuple[Scorer | Groups, bytes]:
        """What a ``model`` record carries, ready to score, and as it is. Raises RefusedError when it is damaged or does not fit the
        definitions."""
        content = unpack(control)
        if content_digest(content) != control.digest:
            raise RefusedError("bad_control", path="$.digest", detail="the digest does not fit the content")
        scorer = self._scorer(content, control.digest)
        kinds = {spec.name: spec.kind for spec in plan.definitions.models}
        if kinds.get(control.model) != scorer.kind or scorer.features != FEATURES.version:
            raise RefusedError("bad_control", path="$.model", detail=f"a {scorer.kind} model that the definitions in force do not have")
        _try_out(scorer)
        return scorer, content

    def _scorer(self, content: bytes, digest: str) -> Scorer | Groups:
        if digest not in self._scorers:
            if len(self._scorers) >= SCORERS_MAX:
                self._scorers.pop(next(iter(self._scorers)))
            self._scorers[digest] = decode_scorer(content)
        return self._scorers[digest]


def compile_plan(definitions: Definitions, rules: Rules) -> Plan:
    """What a shard works by; an error here is one of ours, since definitions are checked when they are parsed."""
    return Plan(definitions, lateness_ms=rules.lateness_ms)


def _try_out(scorer: Scorer | Groups) -> None:
    """Whatever a decoder overlooked shows here rather than at each event: one that reads more features than there are, say."""
    nobody = (0.0,) * len(FEATURES.names)
    try:
        if scorer.kind == "groups":
            cast("Groups", scorer).assign(nobody, None)
        else:
            one = cast("Scorer", scorer)
            one.percentile(one.score(nobody))
    except (ArithmeticError, LookupError, ValueError) as error:
        raise RefusedError("bad_control", path="$.packed", detail=f"it cannot score: {type(error).__name__}") from None


class Fault(NamedTuple):
    """Something that our code failed at twice and that was passed over: ``what`` of an amendment, the error's class and where it arose.
    Without the customer: it goes into logs."""

    what: str
    offset: int
    error: str
    place: str

    def in_words(self) -> str:
        """A sentence for people."""
        if self.what == "fault":
            became = "the record is a dead letter, its customer is as before it, and the shard goes on"
        else:
            became = "the customer is set aside: their memberships stand and none of their timers runs until their next event"
        return f"our own code failed twice at offset {self.offset} ({self.error}): {became}. The log of the worker has its place"


class Shard:
    """One shard under one epoch. After any error but a refused call it must be dropped and acquired anew."""

    def __init__(
        self,
        shard: int,
        store: Store,
        plans: Plans,
        rules: Rules,
        limits: Limits,
        checkpoint: Checkpoint,
        step: Step,
        journal: Journal,
        pause: Pause,
    ) -> None:
        self.shard = shard
        self.checkpoint = checkpoint
        self.step = step
        self._store = store
        self._plans = plans
        self._rules = rules
        self._placeholders = frozenset(rules.placeholder_ids)
        self._limits = limits
        self._pause = pause
        self._change_counts: Counter[tuple[str, str]] = Counter()
        self.faults: list[Fault] = []  # what was passed over; whoever tells people clears it
        self._journal = journal
        self._at: int | None = None  # the record in hand
        self._suspect: Amendment | None = None  # what failed once; until it is done with, everything is done one by one
        self._outputs: list[Entry] = []
        self._hand_over: HandOver = self._collect
        self._span_records = limits.records
        self._document: tuple[str, bytes] | None = None
        self._documents = _documents(step.body)
        self.stalled = ""  # why the store does not take what this shard asks of it right now; empty when it does
        self._record: LogRecord | None = None  # the newest that was opened
        self._as_found: dict[int, LogRecord] = {}  # those in hand whose arrival was amended, by offset

    @classmethod
    async def acquire(
        cls,
        shard: int,
        store: Store,
        plans: Plans,
        rules: Rules,
        *,
        limits: Limits = Limits(),
        journal: Journal | None = None,
        keyring: Keyring = NO_KEYS,
        pause: Pause,
    ) -> Shard:
        """Become the owner: from here on whoever owned the shard before is fenced. HaltError when ``keyring`` lacks a key that holds.

        ``journal`` has been read whole; without one what fails is passed over all the same, and the next owner finds out by itself.
        """
        checkpoint = await _patiently(lambda: store.acquire(shard), pause)
        journal = journal if journal is not None else MemoryJournal()
        try:
            step = await _step_at(shard, checkpoint, plans, rules, journal.amendments, keyring)
        except HaltError:
            await store.verify(shard, checkpoint)
            raise
        return cls(shard, store, plans, rules, limits, checkpoint, step, journal, pause)

    @property
    def position(self) -> Position:
        """The next record to hand to ``process``."""
        return self.checkpoint.position

    @property
    def body(self) -> CheckpointBody:
        """What the shard remembers beside its customers."""
        return self.step.body

    def take_change_counts(self) -> Counter[tuple[str, str]]:
        """How many changes were committed since the last call, by (segment, type of change)."""
        counts, self._change_counts = self._change_counts, Counter()
        return counts

    @property
    def sizes(self) -> dict[str, int]:
        """Members by segment."""
        return dict(zip(self.step.plan.names, self.step.body.sizes, strict=False))

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
            self._as_found.clear()
            try:
                await self._process([self._read(record) for record in due])
            except (StoreError, ReleasedError):
                raise
            except Exception as error:
                await self.probe()  # it may come of reading what another owner wrote, or a store that came back older
                await self._isolate(error)
        outputs, self._outputs = self._outputs, []
        return outputs

    async def _in_turn(self, records: Sequence[LogRecord]) -> Sequence[LogRecord]:
        """Those of ``records`` that are still to be processed, from where a person had the shard go on if it stands at such a place."""
        await self.resume_where_chosen()
        at = self.position.offset
        return records if records and records[0].offset >= at else [record for record in records if record.offset >= at]

    def _up_to_resume(self, records: Sequence[LogRecord]) -> Sequence[LogRecord]:
        """Those before the next place from which a person had the shard go on elsewhere: a rebuild passes over the same ones."""
        until = self.amendments.next_resume(self.position.offset)
        return records if until is None else [record for record in records if record.offset < until]

    async def resume(self, offset: int) -> None:
        """Go on at an offset that a person chose, above the position; what lies between is passed over, or not in the log any more. A
        change of definitions that is done in part is brought to its end first."""
        assert offset > self.position.offset, f"{offset} is not above {self.position.offset}"
        if self.step.previous is not None:
            await self._switch(LogRecord(self.position.offset, 0, b"", control=True), Control("definitions"))
        self.step.load({}, [])
        self.step.body.ordinal = 0
        self.step.body.last, self._record = NOTHING, None
        if offset > self.position.offset:
            await self._commit(Position(offset, 0))

    async def resume_where_chosen(self) -> int | None:
        """Go on where a person chose, if one did so for the position; return that offset, or None."""
        found = None
        while (chosen := self.amendments.resumes_at(self.position.offset)) is not None:
            await self.resume(chosen)
            found = chosen
        return found

    async def probe(self) -> None:
        """Compare with the store: a quiet shard must notice too that it was fenced, that the store came back older, or that it has lost
        keys. Raises FencedError, KeysLostError."""
        await self._store.verify(self.shard, self.checkpoint)

    def _check_rising(self, records: Sequence[LogRecord]) -> None:
        """Whether something is missing cannot be seen from offsets; whoever reads the log asks it for its begin and its end."""
        least, is_begun = self.position.offset, self.position.step > 0
        for record in records:
            if record.offset < least or (is_begun and record.offset != least):
                wanted = "the record that is done in part, at" if is_begun else "an offset of at least"
                raise HaltError(f"shard {self.shard}: expected {wanted} {least}, found {record.offset}; it is another log than it was")
            least, is_begun = record.offset + 1, False

    @property
    def amendments(self) -> Amendments:
        """What was decided about places of the log."""
        return self._journal.amendments

    def arrival_ms(self, record: LogRecord) -> int:
        """When a record arrived, in UTC milliseconds: as it says, or as a person has bounded it."""
        return self.amendments.arrival_ms(record.offset, record.arrival_ms)

    def _read(self, record: LogRecord) -> Item:
        self._at = record.offset
        amendments = self._journal.amendments
        arrival_ms = self.arrival_ms(record)
        if arrival_ms != record.arrival_ms:
            self._as_found[record.offset] = record  # the log is known again by what lies there, not by what we make of it
            record = record._replace(arrival_ms=arrival_ms)
        refusal = amendments.refusal(record.offset)
        if refusal is not None:
            return record, refusal
        try:
            if record.control:
                return record, decode_control(record.value)
            event, forward = settle_customer(decode(record.value), self._placeholders), forward_of(record)
            if forward is None:
                return record, event
            check_forward(forward, shard=self.shard, shards=self._rules.shards, generation=self._rules.log_generation)
            return record, addressed(event, record)
        except RefusedError as error:
            return record, error

    # one state that cannot be read; see ``flow.refold``

    async def beside(self, store: Store, journal: Journal, limits: Limits) -> Shard:
        """A fresh shard of the same number under the same rules, over an empty store."""
        plans, keyring = self._plans.over(store), self.step.keyring
        return await Shard.acquire(
            self.shard, store, plans, self._rules, limits=limits, journal=journal, keyring=keyring, pause=self._pause
        )

    def customer_of(self, record: LogRecord) -> str | None:
        """Whose event a record is; None when it is none, or refused."""
        what = self._read(record)[1]
        return what.customer if isinstance(what, Event) else None

    async def first_wake(self) -> tuple[int, str] | None:
        """The first wake-up that the store has: of a record that is done in part, every timer below it has fired. None where all have, as
        in the middle of a change of definitions."""
        if decode_body(self.checkpoint.body).cursor:
            return None
        fetch = self._store.fetch
        found = await self._patiently(lambda: fetch(self.shard, [], until_ms=NO_TIMER, limit=1, expected=self.checkpoint))
        return found.due[0] if found.due else None

    async def fire_below(self, record: LogRecord, bound: tuple[int, str] | None) -> None:
        """Fire the timers that are due at a record and come before ``bound``; the record itself is not applied."""
        record, _ = self._read(record)
        now = self._open(record)
        await self._load({}, now)
        self.step.fire(record.offset, now, bound)
        await self._commit(self._within(record))

    async def put_back(self, customer: str, state: bytes, due_ms: int | None, offset: int) -> None:
        """Commit a state that the log has so, as a slice of the record at ``offset``, the next one."""
        before = self.checkpoint
        body = decode_body(before.body)
        if before.position.step == 0:
            body.ordinal = 0  # the record begins with this slice
        position = Position(offset, before.position.step + 1)
        commit = Commit(before, position, before.head, encode_body(body), {customer: state}, {customer: due_ms}, holds=before.holds)
        await self._commit_surely(commit)
        self.checkpoint = commit.checkpoint
        await self._begin_anew()

    # what our own code fails at

    async def _isolate(self, error: Exception) -> None:
        """An error that nobody foresaw: begin anew at the checkpoint, so that what failed can be tried alone; what fails there too is
        passed over, by an amendment. Raises what is no function of the record or the customer in hand."""
        culprit = self._culprit()
        if culprit is None or isinstance(error, NOT_OF_THE_RECORD) or self._journal.amendments.has(culprit):
            raise error
        await self._begin_anew()
        if self._suspect is None or not _is_same(self._suspect, culprit):
            self._suspect = culprit
            return
        kind = type(error).__name__
        await self._journal.write(msgspec.structs.replace(culprit, detail=kind, why=f"{kind} in {place_of(error)}"))
        self.faults.append(Fault(culprit.what, culprit.offset, kind, place_of(error)))
        self._suspect = None

    async def _begin_anew(self) -> None:
        """At the checkpoint, without anything that is not committed."""
        self.step = await _step_at(self.shard, self.checkpoint, self._plans, self._rules, self.amendments, self.step.keyring)
        self._document, self._documents = None, _documents(self.step.body)

    def _culprit(self) -> Amendment | None:
        """What is in hand, as the amendment that passes it over."""
        if self._at is None:
            return None
        generation, step = self._rules.log_generation, self.step
        if step.at_timer is not None:
            due_ms, customer = step.at_timer
            return Amendment("aside", self.shard, self._at, generation, customer, due_ms)
        if step.at_customer:
            return Amendment("aside", self.shard, self._at, generation, step.at_customer, FOR_DEFINITIONS)
        return Amendment("fault", self.shard, self._at, generation)

    @property
    def _cut(self) -> Limits:
        """What a commit may cover now."""
        return self._limits if self._suspect is None else ALONE

    async def _process(self, items: Sequence[Item]) -> None:
        at = 0
        while at < len(items):
            record, what = items[at]
            if isinstance(what, Control) and what.control == "definitions":
                await self._switch(record, what)
                at += 1
            elif isinstance(what, Control) and what.control in ("model", "withdraw"):
                await self._switch_model(record, what)
                at += 1
            else:
                at = await self._span(items, at)

    # a stretch of records

    async def _span(self, items: Sequence[Item], at: int) -> int:
        """Apply as many records from ``at`` as one commit may cover; return the next. The same ``at`` when only timers fitted."""
        end, last = self._extent(items, at)
        until_ms = max(self.step.time_at(record) for record, _ in items[at:end])
        _, bound = await self._load(last, until_ms)
        for index in range(at, end):
            record, what = items[index]
            if not self._apply(record, what, bound):
                await self._commit(self._within(record))
                self._adapt(index - at, end - at)
                return index
            if isinstance(what, Event) and last[what.customer] == index:
                self.step.pack(what.customer)
            if self._is_full():
                self._adapt(index + 1 - at, end - at)
                end = index + 1
                break
        else:
            self._adapt(end - at, end - at)
        await self._commit(Position(items[end - 1][0].offset + 1, 0))
        return end

    def _extent(self, items: Sequence[Item], at: int) -> tuple[int, dict[str, int]]:
        """Where the span ends, and the customers in it, each with the index of its last item."""
        last: dict[str, int] = {}
        for index in range(at, min(len(items), at + self._records_max)):
            what = items[index][1]
            if isinstance(what, Event):
                last[what.customer] = index
            elif isinstance(what, Control):
                if what.control in ("definitions", "model", "withdraw"):
                    return index, last
                if what.customer:
                    last[what.customer] = index
            if len(last) >= self._cut.states:
                return index + 1, last
        return min(len(items), at + self._records_max), last

    async def _load(self, awaited: Mapping[str, int], until_ms: int) -> tuple[bool, tuple[int, str] | None]:
        """Give the step the states of the customers ``awaited``, and the first wake-ups up to ``until_ms`` with theirs.

        Returns whether there are wake-ups, and the first that was left out.
        """
        customers = sorted(awaited)
        fetched = await self._patiently(
            lambda: self._store.fetch(self.shard, customers, until_ms=until_ms, limit=self._cut.wakes + 1, expected=self.checkpoint)
        )
        due, bound = fetched.due, None
        if len(due) > self._cut.wakes:
            due, bound = due[:-1], due[-1]
        states = dict(zip(customers, fetched.states, strict=True))
        await self._add_states(states, [customer for _, customer in due if customer not in states])
        self.step.load(states, due, awaited)
        return bool(due), bound

    @property
    def _records_max(self) -> int:
        return min(self._span_records, self._cut.records)

    def _is_full(self) -> bool:
        """Whether the slice in hand is as large as a commit should be."""
        step, limits = self.step, self._cut
        return step.touched >= limits.states or step.fired >= limits.wakes or step.weight > limits.bytes

    def _within(self, record: LogRecord) -> Position:
        """The position after one more slice of a record that is not done."""
        return Position(record.offset, self.position.step + 1 if record.offset == self.position.offset else 1)

    async def _add_states(self, states: dict[str, bytes | None], customers: list[str]) -> None:
        if customers:
            fetched = await self._patiently(lambda: self._store.fetch(self.shard, customers, until_ms=0, limit=0, expected=self.checkpoint))
            states.update(zip(customers, fetched.states, strict=True))

    def _open(self, record: LogRecord) -> int:
        """Log time at a record; its outputs are counted from 0 unless part of it is committed already."""
        self._at, self._record = record.offset, self._as_found.get(record.offset, record)
        if self.position.step and record.offset == self.position.offset:
            return self.step.time_at(record)
        return self.step.begin(record)

    def _apply(self, record: LogRecord, what: Event | Control | RefusedError, bound: tuple[int, str] | None) -> bool:
        """Apply a record; False if the slice ended among its timers, before the record itself."""
        now = self._open(record)
        if not self.step.fire(record.offset, now, bound, self._is_full):
            return False
        self.step.pass_time(now, record.offset)
        if isinstance(what, Event):
            self.step.apply_event(what, record)
        elif isinstance(what, RefusedError):
            self.step.refuse(what, record)
        elif self.step.admits(what, record) and what.control == "erase":
            self.step.erase(what.customer, record)
        return True

    # new definitions

    async def _switch(self, record: LogRecord, control: Control) -> None:
        """Timers first; then every customer is judged under the new definitions in the order of their ids, in slices."""
        self._at = record.offset
        if self.step.previous is None:
            now = await self._fire_all(record)
            self.step.load({}, [])
            self.step.pass_time(now, record.offset)
            if not await self._begin_switch(record, control):
                await self._commit(Position(record.offset + 1, 0))
                return
        cursor = self.step.body.cursor
        known = await self._patiently(lambda: self._store.customers(self.shard, expected=self.checkpoint))
        todo = [customer for customer in known if customer > cursor]
        at_once_max = min(self._limits.states, max(1, JUDGEMENTS_MAX // max(1, len(self.step.plan.rules))))
        while todo:
            done = await self._rejudge(todo[: min(at_once_max, self._cut.states)], record)
            todo = todo[done:]
            if todo:
                await self._commit(self._within(record))
        self.step.finish_switch()
        await self._commit(Position(record.offset + 1, 0))

    async def _switch_model(self, record: LogRecord, control: Control) -> None:
        """Timers first, under the old scorer; then the new one serves, or none. A repeated record is nothing."""
        now = await self._fire_all(record)
        self.step.load({}, [])
        self.step.pass_time(now, record.offset)
        if not self.step.admits(control, record):
            pass
        elif control.control == "withdraw":
            self.step.withdraw_model(control.model, control.version)
        elif self.step.body.models.get(control.model) != (control.version, control.digest):
            try:
                scorer, content = self._plans.read_scorer(control, self.step.plan)
            except RefusedError as error:
                self.step.refuse(error, record)
            else:
                self.step.switch_model(control.model, control.version, control.digest, scorer)
                self._document = (scorer_document(control.model), content)
        await self._commit(Position(record.offset + 1, 0))

    async def _fire_all(self, record: LogRecord) -> int:
        """Fire every timer up to the record's log time, a wave at a time; return that time."""
        while True:
            now = self._open(record)
            is_due, bound = await self._load({}, now)
            if not is_due:
                return now
            self.step.fire(record.offset, now, bound, self._is_full)
            await self._commit(self._within(record))

    async def _begin_switch(self, record: LogRecord, control: Control) -> bool:
        """Whether there is something to switch to: a damaged record is a dead letter, a repeated or older one is nothing."""
        if not self.step.admits(control, record):
            return False
        try:
            plan, content = await self._plans.read(control)
        except RefusedError as error:
            self.step.refuse(error, record)
            return False
        if control.version <= self.step.body.version:  # numbers only rise: it is repeated, or was overtaken by a newer one
            return False
        if plan.digest == self.step.body.digest:
            self.step.body.version = control.version  # the same under a new number
            return False
        self.step.switch(plan, control.version)
        self._document = (definitions_document(plan.digest), content)
        return True

    async def _rejudge(self, customers: Sequence[str], record: LogRecord) -> int:
        """Judge the first of ``customers`` under the new definitions; return how many fitted into a slice."""
        states: dict[str, bytes | None] = {}
        await self._add_states(states, list(customers))
        self.step.load(states, [])
        for count, customer in enumerate(customers, 1):
            self.step.rejudge(customer, record.offset)
            if self._is_full():
                return count
        return len(customers)

    # commit

    async def _commit(self, position: Position) -> None:
        if self._record is not None:
            self.step.body.last = delivered(self._record)
        found = self.step.take()
        outbox = (Place(found.outputs[-1].offset, found.outputs[-1].ordinal), encode_outputs(found.outputs)) if found.outputs else None
        body, before = self.step.body, self._documents
        self._documents = _documents(body)
        forgotten = sorted(before - self._documents)
        holds = Holdings(body.customers, body.wakes, len(self._documents))
        commit = Commit(
            self.checkpoint, position, found.head, found.body, found.states, found.wakes, outbox, self._document, forgotten, holds
        )
        await self._commit_surely(commit)
        self.checkpoint, self._document = commit.checkpoint, None
        self._change_counts += found.change_counts
        if self._suspect is not None and position.offset > self._suspect.offset:
            self._suspect = None  # it was chance
        if outbox is not None:
            await self._hand_over((outbox[0], found.outputs))

    async def _collect(self, entry: Entry) -> None:
        self._outputs.append(entry)

    async def _commit_surely(self, commit: Commit) -> None:
        """Commit once. A refused commit is tried again as it is; of one whose reply was lost the head tells whether it went through."""
        for attempt in range(TRIES_MAX):
            try:
                await self._store.commit(self.shard, commit)
                self.stalled = ""
                return
            except StoreUnavailableError as error:
                self.stalled = str(error)
                if attempt == TRIES_MAX - 1:
                    raise
            except CommitUnknownError as error:
                self.stalled = str(error)
                stored = await self._patiently(lambda: self._store.checkpoint(self.shard))
                if stored == commit.checkpoint:
                    self.stalled = ""
                    return
                if stored != commit.expected:
                    raise FencedError(
                        f"shard {self.shard}: after a lost reply found epoch {stored.epoch} at {tuple(stored.position)}"
                    ) from None
            await self._pause(RETRY_SECONDS * 2**attempt)
        raise StoreUnavailableError(f"shard {self.shard}: no commit went through in {TRIES_MAX} tries")

    async def _patiently(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """Read from the store, and say while it refuses."""
        found = await _patiently(call, self._pause, self._stall)
        self.stalled = ""
        return found

    def _stall(self, why: str) -> None:
        self.stalled = why

    def _adapt(self, covered: int, wanted: int) -> None:
        """Do not read again and again what does not fit."""
        if self._suspect is not None:
            return
        self._span_records = max(1, covered) if covered < wanted else min(self._limits.records, 2 * self._span_records)


async def _step_at(shard: int, checkpoint: Checkpoint, plans: Plans, rules: Rules, amendments: Amendments, keyring: Keyring) -> Step:
    """The step as it stood at a checkpoint. HaltError when what it needs is not in the store."""
    body = decode_body(checkpoint.body) if checkpoint.body else CheckpointBody()
    keyring.require(body.trust.keys)
    plan = await plans.get(body.digest, shard)
    previous = await plans.get(body.previous, shard) if body.cursor else None
    scorers = await plans.scorers(body, shard)
    return Step(shard, rules, body, checkpoint.head, plan, previous, scorers, amendments, keyring)


def _is_same(one: Amendment, other: Amendment) -> bool:
    return (one.what, one.offset, one.customer, one.due_ms) == (other.what, other.offset, other.customer, other.due_ms)


async def start_anew(shard: int, store: Store, before: Checkpoint, begin: int = 0) -> None:
    """Empty a shard that has lost keys, so that it is told anew from its log, which begins at offset ``begin``.

    What was published is published under the same positions again, or not at all. Raises HaltError where the log's beginning is gone, and
    FencedError unless the shard is where ``before`` says.
    """
    if begin > 0:
        raise HaltError(
            f"shard {shard}: the store has lost some of its keys, and its log begins at offset {begin:,} by now, so that it cannot be told "
            f"anew whole; restore a backup of the store, or run `streamer shards rebuild {shard}` to begin with what the log still has"
        )
    await store.reset(shard, expected=before)


async def _patiently(call: Callable[[], Awaitable[Result]], pause: Pause, stall: Callable[[str], None] | None = None) -> Result:
    """Try a read again while the store refuses it; tell ``stall`` why."""
    for attempt in range(TRIES_MAX):
        try:
            return await call()
        except StoreUnavailableError as error:
            if stall is not None:
                stall(str(error))
            if attempt == TRIES_MAX - 1:
                raise
        await pause(RETRY_SECONDS * 2**attempt)
    raise AssertionError("unreachable")
