"""Deliveries on a real broker: whoever is killed, each change arrives, in order for each customer, and repeats have the same id."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streamer.local.apache_kafka import ApacheKafka, ExternalKafka

from .hooks import Hooks, Receiver, crowd


@pytest.fixture
async def hooks(kafka: ApacheKafka | ExternalKafka, fresh_name: str, tmp_path: Path) -> AsyncIterator[Hooks]:
    """Topics of one test; its processes end with it."""
    made = Hooks(kafka, fresh_name, tmp_path)
    await made.prepare()
    yield made
    made.close()


async def test_whoever_is_killed_each_change_arrives_in_order_and_repeats_have_its_id(hooks: Hooks) -> None:
    """``kill -9`` under load, with an endpoint that refuses one in ten: no gap, no change before an earlier one of its customer."""
    draw = random.Random(5)

    async def moody(_path: str, _customer: str, _sequence: int) -> int:
        await asyncio.sleep(0.002)
        return 500 if draw.random() < 0.1 else 204

    async with Receiver(moody) as receiver:
        subscription = hooks.subscription(receiver.url)
        await hooks.subscribe(subscription)
        hooks.start()
        hooks.start()
        await hooks.write(crowd(1_500, 1))
        for victim in (0, 1, 2):
            before = len(receiver.arrivals)
            await hooks.until(lambda before=before: len(receiver.arrivals) > before + 100, "deliveries go on")
            hooks.children[victim].kill()
            hooks.start()
            await hooks.write(crowd(300, victim + 2))
        await hooks.until(lambda: receiver.delivered() == hooks.written(), "everything is delivered in order")
        await hooks.until_done(subscription)
        ids = {one.webhook_id: (one.customer, one.sequence) for one in receiver.arrivals}
        assert len(ids) == sum(map(len, hooks.written().values())), "a repeat has another id"
        again = Counter(one.webhook_id for one in receiver.arrivals if one.status == 204)
        assert max(again.values()) > 1, "no delivery was interrupted: nothing is proved"
        assert any(one.status == 500 for one in receiver.arrivals)
