"""A preview in a process of its own: it computes for seconds, and a server has others to answer meanwhile.

The process ends with the answer, at its bounds, or when whoever asked no longer waits.
"""

from __future__ import annotations

import asyncio
from multiprocessing.connection import Connection
from typing import Final

import msgspec

from streamer.aside import Aside, Outcomes, done_aside
from streamer.errors import SettingsError, TooMuchError
from streamer.flow.catalog import read_definitions
from streamer.language.definitions import Definitions
from streamer.settings import Settings

from .bounds import Bounds
from .conclusion import Wishes
from .deployment import preview_deployment
from .result import Preview

START_SECONDS: Final = 15.0  # beside the bound: to start and to answer
SILENT: Final = "the process of the preview ended without an answer; is there memory for what is remembered of all customers?"


class PreviewTask(msgspec.Struct, frozen=True):
    """What the process is to do. ``definitions`` are canonical JSON."""

    definitions: bytes
    wishes: Wishes
    events_max: int
    seconds_max: float
    since_ms: int | None = None


_encode: Final = msgspec.msgpack.Encoder().encode
_tasks: Final = msgspec.msgpack.Decoder(PreviewTask)
_outcomes: Final = Outcomes(Preview, SettingsError, TooMuchError)


class PreviewsAside(Aside):
    """Previews of a deployment, one at a time: each takes a core."""

    async def preview(
        self, definitions: Definitions, wishes: Wishes, *, events_max: int, seconds_max: float, since_ms: int | None = None
    ) -> Preview:
        """As ``preview_deployment``. To cancel it ends the process. HaltError where the process ends without an answer."""
        task = PreviewTask(definitions.content(), wishes, events_max, seconds_max, since_ms)
        async with self.turn:
            return await self._in_process(task)

    async def _in_process(self, task: PreviewTask) -> Preview:
        try:
            raw = await done_aside(work, self.settings, _encode(task), seconds_max=task.seconds_max + START_SECONDS)
        except TimeoutError:
            raise TooMuchError(f"not done after {task.seconds_max:g} s") from None
        return _outcomes.read(raw, without=SILENT)


def work(connection: Connection, settings: Settings, raw: bytes) -> None:
    """What the process does."""
    connection.send_bytes(asyncio.run(_outcomes.of(_preview(settings, _tasks.decode(raw)))))
    connection.close()


async def _preview(settings: Settings, task: PreviewTask) -> Preview:
    definitions, bounds = read_definitions(task.definitions), Bounds(task.events_max, task.seconds_max)
    return await preview_deployment(settings, definitions, task.wishes, bounds, since_ms=task.since_ms)


__all__ = ["PreviewsAside"]
