"""How far imported history is a part of the past, as records that publish definitions say it."""

from __future__ import annotations

from streamer.wire import Control

from .checkpoint import CheckpointBody


def history_end(control: Control, shard: int) -> int:
    """The offset in a shard's log of history below which everything is part of the past, as a record says it; 0 where it says nothing."""
    return control.history[shard] if shard < len(control.history) else 0


def brings_history(control: Control, body: CheckpointBody) -> bool:
    """Whether a record makes more of what was imported a part of the past, in whichever shard: the other ids of its customers may have a
    past there. Publications say of each shard how far history goes, and none goes back."""
    return sum(control.history) > body.history_in_all


def bring_history(control: Control, shard: int, body: CheckpointBody) -> None:
    """From here on it is."""
    body.history, body.history_in_all = max(body.history, history_end(control, shard)), sum(control.history)


__all__ = ["bring_history", "brings_history", "history_end"]
