"""One person under several ids: the survivor notes a link, the old id is drained, the survivor adopts.

Each of the three happens in the shard of the customer whom it concerns, in a commit of its own, and the next is a record that this commit
sends: so there is one way for two ids in one shard and in two, and each happens once whatever crashes. What comes in under the old id meets
its tombstone and is sent on behind the past that was adopted.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Final, assert_never

import msgspec

from streamer.customers import links
from streamer.customers.joining import join_ids
from streamer.customers.memories import Data
from streamer.customers.state import NO_TIMER, State
from streamer.customers.tombstone import Tombstone
from streamer.errors import RefusedError
from streamer.events.alias import previous_id
from streamer.events.event import Event
from streamer.messages.past import newest_of, places_of
from streamer.segments.change import Cause
from streamer.segments.plan.plan import Plan
from streamer.wire import NO_LINK_HEADER, LogRecord

from .admission import Admission
from .change_writer import ChangeWriter
from .checkpoint import CheckpointBody
from .evaluation import Evaluator
from .forwards import Forward, ForwardKind, forward_of
from .identity_records import Adopt, Erasure, IdentityRecord, Link, Redirect, Restore, Side, encode_identity, in_parts
from .lane.known_by import aliases_of, sent_at, survivor_of
from .message_writer import MessageWriter
from .rules import Rules
from .set_aside import SetAside
from .states import States
from .timers import Timers
from .unmerging import Unmerging

COUNTED: Final = (
    "linked",
    "link_refused",
    "link_again",
    "shared_device",
    "drained",
    "adopted",
    "approximate",
    "adopt_of_erased",
    "seen_twice",
    "side_lost",
    "parted",
    "part_refused",
    "restored",
    "restore_refused",
    "link_parted",
)
OF_HISTORY: Final = "history"  # instead of the message id of an event that says that two ids are one person's
SIDE_HOPS_MAX: Final = 64  # tombstones that what came of a lane may pass: while links are crossed there is a circle of them


class Identity:
    """Applies what ties ids together, under one plan.

    Of the checkpoint's body it keeps ``identity``, how often each of ``COUNTED`` was, ``refused_ms`` and ``tombstones``.
    """

    def __init__(
        self,
        plan: Plan,
        rules: Rules,
        body: CheckpointBody,
        states: States,
        timers: Timers,
        admission: Admission,
        evaluator: Evaluator,
        changes: ChangeWriter,
        messages: MessageWriter,
        set_aside: SetAside,
        unmerging: Unmerging,
    ) -> None:
        self._plan = plan
        self._rules = rules
        self._body = body
        self._states = states
        self._timers = timers
        self._admission = admission
        self._evaluator = evaluator
        self._changes = changes
        self._messages = messages
        self._set_aside = set_aside
        self._unmerging = unmerging

    def _count(self, what: str, times: int = 1) -> None:
        self._body.identity[what] = self._body.identity.get(what, 0) + times

    def _send(self, kind: ForwardKind, content: IdentityRecord, offset: int) -> None:
        self._admission.send(kind, content.customer, encode_identity(content), offset)

    def apply(self, content: IdentityRecord, record: LogRecord, now: int) -> bool:
        """A record that a shard has sent; False, and nothing done, when this shard has applied it before."""
        forward = forward_of(record)
        assert forward is not None, "only forwarded records are read as such"
        if isinstance(content, Side):
            self._apply_side(content, forward, record, now)
            return True  # a lane may have taken it
        if not self._admission.takes(forward, record):
            return False
        self._states.weight_bytes += len(record.value)
        match content:
            case Link():
                self._apply_link(content, now, record.offset)
            case Adopt():
                self._apply_adopt(content, now, record.offset)
            case Redirect():
                self._apply_point(content, now, record.offset)
            case Erasure():
                self._apply_erasure(content, now, record.offset)
            case Restore():
                self._restore(content, record, now)
            case _:
                assert_never(content)
        return True

    # at the survivor: an event that names two ids

    def note(self, event: Event, state: State, record: LogRecord, now: int) -> None:
        """An accepted event that names more than one id of its customer, whose state is ``state``."""
        if any(name == NO_LINK_HEADER for name, _ in record.headers):
            return
        if event.anonymous_id is not None and event.user_id is not None:
            self._link(event.anonymous_id, event, state, now, record.offset, alias=False)
        if event.type == "alias":
            self._link(previous_id(event), event, state, now, record.offset, alias=True)

    def _link(self, old: str, event: Event, state: State, now: int, offset: int, *, alias: bool) -> None:
        survivor = event.customer
        if old == survivor or old in state.links:
            return
        if state.parted and not self._may_join_again(old, state, alias=alias):
            return
        if not links.may_link(state.links, now):
            self._count("link_refused")
            self._body.refused_ms = now
            return
        state.links = links.united(state.links, {old: now}, survivor)
        self._count("linked")
        self._send("link", Link(from_=old, to=survivor, cause=event.message_id, linked_ms=now, alias=alias), offset)

    def _may_join_again(self, old: str, state: State, *, alias: bool) -> bool:
        """Whether an id that was parted from the survivor is linked to them: only where it is said outright, since what both ids stood in
        has been judged to be wrong."""
        parted = state.parted or {}
        goes_by = parted.get(old)
        if goes_by is None:
            return True
        if not alias:
            self._count("link_parted")
            return False
        state.parted = {id_: other for id_, other in parted.items() if other != goes_by} or None
        return True

    def _restore(self, restore: Restore, record: LogRecord, now: int) -> None:
        try:
            self._unmerging.restore(restore, now, record.offset)
        except RefusedError as error:
            self._admission.refuse(error, record)

    # at a change of definitions that brings history: what that has of ids

    def was_erased(self, customer: str, time_ms: int) -> bool:
        """Whether a customer was erased at that log time or later."""
        return self._admission.was_erased(customer, time_ms)

    def note_known(self, survivor: str, state: State, known: Iterable[str], aliases: Container[str], now: int, offset: int) -> None:
        """The customer went by these ids too, which the state may have noted; of ``aliases`` that was said outright."""
        fresh = [id_ for id_ in known if id_ not in state.links and id_ not in (state.parted or ()) and id_ != survivor]
        if not fresh:
            return
        state.links = links.united(state.links, dict.fromkeys(fresh, now), survivor)
        self._count("linked", len(fresh))
        for id_ in fresh:
            self._send("link", Link(from_=id_, to=survivor, cause=OF_HISTORY, linked_ms=now, alias=id_ in aliases), offset)

    def send_home(self, old: str, past: State, memories: Mapping[str, Data], now: int, offset: int) -> None:
        """History has a past of an id that was linked already, as a lane has it: it goes to whom the id leads, and so do the ids by which
        it went too."""
        if self._states.tombstone(old) is None:
            return  # erased since
        link = Link(from_=old, to=survivor_of(past), cause=OF_HISTORY, linked_ms=now)
        self._count("drained")
        for part in self._adopts(link, past, in_parts(memories), now):
            self._send("adopt", msgspec.structs.replace(part, links={}, places=[], sent_ms={}, lane_offset=sent_at(past)), offset)
        aliases = aliases_of(past)
        for id_ in past.links:
            if id_ != link.to:
                self._send("link", msgspec.structs.replace(link, from_=id_, alias=id_ in aliases, passed=[old]), offset)

    # at the old id: the link

    def _apply_link(self, link: Link, now: int, offset: int) -> None:
        state, tombstone = self._states.get(link.from_), self._states.tombstone(link.from_)
        if state is not None:
            self._drain(link, state, now, offset)
        elif tombstone is None:
            self._bury(link.from_, Tombstone(link.to))
        elif tombstone.to == link.to:
            self._count("link_again")
        elif link.alias:
            self._send("link", _sent_on(link, tombstone.to), offset)
        else:
            self._count("shared_device")
            self._states.bury(link.from_, tombstone.repointed(link.to, now, now - 2 * self._rules.lateness_ms))

    def _drain(self, link: Link, state: State, now: int, offset: int) -> None:
        """Leave every segment, send what is remembered to the survivor, and leave a tombstone."""
        self._count("drained")
        self._set_aside.end(state)
        self._changes.write_left(link.from_, state, now, Cause("merge", id=link.cause, into=link.to), offset)
        self._messages.end(link.from_, state, "merged", now, offset)
        for part in self._parts(link, state, now):
            self._send("adopt", part, offset)
        self._bury(link.from_, Tombstone(link.to, 0, (), state.changes_max, *state.offsets))
        self._timers.set(link.from_, NO_TIMER)

    def _parts(self, link: Link, state: State, now: int) -> Sequence[Adopt]:
        keys = self._plan.memories
        return self._adopts(link, state, in_parts({keys[slot].key: data for slot, data in sorted(state.slots.items())}), now)

    def _adopts(self, link: Link, state: State, memories: Sequence[dict[str, Data]], now: int) -> Sequence[Adopt]:
        return [
            Adopt(
                to=link.to,
                from_=link.from_,
                cause=link.cause,
                linked_ms=link.linked_ms,
                origin_ms=state.origin_ms,
                drained_ms=now,
                part=part,
                parts=len(memories),
                passed=link.passed,
                version=self._body.version,
                memories=some,
                seen=state.seen if part == 1 else b"",
                floor_ms=state.forgotten_ms if part == 1 and state.floor_ms is not None else None,
                links=state.links if part == len(memories) else {},
                places=places_of(self._messages.messages, state) if part == 1 else [],
                sent_ms=newest_of(self._messages.messages, state) if part == 1 else {},
                parted=state.parted or {} if part == len(memories) else {},
            )
            for part, some in enumerate(memories, 1)
        ]

    def _bury(self, customer: str, tombstone: Tombstone) -> None:
        self._body.tombstones += 1
        self._states.bury(customer, tombstone)

    # at the survivor: the adopt

    def _apply_adopt(self, adopt: Adopt, now: int, offset: int) -> None:
        customer = adopt.to
        state, tombstone = self._states.get(customer), self._states.tombstone(customer)
        if tombstone is not None:
            walk = [*adopt.walk, customer]
            if tombstone.first not in walk:
                self._pass_on(adopt, tombstone.first, walk, offset)
                return
            circle = walk[walk.index(tombstone.first) :]  # each of them points to the next: people who were linked crosswise
            at = circle.index(min(circle))
            if circle[at] != customer:
                self._pass_on(adopt, circle[at], [*circle[at + 1 :], *circle[:at]], offset)  # it closes there, if nothing has changed
                return
            state = self._lift(customer, tombstone, circle, min(adopt.origin_ms, now))
        if state is None or not self._is_expected(adopt, state):
            self._count("adopt_of_erased")
            if state is not None and tombstone is not None:  # lifted with nothing: time may change what is true of nobody in particular
                state.timer_ms = self._plan.next_due(state, now - state.origin_ms)
                self._timers.set(customer, state.due_ms)
            return
        self._adopt(adopt, state, now, offset)

    def _pass_on(self, adopt: Adopt, to: str, walk: list[str], offset: int) -> None:
        """To whom the survivor has become since. No number of steps ends this: a past is never dropped."""
        under = max(adopt.passed_under, self._body.version)
        passed = _with(adopt.passed, adopt.to)
        passed_on = msgspec.structs.replace(adopt, to=to, passed=passed, walk=walk, passed_under=under, lane_offset=-1)
        self._send("adopt", passed_on, offset)

    def _lift(self, customer: str, tombstone: Tombstone, circle: Sequence[str], origin_ms: int) -> State:
        """The tombstone of whoever survives a circle of links is taken away; also where they may not have the past that closes it, since a
        circle with nobody in it would be for ever."""
        self._body.tombstones -= 1
        state = self._states.create(customer, origin_ms)
        self._states.touched.add(customer)
        state.links, state.lifted = dict.fromkeys((id_ for id_ in circle if id_ != customer), links.UNDATED), tombstone.changes
        self._admission.go_on_noting(customer, state, tombstone)
        return state

    def _is_expected(self, adopt: Adopt | Side, state: State) -> bool:
        """Whether the customer has noted a link by which the past comes. One who was erased since has not, or has noted it anew.

        What a customer had noted went on with their past when they became an old id: one who is lifted takes whatever comes, unless it was
        linked before an erasure.
        """
        if state.lifted is not None:
            return not self._admission.was_erased(adopt.to, adopt.linked_ms)
        linked_ms = state.links.get(adopt.from_)
        if not adopt.passed:
            return linked_ms is not None and linked_ms <= adopt.linked_ms
        return linked_ms is not None or any(id_ in state.links for id_ in adopt.passed)

    def _adopt(self, adopt: Adopt, state: State, now: int, offset: int) -> None:
        """Remember what was remembered under the other id; once all of it has come, judge anew and have others point here."""
        customer, others = adopt.to, {adopt.from_, *adopt.passed}
        both = join_ids(state, adopt.seen, adopt.floor_ms)
        if both:
            self._count("seen_twice", both)
        state.links = links.united(state.links, {**adopt.links, **dict.fromkeys(others - state.links.keys(), now)}, customer)
        if adopt.parted:
            state.parted = {**adopt.parted, **(state.parted or {})}
        self._messages.join(state, adopt, now)
        changed, is_approximate = self._evaluator.at_adopt(state, self._whole(adopt), now)
        if is_approximate:
            self._count("approximate")
        if adopt.is_last:
            also = {*adopt.passed, *adopt.links} - {customer, adopt.from_}
            self._changes.write_merge(customer, adopt.from_, also, now, adopt.cause, offset)
        if changed:
            self._changes.write(customer, state, changed, now, Cause("merge", id=adopt.cause, from_=adopt.from_), offset)
        self._messages.after(customer, state, changed, now, "merge", offset)
        self._states.touched.add(customer)
        self._timers.set(customer, state.due_ms)
        if adopt.is_last:
            self._count("adopted")
            self._point(adopt, now, offset)

    def _whole(self, adopt: Adopt) -> Adopt:
        """With those memories that are whole: those for which a lane was folded after the old id had been drained come of the lane of its
        shard."""
        born, version = self._body.born, adopt.version
        return msgspec.structs.replace(adopt, memories={key: data for key, data in adopt.memories.items() if born.get(key, 0) <= version})

    # at the survivor: what a lane has folded of an old id that was drained before its definitions held, and adopted after that

    def _apply_side(self, side: Side, forward: Forward, record: LogRecord, now: int) -> None:
        if not self._admission.takes_side(forward, side, record):
            return
        self._states.weight_bytes += len(record.value)
        state, tombstone = self._states.get(side.to), self._states.tombstone(side.to)
        if tombstone is not None:
            self._send_side_on(side, tombstone.first, forward.hops + 1, record.offset)
        elif state is None or not self._is_expected(side, state):
            self._count("adopt_of_erased")
        elif side.version <= self._body.version:
            self._join_side(side, state, now, record.offset)

    def _send_side_on(self, side: Side, to: str, hops: int, offset: int) -> None:
        if hops > SIDE_HOPS_MAX:
            self._count("side_lost")
            return
        passed_on = msgspec.structs.replace(side, to=to, passed=_with(side.passed, side.to))
        self._admission.send("side", to, encode_identity(passed_on), offset, hops)

    def _join_side(self, side: Side, state: State, now: int, offset: int) -> None:
        born, customer = self._body.born, side.to
        self.note_known(customer, state, side.links, side.aliases, now, offset)
        memories = {key: data for key, data in side.memories.items() if born.get(key, 0) == side.version}
        changed, is_approximate = self._evaluator.at_adopt(state, msgspec.structs.replace(side, memories=memories), now)
        if is_approximate:
            self._count("approximate")
        self._changes.write(customer, state, changed, now, Cause("merge", id=side.cause, from_=side.from_), offset)
        self._messages.after(customer, state, changed, now, "merge", offset)
        self._states.touched.add(customer)
        self._timers.set(customer, state.due_ms)

    # what leads to whom

    def _point(self, adopt: Adopt, now: int, offset: int) -> None:
        """Whatever leads here by way of others is to lead here at once."""
        passed = [adopt.from_, *adopt.passed]
        for id_ in sorted({*adopt.links, *(passed if adopt.passed else ())} - {adopt.to}):
            point = Redirect(id=id_, to=adopt.to, instead_of=[*passed, *adopt.links], cause=adopt.cause, linked_ms=now)
            self._send("point", point, offset)

    def _apply_point(self, point: Redirect, now: int, offset: int) -> None:
        state, tombstone = self._states.get(point.id), self._states.tombstone(point.id)
        if state is not None:
            self._meet(point, state, now, offset)
        elif tombstone is not None:
            redirected = tombstone.redirected(point.instead_of, point.to)
            if redirected != tombstone:
                self._states.bury(point.id, redirected)

    def _meet(self, point: Redirect, state: State, now: int, offset: int) -> None:
        """Two have survived, each a circle of links that others shortened while a past went round it: the smaller id stays."""
        if state.links.keys().isdisjoint((point.to, *point.instead_of)):
            return  # nobody of that person: this one began anew after an erasure, or is to be drained and does not know yet
        one, other = point.id, point.to
        if other < one:
            self._drain(Link(from_=one, to=other, cause=point.cause, linked_ms=point.linked_ms, alias=True), state, now, offset)
            return
        state.links = links.united(state.links, {other: now}, one)
        self._states.touched.add(one)
        self._send("link", Link(from_=other, to=one, cause=point.cause, linked_ms=now, alias=True), offset)

    # erasure

    def erase(self, customer: str, now: int, offset: int) -> None:
        """Somebody is to be forgotten under every id, of which this is one. Of what happened up to now nothing more is taken of it."""
        self._admission.mark_erased(customer)
        state, tombstone = self._states.get(customer), self._states.tombstone(customer)
        if state is not None:
            self._forget(customer, state, now, offset)
        elif tombstone is not None:
            self._remove_tombstone(customer)
            for survivor in tombstone.ids:
                self._send("erase", Erasure(customer=survivor), offset)

    def _forget(self, customer: str, state: State, now: int, offset: int) -> None:
        self._set_aside.end(state)
        self._changes.write_left(customer, state, now, Cause("erase"), offset)
        self._messages.end(customer, state, "erased", now, offset)
        self._states.remove(customer)
        self._timers.set(customer, NO_TIMER)
        self._admission.count("erased")
        for id_ in state.links:
            self._send("erase", Erasure(customer=id_, person=[customer, *state.links]), offset)

    def _apply_erasure(self, erasure: Erasure, now: int, offset: int) -> None:
        """Whatever leads to an erased survivor goes; whatever leads to others too, a device of several people, leads to them still."""
        if not erasure.person:
            self.erase(erasure.customer, now, offset)
            return
        tombstone = self._states.tombstone(erasure.customer) if self._states.get(erasure.customer) is None else None
        if tombstone is None:
            return
        left = tombstone.without(erasure.person)
        if left is None:
            self._admission.mark_erased(erasure.customer)
            self._remove_tombstone(erasure.customer)
        elif left != tombstone:
            self._states.bury(erasure.customer, left)

    def _remove_tombstone(self, customer: str) -> None:
        self._body.tombstones -= 1
        self._states.remove(customer)


def names_two(event: Event) -> bool:
    """Whether an event says two ids of its customer."""
    return (event.anonymous_id is not None and event.user_id is not None) or event.type == "alias"


def _sent_on(link: Link, to: str) -> Link:
    """An alias of an id that is somebody else's already: that person is joined."""
    return msgspec.structs.replace(link, from_=to, passed=_with(link.passed, link.from_))


def _with(passed: Sequence[str], one: str) -> list[str]:
    return [*passed, *((one,) if one not in passed else ())]
