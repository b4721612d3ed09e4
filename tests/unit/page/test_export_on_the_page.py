"""A customer's export as a file: whole or visibly broken, and only for those who may look."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import aiohttp
import pytest

from streamer.errors import HaltError, StoreUnavailableError
from streamer.exports.aside import ExportsAside
from streamer.page.site import SAFE_HEADERS
from streamer.server.tokens import read_tokens
from streamer.web.secret_tables import hash_of
from tests.unit.flow.persons import segments

from .desk import PageDesk, looking

RULES = segments(seen='did("A")')
TOKENS = read_tokens(f'[tokens.x]\nhash = "{hash_of("st_somebody_of_the_page")}"\nroles = ["read"]', "tokens")


def saying(monkeypatch: pytest.MonkeyPatch, *pieces: bytes | Exception) -> list[str]:
    """In the place of the process that makes exports; of whom it is asked."""
    asked: list[str] = []

    async def say(_self: object, customer: str) -> AsyncGenerator[bytes]:
        asked.append(customer)
        for piece in pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    monkeypatch.setattr(ExportsAside, "pieces", say)
    return asked


async def ada(desk: PageDesk) -> None:
    """She is there."""
    desk.shop.write("A", userId="a/da")
    await desk.settle()


async def test_an_export_is_a_file_that_no_browser_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in it was written by strangers, and its name says nothing of the customer."""
    asked = saying(monkeypatch, b'{"said": "<script>alert(1)</script>",\n', b'"more": []}\n')
    async with looking(RULES) as desk:
        await ada(desk)
        assert 'href="/customers/a%2Fda/export"' in (await desk.look("/customers/a%2Fda")).html
        found = await desk.look("/customers/a%2Fda/export")
        assert (found.status, found.html) == (200, '{"said": "<script>alert(1)</script>",\n"more": []}\n')
        assert asked == ["a/da"]
        assert found.headers["Content-Type"] == "application/json"
        assert found.headers["Content-Disposition"] == 'attachment; filename="customer-export.json"'
        assert {name: found.headers[name] for name in SAFE_HEADERS} == SAFE_HEADERS
        assert found.headers["X-Content-Type-Options"] == "nosniff"
        assert (await desk.ask("HEAD", "/customers/a%2Fda/export")).status == 405


async def test_an_export_that_breaks_off_does_not_look_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser keeps what ends as it should."""
    saying(monkeypatch, b"{", HaltError("the process of the export ended before its end"))
    async with looking(RULES) as desk:
        await ada(desk)
        with pytest.raises(aiohttp.ClientError):
            await desk.look("/customers/a%2Fda/export")


async def test_an_export_that_cannot_begin_is_a_page_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was sent yet."""
    saying(monkeypatch, StoreUnavailableError("away"))
    async with looking(RULES) as desk:
        await ada(desk)
        found = await desk.look("/customers/a%2Fda/export")
        assert (found.status, found.headers["Content-Type"]) == (503, "text/html; charset=utf-8")
        assert (await desk.look("/customers/%00/export")).status == 400


async def test_one_export_at_a_time_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reads shards whole."""
    asked = saying(monkeypatch, b"{}")
    monkeypatch.setattr(ExportsAside, "is_busy", True)
    async with looking(RULES) as desk:
        await ada(desk)
        assert (await desk.look("/customers/a%2Fda/export")).status == 503
    assert asked == []


async def test_an_export_is_for_those_who_may_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is all of a person."""
    asked = saying(monkeypatch, b"{}")
    async with looking(RULES, tokens=TOKENS) as desk:
        found = await desk.look("/customers/ada/export")
        assert (found.status, found.headers["Location"].partition("?")[0]) == (303, "/login")
    assert asked == []
