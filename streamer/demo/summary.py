"""The demo's last words: what was sent, what came back, and whether it did what it is there to show."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final

from streamer.demo import words
from streamer.demo.seen import CART_LEFT, Seen, quantile_ms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streamer.demo.screen import Facts
    from streamer.demo.seen_messages import SeenMessages

PROOF_SECONDS: Final = 15.0  # a run that was open so long must have shown the point of it all
LIBRARY_SHOWN: Final = 8
INDENT: Final = 13


def problems(seen: Seen) -> list[str]:
    """What the demo should have shown and did not, after the worker was given the time to read all that was sent."""
    numbers, found = seen.numbers, list[str]()
    if seen.sent and not seen.changes and not seen.is_cut_short:
        found.append("not one segment change came back")
    if numbers.refused:
        found.append(f"{numbers.refused} of the simulated events were refused")
    if seen.unread < 0 or (seen.unread and not seen.is_cut_short):
        counted = f"{numbers.accepted} accepted and {numbers.duplicates} duplicates"
        found.append(f"{seen.in_the_log} events were sent, the worker counts {counted}, and it does not read on")
    if seen.seconds >= PROOF_SECONDS and seen.first_silence is None and not seen.is_slow:
        found.append(f"in {seen.seconds:.0f} s nobody was seen entering and leaving {CART_LEFT} with no event in between")
    if seen.seconds >= PROOF_SECONDS and not seen.messages.mails and not seen.is_slow:
        found.append(f"in {seen.seconds:.0f} s no mail arrived")
    return found


def summary(seen: Seen, facts: Facts) -> list[str]:
    """The figures, line by line."""
    numbers = seen.numbers
    counted = f"{numbers.accepted:,} accepted, {numbers.duplicates:,} repeated"
    lines = [
        f"The simulated shop was open for {seen.seconds:.0f} s.",
        f"  events     {seen.in_the_log:,} sent: {counted}, {numbers.refused:,} refused",
        f"  changes    {seen.changes:,}: {seen.causes['event']:,} by an event, {seen.causes['timer']:,} because only time passed",
        f"  latency    {_quantiles(seen.event_latencies_ms)} from an event to its change, as a reader of the topic sees it",
        f"  timers     {_quantiles(seen.timer_delays_ms)} from the due moment to the change",
    ]
    if (first := seen.first_silence) is not None and first.left is not None:
        entered, left = words.clock(first.entered.data.at), words.clock(first.left.data.at)
        lines.append(
            f"  time       {first.customer} entered {CART_LEFT} at {entered} and left it at {left}: {words.ONLY_TIME}; "
            f"so did {seen.silences - 1:,} more"
        )
    lines += message_lines(seen.messages)
    lines += slowness(seen)
    lines.append(f"  members    {_members(seen, [name for name, _ in facts.segments])}")
    largest = sorted(facts.library, key=lambda name: (-numbers.members.get(name, 0), name))[:LIBRARY_SHOWN]
    lines.append(f"  library    {_members(seen, largest)}")
    return lines


def message_lines(messages: SeenMessages) -> list[str]:
    """What was decided of messages, and what became of those that were to be sent."""
    outcomes, decided = messages.outcomes, messages.decided
    failed = f" ({words.counts(messages.failed)})" if messages.failed else ""
    became = f"{outcomes['sent']:,} sent, {outcomes['failed']:,} not sent after all{failed}, {outcomes['unknown']:,} unknown"
    arrived = f"{messages.mails:,} arrived: {words.counts(messages.languages) or 'none'}"
    return [
        f"  messages   {decided.total():,} decisions: {decided['send']:,} to send, {decided['hold']:,} held, {decided['skip']:,} skipped",
        f"  skipped    {words.counts(messages.skipped) or 'none'}",
        f"  sender     {became}, {max(0, decided['send'] - messages.told):,} not begun at the end. {words.NO_TRANSACTIONS}",
        f"  mails      {arrived}; {_quantiles(messages.latencies_ms)} from a decision to its mail",
    ]


def slowness(seen: Seen) -> list[str]:
    """What a slow machine changed; nothing on any other."""
    if not seen.is_slow:
        return []
    pace, found = seen.pace, list[str]()
    if pace.is_slowed:
        found.append(f"this machine did not keep up with {pace.asked:,.0f} events/s: the shop sent less, down to {pace.lowest:,.0f}/s")
    else:
        found.append("this machine is slow beside whatever else it does: changes came late")
    if seen.unread > 0:
        found.append(f"{seen.unread:,} events were still unread at the end; none is lost, there was no time left")
    if seen.seconds >= PROOF_SECONDS and seen.first_silence is None:
        found.append(f"there was no time to see anybody enter and leave {CART_LEFT}; let it run longer: --seconds 60")
    return [f"  slow       {line}" for line in found]


def wrapped(lines: Iterable[str], width: int | None) -> list[str]:
    """Lines cut at words so that they fit into ``width``, the rest under the text; None leaves them as they are."""
    return [part for line in lines for part in (textwrap.wrap(line, width, subsequent_indent=" " * INDENT) if width else [line])]


def _quantiles(values: Iterable[int]) -> str:
    found = list(values)
    p50, p99 = quantile_ms(found, 0.5), quantile_ms(found, 0.99)
    return "none seen" if p50 is None else f"p50 {p50} ms, p99 {p99} ms"


def _members(seen: Seen, names: Iterable[str]) -> str:
    return ", ".join(f"{name} {seen.numbers.members.get(name, 0):,}" for name in names)
