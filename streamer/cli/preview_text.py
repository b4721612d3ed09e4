"""A preview as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from streamer.previews.result import Day, Difference, Horizon, MessagePreview, Preview, SegmentPreview
from streamer.previews.share import Estimate

from .explanation_text import clause_line, flip_text

HORIZON_NAMES: Final = {1: "an hour", 24: "a day", 168: "a week"}
NOBODY: Final = Estimate(0, 0, 0)

_INDENT: Final = " " * 7


def preview_lines(found: Preview) -> Iterator[str]:
    """What was looked at, then a block a segment."""
    yield _basis(found)
    yield from (f"{count:,} refused: {reason}" for reason, count in found.refused.items())
    for segment in found.segments:
        yield ""
        yield from _block(found, segment)
    for message in found.messages:
        yield ""
        yield from _message(message)


def difference_lines(found: Preview) -> Iterator[str]:
    """Of definitions that are to replace all: who would enter and leave, a line a segment whose members would not stay the same."""
    yield _basis(found)
    stays = 0
    for segment in found.segments:
        difference = segment.difference
        if difference is None or not _moves(difference):
            stays += 1
            continue
        yield f"{segment.name}: {_difference(difference)}, {number(segment.members)} then"
    yield from (line for segment in found.segments for line in _warming(found, segment, f"{segment.name}: "))
    yield from (f"{name}: is gone, all {number(members)} would leave" for name, members in found.gone.items())
    if stays:
        yield f"{stays} more: nobody would enter or leave"


def _basis(found: Preview) -> str:
    share = "all customers" if found.share >= 1 else f"{found.share * 100:.6g}% of the customers, chosen by hash"
    since = "no event" if found.begins is None else f"{found.events:,} events from {found.begins}"
    cut = ", before which the log was not read" if found.is_cut else ""
    return f"at {found.at}, by {share}, {number(found.customers)}: {since}{cut}"


def number(found: Estimate) -> str:
    """A count, or a guess with its interval: ``17``, ``1,000 (831 to 1,204)``."""
    return f"{found.count:,}" if found.low == found.high else f"{found.count:,} ({found.low:,} to {found.high:,})"


def _moves(difference: Difference) -> bool:
    return difference.enter.count > 0 or difference.leave.count > 0


def _difference(difference: Difference) -> str:
    members, enter, leave = (number(one) for one in (difference.members, difference.enter, difference.leave))
    return f"{members} in force now, {enter} would enter, {leave} would leave"


def _block(found: Preview, segment: SegmentPreview) -> Iterator[str]:
    part = f", {segment.members.count / found.customers.count:.1%} of the customers" if found.customers.count else ""
    yield f"{segment.name}: {number(segment.members)} members{part}"
    yield f"{_INDENT}{segment.purpose}"
    if segment.difference is not None:
        yield f"{_INDENT}{_difference(segment.difference)}"
    yield from (f"{_INDENT}waits for the model {model}: it has said nothing yet, so nobody enters" for model in segment.waits_for)
    yield from _warming(found, segment, f"{_INDENT}warming: ")
    yield f"{_INDENT}if no event arrives: {'; '.join(map(_horizon, segment.ahead))}"
    yield from _days(segment.days)
    if segment.overlaps:
        yield f"{_INDENT}of them {'; '.join(_overlaps(segment))}"
    for sample in segment.samples:
        item = sample.explanation
        yield f"{_INDENT}{sample.customer} since {item.since}{flip_text(item)}"
        yield from (f"{_INDENT}    {clause_line(clause)}" for clause in item.because)


def _warming(found: Preview, segment: SegmentPreview, before: str) -> Iterator[str]:
    since = f", which has events since {found.begins}" if found.begins is not None else ""
    yield from (f"{before}{clause} looks further back than the log reaches{since}" for clause in segment.warming)


def _message(message: MessagePreview) -> Iterator[str]:
    yield f"message {message.name}: {number(message.sent)} customers would have been sent it in {len(message.days)} days"
    yield from (f"{_INDENT}{number(count)} {what}" for what, count in message.others.items())
    yield from (f"{_INDENT}{day.day}  {number(day.sent)}" for day in message.days if day.sent.count)


def _horizon(horizon: Horizon) -> str:
    return f"within {HORIZON_NAMES.get(horizon.hours, f'{horizon.hours} h')} {number(horizon.enter)} enter, {number(horizon.leave)} leave"


def _days(days: list[Day]) -> Iterator[str]:
    """A table of the days from the first on which somebody moved."""
    first = next((at for at, day in enumerate(days) if day.entered != NOBODY or day.left != NOBODY), len(days))
    rows = [(day.day, number(day.entered), number(day.left)) for day in days[first:] if day.entered.count or day.left.count]
    if not rows:
        yield f"{_INDENT}nobody entered or left in {len(days)} days"
        return
    rows.insert(0, ("day", "entered", "left"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        yield _INDENT + "  ".join((row[0].ljust(widths[0]), row[1].rjust(widths[1]), row[2].rjust(widths[2])))


def _overlaps(segment: SegmentPreview) -> Iterator[str]:
    for overlap in segment.overlaps:
        part = overlap.members.count / segment.members.count if segment.members.count else 0
        yield f"{part:.0%} are in {overlap.segment}{' (in force)' if overlap.in_force else ''}"


__all__ = ["difference_lines", "number", "preview_lines"]
