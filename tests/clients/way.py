"""The way between a client and the collector, on which one thing goes wrong: a proxy on a port of its own that writes down what passed."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import struct
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import StrEnum
from time import monotonic
from typing import Any, Final, NamedTuple

from aiohttp import ClientSession, web
from multidict import CIMultiDict

SLOW_S: Final = 0.6  # on the way there, and as long on the way back
RETRY_AFTER_S: Final = 2  # longer than any client waits by itself the first time
PADDING_BYTES: Final = 700 << 10  # more than any request may have
NOT_PASSED_ON: Final = {"connection", "keep-alive", "transfer-encoding", "content-length"}  # they belong to one connection
GZIP: Final = b"\x1f\x8b"


class Fault(StrEnum):
    """What goes wrong, with the first requests that hold events."""

    NONE = "nothing"
    BUSY = "429"  # answered on the way, once
    SLOW = "slow"  # body and answer come in pieces, with pauses
    RESET = "reset"  # the answer of the first is cut off, the second does not arrive at all
    TOO_LARGE = "413"  # padded on the way, so the collector itself refuses
    BROKEN_GZIP = "broken gzip"  # damaged on the way, so the collector itself refuses


TIMES: Final = {Fault.NONE: 0, Fault.RESET: 2}  # else once


class Passed(NamedTuple):
    """A request with events, and how it ended for the client."""

    path: str
    ids: frozenset[str]
    at_s: float
    took_s: float
    wrong: bool  # the fault was done to it
    arrived: bool  # the collector got it as it was sent, and answered
    status: int  # 0: the client got no answer


class Answer(NamedTuple):
    """What the collector said, whole."""

    status: int
    headers: CIMultiDict[str]
    body: bytes

    def response(self) -> web.Response:
        return web.Response(body=self.body, status=self.status, headers=self.headers)


class Way:
    """One client's way for one run."""

    def __init__(self, collector: str, fault: Fault, session: ClientSession) -> None:
        self.fault = fault
        self.address = ""
        self.passed: list[Passed] = []
        self._collector = collector
        self._session = session
        self._left = TIMES.get(fault, 1)

    @property
    def met(self) -> list[Passed]:
        """Requests to which the fault was done."""
        return [request for request in self.passed if request.wrong]

    @property
    def refuses(self) -> bool:
        """Whether what meets the fault is refused for good."""
        return self.fault in (Fault.TOO_LARGE, Fault.BROKEN_GZIP)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Way]:
        """Listen on a free port of loopback."""
        application = web.Application(client_max_size=64 << 20)
        application.router.add_route("*", "/{path:.*}", self._pass)
        runner = web.AppRunner(application, access_log=None, auto_decompress=False)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self
        finally:
            await runner.cleanup()

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        ids = ids_of(body)
        if not ids or not self._left:
            return await self._whole(request, body, ids)
        self._left -= 1
        match self.fault:
            case Fault.BUSY:
                return await self._busy(request, ids)
            case Fault.SLOW:
                return await self._slow(request, body, ids)
            case Fault.RESET:
                return await self._reset(request, body, ids)
            case Fault.TOO_LARGE:
                return await self._spoilt(request, _padded(body), ids)
            case Fault.BROKEN_GZIP:
                return await self._spoilt(request, _damaged(body), ids)
            case Fault.NONE:
                raise AssertionError("there is nothing to do wrong")

    async def _whole(self, request: web.Request, body: bytes, ids: frozenset[str]) -> web.Response:
        at_s = monotonic()
        answer = await self._ask(request, body)
        if ids:
            self._note(request.path, ids, at_s, wrong=False, arrived=True, status=answer.status)
        return answer.response()

    async def _busy(self, request: web.Request, ids: frozenset[str]) -> web.Response:
        """Turn away as the collector does: with the headers that its own refusals carry for this client."""
        self._note(request.path, ids, monotonic(), wrong=True, arrived=False, status=429)
        refusal = await self._ask(request, b"")
        headers = {name: value for name, value in refusal.headers.items() if name.startswith(("Access-Control-", "Vary"))}
        body = {"success": False, "code": "busy", "message": "come again later"}
        return web.json_response(body, status=429, headers={**headers, "Retry-After": str(RETRY_AFTER_S)})

    async def _slow(self, request: web.Request, body: bytes, ids: frozenset[str]) -> web.StreamResponse:
        at_s = monotonic()
        answer = await self._ask(request, _in_pieces(body), size=len(body))
        slow = web.StreamResponse(status=answer.status, headers=answer.headers)
        slow.content_length = len(answer.body)
        await slow.prepare(request)
        with suppress(ConnectionResetError):  # some clients look at the status alone and leave
            async for piece in _in_pieces(answer.body):
                await slow.write(piece)
            await slow.write_eof()
        self._note(request.path, ids, at_s, wrong=True, arrived=True, status=answer.status)
        return slow

    async def _reset(self, request: web.Request, body: bytes, ids: frozenset[str]) -> web.Response:
        arrives = self._left == 1
        at_s = monotonic()
        if arrives:
            answer = await self._ask(request, body)
            assert answer.status == 200, answer.body
        self._note(request.path, ids, at_s, wrong=True, arrived=arrives, status=0)
        _reset_connection(request)
        return web.Response()

    async def _spoilt(self, request: web.Request, body: bytes, ids: frozenset[str]) -> web.Response:
        at_s = monotonic()
        answer = await self._ask(request, body, gzipped=body.startswith(GZIP))
        self._note(request.path, ids, at_s, wrong=True, arrived=False, status=answer.status)
        return answer.response()

    async def _ask(
        self, request: web.Request, body: bytes | AsyncIterator[bytes], *, size: int | None = None, gzipped: bool = False
    ) -> Answer:
        headers = CIMultiDict((name, value) for name, value in request.headers.items() if name.lower() not in NOT_PASSED_ON)
        if gzipped:
            headers["Content-Encoding"] = "gzip"
        if size is not None:
            headers["Content-Length"] = str(size)
        target = self._collector + request.path_qs
        async with self._session.request(request.method, target, headers=headers, data=body, allow_redirects=False) as answer:
            kept = CIMultiDict((name, value) for name, value in answer.headers.items() if name.lower() not in NOT_PASSED_ON)
            return Answer(answer.status, kept, await answer.read())

    def _note(self, path: str, ids: frozenset[str], at_s: float, *, wrong: bool, arrived: bool, status: int) -> None:
        self.passed.append(Passed(path, ids, at_s, monotonic() - at_s, wrong, arrived, status))


