"""The logs of all shards as one, by the time of arrival: what a single shard would have been told.

What shards have sent each other is left out, since whoever is told the rest says it anew; and so are ticks and definitions. Each shard's
amendments and keys are obeyed. History that is part of the past comes before the first record of its shard that arrived later.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import AsyncGenerator, Sequence
from operator import itemgetter
from typing import Final, NamedTuple

from streamer.errors import RefusedError
from streamer.signing import CONTROL, FORWARD, Keyring, SignedPlace, Trust, check_control, check_signed
from streamer.wire import EVENTS, FORWARD_HEADER, NO_LINK_HEADER, Control, LogRecord, decode_control

from .amendments import Amendments
from .forwards import forward_of
from .replay import Arrival
from .rules import Rules
from .shard_history import ShardHistory

Batches = AsyncGenerator[Sequence[LogRecord]]

TOLD_ONCE: Final = 0  # every shard has the records of models; those of the first one are enough

_time: Final = itemgetter(0)


class ShardRecords:
    """The records of one shard that concern its customers, each with the log time at which it arrived."""

    def __init__(self, shard: int, rules: Rules, amendments: Amendments, keyring: Keyring) -> None:
        self.shard = shard
        self._rules = rules
        self._amendments = amendments
        self._keyring = keyring
        self._trust = Trust()
        self.read = 0  # records so far
        self.first_ms: int | None = None  # log time at the first record that there was
        self._now_ms = 0
        self._begin = 0  # of what is not passed over

    @property
    def reached_ms(self) -> int:
        """Log time so far: what follows has arrived then or later."""
        return self._now_ms

    def time_at(self, record: LogRecord) -> int | None:
        """Log time at the next record; None for one that is passed over."""
        if record.offset < self._begin:
            return None
        begin = self._amendments.resumes_at(record.offset) or record.offset
        if record.offset < begin or self._amendments.refusal(record.offset) is not None:
            return None
        if record.broker_time or self._rules.trust_producer_time:
            return max(self._now_ms, self._amendments.arrival_ms(record.offset, record.arrival_ms))
        return self._now_ms

    def take(self, record: LogRecord) -> Arrival | None:
        """The next record; None where it says nothing to customers. HaltError when this process lacks a key that holds."""
        self.read += 1
        now_ms = self.time_at(record)
        if record.offset >= self._begin:
            self._begin = self._amendments.resumes_at(record.offset) or record.offset
        if now_ms is None:
            return None
        self._now_ms = now_ms
        if self.first_ms is None:
            self.first_ms = self._now_ms
        if record.control:
            return self._control(record)
        if any(name == FORWARD_HEADER for name, _ in record.headers):
            return None
        return self._event(record)

    def recall(self, record: LogRecord) -> Arrival:
        """The next record of the shard's history. It arrived when it happened."""
        self.read += 1
        self._now_ms = max(self._now_ms, record.arrival_ms)
        if self.first_ms is None:
            self.first_ms = self._now_ms
        return self._event(record)

    def _event(self, record: LogRecord) -> Arrival:
        headers = tuple(header for header in record.headers if header[0] == NO_LINK_HEADER)
        return Arrival(record.offset, self._now_ms, record.value, f"{self.shard}", record.key, headers)

    def is_of_a_shard(self, record: LogRecord) -> bool:
        """Whether the record, which was taken last, is one by which a shard ties ids together. What a shard has not sent is none."""
        if record.control or record.offset < self._begin:
            return False
        try:
            forward = forward_of(record)
            if forward is None or forward.kind == "event":
                return False
            place = SignedPlace(FORWARD, EVENTS, self.shard)
            check_signed(self._trust, self._keyring, record.headers, place, forward.text, record.key, record.value)
        except RefusedError:
            return False
        return True

    def _control(self, record: LogRecord) -> Arrival | None:
        try:
            control = decode_control(record.value)
            self._trust = check_control(self._trust, self._keyring, control, record, SignedPlace(CONTROL, EVENTS, self.shard))
        except RefusedError:
            return None
        return Arrival(record.offset, self._now_ms, record.value, f"{self.shard}", control=True) if self._concerns(control) else None

    def _concerns(self, control: Control) -> bool:
        match control.control:
            case "erase" | "unmerge":
                return True
            case "model" | "withdraw" | "pause" | "resume":
                return self.shard == TOLD_ONCE
            case "tick" | "definitions" | "keys" | "pin" | "unpin":
                return False


class ShardStory(NamedTuple):
    """One shard: batches of its log, what they say to customers, and its history, as far as that had happened at ``until_ms`` (UTC)."""

    batches: Batches
    records: ShardRecords
    history: ShardHistory | None = None
    until_ms: int = 0


class _ShardReading:
    """One shard's log on its way: what was read of it and not handed on."""

    def __init__(self, story: ShardStory) -> None:
        self.held: list[tuple[int, Arrival]] = []
        self.reached_ms: int | None = 0  # everything up to then is held; None at the end of the log
        self._story = story
        self._pieces = _pieces(story)

    async def more(self) -> None:
        """Read a piece."""
        try:
            self.held += await anext(self._pieces)
        except StopAsyncIteration:
            self.reached_ms = None
            return
        self.reached_ms = self._story.records.reached_ms

    def take_before(self, bound_ms: int | None) -> list[tuple[int, Arrival]]:
        """What arrived before a moment; all for None."""
        if bound_ms is None:
            taken, self.held = self.held, []
            return taken
        count = bisect_left(self.held, bound_ms, key=_time)
        taken, self.held = self.held[:count], self.held[count:]
        return taken

    async def close(self) -> None:
        """Read no more."""
        await self._pieces.aclose()
        await self._story.batches.aclose()


async def _pieces(story: ShardStory) -> AsyncGenerator[list[tuple[int, Arrival]]]:
    """What a shard has to say to customers, a batch of its log or of its history at a time."""
    records, history = story.records, story.history
    async for batch in story.batches:
        piece: list[tuple[int, Arrival]] = []
        for record in batch:
            if history is not None and history.next_ms is not None and (now_ms := records.time_at(record)) is not None:
                while _is_due(history, now_ms):
                    yield [*piece, *[_timed(records.recall(one)) for one in await history.due(now_ms)]]
                    piece = []
                history.notice(record)
            if (found := records.take(record)) is not None:
                piece.append(_timed(found))
        yield piece
    while history is not None and _is_due(history, story.until_ms):
        yield [_timed(records.recall(one)) for one in await history.due(story.until_ms)]


def _is_due(history: ShardHistory, now_ms: int) -> bool:
    return history.next_ms is not None and history.next_ms <= now_ms


def _timed(arrival: Arrival) -> tuple[int, Arrival]:
    return arrival.arrival_ms, arrival


async def whole_log(shards: Sequence[ShardStory]) -> AsyncGenerator[list[Arrival]]:
    """Stretches of the log of all shards, in the order of arrival; of equal times by shard."""
    readings = [_ShardReading(story) for story in shards]
    try:
        while True:
            bounds = [one.reached_ms for one in readings if one.reached_ms is not None]
            bound_ms = min(bounds, default=None)
            found = [entry for one in readings for entry in one.take_before(bound_ms)]
            if found:
                yield [arrival for _, arrival in sorted(found, key=_time)]
            if bound_ms is None:
                return
            for one in readings:
                if one.reached_ms == bound_ms:
                    await one.more()
    finally:
        for one in readings:
            await one.close()


__all__ = ["Batches", "ShardRecords", "ShardStory", "whole_log"]
