"""Who can be told apart: only those of whom the logs of events have all."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from streamer.deployment.publishing import refuse_parted
from streamer.deployment.unmerging import refuse_unsettled
from streamer.errors import SettingsError
from streamer.flow.checkpoint import CheckpointBody, Switch
from streamer.flow.committed import ShardView
from streamer.stores.base import Position


def test_nobody_is_told_apart_while_history_is_being_brought_in() -> None:
    """What was published of it is a part of the past in each shard, and of each customer, or nobody could be told with all of it."""
    switching = CheckpointBody(history=7, switch=Switch(3, 0))
    for bodies, published in (
        ([CheckpointBody(), CheckpointBody()], [0, 7]),
        ([CheckpointBody(), CheckpointBody(history=5)], [0, 7]),
        ([CheckpointBody(), None], [0, 7]),
        ([CheckpointBody(), switching], [0, 7]),
    ):
        with pytest.raises(SettingsError, match="imported history is being brought into shard 1"):
            refuse_unsettled(_views(bodies), published)
    refuse_unsettled(_views([CheckpointBody(), CheckpointBody(history=7)]), [0, 7])
    refuse_unsettled(_views([CheckpointBody(switch=Switch(3, 0)), None]), ())


def _views(bodies: Sequence[CheckpointBody | None]) -> list[ShardView]:
    return [ShardView(shard, Position(0, 0), body) for shard, body in enumerate(bodies)]


def test_no_history_is_brought_in_where_somebody_was_parted() -> None:
    """The record that parted them has all that counts for them, and no history."""
    with pytest.raises(SettingsError, match="customers were parted"):
        refuse_parted([CheckpointBody(), CheckpointBody(identity={"parted": 1})])
    refuse_parted([CheckpointBody(identity={"linked": 3})])
