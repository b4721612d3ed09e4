"""What an operator can see of deliveries. Labels are names of subscriptions and codes; nothing of a change, and no address."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from streamer import __version__

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 600, 3_600)
ATTEMPT_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)
NAME: Final = ("subscription",)


class WebhookMetrics:
    """All metrics of one deliverer, on a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.attempts = Counter(
            "webhook_attempts_total",
            "Attempts by result: delivered, gone, throttled, failed, or why there was no answer",
            ["subscription", "result"],
            registry=registry,
        )
        self.attempt_seconds = Histogram("webhook_attempt_seconds", "An attempt", NAME, registry=registry, buckets=ATTEMPT_SECONDS)
        self.delay_seconds = Histogram(
            "webhook_delay_seconds", "From a change in Kafka to its 2xx", NAME, registry=registry, buckets=SECONDS
        )
        self.dead = Counter("webhook_dead_total", "Changes given up, now in the topic webhook-dead", NAME, registry=registry)
        self.lost = Counter("webhook_records_lost_total", "Changes deleted from Kafka before they were read", NAME, registry=registry)
        self.unreadable = Counter("webhook_unreadable_total", "Records among the changes that are none", registry=registry)
        self.lines_lost = Counter("webhook_log_lines_lost_total", "Lines of the delivery log that Kafka did not take", registry=registry)
        self.circuit_open = Gauge("webhook_circuit_open", "1 while only probes are made", NAME, registry=registry)
        self.blocked = Gauge("webhook_blocked_lanes", "Lanes whose first change waits for another attempt", NAME, registry=registry)
        self.behind = Gauge("webhook_behind_records", "Records of the changes before the first that is not done", NAME, registry=registry)
        self.failing = Gauge("webhook_failing_seconds", "How long nothing but failures came; 0 while it works", NAME, registry=registry)
        self.problem = Gauge("webhook_problem", "1 while a subscription cannot be worked on", NAME, registry=registry)
        self.kafka_silent = Gauge("webhook_kafka_silent_seconds", "How long Kafka has not answered", registry=registry)
        self.build = Gauge("webhook_build_info", "1", ["version"], registry=registry)
        self.build.labels(__version__).set(1)

    def forget(self, name: str) -> None:
        """A subscription is this process's no more: its gauges say nothing now."""
        for gauge in (self.circuit_open, self.blocked, self.behind, self.failing, self.problem):
            gauge.labels(name).set(0)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)
