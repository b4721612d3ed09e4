"""Which message ids a customer has sent lately, so that the same event counts once.

An id is remembered while the timestamp it came with could still be accepted (to the minute), so a repeated event is either found here or
refused as late: a duplicate that nobody can detect is never applied. Entries are ordered by minute, so what is forgotten over the cap is
the oldest.

An entry is two bytes of minutes and six of BLAKE2b. All remembered minutes lie at or after that of the newest forgotten timestamp, the
floor, so two bytes suffice for 45 days. Whoever has ids further apart (a longer allowed lateness, a shard that lags behind the one that
sent an event on) has four bytes for each minute, and a byte at the end that makes the length odd.

Two of 50 ids of one customer have the same six bytes once in 2 * 10^11 customers; a new event is then taken for a second delivery. Five
bytes would do that once in 9 * 10^8.

What it costs (``python -m tests.bench.ids``): 1 µs an event with 20 ids, 3 µs with 512, 80 µs and 66 kB of state with the most. Only who
sends so much pays for it.
"""

from __future__ import annotations

from hashlib import blake2b
from operator import itemgetter
from typing import Final, NamedTuple

from streamer.units import MINUTE_MS

ID_BYTES: Final = 6
NARROW: Final = 2  # bytes of a minute
WIDE: Final = 4
WIDE_END: Final = b"\x00"
ENTRY_BYTES: Final = NARROW + ID_BYTES
NARROW_SPAN: Final = 1 << 8 * NARROW
IDS_MAX: Final = 8_192  # one event every ten seconds of a day, or 270 a day over a month of lateness; paid only by who sends as much


def digest(message_id: str) -> bytes:
    """The six bytes that stand for an id."""
    return blake2b(message_id.encode(), digest_size=ID_BYTES).digest()


