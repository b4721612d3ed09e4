"""The logs of all shards as one, by the time of arrival: what a single shard would have been told.

What shards have sent each other is left out, since whoever is told the rest says it anew; and so are ticks and definitions. Each shard's
amendments and keys are obeyed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import AsyncGenerator, Sequence
from operator import itemgetter
from typing import Final

from streamer.errors import RefusedError
from streamer.signing import CONTROL, FORWARD, Keyring, SignedPlace, Trust, check_control, check_signed
from streamer.wire import EVENTS, FORWARD_HEADER, NO_LINK_HEADER, Control, LogRecord, decode_control

from .amendments import Amendments
from .forwards import forward_of
from .replay import Arrival
from .rules import Rules

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

    def take(self, record: LogRecord) -> Arrival | None:
        """The next record; None where it says nothing to customers. HaltError when this process lacks a key that holds."""
        self.read += 1
        if record.offset < self._begin:
            return None
        self._begin = self._amendments.resumes_at(record.offset) or record.offset
        if record.offset < self._begin or self._amendments.refusal(record.offset) is not None:
            return None
        if record.broker_time or self._rules.trust_producer_time:
            self._now_ms = max(self._now_ms, self._amendments.arrival_ms(record.offset, record.arrival_ms))
        if self.first_ms is None:
            self.first_ms = self._now_ms
        if record.control:
            return self._control(record)
        if any(name == FORWARD_HEADER for name, _ in record.headers):
            return None
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


class _ShardReading:
    """One shard's log on its way: what was read of it and not handed on."""

    def __init__(self, batches: Batches, records: ShardRecords) -> None:
        self.held: list[tuple[int, Arrival]] = []
        self.reached_ms: int | None = 0  # everything up to then is held; None at the end of the log
        self._batches = batches
        self._records = records

    async def more(self) -> None:
        """Read a batch."""
        try:
            batch = await anext(self._batches)
        except StopAsyncIteration:
            self.reached_ms = None
            return
        for record in batch:
            if (found := self._records.take(record)) is not None:
                self.held.append((found.arrival_ms, found))
        self.reached_ms = self._records.reached_ms

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
        await self._batches.aclose()


async def whole_log(shards: Sequence[tuple[Batches, ShardRecords]]) -> AsyncGenerator[list[Arrival]]:
    """Stretches of the log of all shards, in the order of arrival; of equal times by shard."""
    readings = [_ShardReading(batches, records) for batches, records in shards]
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


__all__ = ["Batches", "ShardRecords", "whole_log"]
