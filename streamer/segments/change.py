# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
"""What goes out when a customer enters or leaves a segment: a CloudEvent that says why.

The shape is ``schemas/segment-change.v1.json``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec

from streamer.customers.state import State, is_entry
from streamer.language import tree
from streamer.language.tree import Condition
from streamer.segments.plan.model_memories import model_asked
from streamer.segments.plan.plan import Plan
from streamer.segments.plan.predicates.predicate import Predicate, exact
from streamer.segments.plan.segment_rules import Holds
from streamer.values import Json, time_text
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


CauseKind = Literal["event", "timer", "definitions", "backfill", "erase", "merge", "unmerge"]


class Cause(msgspec.Struct, omit_defaults=True):
    """What brought the change about: an event's id, a timer's moment, a definitions version, history that was brought in under one, an
    erasure, or that two ids are one person's.

    Of the latter ``into`` names the survivor where somebody left because they go by that id now, ``from_`` the id whose past came in where
    the survivor changes. Where two are two again ``from_`` names the other one.
    """

    kind: CauseKind
    id: str | None = None
    due: Instant | None = None
    version: int | None = None
    into: str | None = None
    from_: str | None = msgspec.field(name="from", default=None)


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


encode_json: Final = msgspec.json.Encoder().encode
_decoder: Final = msgspec.json.Decoder(Change)


def decode_change(raw: bytes) -> Change:
    """A change as its schema has it; ``msgspec.DecodeError`` for anything else."""
    change = _decoder.decode(raw)
    if is_entry(change.data.sequence) != (change.type == ENTERED):
        raise msgspec.ValidationError(f"a change of sequence {change.data.sequence} is no {change.type}")
    return change


Reasons = Callable[[State, str, int], list[str]]  # (state, model, now) -> what moved the model's score most, in words


class Lens(NamedTuple):
    """What besides plan and state is needed to say why: the texts of predicates that are warming, and what moves scores."""

    warming: frozenset[str] = frozenset()
    reasons: Reasons | None = None


def because(plan: Plan, condition: Condition, state: State, now: int, lens: Lens) -> list[Clause]:
    """The clauses that make a condition what it is at ``now``: all of a true ``and``, the false ones of a false one, and so on.

    ``now``, by the customer's own clock, is a moment at which the customer is evaluated, or the state was settled at.
    """
    return [atom.clause(state, now, lens, holds=holds) for atom, holds in _deciding(plan, condition, state, now)]


def because_encoded(plan: Plan, condition: Condition, state: State, now: int, lens: Lens) -> bytes:
    """The same as it stands in a change: an array of JSON."""
    return b"[%b]" % b",".join([atom.encoded(state, now, lens, holds=holds) for atom, holds in _deciding(plan, condition, state, now)])


def clauses_of(plan: Plan, condition: Condition, state: State, now: int) -> list[Clause]:
    """Every atom of a condition that is only asked now and then, with its value at ``now`` (own clock)."""
    atoms = {predicate.text: predicate for predicate in plan.asked_predicates(condition)}
    return [_AtomClause(one, None).clause(state, now, Lens(), holds=one.holds(state, now)) for one in atoms.values()]


Deciding = dict[str, tuple["_AtomClause", bool]]  # atoms by text, and whether each holds
CollectAtoms = Callable[[State, int, bool, Deciding], None]  # (state, now, whether the condition holds, where to)


def _deciding(plan: Plan, condition: Condition, state: State, now: int) -> Iterable[tuple[_AtomClause, bool]]:
    """The atoms that make a condition what it is, each once."""
    reason = plan.reasons.get(id(condition))  # conditions live as long as the plan's definitions do
    if reason is None:
        reason = plan.reasons[id(condition)] = (plan.condition(condition), _collector(plan, condition))
    found: Deciding = {}
    holds, collect = reason
    collect(state, now, holds(state, now), found)
    return found.values()


def _collector(plan: Plan, condition: Condition) -> CollectAtoms:
    match condition:
        case tree.And(of=of) | tree.Or(of=of):
            return _collector_of_many([(plan.condition(part), _collector(plan, part)) for part in of])
        case tree.Not(of=of):
            inner = _collector(plan, of)
            return lambda state, now, truth, found: inner(state, now, not truth, found)
        case _:
            return _collector_of_atom(_AtomClause(plan.predicate(condition), model_asked(condition)))


def _collector_of_many(parts: list[tuple[Holds, CollectAtoms]]) -> CollectAtoms:
    def collect(state: State, now: int, truth: bool, found: Deciding) -> None:
        for holds, collect_part in parts:
            if holds(state, now) == truth:
                collect_part(state, now, truth, found)

    return collect


def _collector_of_atom(atom: _AtomClause) -> CollectAtoms:
    text = atom.text

    def collect(_state: State, _now: int, truth: bool, found: Deciding) -> None:
        found[text] = atom, truth

    return collect


class _AtomClause:
    """One atom of a condition as clauses of changes show it. What is the same in all of them is encoded once."""

    __slots__ = ("_approximate", "_begin", "_model", "_predicate", "_value", "text")

    def __init__(self, predicate: Predicate, model: str | None) -> None:
        self.text = predicate.text
        self._predicate, self._model = predicate, model
        self._value = predicate.value
        self._approximate = None if predicate.approximate is exact else predicate.approximate
        text = encode_json(predicate.text)
        self._begin = tuple(b'{"clause":%b,"holds":%b,"value":' % (text, holds) for holds in (b"false", b"true"))

    def clause(self, state: State, now: int, lens: Lens, *, holds: bool) -> Clause:
        """The clause at a moment, by the customer's own clock."""
        data, model = self._predicate.data(state), self._model
        error = None if self._approximate is None else self._approximate(data, now, state)
        moved = lens.reasons(state, model, now + state.origin_ms) if lens.reasons is not None and model is not None else []
        shown, is_cut = _shown(self._value(data, now, state))
        return Clause(self.text, holds, shown, self.text in lens.warming, error, is_cut, moved)

    def encoded(self, state: State, now: int, lens: Lens, *, holds: bool) -> bytes:
        """The same in JSON: nearly always a value and nothing else that differs from one change to the next."""
        if self._model is None and self.text not in lens.warming:
            data = self._predicate.data(state)
            if self._approximate is None or self._approximate(data, now, state) is None:
                shown, is_cut = _shown(self._value(data, now, state))
                if not is_cut:
                    return b"%b%b}" % (self._begin[holds], encode_json(shown))
        return encode_json(self.clause(state, now, lens, holds=holds))


