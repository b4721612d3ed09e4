"""The writer of those who stand before the log, connected, and ended with what it has in hand written."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from streamer.settings import Settings
from streamer.stopping import at_most
from streamer.transports.kafka.event_writer import EventWriter, event_producer

from .connecting import CLOSE_SECONDS, start_producer

DRAIN_SECONDS: Final = 1.0  # for records for which nobody waits any more


@asynccontextmanager
async def writing(settings: Settings) -> AsyncGenerator[EventWriter]:
    """A writer to a log that is there, as its topics must be; SettingsError otherwise."""
    client = event_producer(settings)
    try:
        await start_producer(client, settings, may_begin=False)
        writer = EventWriter(settings, client)
        try:
            yield writer
        finally:  # also of a process that is told to end, which is a cancellation
            await at_most(DRAIN_SECONDS, writer.drain())
    finally:
        await at_most(CLOSE_SECONDS, client.stop())
