"""From the atoms of conditions to predicates over the planned memories, each text once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import assert_never

from streamer import values
from streamer.customers.state import State
from streamer.language import tree
from streamer.language.message_specs import FactExpression
from streamer.language.segment_specs import Segment
from streamer.language.tree import Atom, CompareOp, Condition, Duration, Events, Numeric, Scalar, Time, Value, Window

from .node_memories import pairs_memory, steps_memory
from .plan_expressions import ExpressionPlanner, ShownValue
from .plan_memories import PlannedMemories
from .predicates import clock, counts, known, labels, numbers, sequences, times
from .predicates.predicate import ANY_AGE, AgeLimit, Predicate, ValueExpression, Way, ZoneOf, value_predicate
from .segment_rules import Holds, all_hold, any_holds
from .single_pass import Due, Truth, active_pass, count_pass, distinct_pass, pairs_holds, pairs_pass, pairs_truth


class PredicatePlanner:
    """Predicates for the atoms of all conditions; ``by_text`` has them by their texts."""

    def __init__(self, planned: PlannedMemories, numbers: Mapping[str, int], zone_of: ZoneOf, lateness_ms: int) -> None:
        self.by_text: dict[str, Predicate] = {}
        self._expressions = ExpressionPlanner(planned, numbers, zone_of)
        self._lateness_ms = lateness_ms
        self._asked: dict[str, Predicate] = {}

    def add_all(self, segments: Sequence[Segment]) -> None:
        """Add the predicates of all segments; note in each which segments it stands in."""
        for number, segment in enumerate(segments):
            if segment.exit is None:
                self._add(segment.when, number, Way.IN, Way.OUT)
            else:
                self._add(segment.when, number, Way.IN, Way.NONE)
                self._add(segment.exit, number, Way.OUT, Way.IN)

    def _add(self, node: Condition, segment: int, on_true: Way, on_false: Way) -> None:
        """Add the atoms of a condition; its becoming true, or false, lets a customer go so through the segment's door."""
        match node:
            case tree.And(of=of) | tree.Or(of=of):
                for part in of:
                    self._add(part, segment, on_true, on_false)
            case tree.Not(of=of):
                self._add(of, segment, on_false, on_true)
            case _:
                predicate = self._once(node)
                predicate.segments.add(segment)
                predicate.on_true[segment] = predicate.on_true.get(segment, Way.NONE) | on_true
                predicate.on_false[segment] = predicate.on_false.get(segment, Way.NONE) | on_false

    def asked(self, node: Condition) -> Holds:
        """Whether a condition holds at any moment: for what is asked now and then, is noted nowhere and sets no timer."""
        match node:
            case tree.And(of=of):
                return all_hold([self.asked(part) for part in of])
            case tree.Or(of=of):
                return any_holds([self.asked(part) for part in of])
            case tree.Not(of=of):
                inner = self.asked(of)
                return lambda state, now: not inner(state, now)
            case _:
                return self._asked_once(node).holds

    def asked_predicates(self, node: Condition) -> Iterator[Predicate]:
        """Those of a condition that is only asked now and then."""
        match node:
            case tree.And(of=of) | tree.Or(of=of):
                for part in of:
                    yield from self.asked_predicates(part)
            case tree.Not(of=of):
                yield from self.asked_predicates(of)
            case _:
                yield self._asked_once(node)

    def _asked_once(self, atom: Atom) -> Predicate:
        text = tree.text(atom)
        found = self._asked.get(text)
        if found is None:
            found = self._asked[text] = self._make(text, atom)
        return found

    def shown(self, node: FactExpression) -> ShownValue:
        """What a value is for a customer at any moment, as a reader sees it."""
        return self._expressions.shown(node)

    def _once(self, atom: Atom) -> Predicate:
        text = tree.text(atom)
        known_already = self.by_text.get(text)
        if known_already is None:
            known_already = self.by_text[text] = self._make(text, atom)
        return known_already

    def _make(self, text: str, atom: Atom) -> Predicate:
        of_value, zone_of = self._expressions.value, self._expressions.zone_of
        match atom:
            case tree.Compare(left=left, op=op, right=right):
                return self._compare(text, left, op, right)
            case tree.CompareDuration(left=left, op=op, right_ms=right_ms):
                return self._duration(text, left, op, right_ms)
            case tree.CompareTime(left=left, op=op, right=right):
                other = right if isinstance(right, int) else self._expressions.time(right)
                return times.time_predicate(text, self._expressions.time(left), op, other)
            case tree.OneOf(left=left, items=items):
                return self._one_of(text, left, items)
            case tree.Exists(of=of):
                return self._exists(text, of)
            case tree.Contains(of=of, part=part):
                return value_predicate(text, of_value(of), lambda value: values.contains(value, part))
            case tree.StartsWith(of=of, prefix=prefix):
                return value_predicate(text, of_value(of), lambda value: values.starts_with(value, prefix))
            case tree.Birthday(of=of):
                return clock.birthday_predicate(text, of_value(of), zone_of)
            case tree.Did(events=events, window=window):
                return self._did(text, events, window)
            case tree.Sequence():
                return self._sequence(text, atom)
            case tree.InSegment(segment=name):
                return _inside_predicate(text, self._expressions.numbers[name])
            case _:
                assert_never(atom)

    def _exists(self, text: str, of: Value | Time) -> Predicate:
        match of:
            case tree.Last() | tree.First() | tree.Date() | tree.Moment() | tree.Entered() | tree.Left():
                return times.exists_predicate(text, self._expressions.time(of))
            case _:
                return value_predicate(text, self._expressions.value(of), lambda value: value is not None)

    def _one_of(self, text: str, left: Value | Numeric, items: tuple[Scalar, ...]) -> Predicate:
        match left:
            case tree.Clock(unit=unit):
                return clock.clock_predicate(text, unit, lambda value: values.one_of(value, items), self._expressions.zone_of)
            case tree.Top(window=window) if window.within_ms and not window.before_ms:
                return labels.top_predicate(text, self._expressions.value(left), window, lambda value: values.one_of(value, items))
            case tree.Score() | tree.Percentile():
                return numbers.scaled_one_of_predicate(text, self._expressions.value(left), tuple(map(_number, items)))
            case tree.Aggregate() if left.name != "distinct":
                return numbers.scaled_one_of_predicate(text, self._expressions.value(left), tuple(map(_number, items)))
            case tree.Age():
                return clock.age_predicate(text, self._expressions.age(left), lambda age: values.one_of(age, items))
            case tree.Aggregate() | tree.Count() | tree.Active() | tree.Top() | tree.Group():
                return known.one_of_predicate(text, self._expressions.value(left), items)
            case tree.Trait() | tree.Context() | tree.Prop() | tree.EventContext() | tree.Latest() | tree.Earliest():
                return known.one_of_predicate(text, self._expressions.value(left), items)
            case tree.Number() | tree.Lower() | tree.Language():
                return known.one_of_predicate(text, self._expressions.value(left), items)
            case _:
                assert_never(left)

    def _duration(self, text: str, left: Duration, op: CompareOp, limit_ms: int) -> Predicate:
        moment = self._expressions.time(left)
        if isinstance(left, tree.Until):
            return times.until_predicate(text, moment, op, limit_ms)
        predicate = times.since_predicate(text, moment, op, limit_ms)
        if isinstance(left, tree.Since) and isinstance(left.time, (tree.First, tree.Last)):
            _limit_age(predicate, AgeLimit(1, limit_ms if op in (">=", "<") else limit_ms + 1, young=op in ("<", "<=")))
        return predicate

    def _compare(self, text: str, left: Value | Numeric, op: CompareOp, right: Scalar) -> Predicate:
        of_value, compare = self._expressions.value, values.COMPARE[op]
        match left:
            case tree.Count(events=events, window=window) if not window.ever and not window.before_ms and not window.this:
                return self._count(text, events, window.within_ms, op, int(right))
            case tree.Count():
                return counts.count_predicate(text, of_value(left), op, _number(right))
            case tree.Active(each_ms=each_ms, periods=periods):
                predicate = counts.count_predicate(text, of_value(left), op, _number(right))
                predicate.single_pass = active_pass(each_ms, periods, op, _number(right))
                return predicate
            case tree.Aggregate():
                return self._aggregate(text, left, op, _number(right))
            case tree.Top(window=window) if window.within_ms and not window.before_ms:
                return labels.top_predicate(text, of_value(left), window, lambda value: compare(value, right))
            case tree.Score() | tree.Percentile():
                return numbers.scaled_predicate(text, of_value(left), op, _number(right))
            case tree.Clock(unit=unit):
                return clock.clock_predicate(text, unit, lambda value: compare(value, right), self._expressions.zone_of)
            case tree.Age():
                return clock.age_predicate(text, self._expressions.age(left), lambda age: compare(age, right))
            case _:
                return self._compare_value(text, left, op, right)

    def _compare_value(self, text: str, left: Value, op: CompareOp, right: Scalar) -> Predicate:
        return known.compare_predicate(text, self._expressions.value(left), op, right)

    def _count(self, text: str, events: Events, within_ms: int, op: CompareOp, right: int) -> Predicate:
        """``>=`` and its kin change exactly when the k-th newest time leaves the window; others are evaluated at each expiry."""
        slot, keep = self._expressions.newest(events)
        expression = replace(counts.count_in(keep, within_ms), slots=(slot,))
        predicate = counts.count_predicate(text, expression, op, right)
        predicate = _by_threshold(predicate, op, right, lambda least: counts.at_least(keep, least, within_ms))
        if least := _threshold(op, right):
            _limit_age(predicate, AgeLimit(least, within_ms, young=op in (">=", ">")))
        else:
            predicate.single_pass = count_pass((lambda data: (data,)) if keep == 1 else (lambda data: data), within_ms, op, right)
            predicate.settles = op == "!="  # the count only falls: past the number it is another for ever
        return predicate

    def _aggregate(self, text: str, node: tree.Aggregate, op: CompareOp, right: float) -> Predicate:
        name, window = node.name, node.window
        if name == "distinct":
            return self._distinct(text, node, op, int(right))
        predicate = numbers.scaled_predicate(text, self._expressions.value(node), op, right)
        predicate.expiry_ms = 0 if window.before_ms else window.within_ms
        if name in ("sum", "avg") and window.within_ms and not window.before_ms:
            holds = pairs_holds(name, op, round(right * values.SCALE))
            predicate.single_pass, predicate.truth = pairs_pass(window.within_ms, holds), pairs_truth(window.within_ms, holds)
        return predicate

    def _distinct(self, text: str, node: tree.Aggregate, op: CompareOp, right: int) -> Predicate:
        """The same as a count, over the newest different values."""
        predicate, within_ms = counts.count_predicate(text, self._expressions.value(node), op, right), node.window.within_ms
        if not within_ms or node.window.before_ms:
            return predicate
        predicate = _by_threshold(predicate, op, right, lambda least: labels.distinct_at_least(least, within_ms))
        if least := _threshold(op, right):
            predicate.single_pass = distinct_pass(least, within_ms, negated=op in ("<", "<="))
            predicate.tends = 1 if op in ("<", "<=") else -1
        else:
            predicate.single_pass = count_pass(lambda data: list(data.values()), within_ms, op, right)
            predicate.settles = op == "!="
        return predicate

    def _did(self, text: str, events: Events, window: Window) -> Predicate:
        zone_of = self._expressions.zone_of
        if window.before_ms:
            slot, _ = self._expressions.planned.place(pairs_memory(events, (), window))
            return counts.count_predicate(text, _in_slot(numbers.pairs_expression("count", window, zone_of), slot), ">=", 1)
        slot, keep = self._expressions.newest(events)
        if window.this is not None:
            return counts.count_predicate(text, _in_slot(counts.count_this(keep, window.this, zone_of), slot), ">=", 1)
        newest = counts.nth_newest(keep, 1)
        truth, due = counts.at_least(keep, 1, window.within_ms)
        shown = times.show_time
        predicate = Predicate(
            text, truth, due, lambda data, now, state: shown(newest(data), state), slots=(slot,), span_ms=window.within_ms
        )
        _limit_age(predicate, AgeLimit(1, window.within_ms or ANY_AGE, young=True))
        return predicate

    def _sequence(self, text: str, node: tree.Sequence) -> Predicate:
        slot, _ = self._expressions.planned.place(steps_memory(node, self._lateness_ms))
        span_ms = node.over_ms and node.over_ms + node.within_ms + node.wait_ms
        return sequences.sequence_predicate(text, slot, node.wait_ms, node.over_ms, span_ms)


