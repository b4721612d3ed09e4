"""Control records and ticks, written into the log: signed for each shard, and acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final
from weakref import WeakKeyDictionary

from aiokafka import AIOKafkaProducer
from aiokafka.structs import RecordMetadata

from streamer.settings import Settings
from streamer.transports.signed import control_headers
from streamer.wire import CONTROL_HEADER, EVENTS, TICK

from .clients import signer

CONTROL: Final = [(CONTROL_HEADER, b"1")]


async def send_tick(client: AIOKafkaProducer, settings: Settings, shard: int) -> asyncio.Future[RecordMetadata]:
    """Let time pass in a shard; returns the future of the acknowledgement."""
    return await client.send(settings.topic(EVENTS), TICK, partition=shard, headers=CONTROL)


_sending: Final[WeakKeyDictionary[AIOKafkaProducer, asyncio.Lock]] = WeakKeyDictionary()


async def send_control(client: AIOKafkaProducer, settings: Settings, raw: bytes, shards: Iterable[int], topic: str = EVENTS) -> None:
    """Write a control record into shards, signed for each, and wait for the acknowledgements. ``topic`` is a suffix."""
    by, name = signer(settings), settings.topic(topic)
    async with _sending.setdefault(client, asyncio.Lock()):  # numbers must lie in the log in the order in which they were given
        sent = [await client.send(name, raw, partition=shard, headers=[*control_headers(by, shard, raw, topic)]) for shard in shards]
    for acknowledged in sent:
        await acknowledged


__all__ = ["CONTROL", "send_control", "send_tick"]
