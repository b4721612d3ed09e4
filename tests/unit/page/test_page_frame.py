"""What every page has: headers that let nothing of somebody else's run, a language, and words for an error."""

from __future__ import annotations

import re

import pytest

from streamer.errors import StoreUnavailableError
from streamer.page.files import static_files
from streamer.page.languages import LANGUAGES
from streamer.page.site import SAFE_HEADERS
from tests.unit.flow.persons import segments

from .desk import PAGES, looking

RULES = segments(seen='did("A")', quick='did("A", within="30m")')
EVERYWHERE = (*PAGES, "/customers/c-1", "/segments/seen", "/login", "/nowhere", "/customers/c-9", "/segments/none", "/static/none.js")


@pytest.mark.parametrize("path", EVERYWHERE)
async def test_every_answer_lets_nothing_of_somebody_else_run(path: str) -> None:
    """Should a text get through as HTML all the same, the browser still runs none of it."""
    async with looking(RULES) as desk:
        desk.shop.write("A", userId="c-1")
        await desk.settle()
        found = await desk.look(path)
        assert {name: found.headers[name] for name in SAFE_HEADERS} == SAFE_HEADERS
        assert found.headers["X-Content-Type-Options"] == "nosniff"
        assert "unsafe" not in found.headers["Content-Security-Policy"]
        assert re.search(r"<script(?![^>]* src=\"/static/)|<style|\son\w+=|\sstyle=|javascript:", found.html) is None


@pytest.mark.parametrize("path", EVERYWHERE)
async def test_nothing_is_asked_of_another_machine(path: str) -> None:
    """It must be there where nothing else is, and nobody else must learn who looks."""
    async with looking(RULES) as desk:
        desk.shop.write("A", userId="c-1")
        await desk.settle()
        addresses = re.findall(r'(?:href|src|action|connect)="([^"]*)"', (await desk.look(path)).html)
        assert addresses
        assert [one for one in addresses if not one.startswith(("/", "?", "#"))] == []


async def test_a_language_is_chosen_kept_and_right_to_left() -> None:
    """By the browser's wish first, then by a choice that holds."""
    async with looking(RULES) as desk:
        await desk.settle()
        assert '<html lang="uk" dir="ltr">' in (await desk.look("/segments", Accept_Language="uk")).html
        assert '<html lang="fa" dir="rtl">' in (await desk.look("/segments?lang=fa&q=seen", Accept_Language="uk")).html
        found = await desk.look("/workers", Accept_Language="uk")
        assert '<html lang="fa" dir="rtl">' in found.html
        assert [f'href="/workers?lang={language}"' in found.html for language in LANGUAGES] == [True] * 4
        assert '<html lang="fa" dir="rtl">' in (await desk.look("/workers?lang=xx")).html


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_view_is_there_in_every_language(language: str) -> None:
    """A text with a hole in it fails when it is first shown."""
    async with looking(RULES) as desk:
        desk.shop.write("A", userId="c-1")
        await desk.settle()
        desk.shop.wait(1_900_000)
        await desk.settle()
        for path in (*PAGES, "/customers/c-1", "/customers/c-1?all=1", "/segments/seen", "/segments/quick", "/login"):
            found = await desk.look(f"{path}{'&' if '?' in path else '?'}lang={language}")
            assert found.status == 200, path
            assert f'lang="{language}"' in found.html


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/nowhere", 404, "There is no such page"),
        ("/segments/none", 404, "There is no such segment"),
        ("/customers/c-9", 404, "Nothing is known of this customer"),
        ("/customers/%00", 400, "This cannot be asked so"),
        ("/customers/%ff", 400, "This cannot be asked so"),
        (f"/segments?q={'x' * 3_000}", 400, "This cannot be asked so"),
        ("/live/nowhere", 404, "There is no such page"),
        ("/live/customers", 404, "There is no such page"),
    ],
)
async def test_what_cannot_be_shown_is_said_on_a_page(path: str, status: int, says: str) -> None:
    """With the menu, so that one can go on."""
    async with looking(RULES) as desk:
        await desk.settle()
        found = await desk.look(path)
        assert found.status == status
        assert says in found.text
        assert 'href="/segments"' in found.html


@pytest.mark.parametrize("path", [*PAGES[:2], "/customers/c-1", "/messages", "/workers"])
async def test_a_store_that_is_away_is_said_and_the_page_is_there_again_with_it(path: str) -> None:
    """Whoever looks at that moment is told to wait, not that nothing is known."""
    async with looking(RULES) as desk:
        desk.shop.write("A", userId="c-1")
        await desk.settle()
        desk.store.error = StoreUnavailableError("it is away")
        found = await desk.look(path)
        assert (found.status, found.headers["Retry-After"]) == (503, "2")
        assert "The store does not answer" in found.text
        desk.store.error = None
        assert (await desk.look(path)).status == 200


async def test_an_error_of_ours_says_nothing_of_what_it_met(capsys: pytest.CaptureFixture[str]) -> None:
    """Its text may quote a customer's data: it is in no page, and in no log."""
    async with looking(RULES) as desk:
        desk.store.error = ValueError("what ada@shop.example wrote")
        found = await desk.look("/segments")
        assert found.status == 500
        assert "An error of ours" in found.text
        assert "ada@shop.example" not in found.html + capsys.readouterr().out
        assert found.html.endswith("</html>")


async def test_a_method_that_nothing_takes_is_refused() -> None:
    """Only forms are sent, and only to where there is one."""
    async with looking(RULES) as desk:
        for method, path in (("POST", "/segments"), ("DELETE", "/"), ("GET", "/logout"), ("PUT", "/login")):
            assert (await desk.ask(method, path)).status == 405, (method, path)


async def test_files_are_kept_by_browsers_as_long_as_they_stay_the_same() -> None:
    """Their address has their version, so a newer one is fetched at once."""
    async with looking(RULES) as desk:
        page = (await desk.look("/login")).html
        for name, file in static_files().items():
            address = f"/static/{name}?v={file.version}"
            found = await desk.look(address)
            assert (found.status, "immutable" in found.headers["Cache-Control"]) == (200, True)
            assert address in page, f"{name} is used by no page"
            assert "immutable" not in (await desk.look(f"/static/{name}")).headers["Cache-Control"]
            assert "sourceMappingURL" not in found.html


async def test_the_api_is_as_it_was_beside_the_page() -> None:
    """Programs get JSON, also for what is not there."""
    async with looking(RULES) as desk:
        await desk.settle()
        for path, status in (("/v1/segments", 200), ("/v1/nothing", 404), ("/v1", 404)):
            found = await desk.look(path)
            assert (found.status, found.headers["Content-Type"].partition(";")[0]) == (status, "application/json")
