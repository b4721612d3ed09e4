"""The worker's loop hands on what its shards say."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from aiokafka import TopicPartition

from streamer.events.codec import encode
from streamer.events.event import Event
from streamer.flow.relay import Place, Relay
from streamer.flow.shard import Plans, Shard
from streamer.segments.change import decode_change
from streamer.segments.definitions import load_definitions
from streamer.settings import load_settings
from streamer.stores.memory import MemoryStore
from streamer.telemetry.metrics import Metrics
from streamer.transports.segmenter import Owned, Segmenter
from streamer.wire import LogRecord, Output, definitions_control

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DEFINITIONS = """
segments:
  seen: {for: Was seen., when: did("Product Viewed")}
"""


class Kept:
    """A sink that keeps what it is sent."""

    def __init__(self) -> None:
        self.outputs: list[Output] = []

    async def tail(self, topic: str, shard: int) -> Place | None:
        return None

    async def send(self, outputs: Sequence[Output]) -> None:
        self.outputs += outputs


async def test_what_a_batch_says_goes_to_the_broker_and_not_only_into_the_outbox(tmp_path: Path) -> None:
    """A change that waits for the next owner of the shard comes an hour too late, and nothing else shows that it waits."""
    (tmp_path / "segments.yaml").write_text(DEFINITIONS)
    definitions = load_definitions(tmp_path)
    settings, store, sink, metrics = load_settings(shards=1), MemoryStore(), Kept(), Metrics()
    segmenter = Segmenter(settings, store, cast("Any", None), sink, metrics)
    shard = await Shard.acquire(0, store, Plans(store, settings.rules), settings.rules, pause=asyncio.sleep)
    partition = TopicPartition(settings.topic("events"), 0)
    segmenter.owned[partition] = Owned(partition, state="owned", shard=shard, relay=Relay(0, store, sink))
    event = encode(Event(event="Product Viewed", message_id="m", user_id="mila", timestamp_ms=1_000))
    switch = definitions_control(definitions.content(), definitions.digest, 1)

    await segmenter._process(partition, [LogRecord(0, 1_000, switch, control=True), LogRecord(1, 1_000, event)])  # pyright: ignore[reportPrivateUsage]
    await segmenter._relay_all()  # pyright: ignore[reportPrivateUsage]

    assert [decode_change(output.value).data.segment for output in sink.outputs] == ["seen"]
    assert await store.outbox(0, after=None, limit=10) == []
