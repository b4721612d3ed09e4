"""A shop's own program that takes messages over HTTP: what is known after each of its answers, and after none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from time import time

import pytest
from aiohttp import web
from standardwebhooks import Webhook

from streamer.local.children import free_port
from streamer.sender.channels import Accepted, Attempt, Declined, Outgoing, TryLater, Unsure
from streamer.sender.channels.webhook import RETRY_AFTER_SECONDS_MAX, WebhookChannel
from streamer.sender.content import MessageContent
from streamer.webhooks.signatures import new_secret
from tests.unit.sender.decisions import a_decision

SECRET = new_secret()
CONTENT = MessageContent("Привіт", "Ваш кошик", "<p>Ваш кошик</p>", "uk", "ltr")
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Endpoint:
    """The shop's program on loopback, and a channel to it whose clock is the machine's: signatures are checked against that."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self.requests: list[tuple[str, Mapping[str, str], str]] = []  # path, headers and body of each
        self._stack = stack

    async def serve(self, handler: Handler, timeout_seconds: float = 5.0) -> WebhookChannel:
        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            self.requests.append((request.path, request.headers, await request.text()))
            return await handler(request)

        runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return self.channel(runner.addresses[0][1], timeout_seconds)

    async def answer(self, status: int, **headers: str) -> Attempt:
        """What the channel makes of one answer."""

        async def handler(_: web.BaseRequest) -> web.StreamResponse:
            return web.Response(status=status, headers={name.replace("_", "-"): text for name, text in headers.items()})

        return await (await self.serve(handler)).send(an_outgoing())

    def channel(self, port: int, timeout_seconds: float = 5.0) -> WebhookChannel:
        made = WebhookChannel(f"http://127.0.0.1:{port}/messages", SECRET, now_ms, timeout_seconds=timeout_seconds)
        self._stack.push_async_callback(made.close)
        return made


def now_ms() -> int:
    return int(time() * 1_000)


def an_outgoing(number: int = 7) -> Outgoing:
    return Outgoing(a_decision(number), f"c-{number}", CONTENT, "https://shop.example/u")


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with AsyncExitStack() as stack:
        yield Endpoint(stack)


async def test_the_shop_gets_the_words_and_can_tell_who_wrote_them(endpoint: Endpoint) -> None:
    """Signed as Standard Webhooks are, with the key of the decision as its id: a repetition is known by it."""
    assert await endpoint.answer(204) == Accepted("204")
    ((path, headers, body),) = endpoint.requests
    assert path == "/messages"
    assert headers["webhook-id"] == f"{7:032x}"
    Webhook(SECRET).verify(body, dict(headers))
    found = json.loads(body)
    assert (found["id"], found["customer"], found["address"]) == (f"{7:032x}", "c-7", "c-7")
    assert (found["subject"], found["text"], found["html"]) == ("Привіт", "Ваш кошик", "<p>Ваш кошик</p>")
    assert found["unsubscribe_url"] == "https://shop.example/u"


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_every_2xx_means_that_the_shop_has_it(endpoint: Endpoint, status: int) -> None:
    """Programs answer with any of them."""
    assert await endpoint.answer(status) == Accepted(str(status))


@pytest.mark.parametrize("status", [400, 401, 404, 410, 422])
async def test_what_the_shop_refuses_is_not_tried_again(endpoint: Endpoint, status: int) -> None:
    """The same bytes would be refused each time."""
    assert await endpoint.answer(status) == Declined(str(status))


@pytest.mark.parametrize("status", [408, 425, 429, 503])
async def test_what_the_shop_could_not_take_now_is_tried_later(endpoint: Endpoint, status: int) -> None:
    """It says so itself, so the message surely did not arrive."""
    assert await endpoint.answer(status) == TryLater(str(status))


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("7", 7.0), ("99999", RETRY_AFTER_SECONDS_MAX), ("", 0.0), ("-3", 0.0), ("soon", 0.0), ("9" * 400, 0.0), ("١٢", 12.0)],
)
async def test_the_shop_says_after_how_long(endpoint: Endpoint, said: str, seconds: float) -> None:
    """Up to an hour; what is no number of seconds is left to the sender's own waits."""
    assert await endpoint.answer(429, Retry_After=said) == TryLater("429", seconds)


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_after_a_failure_of_the_shop_nobody_can_tell(endpoint: Endpoint, status: int) -> None:
    """It may have failed after it had stored the message: a marketing one must not be repeated."""
    assert await endpoint.answer(status) == Unsure(str(status))


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_followed_nowhere(endpoint: Endpoint, status: int) -> None:
    """The address is the operator's word; where another host sends us to nobody has allowed."""
    assert await endpoint.answer(status, Location="/elsewhere") == Declined(str(status))
    assert [path for path, _, _ in endpoint.requests] == ["/messages"]


async def test_after_no_answer_in_time_nobody_can_tell(endpoint: Endpoint) -> None:
    """The shop had the whole message, and was slow."""
    asked = asyncio.Event()

    async def handler(_: web.BaseRequest) -> web.StreamResponse:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    channel = await endpoint.serve(handler, timeout_seconds=0.2)
    assert isinstance(await channel.send(an_outgoing()), Unsure)
    assert asked.is_set()
    assert len(endpoint.requests) == 1


async def test_after_a_connection_that_breaks_nobody_can_tell(endpoint: Endpoint) -> None:
    """The message was there, and its answer was lost."""

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    channel = await endpoint.serve(handler)
    assert isinstance(await channel.send(an_outgoing()), Unsure)
    assert len(endpoint.requests) == 1, "the client repeats nothing by itself"


async def test_without_a_connection_it_surely_did_not_leave(endpoint: Endpoint) -> None:
    """So it is tried later, a marketing one too."""
    assert isinstance(await endpoint.channel(free_port()).send(an_outgoing()), TryLater)
