"""The first page: who has just entered what, why, and which message that brought about."""

from __future__ import annotations

from streamer.page.change_history import SeenChange
from streamer.page.change_picks import SECONDS_KEPT, ChangePicks
from streamer.page.views.now import READ_MS, SHOWN_MOMENTS, newest_moments
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


def test_one_of_each_second_is_what_time_alone_let_in_and_stays() -> None:
    """Whoever reads a line finds it a second later, one line further down; shards come in turn."""
    picks = ChangePicks()
    for number, change_of in enumerate(("left", "came", "timed", "late"), start=1):
        picks.note(change(number, change_of, 5, enters=change_of != "left", by="timer" if change_of in ("timed", "late") else "event"))
    picks.note(change(9, "before", 4))
    assert [one.customer for one in picks.newest(10)] == ["timed", "before"]
    assert [one.customer for one in picks.newest(1)] == ["timed"]


def test_no_more_seconds_are_kept_than_are_shown() -> None:
    """However long it goes on, and the oldest goes first."""
    picks = ChangePicks()
    for second in range(SECONDS_KEPT + 5):
        at = f"2026-01-01T00:{second // 60:02}:{second % 60:02}.000Z"
        picks.note(SeenChange(second, f"c-{second}", "seen", True, at, "event", ()))
    found = [one.customer for one in picks.newest(1_000)]
    assert (found[0], found[-1], len(found)) == (f"c-{SECONDS_KEPT + 4}", "c-5", SECONDS_KEPT)


async def test_where_more_changes_than_can_be_read_one_of_each_second_is_shown() -> None:
    """And the page says so; once it is quiet, it shows all that were last."""
    async with looking(full_shop.RULES) as desk:
        for number in range(3 * SHOWN_MOMENTS):
            desk.shop.write("A", userId=f"c-{number}")
            desk.shop.wait(READ_MS // SHOWN_MOMENTS - 100)
        await desk.settle()
        found = (await desk.look("/")).text.partition("Most changes")[0]
        assert "one of each second" in found
        assert 8 <= found.count("c-") <= SHOWN_MOMENTS
        desk.shop.wait(READ_MS)
        await desk.settle()
        found = (await desk.look("/")).text.partition("Most changes")[0]
        assert "one of each second" not in found
        assert found.count("c-") == SHOWN_MOMENTS


async def test_a_change_is_there_with_its_reason_and_a_decision_with_its_own() -> None:
    """What a newcomer looks for: who, what, why, and what became of it."""
    async with looking(full_shop.RULES) as desk:
        desk.shop.write("A", userId="ada")
        desk.shop.wait(6 * MINUTE_MS)
        await desk.settle()
        found = (await desk.look("/")).text
        assert 'ada entered left by time alone · did("A") · since(last("A")) >= "5m"' in found
        assert "skip reminder ada no address" in found
