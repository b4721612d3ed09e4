"""The demo's own share of the work: publish definitions, send what happens in the shop, read what comes back.

Here is what takes long to import (Faust and aiokafka): imported while the worker starts.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from streamer.deployment.connecting import starting
from streamer.deployment.publishing import publish_definitions
from streamer.events.codec import encode
from streamer.language.definitions import load_definitions
from streamer.segments.library import library_path
from streamer.transports.kafka.changes import read_changes
from streamer.wire import EVENTS, shard_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from aiokafka import AIOKafkaProducer

    from streamer.demo.seen import Seen
    from streamer.demo.shop import Shop
    from streamer.settings import Settings

SEGMENTS: Final = Path(__file__).with_name("segments.yaml")
MESSAGES: Final = Path(__file__).with_name("messages.yaml")
QUIET_WRITTEN: Final = 'quiet: "21:00-06:00"'  # in the file; the demo shows quiet hours whenever it runs
QUIET_ZONE: Final = ZoneInfo("Europe/Berlin")  # where most customers live; in London it is an hour earlier
QUIET_BEGAN: Final = timedelta(minutes=30)
QUIET_LASTS: Final = timedelta(hours=9)
STEP_S: Final = 0.02
FETCH_WAIT_MS: Final = 20  # the embedded broker holds every request for the whole of its wait


def our_segments() -> list[tuple[str, str]]:
    """Names and purposes of the rules in seconds, in the order of their file."""
    return [(one.name, one.purpose) for one in sorted(load_definitions(SEGMENTS).segments, key=lambda one: one.line)]


def library_segments() -> list[str]:
    """The names in the library."""
    return [one.name for one in load_definitions(library_path()).segments]


def messages_now(moment_ms: int) -> str:
    """The text of the messages, with quiet hours that began in Berlin half an hour ago."""
    began = datetime.fromtimestamp(moment_ms / 1_000, QUIET_ZONE) - QUIET_BEGAN
    return MESSAGES.read_text().replace(QUIET_WRITTEN, f'quiet: "{began:%H:%M}-{began + QUIET_LASTS:%H:%M}"')


@asynccontextmanager
async def connected(settings: Settings, folder: Path) -> AsyncGenerator[AIOKafkaProducer]:
    """A producer; the library, the rules in seconds and the messages are in the log. ``folder`` is for the text of the messages."""
    messages = folder / MESSAGES.name
    messages.write_text(messages_now(now_ms()))
    async with starting(settings) as (client, store):
        await publish_definitions(settings, client, store, library_path(), SEGMENTS, messages)
        yield client


async def keep_shop(shop: Shop, client: AIOKafkaProducer, settings: Settings, seen: Seen) -> None:
    """Send what happens in the shop, each event into the shard of its customer; until cancelled."""
    topic = settings.topic(EVENTS)
    while True:
        shop.set_rate(seen.pace.rate)
        events = shop.advance(now_ms() - seen.opened_ms)
        for event in events:
            shard = shard_of(event.customer, settings.shards)
            await client.send(topic, encode(event), key=event.customer.encode(), partition=shard)
        seen.note_sent(events, now_ms())
        await asyncio.sleep(STEP_S)


async def read(settings: Settings, seen: Seen) -> None:
    """Read the changes as a service of the shop would; until cancelled."""
    async for change in read_changes(settings, wait_ms=FETCH_WAIT_MS):
        seen.note_change(change, now_ms())


def now_ms() -> int:
    """UTC milliseconds, now: the demo's only clock."""
    return int(time() * 1_000)
