"""One attempt against endpoints that misbehave: it ends in time, reads little, follows nothing, and goes only where it was checked."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from ipaddress import ip_network
from time import monotonic, time

import pytest
from aiohttp import web
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from standardwebhooks import Webhook, WebhookVerificationError

from streamer.webhooks import sending
from streamer.webhooks.addresses import Guard
from streamer.webhooks.sending import ANSWER_BYTES_MAX, EXCERPT_BYTES, WebhookRequest, WebhookSender
from streamer.webhooks.signatures import Signatory, new_secret

BODY = '{"subject": "c-1", "text": "née 🙂"}'.encode()
NEW, OLD = new_secret(), new_secret()
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Bench:
    """An endpoint on loopback, which stands for a public address here, and a sender."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self.requests: list[web.BaseRequest] = []
        self.bodies: list[bytes] = []
        self.connections: set[object] = set()
        self.looked_up: list[str] = []
        self.addresses: list[Sequence[str]] = []  # what the next look-ups answer; then 127.0.0.1
        self.port = 0
        self._stack = stack

    async def serve(self, handler: Handler) -> WebhookSender:
        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            self.requests.append(request)
            self.bodies.append(await request.read())
            self.connections.add(request.transport)
            return await handler(request)

        runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        guard = Guard([ip_network("127.0.0.0/8")])
        return await self._stack.enter_async_context(sending.sending(guard, lambda: int(time() * 1_000), self._lookup))

    async def post(self, sender: WebhookSender, host: str = "shop.example") -> sending.WebhookAttempt:
        return await sender.post(WebhookRequest(f"http://{host}:{self.port}/hooks", "1-0-7-0-abc", BODY), Signatory([NEW, OLD]))

    async def _lookup(self, host: str, _port: int) -> Sequence[str]:
        self.looked_up.append(host)
        return self.addresses.pop(0) if self.addresses else ["127.0.0.1"]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """One endpoint and one sender, closed afterwards."""
    async with AsyncExitStack() as stack:
        yield Bench(stack)


async def answer_well(_request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(status=204)


async def test_the_bytes_arrive_as_they_are_signed_with_both_secrets(bench: Bench) -> None:
    """While a secret is changed either one verifies; a third one does not, and no other byte may be there."""
    attempt = await bench.post(await bench.serve(answer_well))
    assert (attempt.verdict, attempt.status) == ("delivered", 204)
    headers = dict(bench.requests[0].headers)
    assert bench.bodies == [BODY]
    assert headers["webhook-id"] == "1-0-7-0-abc"
    for secret in (NEW, OLD):
        Webhook(secret).verify(BODY, headers)
    for secret, body in ((new_secret(), BODY), (NEW, BODY + b" ")):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, headers, json_parse=False)


async def test_the_cloudevents_sdk_reads_what_arrives(bench: Bench) -> None:
    """A receiver need not know that we are at the other end: form, attributes and data are those of the standard."""
    sender = await bench.serve(answer_well)
    change = {"specversion": "1.0", "id": "1-0-7-0", "source": "/streamer", "type": "segment.entered", "subject": "c-1"}
    body = json.dumps({**change, "time": "2026-02-23T22:58:55.387Z", "datacontenttype": "application/json", "data": {"sequence": 1}})
    await sender.post(WebhookRequest(f"http://shop.example:{bench.port}/hooks", "1-0-7-0-abc", body.encode()), Signatory([NEW]))
    event = from_http_event(HTTPMessage(dict(bench.requests[0].headers), bench.bodies[0]))
    assert {name: event.get_attributes()[name] for name in change} == change
    assert event.get_time() == datetime(2026, 2, 23, 22, 58, 55, 387_000, tzinfo=UTC)
    assert event.get_data() == {"sequence": 1}


async def test_a_redirect_is_a_failure_and_is_not_followed(bench: Bench) -> None:
    """It would be a way inside, and a body posted to where nobody subscribed."""

    async def redirect(_request: web.BaseRequest) -> web.StreamResponse:
        raise web.HTTPTemporaryRedirect(f"http://127.0.0.1:{bench.port}/elsewhere")

    attempt = await bench.post(await bench.serve(redirect))
    assert (attempt.verdict, attempt.status) == ("failed", 307)
    assert [request.path for request in bench.requests] == ["/hooks"]


