"""Messages to a program of the shop's own, over HTTP: rendered, signed as Standard Webhooks are, with an id that a repetition has too."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import aiohttp
import msgspec
from standardwebhooks import Webhook

from streamer.values import Json
from streamer.wire import is_customer

from . import Accepted, Attempt, Declined, Outgoing, TryLater, Unsure

TIMEOUT_SECONDS: Final = 15.0
RETRY_AFTER_SECONDS_MAX: Final = 3_600
COMES_BACK: Final = frozenset({408, 425, 429, 503})  # the endpoint says that it did not take it, and may later
BODY_TYPE: Final = "application/json"


class MessageBody(msgspec.Struct):
    """What is posted."""

    id: str
    type: str
    customer: str
    address: str
    message: str
    kind: str
    topic: str | None
    variant: str | None
    valid_until: str
    language: str
    direction: str
    subject: str
    text: str
    html: str
    unsubscribe_url: str
    facts: dict[str, Json]


class WebhookChannel:
    """Posts each message to ``url``, which is a setting of the operator's. ``now_ms`` gives UTC milliseconds."""

    drops_repeats = False

    def __init__(self, url: str, secret: str, now_ms: Callable[[], int], *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._url = url
        self._webhook = Webhook(secret)
        self._now_ms = now_ms
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._session: aiohttp.ClientSession | None = None

    def address(self, text: str) -> str | None:
        """Any name that a customer can have."""
        return text if is_customer(text) else None

    def domain(self, address: str) -> str:
        """Nothing is shared besides the channel's own rate."""
        del address
        return ""

    async def send(self, outgoing: Outgoing) -> Attempt:
        """Post it. 2xx: taken; 408, 425, 429 and 503: later; other 4xx and 3xx: never; other 5xx: nobody can tell."""
        body = body_of(outgoing)
        moment = datetime.fromtimestamp(self._now_ms() / 1_000, UTC)
        headers = {
            "content-type": BODY_TYPE,
            "webhook-id": outgoing.id,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": self._webhook.sign(outgoing.id, moment, body.decode()),
        }
        try:
            async with self._opened().post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
                return _attempt(answer.status, answer.headers.get("Retry-After", ""))
        except aiohttp.ClientConnectorError as error:  # nothing was sent
            return TryLater(f"no connection: {type(error).__name__}")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Unsure(type(error).__name__)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout, trust_env=False)
        return self._session


def body_of(outgoing: Outgoing) -> bytes:
    """What is posted for a message."""
    data, content = outgoing.decision.data, outgoing.content
    return msgspec.json.encode(
        MessageBody(
            id=outgoing.id,
            type="message",
            customer=outgoing.decision.customer,
            address=outgoing.address,
            message=data.message,
            kind=data.kind,
            topic=data.topic,
            variant=data.variant,
            valid_until=data.valid_until,
            language=content.language,
            direction=content.direction,
            subject=content.subject,
            text=content.text,
            html=content.html,
            unsubscribe_url=outgoing.unsubscribe_url,
            facts=data.facts,
        )
    )


def _attempt(status: int, retry_after: str) -> Attempt:
    detail = str(status)
    if 200 <= status < 300:
        return Accepted(detail)
    if status in COMES_BACK:
        seconds = int(retry_after) if retry_after.isdecimal() and len(retry_after) < 6 else 0
        return TryLater(detail, float(min(seconds, RETRY_AFTER_SECONDS_MAX)))
    return Declined(detail) if status < 500 else Unsure(detail)


__all__ = ["MessageBody", "WebhookChannel", "body_of"]
