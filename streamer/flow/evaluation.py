# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
"""What holds of one customer at an event, at a timer, or under other definitions: memories, models and segments of one plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from streamer.customers.joining import join_memories
from streamer.customers.rebase import AFTER_ORIGIN_MAX_MS, rebase
from streamer.customers.state import State
from streamer.events.event import Event
from streamer.examples import Example
from streamer.segments.evaluate import evaluate, evaluate_after_event, evaluate_at_timer
from streamer.segments.plan.plan import PathListener, Plan, SegmentRule
from streamer.segments.plan.plan_change import PlanChange
from streamer.segments.plan.turns import Turns
from streamer.values import MISSING, Json

from .identity_records import Adopt, Side
from .scoring import Scoring, ScoringMoment
from .set_aside import SetAside


class Evaluator:
    """Evaluates customers under one plan and the scorers in force. It changes the state that it is given, and returns the segments that
    were entered or left, in no particular order; the state's ``timer_ms`` is then the next moment at which time alone may change one."""

    def __init__(self, shard: int, plan: Plan, scoring: Scoring | None, set_aside: SetAside, say: Callable[[Example], None]) -> None:
        self._shard = shard
        self._plan = plan
        self._scoring = scoring
        self._set_aside = set_aside
        self._say = say

    def at_event(self, state: State, event: Event, now: int, offset: int, *, is_new: bool) -> list[SegmentRule]:
        """An accepted event, at log time ``now``."""
        if now - state.origin_ms > AFTER_ORIGIN_MAX_MS:
            rebase(state, self._plan.specs, now)
        t, own_now = min(now, event.timestamp_ms), now - state.origin_ms
        turns = self._remember(state, event, t - state.origin_ms, own_now)
        if self._scoring is not None:
            self._scoring.at_event(state, event, t, ScoringMoment(now, self._shard, offset, self._say), turns)
        if is_new or state.lifted is not None:  # whoever was lifted may have come back with nothing
            turns.dirty |= self._plan.initial_segments
        was_aside = state.aside_ms > 0
        if was_aside:
            turns.dirty |= self._bring_back(state, now)
        if turns.dirty or is_new or was_aside:
            return evaluate_after_event(self._plan, state, own_now, turns)
        state.timer_ms = turns.first_due(state, own_now, state.timer_ms)
        return []

    def at_plain_event(self, state: State, event: Event, now: int) -> None:
        """The same, and nobody is told, for a customer who is known, neither set aside nor lifted, and whose clock need not be set anew,
        where no model is asked."""
        own_now = now - state.origin_ms
        turns = self._remember(state, event, min(now, event.timestamp_ms) - state.origin_ms, own_now)
        if turns.dirty:
            evaluate_after_event(self._plan, state, own_now, turns)
        else:
            state.timer_ms = turns.first_due(state, own_now, state.timer_ms)

    def at_timer(self, state: State, now: int, offset: int) -> list[SegmentRule]:
        """The moment of the customer's timer has come; nothing when it was early, since events may have moved what it was for."""
        also: Iterable[int] = ()
        if self._scoring is not None:
            also = self._scoring.at_moment(state, ScoringMoment(now, self._shard, offset, self._say))
        return evaluate_at_timer(self._plan, state, now - state.origin_ms, also)

    def anew(self, state: State, change: PlanChange, now: int) -> tuple[list[SegmentRule], Turns | None]:
        """What the plan that is new to the customer has changed for them. ``timer_ms`` is not set: the second says what time may turn of it
        (None: that is to be found out)."""
        own_now = now - state.origin_ms
        if state.aside_ms:
            return evaluate(self._plan, state, own_now, self._bring_back(state, now)), None
        if change.is_whole or state.lifted is not None:
            self._plan.settle(state, own_now)
            return evaluate(self._plan, state, own_now, self._plan.concerned(state)), None
        turns = Turns()
        change.settle(state, own_now)
        self._plan.let_pass(state, own_now, turns, set())
        return evaluate(self._plan, state, own_now, change.dirty), turns

    def at_adopt(self, state: State, adopt: Adopt | Side, now: int) -> tuple[list[SegmentRule], bool]:
        """What was remembered under another id of the customer comes in. Memories that no definition in force has are nothing any more.
        Nothing is entered or left before the last part has come. The second is whether an answer that was exact is approximate now."""
        if now - state.origin_ms > AFTER_ORIGIN_MAX_MS:
            rebase(state, self._plan.specs, now)
        slots = self._plan.slots
        past = {slot: data for key, data in adopt.memories.items() if (slot := slots.get(key)) is not None}
        before = self._approximate(state, past, now)
        join_memories(state, self._plan.specs, past, adopt.origin_ms, adopt.drained_ms, now)
        concerned = self._bring_back(state, now)
        changed = evaluate(self._plan, state, now - state.origin_ms, concerned) if adopt.is_last else []
        state.timer_ms = self._plan.next_due(state, now - state.origin_ms)
        return changed, not self._approximate(state, past, now) <= before

    def _approximate(self, state: State, slots: Iterable[int], now: int) -> set[str]:
        """The predicates over these memories whose answers are approximate."""
        own_now, indexes = now - state.origin_ms, self._plan.predicate_indexes
        over = (predicate for slot in slots for predicate in indexes[slot].predicates)
        return {one.text for one in over if one.approximate(one.data(state), own_now, state) is not None}

    def _bring_back(self, state: State, now: int) -> set[int]:
        """A customer who was set aside did something, or the definitions are other ones: find out anew what holds; return what to judge."""
        self._set_aside.end(state)
        if self._scoring is not None:
            self._scoring.drop_overdue(state, now)
        self._plan.settle(state, now - state.origin_ms)
        return self._plan.concerned(state)

    def _remember(self, state: State, event: Event, t: int, now: int) -> Turns:
        """Feed the memories that listen; return what that turned, and what time may turn later."""
        turns = Turns()
        always, indexed = self._plan.dispatch(event)
        for _, feed, read in always:
            if read is None:
                feed(state, None, t, now, turns)
            elif (value := read(event)) is not None:
                feed(state, value, t, now, turns)
        for find, matching in indexed:
            for _, feed, read in matching(find(event)):
                value = None if read is None else read(event)
                if read is None or value is not None:
                    feed(state, value, t, now, turns)
        if event.context:  # before the traits: of one event's two time zones the trait's is to stay
            _feed_known(state, self._plan.on_context, event.context, t, now, turns)
        if event.traits:
            _feed_known(state, self._plan.on_traits, event.traits, t, now, turns)
        return turns


def _feed_known(state: State, listeners: Sequence[PathListener], source: dict[str, Json], t: int, now: int, turns: Turns) -> None:
    for feed, find in listeners:
        value = find(source)
        if value is not MISSING:
            feed(state, value, t, now, turns)
