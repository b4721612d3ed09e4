"""Which known word a wrong one was probably meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

LIKENESS: Final = 0.6  # of difflib's ratio; one letter left out of five is 0.89


def nearest(word: str, known: Iterable[str], *, likeness: float = LIKENESS) -> str | None:
    """The known word that is most like this one; None if none is like it enough."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=likeness)
    return close[0] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question for the end of an error, ``did you mean cart?``; empty if no known word is like this one."""
    close = nearest(word, known)
    return f"did you mean {close}?" if close is not None else ""
