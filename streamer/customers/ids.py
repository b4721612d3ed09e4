"""Which message ids a customer has sent lately, so that the same event counts once.

An id is remembered while the timestamp it came with could still be accepted (to the second), so a repeated event is either found here or
refused as late: a duplicate that nobody can detect is never applied. Twelve bytes an id: eight of BLAKE2b, four of the timestamp in
seconds.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

ID_BYTES: Final = 8  # two of 512 ids collide once in 10^14 customers
ENTRY_BYTES: Final = ID_BYTES + 4
IDS_MAX: Final = 512  # 6 KiB; a customer with more events than this inside the allowed lateness is a machine


def digest(message_id: str) -> bytes:
    """The eight bytes that stand for an id."""
    return blake2b(message_id.encode(), digest_size=ID_BYTES).digest()


def is_remembered(seen: bytes, key: bytes, *, horizon_ms: int) -> bool:
    """Whether ``key`` is among ``seen`` with a timestamp not older than ``horizon_ms`` (to the second)."""
    at = seen.find(key)
    while at >= 0:
        if at % ENTRY_BYTES == 0 and int.from_bytes(seen[at + ID_BYTES : at + ENTRY_BYTES], "big") >= horizon_ms // 1_000:
            return True
        at = seen.find(key, at + 1)
    return False


def remember(seen: bytes, key: bytes, *, timestamp_ms: int, horizon_ms: int) -> tuple[bytes, int]:
    """``seen`` with ``key`` added and what is expired at its front dropped; and the newest timestamp lost to the cap (0: none).

    Entries stand in the order of their acceptance. An expired entry behind a living one stays a while longer; that changes no answer.
    """
    oldest_kept = (horizon_ms // 1_000).to_bytes(4, "big") if horizon_ms > 0 else b"\0\0\0\0"
    drop = 0
    while drop < len(seen) and seen[drop + ID_BYTES : drop + ENTRY_BYTES] < oldest_kept:
        drop += ENTRY_BYTES
    lost_ms = 0
    if len(seen) - drop >= IDS_MAX * ENTRY_BYTES:
        lost_ms = int.from_bytes(seen[drop + ID_BYTES : drop + ENTRY_BYTES], "big") * 1_000 + 999
        drop += ENTRY_BYTES
    return seen[drop:] + key + (timestamp_ms // 1_000).to_bytes(4, "big"), lost_ms
