"""What lift is measured from, in Kafka: the decisions in the ledger, and the log from the first of them on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from streamer.errors import RefusedError, TooMuchError, UnansweredError
from streamer.events.codec import decode
from streamer.lift.assignment import read_assignment
from streamer.lift.trial import Trial
from streamer.settings import Settings
from streamer.wire import CONTROL_HEADER, EVENTS, LEDGER, arrival_of

from .log_ends import read_log_ends
from .partition import read_partition

ENDS_SECONDS: Final = 30.0


async def read_trial(
    settings: Settings, *, message: str | None = None, since_ms: int | None = None, records_max: int | None = None
) -> Trial:
    """The decisions of the deployment that are wanted: of one message, from ``since_ms`` (UTC) on; and the events since the first.

    Raises UnansweredError where Kafka does not answer; TooMuchError where one of the two has more than ``records_max`` to be read. Reads a
    shard at a time.
    """
    trial = Trial()
    try:
        first_ms = await _decide(trial, settings, message, since_ms, records_max)
        if first_ms is not None:  # what arrived before a decision is no success of it
            async for record in _records(settings, EVENTS, first_ms, records_max):
                _tell(trial, record)
    except (KafkaError, TimeoutError, OSError) as error:
        raise UnansweredError(f"no ledger or log from {settings.kafka} ({type(error).__name__})") from None
    return trial


async def _decide(trial: Trial, settings: Settings, message: str | None, since_ms: int | None, records_max: int | None) -> int | None:
    """The decisions that are wanted; when the first of them was made, None where there is none."""
    first_ms: int | None = None
    async for record in _records(settings, LEDGER, since_ms, records_max):
        assignment = read_assignment(record.value or b"")
        if assignment is None or message not in (None, assignment.message) or (since_ms is not None and assignment.at_ms < since_ms):
            continue
        trial.decide(assignment)
        first_ms = assignment.at_ms if first_ms is None else min(first_ms, assignment.at_ms)
    return first_ms


async def _records(
    settings: Settings, topic: str, since_ms: int | None, records_max: int | None
) -> AsyncGenerator[ConsumerRecord[bytes, bytes]]:
    """Those of all shards that arrived at ``since_ms`` or later, and perhaps some more."""
    async with asyncio.timeout(ENDS_SECONDS):
        ends = await read_log_ends(settings, range(settings.shards), since_ms, topic=topic)
    if records_max is not None and (there := sum(end - begin for begin, end in ends.values())) > records_max:
        raise TooMuchError(f"{topic}: {there:,} records, and at most {records_max:,} are read")
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
