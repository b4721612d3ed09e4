"""What goes out when a customer enters or leaves a segment: a CloudEvent that says why.

The shape is ``schemas/segment-change.v1.json``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec

from streamer.customers.state import State
from streamer.values import Json
from streamer.wire import Instant

from . import tree
from .plan import Plan
from .scored import model_asked
from .tree import Condition

ENTERED: Final = "segment.entered"
EXITED: Final = "segment.exited"


Count = Annotated[int, msgspec.Meta(ge=0)]


class Clause(msgspec.Struct, omit_defaults=True):
    """One atom of the condition that decided, with its value at that moment.

    ``warming``: it looks further back than what has been seen since it was defined. ``approximate``: the answer was folded; how many
    events it may be off. ``reasons``: of a score, what moved it most, in words.
    """

    clause: str
    holds: bool
    value: Json
    warming: bool = False
    approximate: float | None = None
    reasons: list[str] = []


class Cause(msgspec.Struct, omit_defaults=True):
    """What brought the change about: an event's id, a timer's moment, a definitions version, an erasure, a merge."""

    kind: Literal["event", "timer", "definitions", "erase", "merge"]
    id: str | None = None
    due: Instant | None = None
    version: int | None = None


class ChangePosition(msgspec.Struct):
    """Where in the story: a reader skips what is not above the highest it has seen in the shard."""

    shard: Count
    offset: Count
    ordinal: Count


class ChangeData(msgspec.Struct):
    """The body of a change."""

    segment: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    definitions: Count
    at: Instant
    sequence: Annotated[int, msgspec.Meta(ge=1)]
    cause: Cause
    because: list[Clause]
    position: ChangePosition


class Change(msgspec.Struct):
    """A CloudEvent 1.0 in structured JSON."""

    id: Annotated[str, msgspec.Meta(pattern=r"^[0-9]+-[0-9]+-[0-9]+$")]
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
    if (change.data.sequence % 2 == 1) != (change.type == ENTERED):
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
    """The clauses that make a condition what it is at ``now``: all of a true ``and``, the false ones of a false one, and so on."""
    found: dict[str, Clause] = {}
    _support(plan, condition, state, now, _Lens(warming, reasons), found)
    return list(found.values())


def holds(plan: Plan, condition: Condition, state: State, now: int) -> bool:
    """Whether a condition is true at ``now``."""
    match condition:
        case tree.And(of=of):
            return all(holds(plan, part, state, now) for part in of)
        case tree.Or(of=of):
            return any(holds(plan, part, state, now) for part in of)
        case tree.Not(of=of):
            return not holds(plan, of, state, now)
        case _:
            return plan.leaf(condition).holds(state, now)


def _support(plan: Plan, condition: Condition, state: State, now: int, lens: _Lens, found: dict[str, Clause]) -> None:
    match condition:
        case tree.And(of=of) | tree.Or(of=of):
            truths = [holds(plan, part, state, now) for part in of]
            whole = all(truths) if isinstance(condition, tree.And) else any(truths)
            for part, truth in zip(of, truths, strict=True):
                if truth == whole:
                    _support(plan, part, state, now, lens, found)
        case tree.Not(of=of):
            _support(plan, of, state, now, lens, found)
        case _:
            leaf = plan.leaf(condition)
            data = leaf.data(state)
            found[leaf.text] = Clause(
                leaf.text,
                leaf.truth(data, now, state),
                _plain(leaf.value(data, now, state)),
                leaf.text in lens.warming,
                leaf.approximate(data, now, state),
                lens.reasons(state, model, now) if lens.reasons is not None and (model := model_asked(condition)) is not None else [],
            )


def _plain(value: Any) -> Json:
    """A value short enough for a message."""
    if isinstance(value, str) and len(value) > 100:
        return value[:99] + "…"
    return value[:10] if isinstance(value, list) else value
