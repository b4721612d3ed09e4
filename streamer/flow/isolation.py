"""An error that nobody foresaw costs one record or one customer's timers: what fails twice, the second time alone, is passed over."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from streamer.errors import StreamerError, place_of

from .amendments import Amendment, Journal
from .machine import InHand

NOT_OF_THE_RECORD: Final = (MemoryError, RecursionError, StreamerError, OSError)  # of the machine, the store, the network


class Fault(NamedTuple):
    """Something that our code failed at twice and that was passed over: ``what`` of an amendment, the error's class and where it arose.
    Without the customer: it goes into logs."""

    what: str
    offset: int
    error: str
    place: str

    def in_words(self) -> str:
        """A sentence for people."""
        if self.what == "fault":
            became = "the record is a dead letter, its customer is as before it, and the shard goes on"
        else:
            became = "the customer is set aside: their memberships stand and none of their timers runs until their next event"
        return f"our own code failed twice at offset {self.offset} ({self.error}): {became}. The log of the worker has its place"


class Isolation:
    """What is suspected in one shard, and what was passed over. While there is a ``suspect`` everything is to be done one by one."""

    def __init__(self, shard: int, log_generation: int, journal: Journal) -> None:
        self.suspect: Amendment | None = None
        self.faults: list[Fault] = []
        self._shard = shard
        self._log_generation = log_generation
        self._journal = journal

    def culprit(self, error: Exception, offset: int | None, in_hand: InHand | None) -> Amendment:
        """The amendment that would pass over what failed: the customer in hand, or the record at ``offset`` (None: no record was begun).

        Raises ``error`` where it is no function of the record or the customer, or was passed over before and fails all the same.
        """
        if offset is None or isinstance(error, NOT_OF_THE_RECORD):
            raise error
        if in_hand is None:
            culprit = Amendment("fault", self._shard, offset, self._log_generation)
        else:
            culprit = Amendment("aside", self._shard, offset, self._log_generation, *in_hand)
        if self._journal.amendments.has(culprit):
            raise error
        return culprit

    async def note(self, culprit: Amendment, error: Exception) -> None:
        """What fails for the first time is suspected; what fails for the second time is passed over, by an amendment."""
        if self.suspect is None or not _is_same(self.suspect, culprit):
            self.suspect = culprit
            return
        kind = type(error).__name__
        await self._journal.write(msgspec.structs.replace(culprit, detail=kind, why=f"{kind} in {place_of(error)}"))
        self.faults.append(Fault(culprit.what, culprit.offset, kind, place_of(error)))
        self.suspect = None

    def pass_position(self, offset: int) -> None:
        """Everything below ``offset`` is committed: a suspect there failed by chance."""
        if self.suspect is not None and offset > self.suspect.offset:
            self.suspect = None


def _is_same(one: Amendment, other: Amendment) -> bool:
    return (one.what, one.offset, one.customer, one.due_ms) == (other.what, other.offset, other.customer, other.due_ms)
