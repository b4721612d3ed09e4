"""The page of a server, put together: what views show, and what is followed for them in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from aiohttp import web

from streamer.errors import SettingsError
from streamer.exports.aside import ExportsAside
from streamer.previews.cost_aside import CostsAside
from streamer.server.page_door import PageParts
from streamer.server.tokens import Tokens
from streamer.settings import Settings
from streamer.transports.kafka.customer_records import CustomerRecords
from streamer.transports.kafka.newest_records import NewestRecords
from streamer.webhooks.watch import SubscriptionWatch

from .alert_history import AlertHistory
from .change_history import ChangeHistory
from .customer_events import CustomerEvents
from .decision_history import DecisionHistory
from .delivery_history import DeliveryHistory
from .event_tail import EventTail
from .forecast import Forecasts
from .letter_history import LetterHistory
from .lift_history import LiftHistory, measured_aside
from .publishing import DraftPublisher
from .pulse import Pulse
from .site import PageSite
from .sources import PageSources
from .template_shelf import TemplateShelf
from .test_sends import TestSends
from .trial_run import TrialRuns
from .view import Views
from .views import all_views
from .visitors import ProxyTrust


class PeoplePage:
    """The page, and its work in the background."""

    def __init__(self, sources: PageSources, proxy: ProxyTrust) -> None:
        self.sources = sources
        self.site = PageSite(Views(all_views(sources)), proxy)

    async def handle(self, request: web.BaseRequest, tokens: Callable[[], Tokens]) -> web.StreamResponse:
        """The answer to a request."""
        return await self.site.handle(request, tokens)

    async def run(self) -> None:
        """Follow changes, decisions, dead letters, deliveries, alerts and the ends of logs, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.sources.history.run())
            group.create_task(self.sources.decisions.run())
            group.create_task(self.sources.letters.run())
            group.create_task(self.sources.deliveries.run())
            group.create_task(self.sources.subscriptions.run())
            group.create_task(self.sources.alerts.run())
            group.create_task(self.sources.pulse.run())
            group.create_task(self.sources.events.run())

    def close(self) -> None:
        """Have all who look end."""
        self.sources.forecasts.close()
        self.sources.lifts.close()
        self.sources.tail.close()
        self.site.live.close()


def page_over(parts: PageParts) -> PeoplePage:
    """The page of a server. SettingsError where the settings for a proxy do not fit."""
    settings = parts.settings
    templates = TemplateShelf(settings)
    sources = PageSources(
        settings,
        parts.store,
        parts.answers,
        parts.ends,
        ChangeHistory(settings, parts.feed),
        DecisionHistory(settings),
        LetterHistory(settings),
        DeliveryHistory(settings),
        SubscriptionWatch(settings, parts.now_ms),
        AlertHistory(settings),
        LiftHistory(partial(measured_aside, settings), parts.now_ms),
        Forecasts(parts.store, parts.answers.committed, settings.shards, parts.now_ms),
        CustomerEvents(CustomerRecords(settings)),
        Pulse(parts.ends, settings.shards),
        TrialRuns(settings),
        templates,
        TestSends(settings, parts.now_ms),
        EventTail(NewestRecords(settings)),
        ExportsAside(settings),
        CostsAside(settings),
        DraftPublisher(settings, parts.answers.committed.plans, templates),
        parts.now_ms,
    )
    return PeoplePage(sources, proxy_trust(settings))


def proxy_trust(settings: Settings) -> ProxyTrust:
    """Whom a proxy may name."""
    if not settings.serve_proxy_user:
        return ProxyTrust()
    if not settings.serve_proxies:
        raise SettingsError("STREAMER_SERVE_PROXIES: expected the addresses of the proxy whose STREAMER_SERVE_PROXY_USER is believed")
    if settings.serve_tokens is None:
        raise SettingsError("STREAMER_SERVE_PROXY_USER: without STREAMER_SERVE_TOKENS everybody on this machine may do everything")
    return ProxyTrust(settings.serve_proxies, settings.serve_proxy_user, frozenset(settings.serve_proxy_roles))


__all__ = ["PeoplePage", "page_over", "proxy_trust"]
