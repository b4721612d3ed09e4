"""The pure step: one record of the log at a time, from remembered states to new states, timers and outputs.

Nothing here waits, reads a clock or draws a number: the same records give the same bytes, however they are cut into batches. The order
within a record is the promise of ``language/LANGUAGE.md`` section 3: due timers, then the record, then what it changes.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Final, TypeVar, assert_never

from streamer.customers.offsets import RecordOffsets
from streamer.customers.state import NO_TIMER, State
from streamer.errors import RefusedError
from streamer.events.event import Event
from streamer.examples import MARK_MS, Example
from streamer.learning.scorers.decode import Groups, Scorer
from streamer.segments.change import Cause
from streamer.segments.plan.plan import Plan
from streamer.signing import NO_KEYS, Keyring
from streamer.stores.base import Holdings
from streamer.stores.documents import definitions_document, scorer_document
from streamer.values import time_text
from streamer.wire import NO_LINK_HEADER, Control, LogRecord
from streamer.zones import LAST_MS

from .admission import Admission
from .amendments import FOR_DEFINITIONS, Amendments
from .change_writer import ChangeWriter
from .checkpoint import CheckpointBody, documents_of, encode_body
from .evaluation import Evaluator
from .identity import Identity, names_two
from .identity_records import Link
from .lane.past import NO_LANE, Folded, Past
from .machine import CommitBatch, Content, InHand, Limits
from .message_writer import MessageWriter
from .migration import Migration, adopt
from .models_in_force import ModelsInForce
from .offset_notes import NOTHING_KEPT, OffsetNotes
from .outputs import OutputLog
from .own_past import ToldEvent
from .rules import Rules
from .same_log import Delivered
from .set_aside import SetAside
from .states import States
from .timers import Timers
from .unmerging import Unmerging

AnIdentity = TypeVar("AnIdentity", bound=Identity)

LINKS_NOBODY: Final = ((NO_LINK_HEADER, b"1"),)
SIZES_MAX: Final = 2_000  # segments whose sizes a mark carries: the learner watches those, and a mark is one small record


class Step:
    """The segmenter's state machine over one shard: see ``machine.StateMachine``. It keeps the order in which its parts are asked.

    ``migration`` is there while customers come under other definitions.
    """

    def __init__(
        self,
        shard: int,
        rules: Rules,
        body: CheckpointBody,
        output_digest: bytes,
        plan: Plan,
        previous: Plan | None = None,
        past: Past | None = None,
        scorers: Mapping[str, Scorer | Groups] | None = None,
        amendments: Amendments | None = None,
        keyring: Keyring = NO_KEYS,
        noted: OffsetNotes | None = None,
    ) -> None:
        self.shard = shard
        self.body = body
        self._rules = rules
        self._outputs = OutputLog(shard, rules, output_digest, body.ordinal)
        self._states = States(shard, body.generation)
        self._timers = Timers()
        self._admission = self._admission_of(keyring)
        self._models = self._models_in_force(scorers or {})
        self.amendments = amendments if amendments is not None else Amendments()
        self._set_aside = SetAside(self.amendments.aside, body)
        self._noted = noted if noted is not None else OffsetNotes(body, NOTHING_KEPT, is_on=False)
        self._documents = documents_of(body)
        self._new_documents: dict[str, bytes] = {}
        self._awaited: Container[str] = ()
        self._timer: tuple[int, str] | None = None  # (due_ms, customer) of the timer in hand
        self._fired = 0
        self.migration: Migration | None = None
        self._use(plan)
        if previous is not None:
            self._migrate_from(previous, past)

    def _use(self, plan: Plan) -> None:
        """Work by this plan, and by the scorers that serve now."""
        self.plan = plan
        self.scoring = self._models.scoring(plan)
        self._states.unscored = self._models.unscored(plan)
        self._changes = self._change_writer()
        self._messages = MessageWriter(plan, self.body, self._outputs)
        self._evaluator = Evaluator(self.shard, plan, self.scoring, self._set_aside, self._outputs.add_example)
        self._identity = self._identity_of()
        if self.migration is not None:
            self._migrate_from(self.migration.before, self.migration.past)

    # its parts, of which a lane has others

    def _admission_of(self, keyring: Keyring) -> Admission:
        return Admission(self.shard, self._rules, keyring, self.body, self._states, self._outputs)

    def _models_in_force(self, scorers: Mapping[str, Scorer | Groups]) -> ModelsInForce:
        return ModelsInForce(self.body, scorers)

    def _change_writer(self) -> ChangeWriter:
        return ChangeWriter(self.plan, self.body, self._outputs, self.scoring.in_words if self.scoring is not None else None)

    def _identity_of(self) -> Identity:
        return self._new_identity(Identity, sends=True)

    def _new_identity(self, kind: type[AnIdentity], *, sends: bool) -> AnIdentity:
        self._unmerging = Unmerging(
            self.plan,
            self._rules,
            self.body,
            self._states,
            self._timers,
            self._admission,
            self._changes,
            self._messages,
            self._set_aside,
            self.retold,
            sends=sends,
        )
        return kind(
            self.plan,
            self._rules,
            self.body,
            self._states,
            self._timers,
            self._admission,
            self._evaluator,
            self._changes,
            self._messages,
            self._set_aside,
            self._unmerging,
        )

    def retold(self, customer: str, told: Sequence[ToldEvent], now: int) -> State | None:
        """See ``Retelling``: by a step of its own, of which nothing else is kept."""
        body = CheckpointBody(generation=self.body.generation, version=self.body.version, erased=dict(self.body.erased))
        apart = Step(self.shard, self._rules, body, b"", self.plan, scorers=self._models.scorers)
        apart._outputs.says_examples = False
        apart.load({customer: None}, (), {customer})
        for offset, (arrival_ms, event) in enumerate(told):
            at_ms = min(max(arrival_ms, body.log_time_ms), now)
            apart._outputs.clear()  # nobody hears it
            apart.fire(offset, at_ms)
            apart.apply(LogRecord(offset, at_ms, b"", headers=LINKS_NOBODY), event, at_ms)
        apart.fire(len(told), now)
        return apart._states.get(customer)

    # slices

    def load(self, states: Mapping[str, bytes | None], due: Sequence[tuple[int, str]], awaited: Container[str] = ()) -> None:
        """See ``StateMachine``."""
        self._states.load(states)
        self._timers.load(due)
        self._outputs.clear()
        self._awaited = awaited
        self._timer = None
        self._fired = 0

    def encode(self, customer: str) -> None:
        """See ``StateMachine``."""
        self._states.encode(customer)

    def is_full(self, limits: Limits) -> bool:
        """See ``StateMachine``."""
        states = self._states
        return (
            states.written() >= limits.states
            or self._fired >= limits.wakes
            or states.weight_bytes + self._outputs.weight_bytes > limits.bytes
            or (limits.until_sent and self._outputs.has_sent)
        )

    def in_hand(self) -> InHand | None:
        """See ``StateMachine``."""
        if self.migration is not None and self.migration.in_hand:  # also one whose timer has come, and who is brought before it fires
            return InHand(self.migration.in_hand, FOR_DEFINITIONS, self.migration.offset)
        if self._timer is not None:
            due_ms, customer = self._timer
            return InHand(customer, due_ms)
        return None

    def keep_last(self, last: Delivered) -> None:
        """See ``StateMachine``."""
        self.body.last = last

    def take(self) -> CommitBatch:
        """See ``StateMachine``."""
        body, outputs, timers = self.body, self._outputs, self._timers
        states = self._states.take()
        self._states.count_into(body.customers)
        body.wakes += timers.growth(self._states.had_timer)
        body.ordinal = outputs.ordinal
        documents, before = self._new_documents | self._noted.take(), self._documents
        self._new_documents, self._documents = {}, documents_of(body)
        return CommitBatch(
            outputs.output_digest,
            encode_body(body),
            states,
            timers.changed,
            outputs.outputs,
            Holdings(tuple(body.customers), body.wakes, len(self._documents)),
            documents,
            sorted(before - self._documents),
            outputs.change_counts,
            outputs.decision_counts,
        )

    # time

    def time_at(self, record: LogRecord) -> int:
        """Log time at a record, in UTC milliseconds. A record that has its producer's time moves none, unless producers are trusted."""
        if not record.broker_time and not self._rules.trust_producer_time:
            return self.body.log_time_ms
        return max(self.body.log_time_ms, min(record.arrival_ms, LAST_MS))

    def begin(self, offset: int) -> None:  # noqa: ARG002 - other machines may want it
        """See ``StateMachine``."""
        self._outputs.ordinal = 0

    def fire(self, offset: int, until_ms: int, bound: tuple[int, str] | None = None, limits: Limits | None = None) -> bool:
        """See ``StateMachine``: evaluate every customer at every moment up to ``until_ms`` at which time alone changes something."""
        queue, states = self._timers.queue, self._states
        if self.migration is not None:
            self.migration.at = offset
        while queue and queue[0][0] <= until_ms:
            if (bound is not None and queue[0] >= bound) or (limits is not None and self.is_full(limits)):
                return False
            self._timer = due_ms, customer = self._timers.pop()
            state = states.get(customer)
            if state is None:
                self._timers.set(customer, NO_TIMER)
                continue
            if state.timer_ms == due_ms - state.origin_ms:
                self._fire_one(customer, state, offset)
            if customer not in self._awaited:
                states.encode(customer)
        self._timer = None
        return bound is None or bound[0] > until_ms

    def _fire_one(self, customer: str, state: State, offset: int) -> None:
        self._fired += 1
        now = state.timer_ms + state.origin_ms
        if self._set_aside.is_amended(offset, customer, now):
            self._set_aside.begin(state, now)
            state.timer_ms = NO_TIMER
        else:
            changed = self._evaluator.at_timer(state, now, offset)
            if changed:
                self._changes.write(customer, state, changed, now, Cause("timer", due=time_text(now)), offset)
            if changed or state.messages is not None:
                self._messages.after(customer, state, changed, now, "timer", offset)
        self._states.touched.add(customer)
        self._timers.set(customer, state.due_ms)

    def is_quiet_until(self, now: int) -> bool:
        """See ``StateMachine``."""
        mark_ms = self.next_mark_ms
        return self._timers.are_later_than(now) and (mark_ms is None or mark_ms > now)

    def pass_time(self, now: int, offset: int) -> None:
        """Log time is now; every timer up to it has fired. Where models learn, each minute that is over is said; while customers come under
        other definitions none is, since timers of theirs may still be due in it."""
        is_heard = self._outputs.says_examples and self.migration is None
        if self.scoring is not None and is_heard and now // MARK_MS > self.body.log_time_ms // MARK_MS:
            sizes = dict(zip(self.plan.names[:SIZES_MAX], self.body.sizes[:SIZES_MAX], strict=True))
            self._outputs.add_example(Example("mark", self.shard, offset, 0, now, sizes=sizes, definitions=self.body.version))
        self._admission.forget_erased(now)
        self.body.log_time_ms = now

    @property
    def next_mark_ms(self) -> int | None:
        """The end of the minute in which log time is, where models learn: it is said as soon as it has passed."""
        is_said = self.scoring is not None and self.migration is None
        return (self.body.log_time_ms // MARK_MS + 1) * MARK_MS if is_said else None

    # records

    def apply(self, record: LogRecord, content: Content, now: int) -> None:
        """See ``StateMachine``."""
        self.pass_time(now, record.offset)
        if self.migration is not None:
            self.migration.at = record.offset
        if isinstance(content, Event):
            self._apply_event(content, record, now)
        elif isinstance(content, RefusedError):
            self.refuse(content, record)
        elif not isinstance(content, Control):
            is_new = isinstance(content, Link) and self._states.is_unknown(content.customer)
            if self._identity.apply(content, record, now):
                self._noted.note_joined(self._states, content.customer, record, now, is_new=is_new)
        elif content.control != "tick" and self.admits(content, record):
            self._obey(content, now, record)

    def _obey(self, control: Control, now: int, record: LogRecord) -> None:
        match control.control:
            case "erase":
                self._identity.erase(control.customer, now, record.offset)
            case "unmerge":
                self._part(control, now, record)
            case "pause":
                self.body.paused = sorted({*self.body.paused, control.message})
            case "resume":
                self.body.paused = [name for name in self.body.paused if name != control.message]
            case "tick" | "keys" | "pin" | "unpin":
                pass
            case "definitions" | "model" | "withdraw":
                raise AssertionError(f"a {control.control} reconfigures, and never comes here")
            case _:
                assert_never(control.control)

    def _part(self, control: Control, now: int, record: LogRecord) -> None:
        self._states.weight_bytes += len(record.value)
        try:
            if self._unmerging.part(control, now, record.offset):
                self._noted.note_joined(self._states, control.customer, record, now)
        except RefusedError as error:
            self.refuse(error, record)

    def _apply_event(self, event: Event, record: LogRecord, now: int) -> None:
        """Admit, remember, evaluate."""
        admitted = self._admission.admit(event, record)
        if admitted is None:
            return
        state, is_new = admitted
        self._states.weight_bytes += len(record.value)  # a state grows by no more than that, give or take a few numbers
        timer_ms, origin_ms, offset = state.timer_ms, state.origin_ms, record.offset
        if is_new:
            self._noted.begin(state, record, now)
        elif state.newest_offset >= 0:
            self._noted.follow(state, offset, now - record.arrival_ms)
        changed = self._evaluator.at_event(state, event, now, offset, is_new=is_new)
        if changed:
            self._changes.write(event.customer, state, changed, now, Cause("event", id=event.message_id), offset)
        if changed or state.messages is not None:
            self._messages.note_outcome(state, event)
            self._messages.after(event.customer, state, changed, now, "event", offset)
        if is_new or state.timer_ms != timer_ms or state.origin_ms != origin_ms:  # by another clock the same number is another moment
            self._timers.set(event.customer, state.due_ms)
        if names_two(event):
            self._identity.note(event, state, record, now)

    def refuse(self, error: RefusedError, record: LogRecord) -> None:
        """A dead letter instead of the record."""
        self._admission.refuse(error, record)

    def admits(self, control: Control, record: LogRecord) -> bool:
        """Whether a control record may say what it says; if not it is a dead letter. HaltError when this worker lacks a key."""
        is_first = self._noted.is_first_control
        admitted = self._admission.admit_control(control, record)
        if admitted:
            self._noted.note_control(control, record, is_first=is_first)
        return admitted

    @property
    def controls(self) -> RecordOffsets:
        """Where the records lie that concern all customers, as far as that is kept whole."""
        return self._noted.controls

    # definitions

    def switch(self, plan: Plan, version: int, content: bytes, offset: int, folded: Folded | None = None) -> None:
        """From the record at ``offset`` on other definitions hold, which are kept with the next commit. A migration begins. ``folded`` is
        what a lane has folded for them up to there; None where there was nothing to fold, or nothing to fold from."""
        before, body = self.plan, self.body
        adopt(body, before, plan, version, offset, folded)
        self._models.keep({spec.name for spec in set(before.definitions.models) & set(plan.definitions.models)})
        self._states.generation = body.generation
        self._new_documents[definitions_document(plan.digest)] = content
        if before.definitions.models or plan.definitions.models:  # whoever learns is to know where the one ends and the other begins
            self._outputs.add_example(Example("switch", self.shard, offset, 0, body.log_time_ms, definitions=version))
        self._use(plan)
        self._migrate_from(before, folded.past if folded is not None else None)

    def _migrate_from(self, before: Plan, past: Past | None) -> None:
        self.migration = Migration(
            before,
            past,
            self.plan,
            self.body,
            self._states,
            self._timers,
            self._changes,
            self._messages,
            self._evaluator,
            self._set_aside,
            self._identity,
            self._noted,
        )
        self._states.migrate = self.migration.bring

    def finish_migration(self) -> None:
        """See ``StateMachine``."""
        self.migration, self._states.migrate = None, None
        self.body.previous, self.body.cursor, self.body.switch = "", "", None
        self.body.lane = NO_LANE

    # models

    def serve_model(self, model: str, version: int, digest: str, scorer: Scorer | Groups, content: bytes) -> None:
        """From here on this scorer serves, and is kept with the next commit. Customers are scored by it at their next scoring moment."""
        self._models.serve(model, version, digest, scorer)
        self._new_documents[scorer_document(model)] = content
        self._use(self.plan)

    def withdraw_model(self, model: str, version: int) -> None:
        """From here on nothing up to this version serves: the model has nothing to say, and nobody enters or leaves for its sake."""
        if self._models.withdraw(model, version):
            self._use(self.plan)

    def reasons(self, state: State, model: str, now: int) -> list[str]:
        """What moved a model's answer most for a customer, in words; empty where nothing is known."""
        return self.scoring.in_words(state, model, now) if self.scoring is not None else []

    @property
    def unscored(self) -> tuple[int, ...]:
        """The memories of models that do not serve now."""
        return self._states.unscored
