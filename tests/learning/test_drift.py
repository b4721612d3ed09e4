"""Drift of losses, shifts of the intercept, and early outcomes that wait."""

from __future__ import annotations

import random
from math import log

import pytest

from streamer.examples import MARK_MS
from streamer.learning.evaluation.alignment import HELD_MAX, Alignment
from streamer.learning.evaluation.calibration import Recalibration
from streamer.learning.evaluation.drift import Alarm, DriftDetector
from streamer.learning.scorers.linear_scorer import chance_of, logit_of, loss_of

WEEK_MINUTES = 7 * 24 * 60


def watch(detector: DriftDetector, minutes: int, rng: random.Random, actual: float, begin: int = 0) -> list[tuple[int, Alarm]]:
    """Ten customers a minute to whom the model gives 2 to 12 %, busier odds by day; ``actual`` times as many come."""
    alarms: list[tuple[int, Alarm]] = []
    for minute in range(begin, begin + minutes):
        for _ in range(10):
            chance = rng.uniform(0.02, 0.12) * (0.5 if minute % 1440 < 480 else 1.0)
            label = int(rng.random() < chance * actual)
            detector.take(chance, loss_of(logit_of(chance), label))
        alarm = detector.on_watermark(minute * MARK_MS)
        if alarm is not None:
            alarms.append((minute, alarm))
    return alarms


def test_a_stable_world_raises_no_alarm() -> None:
    """By day and by night, for a month: whoever is called for nothing stops to listen."""
    assert watch(DriftDetector(), 4 * WEEK_MINUTES, random.Random(1), 1.0) == []


def test_twice_as_many_are_noticed_within_a_day() -> None:
    """And the alarm says what the losses were before and are now."""
    rng, detector = random.Random(2), DriftDetector()
    assert watch(detector, 8 * 1_440, rng, 1.0) == []
    minute, alarm = watch(detector, 1_440, rng, 2.0, begin=8 * 1_440)[0]
    assert minute - 8 * 1_440 < 1_440
    assert alarm.after > alarm.before * 1.2


def test_a_detector_goes_on_after_a_restore() -> None:
    """The alarm must come at the same mark."""
    first = DriftDetector()
    watch(first, 8 * 1_440, random.Random(3), 1.0)
    second = DriftDetector.restore(first.dump())
    after = [watch(each, 1_440, random.Random(4), 2.0, begin=8 * 1_440) for each in (first, second)]
    assert after[0] == after[1] != []


def settle(recalibration: Recalibration, rng: random.Random, actual: float, count: int = 6_000) -> None:
    for at in range(count):
        chance = rng.uniform(0.02, 0.12)
        recalibration.take(logit_of(chance), int(rng.random() < chance * actual))
        if at % 50 == 0:
            recalibration.on_watermark()


def test_no_shift_without_need() -> None:
    """Chance must not move everybody's score."""
    recalibration = Recalibration()
    settle(recalibration, random.Random(1), 1.0)
    assert recalibration.shift == 0.0


def test_a_shift_makes_the_sums_agree_and_ends_when_they_do_without() -> None:
    """The base rate doubles for a season, and is what it was again."""
    recalibration, rng = Recalibration(), random.Random(2)
    settle(recalibration, rng, 2.0)
    chances = [rng.uniform(0.02, 0.12) for _ in range(2_000)]
    promised = sum(chance_of(logit_of(chance) + recalibration.shift) for chance in chances)
    assert promised == pytest.approx(2 * sum(chances), rel=0.12)
    assert 0 < recalibration.shift < log(3)
    restored = Recalibration.restore(recalibration.dump())
    assert restored.dump() == recalibration.dump()
    settle(restored, rng, 1.0, 20_000)
    assert restored.shift == 0.0


def test_outcomes_are_learned_in_the_order_in_which_customers_were_measured() -> None:
    """Whoever bought at once is learned beside those of the same minute who did not."""
    alignment = Alignment(100)
    alignment.hold(50, (2.0,), 1)
    alignment.hold(20, (1.0,), 0)
    assert alignment.due(119) == []
    assert Alignment.restore(100, alignment.dump()).due(150) == [((1.0,), 0), ((2.0,), 1)]
    assert alignment.due(120) == [((1.0,), 0)]


def test_a_flood_is_learned_early_rather_than_kept() -> None:
    """Memory stays flat, whatever a campaign brings."""
    alignment = Alignment(10**9)
    for at in range(HELD_MAX + 5):
        alignment.hold(at, (float(at),), 1)
    assert [((float(at),), 1) for at in range(5)] == alignment.due(0)
