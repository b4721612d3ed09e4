"""Connections are bounded, and whoever holds many of them keeps nobody out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import pytest
from aiohttp import web

from streamer.telemetry.collector_metrics import CollectorMetrics
from streamer.web.bounded_server import BoundedServer

MOST: Final = 3
ASKED: Final = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
NO_HTTP: Final = b'{"code":"bad_http"}'
TURNED_AWAY_ONE: Final = b"collector_connections_turned_away_total 1.0"


class Connection:
    """One of a client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self) -> bool:
        """Whether it was answered; False where it was closed instead."""
        self.writer.write(ASKED)
        try:
            return (await self.reader.readuntil(b"well")).startswith(b"HTTP/1.1 200")
        except (asyncio.IncompleteReadError, ConnectionError):
            return False

    async def is_closed(self) -> bool:
        """Whether the server ended it without a word; waits until it does."""
        try:
            return await self.reader.read() == b""
        except ConnectionError:
            return True


class Desk:
    """A server of ``MOST`` connections. Requests wait for ``gate``."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.full = asyncio.Event()  # as many have asked
        self.writers: list[asyncio.StreamWriter] = []
        self.asked = 0
        self.metrics = CollectorMetrics()
        self.server = BoundedServer(
            self._answer, MOST, self.metrics.turned_away.inc, idle_seconds=75.0, header_bytes=16_384, no_http=NO_HTTP
        )
        self.port = 0

    async def _answer(self, _request: web.BaseRequest) -> web.StreamResponse:
        self.asked += 1
        if self.asked == MOST:
            self.full.set()
        await self.gate.wait()
        return web.Response(text="well")

    async def connect(self) -> Connection:
        """One more; the server takes them in their order."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers.append(writer)
        return Connection(reader, writer)


@asynccontextmanager
async def desk() -> AsyncGenerator[Desk]:
    made = Desk()
    listening = await asyncio.get_running_loop().create_server(made.server, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    try:
        async with asyncio.timeout(10):
            yield made
    finally:
        for writer in made.writers:
            writer.close()
        listening.close()
        await made.server.shutdown(0.1)


async def test_a_connection_that_says_nothing_gives_way_to_one_that_does() -> None:
    """Ten thousand that were opened and left alone would keep a whole shop out."""
    async with desk() as made:
        silent = [await made.connect() for _ in range(MOST)]
        assert await (await made.connect()).ask()
        assert await silent[0].is_closed(), "the one that has been silent for longest"
        assert [await one.ask() for one in silent[1:]] == [True, True]
        assert made.server.open == MOST
        assert TURNED_AWAY_ONE in made.metrics.text()


async def test_a_connection_that_asked_lately_stays() -> None:
    """A proxy keeps a few open, over which everything comes."""
    async with desk() as made:
        first, second, third = [await made.connect() for _ in range(MOST)]
        assert await first.ask()
        assert await (await made.connect()).ask()
        assert await second.is_closed()
        assert [await first.ask(), await third.ask()] == [True, True]


async def test_no_request_under_way_is_cut_for_another() -> None:
    """What was begun may be in the log already: the one too many is turned away."""
    async with desk() as made:
        made.gate.clear()
        busy = [await made.connect() for _ in range(MOST)]
        asking = [asyncio.create_task(one.ask()) for one in busy]
        await made.full.wait()
        assert await (await made.connect()).is_closed()
        made.gate.set()
        assert await asyncio.gather(*asking) == [True] * MOST
        assert TURNED_AWAY_ONE in made.metrics.text()


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nHost: here\r\nAuthorization: Basic c2VjcmV0Og==\x7f\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: -5\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: here\r\nX: " + b"secret" * 4_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
async def test_what_is_no_http_gets_an_answer_of_our_own(said: bytes) -> None:
    """aiohttp repeats the header at fault, which may be a key that a proxy then logs, as text, and names its version and Python's."""
    async with desk() as made:
        one = await made.connect()
        one.writer.write(said)
        head, _, body = (await one.reader.read()).partition(b"\r\n\r\n")
        assert head.split(b" ", 2)[1] == b"400"
        assert b"\r\nServer: streamer" in head
        assert b"aiohttp" not in head
        assert json.loads(body) == {"code": "bad_http"}
        assert made.asked == 0
