"""What goes on, as server-sent events: one rendering for all who look at the same thing, and none while nobody does.

A channel is one view of one thing in one language. It renders its block once an interval, and says something only where that has changed.
What is costly to render, and the more channels there are, is rendered less often: all together cost a small share of a core, whatever
they show.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import thread_time
from typing import Final, NamedTuple

from aiohttp import web

from streamer.server.errors import AnswerError

VIEWERS_MAX: Final = 1_000
HEARTBEAT_SECONDS: Final = 15.0
WRITE_SECONDS: Final = 20.0  # whoever takes nothing for so long is cut, and comes back
COST_SHARE: Final = 0.03  # of a core, for all channels together
CHARGED_SECONDS: Final = 0.1  # at most, for one rendering: what else the loop does meanwhile is in its time too, much at a start
EVENT_STREAM: Final = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
TURN_SECONDS: Final = 0.5  # whoever waits for something that long does so beside the others
Render = Callable[[], Awaitable[str]]


class ChannelKey(NamedTuple):
    """What those who share a channel look at."""

    view: str
    variable: str
    query: tuple[tuple[str, str], ...]
    language: str


class LiveChannel:
    """One of them. ``event`` is what was said last, ``number`` how often something was; ``channels`` says how many share a core,
    ``turn`` is held by the one that renders."""

    def __init__(self, render: Render, seconds: float, channels: Callable[[], int], turn: asyncio.Lock) -> None:
        self.viewers = 0
        self.event = b""
        self.number = 0
        self._render = render
        self._seconds = seconds
        self._channels = channels
        self._turn = turn
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            event, used = await self._rendered()
            if event != self.event:
                self.event = event
                self.wake()
            await asyncio.sleep(max(self._seconds, used * self._channels() / COST_SHARE))

    async def _rendered(self) -> tuple[bytes, float]:
        """What is to be said, and the seconds of processor time that it is charged with."""
        async with self._turn:  # side by side each would be charged for all
            began = thread_time()  # not the clock's: a store or a machine that is slow makes nobody wait longer than that
            rendering = asyncio.ensure_future(self._render())
            try:
                await asyncio.wait({rendering}, timeout=TURN_SECONDS)
            except asyncio.CancelledError:
                rendering.cancel()
                raise
            used = min(thread_time() - began, CHARGED_SECONDS)
        return event_of(await rendering), used

    def wake(self) -> None:
        """Have all viewers look."""
        self.number += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def after(self, number: int) -> bool:
        """Wait for something newer; False after ``HEARTBEAT_SECONDS`` without."""
        changed = self._changed
        if self.number != number:
            return True
        try:
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                await changed.wait()
        except TimeoutError:
            return False
        return True


class LiveChannels:
    """Serves everybody who looks."""

    def __init__(self) -> None:
        self.viewers = 0
        self.is_closed = False
        self._turn = asyncio.Lock()
        self._channels: dict[ChannelKey, tuple[LiveChannel, asyncio.Task[None]]] = {}

    @property
    def open(self) -> int:
        """How many channels there are."""
        return len(self._channels)

    async def serve(
        self, request: web.BaseRequest, key: ChannelKey, seconds: float, render: Render, may_see: Callable[[], bool]
    ) -> web.StreamResponse:
        """Send a viewer what changes until they go, or ``may_see`` says that they may no longer. AnswerError where too many look."""
        if self.viewers >= VIEWERS_MAX:
            raise AnswerError("overloaded", "as many look at what goes on as may; come back")
        self.viewers += 1
        channel = self._join(key, seconds, render)
        response = web.StreamResponse(headers=EVENT_STREAM)
        try:
            await response.prepare(request)
            await _follow(response, channel, lambda: may_see() and not self.is_closed)
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError from None
        finally:
            self.viewers -= 1
            self._leave(key)
        return response

    def close(self) -> None:
        """Have all viewers end."""
        self.is_closed = True
        for channel, task in self._channels.values():
            task.cancel()
            channel.wake()

    def _join(self, key: ChannelKey, seconds: float, render: Render) -> LiveChannel:
        if key not in self._channels:
            channel = LiveChannel(render, seconds, lambda: self.open, self._turn)
            self._channels[key] = channel, asyncio.create_task(channel.run())
        channel = self._channels[key][0]
        channel.viewers += 1
        return channel

    def _leave(self, key: ChannelKey) -> None:
        channel, task = self._channels[key]
        channel.viewers -= 1
        if not channel.viewers:
            task.cancel()
            del self._channels[key]


async def _follow(response: web.StreamResponse, channel: LiveChannel, goes_on: Callable[[], bool]) -> None:
    number = -1
    while goes_on():
        if channel.event and number != channel.number:
            number = channel.number
            await _write(response, channel.event)
        elif not await channel.after(max(number, 0)):
            await _write(response, b": \n\n")


async def _write(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(WRITE_SECONDS):
        await response.write(data)


def event_of(html: str) -> bytes:
    """An event with a piece of HTML in it."""
    lines = html.replace("\r", "").split("\n")
    return b"".join(b"data: %b\n" % line.encode(errors="backslashreplace") for line in lines if line.strip()) + b"\n"


__all__ = ["ChannelKey", "LiveChannel", "LiveChannels", "event_of"]
