"""What an operator's programs ask a collector: whether it lives, whether it can take events, and its figures."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from streamer.web.process_pages import process_page

from .limits import KAFKA_SILENT_SECONDS
from .room import RecordSink
from .server import Collector


class Pages:
    """``/livez``, ``/readyz`` and ``/metrics``, on a port of their own: figures are nobody's business who sends events."""

    def __init__(self, sink: RecordSink, collector: Collector, connections: Callable[[], int]) -> None:
        self.is_listening = False
        self._sink = sink
        self._collector = collector
        self._connections = connections

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The page of a path."""
        return process_page(request.path, self.problems, self._figures)

    def problems(self) -> list[str]:
        """Why events cannot be taken at the moment."""
        found: list[str] = []
        if not self.is_listening:
            found.append("it does not listen yet, or no more")
        if self._sink.failing_seconds > KAFKA_SILENT_SECONDS:
            found.append(f"Kafka has taken nothing for {self._sink.failing_seconds:.0f} s")
        return found

    def _figures(self) -> bytes:
        metrics = self._collector.metrics
        metrics.in_flight_events.set(self._sink.in_flight_records)
        metrics.in_flight_bytes.set(self._collector.room.bytes)
        metrics.connections.set(self._connections())
        metrics.kafka_failing.set(self._sink.failing_seconds)
        return metrics.text()
