"""The topic of dead letters, read shard by shard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final, NamedTuple

import structlog
from aiokafka.structs import ConsumerRecord
from structlog.typing import FilteringBoundLogger

from streamer.commands import LetterFilter
from streamer.errors import RefusedError
from streamer.events.codec import moment_ms
from streamer.events.dead_letter import read_dead_letter
from streamer.settings import Settings
from streamer.wire import DEAD_LETTERS, DeadLetter

from .partition import read_partition
from .topics import check_topic

STALL_SECONDS: Final = 10.0

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.dead_letters")


class FoundLetter(NamedTuple):
    """A dead letter as it lies in its topic, at ``offset`` of it: ``key`` is the customer's id, where that could be read."""

    shard: int
    key: str
    letter: DeadLetter
    offset: int


def place_in_words(found: FoundLetter) -> str:
    """Where a refused record lay, for a person.

    >>> letter = DeadLetter("late", "$", "", None, "", "1970-01-01T00:00:00.000Z")
    >>> place_in_words(FoundLetter(3, "c-17", letter, 7))
    'shard 3 at the collector, letter 7'
    """
    origin = found.letter.origin
    if origin is None:
        return f"shard {found.shard} at the collector, letter {found.offset}"
    if is_foreign(found.letter):
        return f"topic {origin.topic} partition {origin.partition} offset {origin.offset}"
    return f"shard {found.shard} offset {origin.offset}"


def is_foreign(letter: DeadLetter) -> bool:
    """Whether the record lay in a topic of the shop that an ingest reads: its offset is none of the log."""
    return letter.origin is not None and bool(letter.format)


def takes(wanted: LetterFilter, found: FoundLetter) -> bool:
    """Whether a letter is one of those that are wanted."""
    at_ms = moment_ms(found.letter.at)
    return (
        wanted.reason in (None, found.letter.reason)
        and (wanted.since_ms is None or at_ms >= wanted.since_ms)
        and (wanted.before_ms is None or at_ms < wanted.before_ms)
        and wanted.shard in (None, found.shard)
        and (wanted.offset is None or (found.letter.origin is not None and wanted.offset == found.letter.origin.offset))
    )


async def read_letters(settings: Settings, wanted: LetterFilter) -> AsyncGenerator[FoundLetter]:
    """Those that are wanted, oldest first within a shard. Raises KafkaError, TimeoutError; what is no letter is passed over with a line in
    the log."""
    async with asyncio.timeout(STALL_SECONDS):
        await check_topic(settings, DEAD_LETTERS)
    for number in range(settings.shards) if wanted.shard is None else [wanted.shard]:
        async with aclosing(read_partition(settings, DEAD_LETTERS, number, stall_seconds=STALL_SECONDS)) as batches:
            async for records in batches:
                for record in records:
                    found = _letter(number, record)
                    if found is not None and takes(wanted, found):
                        yield found


def _letter(shard: int, record: ConsumerRecord[bytes, bytes]) -> FoundLetter | None:
    try:
        letter = read_dead_letter(record.value or b"")
    except RefusedError as error:
        log.warning("no dead letter", action="dead_letters", shard=shard, offset=record.offset, why=str(error))
        return None
    return FoundLetter(shard, (record.key or b"").decode(errors="replace"), letter, record.offset)


__all__ = ["FoundLetter", "is_foreign", "place_in_words", "read_letters", "takes"]
