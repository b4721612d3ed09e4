"""Changes in words, for whoever sees them for the first time; fit for a terminal whatever customers and authors wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamer.demo.seen import CART_LEFT
from streamer.printable import printable
from streamer.segments.change import ENTERED, Change, Clause

if TYPE_CHECKING:
    from streamer.demo.pace import Pace
    from streamer.demo.seen import Silence

ONLY_TIME: Final = "no event, only time passed"
IN_MEMORY: Final = "Embedded Kafka, in memory: 5 MiB or 100,000 messages a partition, one worker."
IN_SECONDS: Final = "the same rules as the library's, in seconds instead of minutes"


def clock(text: str) -> str:
    """The time of day of an RFC 3339 text.

    >>> clock("2026-11-25T18:04:23.260Z")
    '18:04:23.260'
    """
    return text[11:23]


def verb(change: Change) -> str:
    """``entered`` or ``left``."""
    return "entered" if change.type == ENTERED else "left"


def cause(change: Change, event: str | None) -> str:
    """What brought it about."""
    kind = change.data.cause.kind
    if kind == "timer":
        return ONLY_TIME
    return printable(f"event {event}") if kind == "event" else f"new {kind}" if kind == "definitions" else kind


def reason(change: Change) -> str:
    """The clauses that decided, with their values."""
    return printable("because " + " and ".join(_clause(one) for one in change.data.because))


def _clause(one: Clause) -> str:
    text = one.clause if one.holds else f"not {one.clause}"
    return text if one.value is None or isinstance(one.value, bool) else f"{text} (is {one.value})"


def silence(one: Silence) -> list[str]:
    """A customer who left a cart, in three lines."""
    product = f" ({one.product})" if one.product else ""
    segment = one.entered.data.segment
    lines = [
        printable(f"{one.customer} put something into the cart{product} and went away."),
        f"{clock(one.entered.data.at)}  entered {segment}  {ONLY_TIME}",
    ]
    if one.left is None:
        return [*lines, f"              still in {segment}, and still silent …"]
    why = "because of an event: came back in time" if one.broken else ONLY_TIME
    return [*lines, f"{clock(one.left.data.at)}  left    {segment}  {why}"]


def slowed(pace: Pace) -> str:
    """That the machine is slow and what holds for it; empty where it is not."""
    return f"slow machine: {pace.rate:,.0f} events/s instead of {pace.asked:,.0f}" if pace.rate < pace.asked else ""


def proven(silences: int) -> str:
    """What the silent customers prove."""
    if not silences:
        return "somebody is about to enter and to leave with no event"
    return f"{silences:,} entered AND left {CART_LEFT} with no event"
