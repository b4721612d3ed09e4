"""The learner as a whole: minutes, marks, and who gets what."""

from __future__ import annotations

import msgspec

from streamer.examples import MARK_MS, Example, ModelSpec
from streamer.learning.evaluation.champion_challenger import BASELINE
from streamer.learning.learner import Learner
from streamer.learning.models.propensity import PropensityTrainer
from streamer.learning.reports.outputs import Alert, LearnerOutput, ModelPublished, ModelWithdrawn
from streamer.learning.scorers.decode import decode_scorer
from tests.learning.golden.make import FEATURES, LIMITS, SPECS, examples


def test_things_are_said_only_when_a_minute_is_over() -> None:
    """Within a minute shards are read one after the other: what was said there would depend on who was read first."""
    learner = Learner(SPECS, FEATURES, LIMITS)
    minute = -1
    heard = 0
    for example in examples(0, 900):
        said = learner.take(example)
        heard += len(said)
        assert not said or example.at_ms // MARK_MS > minute
        minute = example.at_ms // MARK_MS
    assert heard > 3


def test_models_do_not_disturb_each_other() -> None:
    """Each says the same alone as in company."""

    def said(specs: tuple[ModelSpec, ...]) -> list[bytes]:
        learner = Learner(specs, FEATURES, LIMITS)
        heard = [one for example in examples(0, 700) for one in learner.take(example)]
        return [msgspec.json.encode(one) for one in heard if SPECS[0].name in (getattr(one, "model", ""), getattr(one, "subject", ""))]

    assert said(SPECS[:1]) == said(SPECS) != []


def test_every_publication_carries_the_card_of_its_moment() -> None:
    """Whoever looks at an old version sees how good it was known to be."""
    learner = Learner(SPECS, FEATURES, LIMITS)
    published = [one for example in examples(0, 900) for one in learner.take(example) if isinstance(one, ModelPublished)]
    assert published
    for one in published:
        assert (one.model, one.version, "ready") == (one.card.model, one.card.version, one.card.state)
        assert one.card.roster[0].why.startswith("champion")


def test_sizes_of_segments_reach_the_watch_over_surges() -> None:
    """A segment that triples against its own habits is said, with before and after."""
    learner = Learner((), FEATURES)
    heard: list[LearnerOutput] = []
    for minute in range(6 * 7 * 24 * 60 // 10):
        size = 300 if minute > 6_000 else 100 + minute % 3
        mark = Example("mark", 0, minute, 0, minute * 10 * MARK_MS, sizes={"vip": size})
        heard += learner.take(mark)
    alerts = [one for one in heard if isinstance(one, Alert)]
    assert alerts
    assert {"vip"} == {one.subject for one in alerts}
    assert all(one.after > one.before for one in alerts)
    assert Learner.restore((), FEATURES, learner.dump()).dump() == learner.dump()


def fallen(learner: Learner) -> None:
    """Outcomes on which the champion of ``purchase`` was far worse than the base rate."""
    trainer = learner.trainers["purchase"]
    assert isinstance(trainer, PropensityTrainer)
    assert trainer.roster is not None
    comparison = trainer.roster._comparisons[BASELINE]  # pyright: ignore[reportPrivateUsage]
    for _ in range(50 * (1 + comparison.gain.count)):
        comparison.add(-2.0, 2.0, 0)


def learned() -> tuple[Learner, list[Example]]:
    """A learner that has published ``purchase``, and the marks of the minutes after."""
    learner = Learner(SPECS[:1], FEATURES, LIMITS)
    last = 0
    for example in examples(0, 900):
        learner.take(example)
        last = example.at_ms
    assert learner.cards()["purchase"].state == "ready"
    fallen(learner)
    return learner, [Example("mark", 0, 1_000_000 + at, 0, last + at * MARK_MS) for at in range(1, 6)]


def test_a_model_that_falls_behind_the_base_rate_is_withdrawn_once() -> None:
    """Its scores are worth less than knowing nothing: it must not go on serving."""
    learner, marks = learned()
    version = learner.cards()["purchase"].version
    said = [one for mark in marks for one in learner.take(mark)]
    assert [(one.model, one.version, one.at_ms) for one in said if isinstance(one, ModelWithdrawn)] == [
        ("purchase", version, marks[0].at_ms // MARK_MS * MARK_MS)
    ]
    assert [one.kind for one in said if isinstance(one, Alert)] == ["not_ready"]
    card = learner.cards()["purchase"]
    assert card.state == "not ready"
    assert f"version {version} was withdrawn" in card.why
    again = Learner.restore(SPECS[:1], FEATURES, learner.dump(), LIMITS)
    assert again.cards() == learner.cards()


def test_a_pinned_model_is_withdrawn_only_when_it_is_let_go() -> None:
    """Somebody wants this version whatever is learned; afterwards what was learned holds again."""
    learner, marks = learned()
    learner.pin("purchase", 1)
    assert not [one for mark in marks[:2] for one in learner.take(mark) if isinstance(one, ModelWithdrawn)]
    learner = Learner.restore(SPECS[:1], FEATURES, learner.dump(), LIMITS)
    learner.unpin("purchase")
    assert [one.model for mark in marks[2:] for one in learner.take(mark) if isinstance(one, ModelWithdrawn)] == ["purchase"]


def test_a_model_pinned_after_it_was_withdrawn_is_withdrawn_again_when_it_is_let_go() -> None:
    """Between the two it serves by somebody's will alone."""
    learner, marks = learned()
    assert [one for mark in marks[:2] for one in learner.take(mark) if isinstance(one, ModelWithdrawn)]
    learner.pin("purchase", 1)
    learner.unpin("purchase")
    assert [one.model for mark in marks[2:] for one in learner.take(mark) if isinstance(one, ModelWithdrawn)] == ["purchase"]


def test_a_model_that_begins_anew_counts_its_versions_on() -> None:
    """A version is kept for good under its name: a second first one would be taken for the one that is there."""
    learner = Learner(SPECS[:1], FEATURES, LIMITS)
    before = [one.version for example in examples(0, 900) for one in learner.take(example) if isinstance(one, ModelPublished)]
    other = msgspec.structs.replace(SPECS[0], horizon_ms=7_200_000)
    for specs in ((), (other,)):  # gone for a while, and back as something else
        learner = Learner.restore(specs, FEATURES, learner.dump(), LIMITS)
    assert learner.cards()["purchase"].version == 0
    after = [one for example in examples(900, 900) for one in learner.take(example) if isinstance(one, ModelPublished)]
    assert [one.version for one in after] == list(range(before[-1] + 1, before[-1] + 1 + len(after)))
    assert [decode_scorer(one.scorer).version for one in after] == [one.version for one in after] == [one.card.version for one in after]
    again = Learner.restore((other,), FEATURES, learner.dump(), LIMITS)
    assert again.dump() == learner.dump()
    assert again.cards() == learner.cards()
