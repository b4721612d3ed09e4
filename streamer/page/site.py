"""Requests of people with a browser: who they are, what they look at, and the page. No request ends in an unhandled error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Final
from urllib.parse import quote, urlencode

import structlog
from aiohttp import web
from structlog.typing import FilteringBoundLogger

from streamer.errors import HaltError, StoreError, UnansweredError, place_of
from streamer.server.errors import AnswerError
from streamer.server.tokens import Tokens

from .downloads import send_file
from .files import StaticFile, static_files
from .forms import form_fields, local_path
from .languages import known_language, language_of
from .live import ChannelKey, LiveChannels
from .rendering import live_part, page_of
from .view import FoundView, PageView, SentForm, ViewDocument, ViewFacts, ViewFile, ViewOutcome, ViewQuestion, Views
from .visitors import PageVisitor, ProxyTrust, end_visit, is_own_form, keep_visit, visitor_of
from .wording import Wording, wording

LANGUAGE_COOKIE: Final = "streamer_language"
YEAR_SECONDS: Final = 365 * 86_400
VALUE_CHARS_MAX: Final = 2_000  # of a text in the query
RENDER_SECONDS: Final = 20.0  # at most, for what is live: whoever looks is told, and it is tried again
SAFE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Robots-Tag": "noindex",
}
FRAMED_POLICY: Final = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; frame-ancestors 'self'"
LIVE_PATH: Final = "/live"
STATIC_PATH: Final = "/static/"
TokensNow = Callable[[], Tokens]  # a file of them may be changed while somebody looks

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.page")


class PageSite:
    """Answers whatever is no path of the API. The server has already looked at the ``Host``."""

    def __init__(self, views: Views, proxy: ProxyTrust) -> None:
        self.live = LiveChannels()
        self.views = views
        self._proxy = proxy

    def use_proxy(self, proxy: ProxyTrust) -> None:
        """From now on believe this one."""
        self._proxy = proxy

    async def handle(self, request: web.BaseRequest, tokens: TokensNow) -> web.StreamResponse:
        """The answer to any request."""
        path = request.raw_path.partition("?")[0]
        if path.startswith(STATIC_PATH) and (file := static_files().get(path.removeprefix(STATIC_PATH))) is not None:
            return _static(request, file)
        visit = _Visit(request, path, visitor_of(request, tokens(), self._proxy))
        try:
            response = await self._answer(visit, tokens)
        except Exception as error:
            problem = _problem(error)
            if problem is None:
                raise
            response = self._error(visit, problem)
        if not response.prepared:
            for name, text in SAFE_HEADERS.items():
                response.headers.setdefault(name, text)
            visit.keep(response, is_safe=self._is_safe(request))
        return response

    async def _answer(self, visit: _Visit, tokens: TokensNow) -> web.StreamResponse:
        match visit.path:
            case "/login":
                return await self._log_in(visit, tokens())
            case "/logout":
                return await self._log_out(visit)
            case _ if visit.path.startswith(f"{LIVE_PATH}/"):
                return await self._live(visit, tokens)
            case _:
                return await self._view(visit)

    async def _view(self, visit: _Visit) -> web.StreamResponse:
        found = self._found(visit, visit.path)
        if visit.visitor.may(found.view.role):
            asked = ViewQuestion(found.variable, visit.query, visit.words)
            match visit.request.method:
                case "GET" | "HEAD":
                    shown = await found.view.show(asked)
                    if isinstance(shown, ViewFile):
                        if visit.request.method == "HEAD":
                            raise AnswerError("method_not_allowed", "expected GET")
                        return await send_file(visit.request, shown, SAFE_HEADERS)
                    if isinstance(shown, ViewDocument):
                        return _framed(shown)
                    return self._shown(visit, found.view, shown)
                case "POST" if found.view.act is not None:
                    return await self._act(visit, found.view, asked)
                case _:
                    raise AnswerError("method_not_allowed", "expected GET")
        if visit.visitor.roles:
            raise AnswerError("role_missing", f"this visit has not the role {found.view.role}")
        return _see_other(f"/login?{urlencode({'next': visit.request.path_qs})}")

    async def _act(self, visit: _Visit, view: PageView, asked: ViewQuestion) -> web.StreamResponse:
        assert view.act is not None, "the view takes forms"
        fields = await visit.own_form()
        if not visit.visitor.may(view.act_role):
            raise AnswerError("role_missing", f"this visit has not the role {view.act_role}")
        return self._shown(visit, view, await view.act(SentForm(asked, fields, visit.visitor)))

    def _shown(self, visit: _Visit, view: PageView, found: ViewFacts | ViewOutcome) -> web.Response:
        if not isinstance(found, ViewOutcome):
            return self._page(visit, view.name, found, view=view)
        if found.facts is None:
            return _see_other(found.to)
        return self._page(visit, view.name, found.facts, view=view, status=found.status)

    async def _live(self, visit: _Visit, tokens: TokensNow) -> web.StreamResponse:
        found = self._found(visit, visit.path.removeprefix(LIVE_PATH))
        view = found.view
        if not view.live_seconds:
            raise AnswerError("not_found", "nothing here is live")
        if not visit.visitor.may(view.role):
            raise AnswerError("role_missing", f"this visit has not the role {view.role}")
        asked = ViewQuestion(found.variable, visit.query, visit.words)

        async def render() -> str:
            try:
                async with asyncio.timeout(RENDER_SECONDS):
                    found = await view.show(asked)
                assert not isinstance(found, (ViewOutcome, ViewFile, ViewDocument)), "what is live leads nowhere else"
                return live_part(view.name, visit.words, self._frame(visit, view) | dict(found))
            except Exception as error:
                return live_part("error", visit.words, {"problem": _problem_of_rendering(error).body})

        key = ChannelKey(view.name, found.variable, tuple(sorted(visit.query.items())), visit.words.language)
        return await self.live.serve(
            visit.request, key, view.live_seconds, render, lambda: visitor_of(visit.request, tokens(), self._proxy).may(view.role)
        )

    async def _log_in(self, visit: _Visit, tokens: Tokens) -> web.StreamResponse:
        if visit.request.method == "GET":
            return self._page(visit, "login", {"next": local_path(visit.query.get("next", "")), "is_refused": False})
        fields = await visit.own_form()
        to, secret = local_path(fields.get("next", "")), fields.get("token", "").strip()
        if tokens.is_open or tokens.find(secret) is None:
            return self._page(visit, "login", {"next": to, "is_refused": True}, status=HTTPStatus.FORBIDDEN)
        response = _see_other(to)
        keep_visit(response, secret, is_safe=self._is_safe(visit.request))
        return response

    async def _log_out(self, visit: _Visit) -> web.StreamResponse:
        await visit.own_form()
        response = _see_other("/login")
        end_visit(response)
        return response

    def _found(self, visit: _Visit, path: str) -> FoundView:
        found = self.views.find(path)
        if found is None:
            raise AnswerError("not_found", "no such page")
        if len(visit.request.raw_path) > VALUE_CHARS_MAX * 4 or any(len(text) > VALUE_CHARS_MAX for text in visit.query.values()):
            raise AnswerError("bad_request", f"expected at most {VALUE_CHARS_MAX:,} characters in a text of the query", "query")
        return found

    def _page(
        self, visit: _Visit, template: str, facts: ViewFacts, *, view: PageView | None = None, status: int = HTTPStatus.OK
    ) -> web.Response:
        html = page_of(template, visit.words, self._frame(visit, view) | dict(facts))
        body = html.encode(errors="backslashreplace")
        return web.Response(body=body, status=status, content_type="text/html", charset="utf-8")

    def _frame(self, visit: _Visit, view: PageView | None) -> dict[str, object]:
        """What every template may show around its own facts."""
        live = f"{LIVE_PATH}{visit.request.path_qs}" if view is not None and view.live_seconds else ""
        return {
            "menu": [one for one in self.views.all if one.is_in_menu],
            "here": "" if view is None else view.name,
            "live_address": live,
            "visitor": visit.visitor,
            "form_key": visit.visitor.form_key,
            "same_in": {code: visit.address_in(code) for code in ("en", "uk", "ar", "fa")},
        }

    def _error(self, visit: _Visit, problem: AnswerError) -> web.Response:
        response = self._page(visit, "error", {"problem": problem.body}, status=problem.status)
        if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
            response.headers["Retry-After"] = "2"
        return response

    def _is_safe(self, request: web.BaseRequest) -> bool:
        """Whether the browser came by https, to us or to a trusted proxy."""
        return request.secure or (bool(self._proxy.name_of(request)) and request.headers.get("X-Forwarded-Proto") == "https")


class _Visit:
    """One request of a visitor, in the language that they want."""

    def __init__(self, request: web.BaseRequest, path: str, visitor: PageVisitor) -> None:
        self.request = request
        self.path = path
        self.visitor = visitor
        self.query = {name: request.query.getall(name)[0] for name in request.query if name != "lang"}
        self._chosen = known_language(request.query.get("lang"))
        kept = known_language(request.cookies.get(LANGUAGE_COOKIE))
        self.words: Wording = wording(self._chosen or kept or language_of(request.headers.get("Accept-Language", "")))

    def address_in(self, language: str) -> str:
        """This page in another language."""
        return f"{quote(self.path, safe='/%')}?{urlencode({**self.query, 'lang': language})}"

    async def own_form(self) -> dict[str, str]:
        """What the visitor sends by a form of ours; AnswerError for anything else."""
        if self.request.method != "POST":
            raise AnswerError("method_not_allowed", "expected POST")
        fields = dict(await form_fields(self.request))
        if not is_own_form(self.request, self.visitor, fields.pop("form_key", "")):
            raise AnswerError("role_missing", "this form was not on a page that this browser was given, or is too old: load the page again")
        return fields

    def keep(self, response: web.StreamResponse, *, is_safe: bool) -> None:
        """Give the browser what it is to keep: the language, if one was chosen, and its cookie."""
        if self._chosen is not None:
            response.set_cookie(
                LANGUAGE_COOKIE, self._chosen, path="/", max_age=YEAR_SECONDS, httponly=True, samesite="Lax", secure=is_safe
            )
        if self.visitor.is_new and self.request.method == "GET":
            keep_visit(response, self.visitor.secret, is_safe=is_safe)


def _problem(error: Exception) -> AnswerError | None:
    """What a visitor is told of an error; None for one that says that they are gone."""
    match error:
        case AnswerError():
            return error
        case ConnectionError():
            return None
        case StoreError():
            return AnswerError("store_away", "the store does not answer at the moment")
        case UnansweredError():
            return AnswerError("kafka_away", "Kafka does not answer at the moment")
        case HaltError():
            log.error("state not readable", action="page", why=str(error))
            return AnswerError("unreadable", "what the store has of this cannot be read; the log of the server says what to do")
        case _:
            log.error("page failed", action="page", error=type(error).__name__, where=place_of(error))
            return AnswerError("internal", "an error of the server's own; it is in its log")


def _problem_of_rendering(error: Exception) -> AnswerError:
    """What whoever looks on is told. They are there: a connection that ended is one of the server's own."""
    match error:
        case TimeoutError():
            return AnswerError("overloaded", f"no answer within {RENDER_SECONDS:.0f} s; it is asked again")
        case ConnectionError():
            return AnswerError("store_away", "a connection of the server's own ended; it is asked again")
        case _:
            found = _problem(error)
            assert found is not None, "only an error of a connection has none"
            return found


def _framed(document: ViewDocument) -> web.Response:
    headers = {"Content-Security-Policy": FRAMED_POLICY}
    body = document.html.encode(errors="backslashreplace")
    return web.Response(body=body, content_type="text/html", charset="utf-8", headers=headers)


def _see_other(to: str) -> web.Response:
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": local_path(to)})


def _static(request: web.BaseRequest, found: StaticFile) -> web.Response:
    is_dated = request.query.get("v") == found.version
    headers = {"Cache-Control": "public, max-age=31536000, immutable" if is_dated else "no-cache", "ETag": f'"{found.version}"'}
    return web.Response(body=found.body, content_type=found.type, charset="utf-8", headers=headers)


__all__ = ["FRAMED_POLICY", "SAFE_HEADERS", "PageSite"]