def _shown(value: Any) -> tuple[Json, bool]:
    """A value short enough for a message, and whether it was cut for that."""
    if isinstance(value, str) and len(value) > TEXT_SHOWN:
        return value[: TEXT_SHOWN - 1] + "…", True
    if isinstance(value, list) and len(value) > ITEMS_SHOWN:
        return value[:ITEMS_SHOWN], True
    return value, False


class ChangeMoment(NamedTuple):
    """What all changes of one customer at one moment share, in JSON: ``at`` is a text without its quotes."""

    subject: bytes
    at: bytes
    cause: bytes


def change_moment(customer: str, now: int, cause: Cause) -> ChangeMoment:
    """The moment ``now``, in UTC milliseconds."""
    return ChangeMoment(encode_json(customer), time_text(now).encode(), encode_json(cause))


class ChangeTemplate:
    """The bytes of a ``Change`` of one segment, type and version of the definitions, but for what differs from one to the next.

    They are the bytes that encoding the whole object gives. What a customer's changes at one moment share is encoded once for all of them.
    """

    __slots__ = ("_format",)

    def __init__(self, source: str, generation: int, shard: int, segment: str, kind: str, version: int) -> None:
        place = b'"generation":%d,"shard":%d' % (generation, shard)
        begin = b'{"id":"%d-%d-' % (generation, shard), b'","source":%b,"type":"%b","subject":' % (encode_json(source), kind.encode())
        data = b'","data":{"segment":%b,"definitions":%d,"at":"' % (encode_json(segment), version)
        end = b'}},"specversion":"1.0","datacontenttype":"application/json"}'
        fixed = [part.replace(b"%", b"%%") for part in (*begin, data, place, end)]
        self._format = b"".join(
            (
                *(fixed[0], b"%d-%d", fixed[1], b'%b,"time":"%b', fixed[2]),
                *(b'%b","sequence":%d,"cause":%b,"because":%b,"position":{', fixed[3], b',"offset":%d,"ordinal":%d', fixed[4]),
            )
        )

    def fill(self, moment: ChangeMoment, sequence: int, because: bytes, offset: int, ordinal: int) -> bytes:
        """One change; ``because`` is an array of JSON."""
        subject, at, cause = moment
        return self._format % (offset, ordinal, subject, at, at, sequence, cause, because, offset, ordinal)
