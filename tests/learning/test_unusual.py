"""Unusual activity: machines are caught by rules that are named, what no rule knows gets a second opinion, people are left alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import exp, log1p
from random import Random
from typing import Any

import pytest
from river.anomaly import HalfSpaceTrees

from streamer.examples import Feature, FeatureList, Logarithm, ModelSpec
from streamer.learning.algorithms.bot_rules import RULES, BotRule, at_least, at_most, faster_than, known_rules
from streamer.learning.models.unusual import UnusualTrainer
from streamer.learning.online.half_spaces import HEIGHT, SPARSE, TREES, WINDOW, HalfSpaces
from streamer.learning.reports.outputs import ModelPublished
from streamer.learning.scorers.unusual_scorer import MASS_SCALE, UnusualScorer, decode_unusual, emptiness
from tests.learning.scorer_promises import check_answers_to_wild_values, check_refused, check_same_in_each_process
from tests.learning.shop import DAY_MS, FEATURES, NAMES, START_MS, person, profile

SPEC = ModelSpec("unusual", "unusual", exclude="staff")
FAST = BotRule(
    "hundreds of events, a second apart, and no cart", (at_least("session_events", 150), at_most("gap", 1.5), at_most("adds", 0))
)
Row = tuple[float, ...]


def crawler(rng: Random) -> Row:
    """Reads the whole shop as fast as it can."""
    views, events, gap = (round(exp(rng.gauss(mean, 0.4)), 3) for mean in (6.3, 6.2, -1.0))
    return (views, 0.0, 0.0, 0.0, 0.5, 0.0, events, gap, float(rng.randrange(24)), 0.0)


def hoarder(rng: Random) -> Row:
    """Fills carts at a human pace around the clock and buys nothing: no rule knows it."""
    views, adds, events, gap = (round(exp(rng.gauss(mean, 0.4)), 3) for mean in (3.0, 5.8, 5.2, 3.0))
    return (views, adds, 0.0, 0.0, 0.5, 0.0, events, gap, float(rng.randrange(24)), 0.0)


def crowd(rng: Random, count: int) -> list[tuple[str, Row]]:
    """Two percent are machines, half of them of a kind that a rule knows."""
    found: list[tuple[str, Row]] = []
    for _ in range(count):
        lot = rng.random()
        if lot < 0.02:
            found.append(("crawler", crawler(rng)) if lot < 0.01 else ("hoarder", hoarder(rng)))
        else:
            found.append(("person", person(rng, rng.randrange(4))))
    return found


def feed(trainer: UnusualTrainer, rows: Sequence[Row], start_ms: int = START_MS) -> list[ModelPublished]:
    """Their profiles within a day, then the marks that end it."""
    for offset, x in enumerate(rows):
        assert trainer.take(profile(x, start_ms, offset)) == []
    said = trainer.on_watermark(start_ms + 60_000) + trainer.on_watermark(start_ms + DAY_MS)
    return [one for one in said if isinstance(one, ModelPublished)]


def learned(rng: Random, count: int = 8_000) -> UnusualScorer:
    """What a trainer says that has seen a crowd with machines in it."""
    trainer = UnusualTrainer(SPEC, FEATURES, (FAST,))
    return decode_unusual(feed(trainer, [x for _, x in crowd(rng, count)])[-1].scorer)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_injected_machines_are_found(seed: int) -> None:
    """Who is sent nothing because of a mistake is a lost customer, so precision counts before all."""
    rng = Random(seed)
    scorer = learned(rng)
    fresh = [(kind, scorer.score(x)) for kind, x in crowd(rng, 8_000)]
    sure = [kind for kind, score in fresh if score == 10_000]
    assert sure.count("crawler") / len(sure) >= 0.98
    assert sure.count("crawler") / sum(kind == "crawler" for kind, _ in fresh) >= 0.9
    suspected = [kind for kind, score in fresh if score >= 9_950]
    assert 1 - suspected.count("person") / len(suspected) >= 0.9
    hoarders = [score for kind, score in fresh if kind == "hoarder"]
    assert sum(score >= 9_700 for score in hoarders) / len(hoarders) >= 0.8


def test_a_rule_is_named_and_everybody_else_gets_what_is_far_from_the_average() -> None:
    """A shop must be able to say why somebody got no message."""
    rng = Random(4)
    scorer = learned(rng, 3_000)
    (reason,) = scorer.reasons(crawler(rng))
    assert (reason.feature, reason.words) == ("session_events", FAST.words)
    reasons = scorer.reasons(hoarder(rng))
    adds = next(reason for reason in reasons if reason.feature == "adds")
    assert adds.effect > 3
    assert adds.words.startswith("cart adds: ")
    assert adds.words.endswith(" standard deviations above those who are otherwise alike")
    assert len(scorer.reasons(hoarder(rng), most=1)) == 1


def test_the_rules_speak_from_the_first_minute_and_the_trees_when_they_know_people() -> None:
    """A crawler on the first day must not train the models of the first week."""
    rng = Random(5)
    trainer = UnusualTrainer(SPEC, FEATURES, (FAST,))
    (first,) = trainer.on_watermark(START_MS)
    assert isinstance(first, ModelPublished)
    scorer = decode_unusual(first.scorer)
    assert (scorer.score(crawler(rng)), scorer.score(person(rng, 1)), scorer.score(hoarder(rng))) == (10_000, 0, 0)
    assert (trainer.card().state, trainer.card().why) == ("ready", "so far only the rules speak")
    later = feed(trainer, [x for _, x in crowd(rng, 3_000)])
    assert later[-1].card.why == ""
    assert 0 < decode_unusual(later[-1].scorer).score(person(rng, 1)) < 10_000


def test_machines_that_a_rule_knows_teach_nothing() -> None:
    """If thousands came, what they do would be usual."""
    rng = Random(6)
    people = [person(rng, rng.randrange(4)) for _ in range(2_500)]
    clean, crawled = UnusualTrainer(SPEC, FEATURES, (FAST,)), UnusualTrainer(SPEC, FEATURES, (FAST,))
    (*_, first) = feed(clean, people)
    sure = [x for x in (crawler(rng) for _ in range(4_000)) if x[6] >= 150 and x[7] <= 1.5]
    assert len(sure) > 3_500
    for at, x in enumerate(sure):
        crawled.take(profile(x, START_MS, at))
    (*_, second) = feed(crawled, people)
    assert crawled.card().figures["caught"] == len(sure) / (len(sure) + 2_500)
    assert first.scorer == second.scorer


def test_the_compiled_trees_say_what_the_library_says() -> None:
    """They are river's, walked by a shorter path."""
    rng = Random(7)
    width = 6
    spaces = HalfSpaces(width, seed=3)
    limits: Any = dict.fromkeys(range(width), (-8.0, 8.0))
    theirs = HalfSpaceTrees(n_trees=TREES, height=HEIGHT, window_size=WINDOW, limits=limits, seed=3)
    points = [[rng.gauss(0, 1.5) for _ in range(width)] for _ in range(WINDOW * 2 + 37)]
    for point in points:
        spaces.learn(point)
        theirs.learn_one(dict(enumerate(point)))
    trees = spaces.trees()
    assert len({emptiness(trees, SPARSE, point) for point in points}) > 100
    for point in points[:300]:
        assert emptiness(trees, SPARSE, point) / MASS_SCALE == pytest.approx(theirs.score_one(dict(enumerate(point))), abs=2e-6)


