"""The step of a lane: it remembers as the shard does, under the lane's plan, and says nothing but what it drains, and what new models are
to learn of the past.

What the log has about definitions only lets time pass here. What it has about models that are asked and go on as they were serves from
there on, as it did in the shard: so what they said of a customer then is found out again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from streamer.customers.memories import Data
from streamer.customers.state import NO_TIMER, State
from streamer.customers.tombstone import Tombstone
from streamer.errors import RefusedError
from streamer.events.event import Event
from streamer.flow.admission import Admission
from streamer.flow.amendments import Amendments
from streamer.flow.brought import bring_history, brings_history
from streamer.flow.change_writer import ChangeWriter
from streamer.flow.checkpoint import CheckpointBody, decode_body
from streamer.flow.forwards import ForwardKind, forward_of
from streamer.flow.identity import OF_HISTORY, Identity
from streamer.flow.identity_records import (
    Adopt,
    Erasure,
    IdentityRecord,
    Link,
    Redirect,
    Restore,
    Side,
    encode_identity,
    in_parts,
    place_of_side,
)
from streamer.flow.models_in_force import ModelsInForce
from streamer.flow.rules import Rules
from streamer.flow.scorers import Scorers
from streamer.flow.step import Step
from streamer.learning.scorers.decode import Groups, Scorer
from streamer.segments.change import Cause
from streamer.segments.plan.model_memories import score_key
from streamer.segments.plan.plan import Plan, SegmentRule
from streamer.signing import Keyring, Trust
from streamer.stores.base import Checkpoint
from streamer.wire import COMPARED_HEADER, Control, LogRecord, lane_headers

from .known_by import (
    BOTH,
    OLD_ID,
    aliases_of,
    bury,
    is_brought,
    is_of_shard,
    note_alias,
    note_event,
    note_history,
    note_place,
    sent_at,
    survivor_of,
)
from .lane_plan import LanePlan
from .mailbox import Mailbox
from .plain_events import PlainEvents

RECALLED: Final = "recalled"  # of the accepted events those of history
OVERLAP: Final = "overlap"  # events of history that were left out, since the shard's log had begun when they happened


class LaneStep(Step):
    """See ``machine.StateMachine``. The body's ``since_ms`` is filled where the log does not begin with its first record; of a score only
    where a record may be lost that said what served.

    ``is_recalling``: the records in hand are of history. Of that nothing counts that happened behind the first event of the shard's log,
    unless it was compared with the log.
    """

    def __init__(
        self,
        shard: int,
        rules: Rules,
        body: CheckpointBody,
        output_digest: bytes,
        lane: LanePlan,
        mailbox: Mailbox,
        *,
        is_log_cut: bool,
        is_heard: bool,
        amendments: Amendments,
        keyring: Keyring,
        scorers: Mapping[str, Scorer | Groups],
        models_since: Mapping[str, int],
    ) -> None:
        self.mailbox = mailbox
        self._lane = lane
        self._models_since = models_since
        self._is_log_cut = is_log_cut
        self._begun_at = -1
        super().__init__(shard, rules, body, output_digest, lane.plan, scorers=scorers, amendments=amendments, keyring=keyring)
        self._outputs.example_headers = lane_headers(body.version)
        self._outputs.says_examples = is_heard and lane.tells

    def _use(self, plan: Plan) -> None:
        """See ``Step``. The records in hand are not of history: models serve where the shard's log says so."""
        super()._use(plan)
        self.plain = PlainEvents(
            self.shard,
            self._rules,
            self.body,
            plan,
            self._states,
            self._timers,
            self._admission,
            self._evaluator,
            fire=self.fire,
            is_full=self.is_full,
        )
        self.plain.notes_places = self._lane.brings_history

    @property
    def is_recalling(self) -> bool:
        """See above."""
        return self._silent.is_recalling

    def take_up_history(self, offsets: Sequence[int]) -> None:
        """The records that come next are of history, and lie there at these offsets, by their indexes; empty: they are of the log."""
        self.plain.history, self._silent.is_recalling = offsets, bool(offsets)

    @property
    def may_leave_out(self) -> bool:
        """Whether the records in hand are of history, and the shard's log has begun by now."""
        counts = self.body.counts
        return self.is_recalling and counts.get("accepted", 0) > counts.get(RECALLED, 0)

    @property
    def tells(self) -> bool:
        """Whether it says what there would have been to learn."""
        return self._outputs.says_examples

    def begin(self, offset: int) -> None:
        """See ``Step``. History before a record of the log is a part of that record: what it says is numbered on, or a reader would take
        the second event's for the first one's, repeated."""
        if not (self.is_recalling and self._begun_at == offset):
            super().begin(offset)
        self._begun_at = offset

    def note_place(self, offset: int) -> None:
        """The record in hand is of history, and lies there at this offset."""
        self._silent.history_at = offset if self._lane.brings_history else None

    def count_recalled(self, events: int) -> None:
        """So many events were accepted; they are of history where that is in hand."""
        if self.is_recalling:
            self.body.counts[RECALLED] = self.body.counts.get(RECALLED, 0) + events

    def _models_in_force(self, scorers: Mapping[str, Scorer | Groups]) -> ModelsInForce:
        return ModelsInForce(self.body, scorers, self._lane.awaits)

    def _admission_of(self, keyring: Keyring) -> Admission:
        self._silent = _SilentAdmission(self.shard, self._rules, keyring, self.body, self._states, self._outputs)
        return self._silent

    def _change_writer(self) -> ChangeWriter:
        return _NoChanges(self.plan, self.body, self._outputs, None)

    def _identity_of(self) -> Identity:
        found = self._ties = self._new_identity(_LaneIdentity, sends=False)
        found.mailbox, found.lane = self.mailbox, self._lane
        return found

    def _apply_event(self, event: Event, record: LogRecord, now: int) -> None:
        if not self.is_recalling:
            super()._apply_event(event, record, now)
            return
        accepted = self.body.counts.get("accepted", 0)
        if self.may_leave_out and all(name != COMPARED_HEADER for name, _ in record.headers):
            self._admission.count(OVERLAP)
            return
        super()._apply_event(event, record, now)
        self.count_recalled(self.body.counts.get("accepted", 0) - accepted)
        if (state := self._states.get(event.customer)) is not None and state.newest_offset == OLD_ID:
            self._ties.send_again(event.customer, state, now, record.offset)

    def pass_time(self, now: int, offset: int) -> None:
        """See ``Step``."""
        if self._is_log_cut and not self.body.log_time_ms:
            lost = {score_key(model) for model in self._lane.scores if self._models_since.get(model, 0) < offset}
            self.body.since_ms = {one.key: now for one in self.plan.memories if not one.is_put or one.key in lost}
        super().pass_time(now, offset)


