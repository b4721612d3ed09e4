"""How much of a log one commit covers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from streamer.events.event import Event
from streamer.wire import Control

from .identity_records import Adopt, Erasure, Link, Redirect, Restore, Side
from .isolation import Isolation
from .machine import ALONE, Content, Limits
from .record_reader import Item

RECONFIGURE: Final = frozenset({"definitions", "model", "withdraw"})  # controls that change by what a machine works: each stands alone


def customer_of(content: Content) -> str | None:
    """Whom a record is of; None where it is of nobody."""
    if isinstance(content, Event | Link | Adopt | Side | Redirect | Erasure | Restore):
        return content.customer
    return content.customer or None if isinstance(content, Control) else None


class Slicing:
    """Cuts a shard's records into stretches. It learns how many records fit, so that what does not fit is not read again and again."""

    def __init__(self, limits: Limits, isolation: Isolation) -> None:
        self._limits = limits
        self._isolation = isolation
        self._records = limits.records  # how many the next stretch may have

    @property
    def limits(self) -> Limits:
        """What a commit may cover now: one by one while something is suspected."""
        return self._limits if self._isolation.suspect is None else ALONE

    def extent(self, items: Sequence[Item], at: int, end: int) -> tuple[int, dict[str, int]]:
        """Where the stretch from ``at`` ends, at ``end`` at the latest, and the customers in it, each with the index of its last item."""
        last: dict[str, int] = {}
        limits = self.limits
        end = min(end, at + min(self._records, limits.records))
        for index in range(at, end):
            content = items[index][1]
            if isinstance(content, Event):
                last[content.user_id or content.anonymous_id or ""] = index
            elif isinstance(content, Control) and content.control in RECONFIGURE:
                return index, last
            elif (customer := customer_of(content)) is not None:
                last[customer] = index
            if len(last) >= limits.states:
                return index + 1, last
        return end, last

    def learn(self, covered: int, wanted: int) -> None:
        """So many of the records of a stretch fitted into its commit."""
        if self._isolation.suspect is None:
            self._records = max(1, covered) if covered < wanted else min(self._limits.records, 2 * self._records)
