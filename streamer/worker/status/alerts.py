"""What a worker has to say to people: one line in its log, one count, one record in the topic of alerts.

Something that goes on is said once a minute, not once an event: what follows within the minute is counted, and the next line says how
often it came. An alert that the broker does not take is in the log all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from time import time
from typing import Final

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from structlog.typing import FilteringBoundLogger

from streamer.learning.reports.alerts import AlertData, AlertEvent, encode_alert
from streamer.settings import Settings
from streamer.telemetry.metrics import Metrics
from streamer.values import time_text
from streamer.wire import ALERTS

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.alerts")

AGAIN_SECONDS: Final = 60.0  # between two alerts of one kind and shard
PUBLISH_SECONDS: Final = 10.0  # how long an alert waits for the broker before only the log has it
WORKER: Final = "worker"  # the subject of an alert that is of no shard

Publish = Callable[[bytes], Awaitable[object]]


@dataclass(slots=True)
class _LastAlert:
    at: float
    since: int = 0  # how often it came since then


class Alerts:
    """The alerts of one worker. ``publish`` writes a record; ``clock`` gives UTC seconds."""

    def __init__(self, publish: Publish, metrics: Metrics, source: str, *, clock: Callable[[], float] = time) -> None:
        self._publish = publish
        self._metrics = metrics
        self._source = source
        self._clock = clock
        self._said: dict[tuple[str, int | None], _LastAlert] = {}
        self._sending: set[asyncio.Task[None]] = set()

    def say(self, kind: str, text: str, *, shard: int | None = None) -> None:
        """Tell people; returns at once, and never raises.

        ``kind`` is lower case with underscores and stands in ``schemas/alert.v1.json``; ``text`` is a sentence without customers' data.
        Within a minute of the same kind and shard only the count rises.
        """
        self._metrics.alerts.labels(kind).inc()
        now, said = self._clock(), self._said.get((kind, shard))
        if said is not None and 0 <= now - said.at < AGAIN_SECONDS:
            said.since += 1
            return
        more = said.since if said is not None else 0
        self._said[kind, shard] = _LastAlert(now)
        if more:
            text = f"{text} (and {more} more since the last alert)"
        log.warning("alert", action="alert", kind=kind, shard=shard, text=text)
        self._send(encode_alert(worker_alert(kind, text, self._source, int(now * 1_000), shard)))

    def _send(self, raw: bytes) -> None:
        task = asyncio.get_running_loop().create_task(self._publish_one(raw))
        self._sending.add(task)  # or it could be collected before it has run
        task.add_done_callback(self._sending.discard)

    async def _publish_one(self, raw: bytes) -> None:
        with suppress(KafkaError, OSError, TimeoutError):
            async with asyncio.timeout(PUBLISH_SECONDS):
                await self._publish(raw)

    async def flush(self) -> None:
        """Wait until the broker has what was said, or did not take it; at most ``PUBLISH_SECONDS``."""
        await asyncio.gather(*self._sending)


def kafka_alerts(settings: Settings, producer: AIOKafkaProducer, metrics: Metrics) -> Alerts:
    """Alerts into the topic of alerts."""
    return Alerts(lambda raw: producer.send_and_wait(settings.topic(ALERTS), raw, partition=0), metrics, settings.source)


def worker_alert(kind: str, text: str, source: str, at_ms: int, shard: int | None) -> AlertEvent:
    """The record: ``at_ms`` is the worker's clock; two workers that say the same at one moment say it under one id."""
    subject = WORKER if shard is None else f"shard_{shard}"
    said = blake2b(text.encode(), digest_size=4).hexdigest()
    return AlertEvent(
        f"{kind}-{subject}-{at_ms}-{said}", source, f"alert.{kind}", subject, time_text(at_ms), AlertData(text, shard=shard), "1.0"
    )
