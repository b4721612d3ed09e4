"""The collector's answers to requests: preflights, settings of SDKs, and events.

On aiohttp's low-level server, as there is little to route: paths are names in a table. No request ends in an unhandled error.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from contextlib import suppress
from time import monotonic, time
from typing import Final

import structlog
from aiohttp import web
from structlog.typing import FilteringBoundLogger

from streamer.errors import NotWrittenError, place_of
from streamer.imports.requests import HistoryTopic, RequestImporter
from streamer.message_links import REPORT_PATH
from streamer.settings import Settings
from streamer.telemetry.collector_metrics import CollectorMetrics
from streamer.transports.kafka.event_writer import Records
from streamer.web.bounded_server import SERVER

from .answers import RequestError, empty_response, error_response, json_response, pixel_response
from .bodies import read_body
from .client_facts import FactReader
from .cors import Origins, add_cors, preflight
from .credentials import key_of
from .history import HistoryIntake, says_import
from .intake import Delivery, Intake
from .keys import Keys, WriteKey
from .limits import CollectorLimits
from .message_door import MESSAGE_PATHS, MessageDoor
from .room import Hold, RecordSink, Room
from .routes import FORGOTTEN, ROUTES, RUDDERSTACK_SETTINGS, SEGMENT_SETTINGS, Route
from .settings_answers import own_url, rudderstack_settings, segment_settings
from .snowplow_app import app_id_of

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.collector")

ALIVE: Final = b'{"status":"alive"}'
OTHER: Final = "other"  # the label of a path that is none of ours
READ_HEADERS: Final = ("content-type", "user-agent")  # by adapters, besides those of CloudEvents


class Collector:
    """Answers requests. ``use_keys`` changes the keys from one request to the next."""

    def __init__(
        self,
        settings: Settings,
        sink: RecordSink,
        keys: Keys,
        metrics: CollectorMetrics,
        limits: CollectorLimits,
        history: HistoryTopic,
    ) -> None:
        self.room = Room(sink, limits)
        self.metrics = metrics
        self.keys = keys
        self.origins = Origins(keys)
        self._settings = settings
        self._limits = limits
        self._intake = Intake(sink, settings.shards, self.room, limits, metrics)
        importer = RequestImporter(history, sink, settings.shards, settings.placeholder_ids)
        self._history = HistoryIntake(importer, self.room, limits, metrics)
        self._facts = FactReader(settings)
        self._messages = MessageDoor(settings.message_links, sink, Records(settings.shards), self.room)
        self._prefix = settings.collect_prefix
        self.use_keys(keys)

    def use_keys(self, keys: Keys) -> None:
        """From now on these."""
        self.keys, self.origins = keys, Origins(keys)
        self.metrics.keys.set(len(keys.all))

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer to any request."""
        began = monotonic()
        path = request.raw_path.partition("?")[0].removeprefix(self._prefix)
        route = ROUTES.get(path) if request.raw_path.startswith(self._prefix) else None
        try:
            response = await self._answer(request, path, route)
        except RequestError as error:
            self.metrics.errors.labels(error.code).inc()
            response = error_response(error) if route is None else error_response(error, route.too_large_status)
        except ConnectionError:  # whoever asked is gone
            raise
        except Exception as error:  # an error of ours: said, and the client comes back
            log.error("request failed", action="collect", error=type(error).__name__, where=place_of(error))
            self.metrics.errors.labels("internal").inc()
            response = error_response(RequestError("internal", "an error of the collector's own; it is in its log"))
        add_cors(request.headers.get("Origin", ""), response.headers, self.origins)
        response.headers["Server"] = SERVER
        self.metrics.answered(OTHER if route is None else route.name, response.status, monotonic() - began)
        return response

    async def _answer(self, request: web.BaseRequest, path: str, route: Route | None) -> web.Response:
        if request.method == "OPTIONS":
            return preflight(request, self.origins)
        if route is None and path in MESSAGE_PATHS:
            facts = self._facts.read(request.remote or "", request.headers, of_customer=True)
            return await self._messages.answer(request, path, int(time() * 1_000), is_dropped=facts.is_dropped)
        if path == REPORT_PATH:
            return await self._take_report(request)
        if route is None:
            return self._answer_other(request, path)
        if request.method != route.method:
            raise RequestError("method_not_allowed", f"expected {route.method}")
        self.room.check()
        hold = Hold(self.room)
        try:
            return await self._take(request, route, hold)
        except NotWrittenError:
            raise RequestError("kafka_away", "Kafka did not acknowledge every event in time; send all of it again") from None
        finally:
            hold.release()

    async def _take_report(self, request: web.BaseRequest) -> web.Response:
        if request.method != "POST":
            raise RequestError("method_not_allowed", "expected POST")
        self.room.check()
        hold = Hold(self.room)
        try:
            if "Expect" in request.headers:
                await _go_on(request)
            body = await read_body(request, self._limits, hold.take) if request.body_exists else b""
            return await self._messages.report(body, int(time() * 1_000))
        finally:
            hold.release()

    async def _take(self, request: web.BaseRequest, route: Route, hold: Hold) -> web.Response:
        received_ms = int(time() * 1_000)
        query: Mapping[str, str] = request.query if "?" in request.raw_path else {}
        if "Expect" in request.headers:
            await _go_on(request)
        body = await read_body(request, self._limits, hold.take) if request.body_exists else b""
        key = self._key(request, route, query, body)
        origin = request.headers.get("Origin", "")
        if key is None or key.is_public:
            self.origins.check(origin, key)
        is_history = route.is_history or says_import(route, body)
        if is_history and key is not None and key.is_public:
            raise RequestError("import_not_allowed", "history needs a server key: a browser's may say only what happens now")
        of_customer = route.of_customer or (bool(origin) if key is None else key.is_public)
        facts = self._facts.read(request.remote or "", request.headers, of_customer=of_customer)
        if facts.is_dropped:
            self.metrics.opted_out.inc()
            return _in_form(route, json_response(b'{"success":true,"accepted":0}'))
        headers = _adapter_headers(route, request.headers)
        is_strict = query.get("strict") == "1"
        intake = self._history if is_history else self._intake
        return _in_form(route, await intake.take(Delivery(route, body, received_ms, key, facts, query, headers, is_strict)))

    def _key(self, request: web.BaseRequest, route: Route, query: Mapping[str, str], body: bytes) -> WriteKey | None:
        if route.format_name == "snowplow" and (found := self.keys.of_app(app_id_of(query, body))) is not None:
            return found
        return key_of(self.keys, request.headers, query, body)

    def _answer_other(self, request: web.BaseRequest, path: str) -> web.Response:
        """Everything besides events."""
        if path in FORGOTTEN:
            return json_response(b'{"success":true}')
        if request.method == "GET":
            if path == "/livez":
                return json_response(ALIVE)
            if path in RUDDERSTACK_SETTINGS:
                return self._rudderstack_settings(request)
            if path.startswith(SEGMENT_SETTINGS[0]) and path.endswith(SEGMENT_SETTINGS[1]):
                return self._segment_settings(request, path.removeprefix(SEGMENT_SETTINGS[0]).removesuffix(SEGMENT_SETTINGS[1]))
        raise RequestError("not_found", "no such path here; see STREAMER_COLLECT_PREFIX")

    def _segment_settings(self, request: web.BaseRequest, text: str) -> web.Response:
        key_of(self.keys, {}, {}, b"", in_path=text)
        return segment_settings(text, *own_url(self._settings.collect_url, request.scheme, request.host), self._prefix)

    def _rudderstack_settings(self, request: web.BaseRequest) -> web.Response:
        key = key_of(self.keys, request.headers, request.query, b"")
        return rudderstack_settings(request.query.get("writeKey", ""), "open" if key is None else key.name)


async def _go_on(request: web.BaseRequest) -> None:
    """Tell a client that waits for it before it sends its body, as curl does for larger ones."""
    if request.headers["Expect"].lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0


def _adapter_headers(route: Route, headers: Mapping[str, str]) -> dict[str, str]:
    """What adapters may read of the headers, names in lower case; RudderStack's anonymous id decoded."""
    found = {name: text for name in READ_HEADERS if (text := headers.get(name)) is not None}
    if route.format_name == "cloudevents":
        found |= {name.lower(): text for name, text in headers.items() if name[:3].lower() == "ce-"}
    if (packed := headers.get("AnonymousId")) is not None:
        with suppress(binascii.Error, ValueError):  # an id that nobody can read is none
            found["anonymousid"] = base64.b64decode(packed, validate=True).decode()
    return found


def _in_form(route: Route, response: web.Response) -> web.Response:
    """The answer in the form that the client of a path expects. Errors stay as they are: no client reads them as anything else."""
    if response.status != 200 or route.form == "json":
        return response
    return pixel_response() if route.form == "pixel" else empty_response()
