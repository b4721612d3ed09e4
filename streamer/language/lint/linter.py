"""What is allowed but suspicious in definitions.

A finding that says "never" or "always" is proved (``feasible``): it is about every customer and every history, but for what an erasure or
newly published definitions do. Names of events that are almost those of Segment's specification, and segments that say the same, are only
pointed out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from math import inf
from typing import Final

from streamer.language import tree
from streamer.language.definitions import Definitions, Segment, nodes
from streamer.language.durations import format_duration
from streamer.language.tree import CompareOp, Condition, Numeric, Scalar, Value

from .feasible import KnownSegments, Literal, possible

# Segment's e-commerce, mobile and review specifications, https://segment.com/docs/connections/spec/ecommerce/v2/
KNOWN_EVENTS: Final = (
    *("Products Searched", "Product List Viewed", "Product List Filtered", "Promotion Viewed", "Promotion Clicked"),
    *("Product Clicked", "Product Viewed", "Product Added", "Product Removed", "Cart Viewed"),
    *("Checkout Started", "Checkout Step Viewed", "Checkout Step Completed", "Payment Info Entered"),
    *("Order Completed", "Order Updated", "Order Refunded", "Order Cancelled"),
    *("Coupon Entered", "Coupon Applied", "Coupon Denied", "Coupon Removed"),
    *("Product Added to Wishlist", "Product Removed from Wishlist", "Wishlist Product Added to Cart"),
    *("Product Shared", "Cart Shared", "Product Reviewed"),
    *("Application Installed", "Application Opened", "Application Backgrounded", "Application Updated"),
    *("Application Uninstalled", "Application Crashed"),
)
_BY_LOWER: Final = {name.lower(): name for name in KNOWN_EVENTS}


@dataclass(frozen=True, slots=True)
class Finding:
    """One suspicion about one segment."""

    segment: str
    message: str
    file: str = ""
    line: int = 0


def lint(definitions: Definitions) -> list[Finding]:
    """Segments that nobody can enter, that hold everybody or cannot be left, parts that decide nothing, names that are almost known."""
    found: list[Finding] = []
    linter = _Linter()
    for segment in definitions.segments:  # those referred to first
        found += [Finding(segment.name, message, segment.file, segment.line) for message in linter.messages(segment)]
    return sorted(found, key=lambda finding: (finding.file, finding.line, finding.segment))


class _Linter:
    """Looks at one segment after the other, and remembers what it proved of those before."""

    def __init__(self) -> None:
        self._segments: dict[str, Segment] = {}
        self._never: set[str] = set()  # nobody can enter
        self._forever: set[str] = set()  # nobody can leave
        self._same: dict[tuple[str, str, int, int], str] = {}

    def messages(self, segment: Segment) -> Iterator[str]:
        known = KnownSegments(self._segments, frozenset(self._never))
        yield from self._membership(segment, known)
        yield from self._names(segment)
        yield from self._twins(segment)
        self._segments[segment.name] = segment

    def _membership(self, segment: Segment, known: KnownSegments) -> Iterator[str]:
        when, leave = segment.when, segment.exit
        if not possible([(when, True)], known):
            self._never.add(segment.name)
            yield f"nobody can enter: {_conflict(when, known)}"
            return
        if leave is not None and not possible([(when, True), (leave, False)], known):
            self._never.add(segment.name)
            yield "nobody can enter: its exit holds whenever its when does"
            return
        if not possible([(when, False)], known):
            yield "its when is always true" + (": it holds everybody" if leave is None else "")
            if leave is None:
                self._forever.add(segment.name)
                return
        if self._is_forever(segment, known):
            self._forever.add(segment.name)
            yield "nobody can leave: " + _why_forever(segment, known)
        if leave is not None and segment.stay_ms > (lasts := lasts_ms(leave)):
            yield (
                f"its exit holds for at most {format_duration(int(lasts))} after an event, its stay is "
                f"{format_duration(segment.stay_ms)}: an exit may pass unseen"
            )
        yield from _idle_parts(segment, known)

    def _is_forever(self, segment: Segment, known: KnownSegments) -> bool:
        """What lets somebody in, and stays true, rules out what would let them leave."""
        parts = segment.when.of if isinstance(segment.when, tree.And) else (segment.when,)
        kept: list[Literal] = [(part, True) for part in parts if stays(part, True, self._forever)]
        leave: Literal = (segment.when, False) if segment.exit is None else (segment.exit, True)
        return not possible([*kept, leave], known)

    def _twins(self, segment: Segment) -> Iterator[str]:
        leave = "" if segment.exit is None else canonical(segment.exit)
        key = (canonical(segment.when), leave, segment.stay_ms, segment.cooldown_ms)
        other = self._same.setdefault(key, segment.name)
        if other != segment.name:
            yield f"says the same as {other!r}"

    @staticmethod
    def _names(segment: Segment) -> Iterator[str]:
        names = (
            name for condition in segment.conditions for node in nodes(condition) if isinstance(node, tree.Events) for name in node.names
        )
        for name in dict.fromkeys(names):
            meant = almost_known(name)
            if meant is not None:
                yield f'listens to "{name}", which is almost "{meant}"; did you mean that?'


def _conflict(when: Condition, known: KnownSegments) -> str:
    """The smallest part that explains why a condition is impossible."""
    parts = when.of if isinstance(when, tree.And) else (when,)
    for part in parts:
        if not possible([(part, True)], known):
            return f"{_short(part)} is never true"
    for one, other in combinations(parts[:20], 2):
        if not possible([(one, True), (other, True)], known):
            return f"{_short(one)} excludes {_short(other)}"
    return "its parts exclude each other"


def _why_forever(segment: Segment, known: KnownSegments) -> str:
    if segment.exit is None:
        return "once its when is true it stays so; a window (within=) or an exit would end it"
    if not possible([(segment.exit, True)], known):
        return f"{_conflict(segment.exit, known)}, so its exit is never true"
    return "what lets somebody in rules out its exit for good"


def _idle_parts(segment: Segment, known: KnownSegments) -> Iterator[str]:
    """Atoms that are the same for everybody, and conditions that no event can satisfy."""
    for key, condition in (("when", segment.when), ("exit", segment.exit)):
        for atom in dict.fromkeys(_atoms(condition)) if condition is not None else ():
            if not possible([(atom, True)], known):
                yield f"in {key}: {_short(atom)} is never true"
            elif not possible([(atom, False)], known):
                yield f"in {key}: {_short(atom)} is always true"


def _atoms(condition: Condition) -> Iterator[Condition]:
    if isinstance(condition, (tree.And, tree.Or)):
        for part in condition.of:
            yield from _atoms(part)
    elif isinstance(condition, tree.Not):
        yield from _atoms(condition.of)
    else:
        yield condition


def _short(condition: Condition) -> str:
    text = tree.text(condition)
    return text if len(text) <= 160 else text[:159] + "…"


# what stays -----------------------------------------------------------------------------------------------------------


def stays(condition: Condition, holds: bool, forever: Iterable[str] = ()) -> bool:
    """Whether a condition that once is ``holds`` stays so, whatever happens. ``forever`` are segments that nobody can leave."""
    match condition:
        case tree.And(of=of) | tree.Or(of=of):
            return all(stays(part, holds, forever) for part in of)
        case tree.Not(of=of):
            return stays(of, not holds, forever)
        case tree.Did(window=window):
            return holds and window.ever
        case tree.Exists(of=tree.Last() | tree.First()):
            return holds
        case tree.InSegment(segment=name):
            return holds and name in forever
        case tree.Sequence(then_not=None, over_ms=0):
            return holds
        case tree.Compare(left=left, op=op, right=right):
            return _comparison_stays(left, op, right, holds)
        case tree.CompareDuration(left=tree.Since(time=tree.First()), op=">" | ">="):
            return holds  # a late event only makes the first one older
        case (
            tree.CompareTime(left=tree.Last(), op=">" | ">=", right=int()) | tree.CompareTime(left=tree.First(), op="<" | "<=", right=int())
        ):
            return holds
        case _:
            return False


def _comparison_stays(left: Value | Numeric, op: CompareOp, right: Scalar, holds: bool) -> bool:
    match left:
        case tree.Count(window=window) | tree.Aggregate(name="distinct", window=window) if window.ever:
            if op in ("==", "!="):
                return right == 0 and holds == (op == "!=")
            return holds == (op in (">", ">="))
        case tree.Aggregate(name="max", window=window) if window.ever:
            return holds and op in (">", ">=")
        case tree.Aggregate(name="min", window=window) if window.ever:
            return holds and op in ("<", "<=")
        case _:
            return False


def lasts_ms(condition: Condition) -> float:
    """The longest time for which a condition can hold without another event; ``inf`` when no bound is known."""
    match condition:
        case tree.And(of=of):
            return min(map(lasts_ms, of))
        case tree.Or(of=of):
            return max(map(lasts_ms, of))
        case tree.Did(window=window):
            return window.within_ms or inf
        case tree.Compare(left=tree.Count(window=window), op=">" | ">=" | "==", right=int() as right) if right > 0 and window.within_ms:
            return window.within_ms
        case tree.CompareDuration(left=tree.Since(), op="<" | "<=", right_ms=right_ms):
            return right_ms
        case tree.Sequence(wait_ms=wait_ms, over_ms=over_ms) if over_ms:
            return wait_ms + over_ms
        case _:
            return inf


# sameness and names ---------------------------------------------------------------------------------------------------


def canonical(condition: Condition) -> str:
    """A text that is the same for conditions that differ in the order of their parts only."""
    match condition:
        case tree.And(of=of) | tree.Or(of=of):
            word = " and " if isinstance(condition, tree.And) else " or "
            return f"({word.join(sorted({canonical(part) for part in of}))})"
        case tree.Not(of=of):
            return f"not {canonical(of)}"
        case tree.Compare(left=left, op="!=", right=right):
            return f"not {canonical(tree.Compare(left, '==', right))}"
        case tree.OneOf(left=left, items=items):
            return tree.text(tree.OneOf(left, tuple(sorted(set(items), key=repr))))
        case _:
            return tree.text(condition)


def almost_known(name: str) -> str | None:
    """The event of Segment's specification that a name misses by its case or by one letter."""
    if name in KNOWN_EVENTS or name.endswith("*"):
        return None
    found = _BY_LOWER.get(name.lower())
    return found or next((known for known in KNOWN_EVENTS if _one_letter_apart(name.lower(), known.lower())), None)


def _one_letter_apart(one: str, other: str) -> bool:
    """Equal after changing, adding or dropping one letter, or swapping two neighbours."""
    if abs(len(one) - len(other)) > 1:
        return False
    start = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    rest, other_rest = one[start:], other[start:]
    return (
        rest[1:] == other_rest[1:]
        or rest[1:] == other_rest
        or rest == other_rest[1:]
        or (rest[1:2] + rest[:1] == other_rest[:2] and rest[2:] == other_rest[2:])
    )
