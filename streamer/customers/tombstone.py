"""What is left under an id whose customer goes by another one: where to send what still comes in under it.

It stands where the state stood and is told from one by its first byte. It is kept as long as the log, so it is small: about 45 bytes for an
id of 36 characters, and two or three for each record of the id. Of all changes that were said of the id it keeps one number, since numbers
of changes are never used twice.
"""

from __future__ import annotations

from collections.abc import Container
from itertools import pairwise
from typing import Final

import msgspec
from msgspec.structs import replace

from .offsets import NOT_NOTED, RecordOffsets


class Tombstone(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """``to`` is where events go, ``since_ms`` from when on (UTC log time; 0: from the beginning).

    A device that several people use has ``earlier``: where events went before, as (since_ms, id), ascending. Which one an event is for is
    decided by its own timestamp, so that a second delivery goes where the first one went. ``changes`` is at or above the number of every
    change that was said of the id, and even: should the id be a customer again, each segment counts on from there.
    ``newest_offset`` and ``offset_gaps`` say where the records lie by which the id became a customer, and an old id, and all that has moved
    its pointers since: by them its past is told, and goes on should it be a customer again.
    """

    to: str
    since_ms: int = 0
    earlier: tuple[tuple[int, str], ...] = ()
    changes: int = 0
    newest_offset: int = NOT_NOTED
    offset_gaps: bytes = b""

    @property
    def offsets(self) -> RecordOffsets:
        """Where the records lie, see ``customers.offsets``."""
        return RecordOffsets(self.newest_offset, self.offset_gaps)

    @property
    def ids(self) -> list[str]:
        """Everybody to whom it points, the newest first, each once."""
        return list(dict.fromkeys([self.to, *(to for _, to in reversed(self.earlier))]))

    @property
    def first(self) -> str:
        """Who has the past of this id."""
        return self.earlier[0][1] if self.earlier else self.to

    def target(self, timestamp_ms: int, skew_ms: int) -> str:
        """Who an event with this timestamp is for. An event may be ``skew_ms`` ahead of log time, so one up to that far behind the moment
        of a new pointer may have come before it."""
        if not self.earlier or timestamp_ms > self.since_ms + skew_ms:
            return self.to
        later = (to for since_ms, to in reversed(self.earlier) if timestamp_ms > since_ms + skew_ms)
        return next(later, self.first)

    def repointed(self, to: str, now: int, horizon_ms: int) -> Tombstone:
        """From ``now`` on events go to somebody else. The first pointer stays: that customer has the past of this id; others are dropped
        when they ended at or before ``horizon_ms``."""
        pointers = [*self.earlier, (self.since_ms, self.to)]
        ends = [since_ms for since_ms, _ in pointers[1:]] + [now]
        kept = [pointer for at, (pointer, end_ms) in enumerate(zip(pointers, ends, strict=True)) if at == 0 or end_ms > horizon_ms]
        return replace(self, to=to, since_ms=now, earlier=tuple(kept))

    def redirected(self, instead_of: Container[str], to: str) -> Tombstone:
        """Every pointer to one of ``instead_of`` points to ``to``."""
        pointers = [(since_ms, to if id_ in instead_of else id_) for since_ms, id_ in (*self.earlier, (self.since_ms, self.to))]
        return self._with(pointers)

    def without(self, gone: Container[str]) -> Tombstone | None:
        """Without the pointers to any of these; None when there is no other."""
        pointers = [(since_ms, id_) for since_ms, id_ in (*self.earlier, (self.since_ms, self.to)) if id_ not in gone]
        return self._with(pointers) if pointers else None

    def _with(self, pointers: list[tuple[int, str]]) -> Tombstone:
        """The same with these pointers, ascending; of neighbours to the same id the first is enough."""
        kept = [pointers[0]]
        kept += [after for before, after in pairwise(pointers) if after[1] != before[1]]
        return replace(self, to=kept[-1][1], since_ms=kept[-1][0] if len(kept) > 1 else 0, earlier=tuple(kept[:-1]))


encode_tombstone: Final = msgspec.msgpack.Encoder().encode
decode_tombstone: Final = msgspec.msgpack.Decoder(Tombstone).decode
_FIRST_BYTE: Final = encode_tombstone(Tombstone(""))[:1]  # a MessagePack array of six; a state is a longer one


def is_tombstone(blob: bytes) -> bool:
    """Whether an entry of the store is a tombstone."""
    return blob.startswith(_FIRST_BYTE)
