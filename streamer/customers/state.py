"""One customer as one compact value: what the store keeps and the step works on.

A state is a function of the log. It refers to memories and segments by their numbers in the plan of its ``generation``; the plan of the
next generation renumbers it. Encoding is MessagePack without names.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from .message_state import MessageState
from .offsets import NOT_NOTED, RecordOffsets, history_places, places
from .truth_words import in_words, of_words

NO_TIMER: Final = 1 << 52  # later than any moment in milliseconds, still exact as a 64-bit float, which a store may sort by


def is_entry(sequence: int) -> bool:
    """Whether the change of a membership with this number, counted from 1, is an entry: the first one is, and they alternate."""
    return sequence % 2 == 1


class Membership(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """How a customer stands to one segment: ``changes`` so far, and ``at_ms``, the moment of the newest by the customer's own clock."""

    changes: int
    at_ms: int

    @property
    def inside(self) -> bool:
        """Whether the newest change was an entry."""
        return self.changes % 2 == 1


class State(msgspec.Struct, array_like=True, gc=False):
    """What is remembered of one customer.

    Times are by the customer's own clock: milliseconds after ``origin_ms`` (UTC), so that they are short numbers in the encoding, and
    negative before it. Whatever looks at an age needs no other time. ``aside_ms`` and what models remember are in UTC.
    ``timer_ms`` is at or before every moment at which time alone could change a membership, and equals the score in the index of timers
    (``NO_TIMER``: not in it). ``slots`` holds the memories by number; ``members`` the memberships by segment number. ``seen``
    remembers message ids, see ``customers.ids``; ``floor_ms`` (None: none) is the newest timestamp of which ids may be forgotten.
    ``retired`` keeps the count of changes of segments that are no longer defined. ``truth_bits`` has, by memory, a bit for each predicate
    that only that memory decides: whether it held when last evaluated (absent: as of nothing remembered). It spares asking twice at each
    event.
    ``aside_ms`` (0: not so) is the moment at which our code failed at the customer: memberships stand as they were then, and no timer runs,
    until the next event. ``links`` has the other ids that the customer went by, see ``customers.links``.
    ``lifted`` (None: not so): they were an old id, and survived a circle of links; what they had noted as ``links`` before went on with
    their past. It is the number from which each membership counts on: no change that was said of the id before has a higher one.
    ``messages`` holds what waits to be decided, and what was (None: nothing).
    ``parted`` (None: nothing) has ids that were theirs and are not any more, each with whose it is now, see ``flow.unmerging``.
    ``newest_offset`` and ``offset_gaps`` say where the records of this state lie, see ``customers.offsets``. No answer depends on them.
    """

    generation: int
    origin_ms: int = 0
    timer_ms: int = NO_TIMER
    slots: dict[int, Any] = {}
    members: dict[int, Membership] = {}
    seen: bytes = b""
    floor_ms: int | None = None
    retired: dict[str, int] = {}
    truth_bits: dict[int, int] = {}
    aside_ms: int = 0
    links: dict[str, int] = {}
    lifted: int | None = None
    messages: MessageState | None = None
    parted: dict[str, str] | None = None
    newest_offset: int = NOT_NOTED
    offset_gaps: bytes = b""

    @property
    def due_ms(self) -> int:
        """``timer_ms`` in UTC; ``NO_TIMER`` where there is none."""
        return self.timer_ms + self.origin_ms if self.timer_ms < NO_TIMER else NO_TIMER

    @property
    def forgotten_ms(self) -> int:
        """``floor_ms`` in UTC; -1 where there is none, which is before every timestamp."""
        return -1 if self.floor_ms is None else self.floor_ms + self.origin_ms

    @property
    def changes_max(self) -> int:
        """The highest number of a change once every segment is left: even."""
        counts = (entry.changes + entry.changes % 2 for entry in self.members.values())
        return max(*counts, *self.retired.values(), self.lifted or 0, 0)

    @property
    def offsets(self) -> RecordOffsets:
        """Where the records of this state lie."""
        return RecordOffsets(self.newest_offset, self.offset_gaps)

    def is_inside(self, segment: int) -> bool:
        """Whether the customer is in the segment of this number."""
        entry = self.members.get(segment)
        return entry is not None and entry.inside

    def changes_of(self, segment: int, name: str) -> int:
        """How many changes of the segment of this number and name there were, also where nothing else is known of it any more."""
        entry = self.members.get(segment)
        return entry.changes if entry is not None else self.retired.get(name, 0)


def salvaged(blob: bytes) -> RecordOffsets:
    """Where the records lie of a state that cannot be read, where at least that can be: it is the last two of its parts. Not kept where it
    cannot, or was not. What was damaged may be these too, so whoever reads the records has to see that they are of the customer."""
    try:
        parts = msgspec.msgpack.decode(blob, type=list[object])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return RecordOffsets()
    newest, gaps = parts[-2:] if len(parts) == len(State.__struct_fields__) else (None, None)
    if not isinstance(newest, int) or not isinstance(gaps, bytes) or newest < 0:
        return RecordOffsets()
    found = RecordOffsets(newest, gaps)
    try:
        places(found)
        history_places(found)
    except ValueError:
        return RecordOffsets()
    return found


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(State)


def encode_state(state: State) -> bytes:
    """Its bytes."""
    try:
        return _encoder.encode(state)
    except OverflowError:  # rare: more than 64 predicates over one memory, and one of the later ones holds
        return _encoder.encode(msgspec.structs.replace(state, truth_bits=in_words(state.truth_bits)))


def decode_state(raw: bytes) -> State:
    """The state of these bytes."""
    state = _decoder.decode(raw)
    bits = state.truth_bits
    if bits and next(reversed(bits)) < 0:
        state.truth_bits = of_words(bits)
    return state
