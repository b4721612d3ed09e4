# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false
"""From the values, numbers and times of a condition to expressions over the planned memories."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import assert_never

from streamer import values
from streamer.customers import memories
from streamer.customers.specs import Spec
from streamer.customers.state import State
from streamer.language import calendar, tree
from streamer.language.message_specs import FactExpression
from streamer.language.tree import Duration, Events, Numeric, Time, Value
from streamer.values import Json

from . import model_memories
from .memory_inputs import Memory
from .node_memories import (
    active_memory,
    count_memory,
    distinct_memory,
    known_memory,
    labels_memory,
    newest_memory,
    number_memory,
    oldest_memory,
    pairs_memory,
    property_memory,
    shown_count_memory,
)
from .plan_memories import PlannedMemories
from .predicates import clock, counts, known, labels, numbers, times
from .predicates.predicate import ValueExpression, ZoneOf

ShownValue = Callable[[State, int], Json]  # (state, now) -> what a reader sees


class ExpressionPlanner:
    """Expressions for the nodes of conditions; ``numbers`` are those of the segments by name."""

    def __init__(self, planned: PlannedMemories, numbers: Mapping[str, int], zone_of: ZoneOf) -> None:
        self.planned = planned
        self.numbers = numbers
        self.zone_of = zone_of
        self._ages: dict[str, clock.AgeExpression] = {}

    def value(self, node: Value | Numeric) -> ValueExpression:
        """What a value or number of a condition is for a customer."""
        match node:
            case tree.Number(of=of):
                return self._turned(of, values.as_number)
            case tree.Lower(of=of):
                return self._turned(of, values.lower)
            case tree.Trait() | tree.Context() | tree.Language():
                language = isinstance(node, tree.Language)
                return self._over(known_memory(node, memories.KnownValue()), lambda spec: known.known_value(spec, language=language))
            case tree.Latest() | tree.Earliest():
                return self._over(property_memory(node), lambda _: known.property_value())
            case tree.Top(events=events, path=path, window=window):
                make = labels.frequencies_expression() if window.ever else labels.labels_expression("top", window, self.zone_of)
                return self._over(labels_memory(events, path, window), lambda _: make)
            case tree.Count():
                return self._count(node)
            case tree.Active(each_ms=each_ms, periods=periods):
                return self._over(active_memory(node), lambda _: counts.active_expression(each_ms, periods))
            case tree.Aggregate():
                return self._aggregate(node)
            case tree.Score() | tree.Percentile() | tree.Group():
                return self._model(node)
            case tree.Clock() | tree.Prop() | tree.EventContext():
                raise AssertionError(f"no memory has {tree.text(node)}")
            case tree.Age():
                raise AssertionError("what hangs on the calendar too is asked of ``age``")
            case _:
                assert_never(node)

    def shown(self, node: FactExpression) -> ShownValue:
        """What a value, number or time is as a reader sees it, at any moment by the customer's own clock."""
        match node:
            case tree.Last() | tree.First() | tree.Date() | tree.Moment() | tree.Entered() | tree.Left():
                moment = self.time(node)
                return lambda state, now: times.show_time(moment.of(state, now), state)
            case tree.Clock(unit=unit):
                return lambda state, now: calendar.clock_value(now + state.origin_ms, self.zone_of(state), unit)
            case tree.Age():
                age = self.age(node)
                return lambda state, now: age.read(state.slots.get(age.slots[0]), now, state)
            case tree.Count(window=window) if not window.ever:
                return self._over(shown_count_memory(node), lambda _: numbers.pairs_expression("count", window, self.zone_of)).shown
            case _:
                return self.value(node).shown

    def age(self, node: tree.Age) -> clock.AgeExpression:
        """Whole years since a date: the same object for the same date, since all ages of it change at once."""
        text = tree.text(node)
        found = self._ages.get(text)
        if found is None:
            found = self._ages[text] = clock.AgeExpression(self.value(node.of), self.zone_of)
        return found

    def _turned(self, of: Value, turn: Callable[[values.Json], values.Json]) -> ValueExpression:
        inner = self.value(of)
        return replace(inner, read=lambda data, now, state: turn(inner.read(data, now, state)))

    def _count(self, node: tree.Count) -> ValueExpression:
        window = node.window
        if window.before_ms:
            return self._over(pairs_memory(node.events, (), window), lambda _: numbers.pairs_expression("count", window, self.zone_of))
        if window.ever:
            return self._over(count_memory(node, 1), lambda _: counts.tally_expression())
        slot, keep = self.newest(node.events)
        if window.this is not None:
            return replace(counts.count_this(keep, window.this, self.zone_of), slots=(slot,))
        return replace(counts.count_in(keep, window.within_ms), slots=(slot,))

    def _aggregate(self, node: tree.Aggregate) -> ValueExpression:
        name, window = node.name, node.window
        if name == "distinct":
            return self._over(distinct_memory(node, 1), lambda spec: labels.distinct_of(spec, window, self.zone_of))
        return self._over(number_memory(node, name), lambda spec: numbers.number_of(name, spec, window, self.zone_of))

    def _model(self, node: tree.Score | tree.Percentile | tree.Group) -> ValueExpression:
        slot = self.planned.slots[model_memories.score_key(node.model)]
        match node:
            case tree.Score():
                return replace(model_memories.score_expression(), slots=(slot,))
            case tree.Percentile():
                return replace(model_memories.percentile_expression(), slots=(slot,))
            case tree.Group():
                return replace(model_memories.group_expression(), slots=(slot,))
            case _:
                assert_never(node)

    def time(self, node: Time | Duration) -> ValueExpression:
        """A moment in milliseconds; of a duration the moment from which or to which it runs."""
        match node:
            case tree.Since(time=time) | tree.Until(time=time):
                return self.time(time)
            case tree.Unchanged(of=of):
                return self._over(known_memory(of, memories.KnownValue()), lambda _: known.run_start())
            case tree.Last(events=events):
                slot, keep = self.newest(events)
                return times.moment_expression(counts.nth_newest(keep, 1), slot)
            case tree.First(events=events):
                slot, _ = self.planned.place(oldest_memory(events))
                return times.moment_expression(lambda data: data, slot)
            case tree.Date(of=of):
                inner = self.value(of)
                return replace(
                    inner,
                    read=lambda data, now, state: times.in_own_clock(values.parse_time_ms(inner.read(data, now, state)), state),
                )
            case tree.Moment(ms=ms):
                return ValueExpression(lambda data, now, state: ms - state.origin_ms)
            case tree.Entered(segment=name):
                return times.membership_time(self.numbers[name], inside=True)
            case tree.Left(segment=name):
                return times.membership_time(self.numbers[name], inside=False)
            case _:
                assert_never(node)

    def newest(self, events: Events) -> tuple[int, int]:
        """The slot of the newest times of events, and how many of them are kept."""
        slot, spec = self.planned.place(newest_memory(events, 1))
        assert isinstance(spec, memories.Newest)
        return slot, spec.keep

    def _over(self, memory: Memory, make: Callable[[Spec], ValueExpression]) -> ValueExpression:
        slot, spec = self.planned.place(memory)
        return replace(make(spec), slots=(slot,))
