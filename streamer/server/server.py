"""Requests of readers: who may ask, what is asked, and the answer. No request ends in an unhandled error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final, assert_never

import structlog
from aiohttp import web
from structlog.typing import FilteringBoundLogger

from streamer.errors import HaltError, StoreError, place_of
from streamer.flow.committed import CommittedCustomers
from streamer.telemetry.server_metrics import ServerMetrics
from streamer.web.bounded_server import SERVER
from streamer.web.loopback import names_loopback
from streamer.wire import shard_of

from .answers import PastMembersAnswer
from .change_stream import ChangeStreams, StreamWish, no_stream
from .customer_answers import Ages, CustomerAnswers
from .errors import AnswerError, error_response, json_response
from .feed import ChangeFilter
from .limits import WAIT_LOOK_SECONDS, WAIT_SECONDS, ServerLimits
from .member_answers import MemberAnswers
from .openapi import OPENAPI
from .page_door import PageDoor
from .parameters import (
    LogPlace,
    Query,
    check_names,
    customer_of,
    limit_of,
    min_position_of,
    moment_of,
    question_of,
    segment_of,
    segments_of,
    stream_position_of,
    text_of,
    wish_of,
)
from .past_member_answers import PastMemberAnswers
from .routes import ApiRoute, Match, find_route, is_of_api
from .tokens import Tokens

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.server")

OTHER: Final = "other"  # the label of a path that is none of ours
PAGE: Final = "page"  # of all that people see
SAFE_HEADERS: Final = {"Server": SERVER, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Answers:
    """What may be asked of the committed state."""

    def __init__(
        self,
        committed: CommittedCustomers,
        customers: CustomerAnswers,
        members: MemberAnswers,
        past_members: PastMemberAnswers,
        ages: Ages,
        shards: int,
    ) -> None:
        self.committed = committed
        self.customers = customers
        self.members = members
        self.past_members = past_members
        self.ages = ages
        self.shards = shards


class ReaderServer:
    """Answers requests. ``use_tokens`` changes the tokens from one request to the next."""

    def __init__(
        self,
        answers: Answers,
        streams: ChangeStreams,
        tokens: Tokens,
        metrics: ServerMetrics,
        limits: ServerLimits,
        page: PageDoor | None = None,
    ) -> None:
        self.metrics = metrics
        self.tokens = tokens
        self.in_hand = 0
        self._answers = answers
        self._streams = streams
        self._limits = limits
        self._page = page
        self.use_tokens(tokens)

    def use_tokens(self, tokens: Tokens) -> None:
        """From now on these."""
        self.tokens = tokens
        self.metrics.tokens.set(len(tokens.all))
        self._streams.look_at_tokens()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer to any request."""
        began = monotonic()
        path = request.raw_path.partition("?")[0]
        match, page = find_route(path), None if is_of_api(path) else self._page
        label = match.route.template if match is not None else OTHER if page is None else PAGE
        try:
            response = await (self._admit(request, match) if page is None else self._show(request, page))
        except AnswerError as error:
            self.metrics.errors.labels(error.body.code).inc()
            is_stream = match is not None and match.route.operation == "changes"
            response = no_stream(error, request.headers.get("Accept", "")) if is_stream else error_response(error)
        except (ConnectionError, asyncio.CancelledError):  # whoever asked is gone
            raise
        except Exception as error:  # an error of ours
            log.error("request failed", action="serve", error=type(error).__name__, where=place_of(error))
            self.metrics.errors.labels("internal").inc()
            response = error_response(AnswerError("internal", "an error of the server's own; it is in its log"))
        if not response.prepared:
            for name, text in SAFE_HEADERS.items():
                response.headers.setdefault(name, text)
        self.metrics.requests.labels(label, response.status).inc()
        self.metrics.answer.labels(label).observe(monotonic() - began)
        return response

    async def _show(self, request: web.BaseRequest, page: PageDoor) -> web.StreamResponse:
        """What people see. The page asks for tokens by itself."""
        self._check_host(request)
        return await page.handle(request, lambda: self.tokens)

    async def _admit(self, request: web.BaseRequest, match: Match | None) -> web.StreamResponse:
        """Answer where there is a path and whoever asks may; errors of the store as errors of an answer."""
        self._check_host(request)
        if match is None:
            raise AnswerError("not_found", "no such path here; GET /v1/openapi.json describes them")
        self._check_token(request, match.route)
        if request.method != match.route.method:
            raise AnswerError("method_not_allowed", f"expected {match.route.method}")
        check_names(request.query, match.route.query)
        if self.in_hand >= self._limits.requests:
            raise AnswerError("overloaded", "more is asked at the same time than is answered; come back")
        self.in_hand += 1
        try:
            return await self._answer(request, match)
        except StoreError:
            raise AnswerError("store_away", "the store does not answer at the moment; come back") from None
        except HaltError as error:
            log.error("state not readable", action="serve", why=str(error))
            raise AnswerError("unreadable", "what the store has of this cannot be read; the operator finds in the log what to do") from None
        finally:
            self.in_hand -= 1

    def _check_host(self, request: web.BaseRequest) -> None:
        if self.tokens.is_open and not names_loopback(request.headers.get("Host", "")):
            said = "without tokens this machine alone is answered, by the name localhost or its address"
            raise AnswerError("host_not_allowed", said, "header.Host")

    def _check_token(self, request: web.BaseRequest, route: ApiRoute) -> None:
        if self.tokens.is_open or route.role is None:
            return
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise AnswerError("missing_token", "expected Authorization: Bearer and a token", "header.Authorization")
        token = self.tokens.find(secret.strip())
        if token is None:
            raise AnswerError("unknown_token", "this token is not known here", "header.Authorization")
        if route.role not in token.roles:
            raise AnswerError("role_missing", f"this token has not the role {route.role}", "header.Authorization")

    def _permission(self, request: web.BaseRequest, route: ApiRoute) -> Callable[[], bool]:
        """Whether a token that was good when the request began is so still. It costs nothing while the tokens are the same."""
        checked = self.tokens

        def holds() -> bool:
            nonlocal checked
            if checked is not self.tokens:
                try:
                    self._check_token(request, route)
                except AnswerError:
                    return False
                checked = self.tokens
            return True

        return holds

    async def _answer(self, request: web.BaseRequest, match: Match) -> web.StreamResponse:
        match match.route.operation:
            case "customer":
                return await self._customer(request, customer_of(match.variable))
            case "memberships":
                return json_response(await self._answers.customers.many(await question_of(request, self._limits)))
            case "segments":
                return json_response(await self._answers.members.segments())
            case "members":
                segment, cursor = segment_of(match.variable), text_of(request.query, "cursor")
                return json_response(await self._answers.members.members(segment, cursor, limit_of(request.query)))
            case "past_members":
                return json_response(await self._past_members(request.query, segment_of(match.variable)))
            case "changes":
                return await self._changes(request, match.route)
            case "openapi":
                return json_response(OPENAPI)
            case _:
                assert_never(match.route.operation)

    async def _past_members(self, query: Query, segment: str) -> PastMembersAnswer:
        at_ms = moment_of(query)
        if at_ms is None:
            raise AnswerError("bad_request", "expected a moment such as 2026-01-31T12:00:00Z", "query.at")
        return await self._answers.past_members.page(segment, at_ms, text_of(query, "cursor"), limit_of(query))

    async def _changes(self, request: web.BaseRequest, route: ApiRoute) -> web.StreamResponse:
        names, since = segments_of(request.query), stream_position_of(request, self._answers.shards)
        self.in_hand -= 1  # a stream is counted by itself
        try:
            wanted = ChangeFilter(None if names is None else frozenset(names))
            return await self._streams.serve(request, StreamWish(wanted, since, self._permission(request, route)))
        finally:
            self.in_hand += 1

    async def _customer(self, request: web.BaseRequest, customer: str) -> web.StreamResponse:
        wish = wish_of(request.query)
        place = min_position_of(request.query, shard_of(customer, self._answers.shards))
        if place is not None:
            await self._come_to(place)
        answer, mark = await self._answers.customers.one(customer, wish)
        if wish.explain or wish.at_ms is not None:  # it tells of this very moment, or costs as much to find out that it is the same
            return json_response(answer)
        etag = f'W/"{mark}"'
        if etag in [text.strip() for text in request.headers.get("If-None-Match", "").split(",")]:
            return web.Response(status=304, headers={"ETag": etag})
        return json_response(answer, headers={"ETag": etag})

    async def _come_to(self, place: LogPlace) -> None:
        """Return when a record has been applied; AnswerError where it is not within ``WAIT_SECONDS``."""
        until = monotonic() + WAIT_SECONDS
        while True:
            view = await self._answers.committed.view(place.shard)
            if view.position.offset > place.offset:
                return
            if monotonic() >= until:
                said = f"shard {place.shard} has applied what lies below {view.position.offset}; come back"
                raise AnswerError("not_yet", said, "query.min_position", lag_records=self._answers.ages.lag_records(view))
            await asyncio.sleep(WAIT_LOOK_SECONDS)
