"""Alerts of a worker: said once a minute, counted each time, and never in the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema_rs
from aiokafka.errors import KafkaConnectionError

from streamer.learning.reports.alerts import decode_alert
from streamer.telemetry.metrics import Metrics
from streamer.worker.status.alerts import AGAIN_SECONDS, Alerts

if TYPE_CHECKING:
    import pytest

SCHEMA = Path(__file__).parents[4] / "schemas" / "alert.v1.json"


class Topic:
    """The topic of alerts, and the clock."""

    def __init__(self) -> None:
        self.now = 1_767_225_600.0
        self.records: list[bytes] = []
        self.metrics = Metrics()
        self.alerts = Alerts(self.publish, self.metrics, "/shop", clock=lambda: self.now)

    async def publish(self, raw: bytes) -> None:
        self.records.append(raw)

    def count(self, kind: str) -> float | None:
        return self.metrics.registry.get_sample_value("streamer_alerts_total", {"kind": kind})


async def test_an_alert_is_a_line_a_count_and_a_record_of_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever reads only one of the three must learn of it."""
    topic = Topic()
    topic.alerts.say("fault", "the record at offset 7 could not be processed", shard=3)
    topic.alerts.say("clock", "this machine's clock is off")
    await topic.alerts.flush()

    validator = jsonschema_rs.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    for raw in topic.records:
        validator.validate(json.loads(raw))
    first, second = map(decode_alert, topic.records)
    assert (first.type, first.subject, first.data.shard, first.time) == ("alert.fault", "shard_3", 3, "2026-01-01T00:00:00.000Z")
    assert (second.type, second.subject, second.data.shard) == ("alert.clock", "worker", None)
    assert topic.count("fault") == 1
    assert "offset 7" in capsys.readouterr().out


async def test_what_goes_on_is_said_once_a_minute_and_counted_each_time() -> None:
    """A thousand alerts a second are read by nobody; the number of them says how bad it is."""
    topic = Topic()
    for _ in range(5):
        topic.alerts.say("fault", "one", shard=0)
    topic.alerts.say("fault", "of another shard", shard=1)
    topic.now += AGAIN_SECONDS
    topic.alerts.say("fault", "two", shard=0)
    await topic.alerts.flush()

    said = [decode_alert(raw).data.text for raw in topic.records]
    assert said == ["one", "of another shard", "two (and 4 more since the last alert)"]
    assert topic.count("fault") == 7


async def test_a_broker_that_is_away_costs_an_alert_its_record_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong is often the broker itself."""
    tried = list[bytes]()

    async def publish(raw: bytes) -> None:
        tried.append(raw)
        raise KafkaConnectionError

    alerts = Alerts(publish, Metrics(), "/shop")
    alerts.say("kafka_away", "no broker answers")
    await alerts.flush()
    assert tried
    assert "no broker answers" in capsys.readouterr().out
