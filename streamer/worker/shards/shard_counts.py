"""What a shard has counted, brought into the metrics after each of its batches."""

from __future__ import annotations

from collections import Counter

from streamer.flow.shard import Shard
from streamer.telemetry.metrics import Metrics
from streamer.worker.status.alerts import Alerts

from .owned_shard import OwnedShard


class ShardCounts:
    """Shows counts of shards. ``refused_ratio_alert`` is the part of refused records above which people are told."""

    def __init__(self, metrics: Metrics, alerts: Alerts, refused_ratio_alert: float) -> None:
        self._metrics = metrics
        self._alerts = alerts
        self._refused_ratio_alert = refused_ratio_alert

    def show(self, owned: OwnedShard, shard: Shard) -> None:
        """Add what came since the last time, and keep the log time for when the shard is let go."""
        body = shard.body
        counts = Counter(body.counts)
        self._metrics.count(counts - owned.counted)
        owned.counted = counts
        identity = Counter(body.identity)
        self._metrics.count_identity(identity - owned.counted_identity)
        owned.counted_identity = identity
        self._metrics.tombstones.labels(owned.number).set(body.tombstones)
        for (segment, change), times in shard.take_change_counts().items():
            self._metrics.changes.labels(segment, change.removeprefix("segment.")).inc(times)
        for (message, decided), times in shard.take_decision_counts().items():
            self._metrics.decisions.labels(message, decided).inc(times)
        owned.log_time_ms = body.log_time_ms
        self._metrics.show_definitions(owned.number, (body.version, body.digest))
        self._show_refusals(owned)

    def _show_refusals(self, owned: OwnedShard) -> None:
        ratio = owned.refusals.ratio
        self._metrics.refused_ratio.labels(owned.number).set(ratio)
        if ratio > self._refused_ratio_alert:
            self._alerts.say("refused_records", owned.refusals.in_words(), shard=owned.number)


__all__ = ["ShardCounts"]
