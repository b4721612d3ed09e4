"""Two customers who were joined and are two again: each knows what was said of them alone, as if they had never been joined.

Memories are summaries, so one past cannot be taken out of another. Whoever asks for it (``deployment.unmerging``) reads the logs and writes
all events of both into one record, in the shard of the survivor. That record decides: it counts only where the survivor has taken no event
that it lacks, so nothing is lost that came meanwhile. Then the survivor is told anew by its own events, and the other ones go on to the old
id's shard, behind all that had been sent from there. What comes in after that under an id that was parted is sent back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from streamer.customers import ids, links
from streamer.customers.ids import digest
from streamer.customers.message_state import shifted_messages
from streamer.customers.state import Membership, State
from streamer.segments.change import Cause
from streamer.segments.plan.plan import Plan
from streamer.wire import Control

from .admission import Admission
from .change_writer import ChangeWriter
from .checkpoint import CheckpointBody
from .identity_records import Redirect, Restore, encode_identity
from .message_writer import MessageWriter
from .own_past import OwnPast, ToldEvent, read_past, told_of
from .rules import Rules
from .set_aside import SetAside
from .states import States
from .timers import Timers

RETOLD: Final = ("origin_ms", "timer_ms", "slots", "seen", "floor_ms", "truth_bits")  # of a state, the rest goes on as it is


class Retelling(Protocol):
    """Tells events of one customer to a step that knows nothing."""

    def __call__(self, customer: str, told: Sequence[ToldEvent], now: int) -> State | None:
        """The state that they come to at log time ``now``; None where none of them counts."""
        ...


class Unmerging:
    """Parts customers, under one plan. Of the checkpoint's body it keeps ``identity`` and ``tombstones``.

    ``sends``: whether what follows is written to the log; the shard itself has written it where a lane does not.
    """

    def __init__(
        self,
        plan: Plan,
        rules: Rules,
        body: CheckpointBody,
        states: States,
        timers: Timers,
        admission: Admission,
        changes: ChangeWriter,
        messages: MessageWriter,
        set_aside: SetAside,
        retell: Retelling,
        *,
        sends: bool,
    ) -> None:
        self._plan = plan
        self._placeholders = frozenset(rules.placeholder_ids)
        self._body = body
        self._states = states
        self._timers = timers
        self._admission = admission
        self._changes = changes
        self._messages = messages
        self._set_aside = set_aside
        self._retell = retell
        self._sends = sends

    def _count(self, what: str) -> None:
        self._body.identity[what] = self._body.identity.get(what, 0) + 1

    # at the survivor

    def part(self, control: Control, now: int, offset: int) -> bool:
        """The survivor is told anew without the old id; False, and nothing is done, where the record does not have all that they were told.
        RefusedError where it cannot be read."""
        customer, old = control.customer, control.old
        own, past = read_past(control.packed), read_past(control.past)
        told, theirs = told_of(own, customer, self._placeholders), told_of(past, old, self._placeholders)
        state, brought = self._states.get(customer), self._body.history_in_all
        is_stale = bool(brought) and sum(control.history) != brought  # more history was brought in since it was written
        if (
            is_stale
            or state is None
            or not _has_all(state, (own, past), (told, theirs))
            or (found := self._retell(customer, told, now)) is None
        ):
            self._count("part_refused")
            return False
        self._count("parted")
        gone = set(past.ids)
        went = {id_: linked_ms for id_, linked_ms in state.links.items() if id_ in gone and id_ != old}
        state.links = {id_: linked_ms for id_, linked_ms in state.links.items() if id_ not in gone}
        state.parted = dict([*((state.parted or {}) | dict.fromkeys(past.ids, old)).items()][-links.LINKS_MAX :])
        self._become(customer, state, found, Cause("unmerge", from_=old), now, offset)
        undated = {id_: went.get(id_, links.UNDATED) for id_ in past.ids if id_ != old}
        self._send(Restore(customer=old, survivor=customer, past=control.past, links=undated), offset)
        return True

    # at the old id

    def restore(self, content: Restore, now: int, offset: int) -> None:
        """The old id is a customer again. RefusedError where the record cannot be read."""
        customer = content.customer
        past = read_past(content.past)
        state, tombstone = self._states.get(customer), self._states.tombstone(customer)
        if state is not None or tombstone is None:
            self._count("restore_refused")  # they were erased meanwhile, or are somebody already
            return
        found = self._retell(customer, told_of(past, customer, self._placeholders), now)
        self._changes.write_unmerge(customer, content.survivor, {*past.ids} - {customer}, now, offset)
        self._body.tombstones -= 1
        if found is None:
            self._states.remove(customer)
            return
        self._count("restored")
        state = self._states.create(customer, found.origin_ms)
        state.lifted = tombstone.changes
        self._admission.go_on_noting(customer, state, tombstone)
        state.links = links.united({}, content.links, customer)
        self._become(customer, state, found, Cause("unmerge", from_=content.survivor), now, offset)
        for id_ in sorted(state.links):
            self._send(Redirect(id=id_, to=customer, instead_of=[content.survivor], cause="unmerge", linked_ms=now), offset)

    def _send(self, content: Restore | Redirect, offset: int) -> None:
        if self._sends:
            kind = "restore" if isinstance(content, Restore) else "point"
            self._admission.send(kind, content.customer, encode_identity(content), offset)

    # at both

    def _become(self, customer: str, state: State, found: State, cause: Cause, now: int, offset: int) -> None:
        """Have ``state`` remember what ``found`` does and be where it is; say what that changes. Numbers of changes go on."""
        self._set_aside.end(state)
        was_inside = {number for number, entry in state.members.items() if entry.inside}
        by_ms = state.origin_ms - found.origin_ms
        self._take_memberships(state, found, now)
        if state.messages is not None and by_ms:
            state.messages = shifted_messages(state.messages, by_ms)
        for field in RETOLD:
            setattr(state, field, getattr(found, field))
        changed = [rule for rule in self._plan.rules if state.is_inside(rule.number) != (rule.number in was_inside)]
        self._changes.write(customer, state, changed, now, cause, offset)
        for rule in changed:
            if rule.number not in found.members:  # they were never in it: no cool-down follows
                state.retired[rule.name] = state.members.pop(rule.number).changes
        self._messages.after(customer, state, (), now, "unmerge", offset)
        self._states.touched.add(customer)
        self._timers.set(customer, state.due_ms)

    def _take_memberships(self, state: State, found: State, now: int) -> None:
        """Be inside or outside of each segment, and since when, as ``found`` is; where it was never in one nothing stays but the number."""
        ours, state.members = state.members, {}
        for rule in self._plan.rules:
            mine, theirs = ours.get(rule.number), found.members.get(rule.number)
            said = mine.changes if mine is not None else state.retired.pop(rule.name, state.lifted or 0)
            if theirs is not None:
                changes = said if theirs.inside == (said % 2 == 1) else said + 1
                state.members[rule.number] = Membership(changes if said else theirs.changes, theirs.at_ms)
            elif said % 2 == 1:
                state.members[rule.number] = Membership(said + 1, now - found.origin_ms)
            elif said and said != state.lifted:
                state.retired[rule.name] = said


def _has_all(state: State, pasts: Sequence[OwnPast], told: Sequence[Sequence[ToldEvent]]) -> bool:
    """Whether nothing has come to a customer that the record does not have: neither an event nor another id."""
    known = {digest(one.event.message_id) for of_one in told for one in of_one}
    return ids.keys(state.seen) <= known and state.links.keys() <= {id_ for past in pasts for id_ in past.ids}
