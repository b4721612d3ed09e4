"""Segments over predicates: when one is entered and left, asked of what a state has noted of its predicates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from streamer.customers.state import State
from streamer.language.segment_specs import Segment

from .predicates.predicate import Predicate

Holds = Callable[[State, int], bool]  # at a moment at which the customer is evaluated, see ``predicate_index``


@dataclass(slots=True)
class SegmentRule:
    """One segment, compiled. Its number is its place in ``Plan.rules``; those it refers to have smaller numbers."""

    number: int
    name: str
    when: Holds
    exit: Holds | None
    stay_ms: int
    cooldown_ms: int
    segment: Segment
    dependents: frozenset[int] = frozenset()  # numbers of the segments that refer to it
    asks: tuple[int, ...] = ()  # memories of scores it stands on: while one is empty it is not evaluated


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
