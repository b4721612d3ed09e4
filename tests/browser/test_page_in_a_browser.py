"""The page as people have it before them: every view, both directions, both themes, wide and narrow, without scripts, without a mouse."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.async_api import Browser, Route, expect

from streamer.page.views.now import READ_MS
from streamer.server.tokens import read_tokens
from streamer.web.secret_tables import hash_of
from tests.unit.flow.persons import segments
from tests.unit.page.desk import PageDesk, looking
from tests.unit.page.test_hostile_texts import HOSTILE

from .views import VIEWS
from .window import Look, window

pytestmark = pytest.mark.asyncio(loop_scope="session")

LOOKS = (Look("en", "light", 1_440), Look("fa", "dark", 1_440), Look("ar", "light", 320), Look("uk", "dark", 320))
AXE = """async () => {
    const said = await axe.run(document);
    return [said.passes.length, said.violations.map((one) => `${one.id}: ${one.help}: ${one.nodes[0].html}`)];
}"""


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: f"{look.language}-{look.theme}-{look.width}")
async def test_every_view_is_whole_however_somebody_looks(
    browser: Browser, desk: PageDesk, axe: str, look: Look, shots: Path | None
) -> None:
    """No word to the console, no request to elsewhere, nothing wider than the screen, and nothing that axe finds."""
    found: dict[str, Any] = {}
    async with window(browser, desk.address, look, for_axe=True) as seen:
        for name, path in VIEWS.items():
            await seen.open(path)
            assert await seen.page.get_attribute("html", "dir") == look.direction
            width = await seen.page.evaluate("document.documentElement.scrollWidth")
            assert width <= look.width, f"{name} is {width} wide"
            if shots is not None:
                await seen.page.screenshot(path=shots / f"{name}-{look.language}-{look.theme}-{look.width}.png", full_page=True)
            await seen.page.evaluate(axe)
            passed, violated = await seen.page.evaluate(AXE)
            assert passed > 15, "it looks at nothing"
            found |= {name: violated} if violated else {}
        assert found == {}
        assert [one for one in seen.wrong if "404 (Not Found)" not in one] == []


@pytest.mark.parametrize("look", [LOOKS[0], LOOKS[2]], ids=["ltr", "rtl"])
async def test_nothing_runs_that_somebody_wrote_into_an_event(browser: Browser, desk: PageDesk, look: Look) -> None:
    """In a real browser, which finds scripts where no test looks for them; with the page's own policy, which would say so."""
    paths = [*VIEWS.values(), *(f"/customers/{quote(text, safe='')}?all=1" for text in HOSTILE[:6])]
    async with window(browser, desk.address, look) as seen:
        for path in paths:
            await seen.open(path)
            assert await seen.page.locator("img:not(.brand img)").count() == 0
        assert [one for one in seen.wrong if "404 (Not Found)" not in one] == []


async def test_what_changes_is_seen_without_a_reload_and_where_one_is_reading(browser: Browser, desk: PageDesk) -> None:
    """The block is put into the place of the old one; a link that has the focus keeps it."""
    async with window(browser, desk.address) as seen:
        await seen.open("/")
        await seen.page.evaluate("window.stays = 1")
        await seen.page.focus("#live table a >> nth=0")
        desk.shop.wait(2 * READ_MS)
        desk.shop.write("A", userId="just-now")
        await desk.settle()
        await expect(seen.page.locator("#live").get_by_role("link", name="just-now").first).to_be_visible()
        assert await seen.page.evaluate("window.stays") == 1, "the page was loaded again"
        assert await seen.page.evaluate("document.activeElement.closest('table') !== null"), "the focus is lost"
        assert seen.wrong == []


async def test_what_is_live_goes_on_however_late_its_script_comes(browser: Browser, desk: PageDesk) -> None:
    """Else a slow line or a busy machine leaves somebody with a page that stands still and does not say so."""
    late = asyncio.Event()

    async def held_back(route: Route) -> None:
        await late.wait()
        await route.continue_()

    async with window(browser, desk.address) as seen:
        await seen.page.route(re.compile(r"/hx-sse\.min\."), held_back)
        async with seen.page.expect_request(re.compile("/hx-sse")):
            await seen.page.goto(f"{desk.address}/workers", wait_until="commit")
        await seen.page.wait_for_function("document.readyState === 'interactive'")
        async with seen.page.expect_request(lambda request: "/live/" in request.url):
            late.set()
        assert seen.wrong == []


async def test_back_and_links_lead_where_they_say(browser: Browser, desk: PageDesk) -> None:
    """As on any page."""
    async with window(browser, desk.address) as seen:
        await seen.open("/segments?sort=size")
        await seen.page.get_by_role("link", name="quick", exact=True).click()
        await expect(seen.page.locator("h1")).to_have_text("quick")
        await seen.page.locator('a[href^="/customers/"]').first.click()
        await expect(seen.page).to_have_url(re.compile("/customers/.+"))
        await seen.page.go_back()
        await expect(seen.page.locator("h1")).to_have_text("quick")
        await seen.page.go_back()
        await expect(seen.page.locator("select")).to_have_value("size")
        await seen.page.go_forward()
        await expect(seen.page.locator("h1")).to_have_text("quick")
        assert seen.wrong == []


