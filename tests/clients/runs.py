"""All runs of some clients at once: each client on six ways, each way with its own fault, one collector behind them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import ClientSession

from streamer.settings import Settings
from tests.clients import pages, programs
from tests.clients.outcomes import Client, Outcome, Told, run_name
from tests.clients.shop_log import ids_by_user
from tests.clients.way import Fault, Way

Outcomes = Mapping[Client, "Sequence[Outcome] | BaseException"]  # the exception says why a client's runs did not end


async def of_programs(clients: Sequence[Client], collector: str, settings: Settings) -> Outcomes:
    """How it went for clients that are programs."""
    async with _ways(clients, collector) as ways:
        told = await asyncio.gather(*(programs.send(client, ways[client]) for client in clients), return_exceptions=True)
        return await _outcomes(ways, dict(zip(clients, told, strict=True)), settings)


async def of_pages(clients: Sequence[Client], collector: str, settings: Settings, site: str) -> Outcomes:
    """How it went for clients that are pages."""
    async with _ways(clients, collector) as ways, pages.browser() as browser:

        async def all_ways(client: Client) -> Mapping[str, Told]:
            told = await asyncio.gather(*(pages.send(browser, site, client, way) for way in ways[client]))
            return {run_name(client, way.fault): one for way, one in zip(ways[client], told, strict=True)}

        told = await asyncio.gather(*map(all_ways, clients), return_exceptions=True)
        return await _outcomes(ways, dict(zip(clients, told, strict=True)), settings)


async def _outcomes(
    ways: Mapping[Client, Sequence[Way]], told: Mapping[Client, Mapping[str, Told] | BaseException], settings: Settings
) -> Outcomes:
    logged = await ids_by_user(settings)

    def of(client: Client, way: Way) -> Outcome:
        said, run = told[client], run_name(client, way.fault)
        assert not isinstance(said, BaseException)
        return Outcome(client, way.fault, said[run], way.passed, logged.get(run, Counter()))

    return {client: said if isinstance(said, BaseException) else [of(client, way) for way in ways[client]] for client, said in told.items()}


@asynccontextmanager
async def _ways(clients: Sequence[Client], collector: str) -> AsyncGenerator[Mapping[Client, Sequence[Way]]]:
    async with ClientSession(auto_decompress=False) as session, AsyncExitStack() as stack:
        ways = {client: [Way(collector, fault, session) for fault in Fault] for client in clients}
        for way in (way for some in ways.values() for way in some):
            await stack.enter_async_context(way.open())
        yield ways
