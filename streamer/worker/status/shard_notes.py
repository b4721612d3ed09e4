"""What the owner of a shard leaves in the store about it, for whoever looks from outside: the state, the reason, the place.

A note decides nothing and is no part of the checkpoint. It has a time, as a worker that is gone takes none back: one that is older than
``STALE_SECONDS`` says only who had the shard last.
"""

from __future__ import annotations

from typing import Final

import msgspec

from streamer.stores.base import Store
from streamer.stores.documents import note_document

from .readiness import ShardStatus

WRITE_SECONDS: Final = 10.0  # between two notes of a shard of which there is nothing new
STALE_SECONDS: Final = 30.0


class ShardNote(msgspec.Struct, frozen=True):
    """How a shard was doing at ``at_ms`` (UTC milliseconds, the worker's clock), says ``worker`` (host:process).

    ``zones`` is the version of its zone data, ``refused_ratio`` the refused of the newest thousand records.
    """

    at_ms: int
    worker: str
    status: ShardStatus
    zones: str
    refused_ratio: float

    def is_stale(self, now_ms: int) -> bool:
        """Whether nobody has said anything of the shard for a while: its worker is gone, or the store was away."""
        return now_ms - self.at_ms > STALE_SECONDS * 1_000


async def leave_note(store: Store, note: ShardNote) -> None:
    """Put a note in the place of the last one. Raises what the store raises."""
    await store.replace_document(note_document(note.status.shard), msgspec.json.encode(note))


async def read_note(store: Store, shard: int) -> ShardNote | None:
    """The last note on a shard; None if there is none that can be read."""
    raw = await store.get_document(note_document(shard))
    try:
        return None if raw is None else msgspec.json.decode(raw, type=ShardNote)
    except msgspec.MsgspecError:  # of another version of the program
        return None


__all__ = ["STALE_SECONDS", "WRITE_SECONDS", "ShardNote", "leave_note", "read_note"]
