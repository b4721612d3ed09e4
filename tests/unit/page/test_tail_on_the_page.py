"""What comes in is seen without what is of a person, while somebody looks and no longer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streamer.errors import UnansweredError
from streamer.page import event_tail
from streamer.page.languages import LANGUAGES
from tests.unit.flow.persons import segments

from .desk import EndsOfLogs, PageDesk, looking
from .test_hostile_texts import HOSTILE, check_harmless

RULES = segments(seen='did("A")')
CARD = "4111-1111-secret"


def ends_of(desk: PageDesk) -> EndsOfLogs:
    """What the tail reads."""
    found = desk.page.sources.tail.records
    assert isinstance(found, EndsOfLogs)
    return found


async def tail(desk: PageDesk, wanted: str, path: str = "/sources") -> str:
    """The page once it says so."""
    async with asyncio.timeout(60):
        while wanted not in (found := await desk.look(path)).text:  # noqa: ASYNC110 - a page is asked, not told
            await asyncio.sleep(0.01)
    check_harmless(found.html)
    return found.text


@pytest.mark.parametrize("language", LANGUAGES)
async def test_an_event_is_seen_without_its_values(language: str) -> None:
    """Neither the card, nor the address, nor the whole of the id: whoever looks at sources need not know whose they are."""
    said: dict[str, Any] = {"card": CARD, "total": 9.5, "gift": True, "items": [CARD], "more": {"x": CARD}, "none": None}
    async with looking(RULES) as desk:
        desk.shop.write("Order Completed", userId="ada@shop.example", properties=said, context={"clock_offset_ms": -90_000})
        desk.shop.write("", type="identify", anonymousId="visitor-17", traits={"email": "ada@shop.example"})
        await desk.settle()
        text = await tail(desk, "Order Completed", f"/sources?lang={language}")
        assert CARD not in text
        assert "shop.example" not in text
        assert "visitor" not in text
        if language == "en":
            assert "Order Completed ad… card text , total number , gift yes or no , items list , more object , none nothing" in text
            assert "identify vi… email text" in text
            assert "Right, or not known 1 Off by less than a minute 0 Off by less than an hour 1" in text
            assert "Of 2 of the newest events" in text


async def test_hostile_names_are_not_obeyed_in_it() -> None:
    """Event names and names of properties come from anybody with a browser's key."""
    async with looking(RULES) as desk:
        for text in HOSTILE:
            desk.shop.write(text, userId=text, properties={text: text})
        await desk.settle()
        await tail(desk, "onerror")


async def test_nothing_is_read_while_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs a connection, and the broker an answer a second."""
    monkeypatch.setattr(event_tail, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(event_tail, "IDLE_SECONDS", 0.05)
    async with looking(RULES) as desk:
        await desk.settle()
        await desk.look("/workers")
        assert not desk.page.sources.tail.is_looking
        await desk.look("/sources")
        assert desk.page.sources.tail.is_looking
        async with asyncio.timeout(60):
            while desk.page.sources.tail.is_looking:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
        assert ends_of(desk).stops == 1
        await desk.look("/sources")
        assert desk.page.sources.tail.is_looking


async def test_a_log_that_may_not_be_read_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """And it goes on once it may."""
    monkeypatch.setattr(event_tail, "LOOK_SECONDS", 0.001)
    async with looking(RULES) as desk:
        ends_of(desk).error = UnansweredError("Kafka did not do its part (TopicAuthorizationFailedError)")
        desk.shop.write("Late", userId="ada")
        await desk.settle()
        await tail(desk, "Kafka does not let this server read it")
        ends_of(desk).error = None
        text = await tail(desk, "Late ad…")
        assert "Kafka does not let this server read it" not in text
