"""What a lane notes of how it knows a customer, where history is folded with the log: by which of the two, and by which other ids.

It stands where the states of a shard have the places of records, and below all that ``customers.offsets`` writes there: of places in the
log a lane notes none. Of those in history it does where the shard has none of them yet: a row, as ``customers.offsets`` has it.
"""

from __future__ import annotations

from typing import Final

import msgspec

from streamer.customers.offsets import NO_ROW, with_one_more
from streamer.customers.state import State

ONLY_HISTORY: Final = -3  # the log so far knows nobody by this id
BOTH: Final = -4
OLD_ID: Final = -5  # as ONLY_HISTORY, and the id was linked to another since: what history has is theirs


class _KnownBy(msgspec.Struct, array_like=True):
    """``since``: the offset in the log of history of the first record of which the state was made. ``aliases``: of the other ids those of
    which history says outright that they are the customer's. Of OLD_ID ``to`` is who they are now, ``at`` the offset in the log at which
    lanes send what they remember. ``row`` says where the records of history lie of which the state was made."""

    since: int = 0
    aliases: list[str] = []
    to: str = ""
    at: int = -1
    row: bytes = NO_ROW


_encode: Final = msgspec.msgpack.Encoder().encode
_decoder: Final = msgspec.msgpack.Decoder(_KnownBy)


def _note_of(state: State) -> _KnownBy:
    return _decoder.decode(state.offset_gaps) if state.offset_gaps else _KnownBy()


def knows_history(state: State) -> bool:
    """Whether a lane's state has anything that the shard's log has not."""
    return state.newest_offset in (ONLY_HISTORY, BOTH, OLD_ID)


def is_of_shard(state: State, brought: int) -> bool:
    """Whether the shard itself knows the customer of a lane's state, where history below the offset ``brought`` is a part of its past."""
    if state.newest_offset == ONLY_HISTORY:
        return _note_of(state).since < brought
    return state.newest_offset != OLD_ID


def is_noted(state: State, *, is_recalling: bool) -> bool:
    """Whether one more event changes nothing of it. ``is_recalling``: it is of history."""
    return knows_history(state) if is_recalling else state.newest_offset not in (ONLY_HISTORY, OLD_ID)


def note_event(state: State, *, is_new: bool) -> None:
    """The state has taken an event of the log."""
    if not is_new and state.newest_offset == ONLY_HISTORY:
        state.newest_offset = BOTH


def note_history(state: State, offset: int, *, is_new: bool) -> None:
    """The state has taken an event of history, which lies there at an offset."""
    if is_new:
        state.newest_offset, state.offset_gaps = ONLY_HISTORY, _encode(_KnownBy(offset))
    elif not knows_history(state):
        state.newest_offset = BOTH


def note_place(state: State, offset: int, ahead_ms: int) -> None:
    """The event of history that was noted last lies there at an offset; ``ahead_ms`` is how far the time that history had come to was ahead
    of it."""
    note = _note_of(state)
    note.row = with_one_more(note.row, offset, ahead_ms)
    state.offset_gaps = _encode(note)


def row_of(state: State) -> bytes:
    """Where the records of history lie of which a lane's state was made."""
    return _note_of(state).row if knows_history(state) else NO_ROW


def note_alias(state: State, old: str) -> None:
    """History says outright that the other id is the customer's."""
    note = _note_of(state)
    if old not in note.aliases:
        note.aliases = [*note.aliases, old]
        state.offset_gaps = _encode(note)


def aliases_of(state: State) -> list[str]:
    """Of the other ids of a customer those of which history says outright that they are."""
    return _note_of(state).aliases if knows_history(state) else []


def bury(state: State, to: str, offset: int) -> None:
    """The id, of which only history knows, is an old one of ``to``; lanes send what they remember at this offset of the log. Its own links
    stay: they are theirs too."""
    note = _note_of(state)
    note.to, note.at = to, offset
    state.newest_offset, state.offset_gaps = OLD_ID, _encode(note)


def survivor_of(state: State) -> str:
    """To whom an ``OLD_ID`` was linked."""
    return _note_of(state).to


def sent_at(state: State) -> int:
    """Where in the log lanes send what they remember of an ``OLD_ID``."""
    return _note_of(state).at


def is_brought(state: State, brought: int) -> bool:
    """Whether what was made of history was begun with records below the offset ``brought``."""
    return _note_of(state).since < brought


__all__ = [
    "BOTH",
    "OLD_ID",
    "ONLY_HISTORY",
    "aliases_of",
    "bury",
    "is_brought",
    "is_noted",
    "is_of_shard",
    "knows_history",
    "note_alias",
    "note_event",
    "note_history",
    "note_place",
    "row_of",
    "sent_at",
    "survivor_of",
]
