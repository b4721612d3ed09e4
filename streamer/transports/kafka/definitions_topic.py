"""The topic of definitions on Kafka: read as far as it goes, written by whoever publishes.

Nothing of it is asked for often, so each look reads the partition by itself, and no connection is held for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

import structlog
from aiokafka import AIOKafkaProducer
from structlog.typing import FilteringBoundLogger

from streamer.flow.published import PLACE, Publication, Published, definitions_in
from streamer.settings import Settings
from streamer.signing import Keyring, signature_of
from streamer.wire import DEFINITIONS, LogRecord

from .clients import log_record, signer
from .partition import read_partition

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.definitions")


async def read_published(settings: Settings) -> Published:
    """What the topic says now. Raises KafkaError, TimeoutError, HaltError."""
    published = Published(settings.keyring)
    async with aclosing(_records(settings, 0)) as records:
        async for record in records:
            published.take(record)
    return published


async def definitions_of(settings: Settings, publication: Publication) -> bytes:
    """The canonical JSON of what was published. Raises KafkaError, TimeoutError."""
    async with aclosing(_records(settings, publication.offset)) as records:
        return definitions_in(await anext(records))


class DefinitionsTopic:
    """``flow.published.Versions`` on Kafka, and the record of what was published."""

    def __init__(self, settings: Settings, client: AIOKafkaProducer) -> None:
        self.published = Published(settings.keyring)
        self._settings = settings
        self._producer = client
        self._reading = asyncio.Lock()

    async def refresh(self) -> Published:
        """Read what came since the last look. Raises KafkaError, TimeoutError, HaltError where a key that holds is lacking."""
        async with self._reading, aclosing(_records(self._settings, self.published.end)) as records:
            async for record in records:
                self.published.take(record)
                if (error := self.published.refused.get(record.offset)) is not None:
                    log.error("no publication", action="publish", offset=record.offset, reason=error.reason, why=error.detail)
        return self.published

    async def append(self, raw: bytes) -> int:
        """Write a record, signed where this process has keys, and wait for the acknowledgement; its offset."""
        by = signer(self._settings)
        headers = [*by.sign(PLACE, raw)] if by is not None else []
        written = await self._producer.send_and_wait(self._settings.topic(DEFINITIONS), raw, partition=0, headers=headers)
        return written.offset

    async def content(self, version: int) -> bytes | None:
        """See ``flow.published.Versions``."""
        record = await self._record(version)
        return definitions_in(record) if record is not None else None

    async def vouched(self, version: int) -> bytes | None:
        """The content as ``content``, where this process may write it into the log in its own name; None where it may not.

        It has keys, and the record, of a time when none held here, is not signed by one of them.
        """
        record = await self._record(version)
        return definitions_in(record) if record is not None and is_vouched(record, self._settings.keyring) else None

    async def _record(self, version: int) -> LogRecord | None:
        found = self.published.at(version) or (await self.refresh()).at(version)
        if found is None:
            return None
        async with aclosing(_records(self._settings, found.offset)) as records:
            return await anext(records)


def is_vouched(record: LogRecord, keyring: Keyring) -> bool:
    """Whether a record of the topic is signed by a key of ours; true for every one where there are no keys."""
    if not keyring.secrets:
        return True
    signature = signature_of(record.headers)
    return signature is not None and signature.key in keyring.secrets and keyring.verifies(signature, PLACE, record.value)


async def _records(settings: Settings, begin: int) -> AsyncGenerator[LogRecord]:
    """From an offset to the end."""
    async with aclosing(read_partition(settings, DEFINITIONS, 0, begin=begin or None)) as batches:
        async for records in batches:
            for record in records:
                yield log_record(record)
