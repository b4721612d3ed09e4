"""One shard of the segmenter: the step, driven over the shard's log."""

from __future__ import annotations

from streamer.customers.state import State, decode_state
from streamer.errors import HaltError, RefusedError
from streamer.events.event import Event
from streamer.segments.plan import model_memories
from streamer.segments.plan.plan import Plan
from streamer.signing import NO_KEYS, Keyring
from streamer.stores.base import Checkpoint, Commit, Position, Store
from streamer.wire import Control, LogRecord

from .amendments import Amendments, Journal, MemoryJournal
from .catalog import Plans
from .checkpoint import CheckpointBody, decode_body
from .driver import ShardDriver, open_session
from .machine import WHOLE, Limits
from .rules import Rules
from .step import Step
from .store_session import Pause, StoreSession


class StepSource:
    """Makes the steps of a worker's shards, and gives them the plans and scorers that control records name. See ``MachineSource``."""

    def __init__(self, plans: Plans, rules: Rules, keyring: Keyring) -> None:
        self._plans = plans
        self._rules = rules
        self._keyring = keyring

    def over(self, store: Store) -> StepSource:
        """The same, of shards of another store."""
        return StepSource(self._plans.over(store), self._rules, self._keyring)

    async def machine_at(self, shard: int, checkpoint: Checkpoint, amendments: Amendments) -> Step:
        """The step as it stood at a checkpoint. HaltError when what it needs is not in the store, or the keyring lacks a key that holds."""
        body = decode_body(checkpoint.body) if checkpoint.body else CheckpointBody()
        self._keyring.require(body.trust.keys)
        plan = await self._plans.get(body.digest, shard)
        previous = await self._plans.get(body.previous, shard) if body.cursor else None
        scorers = await self._plans.scorers(body, shard)
        return Step(shard, self._rules, body, checkpoint.output_digest, plan, previous, scorers, amendments, self._keyring)

    async def reconfigure(self, machine: Step, record: LogRecord, control: Control, now: int) -> None:
        """See ``MachineSource``. What is damaged or may not be said is a dead letter; what is repeated, or overtaken, is nothing."""
        machine.pass_time(now, record.offset)
        if not machine.admits(control, record):
            return
        try:
            if control.control == "definitions":
                await self._switch(machine, control)
            elif control.control == "withdraw":
                machine.withdraw_model(control.model, control.version)
            elif machine.body.models.get(control.model) != (control.version, control.digest):
                scorer, content = self._plans.read_scorer(control, machine.plan)
                machine.serve_model(control.model, control.version, control.digest, scorer, content)
        except RefusedError as error:
            machine.refuse(error, record)

    async def _switch(self, machine: Step, control: Control) -> None:
        plan, content = await self._plans.read(control)
        body = machine.body
        if control.version <= body.version:  # numbers only rise: it is repeated, or was overtaken by a newer one
            return
        if plan.digest == body.digest:
            body.version = control.version  # the same under a new number
        else:
            machine.switch(plan, control.version, content)


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
        pause: Pause,
    ) -> Shard:
        """Become the owner: from here on whoever owned the shard before is fenced. HaltError when ``keyring`` lacks a key that holds.

        ``journal`` has been read whole; without one what fails is passed over all the same, and the next owner finds out by itself.
        """
        journal = journal if journal is not None else MemoryJournal()
        source = StepSource(plans, rules, keyring)
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

    async def beside(self, store: Store, journal: Journal, limits: Limits) -> Shard:
        """A fresh shard of the same number under the same rules, over an empty store."""
        source = self._steps.over(store)
        session, step = await open_session(self.shard, store, source, journal.amendments, self._session.pause)
        return Shard(session, source, step, self._rules, limits, journal)

    def customer_of(self, record: LogRecord) -> str | None:
        """Whose event a record is; None when it is none, or refused."""
        content = self._read(record)[1]
        return content.customer if isinstance(content, Event) else None

    async def first_timer(self) -> tuple[int, str] | None:
        """The first timer that the store has: of a record that is done in part, every timer below it has fired. None where all have, as
        in the middle of a migration."""
        if self.machine.migration is not None:
            return None
        return await self._session.find_first_timer()

    async def fire_below(self, record: LogRecord, bound: tuple[int, str] | None) -> None:
        """Fire the timers that are due at a record and come before ``bound``; the record itself is not applied."""
        record, _ = self._read(record)
        now = self._begin(record)
        await self._load({}, now)
        self.machine.fire(record.offset, now, bound, None)
        await self._commit(self._within(record))

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
