"""The learner as a whole: minutes, marks, and who gets what."""

from __future__ import annotations

import msgspec

from streamer.examples import MARK_MS, Example, ModelSpec
from streamer.learning.learner import Learner
from streamer.learning.said import Alert, Publish
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
    published = [one for example in examples(0, 900) for one in learner.take(example) if isinstance(one, Publish)]
    assert published
    for one in published:
        assert (one.model, one.version, "ready") == (one.card.model, one.card.version, one.card.state)
        assert one.card.roster[0].why.startswith("champion")


def test_sizes_of_segments_reach_the_watch_over_surges() -> None:
    """A segment that triples against its own habits is said, with before and after."""
    learner = Learner((), FEATURES)
    heard: list[Publish | Alert] = []
    for minute in range(6 * 7 * 24 * 60 // 10):
        size = 300 if minute > 6_000 else 100 + minute % 3
        mark = Example("mark", 0, minute, 0, minute * 10 * MARK_MS, sizes={"vip": size})
        heard += learner.take(mark)
    alerts = [one for one in heard if isinstance(one, Alert)]
    assert alerts
    assert {"vip"} == {one.subject for one in alerts}
    assert all(one.after > one.before for one in alerts)
    assert Learner.restore((), FEATURES, learner.dump()).dump() == learner.dump()
