"""What readers of messages do with them, as events: unsubscribed, opened, clicked; and what providers report: bounced, complained. A
signed link or token says whose message it was, and no key is needed."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Final

import structlog
from aiohttp import web
from structlog.typing import FilteringBoundLogger

from streamer.errors import NotWrittenError
from streamer.events.event import Event
from streamer.language.message_events import BOUNCED, COMPLAINED
from streamer.message_links import CLICK_PATH, OPEN_PATH, PATHS, REPORT_PATH, UNSUBSCRIBE_PATH, LinkKeys, LinkOf, Purpose
from streamer.transports.kafka.event_writer import Records
from streamer.units import MINUTE_MS
from streamer.values import Json

from .answers import RequestError, json_response, pixel_response
from .reports import MessageReport, SnsQuestion, read_report
from .room import RecordSink, Room
from .unsubscribe_page import HEADERS, asking_page, broken_page, done_page, language_for

MESSAGE_PATHS: Final = frozenset(PATHS.values()) - {REPORT_PATH}  # those that readers come by
TOLD_MAX: Final = 10_000  # openings and clicks of a minute that are remembered, so that one link cannot fill the log

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.collector")

NOTHING: Final[Mapping[str, Json]] = MappingProxyType({})
OPENED: Final = "Message Opened"
CLICKED: Final = "Message Clicked"
UNSUBSCRIBED: Final = "Message Unsubscribed"


class MessageDoor:
    """Answers on the paths of links in messages."""

    def __init__(self, links: LinkKeys, sink: RecordSink, records: Records, room: Room) -> None:
        self._links = links
        self._sink = sink
        self._records = records
        self._room = room
        self._told: dict[str, None] = {}

    async def answer(self, request: web.BaseRequest, path: str, received_ms: int, *, is_dropped: bool) -> web.Response:
        """The answer to a request. ``is_dropped``: the reader's browser asks not to be followed, so no opening or click is told."""
        token = request.query.get("t", "")
        link = self._links.read(token)
        is_post = request.method == "POST"
        if request.method not in ("GET", "HEAD", "POST") or (is_post and path != UNSUBSCRIBE_PATH):
            raise RequestError("method_not_allowed", "expected GET")
        if path == UNSUBSCRIBE_PATH:
            language = language_for(request.headers.get("Accept-Language", ""))
            return await self._unsubscribe(_meant(link, "unsubscribe"), language, f"?t={token}", received_ms, is_post=is_post)
        counts = request.method == "GET" and not is_dropped
        if path == OPEN_PATH:
            await self._count(_meant(link, "open"), OPENED, received_ms, counts=counts)
            return pixel_response()
        assert path == CLICK_PATH
        clicked = _meant(link, "click")
        if clicked is None:
            return _page(broken_page(language_for(request.headers.get("Accept-Language", ""))), status=400)
        await self._count(clicked, CLICKED, received_ms, counts=counts)
        return web.Response(status=302, headers={"Location": clicked.target, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})

    async def report(self, body: bytes, received_ms: int) -> web.Response:
        """The answer to a report of a provider: 200 only when what it says is in the log."""
        try:
            found = await asyncio.to_thread(read_report, body, self._is_reported)  # a mail of many parts takes its time
        except (ValueError, LookupError, TypeError, RecursionError) as error:  # of the parser of mails, too
            raise RequestError("bad_report", f"{type(error).__name__}: neither a mail nor a notice of Amazon SES") from None
        if isinstance(found, SnsQuestion):
            log.warning("SNS asks whether it may report here; open the address to allow it", action="collect", url=found.url)
            return _accepted(0)
        link = None if found is None else _meant(self._links.read(found.token), "report")
        if found is None or link is None:
            return _accepted(0)
        await self._write(_reported(link, found, received_ms))
        return _accepted(1)

    def _is_reported(self, token: str) -> bool:
        return _meant(self._links.read(token), "report") is not None

    async def _unsubscribe(self, link: LinkOf | None, language: str, action: str, received_ms: int, *, is_post: bool) -> web.Response:
        """The page, or once the button or the mailbox has posted, the event: 200 only when it is in the log."""
        if link is None:
            return _page(broken_page(language), status=400)
        if not is_post:
            return _page(asking_page(language, action))
        await self._write(_event(link, UNSUBSCRIBED, f"{received_ms}", received_ms))
        return _page(done_page(language))

    async def _write(self, event: Event) -> None:
        self._room.check()
        try:
            await self._sink.write([self._records.of_event(event)])
        except NotWrittenError:
            raise RequestError("kafka_away", "Kafka did not acknowledge it in time; send it again") from None

    async def _count(self, link: LinkOf | None, name: str, received_ms: int, *, counts: bool) -> None:
        """Tell it, once a minute and link. The reader sees the picture or the page all the same where the log does not take it."""
        if link is None or not counts:
            return
        target = hashlib.blake2b(link.target.encode(), digest_size=6).hexdigest() if link.target else ""
        event = _event(link, name, f"{target}:{received_ms // MINUTE_MS}", received_ms)
        if event.message_id in self._told:
            return
        with suppress(NotWrittenError, RequestError):
            self._room.check()
            await self._sink.write([self._records.of_event(event)])
            self._told[event.message_id] = None
            if len(self._told) > TOLD_MAX:
                del self._told[next(iter(self._told))]


def _meant(link: LinkOf | None, purpose: Purpose) -> LinkOf | None:
    """A link for its own purpose alone: one to click must not unsubscribe."""
    return link if link is not None and link.purpose == purpose else None


def _reported(link: LinkOf, report: MessageReport, received_ms: int) -> Event:
    """Its id is the same whoever reports it: what is said twice counts once."""
    match report.kind:
        case "complained":
            return _event(link, COMPLAINED, "", received_ms)
        case "bounced":
            said: dict[str, Json] = {"permanent": report.permanent, **({"detail": report.detail} if report.detail else {})}
            return _event(link, BOUNCED, "permanent" if report.permanent else "for_now", received_ms, said)


def _accepted(events: int) -> web.Response:
    return json_response(b'{"success":true,"accepted":%d}' % events)


def _event(link: LinkOf, name: str, number: str, received_ms: int, said: Mapping[str, Json] = NOTHING) -> Event:
    about: dict[str, Json] = {"message": link.message, "key": link.key, "channel": link.channel, **said}
    more = {"topic": link.topic, "variant": link.variant, "url": link.target}
    return Event(
        event=name,
        message_id=f"in:{link.key}:{name.removeprefix('Message ').lower()}:{number}",
        user_id=link.customer,
        timestamp_ms=received_ms,
        properties={**about, **{key: text for key, text in more.items() if text}},
    )


def _page(html: str, status: int = 200) -> web.Response:
    return web.Response(text=html, status=status, content_type="text/html", charset="utf-8", headers=HEADERS)


__all__ = ["MESSAGE_PATHS", "MessageDoor"]
