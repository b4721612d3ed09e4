"""One shard of the segmenter: the step, driven over the shard's log."""

from __future__ import annotations

from collections.abc import Sequence

from streamer.customers.offsets import RecordPlace, places
from streamer.customers.state import State, decode_state
from streamer.errors import HaltError, RefusedError
from streamer.events.event import Event
from streamer.segments.plan import model_memories
from streamer.segments.plan.plan import Plan
from streamer.signing import NO_KEYS, Keyring
from streamer.stores.base import Checkpoint, Commit, Position, Store
from streamer.wire import Control, LogRecord

from .amendments import Amendments, Journal, MemoryJournal
from .brought import bring_history, brings_history
from .catalog import Plans
from .checkpoint import NOTHING_BROUGHT, CheckpointBody, decode_body
from .customer_walk import CustomerPages
from .driver import ShardDriver, open_session
from .lane.inherited import inherited_from
from .lane.kept_lanes import drop_lanes_upto
from .lane.lane import SideLane
from .lane.lane_plan import LanePlan, plan_lane
from .lane.lanes import Lanes, OnTheSpot, Wanted
from .lane.past import NO_LANE, Folded, Past
from .machine import WHOLE, Limits
from .offset_notes import OffsetNotes
from .rules import Rules
from .shard_log import Log
from .step import Step
from .store_session import Pause, StoreSession