def is_remembered(seen: bytes, key: bytes, *, horizon_ms: int, floor_ms: int) -> bool:
    """Whether ``key`` is among ``seen`` with a timestamp not older than ``horizon_ms`` (to the minute).

    ``floor_ms`` is that of the state, see ``remember``.
    """
    at = seen.find(key)
    if at < 0:
        return False
    ids = _Ids(seen, floor_ms // MINUTE_MS)
    while at >= 0:
        if at % ids.entry == ids.width and ids.minute(at - ids.width) >= horizon_ms // MINUTE_MS:
            return True
        at = seen.find(key, at + 1)
    return False


def keys(seen: bytes) -> set[bytes]:
    """What stands for each id that is among ``seen``."""
    entry = (WIDE if len(seen) & 1 else NARROW) + ID_BYTES
    return {seen[end - ID_BYTES : end] for end in range(entry, len(seen) + 1, entry)}


def remember(seen: bytes, key: bytes, *, timestamp_ms: int, horizon_ms: int, floor_ms: int) -> tuple[bytes, int]:
    """``seen`` with ``key`` added and what is expired dropped; and the floor from then on.

    ``floor_ms`` is what the last call returned (at first anything below ``timestamp_ms``): whatever is dated at or before it is refused.
    It is never below ``horizon_ms``. Over the cap all ids of the oldest minute are forgotten, and the floor is the end of that minute.
    """
    floor, minute, size = floor_ms // MINUTE_MS, timestamp_ms // MINUTE_MS, len(seen)
    if horizon_ms > floor_ms:
        floor_ms = horizon_ms
    new_floor = floor_ms // MINUTE_MS
    if not size & 1 and size < IDS_MAX * ENTRY_BYTES and minute - new_floor < NARROW_SPAN:
        oldest = (int.from_bytes(seen[:NARROW], "big") - floor) % NARROW_SPAN
        newest = (int.from_bytes(seen[-ENTRY_BYTES:-ID_BYTES], "big") - floor) % NARROW_SPAN
        if not size or (oldest >= new_floor - floor and newest <= minute - floor):  # it stands last, and nothing goes: nearly always
            return seen + (minute % NARROW_SPAN).to_bytes(NARROW, "big") + key, floor_ms
        if newest < new_floor - floor:  # all goes: of whoever comes rarely, nearly always
            return (minute % NARROW_SPAN).to_bytes(NARROW, "big") + key, floor_ms
    return _inserted(_Ids(seen, floor), key, minute, floor_ms)


class UnitedIds(NamedTuple):
    """What is remembered of two names together: ``seen`` and the floor, see ``remember``, and how many ids ``both`` had remembered."""

    seen: bytes
    floor_ms: int
    both: int


def united(seen: bytes, floor_ms: int, others: bytes, others_floor_ms: int) -> UnitedIds:
    """The ids of two names, each with its floor. The later floor holds for both: before it one of them may have forgotten ids. Over the
    cap the oldest minutes are forgotten, as ever."""
    newest = _Ids(seen, floor_ms // MINUTE_MS).newest()
    theirs = _Ids(others, others_floor_ms // MINUTE_MS).newest()
    both = len(newest.keys() & theirs.keys())
    for key, minute in theirs.items():
        newest[key] = max(minute, newest.get(key, minute))
    floor_ms = max(floor_ms, others_floor_ms)
    kept = sorted((entry for entry in newest.items() if entry[1] >= floor_ms // MINUTE_MS), key=itemgetter(1))
    surplus = len(kept) - IDS_MAX
    if surplus > 0:
        forgotten = kept[surplus - 1][1]
        kept = [entry for entry in kept if entry[1] > forgotten]
        floor_ms = max(floor_ms, (forgotten + 1) * MINUTE_MS - 1)
    wide = b"".join([minute.to_bytes(WIDE, "big") + key for key, minute in kept]) + WIDE_END
    return UnitedIds(_narrowed(_Ids(wide, floor_ms // MINUTE_MS)), floor_ms, both)


def _inserted(ids: _Ids, key: bytes, minute: int, floor_ms: int) -> tuple[bytes, int]:
    """As ``remember`` returns it, in all other cases."""
    first = floor_ms // MINUTE_MS
    if minute - first >= NARROW_SPAN or ids.width == WIDE:
        ids = _Ids(ids.widened(), ids.floor)
    end = len(ids.seen) - len(ids.end)
    at = ids.place(minute + 1)
    grown = b"".join((ids.seen[ids.place(first) : at], ids.written(minute), key, ids.seen[at:end]))
    if len(grown) > IDS_MAX * ids.entry:
        kept = _Ids(grown + ids.end, first)
        oldest = kept.minute(0)
        grown = grown[kept.place(oldest + 1) :]
        floor_ms = max(floor_ms, (oldest + 1) * MINUTE_MS - 1)
    return _narrowed(_Ids(grown + ids.end, floor_ms // MINUTE_MS)), floor_ms


class _Ids:
    """Entries of either width. ``minute`` and ``place`` are in whole minutes of UTC; places are in bytes."""

    __slots__ = ("end", "entry", "floor", "seen", "width")

    def __init__(self, seen: bytes, floor: int) -> None:
        self.seen = seen
        self.width, self.end = (WIDE, WIDE_END) if len(seen) & 1 else (NARROW, b"")
        self.entry = self.width + ID_BYTES
        self.floor = floor  # no entry is before this minute

    def minute(self, at: int) -> int:
        """The minute of the entry at a place."""
        found = int.from_bytes(self.seen[at : at + self.width], "big")
        return self.floor + (found - self.floor) % NARROW_SPAN if self.width == NARROW else found

    def newest(self) -> dict[bytes, int]:
        """The newest minute of each id, in the order in which they lie."""
        found = dict[bytes, int]()
        for at in range(0, len(self.seen) - len(self.end), self.entry):
            key = self.seen[at + self.width : at + self.entry]
            found.pop(key, None)
            found[key] = self.minute(at)
        return found

    def written(self, minute: int) -> bytes:
        """A minute as entries of this width have it."""
        return (minute % (1 << 8 * self.width)).to_bytes(self.width, "big")

    def place(self, minute: int) -> int:
        """Where the first entry of this minute or a later one begins, or would."""
        low, high = 0, len(self.seen) // self.entry
        while low < high:
            middle = (low + high) // 2
            if self.minute(middle * self.entry) < minute:
                low = middle + 1
            else:
                high = middle
        return low * self.entry

    def of_width(self, width: int) -> bytes:
        """The same entries, each minute in so many bytes."""
        parts = list[bytes]()
        for at in range(0, len(self.seen) - len(self.end), self.entry):
            parts += ((self.minute(at) % (1 << 8 * width)).to_bytes(width, "big"), self.seen[at + self.width : at + self.entry])
        return b"".join(parts)

    def widened(self) -> bytes:
        """The same entries in the wide form."""
        return self.seen if self.width == WIDE else self.of_width(WIDE) + WIDE_END


def _narrowed(ids: _Ids) -> bytes:
    """The same entries in the narrow form, where they fit."""
    if ids.width == NARROW or ids.place(ids.floor + NARROW_SPAN) < len(ids.seen) - len(ids.end):
        return ids.seen
    return ids.of_width(NARROW)
