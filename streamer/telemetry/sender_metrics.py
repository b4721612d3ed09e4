"""What an operator can see of a sender. Labels are channels, shards and codes; nothing of a message or a customer."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from streamer import __version__

LOOK_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class SenderMetrics:
    """All metrics of one sender, on a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.messages = Counter(
            "sender_messages_total",
            "What became of messages: sent, unknown, deferred, failed with its reason, …",
            ["outcome"],
            registry=registry,
        )
        self.waiting = Gauge("sender_waiting_messages", "Messages of a shard that are taken and not settled", ["shard"], registry=registry)
        self.oldest = Gauge("sender_oldest_seconds", "How long ago the oldest of them was decided", ["shard"], registry=registry)
        self.look = Histogram(
            "sender_look_seconds",
            "How long before a message was given to its channel it was asked what the log holds: what came later may contradict it",
            buckets=LOOK_BUCKETS,
            registry=registry,
        )
        self.reopened = Counter("sender_shards_reopened_total", "Shards whose ledger had to be read anew", ["why"], registry=registry)
        self.looking_fails = Gauge("sender_looking_fails", "1 while nobody can look whether messages are still right", registry=registry)
        self.reading_fails = Gauge("sender_reading_fails", "1 while decisions cannot be read", registry=registry)
        self.build = Gauge("sender_build_info", "1", ["version"], registry=registry)
        self.build.labels(__version__).set(1)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)
