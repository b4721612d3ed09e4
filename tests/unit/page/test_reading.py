"""What cannot be read is not said to be still being read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import TopicAuthorizationFailedError

from streamer.page.assembly import PeoplePage
from streamer.page.reading import reading_of
from streamer.settings import load_settings
from streamer.transports.kafka import topic_tail
from streamer.transports.kafka.topic_tail import TopicTail
from tests.unit.flow.persons import segments

from .desk import looking

RULES = segments(seen='did("A")')
SAID, WAIT = "Kafka does not let this server read it", "still being read"


def test_what_fails_is_said_before_all_else() -> None:
    """What was read before may be old by now."""
    assert [reading_of(is_ready=ready, is_failing=failing) for ready, failing in ((False, False), (True, False), (True, True))] == [
        "reading",
        "ready",
        "unread",
    ]


FAILS: dict[str, Callable[[PeoplePage], object]] = {
    "/ledger": lambda page: page.sources.decisions._tail,  # pyright: ignore[reportPrivateUsage]
    "/messages": lambda page: page.sources.decisions._tail,  # pyright: ignore[reportPrivateUsage]
    "/dead-letters": lambda page: page.sources.letters._tail,  # pyright: ignore[reportPrivateUsage]
    "/sources": lambda page: page.sources.letters._tail,  # pyright: ignore[reportPrivateUsage]
    "/deliveries": lambda page: page.sources.deliveries._tail,  # pyright: ignore[reportPrivateUsage]
    "/": lambda page: page.sources.history._feed,  # pyright: ignore[reportPrivateUsage]
    "/segments": lambda page: page.sources.history._feed,  # pyright: ignore[reportPrivateUsage]
    "/segments/seen": lambda page: page.sources.history._feed,  # pyright: ignore[reportPrivateUsage]
    "/customers": lambda page: page.sources.history._feed,  # pyright: ignore[reportPrivateUsage]
    "/customers/ada": lambda page: page.sources.decisions._tail,  # pyright: ignore[reportPrivateUsage]
}


@pytest.mark.parametrize("path", FAILS)
async def test_every_view_says_that_its_topic_cannot_be_read(path: str) -> None:
    """Whoever waits for it would wait for ever."""
    async with looking(RULES) as desk:
        desk.shop.write("A", userId="ada")
        await desk.settle()
        assert SAID not in (await desk.look(path)).text
        reader: Any = FAILS[path](desk.page)
        reader.is_failing = True
        found = (await desk.look(path)).text
        assert SAID in found
        assert WAIT not in found


class Broker:
    """A consumer of a broker that lets nobody read before ``allows``."""

    allows = False

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    def assign(self, places: list[TopicPartition]) -> None: ...
    def seek(self, place: TopicPartition, offset: int) -> None: ...

    async def beginning_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, 0)

    end_offsets = beginning_offsets

    async def position(self, _place: TopicPartition) -> int:
        return 0

    async def getmany(self, *_places: TopicPartition, timeout_ms: int) -> dict[TopicPartition, list[SimpleNamespace]]:
        await asyncio.sleep(timeout_ms / 1_000_000)
        if not Broker.allows:
            raise TopicAuthorizationFailedError
        return {}


async def test_a_topic_that_may_not_be_read_is_failing_until_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator gives the right, and the page goes on by itself."""

    async def there(_self: object, _topic: str) -> bool:
        return True

    monkeypatch.setattr(topic_tail, "reader", lambda *_args, **_options: Broker())
    monkeypatch.setattr(topic_tail, "AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(TopicTail, "_exists", there)
    monkeypatch.setattr(Broker, "allows", False)
    tail = TopicTail(load_settings(shards=1), {"ledger": 1}, 10)
    task = asyncio.create_task(tail.run(lambda _record: None))
    async with asyncio.timeout(60):
        while not tail.is_failing:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0)
        assert not tail.is_ready
        monkeypatch.setattr(Broker, "allows", True)
        while tail.is_failing or not tail.is_ready:  # noqa: ASYNC110
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
