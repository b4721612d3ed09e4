"""What a preview of a deployment asks before it begins."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager

import pytest

from streamer.examples import ModelSpec
from streamer.flow.catalog import Plans
from streamer.flow.rules import Rules
from streamer.language.definitions import Definitions, parse_definitions
from streamer.previews import deployment
from streamer.segments.plan.plan import Plan
from streamer.settings import Settings, load_settings
from streamer.stores.base import Store
from streamer.transports.kafka.log_ends import LogEnds
from tests.unit.flow.persons import Persons

WITH_A_MODEL = parse_definitions(
    {"models": {"odd": {"kind": "unusual"}}, "segments": {"strange": {"for": "a test", "when": 'score("odd") > 0.5'}}}
)


def never_compiled(definitions: Definitions, rules: Rules) -> Plan:
    """Only what holds before any definitions."""
    assert not definitions.segments, "20,000 segments take 15 s, in which a server answers nobody"
    return Plan(definitions, lateness_ms=rules.lateness_ms)


@pytest.fixture
async def shop(monkeypatch: pytest.MonkeyPatch) -> Persons:
    """A deployment of one shard under these definitions, in which nothing can be compiled any more."""
    shop = Persons(WITH_A_MODEL, 1)
    shop.write("A", userId="ada")
    await shop.settle()

    @asynccontextmanager
    async def store_of(_settings: Settings) -> AsyncGenerator[Store]:
        yield shop.stores[0]

    async def read_log_ends(_settings: Settings, shards: Iterable[int], _since_ms: int | None = None) -> dict[int, LogEnds]:
        return {shard: LogEnds(10, 410) for shard in shards}

    monkeypatch.setattr(deployment, "store_of", store_of)
    monkeypatch.setattr(deployment, "read_log_ends", read_log_ends)
    monkeypatch.setattr("streamer.flow.catalog.compile_plan", never_compiled)
    return shop


@pytest.mark.usefixtures("shop")
async def test_how_much_fits_is_told_by_the_length_of_the_logs_alone() -> None:
    """Servers ask it on their own loop before they begin a process."""
    assert await deployment.fitting_share(load_settings(shards=1), 100) == 0.25
    assert await deployment.fitting_share(load_settings(shards=1), 400) == 1.0


async def test_definitions_in_force_are_read_without_a_plan(shop: Persons) -> None:
    """Which models go on is said by the definitions themselves."""
    view = await deployment.customers_of(load_settings(shards=1), shop.stores[0]).view(0)
    assert view.body is not None
    found = await Plans(shop.stores[0], Rules(shards=1)).definitions(view.body.digest, 0)
    assert found.models == (ModelSpec("odd", "unusual"),)