class LaneSource:
    """Makes the step of one lane. See ``MachineSource``. ``models_since`` is of the shard, ``trust`` is what held where the log begins."""

    def __init__(
        self,
        rules: Rules,
        keyring: Keyring,
        lane: LanePlan,
        version: int,
        mailbox: Mailbox,
        scorers: Scorers,
        models_since: Mapping[str, int],
        trust: Trust,
        *,
        is_log_cut: bool,
        is_heard: bool,
    ) -> None:
        self._trust = trust
        self._scorers = scorers
        self._models_since = models_since
        self._rules = rules
        self._keyring = keyring
        self._lane = lane
        self._version = version
        self._mailbox = mailbox
        self._is_log_cut = is_log_cut
        self._is_heard = is_heard

    async def machine_at(self, shard: int, checkpoint: Checkpoint, amendments: Amendments) -> LaneStep:
        """See ``MachineSource``."""
        body = decode_body(checkpoint.body) if checkpoint.body else self._first_body()
        self._keyring.require(body.trust.keys)
        return LaneStep(
            shard,
            self._rules,
            body,
            checkpoint.output_digest,
            self._lane,
            self._mailbox,
            is_log_cut=self._is_log_cut,
            is_heard=self._is_heard,
            amendments=amendments,
            keyring=self._keyring,
            scorers=await self._scorers.in_force(body, shard),
            models_since=self._models_since,
        )

    def _first_body(self) -> CheckpointBody:
        born = {memory.key: self._version for memory in self._lane.plan.memories}
        return CheckpointBody(version=self._version, born=born, trust=self._trust)

    async def reconfigure(self, machine: LaneStep, record: LogRecord, control: Control, now: int) -> None:
        """See ``MachineSource``: a lane has its one plan. What served before its model came, by that name, was another one."""
        machine.pass_time(now, record.offset)
        if not machine.admits(control, record):
            return
        if control.control == "definitions":
            if brings_history(control, machine.body):
                bring_history(control, machine.shard, machine.body)
            if (control.version, control.digest) == (self._version, self._lane.digest):
                machine.body.lane = record.offset
        elif control.model in self._lane.scores and record.offset > self._models_since.get(control.model, 0):
            self._change_scorer(machine, record, control)

    def _change_scorer(self, machine: LaneStep, record: LogRecord, control: Control) -> None:
        try:
            if control.control == "withdraw":
                machine.withdraw_model(control.model, control.version)
            elif machine.body.models.get(control.model) != (control.version, control.digest):
                scorer, content = self._scorers.read(control, self._lane.plan)
                machine.serve_model(control.model, control.version, control.digest, scorer, content)
        except RefusedError as error:
            machine.refuse(error, record)

    async def recall(self, machine: LaneStep, customers: Iterable[str]) -> None:
        """See ``MachineSource``: nobody comes under other definitions here."""

    def also_known(self, machine: LaneStep) -> None:
        """See ``MachineSource``."""

    async def finished(self) -> None:
        """See ``MachineSource``."""


