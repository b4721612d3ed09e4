"""Decisions about messages, and what the sender wrote down of them, read back from their topics."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiokafka import TopicPartition

from streamer.flow.reader import Deduplicator
from streamer.messages.decision import decode_decision
from streamer.sender.ledger import read_entry
from streamer.transports.kafka.clients import reader
from streamer.wire import MESSAGES, SENDS

if TYPE_CHECKING:
    from streamer.demo.seen_messages import SeenMessages
    from streamer.settings import Settings

FETCH_WAIT_MS: Final = 50  # the embedded broker holds every request for the whole of its wait
POLL_S: Final = 0.05


class DecisionReader:
    """Reads both topics from their beginning."""

    def __init__(self, settings: Settings, seen: SeenMessages) -> None:
        self._seen = seen
        self._decisions, self._entries = settings.topic(MESSAGES), settings.topic(SENDS)
        self._places = [TopicPartition(self._entries, shard) for shard in range(settings.shards)]
        self._client = reader(
            settings, self._decisions, self._entries, group_id=None, auto_offset_reset="earliest", fetch_max_wait_ms=FETCH_WAIT_MS
        )

    async def run(self) -> None:
        """Read until cancelled."""
        highest = Deduplicator()
        await self._client.start()
        try:
            async for record in self._client:
                raw = record.value or b""
                if record.topic == self._entries:
                    self._seen.note_entry(read_entry(raw))
                    continue
                decision = decode_decision(raw)
                place = decision.data.position
                if highest.is_new(place.shard, place.generation, place.offset, place.ordinal):
                    self._seen.note_decision(decision)
        finally:
            await self._client.stop()

    async def reach_the_end(self) -> None:
        """Wait until everything is read that the sender has written down; for a sender that has ended."""
        ends = await self._client.end_offsets(self._places)
        while any([await self._client.position(place) < end for place, end in ends.items()]):  # noqa: ASYNC110 - the client tells nobody
            await asyncio.sleep(POLL_S)
