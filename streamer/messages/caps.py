"""Frequency caps: exact rolling windows over the decisions that took a place in them.

A place is taken at the instant of the decision, also by one that is held out, so that both arms meet the same caps. A window of length W
holds the places in ``(now - W, now]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, assert_never

from streamer.customers.message_state import CapSlot, MessageRef
from streamer.language.message_specs import Cap

Scope = Literal["message", "channel", "global"]
UNSHARED: Final = ""  # the channel of a slot that counts for its own message alone: of what is no marketing
SLOT_KEY_BYTES: Final = 8  # of a decision's key that a slot keeps: with a handful of slots a customer they never agree by chance


@dataclass(frozen=True, slots=True)
class ScopedCap:
    """A cap, and over what it counts."""

    scope: Scope
    cap: Cap

    @property
    def text(self) -> str:
        """As decisions name it: ``channel 3 per 7d``."""
        return f"{self.scope} {self.cap.text}"

    def taken(self, slots: Sequence[CapSlot], message: MessageRef, channel: str, now: int) -> int:
        """How many places of its window are taken at ``now``."""
        after_ms = now - self.cap.window_ms
        return sum(1 for slot in slots if slot.at_ms > after_ms and self._counts(slot, message, channel))

    def _counts(self, slot: CapSlot, message: MessageRef, channel: str) -> bool:
        match self.scope:
            case "message":
                return slot.message == message
            case "channel":
                return slot.channel == channel
            case "global":
                return slot.channel != UNSHARED
            case _:
                assert_never(self.scope)


def first_full(caps: Sequence[ScopedCap], slots: Sequence[CapSlot], message: MessageRef, channel: str, now: int) -> ScopedCap | None:
    """The first cap that leaves no place at ``now``; None where there is one in each."""
    return next((cap for cap in caps if cap.taken(slots, message, channel, now) >= cap.cap.most), None)


def slot_key(key: bytes) -> bytes:
    """What a slot keeps of a decision's key."""
    return key[:SLOT_KEY_BYTES]
