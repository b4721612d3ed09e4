"""The exit of a segment on scores: who entered at 0.7 leaves below 0.63, so that a score near the threshold changes nothing.

A segment whose ``when`` compares scores and that says nothing of leaving gets an ``exit`` of its own: ``not when``, with each threshold
loosened by a tenth in the direction of staying. It is an ordinary condition like one that is written by hand.
"""

from __future__ import annotations

from typing import Final

from . import tree
from .tree import Condition

MARGIN_RATIO: Final = 0.1
_LOOSER: Final[dict[str, float]] = {">=": 1 - MARGIN_RATIO, ">": 1 - MARGIN_RATIO, "<=": 1 + MARGIN_RATIO, "<": 1 + MARGIN_RATIO}


def staying(when: Condition) -> Condition | None:
    """The condition for leaving, or None when ``when`` compares no score.

    >>> from .parse import parse
    >>> tree.text(staying(parse('score("purchase") >= 0.7 and did("*", within="1d")')))
    'not (score("purchase") >= 0.63 and did("*", within="1d"))'
    """
    loose = _loosened(when, stays=True)
    if loose == when:
        return None
    return loose.of if isinstance(loose, tree.Not) else tree.Not(loose)


def _loosened(node: Condition, *, stays: bool) -> Condition:
    match node:
        case tree.And(of=of):
            return tree.And(tuple(_loosened(part, stays=stays) for part in of))
        case tree.Or(of=of):
            return tree.Or(tuple(_loosened(part, stays=stays) for part in of))
        case tree.Not(of=of):
            return tree.Not(_loosened(of, stays=not stays))
        case tree.Compare(left=tree.Score() | tree.Percentile() as left, op=op, right=right) if op in _LOOSER:
            factor = _LOOSER[op] if stays else 2 - _LOOSER[op]
            return tree.Compare(left, op, round(float(right) * factor, 6))
        case _:
            return node
