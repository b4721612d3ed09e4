# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false
"""Whether any history at all could make a condition true.

For the linter, which must not cry wolf: "no" is a proof, "yes" only means that no contradiction was found. A condition is taken apart into
branches, each a set of atoms with whether they hold, and a branch is impossible

- when no value satisfies all that is said of one value (``hour() == 25``; ``count(…) >= 5 and count(…) < 3``). Of infinitely many values
  it is enough to try one of each stretch between the constants. A trait or property may be a list, of which any element counts, so there
  every comparison that holds may have a witness of its own;
- when windows contradict each other: at least three within a week, and fewer than two within a month;
- when a segment referred to contradicts what its definition says of those inside or outside.

What a newly published clause has not seen yet ("warming") is not considered: the proofs are about whole histories.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil, floor
from operator import ge, gt, le, lt
from typing import Any, Final, NamedTuple, assert_never

from streamer import values
from streamer.language import tree
from streamer.language.references import nodes
from streamer.language.segment_specs import Segment
from streamer.language.tree import Condition, Numeric, OrderOp, Time, Value
from streamer.units import WEEKDAYS
from streamer.values import Json, one_of

from .event_counts import Fact, agree, facts_of, sequence_facts
from .subjects import Subject, TimeRelation

BRANCHES_MAX: Final = 400  # after so many the answer is "perhaps": a check of thousands of segments takes seconds, not minutes
REFERENCES_MAX: Final = 30  # definitions of other segments looked into for one answer
_ORDER: Final = {"<": lt, "<=": le, ">": gt, ">=": ge}
_TURNED: Final[dict[OrderOp, OrderOp]] = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
_CLOCKS: Final[dict[str, tuple[Json, ...]]] = {
    "hour": tuple(range(24)),
    "day": tuple(range(1, 32)),
    "month": tuple(range(1, 13)),
    "weekday": WEEKDAYS,
}
_OBJECT: Final[dict[str, Json]] = {}  # stands for a value that exists and matches nothing

Literal = tuple[Condition, bool]
Test = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class KnownSegments:
    """What is known of the segments that a condition may refer to; ``never`` are those that nobody can enter."""

    segments: Mapping[str, Segment] = field(default_factory=dict[str, Segment])
    never: frozenset[str] = frozenset()


def possible(wanted: Iterable[Literal], known: KnownSegments | None = None) -> bool:
    """Whether all conditions can be as wanted at one moment for one customer. False is certain."""
    return _Search(known or KnownSegments()).run(list(wanted))


class _Search:
    """Goes through the branches, depth first."""

    def __init__(self, known: KnownSegments) -> None:
        self._known = known
        self._references = 0

    def run(self, wanted: list[Literal]) -> bool:
        stack: list[tuple[list[Literal], list[Literal], dict[str, Literal]]] = [(wanted, [], {})]
        for _ in range(BRANCHES_MAX):
            if not stack:
                return False
            todo, choices, branch = stack.pop()
            if not self._collect(todo, choices, branch) or not _consistent(branch.values()):
                continue
            if not choices:
                return True
            node, holds = choices.pop()
            assert isinstance(node, (tree.And, tree.Or))
            stack += [([(part, holds)], list(choices), dict(branch)) for part in node.of]
        return True

    def _collect(self, todo: list[Literal], choices: list[Literal], branch: dict[str, Literal]) -> bool:
        """Move what is certain into the branch and what is open into ``choices``; False at a plain contradiction."""
        while todo:
            node, holds = todo.pop()
            match node:
                case tree.Not(of=of):
                    todo.append((of, not holds))
                case tree.And(of=of) | tree.Or(of=of):
                    if holds == isinstance(node, tree.And):
                        todo += [(part, holds) for part in of]
                    else:
                        choices.append((node, holds))
                case tree.Compare(op="!="):
                    todo.append((tree.Compare(node.left, "==", node.right), not holds))
                case _:
                    if not self._add(node, holds, todo, branch):
                        return False
        return True

    def _add(self, atom: Condition, holds: bool, todo: list[Literal], branch: dict[str, Literal]) -> bool:
        key = tree.text(atom)
        if key in branch:
            return branch[key][1] == holds
        branch[key] = (atom, holds)
        if isinstance(atom, tree.InSegment):
            return self._refer(atom.segment, holds, todo)
        if holds:
            todo += _implied(atom)
        return True

    def _refer(self, name: str, inside: bool, todo: list[Literal]) -> bool:
        """What being inside or outside says about the definition of a segment."""
        if inside and name in self._known.never:
            return False
        segment = self._known.segments.get(name)
        self._references += 1
        if segment is None or self._references > REFERENCES_MAX or _asks_models(segment):
            return True
        if inside and not segment.stay_ms:
            todo.append((segment.when, True) if segment.exit is None else (segment.exit, False))
        if not inside and not segment.cooldown_ms:
            enters = segment.when if segment.exit is None else tree.And((segment.when, tree.Not(segment.exit)))
            todo.append((enters, False))
        return True


def _asks_models(segment: Segment) -> bool:
    """Whether a segment is left alone while a model has nothing to say: then inside does not mean that its condition holds."""
    asking = (tree.Score, tree.Percentile, tree.Group)
    return any(isinstance(node, asking) for condition in segment.conditions for node in nodes(condition))


def _implied(atom: Condition) -> list[Literal]:
    """What else must hold when an atom does: what it reads is there."""
    match atom:
        case tree.Compare(left=left) | tree.OneOf(left=left):
            return _present(left)
        case tree.Contains(of=of) | tree.StartsWith(of=of) | tree.Birthday(of=of):
            return [(tree.Exists(of), True)]
        case tree.CompareDuration(left=left):
            return [(tree.Exists(left.of if isinstance(left, tree.Unchanged) else left.time), True)]
        case tree.CompareTime(left=left, op=op, right=right):
            return [(tree.Exists(left if isinstance(right, int) or op in (">", ">=") else right), True)]
        case tree.Exists(of=of):
            return _implied_by_existence(of)
        case tree.Did() | tree.Sequence() | tree.InSegment():
            return []
        case tree.And() | tree.Or() | tree.Not():
            return []  # taken apart before
        case _:
            assert_never(atom)


def _implied_by_existence(of: Value | Time) -> list[Literal]:
    match of:
        case tree.Entered(segment=name):
            return [(tree.InSegment(name), True)]
        case tree.Left(segment=name):
            return [(tree.InSegment(name), False)]
        case tree.Number(of=inner) | tree.Lower(of=inner) | tree.Date(of=inner):
            return [(tree.Exists(inner), True)]
        case tree.Trait() | tree.Context() | tree.Prop() | tree.EventContext() | tree.Language() | tree.Top() | tree.Group():
            return []
        case tree.Latest() | tree.Earliest() | tree.Last() | tree.First() | tree.Moment():
            return []
        case _:
            assert_never(of)


def _present(left: Value | Numeric) -> list[Literal]:
    match left:
        case tree.Age(of=of):
            return [(tree.Exists(of), True)]
        case tree.Count() | tree.Aggregate() | tree.Active() | tree.Clock() | tree.Score() | tree.Percentile():
            return []
        case tree.Trait() | tree.Context() | tree.Prop() | tree.EventContext() | tree.Number() | tree.Lower() | tree.Language():
            return [(tree.Exists(left), True)]
        case tree.Top() | tree.Latest() | tree.Earliest() | tree.Group():
            return [(tree.Exists(left), True)]
        case _:
            assert_never(left)


# one value at a time --------------------------------------------------------------------------------------------------


class Constraint(NamedTuple):
    """What one literal says of a value: a test, whether it must pass, and the constants at which it turns."""

    test: Test
    holds: bool
    constants: tuple[Any, ...]


def _consistent(branch: Iterable[Literal]) -> bool:
    said: dict[str, tuple[Subject, list[Constraint]]] = {}
    facts: list[Fact] = []
    for atom, holds in branch:
        for node, constraint in _constraints_of(atom, holds):
            said.setdefault(repr(node) if isinstance(node, TimeRelation) else tree.text(node), (node, []))[1].append(constraint)
        if isinstance(atom, tree.Sequence) and holds:
            facts += sequence_facts(atom)
    for node, constraints in said.values():
        left = _survivors(node, constraints)
        if not left:
            return False
        facts += facts_of(node, left, [constant for constraint in constraints for constant in constraint.constants])
    wheres = (fact.events.where for fact in facts if fact.least > 0)
    return agree(facts) and all(where is None or possible([(where, True)]) for where in wheres)


def _constraints_of(atom: Condition, holds: bool) -> list[tuple[Subject, Constraint]]:
    match atom:
        case tree.Compare(left=left, op=op, right=right):
            compare = values.COMPARE[op]
            return [(left, Constraint(lambda value: compare(value, right), holds, (right,)))]
        case tree.OneOf(left=left, items=items):
            return [(left, Constraint(lambda value: one_of(value, items), holds, items))]
        case tree.Did(events=events, window=window):
            return [(tree.Count(events, window), Constraint(lambda value: value >= 1, holds, (1,)))]
        case tree.Exists(of=of):
            return [(of, Constraint(lambda value: value is not None, holds, ()))]
        case tree.CompareDuration(left=left, op=op, right_ms=ms):
            return [_duration_constraint(left, _ORDER[op], ms, holds)]
        case tree.CompareTime(left=left, op=op, right=right):
            return [_moment_constraint(left, op, right, holds) if isinstance(right, int) else _times_constraint(left, op, right, holds)]
        case tree.InSegment(segment=name):
            return [(tree.Entered(name), Constraint(lambda value: value is not None, holds, ()))]
        case tree.Contains() | tree.StartsWith() | tree.Birthday() | tree.Sequence():
            return []  # nothing is proved of them
        case tree.And() | tree.Or() | tree.Not():
            return []  # taken apart before
        case _:
            assert_never(atom)


def _duration_constraint(left: tree.Duration, compare: Callable[[Any, Any], bool], ms: int, holds: bool) -> tuple[Subject, Constraint]:
    """A time is read as how long ago it was; ahead of now it is negative."""
    match left:
        case tree.Since(time=time):
            return time, Constraint(lambda ago: ago is not None and ago >= 0 and compare(ago, ms), holds, (ms, 0))
        case tree.Until(time=time):
            return time, Constraint(lambda ago: ago is not None and ago < 0 and compare(-ago, ms), holds, (-ms, 0))
        case tree.Unchanged():
            return left, Constraint(lambda length: length is not None and compare(length, ms), holds, (ms,))


def _moment_constraint(left: Time, op: OrderOp, right: int, holds: bool) -> tuple[Subject, Constraint]:
    compare = _ORDER[op]
    return TimeRelation("at", tree.text(left)), Constraint(lambda value: value is not None and compare(value, right), holds, (right,))


def _times_constraint(left: Time, op: OrderOp, right: Time, holds: bool) -> tuple[Subject, Constraint]:
    """Two times are read as the sign of their difference; None when neither is there."""
    one, other = tree.text(left), tree.text(right)
    if one > other:
        one, other, op = other, one, _TURNED[op]
    compare = _ORDER[op]
    relation = TimeRelation("same" if one == other else "times", one, other)
    return relation, Constraint(lambda sign: sign is not None and compare(sign, 0), holds, ())


def _survivors(node: Subject, constraints: list[Constraint]) -> list[Any]:
    """Values, one of each stretch, that agree with all constraints; of what may be a list, elements that could stand in it."""
    candidates = _candidates(node, [constant for constraint in constraints for constant in constraint.constants])
    if not _may_be_list(node):
        return [value for value in candidates if all(constraint.test(value) == constraint.holds for constraint in constraints)]
    if all(constraint.test(None) == constraint.holds for constraint in constraints):
        return [None, _OBJECT]
    allowed = [
        value
        for value in candidates
        if value is not None and not any(constraint.test(value) for constraint in constraints if not constraint.holds)
    ]
    return allowed if all(any(constraint.test(value) for value in allowed) for constraint in constraints if constraint.holds) else []


def _may_be_list(node: Subject) -> bool:
    if isinstance(node, (tree.Number, tree.Lower)):
        return _may_be_list(node.of)
    return isinstance(node, (tree.Trait, tree.Context, tree.Prop, tree.EventContext, tree.Latest, tree.Earliest))


def _candidates(node: Subject, constants: list[Any]) -> list[Any]:
    numbers = [constant for constant in constants if values.is_number(constant)]
    texts = [constant for constant in constants if isinstance(constant, str)]
    match node:
        case tree.Count() | tree.Aggregate(name="distinct"):
            return _whole(numbers, 0, None)
        case tree.Active(periods=periods):
            return _whole(numbers, 0, periods)
        case tree.Clock(unit=unit):
            return list(_CLOCKS[unit])
        case tree.Age() | tree.Unchanged() | tree.Last() | tree.First() | tree.Entered() | tree.Left():
            return [None, *_whole(numbers, 0, None)]
        case tree.Aggregate(name="sum"):
            return _reals([*numbers, 0])
        case tree.Aggregate():
            return [None, *_reals(numbers)]
        case TimeRelation(kind=kind):
            return {"same": [None, 0], "times": [None, -1, 0, 1], "at": [None, *_whole(numbers, None, None)]}[kind]
        case tree.Date() | tree.Moment():
            return [None, *_whole(numbers, None, None)]
        case tree.Language():
            return [None, *_texts([text for text in texts if text], lambda text: text == values.language_of(text))]
        case tree.Number():
            return [None, *_reals(numbers)]
        case tree.Lower():
            return [None, *_reals(numbers), *_texts(texts, lambda text: text == text.lower()), True, False, _OBJECT]
        case tree.Score() | tree.Percentile():
            return [None, *_reals(numbers)]
        case tree.Trait() | tree.Context() | tree.Prop() | tree.EventContext() | tree.Latest() | tree.Earliest():
            return _any_values(numbers, texts)
        case tree.Top() | tree.Group():
            return _any_values(numbers, texts)
        case _:
            assert_never(node)


def _any_values(numbers: list[Any], texts: list[str]) -> list[Any]:
    return [None, *_reals(numbers), *_texts(texts, lambda text: True), True, False, _OBJECT]


def _whole(constants: list[Any], least: int | None, most: int | None) -> list[int]:
    found = {part + step for constant in (*constants, least or 0) for part in (floor(constant), ceil(constant)) for step in (-1, 0, 1)}
    if most is not None:
        found.add(most)
    return sorted(value for value in found if (least is None or value >= least) and (most is None or value <= most))


def _reals(constants: list[Any]) -> list[int | float]:
    known = sorted({*constants, 0})
    between = [(one + other) / 2 for one, other in pairwise(known)]
    return [known[0] - 1, *known, *between, known[-1] + 1]


def _texts(constants: list[str], can_be: Callable[[str], bool]) -> list[str]:
    """Every constant that can be, and the text right after each: the first of the stretch up to the next."""
    return ["", *(text for text in constants if can_be(text)), *(text + "\0" for text in constants)]