class StepSource:
    """Makes the steps of a worker's shards, and gives them the plans and scorers that control records name. See ``MachineSource``."""

    def __init__(self, store: Store, plans: Plans, rules: Rules, keyring: Keyring, lanes: Lanes | None, *, keeps_offsets: bool) -> None:
        self._store = store
        self._plans = plans
        self._rules = rules
        self._keyring = keyring
        self._lanes = lanes
        self._keeps_offsets = keeps_offsets
        self._lane: SideLane | None = None  # while customers come under the definitions for which it was folded

    def over(self, store: Store, log: Log, pause: Pause) -> StepSource:
        """The same, of shards of another store; their lanes fold on the spot, over ``log``, and send nothing."""
        plans, lanes = self._plans.over(store), None
        if self._lanes is not None:
            lanes = OnTheSpot(store, log, self._rules, pause=pause, keyring=self._keyring, scorers=plans.scorers)
        return StepSource(store, plans, self._rules, self._keyring, lanes, keeps_offsets=self._keeps_offsets)

    async def machine_at(self, shard: int, checkpoint: Checkpoint, amendments: Amendments) -> Step:
        """The step as it stood at a checkpoint. HaltError when what it needs is not in the store, or the keyring lacks a key that holds."""
        body = decode_body(checkpoint.body) if checkpoint.body else CheckpointBody()
        self._keyring.require(body.trust.keys)
        plan = await self._plans.get(body.digest, shard)
        previous = await self._plans.get(body.previous, shard) if body.switch is not None else None
        scorers = await self._plans.scorers.in_force(body, shard)
        past = await self._past_again(shard, body, previous, plan, amendments)
        noted = OffsetNotes(body, await self._plans.control_offsets(body, shard), is_on=self._keeps_offsets)
        return Step(shard, self._rules, body, checkpoint.output_digest, plan, previous, past, scorers, amendments, self._keyring, noted)

    async def _past_again(self, shard: int, body: CheckpointBody, previous: Plan | None, plan: Plan, amendments: Amendments) -> Past | None:
        """What a lane has folded for a migration that is done in part. Of one that is done the lane is dropped, if its owner could not."""
        if previous is None and self._lanes is not None and body.version:
            await drop_lanes_upto(self._store, shard, body.version)
        if previous is None or body.lane == NO_LANE:
            return None
        lane = self._plan_lane(previous, plan, body.history, NOTHING_BROUGHT if body.switch is None else body.switch.brought)
        if lane is None or self._lanes is None:
            raise HaltError(f"shard {shard}: the past that is to be joined cannot be folded here; this is a fault of this program")
        self._lane = await self._lanes.at(Wanted(shard, lane, body.version, body.lane, amendments, inherited_from(body)))
        taken = (key for key in self._lane.plan.plan.slots if body.born.get(key) == body.version)
        return Past(self._lane.plan, plan, frozenset(taken))

    async def reconfigure(self, machine: Step, record: LogRecord, control: Control, now: int) -> None:
        """See ``MachineSource``. What is damaged or may not be said is a dead letter; what is repeated, or overtaken, is nothing."""
        machine.pass_time(now, record.offset)
        if not machine.admits(control, record):
            return
        try:
            if control.control == "definitions":
                await self._switch(machine, control, record.offset)
            elif control.control == "withdraw":
                machine.withdraw_model(control.model, control.version)
            elif machine.body.models.get(control.model) != (control.version, control.digest):
                scorer, content = self._plans.scorers.read(control, machine.plan)
                machine.serve_model(control.model, control.version, control.digest, scorer, content)
        except RefusedError as error:
            machine.refuse(error, record)

    async def _switch(self, machine: Step, control: Control, offset: int) -> None:
        plan, content = await self._plans.read(control)
        body = machine.body
        if control.version <= body.version:  # numbers only rise: it is repeated, or was overtaken by a newer one
            return
        brings = self._lanes is not None and brings_history(control, body)
        if plan.digest == body.digest and not brings:
            body.version = control.version  # the same under a new number
            return
        brought = body.history if brings else NOTHING_BROUGHT
        if brings:
            bring_history(control, machine.shard, body)
        folded = await self._fold(machine, plan, control.version, offset, brought)
        machine.switch(plan, control.version, content, offset, folded)

    async def _fold(self, machine: Step, after: Plan, version: int, offset: int, brought: int) -> Folded | None:
        """What is new in definitions, folded up to where they begin to hold; None where nothing is. All of it where history is.
        ``brought``: see ``Switch``.

        Where nobody has been seen there is nothing to fold. But somebody may come with a past of before, also where these are the first
        definitions: of that a lane of another shard will send what is new.
        """
        body = machine.body
        nobody = not (body.counts.get("accepted") or body.forwards or body.history)
        if self._lanes is None:
            return None
        plan = self._plan_lane(machine.plan, after, body.history, brought)
        if plan is None:
            return None
        longer = {memory.key for memory in plan.plan.memories if memory.key in body.since_ms and not memory.is_put}  # there than here
        past = Past(plan, after, plan.keys | longer)
        if nobody and not plan.brings_history:
            return Folded(past, NO_LANE, {})
        lane = self._lane = await self._lanes.at(Wanted(machine.shard, plan, version, offset, machine.amendments, inherited_from(body)))
        return Folded(past, offset, lane.since_ms)

    def _plan_lane(self, before: Plan, after: Plan, history: int, brought: int) -> LanePlan | None:
        return plan_lane(before, after, lateness_ms=self._rules.lateness_ms, history=history, brought=brought)

    def also_known(self, machine: Step) -> CustomerPages | None:
        """See ``MachineSource``."""
        past = machine.migration.past if machine.migration is not None else None
        return self._lane if past is not None and past.brings_history else None

    async def recall(self, machine: Step, customers: Sequence[str]) -> None:
        """See ``MachineSource``."""
        past = machine.migration.past if machine.migration is not None else None
        if past is not None and self._lane is not None:
            past.states = await self._lane.states(customers)

    async def finished(self) -> None:
        """See ``MachineSource``. The lane is dropped; whoever owns the shard next does so if this is not reached."""
        lane, self._lane = self._lane, None
        if lane is not None:
            await lane.drop()