def _number(right: Scalar) -> float:
    assert not isinstance(right, str), "the parser compares a number with a number"
    return right


def _in_slot(expression: ValueExpression, slot: int) -> ValueExpression:
    return replace(expression, slots=(slot,))


def _limit_age(predicate: Predicate, age: AgeLimit) -> None:
    predicate.age, predicate.tends = age, -1 if age.young else 1


def _threshold(op: CompareOp, right: int) -> int:
    """How many are enough for ``>=`` and ``>``, or too many for ``<`` and ``<=``; 0 where the comparison has no such number."""
    return {">=": right, "<": right, ">": right + 1, "<=": right + 1}.get(op, 0)


def _by_threshold(predicate: Predicate, op: CompareOp, right: int, at_least: Callable[[int], tuple[Truth, Due]]) -> Predicate:
    """The predicate with the functions of one threshold instead of the general ones, where the comparison is one."""
    least = _threshold(op, right)
    if least:
        truth, predicate.due = at_least(least)
        predicate.truth = truth if op in (">=", ">") else _negated(truth)
    return predicate


def _negated(truth: Truth) -> Truth:
    return lambda data, now, state: not truth(data, now, state)


def _inside_predicate(text: str, number: int) -> Predicate:
    def truth(_data: object, _now: int, state: State) -> bool:
        return state.is_inside(number)

    return Predicate(text, truth, value=truth, sees=(number,))
