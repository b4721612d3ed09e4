"""One import from outside: to the head of the log where that has not begun, else to a topic that a publication makes a part of the past.

What was written stays where it breaks off, and the same import goes on behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaProducer

from streamer.deployment.publishing import Proposal, bring_history
from streamer.errors import SettingsError
from streamer.flow.replay import Arrival
from streamer.settings import Settings
from streamer.stores.base import Store
from streamer.transports.kafka.log_ends import read_log_ends
from streamer.transports.kafka.log_head import KafkaHistory, read_tail
from streamer.transports.kafka.log_inspector import LogInspector
from streamer.transports.kafka.topics import ensure_topic
from streamer.wire import EVENTS, HISTORY, Headers, LogRecord

from .head import HistoryHead, LogHasBegunError, head_of
from .importer import Importer
from .overlap import LogOverlap, read_overlap
from .sifting import Refuse


class HistoryFile(NamedTuple):
    """What is imported: its ``name``, ``events`` in the order of time, where what is left out goes, and the property ``dedupe`` by which
    events are known that the log has too (empty: history ends where the log begins)."""

    name: str
    events: Iterable[Arrival]
    refuse: Refuse
    dedupe: str = ""


class Imported(NamedTuple):
    """What was done; ``proposal`` is what makes it a part of the past, None where it lies at the head of the log, or more is to come."""

    importer: Importer
    proposal: Proposal | None


async def import_events(
    settings: Settings, client: AIOKafkaProducer, store: Store, what: HistoryFile, *, is_more_to_come: bool = False
) -> Imported:
    """Write history, and have it become a part of the past unless ``is_more_to_come``.

    SettingsError where somebody else wrote into a log that had not begun, brings history in too, or nothing was published into a log that
    has begun; raises KafkaError, TimeoutError.
    """
    try:
        ends = await _ends(settings, EVENTS)
        heads = await _heads(settings, EVENTS)
    except LogHasBegunError:
        return await _import_beside(settings, client, store, what, is_more_to_come=is_more_to_come)
    writer = KafkaHistory(settings, client, EVENTS, dict(enumerate(ends)))
    importer = Importer(what.name, heads, writer, what.refuse)
    await importer.write(what.events)
    await writer.finish()
    await _heads(settings, EVENTS)
    return Imported(importer, None)


async def _import_beside(
    settings: Settings, client: AIOKafkaProducer, store: Store, what: HistoryFile, *, is_more_to_come: bool
) -> Imported:
    """The same where the log has begun."""
    await ensure_topic(settings, HISTORY)
    overlap = await _read_overlap(settings, what.dedupe)
    writer = KafkaHistory(settings, client, HISTORY, dict(enumerate(await _ends(settings))))
    importer = Importer(what.name, await _heads(settings, HISTORY), writer, what.refuse, overlap)
    await importer.write(what.events)
    await writer.finish()
    ends = await _ends(settings)
    is_whole = any(ends) and not is_more_to_come
    return Imported(importer, await bring_history(settings, client, store, ends) if is_whole else None)


async def finish_import(settings: Settings, client: AIOKafkaProducer, store: Store) -> Proposal:
    """Make all that lies in the topic of history a part of the past. SettingsError where nothing does, or nothing was published; raises
    KafkaError, TimeoutError."""
    await ensure_topic(settings, HISTORY)
    ends = await _ends(settings)
    if not any(ends):
        raise SettingsError("there is no history: `streamer import FILES` brings it in, or POST /v1/import of a collector")
    return await bring_history(settings, client, store, ends)


async def _ends(settings: Settings, topic: str = HISTORY) -> list[int]:
    """Where history, or the log, ends in each shard."""
    found = await read_log_ends(settings, range(settings.shards), topic=topic)
    return [found[shard].end for shard in range(settings.shards)]


async def _read_overlap(settings: Settings, dedupe: str) -> LogOverlap:
    inspector = LogInspector(settings)
    try:
        return await read_overlap(inspector, settings.shards, dedupe)
    finally:
        await inspector.stop()


async def _heads(settings: Settings, topic: str) -> dict[int, HistoryHead]:
    """Where history stands in each shard."""
    return {shard: head_of(shard, await read_tail(settings, shard, topic)) for shard in range(settings.shards)}


class KafkaHistoryTopic:
    """See ``requests.HistoryTopic``. Each question has a connection of its own: they are few, and a collector has none for them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def has_begun(self) -> bool:
        """Whether anything but history lies in the log; the topic of history is made then where it is missing."""
        try:
            await _heads(self._settings, EVENTS)
        except LogHasBegunError:
            await ensure_topic(self._settings, HISTORY)
            return True
        return False

    async def overlap(self) -> LogOverlap:
        """Where the logs of the shards begin."""
        return await _read_overlap(self._settings, "")

    async def ends(self, shards: Iterable[int]) -> Mapping[int, int]:
        """The offsets behind the last record of history of these shards."""
        found = await read_log_ends(self._settings, shards, topic=HISTORY)
        return {shard: ends.end for shard, ends in found.items()}

    async def tail(self, shard: int) -> Sequence[LogRecord]:
        """The last records of history of a shard."""
        return await read_tail(self._settings, shard, HISTORY)


async def try_events(shards: int, what: HistoryFile) -> Importer:
    """What ``import_events`` would do in a new log, without a server."""
    importer = Importer(what.name, dict.fromkeys(range(shards), HistoryHead()), _Nowhere(), what.refuse)
    await importer.write(what.events)
    return importer


class _Nowhere:
    """Writes nothing."""

    async def write(self, records: list[tuple[int, Arrival, Headers]]) -> None:
        """See ``HistoryWriter``."""


__all__ = ["HistoryFile", "Imported", "KafkaHistoryTopic", "finish_import", "import_events", "try_events"]
