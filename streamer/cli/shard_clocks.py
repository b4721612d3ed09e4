"""``streamer shards clocks``: how far the clocks of devices were off, in the newest events of the log."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from streamer.errors import RefusedError, SettingsError, UnansweredError
from streamer.events.codec import decode
from streamer.events.redaction import ClockOff, RedactedEvent, clock_counts, clock_text, redacted

from .terminal import echo, echo_json

if TYPE_CHECKING:
    from streamer.settings import Settings


class ClockLine(msgspec.Struct):
    """How many of the newest events had such a clock."""

    clock: ClockOff
    events: int


def say_clocks(
    newest: Annotated[int, typer.Option("--newest", metavar="N", help="so many, of all shards together", min=1, max=100_000)] = 1_000,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a step")] = False,
) -> None:
    """How far the clocks of devices were off in the newest events, as collectors have noted it under context.clock_offset_ms.

    Events of servers are believed and count as right, as do those of devices whose clock was right within two seconds.
    """
    from streamer.settings import load_settings

    for step, events in asyncio.run(clocks_of(load_settings(), newest)):
        if as_json:
            echo_json(ClockLine(step, events))
        else:
            echo(f"{events:>9,}  {clock_text(step)}")


async def clocks_of(settings: Settings, newest: int) -> list[tuple[ClockOff, int]]:
    """How many of the newest events there are of each step. SettingsError where Kafka does not answer."""
    from streamer.transports.kafka.newest_records import NewestRecords

    records = NewestRecords(settings)
    try:
        found = await records.take(newest)
    except UnansweredError as error:
        raise SettingsError(f"STREAMER_KAFKA: {error}") from None
    finally:
        await records.stop()
    events: list[RedactedEvent] = []
    for _, record in found:
        try:
            if not record.control:
                events.append(redacted(decode(record.value)))
        except RefusedError:
            continue
    return clock_counts(events)
