"""A web server of a process at its place, ended in order."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from aiohttp import web

from streamer.errors import SettingsError

SHUTDOWN_SECONDS: Final = 0.5  # for pages that are being answered
BACKLOG: Final = 128


class Place(NamedTuple):
    """Where to listen. ``variable`` is the setting that an error names."""

    host: str
    port: int
    variable: str
    share_port: bool = False
    backlog: int = BACKLOG


@asynccontextmanager
async def listening(server: web.Server, place: Place, *, shutdown_seconds: float = SHUTDOWN_SECONDS) -> AsyncGenerator[None]:
    """Listen; at the end take no new connection, let requests end, and close the rest. SettingsError where the port cannot be had."""
    runner = web.ServerRunner(server, shutdown_timeout=shutdown_seconds)
    await runner.setup()
    try:
        await web.TCPSite(runner, place.host, place.port, backlog=place.backlog, reuse_port=place.share_port or None).start()
    except OSError as error:
        await runner.cleanup()
        raise SettingsError(f"{place.variable}: cannot listen on {place.host}:{place.port} ({error.strerror})") from None
    try:
        yield
    finally:
        await runner.cleanup()
