"""What an operator can see of a server for readers. No label holds what came from outside: paths are those of the code."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from streamer import __version__

ANSWER_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class ServerMetrics:
    """All metrics of one server, on a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter("server_requests_total", "Requests by path and status", ["path", "status"], registry=registry)
        self.errors = Counter("server_errors_total", "Requests that were answered with an error", ["code"], registry=registry)
        self.answer = Histogram(
            "server_answer_seconds",
            "From the headers of a request to its answer; of a stream, to its end",
            ["path"],
            registry=registry,
            buckets=ANSWER_SECONDS,
        )
        self.connections = Gauge("server_connections", "Open connections", registry=registry)
        self.turned_away = Counter("server_connections_turned_away_total", "Connections above the most allowed", registry=registry)
        self.streams = Gauge("server_streams", "Readers of changes that are connected", registry=registry)
        self.streams_ended = Counter("server_streams_ended_total", "Readers of changes that went, by why", ["why"], registry=registry)
        self.changes_read = Counter("server_changes_read_total", "Changes taken from Kafka, each once", registry=registry)
        self.feed_behind = Gauge("server_feed_behind_records", "Records of the changes that are not taken yet", registry=registry)
        self.changes_sent = Counter("server_changes_sent_total", "Changes written to readers", registry=registry)
        self.kafka_silent = Gauge("server_kafka_silent_seconds", "How long Kafka has said nothing of the log", registry=registry)
        self.tokens = Gauge("server_tokens", "Tokens in force; 0: none is needed, on this machine alone", registry=registry)
        self.tokens_refused = Counter(
            "server_token_files_refused_total", "Times a changed file of tokens could not be used", registry=registry
        )
        self.build = Gauge("server_build_info", "1", ["version"], registry=registry)
        self.build.labels(__version__).set(1)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)
