"""One window of a browser, and what happens in it that must not."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Literal, NamedTuple

from playwright.async_api import Browser, Page

WAIT_MS = 60_000  # for a state that comes; other work on the machine makes it late


class Look(NamedTuple):
    """How somebody looks: their language, colours and the width of their screen."""

    language: str
    theme: Literal["light", "dark"]
    width: int

    @property
    def direction(self) -> str:
        return "rtl" if self.language in ("ar", "fa") else "ltr"


class Window(NamedTuple):
    """``wrong`` is what the page said to its console, asked of another machine, or had run that is none of ours."""

    page: Page
    address: str
    wrong: list[str]

    async def open(self, path: str) -> None:
        """Go there as by a link from elsewhere."""
        await self.page.goto(self.address + path, wait_until="load")

    async def text(self, selector: str) -> str:
        return await self.page.inner_text(selector)


USUAL = Look("en", "light", 1_440)


@asynccontextmanager
async def window(
    browser: Browser, address: str, look: Look = USUAL, *, scripts: bool = True, for_axe: bool = False
) -> AsyncGenerator[Window]:
    """A window of its own, for the page at ``address``; ``for_axe``: into which a script may be put that is not the page's."""
    context = await browser.new_context(
        viewport={"width": look.width, "height": 900},
        color_scheme=look.theme,
        locale=look.language,
        java_script_enabled=scripts,
        bypass_csp=for_axe,
    )
    context.set_default_timeout(WAIT_MS)
    page, wrong = await context.new_page(), list[str]()
    page.on("console", lambda message: wrong.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: wrong.append(request.url) if not request.url.startswith(f"{address}/") else None)
    try:
        yield Window(page, address, wrong)
    finally:
        await context.close()