async def test_an_endpoint_that_hangs_costs_so_long_and_no_longer(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its answer, or in the middle of it."""
    monkeypatch.setattr(sending, "ATTEMPT_SECONDS", 0.3)

    async def hang(_request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    async def drip(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(1_000):
            await response.write(b"x")
            await asyncio.sleep(0.05)
        return response

    for handler in (hang, drip):
        sender = await bench.serve(handler)
        begin = monotonic()
        attempt = await bench.post(sender)
        assert (attempt.verdict, attempt.problem) == ("failed", "timeout")
        assert monotonic() - begin < 5


async def test_of_an_endless_answer_only_the_beginning_is_read(bench: Bench) -> None:
    """An endpoint could fill our memory otherwise. What is kept of it is a few hundred bytes."""
    sent = 0

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while sent < 1_000 * ANSWER_BYTES_MAX:
            await response.write(b"x" * 8_192)
            sent += 8_192
        return response

    attempt = await bench.post(await bench.serve(endless))
    assert (attempt.verdict, attempt.status, attempt.excerpt) == ("delivered", 200, b"x" * EXCERPT_BYTES)
    assert ANSWER_BYTES_MAX <= sent < 1_000 * ANSWER_BYTES_MAX


async def test_a_packed_answer_is_not_unpacked(bench: Bench) -> None:
    """A few kilobytes could become gigabytes."""
    bomb = gzip.compress(b"0" * 50_000_000)

    async def packed(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    attempt = await bench.post(await bench.serve(packed))
    assert (attempt.verdict, attempt.excerpt) == ("delivered", bomb[:EXCERPT_BYTES])


async def test_a_name_that_turns_inward_gets_no_connection(bench: Bench) -> None:
    """The first look-up answers what was checked, the second an internal address: nothing is connected to, not even tried."""
    bench.addresses = [["127.0.0.1"], ["10.0.0.1"], ["169.254.169.254", "127.0.0.1"]]

    async def close_after(_request: web.BaseRequest) -> web.StreamResponse:
        response = web.Response(status=204)
        response.force_close()
        return response

    sender = await bench.serve(close_after)
    found = [await bench.post(sender) for _ in range(4)]
    assert [attempt.problem for attempt in found] == ["", "refused_address", "refused_address", ""]
    assert bench.looked_up == ["shop.example"] * 4
    assert len(bench.requests) == 2


async def test_a_kept_connection_needs_no_look_up_and_stays_where_it_was_checked(bench: Bench) -> None:
    """Whatever the name says meanwhile, the connection goes to the address that was checked when it was made."""
    bench.addresses = [["127.0.0.1"], ["10.0.0.1"]]
    sender = await bench.serve(answer_well)
    assert [(await bench.post(sender)).verdict for _ in range(3)] == ["delivered"] * 3
    assert bench.looked_up == ["shop.example"]
    assert len(bench.connections) == 1


async def test_a_connection_that_the_endpoint_has_closed_is_no_failure(bench: Bench) -> None:
    """Servers close idle connections when they like; the next delivery would wait five seconds for it."""

    async def close_quietly(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        if len(bench.requests) == 2:
            request.transport.close()
        return web.Response(status=204)

    sender = await bench.serve(close_quietly)
    assert [(await bench.post(sender)).verdict for _ in range(2)] == ["delivered"] * 2
    assert len(bench.requests) == 3


async def test_neither_proxies_nor_cookies_nor_credentials_of_the_environment_are_used(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy would look names up itself; a cookie of one endpoint is nobody else's."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def cookie(_request: web.BaseRequest) -> web.StreamResponse:
        response = web.Response(status=200)
        response.set_cookie("session", "1")
        return response

    sender = await bench.serve(cookie)
    assert [(await bench.post(sender)).verdict for _ in range(2)] == ["delivered"] * 2
    assert "Cookie" not in bench.requests[1].headers
    assert "Authorization" not in bench.requests[1].headers


async def test_an_internal_address_in_the_url_is_refused_without_a_look_up(bench: Bench) -> None:
    """The client would take it without asking anybody."""
    sender = await bench.serve(answer_well)
    for host in ("10.0.0.1", "[::1]", "169.254.169.254", "[::ffff:7f00:1]"):
        assert (await bench.post(sender, host)).problem == "refused_address"
    assert bench.looked_up == []


async def test_what_keeps_an_endpoint_from_answering_has_a_code(bench: Bench) -> None:
    """It stands in the delivery log, where an address would say more than anybody should read."""
    sender = await bench.serve(answer_well)
    bench.port = 1  # where nobody listens
    assert (await bench.post(sender)).problem == "no_connection"
    bench.addresses = [[]]
    assert (await bench.post(sender)).problem == "no_connection"
