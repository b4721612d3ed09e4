"""What a lane notes of how it knows a customer, where history is folded with the log: by which of the two.

It stands instead of the newest offset in the lane's states, below all that ``customers.offsets`` writes there: a lane notes no places.
"""

from __future__ import annotations

from typing import Final

from streamer.customers.state import State

ONLY_HISTORY: Final = -3  # the shard itself knows nobody by this id
BOTH: Final = -4
OLD_ID: Final = -5  # as ONLY_HISTORY, and the id was linked to another since, the one in ``links``: what history has is theirs


def knows_history(state: State) -> bool:
    """Whether a lane's state has anything that the shard's log has not."""
    return state.newest_offset in (ONLY_HISTORY, BOTH, OLD_ID)


def is_of_shard(state: State) -> bool:
    """Whether the shard itself knows the customer of a lane's state."""
    return state.newest_offset not in (ONLY_HISTORY, OLD_ID)


def is_noted(state: State, *, is_recalling: bool) -> bool:
    """Whether one more event changes nothing of it. ``is_recalling``: it is of history."""
    return knows_history(state) if is_recalling else is_of_shard(state)


def note(state: State, *, is_new: bool, is_recalling: bool) -> None:
    """The state has taken an event."""
    if is_recalling:
        state.newest_offset = ONLY_HISTORY if is_new else state.newest_offset if knows_history(state) else BOTH
    elif state.newest_offset == ONLY_HISTORY:
        state.newest_offset = BOTH


__all__ = ["BOTH", "OLD_ID", "ONLY_HISTORY", "is_noted", "is_of_shard", "knows_history", "note"]
