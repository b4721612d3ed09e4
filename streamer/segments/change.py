# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
"""What goes out when a customer enters or leaves a segment: a CloudEvent that says why.

The shape is ``schemas/segment-change.v1.json``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec

from streamer.customers.state import State, is_entry
from streamer.language import tree
from streamer.language.tree import Condition
from streamer.segments.plan.model_memories import model_asked
from streamer.segments.plan.plan import Plan
from streamer.segments.plan.predicates.predicate import Predicate, exact
from streamer.segments.plan.segment_rules import Holds
from streamer.values import Json
from streamer.wire import Instant

ENTERED: Final = "segment.entered"
EXITED: Final = "segment.exited"
TEXT_SHOWN: Final = 100  # characters of a value that a change carries
ITEMS_SHOWN: Final = 10


NonNegative = Annotated[int, msgspec.Meta(ge=0)]


class Clause(msgspec.Struct, omit_defaults=True):
    """One atom of the condition that decided, with its value at that moment.

    ``warming``: it looks further back than what has been seen since it was defined. ``approximate``: the answer was folded; how many
    events it may be off. ``cut``: only the beginning of the value is here, the clause looked at all of it. ``reasons``: of a score, what
    moved it most, in words.
    """

    clause: str
    holds: bool
    value: Json
    warming: bool = False
    approximate: float | None = None
    cut: bool = False
    reasons: list[str] = []


class Cause(msgspec.Struct, omit_defaults=True):
    """What brought the change about: an event's id, a timer's moment, a definitions version, an erasure."""

    kind: Literal["event", "timer", "definitions", "erase"]
    id: str | None = None
    due: Instant | None = None
    version: int | None = None


class ChangePosition(msgspec.Struct):
    """Where in the story: a reader skips what is not above the highest it has seen in the shard.

    ``generation`` is that of the log: it rises when a log is sharded anew, and offsets then begin again.
    """

    generation: Annotated[int, msgspec.Meta(ge=1)]
    shard: NonNegative
    offset: NonNegative
    ordinal: NonNegative


class ChangeData(msgspec.Struct):
    """The body of a change."""

    segment: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    definitions: NonNegative
    at: Instant
    sequence: Annotated[int, msgspec.Meta(ge=1)]
    cause: Cause
    because: list[Clause]
    position: ChangePosition


class Change(msgspec.Struct):
    """A CloudEvent 1.0 in structured JSON."""

    id: Annotated[str, msgspec.Meta(pattern=r"^[0-9]+-[0-9]+-[0-9]+-[0-9]+$")]
    source: Annotated[str, msgspec.Meta(min_length=1)]
    type: Literal["segment.entered", "segment.exited"]
    subject: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    time: Instant
    data: ChangeData
    specversion: Literal["1.0"]  # no default: what lacks it is no CloudEvent
    datacontenttype: Literal["application/json"] = "application/json"


encode_change: Final = msgspec.json.Encoder().encode
_decoder: Final = msgspec.json.Decoder(Change)


def decode_change(raw: bytes) -> Change:
    """A change as its schema has it; ``msgspec.DecodeError`` for anything else."""
    change = _decoder.decode(raw)
    if is_entry(change.data.sequence) != (change.type == ENTERED):
        raise msgspec.ValidationError(f"a change of sequence {change.data.sequence} is no {change.type}")
    return change


Reasons = Callable[[State, str, int], list[str]]  # (state, model, now) -> what moved the model's score most, in words


class _Lens(NamedTuple):
    """What besides plan and state is needed to say why."""

    warming: frozenset[str]
    reasons: Reasons | None


def because(
    plan: Plan, condition: Condition, state: State, now: int, warming: frozenset[str] = frozenset(), reasons: Reasons | None = None
) -> list[Clause]:
    """The clauses that make a condition what it is at ``now``: all of a true ``and``, the false ones of a false one, and so on.

    ``now``, by the customer's own clock, is a moment at which the customer is evaluated, or the state was settled at.
    """
    reason = plan.reasons.get(id(condition))  # conditions live as long as the plan's definitions do
    if reason is None:
        reason = plan.reasons[id(condition)] = (plan.condition(condition), _reason(plan, condition))
    found: dict[str, Clause] = {}
    holds, tell = reason
    tell(state, now, holds(state, now), _Lens(warming, reasons), found)
    return list(found.values())


Tell = Callable[[State, int, bool, _Lens, dict[str, Clause]], None]  # (state, now, whether it holds, lens, where to)


def _reason(plan: Plan, condition: Condition) -> Tell:
    match condition:
        case tree.And(of=of) | tree.Or(of=of):
            return _reason_of_many([(plan.condition(part), _reason(plan, part)) for part in of])
        case tree.Not(of=of):
            inner = _reason(plan, of)
            return lambda state, now, truth, lens, found: inner(state, now, not truth, lens, found)
        case _:
            return _reason_of_predicate(plan.predicate(condition), model_asked(condition))


def _reason_of_many(parts: list[tuple[Holds, Tell]]) -> Tell:
    def tell(state: State, now: int, truth: bool, lens: _Lens, found: dict[str, Clause]) -> None:
        for holds, tell_part in parts:
            if holds(state, now) == truth:
                tell_part(state, now, truth, lens, found)

    return tell


def _reason_of_predicate(predicate: Predicate, model: str | None) -> Tell:
    text, value, approximate = predicate.text, predicate.value, predicate.approximate
    is_exact = approximate is exact

    def tell(state: State, now: int, truth: bool, lens: _Lens, found: dict[str, Clause]) -> None:
        data = predicate.data(state)
        error = None if is_exact else approximate(data, now, state)
        moved = lens.reasons(state, model, now + state.origin_ms) if lens.reasons is not None and model is not None else []
        shown, cut = _shown(value(data, now, state))
        found[text] = Clause(text, truth, shown, text in lens.warming, error, cut, moved)

    return tell


def _shown(value: Any) -> tuple[Json, bool]:
    """A value short enough for a message, and whether it was cut for that."""
    if isinstance(value, str) and len(value) > TEXT_SHOWN:
        return value[: TEXT_SHOWN - 1] + "…", True
    if isinstance(value, list) and len(value) > ITEMS_SHOWN:
        return value[:ITEMS_SHOWN], True
    return value, False
