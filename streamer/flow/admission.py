"""Which records count: what is refused, what was seen before, what belongs to another shard, and who may say what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from streamer.customers import erased
from streamer.customers.ids import IDS_MAX, digest, is_remembered, remember
from streamer.customers.state import State
from streamer.customers.tombstone import Tombstone
from streamer.errors import RefusedError
from streamer.events.codec import decode
from streamer.events.event import Event
from streamer.events.placeholders import settle_customer
from streamer.events.sender import Sender, sender_of
from streamer.signing import CONTROL, FORWARD, Keyring, SignedPlace, check_control, check_signed
from streamer.values import time_text
from streamer.wire import (
    DEAD_LETTERS,
    EVENTS,
    NO_LINK_HEADER,
    Control,
    DeadLetter,
    Headers,
    LogRecord,
    Origin,
    encode_dead_letter,
    raw_text,
    shard_of,
)

from .checkpoint import CheckpointBody, SidesTaken
from .forwards import HOPS_MAX, Forward, ForwardKind, forward_of
from .identity_records import Side
from .outputs import OutputLog
from .past_trusts import with_trust
from .rules import Rules
from .states import States

CROWDED: Final = f"the customer sent more than {IDS_MAX} events since, so whether it is a second delivery can no longer be told"
FORGOTTEN: Final = "it came by way of another shard, and whether it is a second delivery can no longer be told"


class Admission:
    """Admits records or says why not. Of the checkpoint's body it keeps counts, keys, marks of erasures and places of forwards."""

    def __init__(self, shard: int, rules: Rules, keyring: Keyring, body: CheckpointBody, states: States, outputs: OutputLog) -> None:
        self._shard = shard
        self._rules = rules
        self._placeholders = frozenset(rules.placeholder_ids)
        self._keyring = keyring
        self._body = body
        self._states = states
        self._outputs = outputs

    def admit(self, event: Event, record: LogRecord) -> tuple[State, bool] | None:
        """The state of an accepted event's customer, with its id remembered, and whether they are new; None when it does not count."""
        now = self._body.log_time_ms
        timestamp_ms, customer = event.timestamp_ms, event.customer
        forward = forward_of(record) if record.headers else None
        if forward is not None and not self.takes(forward, record):
            return None
        arrived_ms = now if forward is None else forward.arrival_ms  # what was forwarded is judged by when it arrived where it first lay
        if timestamp_ms > arrived_ms + self._rules.skew_ms:
            self._refuse_time("future", f"after {time_text(arrived_ms + self._rules.skew_ms)}: log time and the allowed skew", record)
            return None
        state = self._states.get(customer)
        if state is not None and state.parted and forward is not None and self._is_sent_back(state.parted, record, forward):
            return None
        if state is None and self._is_sent_on(event, record, arrived_ms, 0 if forward is None else forward.hops):
            return None
        floor_ms = -1 if state is None else state.forgotten_ms
        too_old = self._too_old(timestamp_ms, arrived_ms, floor_ms, CROWDED if forward is None else FORGOTTEN)
        if too_old:
            self._refuse_time("late", too_old, record)
            return None
        if erased.was_erased(self._body.erased, customer, timestamp_ms):
            self.count("of_erased")  # and no dead letter: it would keep what was to be forgotten
            return None
        horizon_ms = min(now, arrived_ms) - self._rules.lateness_ms
        if forward is not None:
            horizon_ms = max(horizon_ms, floor_ms)
        return self._remembered(event, state, horizon_ms, floor_ms)

    def _remembered(self, event: Event, state: State | None, horizon_ms: int, floor_ms: int) -> tuple[State, bool] | None:
        """The same unless the event's id is known already. Ids are remembered for timestamps after ``horizon_ms`` and ``floor_ms``."""
        key, customer = digest(event.message_id), event.customer
        if state is not None and is_remembered(state.seen, key, horizon_ms=horizon_ms, floor_ms=floor_ms):
            self.count("duplicate")
            return None
        self.count("accepted")
        is_new = state is None
        if state is None:
            state = self._states.create(customer, min(event.timestamp_ms, self._body.log_time_ms))
        self._states.touched.add(customer)
        state.seen, floor_ms = remember(state.seen, key, timestamp_ms=event.timestamp_ms, horizon_ms=horizon_ms, floor_ms=floor_ms)
        state.floor_ms = floor_ms - state.origin_ms
        return state, is_new

    def _too_old(self, timestamp_ms: int, arrived_ms: int, floor_ms: int, forgotten: str) -> str:
        """Why an event is late; empty when it is not."""
        oldest_ms = arrived_ms - self._rules.lateness_ms
        if timestamp_ms <= oldest_ms:
            return f"at or before {time_text(oldest_ms)}: log time less the allowed lateness"
        if timestamp_ms <= floor_ms:
            return f"at or before {time_text(floor_ms)}: {forgotten}"
        return ""

    # refusals

    def count(self, reason: str, records: int = 1) -> None:
        """So many more records of which this became."""
        self._body.counts[reason] = self._body.counts.get(reason, 0) + records

    def refuse(self, error: RefusedError, record: LogRecord) -> None:
        """A dead letter, under the customer's id where it can be read. They halt nothing, however many: anybody can send bad lines."""
        self.count(error.reason)
        origin = Origin(EVENTS, self._shard, record.offset, self._rules.log_generation)
        at = time_text(self._body.log_time_ms)
        customer, producer = Sender() if record.control else sender_of(record.value, record.headers)
        letter = DeadLetter(error.reason, error.path, error.detail, origin, raw_text(record.value), at, producer)
        self._outputs.add(DEAD_LETTERS, self._shard, record.offset, customer.encode() or record.key, encode_dead_letter(letter))

    def _refuse_time(self, reason: str, detail: str, record: LogRecord) -> None:
        self.refuse(RefusedError(reason, path="$.timestamp", detail=detail), record)

    # from shard to shard

    def _is_sent_on(self, event: Event, record: LogRecord, arrived_ms: int, hops: int) -> bool:
        """Whether an event is none of a customer of this shard: its producer chose another partitioner, or they go by another id now. It is
        sent on, with when it first arrived, or is no longer wanted."""
        customer = event.customer
        if shard_of(customer, self._rules.shards) != self._shard:
            self.count("wrong_shard")
            self._forward(customer, record, arrived_ms, hops)
            return True
        tombstone = self._states.tombstone(customer)
        if tombstone is None:
            return False
        if erased.was_erased(self._body.erased, customer, event.timestamp_ms):
            self.count("of_erased")
        else:
            self._hop(tombstone.target(event.timestamp_ms, self._rules.skew_ms), record, arrived_ms, hops)
        return True

    def _is_sent_back(self, parted: Mapping[str, str], record: LogRecord, forward: Forward) -> bool:
        """Whether an event came by an id that was the customer's and is somebody else's now; it was on its way when they were parted."""
        to = parted.get(settle_customer(decode(record.value), self._placeholders).customer) if forward.hops else None
        if to is None:
            return False
        self._hop(to, record, forward.arrival_ms, forward.hops)
        return True

    def _hop(self, to: str, record: LogRecord, arrived_ms: int, hops: int) -> None:
        if hops >= HOPS_MAX:
            self.refuse(RefusedError("too_many_hops", detail=f"{hops} other ids of one person, at most {HOPS_MAX}"), record)
            return
        self.count("sent_on")
        self._forward(to, record, arrived_ms, hops + 1)

    def _forward(self, customer: str, record: LogRecord, arrived_ms: int, hops: int) -> None:
        kept = tuple(header for header in record.headers if header[0] == NO_LINK_HEADER)
        self._say("event", customer, record.value, record.offset, arrived_ms, hops, kept)

    def send(self, kind: ForwardKind, customer: str, content: bytes, offset: int, hops: int = 0) -> None:
        """Write something of ours about a customer into their shard, which may be this one."""
        self._say(kind, customer, content, offset, self._body.log_time_ms, hops)

    def _say(
        self, kind: ForwardKind, customer: str, content: bytes, offset: int, arrived_ms: int, hops: int = 0, headers: Headers = ()
    ) -> None:
        forward = Forward(self._rules.log_generation, self._shard, offset, self._outputs.ordinal, arrived_ms, kind, hops)
        partition = shard_of(customer, self._rules.shards)
        self._outputs.send(partition, offset, customer.encode(), content, (*forward.headers, *headers))

    def takes(self, forward: Forward, record: LogRecord) -> bool:
        """Whether a record that was sent on may say so, and comes for the first time."""
        return self._is_from_a_shard(forward, record) and self._is_first(forward)

    def takes_side(self, forward: Forward, side: Side, record: LogRecord) -> bool:
        """Whether what a side lane has sent towards definitions may say so, comes for the first time, and has not been taken by the lane of
        this shard. Under older definitions nothing is, and nothing of a lane that leads from others than this shard's did."""
        if not self._is_from_a_shard(forward, record):
            return False
        if forward.hops:
            return self._is_first(forward)  # a shard has sent it on, and not a lane
        taken = self._body.sides.get(side.version)
        if taken is None or side.before != taken.before or forward.place <= taken.places.get(forward.shard, (0, -1, -1)):
            return False
        now_taken = SidesTaken(taken.before, {**taken.places, forward.shard: forward.place})
        self._body.sides = {**self._body.sides, side.version: now_taken}
        return True

    def _is_from_a_shard(self, forward: Forward, record: LogRecord) -> bool:
        """Whether a record that says it was sent on may say so."""
        place = SignedPlace(FORWARD, EVENTS, self._shard)
        try:
            check_signed(self._body.trust, self._keyring, record.headers, place, forward.text, record.key, record.value)
        except RefusedError as error:
            self.refuse(error, record)
            return False
        return True

    def _is_first(self, forward: Forward) -> bool:
        """Whether a forwarded record is new: a relay that crashed sends its last ones again, and a rebuilt shard all it ever sent."""
        if forward.place <= self._body.forwards.get(forward.shard, (0, -1, -1)):
            self.count("forwarded_again")
            return False
        self._body.forwards = {**self._body.forwards, forward.shard: forward.place}
        return True

    # control records and erasures

    def admit_control(self, control: Control, record: LogRecord) -> bool:
        """Whether a control record may say what it says; if not it is a dead letter. Which keys hold is kept. HaltError when this worker
        lacks one."""
        try:
            trust = check_control(self._body.trust, self._keyring, control, record, SignedPlace(CONTROL, EVENTS, self._shard))
        except RefusedError as error:
            self.refuse(error, record)
            return False
        if control.control == "keys" and trust is not self._body.trust:
            self._body.trusts = with_trust(self._body.trusts, record.offset + 1, trust)
        self._body.trust = trust
        return True

    def mark_erased(self, customer: str) -> None:
        """From here on nothing that happened up to now is taken of this customer."""
        erased.mark(self._body.erased, customer, self._body.log_time_ms)

    def was_erased(self, customer: str, time_ms: int) -> bool:
        """Whether a customer was erased at that log time or later, as far as it is still known."""
        return erased.was_erased(self._body.erased, customer, time_ms)

    def go_on_noting(self, customer: str, state: State, tombstone: Tombstone) -> None:
        """Where the records of an old id lie belongs to the state of who is a customer again; of one who was erased before it says too
        little, since what was erased is still a reason to refuse something, and lies before them."""
        if not self.was_erased(customer, 0):
            state.newest_offset, state.offset_gaps = tombstone.offsets

    def forget_erased(self, now: int) -> None:
        """Drop the marks of erasures whose stragglers are late by now, also by way of another shard."""
        erased.forget(self._body.erased, now - 2 * self._rules.lateness_ms)
