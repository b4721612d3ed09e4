"""The demo's screen, drawn from what was seen: calm at 80 x 24, with more of the same where there is more room.

``draw`` is a function of its arguments; who shows it, and how often, is decided elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from streamer.demo import words
from streamer.demo.seen import PREFIX, Seen, Shown, quantile_ms
from streamer.demo.seen_messages import Mail, kind_of
from streamer.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from streamer.demo.seen_messages import SeenMessages, ShownMessage

QUIET: Final = "dim"
TIME: Final = "yellow"  # whatever happened because only time passed
NUMBER: Final = "bold"
ENTERED: Final = "green"
LEFT: Final = "magenta"
MAIL: Final = "cyan"

FIXED_LINES: Final = 14  # all but the rows of segments, the changes and the messages
ROWS_MIN, CHANGES_MIN, MESSAGES_MIN = 4, 1, 2
WIDE: Final = 112  # from here on there is room for what a segment is for
NAME_WIDTH, COUNT_WIDTH, BAR_WIDTH = 21, 5, 9
BLOCKS: Final = " ▏▎▍▌▋▊▉█"


@dataclass(frozen=True, slots=True)
class Facts:
    """What does not change while the demo runs. ``page`` is for a browser, ``web`` the worker's own. ``segments`` are the names and
    purposes of the rules in seconds, in their order."""

    customers: int
    seed: int
    page: str
    web: str
    segments: Sequence[tuple[str, str]]
    library: Sequence[str]


def draw(seen: Seen, facts: Facts, *, width: int, height: int) -> RenderableType:
    """The whole screen, exactly ``height`` lines if that is at least 24."""
    rows, changes, messages = share_lines(height, len(facts.segments))
    parts: list[RenderableType] = [
        _title(seen, facts),
        Text(f" {words.IN_MEMORY}", style=QUIET, no_wrap=True, overflow="ellipsis"),
        _figures(seen),
        _causes(seen),
        _rule("Segments", words.IN_SECONDS),
        _segments(seen, facts, rows, width),
        _rule("When nothing happens", words.proven(seen.silences)),
        *_silence(seen),
        _rule("Changes as they come", words.slowed(seen.pace) or "a few of them, each with its reason"),
        *_changes(seen, changes),
        _rule("Messages", "decided in the log, sent to a mailbox in this terminal"),
        *_messages(seen.messages, messages),
        _foot(facts),
    ]
    return Group(*parts)


def share_lines(height: int, segments: int) -> tuple[int, int, int]:
    """How many rows of segments, changes (of two lines each) and messages fit.

    >>> share_lines(24, 11), share_lines(40, 11), share_lines(10, 11)
    ((4, 1, 4), (8, 4, 10), (4, 1, 2))
    """
    free = height - FIXED_LINES
    rows = min(segments, max(ROWS_MIN, free // 3))
    changes = max(CHANGES_MIN, free // 6)
    return rows, changes, max(MESSAGES_MIN, free - rows - 2 * changes)


def _title(seen: Seen, facts: Facts) -> Table:
    left = Text.assemble(
        (" streamer demo", "bold"), "  a ", ("SIMULATED", "bold reverse"), f" shop, {facts.customers} invented customers, seed {facts.seed}"
    )
    return _ends(left, Text(f"open for {_duration(seen.seconds)} ", style=QUIET))


def _figures(seen: Seen) -> Text:
    p50, p99 = quantile_ms(seen.event_latencies_ms, 0.5), quantile_ms(seen.event_latencies_ms, 0.99)
    latency = "…" if p50 is None else f"{p50} ms"
    late = "" if p99 is None else f" (99 %: {p99} ms)"
    return _line(
        (f" {seen.rate:,.0f}", NUMBER), " events/s   ", (f"{seen.sent:,}", NUMBER), " sent   lag ", (f"{seen.numbers.lag:,}", NUMBER),
        "   from event to change ", (latency, NUMBER), (late, QUIET),
    )  # fmt: skip


def _causes(seen: Seen) -> Text:
    return _line(
        (f" {seen.changes:,}", NUMBER), " changes: ", (f"{seen.causes['event']:,}", NUMBER), " by an event, ",
        (f"{seen.causes['timer']:,}", f"{NUMBER} {TIME}"), (" because only time passed", TIME),
    )  # fmt: skip


def _segments(seen: Seen, facts: Facts, rows: int, width: int) -> Table:
    """The rules in seconds on the left, the largest segments of the library on the right."""
    members = seen.numbers.members
    ours = list(facts.segments)[:rows]
    theirs = sorted(facts.library, key=lambda name: (-members.get(name, 0), name))[:rows]
    most = max([1, *(members.get(name, 0) for name, _ in facts.segments)])
    most_of_library = max([1, *(members.get(name, 0) for name in theirs)])
    wide = width >= WIDE
    table = Table.grid(padding=(0, 1), expand=True)
    _add_member_columns(table)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis", style=QUIET)
    _add_member_columns(table)
    table.add_row(*_heads("in seconds"), Text(), *_heads(f"library, all {len(facts.library)}"))
    for row in range(rows):
        name, purpose = ours[row] if row < len(ours) else ("", "")
        other = theirs[row] if row < len(theirs) else ""
        table.add_row(
            *_member(name, members.get(name, 0), most),
            purpose if wide else "",
            *_member(other, members.get(other, 0), most_of_library),
        )
    return table


def _add_member_columns(table: Table) -> None:
    table.add_column(width=NAME_WIDTH, no_wrap=True, overflow="ellipsis")
    table.add_column(width=COUNT_WIDTH, no_wrap=True, justify="right")
    table.add_column(width=BAR_WIDTH, no_wrap=True)


def _heads(name: str) -> tuple[Text, Text, Text]:
    return Text(f" {name}", style=QUIET), Text("now", style=QUIET), Text()


def _member(name: str, count: int, most: int) -> tuple[Text, Text, Text]:
    if not name:
        return Text(), Text(), Text()
    ours = name.startswith(PREFIX)
    return Text(f" {name}"), Text(f"{count:,}", style=NUMBER), Text(bar(count, most, BAR_WIDTH), style="cyan" if ours else "blue")


def bar(count: int, most: int, width: int) -> str:
    """A bar of ``width`` characters at most, in eighths of one; whoever is not nothing gets an eighth.

    >>> bar(3, 8, 2), bar(0, 8, 2), bar(8, 8, 2), bar(1, 800, 2)
    ('▊', '', '██', '▏')
    """
    eighths = min(8 * width, max(round(8 * width * count / max(1, most)), 1 if count else 0))
    return ("█" * (eighths // 8) + BLOCKS[eighths % 8]).strip()


def _silence(seen: Seen) -> list[Text]:
    """Always three lines."""
    if seen.followed is None:
        return [Text(" Somebody is about to leave a cart …", style=QUIET), Text(), Text()]
    first, *others = words.silence(seen.followed)
    lines = [Text(f" {first}", no_wrap=True, overflow="ellipsis")]
    for line in others:
        style = TIME if words.ONLY_TIME in line else QUIET
        lines += [Text(f" {line}", style=style, no_wrap=True, overflow="ellipsis")]
    return lines


def _changes(seen: Seen, count: int) -> list[Text]:
    """The newest first, always two lines for each of ``count``."""
    newest = list(seen.shown)[-count:][::-1]
    lines = [line for shown in newest for line in change_lines(shown)]
    return lines + [Text() for _ in range(2 * count - len(lines))]


def change_lines(shown: Shown) -> tuple[Text, Text]:
    """A change and its reason."""
    change = shown.change
    verb, by_time = words.verb(change), change.data.cause.kind == "timer"
    first = _line(
        (f" {words.clock(change.data.at)} ", QUIET), f" {printable(change.subject)} ", (f"{verb} ", ENTERED if verb == "entered" else LEFT),
        (change.data.segment, "bold"), (f"  {words.cause(change, shown.event)}", TIME if by_time else QUIET),
    )  # fmt: skip
    return first, Text(f"     {words.reason(change)}", style=QUIET, no_wrap=True, overflow="ellipsis")


def _messages(messages: SeenMessages, count: int) -> list[Text]:
    """The figures, then the newest first, always ``count`` lines of them."""
    newest = list(messages.shown)[-count:][::-1]
    lines = [message_text(one) for one in newest] + [Text() for _ in range(count - len(newest))]
    reasons = words.counts(messages.skipped)
    return [_line(f" {words.message_counts(messages)}", (f": {reasons}" if reasons else "", QUIET)), *lines]


def message_text(one: ShownMessage) -> Text:
    """A mail that arrived, or why a message was held or skipped."""
    style = MAIL if isinstance(one, Mail) else TIME if kind_of(one) == "quiet" else QUIET
    return _line((f" {words.clock(words.message_time(one))} ", QUIET), (words.message(one), style))


def _foot(facts: Facts) -> Table:
    return _ends(Text.assemble((" Open in a browser: ", QUIET), (facts.page, "bold")), Text("Ctrl-C ends it all ", style=QUIET))


def _rule(title: str, more: str) -> Rule:
    return Rule(Text.assemble((title, "bold"), (f"  {more}", QUIET)), align="left", style=QUIET, characters="─")


def _ends(left: Text, right: Text) -> Table:
    """One line with something at both ends."""
    left.no_wrap, left.overflow = True, "ellipsis"
    table = Table.grid(expand=True)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column(justify="right", no_wrap=True)
    table.add_row(left, right)
    return table


def _line(*parts: str | tuple[str, str]) -> Text:
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def _duration(seconds: float) -> str:
    """Minutes and seconds.

    >>> _duration(75.4)
    '1:15'
    """
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
