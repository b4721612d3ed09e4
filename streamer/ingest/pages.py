"""What an operator's programs ask an ingest: whether it lives, whether it takes messages, and its figures."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from streamer.telemetry.ingest_metrics import IngestMetrics
from streamer.transports.kafka.broker_watch import BrokerWatch
from streamer.transports.kafka.event_writer import EventWriter
from streamer.transports.kafka.source_consumer import SourceConsumer
from streamer.web.process_pages import process_page

from .loop import IngestLoop

SILENT_SECONDS: Final = 5.0  # of Kafka, before it is a problem


class IngestPages:
    """``/livez``, ``/readyz`` and ``/metrics``."""

    def __init__(
        self, loop: IngestLoop, consumer: SourceConsumer, writer: EventWriter, brokers: BrokerWatch, metrics: IngestMetrics
    ) -> None:
        self._loop = loop
        self._consumer = consumer
        self._writer = writer
        self._brokers = brokers
        self._metrics = metrics

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The page of a path."""
        return process_page(request.path, self.problems, self._figures)

    def problems(self) -> list[str]:
        """Why messages are not taken at the moment."""
        found: list[str] = []
        if not self._consumer.is_dealt:
            found.append("the group has not dealt the partitions yet")
        if self._brokers.is_away:
            found.append(self._brokers.problem)
        if self._loop.problem:
            found.append(f"messages cannot be read: {self._loop.problem}")
        if (silent := self._writer.failing_seconds) > SILENT_SECONDS:
            found.append(f"Kafka has taken nothing for {silent:.0f} s")
        return found

    def _figures(self) -> bytes:
        metrics = self._metrics
        metrics.kafka_failing.set(self._writer.failing_seconds)
        metrics.reading_fails.set(1 if self._loop.problem or self._brokers.is_away else 0)
        metrics.lag.clear()  # partitions go to other members
        for place, records in self._consumer.lag().items():
            metrics.lag.labels(place.topic, place.partition).set(records)
        return metrics.text()
