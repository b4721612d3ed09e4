"""Who can be told apart: only those of whom the logs of events have all."""

from __future__ import annotations

import pytest

from streamer.deployment.publishing import refuse_parted
from streamer.deployment.unmerging import refuse_history
from streamer.errors import SettingsError
from streamer.flow.checkpoint import CheckpointBody
from streamer.flow.committed import ShardView
from streamer.stores.base import Position


def test_nobody_is_told_apart_where_history_was_imported_later() -> None:
    """It lies beside the log of events, so neither of the two would have any of it afterwards."""
    bodies = [CheckpointBody(), None, CheckpointBody(history=7)]
    views = [ShardView(shard, Position(0, 0), body) for shard, body in enumerate(bodies)]
    with pytest.raises(SettingsError, match="history was imported into shard 2"):
        refuse_history(views)
    refuse_history(views[:2])


def test_no_history_is_brought_in_where_somebody_was_parted() -> None:
    """The record that parted them has all that counts for them, and no history."""
    with pytest.raises(SettingsError, match="customers were parted"):
        refuse_parted([CheckpointBody(), CheckpointBody(identity={"parted": 1})])
    refuse_parted([CheckpointBody(identity={"linked": 3})])
