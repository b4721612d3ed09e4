"""The bodies of answers. ``schemas/openapi.v1.json`` has them too, and is made of these."""

from __future__ import annotations

from typing import Annotated

import msgspec

from streamer.segments.change import NonNegative
from streamer.segments.explain import Explanation
from streamer.segments.merge import Id
from streamer.wire import Instant

SegmentName = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class LogPosition(msgspec.Struct):
    """How far the log was applied: everything below ``offset`` in the shard's partition of the events topic. ``generation`` is that of the
    log."""

    generation: Annotated[int, msgspec.Meta(ge=1)]
    shard: NonNegative
    offset: NonNegative


class NextFlip(msgspec.Struct):
    """A membership turns at this moment if nothing happens: the customer enters, or else leaves."""

    at: Instant
    enters: bool


class MembershipAnswer(msgspec.Struct):
    """How a customer stands to a segment. ``since`` is the moment of the newest change, ``sequence`` its number, as changes have it: 0
    where there was none. ``next_flip`` is null where none is known; see ``looked_ahead_until``."""

    inside: bool = msgspec.field(name="in")
    since: Instant | None
    sequence: NonNegative
    next_flip: NextFlip | None


class ScoreAnswer(msgspec.Struct, omit_defaults=True):
    """What a model says: ``score`` and ``percentile`` as in the language of segments, or the ``group``. ``version`` is the model's."""

    version: NonNegative
    score: float | None = None
    percentile: float | None = None
    group: str | None = None


class CustomerAnswer(msgspec.Struct, omit_defaults=True):
    """What is committed of one customer, as of ``as_of``: the log time of the last record that was applied to their shard.

    ``lag_ms``: 0 where the whole log has been applied, else how long ago ``as_of`` was; null where Kafka did not say. ``customer`` is the
    id that was asked for, ``merged_into`` the one by which they go now, if it is another. ``definitions`` is the version under which the
    memberships hold; null while the shard is on its way to a newer one and has not come to this customer.
    ``memberships``: without a choice of segments those that the customer is or was in, or will enter by time alone; every chosen one else.
    ``looked_ahead_until``: so far the next flips were looked for, where that is not for ever. ``set_aside_since``: an error of our own at
    this customer; memberships stand as they were. ``explanation``: why they are in each segment or not, at ``explained_at``.
    Of a moment of the past all of it is as of that moment, which ``as_of`` says then, and so is ``merged_into``; ``position`` is that up to
    which the log was known. ``of_history``: nothing was known of them then, and history that was imported since says it, under the
    definitions in force now.
    """

    customer: Id
    as_of: Instant
    lag_ms: NonNegative | None
    position: LogPosition
    definitions: NonNegative | None
    memberships: dict[SegmentName, MembershipAnswer]
    scores: dict[str, ScoreAnswer] = {}
    merged_into: Id | None = None
    looked_ahead_until: Instant | None = None
    set_aside_since: Instant | None = None
    explained_at: Instant | None = None
    explanation: list[Explanation] = []
    of_history: bool = False


class MembershipsQuestion(msgspec.Struct, forbid_unknown_fields=True):
    """Which customers, and which segments of theirs; null: as ``CustomerAnswer`` says."""

    customers: Annotated[list[Id], msgspec.Meta(min_length=1, max_length=100)]
    segments: Annotated[list[SegmentName], msgspec.Meta(min_length=1, max_length=1_000)] | None = None


class MembershipsAnswer(msgspec.Struct):
    """One answer for each customer that is known, in the order asked for, each as of its own shard. ``unknown`` are the others,
    ``being_joined`` those whose ids are being joined at this moment: ask again."""

    customers: list[CustomerAnswer]
    unknown: list[Id]
    being_joined: list[Id]


class Member(msgspec.Struct):
    """A customer in the segment, since when, and by which change of theirs."""

    customer: Id
    since: Instant
    sequence: Annotated[int, msgspec.Meta(ge=1)]


class ShardSize(msgspec.Struct):
    """How many members a shard has, exactly, as of its own position and log time."""

    position: LogPosition
    as_of: Instant
    members: NonNegative


class MembersAnswer(msgspec.Struct):
    """One page of the members of a segment, in an order of the store's.

    ``size`` is how many there are in all, from the checkpoints in ``shards``: exact, and not counted by walking. A page is found by reading
    ``scanned`` states of customers, members or not, so it may be short or empty: go on with ``next_cursor`` until it is null. Whoever is
    inside for the whole walk comes once; who enters or leaves meanwhile may be in it or not.
    """

    segment: SegmentName
    size: NonNegative
    shards: list[ShardSize]
    members: list[Member]
    scanned: NonNegative
    next_cursor: str | None


class PastMembersAnswer(msgspec.Struct):
    """One page of who was in a segment at ``as_of``, in the order of their ids, and by the ids that they had then.

    ``size`` is how many they were in all. ``read``: by shard, below which record of its log all was looked at that has been said since.
    """

    segment: SegmentName
    as_of: Instant
    size: NonNegative
    read: list[LogPosition]
    members: list[Id]
    next_cursor: str | None


class SegmentAnswer(msgspec.Struct):
    """A segment in force, for whom it is, and its exact size."""

    name: SegmentName
    purpose: str
    size: NonNegative


class SegmentsAnswer(msgspec.Struct):
    """The segments in force, by name, and as of when each shard counted its members."""

    definitions: NonNegative
    segments: list[SegmentAnswer]
    shards: list[ShardSize]
