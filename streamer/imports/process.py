"""One import from outside: look at the head of each shard, write behind it, and look whether it is still nothing but history."""

from __future__ import annotations

from collections.abc import Iterable

from aiokafka import AIOKafkaProducer

from streamer.flow.replay import Arrival
from streamer.settings import Settings
from streamer.transports.kafka.log_head import KafkaHistory, read_tail

from .head import HistoryHead, head_of
from .importer import Importer
from .sifting import Refuse


async def read_heads(settings: Settings) -> dict[int, HistoryHead]:
    """Where history stands in each shard. SettingsError where the log of one has begun; raises KafkaError, TimeoutError."""
    return {shard: head_of(shard, await read_tail(settings, shard)) for shard in range(settings.shards)}


async def import_events(settings: Settings, client: AIOKafkaProducer, name: str, events: Iterable[Arrival], refuse: Refuse) -> Importer:
    """Write events, which come in the order of time, by the import ``name``; return what was done.

    SettingsError where the log has begun, or somebody else wrote into it meanwhile; raises KafkaError, TimeoutError. What was written by
    then stays, and the same import goes on behind it.
    """
    writer = KafkaHistory(settings, client)
    importer = Importer(name, await read_heads(settings), writer, refuse)
    await importer.write(events)
    await writer.finish()
    await read_heads(settings)
    return importer


async def try_events(name: str, shards: int, events: Iterable[Arrival], refuse: Refuse) -> Importer:
    """What ``import_events`` would do in a new log, without a server."""
    importer = Importer(name, dict.fromkeys(range(shards), HistoryHead()), _Nowhere(), refuse)
    await importer.write(events)
    return importer


class _Nowhere:
    """Writes nothing."""

    async def write(self, records: list[tuple[int, Arrival, bytes]]) -> None:
        """See ``HistoryWriter``."""


__all__ = ["import_events", "read_heads", "try_events"]
