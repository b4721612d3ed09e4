"""The page over a shop in memory, before a real browser. Everything that a page says to its console, or asks of elsewhere, is noted."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from streamer.language.definitions import parse_definitions
from streamer.stores.documents import note_document
from tests.clients.installed import NotInstalledError, chromium, node_clients
from tests.lacking import missing
from tests.unit.flow.persons import MINUTE_MS
from tests.unit.page.desk import PageDesk, looking
from tests.unit.page.test_hostile_texts import HOSTILE, SCRIPTS, TURNS

PEOPLE: Final = 40
RULES: Final = parse_definitions(
    {
        "segments": {
            "seen": {"for": f"People; {SCRIPTS[0]} {TURNS[0]}", "when": f"did({json.dumps(SCRIPTS[1])}) or did('A')"},
            "quick": {"for": "Was here within half an hour", "when": 'did("A", within="30m")'},
            "said": {"for": "Said something", "when": 'trait("said") != ""'},
            "stays": {"for": "Stays a while", "when": 'did("A", within="2h")', "exit": 'did("B", within="1h")', "stay": "10m"},
            "left": {"for": "Left something", "when": 'did("A") and idle("A") >= "5m"'},
            **{f"other_{number:02}": {"for": "One of many", "when": f'did("X{number}")'} for number in range(30)},
        },
        "messages": {
            "reminder": {"for": f"Reminds; {SCRIPTS[0]}", "on": 'entered("left")', "channel": "email", "kind": "transactional"},
            "word": {
                "for": "A word",
                "on": 'entered("quick")',
                "delay": "20m",
                "channel": "webhook",
                "kind": "transactional",
                "again": "1d",
            },
        },
    }
)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncGenerator[Browser]:
    """The machine's Chromium without a window."""
    try:
        program = chromium()
    except NotInstalledError as error:
        missing(f"needs a browser: {error}")
    async with async_playwright() as playwright:
        found = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield found
        await found.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core."""
    try:
        return (node_clients() / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
    except (NotInstalledError, FileNotFoundError) as error:
        missing(f"needs axe-core: {error}")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def desk() -> AsyncGenerator[PageDesk]:
    """A shop with customers, some of whom have names that want to be a script. One shard is halted."""
    async with looking(RULES) as found:
        for number in range(PEOPLE):
            found.shop.write("", type="identify", userId=f"c-{number}", traits={"said": HOSTILE[number % len(HOSTILE)]})
            found.shop.write("A", userId=f"c-{number}")
            if number % 5 == 0:
                found.shop.write("B", userId=f"c-{number}")
            found.shop.wait(4 * MINUTE_MS)
        for text in HOSTILE:
            found.shop.write("", type="identify", userId=text, traits={"said": text})
            found.shop.write("A", userId=text)
            found.shop.write("A", userId=text, timestamp=f"never {text}")
        await found.settle()
        note = {
            "at_ms": found.shop.now_ms,
            "worker": f"host:1 {SCRIPTS[0]}",
            "status": {"shard": 0, "state": "halted", "since_seconds": 1.0, "problem": f"record of {SCRIPTS[1]} {TURNS[0]}"},
            "zones": "",
            "refused_ratio": 0.0,
        }
        await found.store.replace_document(note_document(0), json.dumps(note).encode())
        yield found


@pytest.fixture
def shots(request: pytest.FixtureRequest) -> Path | None:
    """Where pictures go, if anybody wants them: ``--basetemp`` keeps them."""
    return None if request.config.option.basetemp is None else Path(request.config.option.basetemp)
