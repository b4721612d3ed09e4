"""What models said before a segment asked them: the log tells it, as far as it reaches and as far as it was of the same model."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any
from unittest.mock import patch

import pytest

from streamer.flow import scorers
from streamer.flow.catalog import Plans
from streamer.flow.lane.lanes import OnTheSpot
from streamer.flow.rules import Rules
from streamer.flow.shard import Shard
from streamer.segments.plan.plan import warming_predicates
from streamer.stores.memory import MemoryStore
from streamer.wire import DEAD_LETTERS
from tests.oracle.story import Record
from tests.property.born_old import known, told
from tests.property.driving import ListLog, log_record, never
from tests.property.scored import scrambled
from tests.unit.flow.lane.test_born_old import BEGIN_MS, DAY_MS, event, log

BUYS = {"kind": "purchase", "horizon": "2d"}
LIKELY = {"likely": {"when": 'score("buys") >= 0.01', "exit": 'score("buys") < 0'}}  # whoever was scored once


@pytest.fixture(autouse=True)
def models() -> Iterator[None]:
    with scrambled():
        yield


def defined(version: int, segments: dict[str, Any], **models: Any) -> dict[str, Any]:
    seen = {"seen": {"when": 'did("Seen")'}}
    return {"control": "definitions", "version": version, "definitions": {"segments": {**seen, **segments}, "models": models}}


def serves(version: int, kind: str = "purchase", model: str = "buys") -> dict[str, Any]:
    return {"control": "model", "model": model, "kind": kind, "version": version}


def withdrawn(version: int) -> dict[str, Any]:
    return {"control": "withdraw", "model": "buys", "version": version}


def inside(records: Sequence[Record]) -> dict[str, int]:
    """When ada entered what she is in."""
    switched = told(records)
    return known(switched.shard, switched.shown)["ada"].inside


def test_who_was_scored_is_inside_since_then() -> None:
    """Though no one had asked for that score yet."""
    first, last = defined(1, {}, buys=BUYS), defined(2, LIKELY, buys=BUYS)
    assert inside(log(first, event("Buy", 1), serves(1), event("Buy", 2), event("Buy", 3), last)) == {"likely": BEGIN_MS + 3 * DAY_MS}


def test_what_a_withdrawn_model_said_is_not_taken_back() -> None:
    """Nobody leaves a segment for want of knowledge, and so nobody who would have been in it is outside."""
    first, last = defined(1, {}, buys=BUYS), defined(2, LIKELY, buys=BUYS)
    told_all = log(first, event("Buy", 1), serves(1), event("Buy", 2), withdrawn(1), event("Buy", 3), last)
    assert inside(told_all) == {"likely": BEGIN_MS + 3 * DAY_MS}


def test_what_another_model_of_the_name_said_counts_for_nothing() -> None:
    """It answered another question, up to the definitions with which the one that is asked came."""
    first, second, last = defined(1, {}, buys={**BUYS, "horizon": "7d"}), defined(2, {}, buys=BUYS), defined(3, LIKELY, buys=BUYS)
    assert inside(log(first, serves(1), event("Buy", 1), second, event("Buy", 2), last)) == {}
    again = log(first, serves(1), event("Buy", 1), second, event("Buy", 2), serves(2), event("Buy", 3), last)
    assert inside(again) == {"likely": BEGIN_MS + 6 * DAY_MS}


def test_a_damaged_scorer_serves_in_the_lane_as_little_as_in_the_shard() -> None:
    """The shard has said a dead letter for it; a lane says none, and goes on."""
    first, last = defined(1, {}, buys=BUYS), defined(2, LIKELY, buys=BUYS)
    switched = told(log(first, event("Buy", 1), serves(1, kind="churn"), event("Buy", 2), last))
    assert known(switched.shard, switched.shown)["ada"].inside == {}
    assert [output.topic for output in switched.shown.outputs].count(DEAD_LETTERS) == 1


def test_where_the_log_lost_what_served_the_segment_says_since_when_scores_are_known() -> None:
    """Who left a segment since is told from who never was in it by nothing any more."""
    first, last = defined(1, {}, buys=BUYS), defined(2, LIKELY, buys=BUYS)
    records = [log_record(one) for one in log(first, serves(1), event("Buy", 1), event("Buy", 2), event("Buy", 3), last)]

    async def run(begin: int) -> Shard:
        store, rules = MemoryStore(), Rules(shards=1)
        lanes = OnTheSpot(store, ListLog(records[begin:], begin), rules, pause=never)
        shard = await Shard.acquire(0, store, Plans(store, rules), rules, lanes=lanes, pause=never)
        await shard.process(records)
        return shard

    cut, whole = asyncio.run(run(3)), asyncio.run(run(0))
    assert warming_predicates(whole.plan, whole.body.since_ms, whole.body.log_time_ms) == {}
    lacking = warming_predicates(cut.plan, cut.body.since_ms, cut.body.log_time_ms)
    assert {clause: found.since_ms for clause, found in lacking.items()} == {
        'score("buys") >= 0.01': BEGIN_MS + 3 * DAY_MS,
        'score("buys") < 0': BEGIN_MS + 3 * DAY_MS,
    }
    assert (whole.sizes["likely"], cut.sizes["likely"]) == (1, 1), "the shard has the score itself"


async def test_a_scorer_is_decoded_once_for_all_lanes_and_their_shards() -> None:
    """One of some megabytes, for each of twelve shards and each of their lanes, would stop a worker."""
    first, last = defined(1, {}, buys=BUYS), defined(2, LIKELY, buys=BUYS)
    records = [log_record(one) for one in log(first, serves(1), event("Buy", 1), last)]
    store, rules = MemoryStore(), Rules(shards=1)
    plans = Plans(store, rules)
    with patch.object(scorers, "decode_scorer", wraps=scorers.decode_scorer) as decode:
        lanes = OnTheSpot(store, ListLog(records), rules, pause=never, scorers=plans.scorers)
        shard = await Shard.acquire(0, store, plans, rules, lanes=lanes, pause=never)
        await shard.process(records)
    assert shard.sizes["likely"] == 1, "the lane has scored"
    assert decode.call_count == 1