class Shard(ShardDriver[Step]):
    """One shard of the segmenter under one epoch. After any error but a refused call it must be dropped and acquired anew."""

    def __init__(self, session: StoreSession, source: StepSource, step: Step, rules: Rules, limits: Limits, journal: Journal) -> None:
        super().__init__(session, source, step, rules, limits, journal)
        self._steps = source
        self._rules = rules

    @classmethod
    async def acquire(
        cls,
        shard: int,
        store: Store,
        plans: Plans,
        rules: Rules,
        *,
        limits: Limits = WHOLE,
        journal: Journal | None = None,
        keyring: Keyring = NO_KEYS,
        lanes: Lanes | None = None,
        keeps_offsets: bool = False,
        pause: Pause,
    ) -> Shard:
        """Become the owner: from here on whoever owned the shard before is fenced. HaltError when ``keyring`` lacks a key that holds.

        ``journal`` has been read whole; without one what fails is passed over all the same, and the next owner finds out by itself.
        ``lanes`` fold what is new in definitions; without them the past of it begins where the definitions do.
        ``keeps_offsets``: whether states say where their records lie. Nothing that is said depends on it.
        """
        journal = journal if journal is not None else MemoryJournal()
        source = StepSource(store, plans, rules, keyring, lanes, keeps_offsets=keeps_offsets)
        session, step = await open_session(shard, store, source, journal.amendments, pause)
        return cls(session, source, step, rules, limits, journal)

    @property
    def body(self) -> CheckpointBody:
        """What the shard remembers beside its customers."""
        return self.machine.body

    @property
    def plan(self) -> Plan:
        """The definitions in force."""
        return self.machine.plan

    @property
    def sizes(self) -> dict[str, int]:
        """Members by segment."""
        return dict(zip(self.plan.names, self.body.sizes, strict=False))

    @property
    def is_switching(self) -> bool:
        """Whether customers are still to come under the definitions in force."""
        return self.machine.migration is not None

    @property
    def is_due_known(self) -> bool:
        """Whether ``due_ms`` says when time alone may change something here; if not, ``find_due`` asks the store."""
        return self._session.first_timer.is_known

    @property
    def due_ms(self) -> int | None:
        """The next moment of the log's time at which time alone may change something, in UTC milliseconds; None where there is none."""
        moments = (self._session.first_timer.due_ms, self.machine.next_mark_ms)
        return min((moment for moment in moments if moment is not None), default=None)

    async def find_due(self) -> None:
        """Ask the store for the earliest timer. Raises what every look into the store may."""
        await self._session.find_first_timer()

    def state(self, blob: bytes) -> State:
        """A customer's state from the store, without what models said that do not serve now."""
        state = decode_state(blob)
        model_memories.drop_scores(state, self.machine.unscored)
        return state

    def reasons(self, state: State, model: str, now: int) -> list[str]:
        """What moved a model's answer most for a customer, in words; empty where nothing is known."""
        return self.machine.reasons(state, model, now)

    # one customer's state, put back; see ``flow.refold``

    async def beside(self, store: Store, journal: Journal, limits: Limits, log: Log, pause: Pause | None = None) -> Shard:
        """A fresh shard of the same number under the same rules, over an empty store. Where this one has lanes, it has, over ``log``."""
        source = self._steps.over(store, log, pause or self._session.pause)
        session, step = await open_session(self.shard, store, source, journal.amendments, self._session.pause)
        return Shard(session, source, step, self._rules, limits, journal)

    def customer_of(self, record: LogRecord) -> str | None:
        """Whose event a record is; None when it is none, or refused."""
        content = self._read(record)[1]
        return content.customer if isinstance(content, Event) else None

    def concerns(self, record: LogRecord) -> str | None:
        """Whose state a record may change, as the shard takes it; None when it is nobody's alone, or refused."""
        content = self._read(record)[1]
        if isinstance(content, RefusedError) or (isinstance(content, Control) and content.control != "unmerge"):
            return None
        return content.customer

    def customer_in_history(self, record: LogRecord) -> str | None:
        """Whose event a record of the shard's history is; None when it is none."""
        try:
            return None if record.control else self._reader.event(record.value).customer
        except RefusedError:
            return None

    async def stored(self, customer: str) -> bytes | None:
        """What the store has under an id, as it is. Raises what every look into the store may."""
        return (await self._session.states([customer]))[customer]

    def control_places(self) -> Sequence[RecordPlace]:
        """Where the records lie that concern all customers of the shard; empty where that is not kept whole."""
        kept = self.machine.controls
        return places(kept) if kept.is_kept else ()

    async def first_timer(self) -> tuple[int, str] | None:
        """The first timer that the store has: of a record that is done in part, every timer below it has fired."""
        return await self._session.find_first_timer()

    async def fire_below(self, record: LogRecord, bound: tuple[int, str] | None) -> None:
        """Fire the timers that are due at a record and come before ``bound``; the record itself is not applied."""
        record, _ = self._read(record)
        now = self._begin(record)
        await self._load({}, now)
        self.machine.fire(record.offset, now, bound, None)
        await self._commit(self._within(record.offset))

    async def put_back(self, customer: str, state: bytes, due_ms: int | None, offset: int) -> None:
        """Commit a state that the log has so, as a slice of the record at ``offset``, the next one."""
        before = self.checkpoint
        self.machine.load({}, ())
        if before.position.step == 0:
            self.machine.begin(offset)  # the record begins with this slice
        body = self.machine.take().body
        position = Position(offset, before.position.step + 1)
        await self._session.commit(
            Commit(before, position, before.output_digest, body, {customer: state}, {customer: due_ms}, holds=before.holds)
        )
        await self.begin_anew()


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
