"""One attempt: a signed request to an address that was checked, and what came of it. Nothing that an endpoint does raises here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Final, NamedTuple

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    ServerDisconnectedError,
    TCPConnector,
)
from yarl import URL

from streamer import __version__
from streamer.errors import SettingsError

from .addresses import AddressRefusedError, Guard, GuardedResolver, Lookup
from .schedule import AttemptVerdict, retry_after_ms, verdict_of
from .signatures import Signatory

ATTEMPT_SECONDS: Final = 15.0
CONNECT_SECONDS: Final = 5.0
ANSWER_BYTES_MAX: Final = 65_536  # read of an answer: enough that the connection may be used again
EXCERPT_BYTES: Final = 256  # kept of it
KEEP_SECONDS: Final = 30.0  # that a connection waits for the next delivery
CONNECTIONS: Final = 1_000
CONTENT_TYPE: Final = "application/cloudevents+json; charset=UTF-8"


class WebhookRequest(NamedTuple):
    """What goes out: to which URL, under which id, and the bytes."""

    url: str
    webhook_id: str
    body: bytes


class WebhookAttempt(NamedTuple):
    """What came of an attempt. ``status`` is None where there was no answer, and ``problem`` is a code then. ``later_ms``: how long the
    endpoint asks to be left alone."""

    verdict: AttemptVerdict
    status: int | None
    problem: str
    milliseconds: int
    later_ms: int | None = None
    excerpt: bytes = b""


class WebhookSender:
    """Sends to whatever the guard allows. Use ``sending`` to make one."""

    def __init__(self, guard: Guard, sessions: dict[str, ClientSession], now_ms: Callable[[], int]) -> None:
        self.guard = guard
        self._sessions = sessions  # by scheme, as the guard asks for it
        self._now_ms = now_ms

    async def post(self, request: WebhookRequest, signatory: Signatory) -> WebhookAttempt:
        """Send it once, signed as of now."""
        begin = monotonic()
        try:
            url = self.guard.check_url(request.url)
            try:
                return await self._post(url, request, signatory, begin)
            except ServerDisconnectedError:  # as when it closed a connection that was kept: once more, on a new one
                return await self._post(url, request, signatory, begin)
        except SettingsError:
            problem = "refused_address"
        except (ClientError, OSError, ValueError) as error:
            problem = problem_of(error)
        return WebhookAttempt("failed", None, problem, _since(begin))

    async def _post(self, url: URL, request: WebhookRequest, signatory: Signatory, begin: float) -> WebhookAttempt:
        headers = signatory.headers(request.webhook_id, self._now_ms(), request.body.decode())
        async with self._sessions[url.scheme].post(url, data=request.body, headers=headers, allow_redirects=False) as answer:
            excerpt = await _read(answer)
            later_ms = retry_after_ms(answer.headers, self._now_ms())
            return WebhookAttempt(verdict_of(answer.status), answer.status, "", _since(begin), later_ms, excerpt)


@asynccontextmanager
async def sending(guard: Guard, now_ms: Callable[[], int], lookup: Lookup | None = None) -> AsyncGenerator[WebhookSender]:
    """A sender, its connections closed at the end. Neither proxies nor credentials of the environment are used, and no cookies."""
    resolvers = {scheme: GuardedResolver(guard, scheme, lookup) for scheme in ("https", "http")}
    sessions = {scheme: _session(resolver) for scheme, resolver in resolvers.items()}
    try:
        yield WebhookSender(guard, sessions, now_ms)
    finally:
        for session in sessions.values():
            await session.close()
        for resolver in resolvers.values():
            await resolver.close()


def _session(resolver: GuardedResolver) -> ClientSession:
    connector = TCPConnector(resolver=resolver, use_dns_cache=False, limit=CONNECTIONS, keepalive_timeout=KEEP_SECONDS)
    return ClientSession(
        connector=connector,
        timeout=ClientTimeout(total=ATTEMPT_SECONDS, sock_connect=CONNECT_SECONDS),
        headers={"Content-Type": CONTENT_TYPE, "User-Agent": f"streamer/{__version__}", "Accept-Encoding": "identity"},
        trust_env=False,
        auto_decompress=False,
        cookie_jar=DummyCookieJar(),
    )


async def _read(answer: ClientResponse) -> bytes:
    """The beginning of an answer. Of one that is longer than we read the connection is closed, and the rest never comes."""
    found = bytearray()
    async for part in answer.content.iter_chunked(8_192):
        found += part
        if len(found) >= ANSWER_BYTES_MAX:
            answer.close()
            break
    return bytes(found[:EXCERPT_BYTES])


def problem_of(error: Exception) -> str:
    """A code for why there was no answer. Refused addresses and unknown names come wrapped by the client."""
    cause = error.os_error if isinstance(error, ClientConnectorError) else error
    if isinstance(cause, AddressRefusedError):
        return "refused_address"
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return "timeout"
    if isinstance(error, ClientConnectorCertificateError):
        return "certificate"
    return "no_connection" if isinstance(error, ClientConnectorError) else "no_answer"


def _since(begin: float) -> int:
    return int((monotonic() - begin) * 1_000)
