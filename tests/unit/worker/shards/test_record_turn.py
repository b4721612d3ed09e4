"""Shards of one worker come to new definitions one after the other, and none holds up the others for long."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from streamer.worker.shards.record_turn import TURN_SECONDS, RecordTurn


def _shard() -> Any:
    return cast("Any", SimpleNamespace(body=SimpleNamespace(version=1)))


def test_the_next_shard_waits_until_the_one_before_obeys() -> None:
    """Each folds at its record what came since, and the events of all shards wait for that."""
    turn, one, other = RecordTurn(lambda: 0.0), _shard(), _shard()
    assert turn.is_free_for(one)
    turn.take(one, 2)
    assert not turn.is_free_for(other)
    assert turn.is_free_for(one), "who has it may write again"
    one.body.version = 2
    assert turn.is_free_for(other)


def test_a_shard_that_is_far_behind_is_not_waited_for() -> None:
    """It comes to its record when it gets there, and the others are not to be under older definitions for so long."""
    at = [0.0]
    turn, one, other = RecordTurn(lambda: at[0]), _shard(), _shard()
    turn.take(one, 2)
    at[0] = TURN_SECONDS - 0.01
    assert not turn.is_free_for(other)
    at[0] = TURN_SECONDS
    assert turn.is_free_for(other)
