"""What lift is measured from, in Kafka: the decisions in the ledger, and the log from the first of them on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from aiokafka.structs import ConsumerRecord

from streamer.errors import RefusedError
from streamer.events.codec import decode
from streamer.lift.assignment import read_assignment
from streamer.lift.trial import Trial
from streamer.settings import Settings
from streamer.wire import CONTROL_HEADER, EVENTS, LEDGER, arrival_of

from .log_ends import read_log_ends
from .partition import read_partition

ENDS_SECONDS: Final = 30.0


async def read_trial(settings: Settings, *, message: str | None = None, since_ms: int | None = None) -> Trial:
    """The decisions of the deployment that are wanted: of one message, from ``since_ms`` (UTC) on; and the events since the first.

    Raises KafkaError, TimeoutError. Reads a shard at a time.
    """
    trial = Trial()
    first_ms: int | None = None
    async for record in _records(settings, LEDGER, since_ms):
        assignment = read_assignment(record.value or b"")
        if assignment is None or message not in (None, assignment.message) or (since_ms is not None and assignment.at_ms < since_ms):
            continue
        trial.decide(assignment)
        first_ms = assignment.at_ms if first_ms is None else min(first_ms, assignment.at_ms)
    if first_ms is not None:  # what arrived before a decision is no success of it
        async for record in _records(settings, EVENTS, first_ms):
            _tell(trial, record)
    return trial


async def _records(settings: Settings, topic: str, since_ms: int | None) -> AsyncGenerator[ConsumerRecord[bytes, bytes]]:
    """Those of all shards that arrived at ``since_ms`` or later, and perhaps some more."""
    async with asyncio.timeout(ENDS_SECONDS):
        ends = await read_log_ends(settings, range(settings.shards), since_ms, topic=topic)
    for shard, (begin, _) in ends.items():
        async with aclosing(read_partition(settings, topic, shard, begin=begin)) as batches:
            async for records in batches:
                for record in records:
                    yield record


def _tell(trial: Trial, record: ConsumerRecord[bytes, bytes]) -> None:
    """An event that lies in two shards, because it was sent on, counts once by its message id."""
    arrival_ms = arrival_of(tuple(record.headers), record.timestamp)
    if any(name == CONTROL_HEADER for name, _ in record.headers):
        trial.pass_time(arrival_ms)
        return
    try:
        trial.happen(decode(record.value or b""), arrival_ms)
    except RefusedError:
        trial.pass_time(arrival_ms)
