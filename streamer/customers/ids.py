"""Which message ids a customer has sent lately, so that the same event counts once.

An id is remembered while the timestamp it came with could still be accepted (to the minute), so a repeated event is either found here or
refused as late: a duplicate that nobody can detect is never applied. Twelve bytes an id: four of the timestamp in minutes, which last to
the year 9999, eight of BLAKE2b. Entries are ordered by minute, so what is forgotten over the cap is the oldest.

What it costs (``python -m tests.bench.ids``): 1 µs an event with 20 ids, 3 µs with 512, 80 µs and 98 kB of state with the most. Only who
sends so much pays for it.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from streamer.units import MINUTE_MS

MINUTE_BYTES: Final = 4
ID_BYTES: Final = 8  # two of 8,192 ids collide once in 10^11 customers
ENTRY_BYTES: Final = MINUTE_BYTES + ID_BYTES
IDS_MAX: Final = 8_192  # one event every ten seconds of a day, or 270 a day over a month of lateness; paid only by who sends as much


def digest(message_id: str) -> bytes:
    """The eight bytes that stand for an id."""
    return blake2b(message_id.encode(), digest_size=ID_BYTES).digest()


def is_remembered(seen: bytes, key: bytes, *, horizon_ms: int) -> bool:
    """Whether ``key`` is among ``seen`` with a timestamp not older than ``horizon_ms`` (to the minute)."""
    at = seen.find(key)
    while at >= 0:
        if at % ENTRY_BYTES == MINUTE_BYTES and seen[at - MINUTE_BYTES : at] >= _minute(horizon_ms):
            return True
        at = seen.find(key, at + 1)
    return False


def remember(seen: bytes, key: bytes, *, timestamp_ms: int, horizon_ms: int) -> tuple[bytes, int]:
    """``seen`` with ``key`` added and what is expired dropped; and the newest timestamp that was lost to the cap (0: none).

    Over the cap all ids of the oldest minute are forgotten: whatever is dated in it or before must be refused from now on.
    """
    minute = _minute(timestamp_ms)
    start = _place(seen, _minute(horizon_ms)) if seen and seen[:MINUTE_BYTES] < _minute(horizon_ms) else 0
    at = len(seen)
    if at > start and seen[-ENTRY_BYTES : MINUTE_BYTES - ENTRY_BYTES] > minute:
        at = _place(seen, _after(minute))
    grown = seen[start:at] + minute + key + seen[at:]
    if len(grown) <= IDS_MAX * ENTRY_BYTES:
        return grown, 0
    oldest = grown[:MINUTE_BYTES]
    return grown[_place(grown, _after(oldest)) :], int.from_bytes(_after(oldest), "big") * MINUTE_MS - 1


def _minute(ms: int) -> bytes:
    return max(0, ms // MINUTE_MS).to_bytes(MINUTE_BYTES, "big")


def _after(minute: bytes) -> bytes:
    return (int.from_bytes(minute, "big") + 1).to_bytes(MINUTE_BYTES, "big")


def _place(seen: bytes, minute: bytes) -> int:
    """Where the first entry of this minute or a later one begins, or would."""
    low, high = 0, len(seen) // ENTRY_BYTES
    while low < high:
        middle = (low + high) // 2
        if seen[middle * ENTRY_BYTES : middle * ENTRY_BYTES + MINUTE_BYTES] < minute:
            low = middle + 1
        else:
            high = middle
    return low * ENTRY_BYTES