def test_the_default_rules_leave_people_alone_and_catch_machines() -> None:
    """They stand on the features that the segmenter measures, which are logarithms of one more."""
    names = ("session_events", "session_minutes", "gap", "views_day", "carts_month", "orders")
    features = FeatureList(1, tuple(Feature(name, Logarithm("x"), 0, 9) for name in names))
    assert len(known_rules(RULES, features)) == len(RULES)
    assert known_rules(RULES, FEATURES) == ()
    (said,) = UnusualTrainer(SPEC, features).on_watermark(START_MS)
    assert isinstance(said, ModelPublished)
    scorer = decode_unusual(said.scorer)

    def score(events: int, minutes: float, gap_seconds: float, views: float, carts: float, orders: int) -> int:
        return scorer.score(tuple(map(log1p, (events, minutes, gap_seconds / 3_600, views, carts, orders))))

    assert score(90, 60, 20, 60, 2, 1) == 0  # an evening on the sofa
    assert score(300, 180, 1, 200, 0, 0) == 0  # a wedding is planned
    assert score(61, 30, 0.2, 60, 0, 0) == 0  # a double click
    assert score(400, 5, 0.4, 100, 0, 0) == 10_000  # faster than a hand
    assert score(300, 25, 1, 200, 3, 0) == 10_000  # never a pause
    assert score(1_500, 700, 30, 100, 3, 1) == 10_000  # never asleep
    assert score(50, 40, 30, 600, 0, 0) == 10_000  # reads everything and wants nothing
    assert score(50, 40, 30, 600, 2, 1) == 0


