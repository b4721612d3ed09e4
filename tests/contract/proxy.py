"""A wire that can be cut: between a client and a server, at the worst moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress


class Proxy:
    """Passes bytes on. ``cut_at`` names a command: when it is next sent the connection is closed, ``before`` or after it was executed."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.port = 0
        self.cuts = 0
        self.cut_at: bytes | None = None
        self.before = False

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Proxy]:
        """Listen on a free port of loopback."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target)
        replies = asyncio.ensure_future(_pass_on(server_reader, writer))
        try:
            while data := await reader.read(1 << 20):
                if self.cut_at is None or self.cut_at not in data:
                    server_writer.write(data)
                    continue
                self.cut_at = None
                self.cuts += 1
                if not self.before:
                    replies.cancel()
                    server_writer.write(data)
                    await server_reader.read(1)  # it has begun to answer, so it has executed
                break
        finally:
            replies.cancel()
            for end in (server_writer, writer):
                end.close()
            with suppress(asyncio.CancelledError):
                await replies


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(1 << 20):
            writer.write(data)