async def test_a_customer_is_found_by_typing_alone(browser: Browser, desk: PageDesk) -> None:
    """Without a mouse: past the menu, into the field, and there."""
    async with window(browser, desk.address) as seen:
        await seen.open("/customers")
        await seen.page.keyboard.press("Tab")
        assert await seen.page.evaluate("document.activeElement.className") == "skip"
        assert await seen.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        await seen.page.keyboard.press("Enter")
        await seen.page.keyboard.press("Tab")
        await seen.page.keyboard.type("c-39")
        await seen.page.keyboard.press("Enter")
        await expect(seen.page.locator("h1")).to_have_text("c-39")


async def test_a_language_is_chosen_by_a_link_and_kept(browser: Browser, desk: PageDesk) -> None:
    """And the menu is on the other side then."""
    async with window(browser, desk.address) as seen:
        await seen.open("/workers")
        before = await seen.page.locator(".menu").bounding_box()
        await seen.page.get_by_role("link", name="فارسی").click()
        await seen.open("/segments")
        assert await seen.page.get_attribute("html", "lang") == "fa"
        after = await seen.page.locator(".menu").bounding_box()
        assert before is not None
        assert after is not None
        assert before["x"] < 720 < after["x"]


async def test_everything_but_what_is_live_is_there_without_scripts(browser: Browser, desk: PageDesk) -> None:
    """A form is a form, and a figure stands in the page as it comes."""
    async with window(browser, desk.address, scripts=False) as seen:
        for path in VIEWS.values():
            await seen.open(path)
            assert await seen.page.locator("h1").count() == 1
        await seen.open("/segments")
        await seen.page.fill("input[name=q]", "quick")
        await seen.page.get_by_role("button").first.click()
        assert await seen.page.locator("tbody tr").count() == 1
        await seen.open("/segments/quick")
        await seen.page.locator("details summary").first.click()
        assert await seen.page.locator("details tbody tr").count() == 48


async def test_a_chart_is_drawn_from_the_table_beside_it(browser: Browser, desk: PageDesk) -> None:
    """And drawn again when it changes, in the colours of the moment."""
    async with window(browser, desk.address) as seen:
        await seen.open("/segments/quick")
        await expect(seen.page.locator(".plot canvas")).to_be_visible()
        drawn = await seen.page.locator(".plot").get_attribute("data-drawn")
        await seen.page.emulate_media(color_scheme="dark")
        await expect(seen.page.locator(".plot canvas")).to_be_visible()
        await expect(seen.page.locator(".plot")).not_to_have_attribute("data-drawn", drawn or "")
        assert seen.wrong == []


async def test_a_definition_is_judged_while_it_is_written(browser: Browser, desk: PageDesk) -> None:
    """A word is said to each text, and what was typed stays as it is."""
    wrong = 'segments:\n  x:\n    for: a\n    when: did("A", withinn="1h")\n'
    async with window(browser, desk.address) as seen:
        await seen.open("/try")
        await seen.page.fill("textarea", wrong)
        await expect(seen.page.locator("#remarks")).to_contain_text("did you mean within?")
        assert await seen.page.input_value("textarea") == wrong
        await seen.page.fill("textarea", wrong.replace("withinn", "within"))
        await expect(seen.page.locator("#remarks")).to_have_text("Nothing is wrong with it.")
        assert seen.wrong == []


async def test_somebody_logs_in_and_out(browser: Browser) -> None:
    """The cookie is none that a script can read; after logging out the way back shows nothing."""
    tokens = read_tokens(f'[tokens.shop]\nhash = "{hash_of("st_reader_of_the_page")}"\nroles = ["read"]', "tokens")
    async with looking(segments(seen='did("A")'), tokens=tokens) as desk:
        await desk.settle()
        async with window(browser, desk.address) as seen:
            await seen.open("/segments")
            await expect(seen.page.locator("h1")).to_have_text("Log in")
            await seen.page.fill("input[name=token]", "st_another_token")
            await seen.page.keyboard.press("Enter")
            await expect(seen.page.get_by_role("alert")).to_be_visible()
            await seen.page.fill("input[name=token]", "st_reader_of_the_page")
            await seen.page.keyboard.press("Enter")
            await expect(seen.page.locator("h1")).to_have_text("Segments")
            assert await seen.page.evaluate("document.cookie") == ""
            await seen.page.get_by_role("button", name="Log out").click()
            await expect(seen.page.locator("h1")).to_have_text("Log in")
            await seen.page.go_back()
            await expect(seen.page.locator("h1")).to_have_text("Log in")
