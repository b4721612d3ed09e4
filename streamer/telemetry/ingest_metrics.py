"""What an operator can see of an ingest. Labels are the topics of its settings, their partitions, and codes; nothing of a message."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from streamer import __version__

PLACE: Final = ("topic", "partition")


class IngestMetrics:
    """All metrics of one ingest, on a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.messages = Counter("ingest_messages_total", "Messages whose events are in the log", ["topic"], registry=registry)
        self.events = Counter("ingest_events_total", "Events acknowledged by Kafka, repeated ones too", ["topic"], registry=registry)
        self.refused = Counter(
            "ingest_refused_total",
            "Parts of messages that are no event; but for skipped, dead letters",
            ["reason"],
            registry=registry,
        )
        self.retries = Counter(
            "ingest_write_retries_total", "Writes that Kafka did not acknowledge and that were repeated", registry=registry
        )
        self.lost = Counter("ingest_records_lost_total", "Records deleted from a topic before they were read", ["topic"], registry=registry)
        self.out_of_range = Counter(
            "ingest_position_out_of_range_total", "Times the group's position was none that the topic has", ["topic"], registry=registry
        )
        self.lag = Gauge("ingest_lag_records", "Records of a partition that are not taken yet", PLACE, registry=registry)
        self.reading_fails = Gauge("ingest_reading_fails", "1 while messages cannot be read", registry=registry)
        self.kafka_failing = Gauge(
            "ingest_kafka_failing_seconds", "How long Kafka has taken nothing of what was tried; 0 while it takes", registry=registry
        )
        self.build = Gauge("ingest_build_info", "1", ["version"], registry=registry)
        self.build.labels(__version__).set(1)

    def refuse(self, reasons: Iterable[str]) -> None:
        """Count parts that are no events."""
        for reason in reasons:
            self.refused.labels(reason).inc()

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)
