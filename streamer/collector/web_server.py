"""aiohttp's server, with as many connections as memory allows and no more."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from streamer.telemetry.collector_metrics import CollectorMetrics

from .limits import CollectorLimits

OTHER_FILES: Final = 64  # what the process has open besides connections of clients
LINGER_SECONDS: Final = 2.0  # what still comes of a body that was refused is read so long, or the client would not see why
BACKLOG: Final = 1_024
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class BoundedServer(web.Server):
    """Turns away connections beyond ``most``."""

    def __init__(self, handler: Handler, most: int, limits: CollectorLimits, metrics: CollectorMetrics) -> None:
        super().__init__(
            handler,
            keepalive_timeout=limits.idle_seconds,
            max_line_size=limits.header_bytes,
            max_field_size=limits.header_bytes,
            lingering_time=LINGER_SECONDS,
            auto_decompress=False,
            access_log=None,
        )
        self.open = 0
        self._most = most
        self._metrics = metrics

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Count it, or close it."""
        super().connection_made(handler, transport)
        self.open += 1
        if self.open > self._most:
            self._metrics.turned_away.inc()
            transport.abort()

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """It is closed."""
        super().connection_lost(handler, exc)
        self.open -= 1


def connections_allowed(wanted: int) -> int:
    """As many as the system lets this process have; its own limit is raised as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = hard if hard != resource.RLIM_INFINITY else wanted + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < min(most, wanted + OTHER_FILES):
        soft = min(most, wanted + OTHER_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else max(1, min(wanted, soft - OTHER_FILES))
