"""Moves the origin of a customer's own clock: which numbers of a state are times, by kind of memory.

MessagePack writes a whole number in 1, 2, 3, 5 or 9 bytes, by its size. A customer's times are counted from their first event, so for
seven weeks each takes five bytes at most. An event after that moves the origin to about three and a half weeks before itself: a customer
who stays active is rewritten once in so many weeks, and all others never.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, assert_never

from . import memories
from .cart import Cart, moved_cart
from .memories import MIN_TIME, Data
from .message_state import shifted_messages
from .model_data import AwaitedMemory, ScoreMemory
from .profile import ProfileMemory
from .specs import Spec
from .state import NO_TIMER, Membership, State

AFTER_ORIGIN_MAX_MS: Final = (1 << 32) - 1  # the largest number of five bytes
BEFORE_ORIGIN_MS: Final = 1 << 31  # as far before an origin as numbers of five bytes reach


def rebase(state: State, specs: Sequence[Spec], now: int) -> None:
    """Count a state's times from ``BEFORE_ORIGIN_MS`` before ``now`` (UTC) on. ``specs`` has the kinds of its memories by number."""
    origin_ms = now - BEFORE_ORIGIN_MS
    by_ms = state.origin_ms - origin_ms
    state.origin_ms = origin_ms
    if state.timer_ms < NO_TIMER:
        state.timer_ms += by_ms
    if state.floor_ms is not None:
        state.floor_ms += by_ms
    state.slots = {slot: shifted(specs[slot], data, by_ms) for slot, data in state.slots.items()}
    state.members = {number: Membership(entry.changes, entry.at_ms + by_ms) for number, entry in state.members.items()}
    if state.messages is not None:
        state.messages = shifted_messages(state.messages, by_ms)


def shifted(spec: Spec, data: Data, by_ms: int) -> Data:
    """Data of a memory with each time ``by_ms`` later: what the memory answers is the same at moments that are ``by_ms`` later."""
    return moved(spec, data, lambda t: t + by_ms)


def moved(spec: Spec, data: Data, move: Callable[[int], int]) -> Data:
    """Data of a memory with ``move`` of each time that is by the customer's own clock. ``move`` never changes the order of two times.

    None, of a memory that an event fed and that holds nothing of it, stays None.
    """
    if data is None:
        return None
    match spec:
        case memories.Newest(keep=1) | memories.Oldest():
            return move(data)
        case memories.Newest():
            return [move(t) for t in data]
        case memories.Pairs():
            return [_lost(data[0], move), *_every(data[1:], 3, move)]
        case memories.Ladder():
            return [_lost(data[0], move), *_every(data[1:], 2, move)]
        case memories.Labels():
            return [_lost(data[0], move), {text: _every(entries, 2, move) for text, entries in data[1].items()}]
        case memories.Distinct():
            return {text: move(t) for text, t in data.items()}
        case memories.Frequencies():
            return [data[0], {text: [number, move(t)] for text, (number, t) in data[1].items()}]
        case memories.KnownValue() | memories.Zone():
            return [move(data[0]), *data[1:]]
        case memories.Runs():
            return [_lost(data[0], move), _lost(data[1], move), *_every(data[2:], 2, move)]
        case memories.Steps():
            final = data[2] if data[2] == MIN_TIME else move(data[2])
            completions = [move(t) for t in data[3]]
            return [_lost(data[0], move), _lost(data[1], move), final, completions, *_every(data[4:], 2, move)]
        case Cart():
            return moved_cart(data, move)
        case memories.EventCount() | memories.Totals() | memories.Bests() | ProfileMemory() | ScoreMemory() | AwaitedMemory():
            return data  # without times, or with times in UTC
        case _:
            assert_never(spec)


def _lost(lost_ms: int | None, move: Callable[[int], int]) -> int | None:
    return None if lost_ms is None else move(lost_ms)


def _every(data: Sequence[Data], width: int, move: Callable[[int], int]) -> list[Data]:
    """Entries of ``width`` parts, the first of which is a time."""
    return [move(part) if at % width == 0 else part for at, part in enumerate(data)]
