"""Behaviour groups: found where they are, the same from week to week, told when they change."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from math import dist
from random import Random

import msgspec
import pytest

from streamer.errors import RefusedError
from streamer.examples import ModelSpec
from streamer.learning.algorithms.kmeans import cluster
from streamer.learning.algorithms.rng import Rng
from streamer.learning.inputs.feature_space import Projector
from streamer.learning.models.groups import DRIFT_DAY_MOST, GroupsTrainer
from streamer.learning.reports.outputs import Alert, LearnerOutput, ModelPublished
from streamer.learning.scorers.groups_scorer import CLEARLY, GroupsContent, GroupsScorer, decode_groups
from tests.learning.shop import DAY_MS, FEATURES, START_MS, nobody_in_particular, people, person, profile

SPEC = ModelSpec("behaviour", "groups", groups=4, exclude="robots")
Row = tuple[float, ...]


class Shop:
    """A trainer fed with profiles a day at a time, and what it said."""

    def __init__(self, trainer: GroupsTrainer | None = None) -> None:
        self.trainer = trainer or GroupsTrainer(SPEC, FEATURES)
        self.at_ms = START_MS
        self.offset = 0
        self.said: list[LearnerOutput] = []
        self.scorer: GroupsScorer | None = None

    def day(self, rows: Sequence[Row], seeds: Sequence[str] = ()) -> list[LearnerOutput]:
        """Profiles, then the mark that ends the day."""
        said: list[LearnerOutput] = []
        for row in rows:
            said += self.trainer.take(profile(row, self.at_ms, self.offset, seeds=seeds))
            self.offset += 1
        assert said == []
        self.at_ms += DAY_MS
        said = self.trainer.on_watermark(self.at_ms)
        for one in said:
            if isinstance(one, ModelPublished):
                self.scorer = decode_groups(one.scorer)
        self.said += said
        return said

    def alerts(self, kind: str) -> list[Alert]:
        """Of a kind."""
        return [one for one in self.said if isinstance(one, Alert) and one.kind == kind]


def agreement(left: Sequence[int], right: Sequence[int]) -> float:
    """Adjusted Rand index: 1 for the same grouping under other numbers, 0 for chance."""

    def pairs(counts: Counter[int] | Counter[tuple[int, int]]) -> float:
        return sum(n * (n - 1) / 2 for n in counts.values())

    both, lefts, rights = pairs(Counter(zip(left, right, strict=True))), pairs(Counter(left)), pairs(Counter(right))
    chance = lefts * rights / (len(left) * (len(left) - 1) / 2)
    return (both - chance) / ((lefts + rights) / 2 - chance)


def rows(rng: Random, count: int, kinds: Sequence[int] = (0, 1, 2, 3)) -> list[Row]:
    """People without their kinds."""
    return [x for _, x in people(rng, count, kinds)]


@pytest.mark.parametrize("seed", range(4))
def test_planted_groups_are_found(seed: int) -> None:
    """Their features have long tails and other units; what was planted must come out all the same."""
    shop = Shop()
    rng = Random(seed)
    shop.day(rows(rng, 1_000))
    assert shop.scorer is not None
    fresh = list(people(rng, 800))
    found = [shop.scorer.assign(x, None) for _, x in fresh]
    assert agreement([kind for kind, _ in fresh], found) > 0.95


@pytest.mark.parametrize("seed", range(8))
def test_no_cluster_is_dead_or_a_handful_of_far_off_people(seed: int) -> None:
    """Centres drawn at random left dead clusters in six of nine runs."""
    rng = Random(seed)
    centres = [[rng.gauss(0, 3) for _ in range(8)] for _ in range(5)]
    points = [[rng.gauss(centre, 1) for centre in centres[at % 5]] for at in range(600)]
    points += [[rng.gauss(0, 60) for _ in range(8)] for _ in range(4)]
    found = cluster(points, 5, Rng(seed))
    sizes = Counter(found.labels)
    assert min(sizes.values()) >= 0.02 * len(points)
    assert agreement([at % 5 for at in range(600)], found.labels[:600]) > 0.95


def test_nobody_changes_group_without_a_reason() -> None:
    """Less than one percent a day on a stationary stream, over drift and new versions; numbers and names stay."""
    shop = Shop()
    rng = Random(11)
    crowd = list(people(rng, 400))
    where: dict[int, int] = {}
    changed = asked = 0
    for _ in range(18):
        shop.day([person(rng, kind) for kind, _ in crowd])
        if shop.scorer is None:
            continue
        for at, (_, x) in enumerate(crowd):
            now = shop.scorer.assign(x, where.get(at))
            changed += where.get(at, now) != now
            where[at] = now
            asked += 1
    assert asked > 5_000
    assert changed < 0.01 * asked
    assert [one for one in shop.said if isinstance(one, Alert)] == []
    assert shop.scorer is not None
    assert len(shop.scorer.names) == 4


def test_a_crowd_without_groups_is_divided_once_and_stays_so() -> None:
    """There every border is arbitrary and crowded, and half the people stand near one: the hardest stream to be stable on."""
    shop = Shop(GroupsTrainer(ModelSpec("behaviour", "groups", groups=6), FEATURES))
    rng = Random(1)
    crowd = [nobody_in_particular(rng) for _ in range(500)]
    where: dict[int, int] = {}
    changed = asked = 0
    for _ in range(24):
        shop.day([nobody_in_particular(rng) for _ in range(500)])
        if shop.scorer is not None:
            now = {at: shop.scorer.assign(x, where.get(at)) for at, x in enumerate(crowd)}
            changed += sum(where.get(at, group) != group for at, group in now.items())
            asked += len(where)
            where = now
    assert asked > 10_000
    assert changed < 0.005 * asked
    assert [one for one in shop.said if isinstance(one, Alert)] == []
    assert sum(isinstance(one, ModelPublished) for one in shop.said) > 1


def test_numbers_and_names_stay_with_the_same_people_when_a_group_comes_and_another_goes() -> None:
    """A campaign aimed at the loyal must not reach the hunters of bargains because the groups were counted anew."""
    shop = Shop(GroupsTrainer(ModelSpec("behaviour", "groups", groups=3), FEATURES))
    rng = Random(3)
    for _ in range(2):
        shop.day(rows(rng, 600, (0, 1, 2)))
    assert shop.scorer is not None
    loyal = Counter(shop.scorer.assign(person(rng, 2), None) for _ in range(50)).most_common(1)[0][0]
    hunters = Counter(shop.scorer.assign(person(rng, 1), None) for _ in range(50)).most_common(1)[0][0]
    name = shop.scorer.names[loyal]
    for _ in range(9):
        shop.day(rows(rng, 600, (1, 2, 3)))
    assert shop.alerts("group_new")
    assert shop.alerts("group_retired")
    now = Counter(shop.scorer.assign(person(rng, 2), None) for _ in range(50)).most_common(1)[0][0]
    assert (loyal, name) == (now, shop.scorer.names[now])
    newcomers = Counter(shop.scorer.assign(person(rng, 3), None) for _ in range(50)).most_common(1)[0][0]
    assert newcomers == 3
    assert hunters == Counter(shop.scorer.assign(person(rng, 1), None) for _ in range(50)).most_common(1)[0][0]
    assert len(set(shop.scorer.names)) == len(shop.scorer.names)


def test_a_group_is_told_in_words_a_marketer_reads() -> None:
    """A number of a cluster says nothing to anybody."""
    shop = Shop()
    rng = Random(5)
    shop.day(rows(rng, 1_200))
    scorer = shop.scorer
    assert scorer is not None
    told = {kind: scorer.describe(scorer.assign(person(rng, kind), None)) for kind in range(4)}
    assert any(words.startswith("active at night, ") and " % against " in words for words in told[3])
    assert any(words.startswith("share bought at a discount 2.") and words.endswith("times the average") for words in told[1])
    assert any(words.startswith("product views ") and words.endswith("% of the average") for words in told[0])
    assert any("many orders" in name for name in scorer.names)
    assert scorer.describe(99) == []


def test_who_stands_between_two_groups_stays_where_they_were() -> None:
    """Without hysteresis every second event would move them."""
    shop = Shop()
    rng = Random(5)
    shop.day(rows(rng, 1_200))
    scorer = shop.scorer
    assert scorer is not None
    kept = 0
    for _ in range(400):
        left, right = person(rng, 1), person(rng, 2)
        between = tuple((a + b) / 2 for a, b in zip(left, right, strict=True))
        both = {scorer.assign(left, None), scorer.assign(right, None)}
        free = scorer.assign(between, None)
        kept += any(scorer.assign(between, before) == before != free for before in both)
        assert scorer.assign(between, free) == free
        assert scorer.assign(between, 77) == free
    assert kept > 10


def test_the_short_cut_decides_like_the_long_way() -> None:
    """Whoever is near their own centre is not compared with the others: that must never change the answer."""
    shop = Shop(GroupsTrainer(ModelSpec("behaviour", "groups", groups=6), FEATURES))
    rng = Random(9)
    (one,) = shop.day([nobody_in_particular(rng) for _ in range(1_200)])
    assert isinstance(one, ModelPublished)
    content = msgspec.json.decode(one.scorer, type=GroupsContent)
    project = Projector(content.space).project
    assert shop.scorer is not None
    stayed = 0
    for _ in range(400):
        x = nobody_in_particular(rng)
        far = {group.number: dist(project(x), group.centre) for group in content.groups}
        nearest = min(far, key=lambda number: far[number])
        for before, own in far.items():
            wanted = nearest if far[nearest] < CLEARLY * own else before
            stayed += wanted == before != nearest
            assert shop.scorer.assign(x, before) == wanted
    assert stayed > 50


def test_a_flood_cannot_drag_a_group_away_in_a_day() -> None:
    """A sale, or robots that no rule knows yet, must not turn the loyal into something else by the evening."""
    shop = Shop()
    rng = Random(2)
    shop.day(rows(rng, 1_200))
    scorer = shop.scorer
    assert scorer is not None
    crowd = list(people(rng, 300))
    before = [scorer.assign(x, None) for _, x in crowd]
    odd = tuple(3 * number if at < 4 else number for at, number in enumerate(person(rng, 2)))
    shop.day([odd] * 800)
    assert isinstance(shop.said[-1], ModelPublished)
    after = shop.scorer
    assert after is not None
    assert after is not scorer
    assert DRIFT_DAY_MOST < 0.5
    assert agreement(before, [after.assign(x, None) for _, x in crowd]) > 0.9


def test_robots_do_not_count_and_what_is_sensitive_has_no_influence() -> None:
    """Who is excluded must leave no trace in the bytes, nor must a feature that may not be used."""
    rng = Random(8)
    crowd = rows(rng, 1_100)
    spec = ModelSpec("behaviour", "groups", groups=4, exclude="robots", sensitive=("device", "hour"))
    plain, crawled, other = (Shop(GroupsTrainer(spec, FEATURES)) for _ in range(3))
    (first,) = plain.day(crowd)
    for row in rows(rng, 50):
        crawled.trainer.take(profile(row, START_MS, 0, seeds=("robots",)))
    (second,) = crawled.day(crowd)
    (third,) = other.day([(*row[:8], float(rng.randrange(24)), float(rng.randrange(3))) for row in crowd])
    assert isinstance(first, ModelPublished)
    assert isinstance(second, ModelPublished)
    assert isinstance(third, ModelPublished)
    assert first.scorer == second.scorer == third.scorer


def test_with_too_few_profiles_it_says_so_and_publishes_nothing() -> None:
    """Groups of a hundred people are chance."""
    shop = Shop()
    assert shop.day(rows(Random(1), 300)) == []
    card = shop.trainer.card()
    assert (card.state, card.why) == ("not ready", "300 of 1,000 profiles seen")


def test_a_snapshot_in_mid_stream_goes_on_as_if_nothing_had_happened() -> None:
    """Through JSON, before and after the first seeding, drift and a seeding anew included."""
    rng = Random(21)
    days = [rows(rng, 550, (0, 1, 2) if day < 3 else (1, 2, 3)) for day in range(12)]
    shop = Shop()
    for at, crowd in enumerate(days):
        again = Shop(GroupsTrainer.restore(SPEC, FEATURES, json.loads(json.dumps(shop.trainer.dump()))))
        again.at_ms, again.offset = shop.at_ms, shop.offset
        assert shop.day(crowd) == again.day(crowd), at
        assert shop.trainer.dump() == again.trainer.dump()
    assert shop.alerts("group_new")
    assert sum(isinstance(one, ModelPublished) for one in shop.said) >= 3


def test_memory_is_flat() -> None:
    """The snapshot is written with every batch."""
    shop = Shop()
    rng = Random(4)
    sizes: list[int] = []
    for _ in range(16):
        shop.day(rows(rng, 400))
        sizes.append(len(json.dumps(shop.trainer.dump())))
    assert max(sizes) < 150_000
    assert max(sizes[8:]) <= max(sizes[:8]) * 1.02


def test_the_hash_seed_does_not_matter() -> None:
    """Two learners over the same log must publish the same bytes."""
    program = (
        "import hashlib\nfrom random import Random\nfrom tests.learning.test_groups import Shop, rows\n"
        "shop, rng, seen = Shop(), Random(6), hashlib.sha256()\n"
        "for kinds in [(0, 1, 2)] * 3 + [(1, 2, 3)] * 7:\n"
        "    for one in shop.day(rows(rng, 500, kinds)): seen.update(repr(one).encode())\n"
        "print(seen.hexdigest())\n"
    )
    digests = [
        subprocess.run([sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True, text=True).stdout
        for seed in ("0", "4711")
    ]
    assert digests[0] == digests[1] != ""


def test_a_scorer_answers_whatever_it_is_asked() -> None:
    """Wild values reach it before anybody can check them."""
    shop = Shop()
    shop.day(rows(Random(5), 1_000))
    assert shop.scorer is not None
    for wild in (float("nan"), float("inf"), float("-inf"), 1e308, -1e308, -1.0, 0.0):
        assert 0 <= shop.scorer.assign((wild,) * len(FEATURES.features), None) < 4


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ('"number":0', '"number":9', "$.groups[0].number"),
        ('"number":1', '"number":0', "$.groups"),
        ('"at":0', '"at":10', "$.space.axes["),
        ('"centre":[', '"centre":[1.5,', "$.groups[0].centre"),
        ('"kind":"groups"', '"kind":"purchase"', "$"),
        ('"scale":', '"scale":1e999,"x":', "$"),
    ],
)
def test_a_damaged_scorer_is_refused(old: str, new: str, path: str) -> None:
    """It comes out of the log, where anything may stand; a wrong number would be served for days."""
    shop = Shop()
    (one,) = shop.day(rows(Random(5), 1_000))
    assert isinstance(one, ModelPublished)
    text = one.scorer.decode()
    assert old in text
    with pytest.raises(RefusedError) as refused:
        decode_groups(text.replace(old, new, 1).encode())
    assert refused.value.reason == "bad_model"
    assert refused.value.path.startswith(path)