def test_a_rate_is_a_difference_of_logarithms() -> None:
    """(1 + events) / (1 + minutes) against the rate; the bound is a sum, so that rules need no code of their own."""
    (terms, least) = faster_than("a", "b", 10.0).terms, faster_than("a", "b", 10.0).least
    assert terms == (("a", 1.0), ("b", -1.0))
    assert log1p(99) - log1p(9) == pytest.approx(least)


def test_a_snapshot_in_mid_stream_goes_on_as_if_nothing_had_happened() -> None:
    """Through JSON: before the space is known, in the first window, and after it."""
    trainer = UnusualTrainer(SPEC, FEATURES, (FAST,))
    rng = Random(8)
    first: list[ModelPublished] = []
    for day in range(9):
        again = UnusualTrainer.restore(SPEC, FEATURES, json.loads(json.dumps(trainer.dump())))
        rows = [x for _, x in crowd(rng, 330)]
        first, second = (feed(one, rows, START_MS + day * DAY_MS) for one in (trainer, again))
        assert first == second != []
        assert trainer.dump() == again.dump()
    assert decode_unusual(first[-1].scorer).score(person(rng, 0)) > 0


def test_memory_is_flat_and_staff_does_not_count() -> None:
    """The snapshot is written with every batch."""
    trainer = UnusualTrainer(SPEC, FEATURES, (FAST,))
    rng = Random(9)
    sizes: list[int] = []
    for day in range(6):
        feed(trainer, [x for _, x in crowd(rng, 2_500)], START_MS + day * DAY_MS)
        sizes.append(len(json.dumps(trainer.dump())))
    assert max(sizes) < 120_000
    assert sizes[-1] < 1.02 * sizes[-2]
    before = trainer.dump()
    trainer.take(profile(crawler(rng), START_MS + 6 * DAY_MS, 0, seeds=("staff",)))
    assert trainer.dump() == before


def test_the_hash_seed_does_not_matter() -> None:
    """Two learners over the same log must publish the same bytes."""
    program = (
        "import hashlib\nfrom random import Random\nfrom tests.learning.test_unusual import *\n"
        "trainer = UnusualTrainer(SPEC, FEATURES, (FAST,))\n"
        "said = feed(trainer, [x for _, x in crowd(Random(6), 2_500)])\nassert said\n"
        "print(hashlib.sha256(repr((said, trainer.dump())).encode()).hexdigest())\n"
    )
    check_same_in_each_process(program)


def test_a_scorer_answers_whatever_it_is_asked() -> None:
    """Wild values reach it before anybody can check them."""
    scorer = learned(Random(10), 2_500)
    check_answers_to_wild_values(scorer, len(NAMES))


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ('"splits":[', '"splits":[99,', "$.trees[0]"),
        ('"masses":[', '"masses":[-1,', "$.trees[0]"),
        ('"table":[', '"table":[999999999,', "$.table"),
        ('"bounds":[', '"bounds":[],"x":[', "$.rules[0]"),
        ('["gap",', '["gasp",', "$.rules[0]"),
        ('"wheels":[]', '"wheels":[{"at":0,"low":0,"points":[[1.0]]}]', "$.space.wheels"),
    ],
)
def test_a_damaged_scorer_is_refused(old: str, new: str, path: str) -> None:
    """It comes out of the log, where anything may stand."""
    text = feed(UnusualTrainer(SPEC, FEATURES, (FAST,)), [x for _, x in crowd(Random(14), 2_500)])[-1].scorer.decode()
    check_refused(decode_unusual, text, old, new, path)