def ids_of(body: bytes) -> frozenset[str]:
    """The ids of the events in a body, as its client names them."""
    try:
        told: Any = json.loads(gzip.decompress(body) if body.startswith(GZIP) else body)
    except (ValueError, OSError, EOFError):
        return frozenset()
    if not isinstance(told, dict):
        return frozenset()
    events = told.get("batch") or told.get("data") or [told]
    found = [event.get("messageId") or event.get("eid") for event in events if isinstance(event, dict)]
    return frozenset(filter(None, found))


def _padded(body: bytes) -> bytes:
    """The same JSON, in more bytes than a request may have."""
    if body.startswith(GZIP):
        return gzip.compress(_padded(gzip.decompress(body)))
    return b" " * PADDING_BYTES + body


def _damaged(body: bytes) -> bytes:
    """Compressed, and broken off."""
    whole = body if body.startswith(GZIP) else gzip.compress(body)
    return whole[: len(whole) // 2]


async def _in_pieces(body: bytes) -> AsyncIterator[bytes]:
    half = len(body) // 2
    yield body[:half]
    await asyncio.sleep(SLOW_S)
    yield body[half:]


def _reset_connection(request: web.Request) -> None:
    """End the client's connection with a reset, as a crash or a firewall does."""
    assert request.transport is not None
    end = request.transport.get_extra_info("socket")
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()
