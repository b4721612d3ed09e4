"""The demo's page before somebody who has just installed the package: within a minute they see what this is about."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
from pathlib import Path

from playwright.async_api import Browser, async_playwright, expect

from tests.browser.window import WAIT_MS, window
from tests.clients.installed import NotInstalledError, chromium
from tests.lacking import missing

from .test_demo import demo_of, read_until


async def test_somebody_is_seen_to_enter_with_why_and_until_when_and_what_was_sent(tmp_path: Path) -> None:
    """From the address that the demo prints, by links alone; and nothing is said to the console, nothing asked of elsewhere."""
    try:
        program = chromium()
    except NotInstalledError as error:
        missing(f"needs a browser: {error}")
    expect.set_options(timeout=WAIT_MS)
    with demo_of(tmp_path) as demo:
        said = await asyncio.to_thread(read_until, demo, "Open in a browser: ")
        address = re.findall(r"Open in a browser: (http://\S+)/", said)[0]
        reading = asyncio.create_task(asyncio.to_thread(demo.communicate))
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            try:
                await look_around(browser, address)
            finally:
                await browser.close()
                await end(demo, reading)
    assert demo.returncode == 0


async def look_around(browser: Browser, address: str) -> None:
    """Somebody enters by time alone; a message is sent; and of whom it was sent to, all of it."""
    async with window(browser, address) as seen:
        await seen.open("/")
        why = 'by time alone · since(last("*")) >= "3s"'
        await expect(seen.page.locator(".stream li", has_text="demo_cart_left").filter(has_text=why).first).to_be_visible()
        sent = seen.page.locator(".stream li", has_text="demo_cart_reminder").filter(has_text="send").get_by_role("link")
        await expect(sent.first).to_be_visible()
        to = await sent.first.get_attribute("href")  # rows move on: a click might meet the next one
        assert to is not None
        await seen.open(to)
        await expect(seen.page.locator("h1")).to_have_text(to.rpartition("/")[2])
        line = seen.page.locator(".stream.line li")
        await expect(line.filter(has_text="demo_cart_reminder").filter(has_text="send").first).to_be_visible()
        change = seen.page.locator(".stream.line li.in", has_text="demo_cart_left").first
        await change.locator("summary").click()
        await expect(change).to_contain_text('since(last("*")) >= "3s"')
        await expect(seen.page.locator(".membership .next.out").first).to_contain_text("if nothing happens")
        assert seen.wrong == []


async def end(demo: subprocess.Popen[str], reading: asyncio.Task[tuple[str, str]]) -> None:
    """As somebody does who has seen enough."""
    demo.send_signal(signal.SIGINT)
    await reading
