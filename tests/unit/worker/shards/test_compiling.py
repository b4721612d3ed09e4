"""Definitions are compiled beside the loop, once for all shards, and nothing in them stops a shard."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from threading import Event as Flag

import pytest

from streamer.errors import RefusedError
from streamer.flow import catalog as catalog_module
from streamer.flow.catalog import Plans
from streamer.flow.rules import Rules
from streamer.language.definitions import Definitions, parse_definitions
from streamer.segments.plan.plan import Plan
from streamer.stores.memory import MemoryStore
from streamer.wire import decode_control, definitions_control
from streamer.worker.shards.compiling import beside

RULES = Rules(shards=1)
ONE = parse_definitions({"segments": {"one": {"for": "x", "when": 'did("A")'}}})
CONTROL = decode_control(definitions_control(ONE.content(), ONE.digest, 1))


async def test_the_loop_goes_on_while_definitions_are_compiled() -> None:
    """A worker that sends no heartbeats for half a minute loses its shards, and the next one does too."""
    wanted = Flag()
    compiling = asyncio.create_task(beside(lambda: wanted.wait(10)))
    await asyncio.sleep(0)
    wanted.set()  # only a loop that runs comes to this
    assert await compiling is True
    assert gc.isenabled()


async def test_shards_that_come_to_the_same_record_compile_it_once() -> None:
    """Each compilation takes seconds and a hundred megabytes."""
    compiled: list[Plan] = []

    async def counted(work: Callable[[], Plan]) -> Plan:
        await asyncio.sleep(0)
        compiled.append(work())
        return compiled[-1]

    plans = Plans(MemoryStore(), RULES, compile_by=counted)
    found = await asyncio.gather(plans.read(CONTROL), plans.read(CONTROL))
    assert [plan for plan, _ in found] == [compiled[0]] * 2
    assert len(compiled) == 1


async def test_definitions_on_which_the_compiler_fails_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of ours costs the new definitions, and not the shard; its text may quote what is in them, so only its class is told."""
    plans = Plans(MemoryStore(), RULES)

    def fail(definitions: Definitions, rules: Rules) -> Plan:
        raise ZeroDivisionError("anna@example.com")

    monkeypatch.setattr(catalog_module, "compile_plan", fail)
    with pytest.raises(RefusedError) as refused:
        await plans.read(CONTROL)
    assert refused.value.reason == "bad_control"
    assert "ZeroDivisionError" in refused.value.detail
    assert "anna" not in refused.value.detail
