"""An event of which nothing is shown that may be of a person: its name, what it has, and how far a device's clock was off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, Literal, assert_never

import msgspec

from streamer.units import DAY_MS, HOUR_MS, MINUTE_MS
from streamer.values import Json

from .event import Event

PARTS_SHOWN: Final = 12
ID_CHARS_SHOWN: Final = 2

ValueKind = Literal["text", "number", "truth", "list", "object", "nothing"]
ClockOff = Literal["right", "minute", "hour", "day", "more"]
CLOCK_STEPS: Final[tuple[ClockOff, ...]] = ("right", "minute", "hour", "day", "more")


class RedactedEvent(msgspec.Struct, frozen=True):
    """``who`` is the beginning of the id, ``has`` the names of properties and traits with what kind of value each has."""

    name: str
    who: str
    has: tuple[tuple[str, ValueKind], ...]
    clock: ClockOff


def redacted(event: Event) -> RedactedEvent:
    """The event without its values.

    >>> redacted(Event(message_id="m", user_id="ada@shop.example", event="A", timestamp_ms=0, properties={"total": 9, "mail": "x"}))
    RedactedEvent(name='A', who='ad…', has=(('total', 'number'), ('mail', 'text')), clock='right')
    """
    parts = [*(event.properties or {}).items(), *(event.traits or {}).items()]
    has: tuple[tuple[str, ValueKind], ...] = tuple((name, kind_of(value)) for name, value in parts[:PARTS_SHOWN])
    return RedactedEvent(event.name, event.customer[:ID_CHARS_SHOWN] + "…", has, clock_of(event))


def kind_of(value: Json) -> ValueKind:
    """What kind of value it is."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "truth"
        case int() | float():
            return "number"
        case str():
            return "text"
        case list():
            return "list"
        case _:
            return "object"


def clock_of(event: Event) -> ClockOff:
    """By how much the collector has moved the event, because the device's clock was off."""
    context = event.context or {}
    if context.get("clock_offset_bounded"):
        return "more"
    offset = context.get("clock_offset_ms")
    off_ms = abs(offset) if isinstance(offset, (int, float)) and not isinstance(offset, bool) else 0
    if not off_ms:
        return "right"
    return "minute" if off_ms < MINUTE_MS else "hour" if off_ms < HOUR_MS else "day" if off_ms < DAY_MS else "more"


def clock_counts(events: Iterable[RedactedEvent]) -> list[tuple[ClockOff, int]]:
    """How many events there are of each step, in their order."""
    counts = Counter(one.clock for one in events)
    return [(step, counts[step]) for step in CLOCK_STEPS]


def clock_text(step: ClockOff) -> str:
    """A step for a person."""
    match step:
        case "right":
            return "right, or not known"
        case "minute":
            return "off by less than a minute"
        case "hour":
            return "off by less than an hour"
        case "day":
            return "off by less than a day"
        case "more":
            return "off by a day or more"
        case _:
            assert_never(step)


__all__ = ["CLOCK_STEPS", "ClockOff", "RedactedEvent", "ValueKind", "clock_counts", "clock_text", "redacted"]
