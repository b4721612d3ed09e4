"""*Deliveries*: who gets changes by HTTP, how far each is, what failed last, the newest attempts, and what was given up."""

from __future__ import annotations

from functools import partial
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from streamer.page.reading import reading_of, worst
from streamer.page.sources import PageSources
from streamer.page.view import PageView, ViewFacts, ViewQuestion
from streamer.webhooks.records import DeliveryLine
from streamer.webhooks.subscription import SHARES, Subscription
from streamer.webhooks.watch import DeliveryLag

SHOWN: Final = 100  # of attempts, of what was given up, and of subscriptions


class SubscriptionRow(NamedTuple):
    """A subscription; ``lag`` is None where Kafka does not say, ``failure`` where nothing failed lately."""

    subscription: Subscription
    host: str
    share: float
    lag: DeliveryLag | None
    failure: DeliveryLine | None
    dead: int


def view(sources: PageSources) -> PageView:
    """The subscriptions, and below them the attempts of all or of one."""
    return PageView("deliveries", "/deliveries", partial(_show, sources), live_seconds=2.0, is_in_menu=True)


async def _show(sources: PageSources, asked: ViewQuestion) -> ViewFacts:
    watch, history = sources.subscriptions, sources.deliveries
    asked_for = asked.query.get("subscription", "")
    chosen = asked_for if asked_for in watch.subscriptions else ""
    failures, dead = history.last_failures(), history.dead_counts()
    return {
        "rows": [_row(one, watch.lags.get(name), failures.get(name), dead[name]) for name, one in watch.subscriptions.items()][:SHOWN],
        "all": len(watch.subscriptions),
        "chosen": chosen,
        "attempts": history.attempts(chosen)[:SHOWN],
        "given_up": history.dead(chosen)[:SHOWN],
        "is_read": watch.is_ready,
        "reading": worst(reading_of(is_ready=watch.is_ready, is_failing=watch.is_failing), history.reading),
    }


def _row(one: Subscription, lag: DeliveryLag | None, failure: DeliveryLine | None, dead: int) -> SubscriptionRow:
    return SubscriptionRow(one, _host(one.url), one.wants.sample / SHARES, lag, failure, dead)


def _host(url: str) -> str:
    """Where deliveries go to, without the path and the query of the address, which are a secret at many receivers."""
    try:
        return urlsplit(url).hostname or "—"
    except ValueError:
        return "—"
