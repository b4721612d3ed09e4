"""What a preview says."""

from __future__ import annotations

import msgspec

from streamer.segments.explain import Explanation
from streamer.wire import Instant

from .share import Estimate


class Day(msgspec.Struct, frozen=True):
    """Who came and went on one day of the shop's calendar: customers, each counted once a day and way."""

    day: str
    entered: Estimate
    left: Estimate


class Horizon(msgspec.Struct, frozen=True):
    """Who comes and goes within ``hours`` if no event arrives, since a window ends or a moment is reached: customers, each once a way."""

    hours: int
    enter: Estimate
    leave: Estimate


class SampleMember(msgspec.Struct, frozen=True):
    """A member, and why they are one."""

    customer: str
    explanation: Explanation


class Overlap(msgspec.Struct, frozen=True):
    """Customers who are also in another segment: one of the preview, or with ``in_force`` one that holds in the deployment now."""

    segment: str
    in_force: bool
    members: Estimate


class Difference(msgspec.Struct, frozen=True):
    """What publishing would change at once: members in force now, who would enter and who would leave."""

    members: Estimate
    enter: Estimate
    leave: Estimate


class SegmentPreview(msgspec.Struct, frozen=True):
    """One segment, at the end of the log.

    ``days`` ascend and have no gaps; ``ahead`` are an hour, a day and a week. ``warming`` are the clauses that look further back than
    the log reaches. ``waits_for`` are the models that have said nothing, so nobody can enter for their sake. ``difference`` is None where
    nothing in force was looked at.
    """

    name: str
    purpose: str
    members: Estimate
    days: list[Day]
    ahead: list[Horizon]
    samples: list[SampleMember]
    overlaps: list[Overlap]
    warming: list[str]
    waits_for: list[str]
    difference: Difference | None = None


class MessageDay(msgspec.Struct, frozen=True):
    """Customers to whom a message would have been sent on one day of the shop's calendar, each counted once."""

    day: str
    sent: Estimate


class MessagePreview(msgspec.Struct, frozen=True):
    """One message, had it always been defined: customers of the days that were asked for, each counted once a row.

    ``sent`` are those to whom it would have been sent; ``others`` those of whom something else was decided, by what and why
    (``skip: cap``, ``hold: quiet``): one who was held and then sent to is in both. ``days`` ascend and have no gaps.
    """

    name: str
    sent: Estimate
    others: dict[str, Estimate]
    days: list[MessageDay]


class Preview(msgspec.Struct, frozen=True):
    """What definitions would do.

    ``at`` is the moment of which it holds: the end of the log, with the time that has passed since. ``begins`` is its first record, None
    where there is none; with ``is_cut`` there was more before it. ``share`` is the part of the customers that was looked at, 1.0: all, and
    every estimate is a count then. ``customers`` are those of the log, each person once. ``events`` were read for them, ``refused`` says by
    reason what of these did not count. ``gone`` are segments in force that the definitions no longer have, where they are to replace all.
    ``messages`` are those of the definitions, in the order in which they are decided.
    """

    at: Instant
    begins: Instant | None
    is_cut: bool
    share: float
    customers: Estimate
    events: int
    refused: dict[str, int]
    segments: list[SegmentPreview]
    gone: dict[str, Estimate] = {}
    messages: list[MessagePreview] = []
