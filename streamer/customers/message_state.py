"""What a state holds of messages: those that wait to be decided, those that count against caps, and when each went out last.

Times are by the customer's own clock. A message is named by its number in the plan of the state's generation, or, where that plan has
none of its name, by the name: what was sent under older definitions still counts, and a message that comes back finds what it left.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

MessageRef = int | str  # a number in the plan in force, or the name of a message that it does not have


class Intent(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A message that waits: ``sequence`` is that of the change at ``at_ms`` that began it, ``due_ms`` when it was to be decided first, and
    ``next_ms`` when it is decided next (later than ``due_ms`` while quiet hours hold it)."""

    message: MessageRef
    sequence: int
    at_ms: int
    due_ms: int
    next_ms: int


class CapSlot(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A place in the caps that the decision with this key took; ``key`` is the first eight bytes of it."""

    at_ms: int
    message: MessageRef
    channel: str
    key: bytes


class MessageState(msgspec.Struct, array_like=True, gc=False):
    """``slots`` ascending in time; ``newest_ms`` has when a message with a limit of its own (``again``) was last decided as to be sent."""

    intents: list[Intent] = []
    slots: list[CapSlot] = []
    newest_ms: dict[MessageRef, int] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nothing is held."""
        return not (self.intents or self.slots or self.newest_ms)


def shifted_messages(held: MessageState, by_ms: int) -> MessageState:
    """The same with every time ``by_ms`` later."""
    return MessageState(
        [
            msgspec.structs.replace(one, at_ms=one.at_ms + by_ms, due_ms=one.due_ms + by_ms, next_ms=one.next_ms + by_ms)
            for one in held.intents
        ],
        [msgspec.structs.replace(slot, at_ms=slot.at_ms + by_ms) for slot in held.slots],
        {message: at_ms + by_ms for message, at_ms in held.newest_ms.items()},
    )


def renamed_messages(held: MessageState, rename: Callable[[MessageRef], MessageRef]) -> MessageState:
    """The same with messages named as another plan names them."""
    return MessageState(
        [msgspec.structs.replace(one, message=rename(one.message)) for one in held.intents],
        [msgspec.structs.replace(slot, message=rename(slot.message)) for slot in held.slots],
        {rename(message): at_ms for message, at_ms in held.newest_ms.items()},
    )
