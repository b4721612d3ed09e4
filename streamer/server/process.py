"""The life of a server for readers: checked, connected, listening, and ended within its ten seconds."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from time import time
from typing import Final

import structlog
from aiohttp import web
from structlog.typing import FilteringBoundLogger

from streamer.deployment.connecting import CLOSE_SECONDS, check_store
from streamer.deployment.listening import Place, listening
from streamer.deployment.past import PastCustomers
from streamer.errors import SettingsError
from streamer.flow.catalog import Plans
from streamer.flow.committed import CommittedCustomers
from streamer.previews.past_members_aside import PastMembersAside
from streamer.settings import Settings
from streamer.stopping import Stopping, at_most, run_until_asked
from streamer.stores.base import Store
from streamer.telemetry.server_metrics import ServerMetrics
from streamer.transports.kafka.end_watch import EndWatch
from streamer.web.bounded_server import BACKLOG, BoundedServer, connections_allowed
from streamer.web.file_watch import FileWatch

from .change_stream import ChangeStreams
from .customer_answers import NO_PASTS, Ages, CustomerAnswers, LogEndsSeen, Pasts
from .errors import NO_HTTP
from .feed import Feed
from .limits import LIMITS, ServerLimits
from .member_answers import MemberAnswers
from .page_door import MakePage, PageParts
from .pages import ServerPages
from .past_member_answers import FindPastMembers, PastMemberAnswers
from .server import Answers, ReaderServer
from .tokens import Tokens, load_tokens

SHUTDOWN_SECONDS: Final = 2.0  # for requests that are being answered

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.server")


async def run_server(
    settings: Settings, stopping: Stopping, *, share_port: bool = False, limits: ServerLimits = LIMITS, page: MakePage | None = None
) -> None:
    """Listen until ``stopping`` begins; ``page`` makes what people see at the paths that are not of the API. SettingsError where something
    is not as it must be; a start that is interrupted is given up."""
    await run_until_asked(_work(settings, stopping, limits, page, share_port=share_port), stopping)


async def _work(settings: Settings, stopping: Stopping, limits: ServerLimits, page: MakePage | None, *, share_port: bool) -> None:
    tokens, metrics, store = load_tokens(settings), ServerMetrics(), settings.open_store()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(at_most, CLOSE_SECONDS, store.close())
        await check_store(settings, store)
        ends = EndWatch(settings)
        feed = Feed(settings, metrics)
        streams = ChangeStreams(settings, feed, metrics, limits.streams)
        plans = Plans(store, settings.rules, compile_by=asyncio.to_thread)
        pasts = PastCustomers.over(settings, store, plans)
        stack.push_async_callback(lambda: at_most(CLOSE_SECONDS, pasts.stop()))
        answers = answers_over(settings, store, ends, pasts=pasts, plans=plans)
        shown = None if page is None else page(PageParts(settings, store, answers, ends, feed, now_ms))
        server = ReaderServer(answers, streams, tokens, metrics, limits, shown)
        if shown is not None:
            stack.callback(asyncio.create_task(shown.run()).cancel)
        for work in (ends.run(), feed.run(), _watch_tokens(settings, server, metrics).run()):
            stack.callback(asyncio.create_task(work).cancel)
        bounded = BoundedServer(
            server.handle,
            connections_allowed(limits.connections),
            metrics.turned_away.inc,
            idle_seconds=limits.idle_seconds,
            header_bytes=limits.header_bytes,
            no_http=NO_HTTP,
        )
        pages = ServerPages(server, store, ends, feed, lambda: bounded.open)
        inner = web.Server(pages.handle)
        await stack.enter_async_context(listening(inner, Place(settings.web_host, settings.serve_web_port, "STREAMER_SERVE_WEB_PORT")))
        stopping.left = lambda: ["requests"] if server.in_hand else []
        place = Place(settings.serve_host, settings.serve_port, "STREAMER_SERVE_PORT", share_port=share_port, backlog=BACKLOG)
        await stack.enter_async_context(listening(bounded, place, shutdown_seconds=SHUTDOWN_SECONDS))
        if shown is not None:
            stack.callback(shown.close)
        stack.callback(feed.close)  # or those who read changes would hold up the end
        gc.freeze()  # what was loaded stays; walking over it again and again made readers wait for tens of milliseconds
        _say_it_listens(settings, tokens)
        pages.is_listening = True
        await asyncio.get_running_loop().create_future()  # until it is cancelled


def now_ms() -> int:
    """The clock: UTC milliseconds."""
    return int(time() * 1_000)


def answers_over(
    settings: Settings,
    store: Store,
    ends: LogEndsSeen,
    now_ms: Callable[[], int] = now_ms,
    pasts: Pasts = NO_PASTS,
    plans: Plans | None = None,
    find: FindPastMembers | None = None,
) -> Answers:
    """What may be asked of the state in a store, and of the past, if ``pasts`` are given. ``find`` says who was in a segment, in a process
    of its own where nothing else is given."""
    rules = settings.rules
    committed = CommittedCustomers(store, rules, plans or Plans(store, rules, compile_by=asyncio.to_thread))
    ages = Ages(rules.log_generation, ends, now_ms)
    customers = CustomerAnswers(committed, ages, rules.shards, settings.tick, now_ms, pasts)
    members = MemberAnswers(store, committed, ages, rules.shards, rules.log_generation)

    async def reached_ms() -> int:
        return min((view.log_time_ms for view in await committed.views() if view.body is not None), default=0)

    past_members = PastMemberAnswers(find or PastMembersAside(settings), rules.log_generation, reached_ms)
    return Answers(committed, customers, members, past_members, ages, rules.shards)


def _watch_tokens(settings: Settings, server: ReaderServer, metrics: ServerMetrics) -> FileWatch:
    def read() -> None:
        try:
            tokens = load_tokens(settings)
        except SettingsError as error:
            metrics.tokens_refused.inc()
            log.error("tokens not changed", action="tokens", why=str(error))
        else:
            server.use_tokens(tokens)
            log.info("tokens read", action="tokens", tokens=[token.name for token in tokens.all])

    watch = FileWatch(settings.serve_tokens, read)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, watch.look_now)
    return watch


def _say_it_listens(settings: Settings, tokens: Tokens) -> None:
    names = [token.name for token in tokens.all]
    log.info("listening", action="serve", host=settings.serve_host, port=settings.serve_port, tokens=names)
    if tokens.is_open:
        log.warning("no token is needed: whoever is on this machine may read customers; see STREAMER_SERVE_TOKENS", action="serve")