class _SilentAdmission(Admission):
    """Admits the same, and says nothing of what it does not: the shard itself has. What came in under an old id the shard has sent on,
    also where only history knows the id here."""

    is_recalling = False
    history_at: int | None = None  # where the record in hand lies in history, if that is to be noted

    def admit(self, event: Event, record: LogRecord) -> tuple[State, bool] | None:
        """See ``Admission``."""
        if self.is_recalling:
            return self._admit_history(event, record)
        state = self._states.get(event.customer)
        if state is not None and state.newest_offset == OLD_ID:
            self.count("sent_on")
            return None
        admitted = super().admit(event, record)
        if admitted is not None:
            note_event(admitted[0], is_new=admitted[1])
        return admitted

    def _admit_history(self, event: Event, record: LogRecord) -> tuple[State, bool] | None:
        """An event that happened under an id that was old by then is kept by itself: what was kept of it before has gone home."""
        customer, brought = event.customer, self._body.history
        state, tombstone = self._states.get(customer), self._states.tombstone(customer)
        survivor = tombstone.first if tombstone is not None else ""
        if state is not None and state.newest_offset == OLD_ID and is_brought(state, brought):
            survivor = survivor_of(state)
        if survivor:
            self._states.remove(customer)
        admitted = super().admit(event, record)
        if admitted is not None:
            note_history(admitted[0], self._body.recalled, is_new=admitted[1])
            if self.history_at is not None:
                note_place(admitted[0], self.history_at, self._body.log_time_ms - record.arrival_ms)
            if survivor:
                bury(admitted[0], survivor, record.offset)
        elif tombstone is not None:
            self._states.bury(customer, tombstone)
        return admitted

    def refuse(self, error: RefusedError, record: LogRecord) -> None:  # noqa: ARG002 - no dead letter is written
        """See ``Admission``."""
        self.count(error.reason)

    def _forward(self, customer: str, record: LogRecord, arrived_ms: int, hops: int) -> None:
        pass


class _NoChanges(ChangeWriter):
    """Says no change."""

    def write(self, customer: str, state: State, changed: list[SegmentRule], now: int, cause: Cause, offset: int) -> None:
        """See ``ChangeWriter``."""

    def write_left(self, customer: str, state: State, now: int, cause: Cause, offset: int) -> None:
        """See ``ChangeWriter``."""

    def write_merge(self, to: str, from_: str, also: Iterable[str], now: int, cause: str, offset: int) -> None:
        """See ``ChangeWriter``."""

    def write_unmerge(self, to: str, from_: str, also: Iterable[str], now: int, offset: int) -> None:
        """See ``ChangeWriter``."""


