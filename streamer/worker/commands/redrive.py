"""Send refused records through the log again, beside all that the worker has to do: a batch at a time, and not without end."""

from __future__ import annotations

from contextlib import aclosing
from hashlib import blake2b
from typing import Final

from aiokafka import AIOKafkaProducer

from streamer.commands import LetterFilter
from streamer.errors import RefusedError, SettingsError
from streamer.events.codec import decode
from streamer.events.dead_letter import raw_of
from streamer.events.placeholders import settle_customer
from streamer.settings import Settings
from streamer.transports.kafka.dead_letters_topic import FoundLetter, place_in_words, read_letters
from streamer.wire import DEAD_RAW_MAX, EVENTS, shard_of

REDRIVEN_HEADER: Final = "streamer-redriven"  # for whoever reads the log: where the record lay when it was refused
LETTERS_MAX: Final = 100_000  # a command; each is remembered by 16 bytes, so that what was refused twice is sent once
BATCH: Final = 200  # records on their way at a time
NOTES_MAX: Final = 100


async def redrive(settings: Settings, client: AIOKafkaProducer, wanted: LetterFilter) -> tuple[str, list[str]]:
    """What was sent, and a line for each letter that was not: it would be refused again. May be repeated, nothing counts twice."""
    if wanted.shard is not None and wanted.shard >= settings.shards:
        raise SettingsError(f"there is no shard {wanted.shard}: STREAMER_SHARDS is {settings.shards}, they count from 0")
    run = _Redriving(settings, client)
    async with aclosing(read_letters(settings, wanted)) as letters:
        async for found in letters:
            if run.is_full:
                break
            await run.take(found)
    await run.flush()
    more = f"; more than {LETTERS_MAX:,} letters: choose fewer at a time by --shard, --since and --before" if run.is_full else ""
    return f"{len(run.sent)} records are in the log again, {run.kept} were not sent{more}", run.notes


class _Redriving:
    """One run over letters."""

    def __init__(self, settings: Settings, client: AIOKafkaProducer) -> None:
        self.sent: set[bytes] = set()
        self.kept = 0
        self.notes: list[str] = []
        self._settings = settings
        self._producer = client
        self._placeholders = frozenset(settings.rules.placeholder_ids)
        self._ready: list[tuple[str, bytes, FoundLetter]] = []

    @property
    def is_full(self) -> bool:
        """Whether this run has sent as much as one may."""
        return len(self.sent) >= LETTERS_MAX

    async def take(self, found: FoundLetter) -> None:
        """One more letter: on its way at the latest with the ``BATCH``-th after it."""
        try:
            customer, raw = sendable(found, self._placeholders)
        except RefusedError as error:
            self.kept += 1
            if self.kept <= NOTES_MAX:
                self.notes.append(f"{place_in_words(found)} would be refused again: {error}")
            return
        name = blake2b(raw, digest_size=16).digest()
        if name not in self.sent:
            self.sent.add(name)
            self._ready.append((customer, raw, found))
        if len(self._ready) >= BATCH:
            await self.flush()

    async def flush(self) -> None:
        """Send what is ready, and wait until the broker has it."""
        topic, shards, ready = self._settings.topic(EVENTS), self._settings.shards, self._ready
        self._ready = []
        waiting = [
            await self._producer.send(topic, raw, key=customer.encode(), partition=shard_of(customer, shards), headers=[_mark(found)])
            for customer, raw, found in ready
        ]
        for acknowledged in waiting:
            await acknowledged


def _mark(found: FoundLetter) -> tuple[str, bytes]:
    origin = found.letter.origin
    assert origin is not None  # or it was not sendable
    return REDRIVEN_HEADER, b"%d-%d" % (found.shard, origin.offset)


def sendable(found: FoundLetter, placeholders: frozenset[str]) -> tuple[str, bytes]:
    """The customer and the bytes of a record; RefusedError when it would be refused as it is."""
    letter, raw = found.letter, raw_of(found.letter)
    if letter.origin is None or letter.format:
        raise RefusedError(letter.reason, detail="it was refused before it was an event of the log: whoever sent it must send it again")
    if letter.origin.topic != EVENTS or letter.reason in ("bad_control", "wrong_shard"):
        raise RefusedError(letter.reason, detail="it is no event")
    if len(raw) >= DEAD_RAW_MAX:
        raise RefusedError("too_large", detail="the letter has not all of its bytes")
    return settle_customer(decode(raw), placeholders).customer, raw


__all__ = ["redrive", "sendable"]
