"""A model that is defined late has learned what it would have learned had it always been there."""

from __future__ import annotations

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import pytest
from past_shop import NEW, OLD, SEGMENTS, SHARDS, T0, Batches, Shop, defined, hear, is_of_lane, learned, trainers, visits

from streamer.examples import Example
from streamer.flow.learner_checkpoint import LearnerCheckpoint
from streamer.flow.training import TrainingLog
from streamer.flow.training_order import read_training_record
from streamer.stores.memory import MemoryStore
from streamer.wire import EXAMPLES, lane_headers, lane_of

FULL = SEGMENTS + NEW


async def lived(*texts: str, apart: int = 0, customers: int = 500) -> Shop:
    """A shop whose definitions change when most of its events have come, in the second shard some events later; and what came then."""
    shop = Shop([defined(text) for text in texts])
    events = visits(customers)
    shop.publish(1)
    at = int(len(events) * 0.7)
    for number, event in enumerate(events):
        shop.write(event)
        if len(texts) > 1 and number in (at, at + apart):
            shop.publish(2, [0] if number == at and apart else [1] if apart else range(SHARDS))
        if number % 97 == 0:
            await shop.process(number % SHARDS)
    await shop.settle()
    return shop


@lru_cache
def shop(*texts: str, apart: int = 0) -> Shop:
    """The same, made once."""
    with ThreadPoolExecutor(1) as beside:  # whoever asks is a test that runs in a loop of its own
        return beside.submit(asyncio.run, lived(*texts, apart=apart)).result()


@lru_cache
def always() -> LearnerCheckpoint:
    """The learner of a shop that had the last definitions from its beginning."""
    with ThreadPoolExecutor(1) as beside:
        return beside.submit(asyncio.run, learned(shop(FULL))).result().body


@pytest.mark.parametrize("before", [SEGMENTS, OLD], ids=["no models before", "one before"])
@pytest.mark.parametrize("apart", [0, 150], ids=["together", "shards apart"])
async def test_it_has_learned_what_a_full_replay_would_teach_it(before: str, apart: int) -> None:
    """From the lanes before the definitions held in a shard, and from the shard itself after that: in one order, each example once."""
    late = (await learned(shop(before, FULL, apart=apart))).body
    found, expected = trainers(late), trainers(always())
    assert found.keys() == expected.keys() == {"old", "purchase", "spend", "behaviour", "like_keen", "odd"}
    for name in expected:
        assert found[name] == expected[name], name
    assert (late.pasts, late.born, late.under) == ([], {}, [2] * SHARDS), "nothing is left of it"
    assert late.current == always().current


AGAIN = SEGMENTS + "models:\n  old: {kind: churn, horizon: 2h, edition: 2}\n  odd: {kind: unusual, edition: 2}\n"
AT_FIRST = AGAIN.replace(", edition: 2", "")


async def with_history() -> Shop:
    """A shop that has begun without its past, has that brought in, and gives its models another edition then."""
    shop = Shop([defined(text) for text in (AT_FIRST, AT_FIRST, AGAIN)])
    events = visits(400)
    begins, brings, again = (int(len(events) * share) for share in (0.5, 0.6, 0.8))
    for event in events[:begins]:
        shop.remember(event)
    shop.now_ms = events[begins].at_ms
    shop.publish(1)
    for number, event in enumerate(events[begins:], begins):
        shop.write(event)
        if number in (brings, again):
            shop.publish(2 if number == brings else 3, with_history=True)
            await shop.process(number % SHARDS)
    await shop.settle()
    return shop


async def test_a_model_of_another_edition_learns_what_history_brought_in_later() -> None:
    """What it was before that goes on as it was: nobody's scores change because years were imported."""
    found, whole = await with_history(), Shop([defined(AGAIN)])
    whole.publish(1)
    for event in visits(400):
        whole.write(event)
    await whole.settle()
    late, expected = (await learned(found)).body, (await learned(whole)).body
    assert trainers(late) == trainers(expected)
    assert late.cards["old"].from_ms == T0
    until = await learned(found, most=1)
    assert not until.body.pasts, "at the first definitions there is no past"


