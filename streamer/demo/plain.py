"""The demo as lines, for whoever has no terminal: a log of a build, a pipe, a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamer.demo import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamer.demo.screen import Facts
    from streamer.demo.seen import Seen, Shown, Silence
    from streamer.demo.seen_messages import ShownMessage

STATUS_MS: Final = 2_000


class PlainLines:
    """What is worth a line since the last time it was asked."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._said_ms = seen.opened_ms
        self._proven: Silence | None = None

    def new(self, shown: Shown | None, message: ShownMessage | None, now_ms: int) -> Iterator[str]:
        """Lines about what has happened; ``shown`` is a change that was just picked, ``message`` what was picked of messages."""
        if shown is not None:
            yield change_line(shown)
        if message is not None:
            yield message_line(message)
        if self._proven is None and self._seen.first_silence is not None:
            self._proven = self._seen.first_silence
            yield from (
                f"  >> {line}" for line in (*words.silence(self._proven), "Entered AND left without one event of theirs: only time passed.")
            )
        if now_ms - self._said_ms >= STATUS_MS:
            self._said_ms = now_ms
            yield status_line(self._seen)


def opening(facts: Facts, *, until: str) -> list[str]:
    """What a newcomer must know first."""
    return [
        f"streamer demo: a SIMULATED shop, {facts.customers} invented customers, seed {facts.seed}; {until}.",
        words.IN_MEMORY,
        words.NO_TRANSACTIONS,
        f"Segments demo_* are {words.IN_SECONDS}; the library's own {len(facts.library)} are loaded too.",
        f"Open in a browser: {facts.page}",
        f"The worker's own: {facts.web}/metrics and {facts.web}/readyz",
    ]


def change_line(shown: Shown) -> str:
    """A change, its cause and its reason in one line."""
    change = shown.change
    what = f"{change.subject} {words.verb(change)} {change.data.segment}"
    return f"{words.clock(change.data.at)} {what}: {words.cause(change, shown.event)}, {words.reason(change)}"


def message_line(one: ShownMessage) -> str:
    """What was decided of a message, or the mail that arrived."""
    return f"{words.clock(words.message_time(one))}    {words.message(one)}"


def status_line(seen: Seen) -> str:
    """The figures in one line."""
    slowed = words.slowed(seen.pace)
    by_event, by_time = f"{seen.causes['event']:,} by an event", f"{seen.causes['timer']:,} because only time passed"
    return (
        f"-- {seen.seconds:.0f} s: {seen.rate:,.0f} events/s, {seen.sent:,} sent, lag {seen.numbers.lag:,}, {seen.changes:,} changes "
        f"({by_event}, {by_time}), messages: {words.message_counts(seen.messages)}{slowed and ', '}{slowed}"
    )
