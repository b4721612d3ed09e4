"""What goes along when a customer becomes another id of somebody: what was sent to them counts for the person, whatever they are called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from streamer.customers.message_state import CapSlot, MessageRef, MessageState
from streamer.customers.state import State

from .planned import MessagePlan


def places_of(plan: MessagePlan, state: State) -> list[CapSlot]:
    """The places in caps that a customer has taken, in UTC and with the names of messages."""
    held = state.messages or MessageState()
    return [msgspec.structs.replace(slot, at_ms=slot.at_ms + state.origin_ms, message=plan.name_of(slot.message)) for slot in held.slots]


def newest_of(plan: MessagePlan, state: State) -> dict[str, int]:
    """When each message that does not come always was sent last: in UTC, by name."""
    held = state.messages or MessageState()
    return {plan.name_of(message): at_ms + state.origin_ms for message, at_ms in held.newest_ms.items()}


def join_past(plan: MessagePlan, state: State, places: Iterable[CapSlot], newest_ms: Mapping[str, int], now: int) -> None:
    """Have a customer remember both, up to now (own clock)."""
    if not (places or newest_ms):
        return
    held = state.messages = state.messages or MessageState([], [], {})

    def ref(name: MessageRef) -> MessageRef:
        return plan.numbers.get(name, name) if isinstance(name, str) else name

    def own(utc_ms: int) -> int:
        return min(utc_ms - state.origin_ms, now)

    theirs = [msgspec.structs.replace(slot, at_ms=own(slot.at_ms), message=ref(slot.message)) for slot in places]
    held.slots = sorted([*held.slots, *theirs], key=lambda slot: (slot.at_ms, slot.key))
    for name, at_ms in newest_ms.items():
        message = ref(name)
        held.newest_ms[message] = max(held.newest_ms.get(message, own(at_ms)), own(at_ms))
