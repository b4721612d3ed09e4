"""The second look at definitions: predicates over the memories, and segments over the predicates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from zoneinfo import ZoneInfo

from streamer import values
from streamer.customers import memories
from streamer.customers.memories import Data
from streamer.customers.specs import Spec
from streamer.customers.state import NO_TIMER, State
from streamer.language import tree
from streamer.language.definitions import Definitions, Segment
from streamer.language.tree import Condition, Events, Window
from streamer.values import Json

from . import model_memories, predicates
from .memory_inputs import Memory
from .plan_memories import MemoryPlanner, events_key
from .predicates import AgeLimit, Predicate, ValueExpression
from .single_pass import Due, Truth, count_pass, distinct_pass, pairs_pass

Holds = Callable[[State, int], bool]  # at a moment at which the customer is judged, see ``predicate_index``


@dataclass(slots=True)
class SegmentRule:
    """One segment, compiled. Its number is its place in ``Plan.rules``; those it sees have smaller numbers."""

    number: int
    name: str
    when: Holds
    exit: Holds | None
    stay_ms: int
    cooldown_ms: int
    segment: Segment
    dependents: frozenset[int] = frozenset()
    asks: tuple[int, ...] = ()  # memories of scores it stands on: while one is empty it is not judged


class PredicatePlanner(MemoryPlanner):
    """Memories, predicates and rules of definitions. ``rule`` may be called once the predicates have their places."""

    def __init__(
        self, definitions: Definitions, numbers: Mapping[str, int], zone_of: Callable[[State], ZoneInfo], lateness_ms: int
    ) -> None:
        super().__init__(definitions, lateness_ms)
        self._numbers = numbers
        self._zone_of = zone_of
        self.predicate_of: dict[str, Predicate] = {}
        self.predicates: list[Predicate] = []
        for number, segment in enumerate(definitions.segments):
            for condition in segment.conditions:
                self._make_predicates(condition, number, is_exit=condition is segment.exit)
        self.predicates += model_memories.timer_predicates(definitions.models, self.slots)

    def _make_predicates(self, node: Condition, user: int, *, is_exit: bool) -> None:
        match node:
            case tree.And(of=of) | tree.Or(of=of):
                for part in of:
                    self._make_predicates(part, user, is_exit=is_exit)
            case tree.Not(of=of):
                self._make_predicates(of, user, is_exit=is_exit)
            case _:
                predicate = self._predicate(node)
                predicate.segments.add(user)
                if is_exit:
                    predicate.exits.add(user)

    def _predicate(self, node: Any) -> Predicate:
        text = tree.text(node)
        known = self.predicate_of.get(text)
        if known is None:
            known = self.predicate_of[text] = self._make_predicate(text, node)
            self.predicates.append(known)
        return known

    def _make_predicate(self, text: str, node: Any) -> Predicate:
        match node:
            case tree.Compare(left=left, op=op, right=right):
                return self._compare(text, left, op, right)
            case tree.CompareDuration(left=tree.Until(time=time), op=op, right_ms=right_ms):
                return predicates.until_predicate(text, self._moment(time), op, right_ms)
            case tree.CompareDuration(left=left, op=op, right_ms=right_ms):
                return self._since(text, left, op, right_ms)
            case tree.CompareTime(left=left, op=op, right=right):
                return predicates.time_predicate(text, self._moment(left), op, right if isinstance(right, int) else self._moment(right))
            case tree.OneOf(left=tree.Clock(unit=unit), items=items):
                return predicates.clock_predicate(text, unit, lambda value: values.one_of(value, items), self._zone_of)
            case tree.OneOf(left=tree.Top(window=window) as left, items=items) if window.within_ms and not window.before_ms:
                return predicates.top_predicate(text, self._expression(left), window, lambda value: values.one_of(value, items))
            case tree.OneOf(left=tree.Aggregate(name="sum" | "avg" | "min" | "max") as left, items=items):
                return predicates.scaled_one_of_predicate(text, self._expression(left), tuple(float(item) for item in items))
            case tree.OneOf(left=left, items=items):
                return predicates.one_of_predicate(text, self._expression(left, items=items), items)
            case tree.Exists(of=of):
                return self._exists(text, of)
            case tree.Contains(of=of, part=part):
                return predicates.value_predicate(text, self._expression(of), lambda value: values.contains(value, part))
            case tree.StartsWith(of=of, prefix=prefix):
                return predicates.value_predicate(text, self._expression(of), lambda value: values.starts_with(value, prefix))
            case tree.Birthday(of=of):
                return predicates.birthday_predicate(text, self._expression(of), self._zone_of)
            case tree.Did(events=events, window=window):
                return self._did(text, events, window)
            case tree.Sequence():
                return self._sequence(text, node)
            case tree.InSegment(segment=name):
                return _membership_predicate(text, self._numbers[name])
            case _:
                raise AssertionError(f"no predicate for {type(node).__name__}")

    def _since(self, text: str, node: Any, op: str, limit_ms: int) -> Predicate:
        predicate = predicates.since_predicate(text, self._moment(node), op, limit_ms)
        match node:
            case tree.Since(time=tree.First() | tree.Last()):
                _aged(predicate, AgeLimit(1, limit_ms if op in (">=", "<") else limit_ms + 1, young=op in ("<", "<=")))
            case _:
                pass
        return predicate

    def _exists(self, text: str, of: Any) -> Predicate:
        if isinstance(of, (tree.Last, tree.First, tree.Date, tree.Entered, tree.Left)):
            return predicates.value_predicate(text, self._moment(of), lambda value: value is not None)
        return predicates.value_predicate(text, self._expression(of), lambda value: value is not None)

    def _compare(self, text: str, left: Any, op: str, right: Any) -> Predicate:
        match left:
            case tree.Count(events=events, window=window) if not window.ever and not window.before_ms and not window.this:
                return self._count(text, events, window.within_ms, op, right)
            case tree.Aggregate(name="distinct", window=window) if window.within_ms and not window.before_ms:
                return self._distinct(text, left, op, right)
            case tree.Top(window=window) if window.within_ms and not window.before_ms:
                compare = values.COMPARE[op]
                return predicates.top_predicate(text, self._expression(left), window, lambda value: compare(value, right))
            case tree.Score() | tree.Percentile():
                return predicates.scaled_predicate(text, self._expression(left), op, right)
            case tree.Count() | tree.Active() | tree.Aggregate(name="distinct"):
                return predicates.count_predicate(text, self._expression(left, items=(right,)), op, right)
            case tree.Aggregate():
                return self._scaled(text, left, op, right)
            case tree.Clock(unit=unit):
                compare = values.COMPARE[op]
                return predicates.clock_predicate(text, unit, lambda value: compare(value, right), self._zone_of)
            case tree.Age(of=of):
                return predicates.age_predicate(text, predicates.age_expression(self._expression(of), self._zone_of), op, right)
            case _:
                return predicates.compare_predicate(text, self._expression(left), op, right)

    def _count(self, text: str, events: Events, within_ms: int, op: str, right: int) -> Predicate:
        """``>=`` and its kin fall exactly when the k-th newest time leaves the window; others look at each expiry."""
        slot, keep = self._newest_slot(events)
        expression = replace(predicates.count_in(keep, within_ms), slots=(slot,))
        predicate = predicates.count_predicate(text, expression, op, right)
        predicate = _by_threshold(predicate, op, right, lambda least: predicates.at_least(keep, least, within_ms))
        if op in (">=", ">", "<", "<=") and (least := right if op in (">=", "<") else right + 1):
            _aged(predicate, AgeLimit(least, within_ms, young=op in (">=", ">")))
        else:
            predicate.single_pass = count_pass((lambda data: (data,)) if keep == 1 else (lambda data: data), within_ms, op, right)
        return predicate

    def _scaled(self, text: str, node: tree.Aggregate, op: str, right: float) -> Predicate:
        """A sum, average or extreme."""
        predicate, window = predicates.scaled_predicate(text, self._expression(node), op, right), node.window
        predicate.expiry_ms = 0 if window.before_ms else window.within_ms
        if node.name in ("sum", "avg") and window.within_ms and not window.before_ms:
            predicate.single_pass = pairs_pass(node.name, window.within_ms, op, round(right * values.SCALE))
        return predicate

    def _distinct(self, text: str, node: tree.Aggregate, op: str, right: int) -> Predicate:
        """The same over the newest different values."""
        predicate, within_ms = predicates.count_predicate(text, self._expression(node), op, right), node.window.within_ms
        predicate = _by_threshold(predicate, op, right, lambda least: predicates.distinct_at_least(least, within_ms))
        if op in (">=", ">", "<", "<=") and (least := right if op in (">=", "<") else right + 1):
            predicate.single_pass, predicate.tends = (
                distinct_pass(least, within_ms, negated=op in ("<", "<=")),
                1 if op in ("<", "<=") else -1,
            )
        else:
            predicate.single_pass = count_pass(lambda data: list(data.values()), within_ms, op, right)
        return predicate

    def _did(self, text: str, events: Events, window: Window) -> Predicate:
        if window.before_ms:
            memory = self._pairs_memory(events, (), window)
            expression = replace(predicates.pairs_expression("count", window, self._zone_of), slots=(self.slots[memory.key],))
            return predicates.count_predicate(text, expression, ">=", 1)
        slot, keep = self._newest_slot(events)
        newest = predicates.nth_newest(keep, 1)
        if window.this is not None:
            return predicates.count_predicate(
                text, replace(predicates.count_this(keep, window.this, self._zone_of), slots=(slot,)), ">=", 1
            )
        truth, due = predicates.at_least(keep, 1, window.within_ms)
        predicate = Predicate(
            text, truth, due, lambda data, now, state: _time_or_none(newest(data)), slots=(slot,), span_ms=window.within_ms
        )
        _aged(predicate, AgeLimit(1, window.within_ms or NO_TIMER, young=True))
        return predicate

    def _newest_slot(self, events: Events) -> tuple[int, int]:
        slot = self.slots[self._newest_memory(events, 1).key]
        spec = self.memories[slot].spec
        assert isinstance(spec, memories.Newest)
        return slot, spec.keep

    def _sequence(self, text: str, node: tree.Sequence) -> Predicate:
        slot = self.slots[self._steps_memory(node).key]
        span_ms = node.over_ms and node.over_ms + node.within_ms + node.wait_ms
        return predicates.sequence_predicate(text, slot, node.wait_ms, node.over_ms, span_ms)

    def _expression(self, node: Any, items: tuple[Any, ...] = ()) -> ValueExpression:
        match node:
            case tree.Number(of=of) | tree.Lower(of=of):
                return self._wrapped(node, of)
            case tree.Trait() | tree.Context() | tree.Language():
                return self._over(self._known_memory(node, memories.Known()), lambda spec: predicates.known(spec, node))
            case tree.Latest() | tree.Earliest():
                return self._over(self._property_memory(node), lambda _: ValueExpression(_unwrapped, span_ms=0))
            case tree.Top(events=events, path=path, window=window):
                make = predicates.frequencies_expression() if window.ever else predicates.labels_expression("top", window, self._zone_of)
                return self._over(self._labels_memory(events, path, window), lambda _: make)
            case tree.Count(window=window):
                return self._count_expression(node, window)
            case tree.Active(events=events, each_ms=each_ms, periods=periods):
                memory = self._pairs_memory(events, (), Window(within_ms=each_ms * periods))
                return self._over(memory, lambda _: predicates.active_expression(each_ms, periods))
            case tree.Aggregate(name="distinct", window=window):
                return self._over(self._distinct_memory(node, 1), lambda spec: self._distinct_expression(window, spec))
            case tree.Aggregate(name="sum" | "avg" | "min" | "max" as name, window=window):
                return self._over(self._number_memory(node), lambda spec: self._number_expression(name, window, spec))
            case tree.Age(of=of):
                return predicates.age_expression(self._expression(of), self._zone_of)
            case tree.Score(model=model):
                return replace(model_memories.score_expression(), slots=(self.slots[model_memories.score_key(model)],))
            case tree.Percentile(model=model):
                return replace(model_memories.percentile_expression(), slots=(self.slots[model_memories.score_key(model)],))
            case tree.Group(model=model):
                return replace(model_memories.group_expression(), slots=(self.slots[model_memories.score_key(model)],))
            case _:
                raise AssertionError(f"no expression for {type(node).__name__} {items}")

    def _wrapped(self, node: tree.Number | tree.Lower, of: Any) -> ValueExpression:
        inner, turn = self._expression(of), values.as_number if isinstance(node, tree.Number) else values.lower
        return replace(inner, read=lambda data, now, state: turn(inner.read(data, now, state)))

    def _count_expression(self, node: tree.Count, window: Window) -> ValueExpression:
        if window.before_ms:
            return self._over(
                self._pairs_memory(node.events, (), window), lambda _: predicates.pairs_expression("count", window, self._zone_of)
            )
        if window.ever:
            return self._over(self._count_memory(node, 1), lambda _: ValueExpression(lambda data, now, state: data or 0, span_ms=0))
        slot, keep = self._newest_slot(node.events)
        if window.this is not None:
            return replace(predicates.count_this(keep, window.this, self._zone_of), slots=(slot,))
        return replace(predicates.count_in(keep, window.within_ms), slots=(slot,))

    def _distinct_expression(self, window: Window, spec: Spec) -> ValueExpression:
        if isinstance(spec, memories.Distinct):
            return predicates.distinct_expression(window, self._zone_of, spec.keep)
        return predicates.labels_expression("distinct", window, self._zone_of)

    def _number_expression(self, name: tree.NumberName, window: Window, spec: Spec) -> ValueExpression:
        match spec:
            case memories.Totals():
                assert name in ("sum", "avg"), f"{name}() without a window is kept by another memory"
                read = _sum_of if name == "sum" else _average_of
                return ValueExpression(read, approximate=predicates.held_error, span_ms=0, show=predicates.show_scaled)
            case memories.Bests():
                return ValueExpression(lambda data, now, state: data, span_ms=0, show=predicates.show_scaled)
            case memories.Ladder():
                return predicates.ladder_expression(window, self._zone_of)
            case _:
                return predicates.pairs_expression(name, window, self._zone_of)

    def _over(self, memory: Memory, make: Callable[[Spec], ValueExpression]) -> ValueExpression:
        slot = self.slots[memory.key]
        return replace(make(self.memories[slot].spec), slots=(slot,))

    def _moment(self, node: Any) -> ValueExpression:
        match node:
            case tree.Since(time=time) | tree.Until(time=time):
                return self._moment(time)
            case tree.Unchanged(of=of):
                return self._over(self._known_memory(of, memories.Known()), lambda _: ValueExpression(_run_start, span_ms=0))
            case tree.Last(events=events):
                slot, keep = self._newest_slot(events)
                newest = predicates.nth_newest(keep, 1)
                return ValueExpression(lambda data, now, state: newest(data), (slot,), span_ms=0, show=_time_or_none)
            case tree.First(events=events):
                slot = self.slots[f"oldest {events_key(events)}"]
                return ValueExpression(lambda data, now, state: data, (slot,), span_ms=0, show=_time_or_none)
            case tree.Date(of=of):
                inner = self._expression(of)
                return replace(inner, read=lambda data, now, state: values.parse_time_ms(inner.read(data, now, state)), show=_time_or_none)
            case tree.Moment(ms=ms):
                return ValueExpression(lambda data, now, state: ms, show=_time_or_none)
            case tree.Entered(segment=name):
                return _moment_of_membership(self._numbers[name], inside=True)
            case tree.Left(segment=name):
                return _moment_of_membership(self._numbers[name], inside=False)
            case _:
                raise AssertionError(f"no moment for {type(node).__name__}")


def _aged(predicate: Predicate, age: AgeLimit) -> None:
    predicate.age, predicate.tends = age, -1 if age.young else 1


def noted(predicate: Predicate) -> Holds:
    """Whether a predicate holds, by what the state has noted of it."""
    if predicate.truth_bit is None:
        return predicate.holds
    key, bit, default_bits = predicate.truth_bit
    return lambda state, now: state.truth_bits.get(key, default_bits) & bit != 0


def all_hold(parts: list[Holds]) -> Holds:
    """All of several conditions."""
    if len(parts) == 2:
        first, second = parts
        return lambda state, now: first(state, now) and second(state, now)
    return lambda state, now: all(part(state, now) for part in parts)


def any_holds(parts: list[Holds]) -> Holds:
    """Any of several conditions."""
    if len(parts) == 2:
        first, second = parts
        return lambda state, now: first(state, now) or second(state, now)
    return lambda state, now: any(part(state, now) for part in parts)


def _by_threshold(predicate: Predicate, op: str, right: int, at_least: Callable[[int], tuple[Truth, Due]]) -> Predicate:
    """Replace the general functions of a count by those of one threshold, where the comparison is one."""
    least = {">=": right, "<": right, ">": right + 1, "<=": right + 1}.get(op, 0)
    if least:
        truth, predicate.due = at_least(least)
        predicate.truth = truth if op in (">=", ">") else _negated(truth)
    return predicate


def _unwrapped(data: Data, _now: int, _state: State) -> Json:
    return data[1][0] if data is not None else None


def _negated(truth: Truth) -> Truth:
    return lambda data, now, state: not truth(data, now, state)


def _time_or_none(ms: Json) -> Json:
    return None if ms is None else values.time_text(ms)


def _sum_of(data: Data, _now: int, _state: State) -> Json:
    return data[0] if data is not None else 0


def _average_of(data: Data, _now: int, _state: State) -> Json:
    return tuple(data) if data is not None else None


def _run_start(data: Data, _now: int, _state: State) -> Json:
    return None if data is None or data[-1] is None else memories.run_start(data)


def _membership_predicate(text: str, number: int) -> Predicate:
    def truth(_data: Data, _now: int, state: State) -> bool:
        return state.is_inside(number)

    return Predicate(text, truth, value=truth, sees=(number,))


def _moment_of_membership(number: int, *, inside: bool) -> ValueExpression:
    def read(_data: Data, _now: int, state: State) -> Json:
        entry = state.members.get(number)
        return entry.at_ms if entry is not None and entry.inside is inside else None

    return ValueExpression(read, sees=(number,), show=_time_or_none)
