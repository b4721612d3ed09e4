"""Who is like a seed: ranked well, without the traits that define it, and silent while nothing is known."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from random import Random

import pytest

from streamer.examples import Example, ModelSpec
from streamer.learning.learner import Learner
from streamer.learning.models.lookalike import LookalikeTrainer
from streamer.learning.reports.outputs import ModelPublished
from streamer.learning.scorers.lookalike_scorer import LookalikeScorer, decode_lookalike
from tests.learning.scorer_promises import check_answers_to_wild_values, check_refused, check_same_in_each_process
from tests.learning.shop import DAY_MS, FEATURES, NAMES, START_MS, person, profile

SPEC = ModelSpec("like-loyal", "lookalike", seed="loyal", exclude="robots", sensitive=("device",))
DEFINING = frozenset({"orders", "spend"})
TAGGED = 0.4  # of those who are truly the best: the others are who is looked for
Person = tuple[bool, bool, tuple[float, ...]]  # truly one of the best, inside the seed, features


def crowd(rng: Random, count: int, best: float = 0.05, tagged: float = TAGGED) -> list[Person]:
    """Loyal buyers among others; only some of them are in the seed yet."""
    found: list[Person] = []
    for _ in range(count):
        truly = rng.random() < best
        x = person(rng, 2 if truly else rng.choice((0, 1, 3)))
        found.append((truly, truly and rng.random() < tagged, x))
    return found


def feed(trainer: LookalikeTrainer, people: Iterable[Person], start_ms: int = START_MS) -> list[ModelPublished]:
    """Their profiles within a day, then the marks that end it."""
    for offset, (_, inside, x) in enumerate(people):
        assert trainer.take(profile(x, start_ms, offset, seeds=("loyal",) if inside else ())) == []
    said = trainer.on_watermark(start_ms + 60_000) + trainer.on_watermark(start_ms + DAY_MS)
    return [one for one in said if isinstance(one, ModelPublished)]


def learned(rng: Random, count: int = 6_000) -> tuple[LookalikeTrainer, LookalikeScorer]:
    """A trainer that has seen a crowd, and what it published last."""
    trainer = LookalikeTrainer(SPEC, FEATURES, DEFINING)
    return trainer, decode_lookalike(feed(trainer, crowd(rng, count))[-1].scorer)


def precision(scores: Sequence[float], people: Sequence[Person], share: float) -> float:
    """How many of the best-ranked ``share`` outside the seed are truly of the best."""
    ranked = sorted(zip(scores, people, strict=True), key=lambda one: -one[0])
    top = ranked[: int(share * len(ranked))]
    return sum(truly for _, (truly, _, _) in top) / len(top)


@pytest.mark.parametrize("seed", [1, 2])
def test_those_who_are_like_the_seed_come_out_on_top(seed: int) -> None:
    """Without the traits that define it, and far better than chance and than the rule of thumb, recency."""
    rng = Random(seed)
    _, scorer = learned(rng)
    others = [one for one in crowd(rng, 6_000) if not one[1]]
    base = sum(truly for truly, _, _ in others) / len(others)
    found = precision([scorer.score(x) for _, _, x in others], others, base)
    recent = precision([-x[NAMES.index("recency")] for _, _, x in others], others, base)
    assert base < 0.04
    assert found > 0.7
    assert found > 1.5 * recent
    assert recent > base


def test_a_score_is_the_share_of_the_others_who_are_less_like_the_seed() -> None:
    """So 0.8 means the same in every shop: the most alike fifth."""
    rng = Random(3)
    _, scorer = learned(rng)
    others = [x for _, inside, x in crowd(rng, 4_000) if not inside]
    for least in (5_000, 8_000, 9_500):
        assert sum(scorer.score(x) >= least for x in others) / len(others) == pytest.approx(1 - least / 10_000, abs=0.03)
    assert [scorer.percentile(score) for score in (0, 7_300, 10_000)] == [0, 7_300, 10_000]


def test_what_defines_the_seed_and_what_is_sensitive_has_no_influence() -> None:
    """Other values there must give the same model, byte for byte, and the same scores and reasons."""
    people = crowd(Random(4), 3_000)
    rng = Random(5)
    left_out = [at for at, name in enumerate(NAMES) if name in DEFINING or name == "device"]

    def other(x: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(float(rng.randrange(3)) if at in left_out else number for at, number in enumerate(x))

    first = feed(LookalikeTrainer(SPEC, FEATURES, DEFINING), people)
    second = feed(LookalikeTrainer(SPEC, FEATURES, DEFINING), [(truly, inside, other(x)) for truly, inside, x in people])
    assert [one.scorer for one in first] == [one.scorer for one in second] != []
    scorer = decode_lookalike(first[-1].scorer)
    for _, _, x in people[:200]:
        assert scorer.score(x) == scorer.score(other(x))
        assert not {reason.feature for reason in scorer.reasons(x, 10)} & {"orders", "spend", "device"}
    with_all = feed(LookalikeTrainer(ModelSpec("like-loyal", "lookalike", seed="loyal"), FEATURES), people)
    assert with_all[-1].scorer != first[-1].scorer


def test_reasons_name_what_is_like_the_seed_and_what_is_not() -> None:
    """A marketer asks why; so does the customer."""
    rng = Random(6)
    _, scorer = learned(rng)
    like, unlike = scorer.reasons(person(rng, 2)), scorer.reasons(person(rng, 0))
    assert 1 <= len(like) <= 3
    assert all(reason.effect > 0 and reason.words.endswith(": like “loyal”") for reason in like)
    assert any(reason.effect < 0 and reason.words.endswith(": unlike “loyal”") for reason in unlike)
    assert any(words.startswith("days since the last visit ") for words in scorer.describe())


@pytest.mark.parametrize(("best", "why"), [(0.01, "“loyal” has "), (0.0, "“loyal” has 0 of 50 members")])
def test_a_seed_of_a_handful_publishes_nothing(best: float, why: str) -> None:
    """Thirty people are not a kind of people."""
    trainer = LookalikeTrainer(SPEC, FEATURES, DEFINING)
    assert feed(trainer, crowd(Random(7), 3_000, best, 1.0)) == []
    card = trainer.card()
    assert card.state == "not ready"
    assert card.why.startswith(why)


def test_a_seed_drawn_by_lot_publishes_nothing() -> None:
    """They are like everybody; a ranking of the others by it would be noise that looks like knowledge."""
    rng = Random(8)
    people = [(False, rng.random() < 0.1, person(rng, rng.randrange(4))) for _ in range(6_000)]
    trainer = LookalikeTrainer(SPEC, FEATURES, DEFINING)
    assert feed(trainer, people) == []
    card = trainer.card()
    assert (card.state, card.why) == ("not ready", "those in “loyal” cannot be told from the others yet")
    assert card.auc == pytest.approx(0.5, abs=0.05)


def test_marks_say_how_large_the_seed_is() -> None:
    """Few of a large seed may come by in a day; and one person who comes every day is still one."""
    people = crowd(Random(9), 3_000, 0.04, 1.0)
    few = LookalikeTrainer(SPEC, FEATURES, DEFINING)
    for shard, size in ((0, 20), (1, 29), (1, 25)):
        few.take(Example("mark", shard, 0, 0, START_MS, sizes={"loyal": size, "other": 900}))
    assert feed(few, people) == []
    assert few.card().why == "“loyal” has 45 of 50 members that it takes"
    few.take(Example("mark", 1, 0, 0, START_MS, sizes={"loyal": 31}))
    assert few.card().state == "ready"


def test_robots_leave_no_trace() -> None:
    """Who is excluded neither trains nor counts."""
    rng = Random(10)
    people = crowd(rng, 2_500, 0.1)
    clean, crawled = LookalikeTrainer(SPEC, FEATURES, DEFINING), LookalikeTrainer(SPEC, FEATURES, DEFINING)
    for x in (person(rng, 1) for _ in range(100)):
        crawled.take(profile(x, START_MS, 0, seeds=("loyal", "robots")))
    assert feed(clean, people) == feed(crawled, people) != []


def test_a_snapshot_in_mid_stream_goes_on_as_if_nothing_had_happened() -> None:
    """Through JSON; what was left out stays left out."""
    trainer = LookalikeTrainer(SPEC, FEATURES, DEFINING)
    rng = Random(11)
    published = 0
    for day in range(8):
        again = LookalikeTrainer.restore(SPEC, FEATURES, json.loads(json.dumps(trainer.dump())), DEFINING)
        people = crowd(rng, 400 if day < 2 else 1_200, 0.1)
        first, second = (feed(one, people, START_MS + day * DAY_MS) for one in (trainer, again))
        assert first == second
        assert trainer.dump() == again.dump()
        published += len(first)
    assert published >= 5


def test_when_the_seed_is_defined_by_something_else_it_begins_anew() -> None:
    """What it learned may now be the tautology that leaving out is there to prevent."""
    learner = Learner([SPEC], FEATURES, left_out={"like-loyal": DEFINING})
    for offset, (_, inside, x) in enumerate(crowd(Random(15), 1_000, 0.2)):
        learner.take(profile(x, START_MS, offset, seeds=("loyal",) if inside else ()))
    learner.take(Example("mark", 0, 1, 0, START_MS, sizes={"loyal": 77}))
    same = Learner.restore([SPEC], FEATURES, learner.dump(), left_out={"like-loyal": DEFINING})
    other = Learner.restore([SPEC], FEATURES, learner.dump(), left_out={"like-loyal": {"views"}})
    assert same.dump() == learner.dump()
    assert (same.cards()["like-loyal"].figures["members"], same.cards()["like-loyal"].learned) == (77, 1_000)
    assert other.cards()["like-loyal"].learned == 0


def test_memory_is_flat() -> None:
    """The snapshot is written with every batch."""
    trainer = LookalikeTrainer(SPEC, FEATURES, DEFINING)
    rng = Random(12)
    sizes: list[int] = []
    for day in range(8):
        feed(trainer, crowd(rng, 3_000), START_MS + day * DAY_MS)
        sizes.append(len(json.dumps(trainer.dump())))
    assert max(sizes) < 180_000
    assert sizes[-1] < 1.15 * sizes[2]


def test_the_hash_seed_does_not_matter() -> None:
    """Names of features travel in sets on their way here."""
    program = (
        "import hashlib\nfrom random import Random\nfrom tests.learning.test_lookalikes import *\n"
        "trainer = LookalikeTrainer(SPEC, FEATURES, {'spend', 'orders'})\n"
        "said = feed(trainer, crowd(Random(6), 2_000, 0.1))\nassert said\n"
        "print(hashlib.sha256(repr((said, trainer.dump())).encode()).hexdigest())\n"
    )
    check_same_in_each_process(program)


def test_a_scorer_answers_whatever_it_is_asked() -> None:
    """Wild values reach it before anybody can check them."""
    _, scorer = learned(Random(13), 4_000)
    check_answers_to_wild_values(scorer, len(NAMES))


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ('"weights":[', '"weights":[0.5,', "$.weights"),
        ('"average":[', '"average":[0.5,', "$.average"),
        ('"table":[', '"table":[1e9,', "$.table"),
        ('"units":[', '"units":["x",', "$.names"),
        ('"at":0', '"at":-1', "$.space.axes["),
        ('"version":1', '"version":"1"', "$"),
    ],
)
def test_a_damaged_scorer_is_refused(old: str, new: str, path: str) -> None:
    """It comes out of the log, where anything may stand."""
    said = feed(LookalikeTrainer(SPEC, FEATURES, DEFINING), crowd(Random(14), 2_500, 0.1))
    text = said[0].scorer.decode()
    check_refused(decode_lookalike, text, old, new, path)
