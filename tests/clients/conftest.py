"""A collector before a log, and what the clients of shops made of it: each is sent through once, and many tests look at how it went."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamer.local.apache_kafka import ApacheKafka, ExternalKafka
from streamer.local.children import free_port
from streamer.local.mock_kafka import MockKafka
from streamer.settings import Settings
from tests.clients import pages, runs
from tests.clients.door import Door
from tests.clients.installed import NotInstalledError, chromium, node, node_clients, python_clients
from tests.clients.outcomes import PAGES, PROGRAMS
from tests.clients.shop_log import make_topics
from tests.lacking import missing

SHARDS = 3
LIMIT_S = 90  # a client waits for other processes; without a bound one that hangs would hold the whole run


@pytest.fixture(scope="session")
def shop_log(broker: ApacheKafka | ExternalKafka | MockKafka) -> Settings:
    """A log of its own for all tests here, which tell their events apart by the customers."""
    ours = {"kafka": broker.bootstrap, "topic_prefix": f"clients-{uuid.uuid4().hex[:8]}", "shards": SHARDS, "create": True}
    settings = Settings.model_construct().model_copy(update=ours)
    asyncio.run(make_topics(settings, broker))
    return settings


@pytest.fixture(scope="session")
def site_port() -> int:
    """Where the shop's pages are: another origin than the collector's."""
    return free_port()


@pytest.fixture(scope="session")
def door(shop_log: Settings, site_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """The collector, with a key for browsers and one for servers."""
    folder = tmp_path_factory.mktemp("collector")
    found = Door(shop_log, folder, [f"http://127.0.0.1:{site_port}"])
    yield found
    assert found.stop() == 0, found.child.log_tail(40)


@pytest.fixture(scope="session")
def of_programs(door: Door, shop_log: Settings) -> runs.Outcomes:
    """How it went for clients in Python and Node."""
    needs(node, node_clients, python_clients)
    return asyncio.run(asyncio.wait_for(runs.of_programs(PROGRAMS, door.address, shop_log), LIMIT_S))


@pytest.fixture(scope="session")
def of_pages(door: Door, shop_log: Settings, site_port: int) -> runs.Outcomes:
    """How it went for clients in a browser."""
    needs_browsers()

    async def on_a_site() -> runs.Outcomes:
        async with pages.shop_site(site_port) as site:
            return await runs.of_pages(PAGES, door.address, shop_log, site)

    return asyncio.run(asyncio.wait_for(on_a_site(), LIMIT_S))


def needs_browsers() -> None:
    """Skip or fail a test where no page with a client can be opened."""
    needs(node_clients, chromium)


def needs(*lookups: Callable[[], Path]) -> None:
    """Skip or fail a test where one of these is not installed."""
    for look in lookups:
        try:
            look()
        except NotInstalledError as error:
            missing(f"needs clients of shops: {error}")
