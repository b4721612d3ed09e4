"""One shard in the worker to which it is dealt: its state, what is held of it, and how it is doing."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from aiokafka import TopicPartition

from streamer.flow.relay import Relay
from streamer.flow.shard import Shard
from streamer.language.durations import format_duration
from streamer.stores.base import Position
from streamer.transports.kafka.journal import OpenJournal
from streamer.transports.kafka.open_transactions import Held
from streamer.worker.status.readiness import STILL_SECONDS, ShardReadiness
from streamer.worker.status.shard_state import NEXT, ShardState

from .refusals import Refusals
from .tick_schedule import TickSchedule

SAY_AGAIN_SECONDS: Final = 60.0

Mark = tuple[int, bytes, Position, bytes]


@dataclass(slots=True)
class ClockWait:
    """What is known of the broker's clock, and for what time of the log a shard does not read on."""

    broker_ahead_ms: int | None = None  # how far the broker's clock was ahead of ours at the last tick
    why: str = ""
    until: float = 0.0  # when it looks again, of a clock that never goes back


@dataclass(slots=True)
class Publishing:
    """How far the outputs of a shard are on their way to the broker."""

    task: asyncio.Task[None] | None = None
    arrivals: deque[tuple[int, int]] = field(default_factory=deque[tuple[int, int]])
    """(offset, arrival) of records with outputs still to publish."""
    said_at: float = float("-inf")  # when it was last said that outputs are not published
    refused: tuple[float, str] | None = None  # since when the broker takes none, and its word

    def why(self, now: float, waiting: int) -> str:
        """Why what was committed does not reach the readers; empty for the first seconds, which may be an election of the broker's."""
        if self.refused is None or now - self.refused[0] < STILL_SECONDS:
            return ""
        since, why = self.refused
        return f"outputs are not published for {format_duration(int(now - since) * 1_000)}: {why}; {waiting} wait"


@dataclass(slots=True)
class OwnedShard:
    """One shard dealt to this worker. Times are seconds of a clock that never goes back, unless a name says otherwise."""

    partition: TopicPartition
    state: ShardState = ShardState.ACQUIRING
    why: str = ""
    since: float = field(default_factory=monotonic)  # when the state began
    is_ours: bool = True  # False as soon as the group takes it away, before it is ``RELEASED``
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    # what is held of it
    shard: Shard | None = None
    relay: Relay | None = None
    journal: OpenJournal | None = None
    # what is known of it
    mark: Mark | None = None  # of the checkpoint when the shard was halted
    broken_at: int | None = None  # the position at the last error that nobody foresaw
    refusals: Refusals = field(default_factory=Refusals)
    publishing: Publishing = field(default_factory=Publishing)
    clock: ClockWait = field(default_factory=ClockWait)
    held: Held = field(default_factory=Held)
    ticks: TickSchedule = field(default_factory=TickSchedule)
    finds_due: bool = False  # its store is being asked when time changes something next
    log_time_ms: int = 0  # as last seen, also while the shard is let go
    counted: Counter[str] = field(default_factory=Counter[str])  # what the metrics have of its counts
    counted_identity: Counter[str] = field(default_factory=Counter[str])  # and of its counts of linked ids
    busy_since: float | None = None  # when what is in hand was taken up
    moved: tuple[Position | None, float] = (None, 0.0)  # the position as last seen, and when it was new
    noted: tuple[float, str] = (0.0, "")  # when the last note was left, and of what
    let_go_said: dict[str, float] = field(default_factory=dict[str, float])  # for what it was let go, and when that was said
    # when something is due again, in UTC seconds
    again_at: float = 0.0
    last_probe: float = 0.0

    @property
    def number(self) -> int:
        """The number of the shard, which is that of its partition."""
        return self.partition.partition

    def enter(self, state: ShardState, why: str = "") -> None:
        """Be in a state from now on. Every change of state goes through here."""
        assert state in NEXT[self.state], f"shard {self.number}: {self.state.name} to {state.name}"
        self.state, self.why, self.since, self.clock.why = state, why, monotonic(), ""
        self.moved = (None, self.since)

    def hold(self, shard: Shard, relay: Relay) -> None:
        """Be its owner from now on."""
        self.enter(ShardState.OWNED)
        self.shard, self.relay = shard, relay
        self.counted = Counter(shard.body.counts)
        self.counted_identity = Counter(shard.body.identity)
        self.log_time_ms = shard.body.log_time_ms

    def drop(self) -> OpenJournal | None:
        """Forget what is held of it, as its truth is in the store; the journal is still to be closed."""
        self.shard = self.relay = self.mark = None
        self.publishing.arrivals.clear()
        journal, self.journal = self.journal, None
        return journal

    def is_ready(self, now: float) -> bool:
        """Whether it can take more of the log."""
        return self.state is ShardState.OWNED and self.relay is not None and not self.relay.is_full and now >= self.clock.until

    def is_news(self, why: str) -> bool:
        """Whether it was not said within a minute that the shard is let go for this: while the store is away it happens each second."""
        now = monotonic()
        self.let_go_said = {one: at for one, at in self.let_go_said.items() if now - at < SAY_AGAIN_SECONDS}
        return self.let_go_said.setdefault(why, now) == now

    def look(self) -> None:
        """Note whether the position moves."""
        position = self.shard.position if self.shard is not None else None
        if position != self.moved[0]:
            self.moved = (position, monotonic())

    def seen(self, end: int | None) -> ShardReadiness:
        """How the shard is doing now. ``end`` is where its log ends, as far as it is known."""
        self.look()
        now, shard, relay = monotonic(), self.shard, self.relay
        still = now - self.moved[1]
        return ShardReadiness(
            self.number,
            self.state,
            now - self.since,
            self.why,
            offset=shard.position.offset if shard is not None else None,
            end=end,
            undecided=self.held.records,
            log_time_ms=self.log_time_ms,
            busy=min(still, now - self.busy_since) if self.busy_since is not None else 0.0,
            still=still,
            unread=self.ticks.unread_ms(now * 1_000) / 1_000,
            outbox=self.backlog,
            is_full=relay is not None and relay.is_full,
            stalled=shard.stalled if shard is not None else "",
            held=(self.clock.why or self.held.problem(now)) if self.state is ShardState.OWNED else "",
            unpublished=self.publishing.why(now, self.backlog),
        )

    @property
    def backlog(self) -> int:
        """How many outputs wait for the broker."""
        return self.relay.backlog if self.relay is not None else 0


__all__ = ["SAY_AGAIN_SECONDS", "ClockWait", "OwnedShard", "Publishing"]
