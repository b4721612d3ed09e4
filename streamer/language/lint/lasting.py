"""What of a condition stays as it is once it is so, and how long the rest can hold without another event."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from streamer.language import tree
from streamer.language.tree import CompareOp, Condition, Numeric, Scalar, Value


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
