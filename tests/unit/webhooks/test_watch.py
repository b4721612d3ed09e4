"""Subscriptions as somebody sees them who only looks: before there are any, while Kafka is away, and how far each is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

import pytest
from aiokafka.errors import KafkaConnectionError

from streamer.errors import SettingsError
from streamer.settings import load_settings
from streamer.webhooks import watch
from streamer.webhooks.subscription import Start, Subscription
from streamer.webhooks.watch import DeliveryLag, SubscriptionWatch

SHOP = Subscription(name="shop", id="0a0b0c0d", url="https://shop.example/in", secrets=("env:SECRET",), start=Start())
NOW_MS = 1_790_000_000_000


class KafkaOfTest:
    """In the place of Kafka: no topic at first, then one whose reading fails, then one with a subscription."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, looked: SubscriptionWatch) -> None:
        self.looked = looked
        self.seen_when_missing: list[bool] = []
        self.failures: list[str] = []
        self.looks = 0
        self.done = asyncio.Event()
        monkeypatch.setattr(watch, "AGAIN_SECONDS", 0.0)
        monkeypatch.setattr(watch, "MEASURE_SECONDS", 0.0)
        monkeypatch.setattr(watch, "check_topic", self._check)
        monkeypatch.setattr(watch, "follow_subscriptions", self._follow)
        monkeypatch.setattr(watch, "positions_of", self._positions)

    async def _check(self, _settings: object, topic: str) -> None:
        self.looks += 1
        if self.looks == 1:
            self.failures.append(f"no {topic}")
            raise SettingsError("there is no topic")

    async def _follow(self, _settings: object) -> AsyncGenerator[dict[str, Subscription]]:
        if self.looks == 2:
            self.seen_when_missing.append(self.looked.is_ready and not self.looked.subscriptions)
            self.failures.append("no broker")
            raise KafkaConnectionError
        yield {SHOP.name: SHOP}
        await asyncio.Event().wait()

    async def _positions(self, _settings: object, subscription: Subscription) -> dict[int, int | None]:
        if "no position" not in self.failures:
            self.failures.append("no position")
            raise KafkaConnectionError
        asyncio.get_running_loop().call_soon(self.done.set)  # once it has been noted
        return {0: 5, 1: None} if subscription is SHOP else {}


async def test_subscriptions_are_watched_through_what_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who has the page open for days sees all of it."""
    looked = SubscriptionWatch(load_settings(), lambda: NOW_MS)
    kafka = KafkaOfTest(monkeypatch, looked)
    running = asyncio.create_task(looked.run())
    async with asyncio.timeout(20):
        await kafka.done.wait()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert kafka.failures == ["no subscriptions", "no broker", "no position"]
    assert kafka.seen_when_missing == [True]
    assert looked.subscriptions == {"shop": SHOP}
    assert looked.lags == {"shop": DeliveryLag({0: 5, 1: None}, NOW_MS)}
    looked.take({})
    assert not looked.lags, "what is removed has no lag"


def test_the_lag_of_shards_that_were_not_read_is_not_taken_for_none() -> None:
    """A subscription that has never read is not up to date."""
    assert DeliveryLag({0: None, 1: None}, NOW_MS).records is None
    assert (DeliveryLag({0: 3, 1: None}, NOW_MS).records, DeliveryLag({0: 3, 1: None}, NOW_MS).is_bounded) == (3, True)
    assert (DeliveryLag({0: 3, 1: 4}, NOW_MS).records, DeliveryLag({0: 3, 1: 4}, NOW_MS).is_bounded) == (7, False)
