"""Changes in words, for whoever sees them for the first time; fit for a terminal whatever customers and authors wrote."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from streamer.demo.seen import CART_LEFT
from streamer.demo.seen_messages import Mail, ShownMessage
from streamer.printable import printable
from streamer.segments.change import ENTERED, Change, Clause
from streamer.values import time_text

if TYPE_CHECKING:
    from streamer.demo.pace import Pace
    from streamer.demo.seen import Silence
    from streamer.demo.seen_messages import SeenMessages
    from streamer.messages.decision import DecisionReason, MessageDecision

ONLY_TIME: Final = "no event, only time passed"
IN_MEMORY: Final = "Embedded Kafka, in memory: 5 MiB or 100,000 messages a partition, one worker."
NO_TRANSACTIONS: Final = "The embedded Kafka has no transactions, so the sender works without; on a real one it uses them."
REASONS: Final[dict[DecisionReason, str]] = {
    "paused": "it is paused",
    "withdrawn": "there is no such message any more",
    "expired": "too late for it",
    "stay": "no longer true",
    "require": "its condition is false",
    "again": "had it lately",
    "erased": "erased",
    "merged": "another person's now",
    "no_address": "no address",
    "suppressed": "the address is suppressed",
    "no_consent": "no consent",
    "cap": "enough messages",
    "quiet": "quiet hours",
    "holdout": "held out, to measure the effect",
}
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


def message(one: ShownMessage) -> str:
    """A mail that arrived, or why a message was held or skipped, in one line."""
    if isinstance(one, Mail):
        return printable(f"mail ({one.language}) to {one.to}: {one.subject}")
    data = one.data
    return printable(f"{_outcome(one)} {data.message} to {one.subject}: {_why(one)}")


def message_time(one: ShownMessage) -> str:
    """When it was decided, or the mail arrived, as RFC 3339 text."""
    return time_text(one.at_ms) if isinstance(one, Mail) else one.data.at


def _outcome(decision: MessageDecision) -> str:
    match decision.outcome:
        case "send":
            return "decided"
        case "hold":
            return "held"
        case "skip":
            return "skipped"


def _why(decision: MessageDecision) -> str:
    data = decision.data
    if data.reason is None:
        return "all tests passed"
    detail = f" ({data.detail})" if data.detail else ""
    zone = f" in {data.zone}" if decision.outcome == "hold" else ""
    return f"{REASONS[data.reason]}{detail}{zone}"


def message_counts(messages: SeenMessages) -> str:
    """How many were decided, how, and how many arrived."""
    decided = messages.decided
    return f"{decided['send']:,} to send, {messages.mails:,} arrived, {decided['hold']:,} held, {decided['skip']:,} skipped"


def counts(counter: Counter[str]) -> str:
    """What was counted, most often first.

    >>> counts(Counter({"cap": 2, "stay": 1_200}))
    'stay 1,200, cap 2'
    """
    return ", ".join(f"{name} {number:,}" for name, number in counter.most_common())
