"""What an operator can see of a collector. No label holds what came from outside: keys are named as in the file, paths as in the code."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from streamer import __version__

ANSWER_SECONDS: Final = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
OPEN: Final = "none"  # the label of events that need no key


class CollectorMetrics:
    """All metrics of one collector, on a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter("collector_requests_total", "Requests by path and status", ["path", "status"], registry=registry)
        self.errors = Counter("collector_errors_total", "Requests that were answered with an error as a whole", ["code"], registry=registry)
        self.accepted = Counter("collector_events_accepted_total", "Events acknowledged by Kafka and answered", ["key"], registry=registry)
        self.refused = Counter(
            "collector_events_refused_total", "Elements of requests that became dead letters", ["key", "reason"], registry=registry
        )
        self.opted_out = Counter(
            "collector_requests_opted_out_total", "Requests of which nothing was kept, as their sender objects", registry=registry
        )
        self.answer = Histogram(
            "collector_answer_seconds", "From the headers of a request to its answer", registry=registry, buckets=ANSWER_SECONDS
        )
        self.in_flight_events = Gauge("collector_in_flight_events", "Records that Kafka has not acknowledged", registry=registry)
        self.in_flight_bytes = Gauge("collector_in_flight_bytes", "Bodies being read, and records on their way", registry=registry)
        self.connections = Gauge("collector_connections", "Open connections", registry=registry)
        self.turned_away = Counter(
            "collector_connections_turned_away_total",
            "Connections closed as there were too many: the longest idle one, else the new one",
            registry=registry,
        )
        self.kafka_failing = Gauge(
            "collector_kafka_failing_seconds", "How long Kafka has taken nothing of what was tried; 0 while it takes", registry=registry
        )
        self.keys = Gauge("collector_keys", "Write keys in force; 0: none is needed, on this machine alone", registry=registry)
        self.keys_refused = Counter(
            "collector_key_files_refused_total", "Times a changed file of keys could not be used", registry=registry
        )
        self._requests: dict[tuple[str, int], Counter] = {}  # looked up with each request: labels cost more than the counting
        self._accepted: dict[str, Counter] = {}
        self.build = Gauge("collector_build_info", "1", ["version"], registry=registry)
        self.build.labels(__version__).set(1)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        counter = self._requests.get((path, status))
        if counter is None:
            counter = self._requests[path, status] = self.requests.labels(path, status)
        counter.inc()
        self.answer.observe(seconds)

    def accept(self, key: str, events: int) -> None:
        """Count events of a key."""
        counter = self._accepted.get(key)
        if counter is None:
            counter = self._accepted[key] = self.accepted.labels(key)
        counter.inc(events)

    def refuse(self, key: str, reasons: Iterable[str]) -> None:
        """Count elements that became dead letters."""
        for reason in reasons:
            self.refused.labels(key, reason).inc()

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)
