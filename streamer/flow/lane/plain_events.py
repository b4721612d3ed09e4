"""What nearly all records of a log are, done without detours: events of one id that come for the first time.

A lane reads years of them. Whatever asks for more than to be remembered and judged is left to the step, which does the same at twice the
cost. A plain event says nothing, and neither do the timers that are due before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streamer.customers import erased
from streamer.customers.ids import digest, remember
from streamer.customers.rebase import AFTER_ORIGIN_MAX_MS
from streamer.customers.state import NO_TIMER, State
from streamer.events.event import Event
from streamer.flow.admission import Admission
from streamer.flow.checkpoint import CheckpointBody
from streamer.flow.driver import RecordSpan
from streamer.flow.evaluation import Evaluator
from streamer.flow.forwards import is_forwarded
from streamer.flow.machine import Limits
from streamer.flow.record_reader import Item
from streamer.flow.rules import Rules
from streamer.flow.states import States
from streamer.flow.timers import Timers
from streamer.segments.plan.plan import Plan
from streamer.wire import shard_of
from streamer.zones import LAST_MS

from .known_by import OLD_ID, is_noted, note_history, note_place

Fire = Callable[[int, int, tuple[int, str] | None, Limits | None], bool]  # see ``StateMachine.fire``


class PlainEvents:
    """Applies plain events for the step of one shard, by its parts. ``offset`` is that of the record in hand: what failed, should something
    fail. ``history``: the records in hand are of history, and lie there at these offsets, by their indexes; ``notes_places``: which is
    noted."""

    def __init__(
        self,
        shard: int,
        rules: Rules,
        body: CheckpointBody,
        plan: Plan,
        states: States,
        timers: Timers,
        admission: Admission,
        evaluator: Evaluator,
        fire: Fire,
        is_full: Callable[[Limits], bool],
    ) -> None:
        self.offset = -1
        self.history: Sequence[int] = ()
        self.notes_places = False
        self._shard = shard
        self._shards = rules.shards
        self._trusts_producers = rules.trust_producer_time
        self._skew_ms = rules.skew_ms
        self._lateness_ms = rules.lateness_ms
        self._body = body
        self._plan = plan
        self._has_models = bool(plan.definitions.models)
        self._states = states
        self._timers = timers
        self._admission = admission
        self._evaluator = evaluator
        self._fire = fire
        self._is_full = is_full

    def apply(self, items: Sequence[Item], at: int, span: RecordSpan, limits: Limits) -> int:
        """Apply those that follow one another from the item ``at`` on, with the timers that are due before each; return the index of the
        first that is something else, or of the one behind that with which the slice is as large as ``limits`` allow."""
        end, last, bound = span.end, span.last, span.bound
        loaded_ms = NO_TIMER if bound is None else bound[0]
        states, touched, queue, trusts_producers = self._states, self._states.touched, self._timers.queue, self._trusts_producers
        index, now = at, self._body.log_time_ms
        while index < end and now:
            record, event = items[index]
            if not isinstance(event, Event) or (record.headers and is_forwarded(record)):
                break
            if (event.user_id and event.anonymous_id) or event.type == "alias":
                break  # it ties two ids together
            if record.arrival_ms > now and (record.broker_time or trusts_producers):
                now = min(record.arrival_ms, LAST_MS)
            if loaded_ms <= now:
                break
            self.offset = record.offset
            is_due = bool(queue) and queue[0][0] <= now
            if is_due and not self._fire(record.offset, now, bound, limits):
                break
            customer = event.user_id or event.anonymous_id or ""
            if not self._take(customer, event, now, len(record.value)):
                break
            if self.history and self.notes_places and (state := states.get(customer)) is not None:
                note_place(state, self.history[index], now - record.arrival_ms)
            if last[customer] == index:
                states.encode(customer)
            if self.history:
                self._body.recalled = self.history[index] + 1
            index += 1
            if len(touched) >= limits.states or states.weight_bytes > limits.bytes or (is_due and self._is_full(limits)):
                break
        if index > at:
            self._admission.count("accepted", index - at)
        return index

    def _take(self, customer: str, event: Event, now: int, size: int) -> bool:
        """Have a customer remember an event of so many bytes; False, and nothing done, where it may be refused, or is no matter of memories
        alone."""
        body, timestamp_ms, oldest_ms = self._body, event.timestamp_ms, now - self._lateness_ms
        if timestamp_ms <= oldest_ms or timestamp_ms > now + self._skew_ms:
            return False
        if body.erased:
            erased.forget(body.erased, now - 2 * self._lateness_ms)
            if erased.was_erased(body.erased, customer, timestamp_ms):
                return False
        state = self._states.get(customer)
        if state is None:
            return self._take_first(customer, event, now, size)
        floor_ms, seen = state.forgotten_ms, state.seen
        if timestamp_ms <= floor_ms or state.aside_ms or state.lifted is not None or state.newest_offset == OLD_ID:
            return False
        if not is_noted(state, is_recalling=bool(self.history)):
            return False
        key = digest(event.message_id)
        if key in seen:
            return False
        body.log_time_ms = now
        state.seen, floor_ms = remember(seen, key, timestamp_ms=timestamp_ms, horizon_ms=oldest_ms, floor_ms=floor_ms)
        state.floor_ms = floor_ms - state.origin_ms
        self._note_taken(customer, size)
        timer_ms, origin_ms = state.timer_ms, state.origin_ms
        self._judge(state, event, now)
        if state.timer_ms != timer_ms or state.origin_ms != origin_ms:  # by another clock the same number is another moment
            self._timers.set(customer, state.due_ms)
        return True

    def _judge(self, state: State, event: Event, now: int) -> None:
        """Have the memories that listen remember the event, and the segments over them judged."""
        if self._has_models or now - state.origin_ms > AFTER_ORIGIN_MAX_MS:
            self._evaluator.at_event(state, event, now, self.offset, is_new=False)
        elif self._plan.listens(event):
            self._evaluator.at_plain_event(state, event, now)

    def _take_first(self, customer: str, event: Event, now: int, size: int) -> bool:
        """The same of somebody of whom nothing is known."""
        if self._states.tombstone(customer) is not None or shard_of(customer, self._shards) != self._shard:
            return False  # it is sent on
        timestamp_ms, key, oldest_ms = event.timestamp_ms, digest(event.message_id), now - self._lateness_ms
        self._body.log_time_ms = now
        state = self._states.create(customer, min(timestamp_ms, now))
        if self.history:
            note_history(state, self._body.recalled, is_new=True)
        state.seen, floor_ms = remember(b"", key, timestamp_ms=timestamp_ms, horizon_ms=oldest_ms, floor_ms=-1)
        state.floor_ms = floor_ms - state.origin_ms
        self._note_taken(customer, size)
        self._evaluator.at_event(state, event, now, self.offset, is_new=True)
        self._timers.set(customer, state.due_ms)
        return True

    def _note_taken(self, customer: str, size: int) -> None:
        self._states.touched.add(customer)
        self._states.weight_bytes += size
