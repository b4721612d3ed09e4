"""One batch of a shard: read up to the first record from the future, processed, its outputs handed on slice by slice, its counts shown."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic, time
from typing import Final

import structlog
from structlog.typing import FilteringBoundLogger

from streamer.errors import ReleasedError
from streamer.flow.driver import Entry
from streamer.flow.shard import Shard
from streamer.wire import DEAD_LETTERS, LogRecord
from streamer.worker.status.shard_state import ShardState

from .clocks import AGAIN_SECONDS, Clocks, first_ahead
from .edges import Edges
from .guard import WAIT_STORE_SECONDS, ShardGuard
from .owned_shard import OwnedShard
from .publisher import Publisher
from .shard_counts import ShardCounts
from .stopper import ShardStopper
from .ticker import Ticker

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.segmenter")

FULL_SECONDS: Final = 2.0  # that a shard waits in the middle of a record for a broker that takes nothing
FULL_LOOK_SECONDS: Final = 0.05


class BatchProcessor:
    """Lets shards process what was fetched for them. ``is_stopping`` ends it in the middle of a record."""

    def __init__(self, edges: Edges, guard: ShardGuard, stopper: ShardStopper, publisher: Publisher, ticker: Ticker) -> None:
        self.is_stopping = False
        self._settings = edges.settings
        self._consumer = edges.consumer
        self._metrics = edges.metrics
        self._alerts = edges.alerts
        self._guard = guard
        self._stopper = stopper
        self._publisher = publisher
        self._ticker = ticker
        self._counts = ShardCounts(edges.metrics, edges.alerts, edges.settings.refused_ratio_alert)

    async def process(self, owned: OwnedShard, shard: Shard, records: Sequence[LogRecord]) -> None:
        """Process what was fetched for ``shard``. If the shard was let go and acquired anew since then, perhaps at an older position, the
        records are dropped: some would be left out, and they will be fetched again."""
        async with owned.lock:
            if owned.shard is not shard or owned.state is not ShardState.OWNED or not owned.is_ours:
                return
            timely = self._timely(owned, shard, records)
            if timely:
                await self._guard.run(owned, lambda: self._process_timely(owned, shard, timely))
            next_fetched = records[-1].offset + 1
            if shard.position.offset != next_fetched and owned.shard is shard:
                self._consumer.seek(owned.partition, shard.position.offset)  # it waits with a record, or passed over some by an amendment

    def _timely(self, owned: OwnedShard, shard: Shard, records: Sequence[LogRecord]) -> Sequence[LogRecord]:
        """The records up to the first that the broker's clock has put into the future; the shard looks at that one again in a while."""
        clocks = Clocks(int(time() * 1_000), shard.body.log_time_ms, owned.clock.broker_ahead_ms)
        ahead = first_ahead([record._replace(arrival_ms=shard.arrival_ms(record)) for record in records], clocks, self._settings.skew)
        waits = ahead.why if ahead is not None and ahead.waits else ""
        if ahead is not None and waits != owned.clock.why:
            self._alerts.say("clock_ahead", ahead.why, shard=owned.number)
        owned.clock.why = waits
        if ahead is None or not ahead.waits:
            return records
        owned.clock.until = monotonic() + AGAIN_SECONDS
        return records[: ahead.at]

    async def _process_timely(self, owned: OwnedShard, shard: Shard, records: Sequence[LogRecord]) -> None:
        refused: list[Entry] = []
        arrivals = {record.offset: record.arrival_ms for record in records}

        async def hand_over(entry: Entry) -> None:
            place, outputs = entry
            if letters := [output for output in outputs if output.topic == DEAD_LETTERS]:
                refused.append((place, letters))
            offsets = sorted({output.offset for output in outputs})
            owned.publishing.arrivals += [(offset, arrivals[offset]) for offset in offsets if offset in arrivals]
            await self._publish_slice(owned, entry)

        with self._metrics.batch.labels("process").time():
            try:
                await shard.process(records, hand_over)  # committed before an error, the next owner's relay finds it in the outbox
            finally:
                self._report_faults(owned, shard)
        owned.refusals.see(len(records), refused)
        self._report_times(owned, records)
        self._counts.show(owned, shard)
        self._ticker.shard_read(owned)

    async def _publish_slice(self, owned: OwnedShard, entry: Entry) -> None:
        """Queue what was just committed, and wait while the broker has enough; ReleasedError when the shard is to be let go."""
        relay = owned.relay
        assert relay is not None
        relay.add([entry])
        self._publisher.wake()
        before, until = relay.published, monotonic() + FULL_SECONDS
        while relay.is_full and not self._is_to_go(owned):
            await asyncio.sleep(FULL_LOOK_SECONDS)
            if relay.published != before:
                before, until = relay.published, monotonic() + FULL_SECONDS
            elif monotonic() > until:  # the other shards have waited long enough; this one goes on once its outbox is published
                self._stopper.wait(owned, "the outbox is full, and the broker takes nothing", WAIT_STORE_SECONDS)
        if self._is_to_go(owned):
            raise ReleasedError(f"shard {relay.shard} is let go")

    def _is_to_go(self, owned: OwnedShard) -> bool:
        return self.is_stopping or owned.state is not ShardState.OWNED or not owned.is_ours

    def _report_faults(self, owned: OwnedShard, shard: Shard) -> None:
        """Say what our own code failed at and what was passed over for it: its place is for the log alone."""
        for fault in shard.take_faults():
            self._metrics.faults.labels(fault.what).inc()
            log.error(
                "our own code failed", action=fault.what, shard=owned.number, offset=fault.offset, error=fault.error, place=fault.place
            )
            self._alerts.say(fault.what, fault.in_words(), shard=owned.number)
        self._metrics.set_aside.labels(owned.number).set(shard.body.aside)

    def _report_times(self, owned: OwnedShard, records: Sequence[LogRecord]) -> None:
        """Tell people that records carry their producers' time, which moves none."""
        if not self._settings.trust_producer_time and (count := sum(not record.broker_time for record in records)):
            text = (
                f"{count} of {len(records)} records have their producer's time, which moves no time here; set message.timestamp.type "
                f"of {owned.partition.topic} to LogAppendTime, or start anew with STREAMER_TRUST_PRODUCER_TIME=true"
            )
            self._alerts.say("producer_time", text, shard=owned.number)


__all__ = ["BatchProcessor"]
