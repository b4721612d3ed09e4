"""The first page: who has just entered what, why, and which message that brought about."""

from __future__ import annotations

from streamer.page.change_history import SeenChange
from streamer.page.views.now import newest_moments
from streamer.segments.change import CauseKind
from tests.unit.flow.persons import MINUTE_MS

from . import full_shop
from .desk import looking

AT = "2026-01-01T00:00:0{}.000Z"


def change(number: int, customer: str, second: int, segment: str = "seen", *, enters: bool = True, by: CauseKind = "event") -> SeenChange:
    return SeenChange(number, customer, segment, enters, AT.format(second), by, ())


def test_what_belongs_together_stands_together_the_newest_first() -> None:
    """Shards say what they have in turn, so the newest need not be the last that came."""
    found = newest_moments([change(1, "a", 1), change(2, "b", 3), change(3, "b", 3, "left", enters=False), change(4, "a", 2)])
    assert [(one.customer, one.at) for one in found] == [("b", AT.format(3)), ("a", AT.format(2)), ("a", AT.format(1))]
    assert (found[0].segments(enters=True), found[0].segments(enters=False)) == (["seen"], ["left"])


def test_the_reason_that_is_shown_is_of_time_alone_where_there_is_one() -> None:
    """That somebody enters while nothing happens is what no other page of this kind has."""
    [found] = newest_moments([change(1, "a", 1), change(2, "a", 1, "timed", by="timer"), change(3, "a", 1, "gone", enters=False)])
    assert found.first.segment == "timed"
    assert newest_moments([change(1, "a", 1), change(2, "a", 1, "two")])[0].first.segment == "seen"


async def test_a_change_is_there_with_its_reason_and_a_decision_with_its_own() -> None:
    """What a newcomer looks for: who, what, why, and what became of it."""
    async with looking(full_shop.RULES) as desk:
        desk.shop.write("A", userId="ada")
        desk.shop.wait(6 * MINUTE_MS)
        await desk.settle()
        found = (await desk.look("/")).text
        assert 'ada entered left by time alone · did("A") · since(last("A")) >= "5m"' in found
        assert "skip reminder ada no address" in found
