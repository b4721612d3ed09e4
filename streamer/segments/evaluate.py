"""Entering and leaving: what becomes of a customer's memberships at one moment, and at all later ones if nothing happens."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from typing import Final, NamedTuple

from streamer.customers.state import NO_TIMER, Membership, State, decode_state, encode_state
from streamer.segments.plan.plan import Plan, SegmentRule
from streamer.segments.plan.turns import Turns

STEPS_MAX: Final = 2_000  # moments looked at ahead; a rule on the hour of the day turns twice a day, so this is years
QUIET_MS: Final = 731 * 86_400_000  # in which no segment turned that had not before: rules on the calendar come round within a year


def evaluate(plan: Plan, state: State, now: int, dirty: Iterable[int]) -> list[SegmentRule]:
    """Judge the segments numbered in ``dirty``, and whatever refers to one that changes, those referred to first.

    Changes ``members``, and returns the rules that were entered or left, in no particular order. What is due next, the caller finds out.
    """
    todo = list(dirty)
    heapify(todo)
    changed: list[SegmentRule] = []
    last = -1
    while todo:
        number = heappop(todo)
        if number == last:
            continue
        last = number
        rule = plan.rules[number]
        if _transition(rule, state, now):
            changed.append(rule)
            for dependent in rule.dependents:
                heappush(todo, dependent)
    return changed


def _transition(rule: SegmentRule, state: State, now: int) -> bool:
    """Whether the customer enters or leaves one segment now."""
    for slot in rule.asks:
        if slot not in state.slots:
            return False  # a model has nothing to say yet: not ready is not false
    entry = state.members.get(rule.number)
    if entry is not None and entry.inside:
        if not (rule.exit(state, now) if rule.exit is not None else not rule.when(state, now)):
            return False
        rest_ms = rule.stay_ms
    else:
        if not rule.when(state, now) or (rule.exit is not None and rule.exit(state, now)):
            return False
        rest_ms = rule.cooldown_ms
    # A segment that was never left has no cool-down; what was retired has been left. The end of either is a moment of the customer's.
    if entry is not None and now < entry.at_ms + rest_ms:
        return False
    changes = entry.changes if entry is not None else state.retired.pop(rule.name, state.lifted or 0)
    state.members[rule.number] = Membership(changes + 1, now)
    return True


def evaluate_at_timer(plan: Plan, state: State, now: int, also: Iterable[int] = ()) -> list[SegmentRule]:
    """Let time pass up to ``now``, the moment at which the customer is to be looked at: note what it has turned, and judge.

    ``also`` are segments to judge besides. Sets the next timer, and returns the rules that were entered or left; none when the timer
    was early, since events may have moved what it was for.
    """
    turns = Turns()
    plan.let_pass(state, now, turns, turns.dirty)
    turns.dirty |= plan.due_now(state, now)
    turns.dirty.update(also)
    return _evaluate_and_arm(plan, state, now, turns)


def evaluate_after_event(plan: Plan, state: State, now: int, turns: Turns) -> list[SegmentRule]:
    """The segments entered or left by an event that turned what ``turns`` says; sets the next timer.

    What time has turned unseen up to now is noted first: it could not change a membership by itself, but the event may have opened a
    segment in which it counts.
    """
    plan.let_pass(state, now, turns, set())
    return _evaluate_and_arm(plan, state, now, turns)


def _evaluate_and_arm(plan: Plan, state: State, now: int, turns: Turns) -> list[SegmentRule]:
    changed = evaluate(plan, state, now, turns.dirty)
    state.timer_ms = turns.first_due(state, now, plan.due_besides(state, now))
    return changed


class Flip(NamedTuple):
    """When a membership turns if nothing happens (UTC), and which way."""

    at_ms: int
    enters: bool


class Ahead(NamedTuple):
    """The next flip of each segment that has one, by name. ``until_ms``: so far was looked, where that is not for ever."""

    flips: dict[str, Flip]
    until_ms: int | None


class LookAhead:
    """What the memberships that readers know do after ``after_ms`` (UTC) if nothing happens. ``state`` is not changed.

    Exact, since it is the same judgement run ahead; looks ``steps_max`` moments far, and no further than two years in which nothing new
    turned: a rule on the weekday would be followed for decades. Whoever shares a thread with others goes a few moments at a time.
    """

    def __init__(self, plan: Plan, state: State, after_ms: int, *, steps_max: int = STEPS_MAX) -> None:
        self._plan = plan
        self._state = decode_state(encode_state(state))
        self._found: dict[str, Flip] = {}
        self._left = steps_max
        plan.settle(self._state, after_ms - state.origin_ms)
        self._moment = self._newest_ms = plan.next_due(self._state, after_ms - state.origin_ms)

    @property
    def is_done(self) -> bool:
        """Whether there is nothing more to look at."""
        return not self._left or self._moment >= NO_TIMER or self._moment - self._newest_ms > QUIET_MS

    @property
    def ahead(self) -> Ahead:
        """What was found so far."""
        return Ahead(self._found, self._moment + self._state.origin_ms if self._moment < NO_TIMER else None)

    def go(self, steps: int) -> None:
        """Look at so many more moments."""
        for _ in range(steps):
            if self.is_done:
                return
            for rule in evaluate_at_timer(self._plan, self._state, self._moment):
                if rule.name in self._plan.known_numbers and rule.name not in self._found:
                    self._found[rule.name] = Flip(self._moment + self._state.origin_ms, self._state.members[rule.number].inside)
                    self._newest_ms = self._moment
            self._moment = self._state.timer_ms
            self._left -= 1


def next_flips(plan: Plan, state: State, after_ms: int, *, steps_max: int = STEPS_MAX) -> Ahead:
    """All that ``LookAhead`` finds, at once."""
    look = LookAhead(plan, state, after_ms, steps_max=steps_max)
    look.go(steps_max)
    return look.ahead
