"""Subscriptions and how far each is, as they are now: for somebody who shows them, and changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing
from itertools import islice
from typing import Final, NamedTuple

import structlog
from aiokafka.errors import KafkaError
from structlog.typing import FilteringBoundLogger

from streamer.errors import SettingsError
from streamer.settings import Settings
from streamer.transports.kafka.topics import check_topic
from streamer.wire import SUBSCRIPTIONS

from .administration import positions_of
from .subscription import Subscription
from .subscriptions import follow_subscriptions

AGAIN_SECONDS: Final = 10.0  # until a topic that was not there, or Kafka, is asked again
MEASURE_SECONDS: Final = 15.0
ASK_SECONDS: Final = 10.0  # for the position of one subscription
MEASURED_MAX: Final = 50  # subscriptions, the first by name: each costs two connections for a moment

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.webhooks")


class DeliveryLag(NamedTuple):
    """How many changes of each shard a subscription has not done, as of ``at_ms`` (UTC); None where its group has read nothing."""

    by_shard: Mapping[int, int | None]
    at_ms: int

    @property
    def records(self) -> int | None:
        """Of all shards that were read; None where none was."""
        known = [behind for behind in self.by_shard.values() if behind is not None]
        return sum(known) if known else None

    @property
    def is_bounded(self) -> bool:
        """Whether there are more, in shards where nothing was read yet."""
        return None in self.by_shard.values()


class SubscriptionWatch:
    """The newest of all subscriptions. ``is_ready``: what was there at the beginning has been read; ``is_failing``: Kafka
    refuses or does not answer at the moment."""

    def __init__(self, settings: Settings, now_ms: Callable[[], int]) -> None:
        self.is_ready = False
        self.is_failing = False
        self.subscriptions: Mapping[str, Subscription] = {}
        self.lags: dict[str, DeliveryLag] = {}
        self._settings = settings
        self._now_ms = now_ms

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._measure())

    def take(self, found: Mapping[str, Subscription]) -> None:
        """What holds now."""
        self.subscriptions = dict(sorted(found.items()))
        self.lags = {name: lag for name, lag in self.lags.items() if name in found}
        self.is_ready, self.is_failing = True, False

    async def _follow(self) -> None:
        while True:
            try:
                if await self._is_there():
                    async with aclosing(follow_subscriptions(self._settings)) as states:
                        async for found in states:
                            self.take(found)
                else:
                    self.take({})
            except (KafkaError, TimeoutError, OSError, SettingsError) as error:
                self.is_failing = True
                log.warning("subscriptions not read", action="watch", error=type(error).__name__)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _is_there(self) -> bool:
        """Whether webhooks were ever used here; their topics are made by those who use them."""
        try:
            await check_topic(self._settings, SUBSCRIPTIONS)
        except SettingsError:
            return False
        return True

    async def _measure(self) -> None:
        while True:
            for name, one in islice(list(self.subscriptions.items()), MEASURED_MAX):
                try:
                    async with asyncio.timeout(ASK_SECONDS):
                        self.lags[name] = DeliveryLag(await positions_of(self._settings, one), self._now_ms())
                except (KafkaError, TimeoutError, OSError) as error:
                    self.lags.pop(name, None)
                    log.warning("position not read", action="watch", subscription=name, error=type(error).__name__)
            self.lags = {name: lag for name, lag in self.lags.items() if name in self.subscriptions}
            await asyncio.sleep(MEASURE_SECONDS if self.subscriptions else 1.0)


__all__ = ["MEASURED_MAX", "DeliveryLag", "SubscriptionWatch"]