def test_lanes_say_as_much_as_shards() -> None:
    """The tests here would prove nothing if most were said by the shards themselves."""
    found = shop(OLD, FULL, apart=150)
    for shard in range(SHARDS):
        said = [lane_of(record.headers) for record in found.examples(shard)]
        assert 200 < said.count(2) < len(said) - 200
        own = [read_training_record(shard, record).what for record in found.examples(shard) if not is_of_lane(record)]
        assert [what.definitions for what in own if isinstance(what, Example) and what.kind == "switch"] == [1, 2]


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_learner_put_down_in_the_middle_of_the_past_is_taken_up_without_a_trace(seed: int) -> None:
    """Crashes too: what was learned but not committed is learned again, by another, and comes to the same bytes."""
    draw, found, store, cut = random.Random(seed), shop(OLD, FULL, apart=150), MemoryStore(), 0
    while True:
        training = await TrainingLog.acquire(store, found.versions, SHARDS, topic=Batches(found, draw.randrange(1, 400)))
        cut += any(past.learner for past in training.body.pasts)
        hear(found, training)
        await training.take(training.order.ready(), draw.randrange(1, 400))
        if not training.has_todo:
            break
        await training.commit()
        await training.take([], draw.randrange(1, 200))  # and is killed
    await training.commit()
    assert cut > 2, "it was put down while the past was learned"
    assert training.body.learner == (await learned(found)).body.learner


async def test_what_is_not_of_the_lane_that_was_joined_is_left_out() -> None:
    """A lane that was cancelled, one whose relay repeated it, and one that was folded anew after a crash."""
    found = await lived(OLD, FULL, customers=150)
    plain = (await learned(found)).body
    for shard in range(SHARDS):
        lane = [record for record in found.examples(shard) if is_of_lane(record)]
        records = found.log.records(EXAMPLES, shard)
        at = next(number for number, record in enumerate(records) if lane_of(record.headers)) + len(lane) // 2
        repeated = [records[number] for number, record in enumerate(records[:at]) if lane_of(record.headers)]
        cancelled = [record._replace(headers=lane_headers(9)) for record in repeated]
        found.log._topics[EXAMPLES][shard][at:at] = [*cancelled, *repeated]  # pyright: ignore[reportPrivateUsage]
        assert len(repeated) > 20
    again = (await learned(found)).body
    assert (again.learner, again.current) == (plain.learner, plain.current)


async def test_nothing_is_learned_behind_new_definitions_before_every_shard_has_come_to_them() -> None:
    """Which of a shard's lanes counts is known by its switch alone."""
    found = await lived(OLD, FULL, apart=40, customers=150)
    whole = found.examples(1)
    switch = max(number for number, record in enumerate(whole) if b'"switch"' in record.value)
    found.log._topics[EXAMPLES][1][switch:], rest = [], found.log._topics[EXAMPLES][1][switch:]  # pyright: ignore[reportPrivateUsage]
    training = await TrainingLog.acquire(MemoryStore(), found.versions, SHARDS, topic=Batches(found))
    hear(found, training)
    await training.take(training.order.ready())
    assert training.lacks == (1, 2)
    assert (training.has_todo, training.body.version) == (True, 1)
    found.log._topics[EXAMPLES][1].extend(rest)  # pyright: ignore[reportPrivateUsage]
    done = await learned(found)
    assert (done.lacks, done.body.version) == (None, 2)


async def test_a_card_says_of_which_time_a_model_has_learned() -> None:
    """So that people know whether it saw last year's Christmas."""
    cards = (await learned(shop(OLD, FULL, apart=150))).cards()
    assert {cards[name].from_ms for name in ("old", "purchase", "odd")} == {T0}
    assert cards["old"].joined_ms == 0
    assert T0 < cards["purchase"].joined_ms == cards["odd"].joined_ms