class _LaneIdentity(Identity):
    """Drains and adopts where the shard does. What it drains goes as ``side`` to the lane of the survivor's shard. Of an ``adopt`` that the
    shard got only what the lane of the sender sent beside it counts, unless it was drained under these definitions already."""

    mailbox: Mailbox  # the step sets these two
    lane: LanePlan
    _place = (0, 0)  # shard and offset from where the record in hand was sent
    _aliases: Sequence[str] = ()  # of whom is drained, see ``Side``
    _sends_home = False
    _is_of_lane = False  # whether the memories of the ``adopt`` in hand came of the sender's lane

    @property
    def _has_history(self) -> bool:
        return self.lane.history > 0 or self.lane.brings_history

    def apply(self, content: IdentityRecord, record: LogRecord, now: int) -> bool:
        """See ``Identity``."""
        forward = forward_of(record)
        assert forward is not None, "only forwarded records are read as such"
        self._place = forward.shard, forward.offset
        return super().apply(content, record, now)

    def _link(self, old: str, event: Event, state: State, now: int, offset: int, *, alias: bool) -> None:
        super()._link(old, event, state, now, offset, alias=alias)
        if alias and self._has_history and old in state.links:
            note_alias(state, old)

    def _send(self, kind: ForwardKind, content: IdentityRecord, offset: int) -> None:  # noqa: ARG002 - all but one kind are the shard's
        if isinstance(content, Adopt):
            self._send_side(content, content.memories, content.part, content.parts, offset)

    def _send_side(self, adopt: Adopt, memories: dict[str, Data], part: int, parts: int, offset: int) -> None:
        has_links = self._has_history and part == parts
        side = Side(
            version=self._body.version,
            before=self.lane.before,
            to=adopt.to,
            from_=adopt.from_,
            cause=adopt.cause,
            linked_ms=adopt.linked_ms,
            origin_ms=adopt.origin_ms,
            drained_ms=adopt.drained_ms,
            part=part,
            parts=parts,
            passed=adopt.passed,
            memories=memories,
            links=adopt.links if has_links else {},
            aliases=self._aliases if has_links else [],
            is_of_history=self._sends_home,
        )
        self._admission.send("side", side.to, encode_identity(side), offset)

    def _apply_link(self, link: Link, now: int, offset: int) -> None:
        """Whom only history knows the shard had nothing to drain of. It sends their past where it comes to know of it, and what lanes
        remember of them they send here."""
        state = self._states.get(link.from_)
        if state is None or is_of_shard(state, self._body.history):
            self._aliases = aliases_of(state) if state is not None else []
            super()._apply_link(link, now, offset)
            return
        if state.newest_offset != OLD_ID:
            bury(state, link.to, offset)
            self.send_again(link.from_, state, now, offset)
        elif not link.alias:  # a device of several people: one who is sent on goes by the newest
            bury(state, link.to, sent_at(state))
        self._states.touched.add(link.from_)

    def send_again(self, old: str, state: State, now: int, offset: int) -> None:
        """Send all that is remembered of an ``OLD_ID``, where definitions before these brought the history of it."""
        to = survivor_of(state)
        bury(state, to, offset)
        if is_brought(state, self.lane.brought):
            self._aliases, self._sends_home = aliases_of(state), True
            for part in self._parts(Link(from_=old, to=to, cause=OF_HISTORY, linked_ms=now), state, now):
                self._send("adopt", part, offset)
            self._sends_home = False

    def _restore(self, restore: Restore, record: LogRecord, now: int) -> None:
        """Of an id that was linked before the log knew anybody by it there is a state here, and a tombstone in the shard."""
        state = self._states.get(restore.customer)
        if state is not None and state.newest_offset == OLD_ID:
            self._timers.set(restore.customer, NO_TIMER)
            self._bury(restore.customer, Tombstone(survivor_of(state)))
        super()._restore(restore, record, now)

    def _apply_point(self, point: Redirect, now: int, offset: int) -> None:
        state = self._states.get(point.id)
        if state is None or is_of_shard(state, self._body.history):
            super()._apply_point(point, now, offset)

    def _apply_erasure(self, erasure: Erasure, now: int, offset: int) -> None:
        state = self._states.get(erasure.customer)
        if erasure.person and state is not None and state.newest_offset == OLD_ID:
            self._forget(erasure.customer, state, now, offset)
        else:
            super()._apply_erasure(erasure, now, offset)

    def _apply_adopt(self, adopt: Adopt, now: int, offset: int) -> None:
        version = self._body.version
        self._is_of_lane, sent = not adopt.is_known_under(version), None
        own = msgspec.structs.replace(adopt, places=[], sent_ms={})  # messages are the shard's own affair
        if self._is_of_lane:
            sent = self.mailbox.take(place_of_side(adopt, *self._place)) if adopt.part == 1 else None
            own = msgspec.structs.replace(own, memories={}, version=version) if sent is None else sent.instead_of(own, version)
        state = self._states.get(adopt.to)
        if state is not None and state.newest_offset == OLD_ID:
            self._pass_on(own, survivor_of(state), [*adopt.walk, adopt.to], offset)
            return
        super()._apply_adopt(own, now, offset)
        if self._has_history and (state := self._states.get(adopt.to)) is not None:
            state.newest_offset = BOTH  # the old id may have had some
            for id_ in sent.aliases if sent is not None else ():
                note_alias(state, id_)

    def _send_side_on(self, side: Side, to: str, hops: int, offset: int) -> None:
        """See ``Identity``: the shard itself sends it on, by numbers that a lane must not use up."""

    def _pass_on(self, adopt: Adopt, to: str, walk: list[str], offset: int) -> None:  # noqa: ARG002 - circles are the shards' affair
        if not self._is_of_lane or adopt.part > 1:
            return  # the shard passes it on with all that it has
        passed_on = msgspec.structs.replace(adopt, to=to, passed=[*adopt.passed, *((adopt.to,) if adopt.to not in adopt.passed else ())])
        parts = in_parts(adopt.memories)
        for part, memories in enumerate(parts, 1):
            self._send_side(passed_on, memories, part, len(parts), offset)
