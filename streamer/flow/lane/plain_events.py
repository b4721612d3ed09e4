"""What nearly all records of a log are, done without detours: events of customers who are known, of one id, that come for the first time.

A lane reads years of them. Whatever asks for more than to be remembered and judged is left to the step, which does the same at twice the
cost. A plain event says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from streamer.customers import erased
from streamer.customers.ids import digest, remember
from streamer.customers.rebase import AFTER_ORIGIN_MAX_MS
from streamer.customers.state import NO_TIMER, State
from streamer.events.event import Event
from streamer.flow.admission import Admission
from streamer.flow.checkpoint import CheckpointBody
from streamer.flow.driver import RecordSpan
from streamer.flow.evaluation import Evaluator
from streamer.flow.machine import Limits
from streamer.flow.record_reader import Item
from streamer.flow.rules import Rules
from streamer.flow.states import States
from streamer.flow.timers import Timers
from streamer.segments.plan.plan import Plan
from streamer.zones import LAST_MS

from .known_by import is_noted


class PlainEvents:
    """Applies plain events for one step, by its parts. ``offset`` is that of the record in hand: what failed, should something fail."""

    def __init__(
        self,
        rules: Rules,
        body: CheckpointBody,
        plan: Plan,
        states: States,
        timers: Timers,
        admission: Admission,
        evaluator: Evaluator,
    ) -> None:
        self.offset = -1
        self.is_recalling = False  # the records in hand are of history
        self._trusts_producers = rules.trust_producer_time
        self._skew_ms = rules.skew_ms
        self._lateness_ms = rules.lateness_ms
        self._body = body
        self._plan = plan
        self._states = states
        self._timers = timers
        self._admission = admission
        self._evaluator = evaluator

    def apply(self, items: Sequence[Item], at: int, span: RecordSpan, limits: Limits) -> int:
        """Apply those that follow one another from the item ``at`` on; return the index of the first that is something else, or of the one
        behind that with which the slice is as large as ``limits`` allow."""
        _, end, last, _, bound = span
        loaded_ms = NO_TIMER if bound is None else bound[0]
        states, touched, queue, trusts_producers = self._states, self._states.touched, self._timers.queue, self._trusts_producers
        index, now = at, self._body.log_time_ms
        while index < end and now:
            record, event = items[index]
            if not isinstance(event, Event) or record.headers:
                break
            if record.arrival_ms > now and (record.broker_time or trusts_producers):
                now = min(record.arrival_ms, LAST_MS)
            if loaded_ms <= now or (queue and queue[0][0] <= now):
                break
            customer = event.user_id or event.anonymous_id or ""
            if (event.user_id and event.anonymous_id) or event.type == "alias":
                break  # it ties two ids together
            self.offset = record.offset
            state = states.get(customer)
            if state is None or not self._take(state, customer, event, now):
                break
            touched.add(customer)
            states.weight_bytes += len(record.value)
            if last[customer] == index:
                states.encode(customer)
            index += 1
            if len(touched) >= limits.states or states.weight_bytes > limits.bytes:
                break
        if index > at:
            self._admission.count("accepted", index - at)
        return index

    def _take(self, state: State, customer: str, event: Event, now: int) -> bool:
        """Have a customer remember an event; False, and nothing done, where it may be refused, or is no matter of memories alone."""
        body, timestamp_ms, floor_ms, oldest_ms = self._body, event.timestamp_ms, state.forgotten_ms, now - self._lateness_ms
        if timestamp_ms <= oldest_ms or timestamp_ms <= floor_ms or timestamp_ms > now + self._skew_ms:
            return False
        if not is_noted(state, is_recalling=self.is_recalling):
            return False
        if state.aside_ms or state.lifted is not None or now - state.origin_ms > AFTER_ORIGIN_MAX_MS:
            return False
        if body.erased:
            erased.forget(body.erased, now - 2 * self._lateness_ms)
            if erased.was_erased(body.erased, customer, timestamp_ms):
                return False
        key = digest(event.message_id)
        if key in state.seen:
            return False
        body.log_time_ms = now
        state.seen, floor_ms = remember(state.seen, key, timestamp_ms=timestamp_ms, horizon_ms=oldest_ms, floor_ms=floor_ms)
        state.floor_ms = floor_ms - state.origin_ms
        if self._plan.listens(event):
            timer_ms = state.timer_ms
            self._evaluator.at_event(state, event, now, self.offset, is_new=False)
            if state.timer_ms != timer_ms:
                self._timers.set(customer, state.due_ms)
        return True
