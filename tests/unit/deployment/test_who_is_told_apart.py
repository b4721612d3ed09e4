"""Who can be told apart: only those of whom the logs of events have all."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from streamer.deployment.unmerging import refuse_history
from streamer.errors import SettingsError
from streamer.flow.catalog import Plans
from streamer.flow.checkpoint import CheckpointBody
from streamer.flow.committed import CommittedCustomers, ShardView
from streamer.flow.rules import Rules
from streamer.stores.base import Position
from streamer.stores.memory import MemoryStore


class Known(CommittedCustomers):
    """Shards as they were committed."""

    def __init__(self, bodies: Sequence[CheckpointBody | None]) -> None:
        store, rules = MemoryStore(), Rules(shards=len(bodies))
        super().__init__(store, rules, Plans(store, rules))
        self._as_committed = bodies

    async def view(self, shard: int) -> ShardView:
        """One of them."""
        return ShardView(shard, Position(0, 0), self._as_committed[shard])


async def test_nobody_is_told_apart_where_history_was_imported_later() -> None:
    """It lies beside the log of events, so neither of the two would have any of it afterwards."""
    known = [CheckpointBody(), None, CheckpointBody(history=7)]
    with pytest.raises(SettingsError, match="history was imported into shard 2"):
        await refuse_history(Known(known), 3)
    await refuse_history(Known(known[:2]), 2)
