"""What a sender wrote down of the messages of one shard, so that whoever comes after it knows what may have left.

Before a provider is called an entry says ``attempting`` and is acknowledged by Kafka; afterwards another says what became of it. An
``attempting`` without an outcome therefore means that the message may or may not have left: a marketing message is then ``unknown``
and never sent again, a transactional one is sent again under the same id.

Entries name no customer and no address: those stand in the decision, which has the same key.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from streamer.errors import RefusedError
from streamer.wire import Instant

SendState = Literal["attempting", "deferred", "sent", "failed", "unknown", "read"]
Order = tuple[int, int, int]

ENDED: Final[frozenset[SendState]] = frozenset({"sent", "failed", "unknown"})
NOWHERE: Final[Order] = (-1, -1, -1)


class GoOn(msgspec.Struct, array_like=True, frozen=True):
    """Where a shard goes on: the first decision, by its offset, that is not settled; the offset of the ledger from which on entries may be
    about it or later ones; and the highest position of all decisions before it, at or below which every decision is a repetition."""

    decision: int = 0
    ledger: int = 0
    highest: Order = NOWHERE


class SendEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line. ``offset`` is the decision's; ``attempt`` counts from 1; ``until`` is when a deferred one is tried again.

    ``read`` says nothing of a message, and only where to go on.
    """

    state: SendState
    at: Instant
    go_on: GoOn
    key: str = ""
    message: str = ""
    channel: str = ""
    offset: int = -1
    attempt: int = 0
    reason: str = ""
    detail: str = ""
    until: Instant = ""


encode_entry: Final = msgspec.json.Encoder().encode
_decoder: Final = msgspec.json.Decoder(SendEntry)


def read_entry(raw: bytes) -> SendEntry:
    """An entry as its record has it; RefusedError for anything else."""
    try:
        return _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError("not_an_entry", detail=type(error).__name__) from None


class Book:
    """What the entries of a shard come to, read in their order from ``go_on.ledger`` of the newest one."""

    def __init__(self) -> None:
        self.go_on = GoOn()
        self.newest: dict[str, SendEntry] = {}  # by key, of decisions at or behind ``go_on.decision``

    def take(self, entry: SendEntry) -> None:
        """One more entry."""
        self.go_on = entry.go_on
        if entry.key:
            self.newest[entry.key] = entry

    def find(self, key: str) -> SendEntry | None:
        """The newest entry about a message; None where nothing was tried."""
        return self.newest.get(key)

    def forget(self, decision: int) -> None:
        """Drop what is about decisions before this offset: none of them is read again."""
        if self.newest:
            self.newest = {key: entry for key, entry in self.newest.items() if entry.offset >= decision}


__all__ = ["ENDED", "NOWHERE", "Book", "GoOn", "Order", "SendEntry", "SendState", "encode_entry", "read_entry"]
