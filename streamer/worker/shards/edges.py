"""By what the parts of the segmenter reach the outside."""

from __future__ import annotations

from dataclasses import dataclass

from aiokafka import AIOKafkaProducer

from streamer.flow.relay import Sink
from streamer.settings import Settings
from streamer.signing import Keyring
from streamer.stores.base import Store
from streamer.telemetry.metrics import Metrics
from streamer.transports.kafka.broker_watch import BrokerWatch
from streamer.transports.kafka.log_consumer import LogConsumer
from streamer.transports.kafka.log_inspector import LogInspector
from streamer.transports.kafka.record_picker import RecordPicker
from streamer.worker.status.alerts import Alerts

from .background import Background


@dataclass(frozen=True, slots=True)
class Edges:
    """What all parts of one segmenter share."""

    settings: Settings
    keyring: Keyring  # read once: its file may change under a running worker
    store: Store
    sink: Sink  # where outputs go
    producer: AIOKafkaProducer  # of ticks
    consumer: LogConsumer  # of what is processed
    inspector: LogInspector  # another look at the log, beside the loop
    picker: RecordPicker  # single records of it
    brokers: BrokerWatch
    metrics: Metrics
    alerts: Alerts
    background: Background


__all__ = ["Edges"]
