"""aiohttp's server, with as many connections as memory allows and no more.

Whoever opens connections and sends nothing, or sends a byte now and then, must not keep others out: where all are taken, the one that has
been without a request for longest gives way. Clients open another where an idle one was closed.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import Final, TypedDict, Unpack

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

OTHER_FILES: Final = 64  # what the process has open besides connections of clients
LINGER_SECONDS: Final = 2.0  # what still comes of a body that was refused is read so long, or the client would not see why
BACKLOG: Final = 1_024
SERVER: Final = "streamer"  # and not which versions of what
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class BoundedServer(web.Server):
    """Has ``most`` connections at once. One more takes the place of an idle one, and is turned away where none is idle.

    ``turned_away`` is called for each. ``idle_seconds`` is how long a connection may be without a request, ``header_bytes`` how long one
    header may be, or the first line. ``no_http`` is the JSON that answers 400 to what is no request as HTTP/1.1 has them.
    """

    def __init__(
        self,
        handler: Handler,
        most: int,
        turned_away: Callable[[], None],
        *,
        idle_seconds: float,
        header_bytes: int,
        no_http: bytes,
    ) -> None:
        super().__init__(self._handle)
        self._connection = partial(
            _HttpConnection,
            self,
            no_http,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=idle_seconds,
            max_line_size=header_bytes,
            max_field_size=header_bytes,
            lingering_time=LINGER_SECONDS,
            auto_decompress=False,
            access_log=None,
        )
        self._handler = handler
        self._most = most
        self._turned_away = turned_away
        self._open: dict[RequestHandler, asyncio.Transport] = {}
        self._idle: dict[RequestHandler, None] = {}  # without a request, the longest first

    def __call__(self) -> RequestHandler:
        """What answers on one connection."""
        return self._connection()

    @property
    def open(self) -> int:
        """How many there are."""
        return len(self._open)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Count it, and close one where it is one too many."""
        super().connection_made(handler, transport)
        self._open[handler] = transport
        self._idle[handler] = None
        if self.open > self._most:
            self._turned_away()
            self._close(next(iter(self._idle)))

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """It is closed."""
        super().connection_lost(handler, exc)
        self._open.pop(handler, None)
        self._idle.pop(handler, None)

    def _close(self, handler: RequestHandler) -> None:
        del self._idle[handler]
        self._open.pop(handler).close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        self._idle.pop(connection, None)
        try:
            return await self._handler(request)
        finally:
            if connection in self._open:
                self._idle[connection] = None


class _HttpOptions(TypedDict):
    """What a ``RequestHandler`` may be told, as far as it is."""

    loop: asyncio.AbstractEventLoop
    keepalive_timeout: float
    max_line_size: int
    max_field_size: int
    lingering_time: float
    auto_decompress: bool
    access_log: None


class _HttpConnection(RequestHandler):
    """Answers what is no HTTP in words of our own: aiohttp would repeat the header at fault, which may hold a key, and name its version."""

    __slots__ = ("_no_http",)

    def __init__(self, server: BoundedServer, no_http: bytes, **options: Unpack[_HttpOptions]) -> None:
        super().__init__(server, **options)  # pyright: ignore[reportArgumentType] - None is no access log
        self._no_http = no_http

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The answer to it; the connection ends."""
        found = super().handle_error(request, status, exc, message)  # which also writes the log
        if status != HTTPStatus.BAD_REQUEST:
            return found
        own = web.Response(body=self._no_http, status=status, content_type="application/json", headers={"Server": SERVER})
        own.force_close()
        return own


def connections_allowed(wanted: int) -> int:
    """As many as the system lets this process have; its own limit is raised as far as it may. Some are left for connections that were
    accepted at once and have not taken the place of others yet."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = wanted + OTHER_FILES + BACKLOG
    most = hard if hard != resource.RLIM_INFINITY else files
    if soft != resource.RLIM_INFINITY and soft < min(most, files):
        soft = min(most, files)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else max(1, min(wanted, max(soft - OTHER_FILES - BACKLOG, soft // 2)))
