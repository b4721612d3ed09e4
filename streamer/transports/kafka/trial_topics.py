"""What lift is measured from, in Kafka: the decisions in the ledger, and the log from the first of them on."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiokafka.structs import ConsumerRecord

from streamer.errors import RefusedError
from streamer.events.codec import decode
from streamer.lift.assignment import read_assignment
from streamer.lift.trial import Trial
from streamer.settings import Settings
from streamer.wire import CONTROL_HEADER, EVENTS, LEDGER

from .partition import read_partition


async def read_trial(settings: Settings) -> Trial:
    """All decisions and all events of the deployment. Raises KafkaError, TimeoutError. Reads both topics whole, a shard at a time."""
    trial = Trial()
    async for record in _records(settings, LEDGER):
        assignment = read_assignment(record.value or b"")
        if assignment is not None:
            trial.decide(assignment)
    if trial.decisions:
        async for record in _records(settings, EVENTS):
            _tell(trial, record)
    return trial


async def _records(settings: Settings, topic: str) -> AsyncGenerator[ConsumerRecord[bytes, bytes]]:
    for shard in range(settings.shards):
        async with aclosing(read_partition(settings, topic, shard)) as batches:
            async for records in batches:
                for record in records:
                    yield record


def _tell(trial: Trial, record: ConsumerRecord[bytes, bytes]) -> None:
    """An event that lies in two shards, because it was sent on, counts once by its message id."""
    if any(name == CONTROL_HEADER for name, _ in record.headers):
        trial.pass_time(record.timestamp)
        return
    try:
        trial.happen(decode(record.value or b""), record.timestamp)
    except RefusedError:
        trial.pass_time(record.timestamp)
