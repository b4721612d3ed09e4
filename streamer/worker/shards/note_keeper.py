"""The notes of a worker on its shards, kept up to date in the store: at once when something changes, else now and then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from time import monotonic, time

from aiokafka import TopicPartition

from streamer import zones
from streamer.errors import StoreError
from streamer.stores.base import Store
from streamer.transports.this_worker import this_worker
from streamer.worker.status.readiness import ShardStatus
from streamer.worker.status.shard_notes import WRITE_SECONDS, ShardNote, leave_note

from .owned_shard import OwnedShard


class NoteKeeper:
    """Leaves notes on the shards of one worker. ``statuses`` says how they are doing."""

    def __init__(self, store: Store, shards: Mapping[TopicPartition, OwnedShard], statuses: Callable[[], Iterable[ShardStatus]]) -> None:
        self._store = store
        self._shards = shards
        self._statuses = statuses

    async def note_all(self) -> None:
        """Leave the notes that are due. One that the store does not take is due again in a second."""
        statuses = {status.shard: status for status in self._statuses()}
        for owned in list(self._shards.values()):
            if (status := statuses.get(owned.number)) is not None:
                with suppress(StoreError, OSError):
                    await self._note(owned, status)

    async def _note(self, owned: OwnedShard, status: ShardStatus) -> None:
        news = f"{status.state.value} {owned.why}" if status.problem else status.state.value
        news += f" {status.lane}" if status.lane is not None else ""
        at, before = owned.noted
        if monotonic() - at < WRITE_SECONDS and news == before:
            return
        await leave_note(self._store, ShardNote(int(time() * 1_000), this_worker(), status, zones.version(), owned.refusals.ratio))
        owned.noted = (monotonic(), news)


__all__ = ["NoteKeeper"]
