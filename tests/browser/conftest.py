"""The page over a shop in memory, before a real browser. Everything that a page says to its console, or asks of elsewhere, is noted."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect

from streamer.page import assembly
from tests.clients.installed import NotInstalledError, chromium, node_clients
from tests.lacking import missing
from tests.unit.page import full_shop
from tests.unit.page.desk import PageDesk, looking

from .window import WAIT_MS


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncGenerator[Browser]:
    """The machine's Chromium without a window."""
    try:
        program = chromium()
    except NotInstalledError as error:
        missing(f"needs a browser: {error}")
    expect.set_options(timeout=WAIT_MS)
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
async def desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[PageDesk]:
    """The page over the full shop."""
    folder = tmp_path_factory.mktemp("templates")
    full_shop.write_templates(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STREAMER_TEMPLATES", str(folder))
        patch.setattr(assembly, "measured_aside", full_shop.measured)
        async with looking(full_shop.RULES) as found:
            await full_shop.fill(found)
            yield found


@pytest.fixture
def shots(request: pytest.FixtureRequest) -> Path | None:
    """Where pictures go, if anybody wants them: ``--basetemp`` keeps them."""
    return None if request.config.option.basetemp is None else Path(request.config.option.basetemp)
