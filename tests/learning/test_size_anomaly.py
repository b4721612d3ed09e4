"""Alerts about the sizes of segments: soon when something happened, silent when nothing did."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from streamer.examples import Example
from streamer.learning.models.size_anomaly import Surges
from streamer.learning.reports.outputs import Alert
from streamer.zones import PINNED
from tests.learning.sizes import DAY_MINUTES, HAPPENS, MINUTE_MS, START_MS, simulate

SIMULATED_DAYS = 42


@pytest.fixture(scope="module")
def quiet() -> list[tuple[int, Alert]]:
    """Ten segments to which nothing happens, for six weeks."""
    return simulate(10, SIMULATED_DAYS, 5)


def test_false_alarms_are_rare(quiet: list[tuple[int, Alert]]) -> None:
    """One a week over a hundred segments is the promise; four speaking weeks of ten segments may then have 0.4. One is let pass.

    ``tests/bench/groups.py`` measures a whole year of a hundred segments.
    """
    assert len(quiet) <= 1


@pytest.mark.parametrize("factor", [0.5, 1.6])
def test_half_as_many_or_half_as_many_again_is_told_within_minutes(factor: float) -> None:
    """That is what the alert is for; only where noise is that large may it take longer."""
    said = simulate(8, 31, 9, lambda minute: factor if minute >= HAPPENS else 1.0)
    after = [(minute - HAPPENS, alert) for minute, alert in said if minute >= HAPPENS and alert.kind == "surge"]
    soon = [alert for delay, alert in after if delay <= 10]
    assert len(soon) >= 7
    for alert in soon:
        assert alert.after / alert.before == pytest.approx(factor, abs=0.25)
        assert ("grew to" if factor > 1 else "shrank to") in alert.text


def test_a_new_level_that_no_minute_shows_is_told_within_days() -> None:
    """A fifth fewer, day after day, is within the range of any single day for many segments."""
    said = simulate(8, 42, 3, lambda minute: 0.75 if minute >= HAPPENS else 1.0)
    after = {alert.subject: minute - HAPPENS for minute, alert in said if minute >= HAPPENS and alert.kind == "level"}
    assert len(after) >= 5
    assert max(after.values()) < 9 * DAY_MINUTES
    text = next(alert.text for _, alert in said if alert.kind == "level")
    assert " shrank for days, from about " in text


def weekly(minute: int) -> int:
    """A size as regular as can be."""
    return 1_000 + 400 * (minute // 60 % 24 >= 12) + minute * 7 % 13


def run(surges: Surges, start: int, end: int, size: Callable[[int], int] = weekly) -> list[Alert]:
    """Marks of two shards, which share the customers one to three."""
    said: list[Alert] = []
    for minute in range(start, end):
        at_ms = START_MS + minute * MINUTE_MS
        for shard, part in ((1, size(minute) // 4), (0, size(minute) - size(minute) // 4)):
            said += surges.take(Example("mark", shard, minute, 0, at_ms, sizes={"loyal": part}))
        said += surges.on_watermark(at_ms)
    return said


def test_nothing_is_said_in_the_first_two_weeks_whatever_happens() -> None:
    """Who knows no habits cannot say what is unusual: a new segment fills, and that is not a surge."""
    assert run(Surges(), 0, 14 * DAY_MINUTES - 60, lambda minute: 10 ** (minute // 700 % 5)) == []


def test_sizes_of_all_shards_are_added_and_the_text_says_what_is_usual() -> None:
    """A marketer reads it in a chat and has nothing else to look at."""
    surges = Surges()
    assert run(surges, 0, 16 * DAY_MINUTES + 610) == []
    (alert,) = run(surges, 16 * DAY_MINUTES + 610, 16 * DAY_MINUTES + 630, lambda minute: 1_500)
    assert (alert.kind, alert.subject, alert.after) == ("surge", "loyal", 1_500)
    assert alert.at_ms == START_MS + (16 * DAY_MINUTES + 612) * MINUTE_MS
    assert alert.text.startswith("loyal grew to 1,500 customers; usual for Wednesday 10:00 is about 1,0")
    assert alert.text.endswith("(+49 %)")


def test_a_jump_of_two_minutes_is_nothing_and_a_lasting_one_is_said_once_a_day() -> None:
    """One count that came late is noise; a night full of alerts is what people mute."""
    surges = Surges()
    run(surges, 0, 16 * DAY_MINUTES)
    start = 16 * DAY_MINUTES
    assert run(surges, start, start + 2, lambda minute: 2_500) == []
    assert run(surges, start + 2, start + 60) == []
    alerts = run(surges, start + 60, start + 60 + 2 * DAY_MINUTES, lambda minute: weekly(minute) + 1_000)
    assert [alert.kind for alert in alerts] == ["surge", "surge"]


def test_hours_are_those_of_the_shop_also_when_clocks_change() -> None:
    """The shop opens at nine by its own clock; in UTC that hour moves in spring, and every segment would raise an alarm."""
    spring = 20_541 * DAY_MINUTES - START_MS // MINUTE_MS  # minutes until 2026-03-29, when Berlin's clocks go forward at one o'clock UTC

    def opens(minute: int) -> int:
        local = minute + (120 if minute >= spring + 60 else 60)
        return 1_000 if 9 <= local // 60 % 24 < 18 else 200

    start, berlin = spring - 21 * DAY_MINUTES, PINNED.find("Europe/Berlin")
    assert berlin is not None
    assert run(Surges(berlin), start, spring + 3 * DAY_MINUTES, opens) == []
    assert run(Surges(PINNED.utc), start, spring + 3 * DAY_MINUTES, opens) != []


def test_a_segment_that_is_gone_is_forgotten_and_does_not_raise_an_alarm() -> None:
    """It was taken out of the definitions; that it has no size any more is no news."""
    surges = Surges()
    run(surges, 0, 15 * DAY_MINUTES)
    said: list[Alert] = []
    for minute in range(15 * DAY_MINUTES, 44 * DAY_MINUTES):
        at_ms = START_MS + minute * MINUTE_MS
        surges.take(Example("mark", 0, minute, 0, at_ms, sizes={}))
        surges.take(Example("mark", 1, minute, 0, at_ms, sizes={}))
        said += surges.on_watermark(at_ms)
    assert said == []
    assert surges.dump()["watches"] == {}


def test_a_snapshot_in_mid_hour_goes_on_as_if_nothing_had_happened() -> None:
    """Through JSON, in the silent weeks and after them; and it is small."""
    surges = Surges()
    for end in (700, 9 * DAY_MINUTES + 17, 16 * DAY_MINUTES + 600):
        run(surges, end - 600, end)
        again = Surges.restore(json.loads(json.dumps(surges.dump())))
        for copy in (surges, again):
            run(copy, end, end + 90, lambda minute: 1_700)
        assert surges.dump() == again.dump()
    assert len(json.dumps(surges.dump())) < 3_000
