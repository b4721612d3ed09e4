"""All subscriptions at work in one process: begun, ended and begun anew as their topic says."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from structlog.typing import FilteringBoundLogger

from streamer.errors import SettingsError, place_of
from streamer.settings import Settings
from streamer.telemetry.webhook_metrics import WebhookMetrics

from .delivery import DeliveryClock, Endpoint, Notebook
from .feed import ChangeFeed
from .journal import DeliveryJournal
from .sending import WebhookSender
from .signatures import signatory_of
from .subscriber import Subscriber
from .subscription import Subscription
from .subscriptions import follow_subscriptions, write_subscription

AGAIN_SECONDS: Final = 5.0  # after something kept a subscription from its work
SECRETS_SECONDS: Final = 10.0  # between two looks at the secrets: a changed file needs no restart

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.webhooks")


class _AtWork:
    """One subscription as it was begun, and its task."""

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        self.subscriber: Subscriber | None = None
        self.problem = "not begun yet"
        self.task: asyncio.Task[None] | None = None


class SharedTools(NamedTuple):
    """What all subscriptions of a process share."""

    sender: WebhookSender
    feed: ChangeFeed
    journal: DeliveryJournal
    producer: AIOKafkaProducer
    clock: DeliveryClock
    metrics: WebhookMetrics


class Deliverer:
    """Follows the topic of subscriptions, until cancelled."""

    def __init__(self, settings: Settings, tools: SharedTools) -> None:
        self.problem = "the subscriptions are not read yet"
        self._settings = settings
        self._tools = tools
        self._at_work: dict[str, _AtWork] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until cancelled; then each subscription ends in order."""
        try:
            while True:
                try:
                    async for subscriptions in follow_subscriptions(self._settings):
                        self.problem = ""
                        await self._apply(subscriptions)
                except KafkaError as error:
                    self.problem = f"the subscriptions cannot be read: {type(error).__name__}"
                    log.error("subscriptions cannot be read", action="webhooks", why=type(error).__name__)
                await asyncio.sleep(AGAIN_SECONDS)
        finally:
            await self._end([*self._at_work])

    def problems(self) -> list[str]:
        """What keeps which subscription from its work."""
        found = [problem for problem in (self.problem, self._tools.feed.problem) if problem]
        for name, one in self._at_work.items():
            if said := one.problem or (one.subscriber.why_not_ready if one.subscriber is not None else ""):
                found.append(f"{name}: {said}")
        return found

    async def _apply(self, subscriptions: Mapping[str, Subscription]) -> None:
        """Let those be at work that are active now, as they are now."""
        active = {name: one for name, one in subscriptions.items() if one.status == "active"}
        await self._end([name for name, one in self._at_work.items() if active.get(name) != one.subscription])
        for name in active.keys() - self._at_work.keys():
            self._at_work[name] = one = _AtWork(active[name])
            one.task = asyncio.create_task(self._keep_at_work(one))
            log.info("delivers", action="webhooks", subscription=name)

    async def _end(self, names: list[str]) -> None:
        tasks = [one.task for name in names if (one := self._at_work.pop(name)).task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep_at_work(self, one: _AtWork) -> None:
        """Work on a subscription, and begin again where something kept it from its work."""
        gauge = self._tools.metrics.problem.labels(one.subscription.name)
        while True:
            try:
                gauge.set(0)
                await self._work(one)
            except SettingsError as error:
                one.problem = str(error)
            except KafkaError as error:
                one.problem = f"its group cannot be joined: {type(error).__name__}"
            except Exception as error:
                one.problem = f"a fault: {type(error).__name__}"
                log.error("fault", action="webhooks", why=type(error).__name__, place=place_of(error))
            gauge.set(1)
            log.error("does not deliver", action="webhooks", subscription=one.subscription.name, why=one.problem)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _work(self, one: _AtWork) -> None:
        subscription, tools = one.subscription, self._tools
        tools.sender.guard.check_url(subscription.url)

        def disable(why: str) -> None:
            self._disable(subscription, why)

        notebook = Notebook(tools.journal.attempted, tools.journal.buried, disable, tools.metrics)
        endpoint = Endpoint(subscription, tools.sender, signatory_of(subscription.secrets), tools.clock, notebook)
        one.subscriber = Subscriber(self._settings, subscription, endpoint, tools.feed, tools.metrics)
        one.problem = ""
        refreshing = asyncio.create_task(self._keep_secrets(one, endpoint))
        try:
            await one.subscriber.run()
        finally:
            refreshing.cancel()
            one.subscriber = None

    async def _keep_secrets(self, one: _AtWork, endpoint: Endpoint) -> None:
        """Sign with the secrets as they are now. Where they cannot be read any more, the last ones go on."""
        while True:
            await asyncio.sleep(SECRETS_SECONDS)
            with suppress(SettingsError):
                endpoint.signatory = signatory_of(one.subscription.secrets)

    def _disable(self, subscription: Subscription, why: str) -> None:
        """Say in the topic that a subscription is disabled; from there this process hears it as all others do."""
        task = asyncio.create_task(self._write_disabled(subscription, why))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write_disabled(self, subscription: Subscription, why: str) -> None:
        one = self._at_work.get(subscription.name)
        if one is None or one.subscription != subscription:
            return
        log.error("disabled", action="webhooks", subscription=subscription.name, why=why)
        disabled = msgspec.structs.replace(subscription, status="disabled", why=why)
        try:
            await write_subscription(self._settings, self._tools.producer, subscription.name, disabled)
        except KafkaError as error:
            log.error("cannot say that it is disabled", action="webhooks", why=type(error).__name__)
