"""The cost of a segment, measured in a process of its own: nothing else runs in it, and a server has others to answer meanwhile."""

from __future__ import annotations

import asyncio
from multiprocessing.connection import Connection
from typing import Final

import msgspec

from streamer.aside import Aside, done_aside
from streamer.errors import SettingsError, StreamerError, TooMuchError
from streamer.flow.catalog import read_definitions
from streamer.settings import Settings

from .cost import SegmentCost, cost_of, newest_events

SECONDS_MAX: Final = 60.0


class CostTask(msgspec.Struct, frozen=True):
    """What the process is to do. ``definitions`` are canonical JSON."""

    definitions: bytes
    segment: str


class CostOutcome(msgspec.Struct, frozen=True):
    """What it measured, or the text of the error."""

    cost: SegmentCost | None = None
    text: str = ""


_encode: Final = msgspec.msgpack.Encoder().encode
_tasks: Final = msgspec.msgpack.Decoder(CostTask)
_outcomes: Final = msgspec.msgpack.Decoder(CostOutcome)


class CostsAside(Aside):
    """Measures, one at a time: two at once would measure each other."""

    async def cost(self, definitions: bytes, segment: str) -> SegmentCost:
        """See ``cost.cost_of``; ``definitions`` are canonical JSON. SettingsError with the reason; TooMuchError after ``SECONDS_MAX``."""
        async with self.turn:
            try:
                raw = await done_aside(work, self.settings, _encode(CostTask(definitions, segment)), seconds_max=SECONDS_MAX)
            except TimeoutError:
                raise TooMuchError(f"not measured after {SECONDS_MAX:g} s") from None
        outcome = _outcomes.decode(raw) if raw else CostOutcome(text="the process that measures ended without an answer")
        if outcome.cost is None:
            raise SettingsError(outcome.text)
        return outcome.cost


def work(connection: Connection, settings: Settings, raw: bytes) -> None:
    """What the process does."""
    connection.send_bytes(_encode(asyncio.run(_outcome(settings, _tasks.decode(raw)))))
    connection.close()


async def _outcome(settings: Settings, task: CostTask) -> CostOutcome:
    try:
        arrivals = await newest_events(settings)
        return CostOutcome(await cost_of(read_definitions(task.definitions), task.segment, arrivals, settings.rules))
    except StreamerError as error:
        return CostOutcome(text=str(error))


__all__ = ["CostsAside"]
