"""What becomes of a state's intents: begun by changes, decided at their instant, renumbered under other definitions, ended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from streamer.customers.message_state import CapSlot, Intent, MessageRef, MessageState, renamed_messages
from streamer.customers.state import NO_TIMER, State
from streamer.segments.plan.plan import SegmentRule

from .arms import decision_key
from .caps import slot_key
from .checks import Occasion, Ruling, verdict
from .planned import MessagePlan, PlannedMessage

PROMPT_CAUSES: Final = frozenset({"event", "timer"})  # of changes that begin every message; of others only those that ask for it

WAITING_MAX: Final = 1_000  # intents of one customer: a program that goes in and out all day must not fill a state


def begin(plan: MessagePlan, state: State, changed: Iterable[SegmentRule], now: int, cause: str) -> list[Intent]:
    """Note what the changes of this moment (own clock) begin. Returns what is one too many to wait, in order."""
    surplus: list[Intent] = []
    for rule in changed:
        for message in plan.begun_by(rule.number):
            sequence = state.changes_of(rule.number, rule.name)
            if message.begins(sequence) and (cause in PROMPT_CAUSES or cause in message.spec.also):
                if state.messages is None:
                    state.messages = MessageState([], [], {})
                due_ms = now + message.spec.delay_ms
                waiting = state.messages.intents
                (waiting if len(waiting) < WAITING_MAX else surplus).append(Intent(message.number, sequence, now, due_ms, due_ms))
    return in_order(surplus)


def due(state: State, now: int) -> list[Intent]:
    """The intents to be decided at this moment, in their order: by priority and name, then by their change."""
    held = state.messages
    return [] if held is None else in_order(intent for intent in held.intents if intent.next_ms <= now)


def in_order(intents: Iterable[Intent]) -> list[Intent]:
    """By priority and name, then by their change. What the definitions no longer have comes last, by name."""
    return sorted(intents, key=lambda one: (isinstance(one.message, str), one.message, one.sequence))


def next_due(state: State) -> int:
    """When the first intent is decided; ``NO_TIMER`` where there is none."""
    held = state.messages
    return min((intent.next_ms for intent in held.intents), default=NO_TIMER) if held is not None else NO_TIMER


def decide(plan: MessagePlan, intent: Intent, occasion: Occasion) -> Ruling:
    """Decide an intent of the customer, and keep what follows: a hold waits on, what is sent counts."""
    found = verdict(plan, intent, occasion)
    held = occasion.state.messages
    assert held is not None, "an intent is of a state that has it"
    held.intents.remove(intent)
    message = plan.find(intent.message)
    if found.until is not None:
        held.intents.append(msgspec.structs.replace(intent, next_ms=found.until))
    elif message is not None and found.takes_place:
        _count(plan, message, intent, occasion, held)
    return found


def _count(plan: MessagePlan, message: PlannedMessage, intent: Intent, occasion: Occasion, held: MessageState) -> None:
    now = occasion.now
    if message.spec.again_ms:
        held.newest_ms[message.number] = now
    if message.caps:
        key = slot_key(decision_key(message.name, occasion.customer, intent.sequence))
        held.slots = [slot for slot in held.slots if plan.counts_still(slot, now)]
        held.slots.append(CapSlot(now, message.number, message.slot_channel, key))


def give_back(state: State, key: bytes) -> None:
    """A decision with this key was never delivered, and never will be: it counts for no cap."""
    held = state.messages
    if held is not None:
        held.slots = [slot for slot in held.slots if slot.key != slot_key(key)]
        drop_empty(state)


def drop_empty(state: State) -> None:
    """Nothing is nothing: a state that holds nothing of messages is as one that never did."""
    if state.messages is not None and state.messages.is_empty:
        state.messages = None


def carry(state: State, before: MessagePlan, after: MessagePlan) -> list[Intent]:
    """Name messages as another plan does. Returns the intents, so named, of messages that begin otherwise now: they end."""
    held = state.messages
    if held is None:
        return []
    kept, ended = list[Intent](), list[Intent]()
    for intent in held.intents:
        (ended if _begins_otherwise(intent.message, before, after) else kept).append(intent)

    def rename(message: MessageRef) -> MessageRef:
        name = before.name_of(message)
        return after.numbers.get(name, name)

    state.messages = renamed_messages(MessageState(kept, held.slots, held.newest_ms), rename)
    drop_empty(state)
    return in_order(msgspec.structs.replace(intent, message=rename(intent.message)) for intent in ended)


def _begins_otherwise(message: MessageRef, before: MessagePlan, after: MessagePlan) -> bool:
    if isinstance(message, str):
        return False
    was = before.messages[message]
    number = after.numbers.get(was.name)
    return number is not None and after.messages[number].on != was.on
