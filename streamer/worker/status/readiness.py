"""What ``/readyz`` answers: whether this worker does its work, and what it is that it does not do.

Nothing here waits or reads a clock: it is judged from what is known at the moment of asking.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Final, Literal

import msgspec

from streamer.language.durations import format_duration

from .audit_status import AuditStatus
from .lane_status import LaneStatus
from .shard_state import ShardState

STUCK_SECONDS: Final = 5.0  # a commit takes milliseconds, acquiring a shard a second
STILL_SECONDS: Final = 10.0  # so long without a record although there are some, or although a tick was sent
HEARTBEATS_MISSED: Final = 2


class ShardStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """How one shard of this worker is doing; ``problem`` is empty when it does its work.

    ``offset`` is the next record to process, ``end`` the place behind the last one of the log; both are absent where they are not known
    now. ``log_time_ms`` is UTC milliseconds. ``lag_seconds`` is how far it is behind the clock where records are to be read, else for how
    long a tick has been under way: on a quiet shard that has read everything it is 0. ``lane`` is absent where it obeys what was published,
    ``audit`` where customers are not compared with the log.
    """

    shard: int
    state: ShardState
    since_seconds: float
    problem: str = ""
    offset: int | None = None
    end: int | None = None
    lag_records: int | None = None
    log_time_ms: int | None = None
    lag_seconds: float | None = None
    outbox: int = 0
    lane: LaneStatus | None = None
    audit: AuditStatus | None = None


class Readiness(msgspec.Struct, frozen=True):
    """The answer of ``/readyz``, with status 200 when it is ``ready``, else 503.

    ``problems`` has all of them in words; ``working`` the shards that go on all the same, as one that is halted holds up no other.
    ``kafka_silent_seconds`` is the time since the last answer of a broker.
    """

    status: Literal["ready", "not ready"]
    problems: list[str]
    working: list[int]
    shards: list[ShardStatus]
    kafka_silent_seconds: float


class ShardReadiness(msgspec.Struct, frozen=True):
    """What is known of a shard at a moment; times are seconds up to it."""

    shard: int
    state: ShardState
    since: float
    why: str = ""
    offset: int | None = None
    end: int | None = None  # of what may be read
    undecided: int = 0  # records behind it, whose transactions are open
    log_time_ms: int = 0
    busy: float = 0.0  # something is in hand, and since so long nothing of it was committed
    still: float = 0.0  # the position has not moved
    unread: float = 0.0  # a tick was sent, and nothing has been read since
    outbox: int = 0
    is_full: bool = False
    stalled: str = ""  # why the store takes nothing
    held: str = ""  # why nothing new in the log may be read yet
    unpublished: str = ""  # why what was committed does not reach the readers


def status_of(seen: ShardReadiness, *, now_ms: int, tick_ms: int) -> ShardStatus:
    """How a shard is doing at ``now_ms``; ``tick_ms`` is the time between two heartbeats, 0 where there are none."""
    behind = max(0, seen.end - seen.offset) if seen.end is not None and seen.offset is not None else None
    late = max(0.0, (now_ms - seen.log_time_ms) / 1_000) if seen.log_time_ms else None
    return ShardStatus(
        seen.shard,
        seen.state,
        round(seen.since, 1),
        _problem(seen, behind=behind, late=late, patience=STILL_SECONDS + HEARTBEATS_MISSED * tick_ms / 1_000 if tick_ms else inf),
        seen.offset,
        seen.end + seen.undecided if seen.end is not None else None,
        behind + seen.undecided if behind is not None else None,
        seen.log_time_ms or None,
        seen.unread if behind == 0 else late,
        seen.outbox,
    )


def _problem(seen: ShardReadiness, *, behind: int | None, late: float | None, patience: float) -> str:
    """Why a shard does not do its work; the first reason is the one to act on."""
    if seen.state is not ShardState.OWNED:
        return f"{seen.state.value} for {_duration(seen.since)}: {seen.why or 'not acquired yet'}"
    if seen.is_full:
        return f"the outbox is full: {seen.outbox} outputs wait for the broker, and nothing is read until it takes them"
    if seen.unpublished:
        return seen.unpublished
    if seen.stalled:
        return f"no commit goes through: {seen.stalled}"
    if seen.busy > STUCK_SECONDS:
        return f"nothing is committed for {_duration(seen.busy)}: the store does not answer, or one record takes so long"
    if seen.held:
        return seen.held
    if behind and seen.still > STILL_SECONDS:
        return f"nothing is fetched for {_duration(seen.still)} although {behind} records are there"
    if not behind and late is not None and (min(late, seen.still) > patience or min(seen.unread, seen.still) > STILL_SECONDS):
        return f"log time stands still for {_duration(late)}: the broker takes no ticks, or gives them to nobody"
    return ""


def readiness(
    statuses: Sequence[ShardStatus], *, dealt: bool, away: str, others: Sequence[str] = (), kafka_silent_seconds: float
) -> Readiness:
    """The answer for a worker. ``away`` is what is wrong with Kafka, empty when nothing is; ``others`` what is wrong besides the shards."""
    problems = [] if dealt else ["the shards are not dealt out yet"]
    problems += [away] if away else []
    problems += [f"shard {status.shard}: {status.problem}" for status in statuses if status.problem]
    problems += others
    working = [] if away else [status.shard for status in statuses if not status.problem]
    return Readiness("not ready" if problems else "ready", problems, working, list(statuses), round(kafka_silent_seconds, 1))


def _duration(seconds: float) -> str:
    return format_duration(int(seconds) * 1_000)


__all__ = ["Readiness", "ShardReadiness", "ShardStatus", "readiness", "status_of"]
