"""A change of definitions: customers come under the new plan as time passes (``walk_pace``), and before that at whatever concerns them,
with the past that a lane has folded for it, see ``lane``.

A shard does not stand still for it. Until their turn comes nothing has happened to a customer since the ``definitions`` record, so each is
brought as of that record: when it is done changes nothing that is said but the position. Timers that were due since then fire after it, at
their own moments.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Final

from streamer.customers.state import NO_TIMER, State
from streamer.messages.planned import MessagePlan
from streamer.segments.change import Cause
from streamer.segments.plan import model_memories
from streamer.segments.plan.message_inputs import is_turning
from streamer.segments.plan.plan import Plan, SegmentRule
from streamer.segments.plan.plan_change import PlanChange
from streamer.segments.plan.plan_memories import is_grown

from . import walk_pace
from .amendments import FOR_DEFINITIONS
from .change_writer import ChangeWriter
from .checkpoint import NOTHING_BROUGHT, CheckpointBody, SidesTaken, Switch
from .evaluation import Evaluator
from .identity import Identity
from .lane.past import NO_LANE, Folded, Past
from .message_writer import MessageWriter
from .offset_notes import OffsetNotes
from .set_aside import SetAside
from .states import States
from .timers import Timers

SIDES_KEPT: Final = 4  # versions of definitions of which lanes may still send something: shards switch one after another
LAST_ORDINAL: Final = (1 << 53) - 1

EVALUATIONS_MAX: Final = 50_000  # of customers times segments between two looks at the event loop


def adopt(body: CheckpointBody, before: Plan, after: Plan, version: int, offset: int, folded: Folded | None) -> None:
    """Bring the body of a checkpoint under another plan, for the record at ``offset``: members by segment, and since when memories remember
    that are new or larger."""
    body.since_ms = _since_ms(body, before, after, folded)
    born = {key: at for key, at in body.born.items() if key in after.slots}
    body.born = born if folded is None else born | dict.fromkeys(folded.past.keys, version)
    body.lane = NO_LANE if folded is None else folded.offset
    kept = sorted(body.sides)[-SIDES_KEPT + 1 :]
    marks = {shard: (generation, offset, LAST_ORDINAL) for shard, (generation, offset, _) in body.forwards.items()}
    body.sides = {**{at: body.sides[at] for at in kept}, version: SidesTaken(before.digest, marks)}
    body.models_since = _models_since(body, before, after, offset)
    body.sizes = [body.sizes[before.numbers[name]] if name in before.numbers else 0 for name in after.names]
    body.previous, body.digest = body.digest, after.digest
    body.version, body.generation = version, body.generation + 1
    brought = folded.past.brought if folded is not None else NOTHING_BROUGHT
    body.switch, body.cursor = Switch(offset, body.log_time_ms, brought=brought), ""


def _since_ms(body: CheckpointBody, before: Plan, after: Plan, folded: Folded | None) -> dict[str, int]:
    """By memory that did not exist from the beginning, when it began: now, unless a lane has folded it."""
    now, keys, lacking = body.log_time_ms, set(before.slots), folded.since_ms if folded is not None else dict[str, int]()
    is_first = not body.counts.get("accepted")  # nobody has been seen yet: nothing was missed
    since_ms = {key: ms for key, ms in body.since_ms.items() if key in after.slots}
    for memory in after.memories:
        grown = memory.key in keys and is_grown(before.memories[before.slots[memory.key]].spec, memory.spec)
        is_folded = folded is not None and memory.key in folded.past.keys
        if memory.key in lacking and (is_folded or memory.is_put):
            since_ms[memory.key] = lacking[memory.key]
        elif is_folded:
            since_ms.pop(memory.key, None)
        elif memory.is_put:
            continue  # a new model has said nothing before
        elif not is_first and (memory.key not in keys or grown):
            since_ms[memory.key] = now
    return since_ms


def _models_since(body: CheckpointBody, before: Plan, after: Plan, offset: int) -> dict[str, int]:
    """By model with which definitions its question came: with the record at ``offset`` that of one that did not exist, or was another."""
    kept, since = set(before.definitions.models), body.models_since
    return {model.name: since.get(model.name, 0) if model in kept else offset for model in after.definitions.models}


class Migration:
    """Customers on their way from the plan ``before`` to the plan ``after``.

    ``in_hand`` is the one who is being brought; empty while none is. ``at`` is the offset of the record in hand.
    """

    def __init__(
        self,
        before: Plan,
        past: Past | None,
        after: Plan,
        body: CheckpointBody,
        states: States,
        timers: Timers,
        changes: ChangeWriter,
        messages: MessageWriter,
        evaluator: Evaluator,
        set_aside: SetAside,
        identity: Identity,
        noted: OffsetNotes,
    ) -> None:
        self.before = before
        self.past = past
        self.in_hand = ""
        self.at = 0
        self._brought = 0
        self._after = after
        brings_history = past is not None and past.brings_history
        self._change = PlanChange(before, after, past.keys if past is not None else (), is_whole=brings_history)
        self._body = body
        self._states = states
        self._timers = timers
        self._changes = changes
        self._messages = messages
        self._messages_before = MessagePlan(before)
        self._evaluator = evaluator
        self._set_aside = set_aside
        self._identity = identity
        self._noted = noted

    @property
    def cursor(self) -> str:
        """The last customer who is done; empty before the first."""
        return self._body.cursor

    @property
    def at_once_max(self) -> int:
        """How many customers may be done between two looks at the event loop."""
        return max(1, EVALUATIONS_MAX // max(1, len(self._after.rules)))

    @property
    def _switch(self) -> Switch:
        assert self._body.switch is not None, "the body of a shard that switches says so"
        return self._body.switch

    @property
    def offset(self) -> int:
        """See ``MigrationInProgress``."""
        return self._switch.offset

    def allowed_at(self, offset: int, now: int) -> int:
        """See ``MigrationInProgress``."""
        return walk_pace.allowed_at(self._switch, offset, now)

    def done_at(self, offset: int) -> int:
        """See ``MigrationInProgress``. A tombstone is the same under all definitions, and none of them."""
        return self._switch.done if self._switch.record == offset else 0

    def begin_at(self, offset: int, now: int) -> None:
        """See ``MigrationInProgress``."""
        walk_pace.begin(self._switch, offset, now)

    def migrate(self, customer: str, offset: int) -> None:
        """See ``MigrationInProgress``."""
        brought = self._brought
        self.touch(customer, offset)
        if self.past is not None and (past := self.past.of_old_id(customer)) is not None:
            self._identity.send_home(customer, past, self.past.memories(past), self._switch.at_ms, offset)
        if self._switch.record == offset:
            self._switch.done += self._brought - brought
        self._body.cursor = customer

    def touch(self, customer: str, offset: int) -> None:
        """See ``MigrationInProgress``."""
        self.at = offset
        brought, weight_bytes = self._brought, self._states.weight_bytes
        if self._states.get(customer) is None and self.past is not None:  # asking brings whoever is not yet
            self._bear(customer, self.past)
        if self._brought == brought:
            self._states.weight_bytes = weight_bytes  # nothing was done: it must not fill a slice

    def _bear(self, customer: str, past: Past) -> None:
        """Know somebody whom only history knows; whoever was erased or drained since their turn came has gone."""
        found = past.newcomer(customer)
        is_gone = self._states.tombstone(customer) is not None or self._identity.was_erased(customer, self._switch.at_ms)
        if found is not None and not is_gone:
            state = self._states.create(customer, found.origin_ms)
            self._noted.begin_with_history(state, self.offset)
            self.bring(customer, state)

    def bring(self, customer: str, state: State) -> None:
        """Bring one customer under the new definitions and evaluate them, as of the record at which these came."""
        self.in_hand = customer
        self._brought += 1
        self._bring(customer, state, self._switch.at_ms, self.at)
        self.in_hand = ""

    def _bring(self, customer: str, state: State, now: int, offset: int) -> None:
        is_aside = self._set_aside.is_amended(self.offset, customer, FOR_DEFINITIONS)
        retired = self._change.carry(state)
        past = self.past if not is_aside else None
        was_inside = {number for number, entry in state.members.items() if entry.inside}
        left = past.join(customer, state) if past is not None else []
        model_memories.drop_scores(state, self._states.unscored)
        state.generation = self._body.generation
        self._states.touched.add(customer)
        self._messages.carry(customer, state, self._messages_before, now, offset)
        changed, turns = ([], None) if is_aside else self._evaluator.anew(state, self._change, now)
        if past is not None:
            past.leave(state, left, now)
            changed = self._net(state, changed, was_inside)
        self._write(customer, state, changed, retired, now, offset)
        if past is not None:
            past.retire(state, left)
            self._identity.note_known(customer, state, *past.ids(customer), now, offset)
        if is_aside:
            state.truth_bits = {}
            self._set_aside.begin(state, now)
            state.timer_ms = NO_TIMER
        else:
            own_now = now - state.origin_ms
            if turns is None:
                state.timer_ms = self._after.next_due(state, own_now)
            else:
                state.timer_ms = turns.first_due(state, own_now, self._after.due_besides(state, own_now))
            self._messages.after(customer, state, changed, now, "definitions", offset)
        self._timers.set(customer, state.due_ms)

    def _net(self, state: State, changed: Sequence[SegmentRule], was_inside: Container[int]) -> list[SegmentRule]:
        """Of the segments that were judged or folded those in which the customer is now and was not before, or the other way round."""
        assert self.past is not None, "only a past is joined"
        judged = {rule.name for rule in changed} | self.past.segments
        rules = (self._after.rules[self._after.numbers[name]] for name in sorted(judged))
        return [rule for rule in rules if state.is_inside(rule.number) != (rule.number in was_inside)]

    def _write(self, customer: str, state: State, changed: list[SegmentRule], retired: list[str], now: int, offset: int) -> None:
        """Say all changes by name: of segments that are defined, and of those that are no longer."""
        is_backfill = self._body.digest == self._body.previous
        cause = Cause("backfill" if is_backfill else "definitions", version=self._body.version)
        rules: dict[str, SegmentRule | None] = {rule.name: rule for rule in changed}
        rules |= dict.fromkeys(retired)
        for name in sorted(rules):
            rule = rules[name]
            if rule is None:
                state.retired[name] += 1
            if is_turning(name):
                continue
            if rule is not None:
                self._changes.write_one(customer, state, rule, now, cause, offset)
            else:
                self._changes.write_retired(customer, name, state.retired[name], now, cause, offset)
