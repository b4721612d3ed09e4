"""What a segment costs is measured for whoever asks, and only then."""

from __future__ import annotations

import pytest

from streamer.errors import SettingsError
from streamer.flow.catalog import read_definitions
from streamer.previews.cost import SegmentCost
from streamer.previews.cost_aside import CostsAside
from tests.unit.flow.persons import segments

from .desk import looking
from .test_hostile_texts import check_harmless

RULES = segments(seen='did("A")')


async def test_the_cost_of_a_segment_is_measured_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says on what, and what an event costs without it."""
    asked: list[tuple[list[str], str]] = []

    async def cost(_self: object, definitions: bytes, segment: str) -> SegmentCost:
        asked.append(([one.name for one in read_definitions(definitions).segments], segment))
        return SegmentCost(4_000, 321, 1.2345, 17.5, 9.26)

    monkeypatch.setattr(CostsAside, "cost", cost)
    async with looking(RULES) as desk:
        await desk.settle()
        page = await desk.look("/segments/seen")
        assert "µs an event" not in page.text
        assert asked == []
        found = await desk.ask("POST", "/segments/seen", form={"form_key": page.form_key})
        check_harmless(found.html)
        assert "1.23 µs an event, 9.3 bytes a customer, on 4,000 events of 321 customers" in found.text
        assert "Above the 17.5 µs that an event costs without any segment." in found.text
        assert asked == [(["seen"], "seen")]
        assert (await desk.ask("POST", "/segments/none", form={"form_key": page.form_key})).status == 404


async def test_why_it_was_not_measured_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another measurement, or a log that does not answer."""

    async def fail(_self: object, _definitions: bytes, _segment: str) -> SegmentCost:
        raise SettingsError("STREAMER_KAFKA: <b>cannot read the log")

    monkeypatch.setattr(CostsAside, "cost", fail)
    async with looking(RULES) as desk:
        await desk.settle()
        form_key = (await desk.look("/segments/seen")).form_key
        found = await desk.ask("POST", "/segments/seen", form={"form_key": form_key})
        check_harmless(found.html)
        assert (found.status, "STREAMER_KAFKA: <b>cannot read the log" in found.text) == (502, True)
        monkeypatch.setattr(CostsAside, "is_busy", True)
        assert (await desk.ask("POST", "/segments/seen", form={"form_key": form_key})).status == 503
