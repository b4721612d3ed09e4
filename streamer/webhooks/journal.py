"""What deliveries leave behind: lines of the delivery log, which may be lost in a crash, and dead changes, which may not."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from structlog.typing import FilteringBoundLogger

from streamer.errors import NotWrittenError
from streamer.telemetry.webhook_metrics import WebhookMetrics
from streamer.transports.kafka.event_writer import EventWriter, Record
from streamer.wire import WEBHOOK_DEAD, WEBHOOK_LOG, raw_text

from .lanes import PendingChange
from .records import DeadDelivery, DeliveryLine, encode_dead, encode_line

LINES_MAX: Final = 10_000  # that wait for Kafka; further ones are lost, and counted
WRITE_SECONDS: Final = 0.2  # lines of so long are written together
PAUSE_SECONDS: Final = 1.0

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.webhooks")


class DeliveryJournal:
    """Writes both topics, by the writer of the process. ``run`` must be running for the lines."""

    def __init__(self, writer: EventWriter, metrics: WebhookMetrics) -> None:
        self._writer = writer
        self._metrics = metrics
        self._lines: list[Record] = []

    def attempted(self, line: DeliveryLine) -> None:
        """Note an attempt; waits for nothing."""
        if len(self._lines) >= LINES_MAX:
            self._metrics.lines_lost.inc()
        else:
            self._lines.append(Record(WEBHOOK_LOG, 0, line.subscription.encode(), encode_line(line)))

    async def buried(self, change: PendingChange, line: DeliveryLine) -> None:
        """Return when a change that is given up is safe in its topic."""
        dead = DeadDelivery(last=line, shard=change.shard, offset=change.offset, raw=raw_text(change.body))
        record = Record(WEBHOOK_DEAD, 0, line.subscription.encode(), encode_dead(dead))
        while True:
            try:
                await self._writer.write([record])
            except NotWrittenError:  # the writer has said why
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                break
        self._metrics.dead.labels(line.subscription).inc()
        log.warning("given up", action="webhooks", subscription=line.subscription, shard=change.shard, offset=change.offset)

    async def run(self) -> None:
        """Write lines, until cancelled; what is there then is written once more."""
        try:
            while True:
                await asyncio.sleep(WRITE_SECONDS)
                await self._write_lines()
        finally:
            await self._write_lines()

    async def _write_lines(self) -> None:
        lines, self._lines = self._lines, []
        if not lines:
            return
        try:
            await self._writer.write(lines)
        except NotWrittenError:
            self._metrics.lines_lost.inc(len(lines))
