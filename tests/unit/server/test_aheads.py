"""Looking ahead, which is most of what an answer about a customer costs: done once, bounded, and in nobody's way."""

from __future__ import annotations

import asyncio

import pytest

from streamer.customers.state import State
from streamer.flow.committed import STEPS_AT_ONCE
from streamer.segments.evaluate import Ahead, Flip, next_flips
from streamer.segments.plan.plan import Plan
from streamer.server import aheads
from streamer.server.aheads import ENTRY_WEIGHT, Aheads
from streamer.server.process import answers_over
from streamer.settings import load_settings
from tests.unit.flow.persons import HOUR_MS, MINUTE_MS, START_MS, segments

from .desk import SHARDS, reading

RULES = segments(recent='did("A", within="1h")', often='count("A", within="2h") >= 2')
EVENING = segments(evening='hour() >= 18 and did("A")')


class Looks:
    """Counts how often somebody looks ahead."""

    def __init__(self) -> None:
        self.after: list[int] = []

    def __call__(self, plan: Plan, state: State, after_ms: int, *, steps_max: int) -> Ahead:
        self.after.append(after_ms - START_MS)
        return next_flips(plan, state, after_ms, steps_max=steps_max)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    found = Looks()
    monkeypatch.setattr(aheads, "next_flips", found)
    return found


async def test_a_customer_who_stays_as_they_are_is_looked_ahead_for_once(looks: Looks) -> None:
    """A page that asks at every click asks of the same state again and again."""
    async with reading(RULES) as desk:
        desk.shop.write("A", userId="c-1")
        await desk.shop.settle()
        first = (await desk.get("/v1/customers/c-1")).body["memberships"]
        assert first["recent"]["next_flip"]["enters"] is False
        for _ in range(3):
            desk.shop.wait(10 * MINUTE_MS)
            await desk.shop.settle()
            assert (await desk.get("/v1/customers/c-1?segments=recent")).body["memberships"]["recent"] == first["recent"]
        assert looks.after == [0]
        desk.shop.write("A", userId="c-1")  # now the state is another
        await desk.shop.settle()
        second = (await desk.get("/v1/customers/c-1")).body["memberships"]
        assert second["recent"]["next_flip"] != first["recent"]["next_flip"]
        assert looks.after == [0, 30 * MINUTE_MS]


def test_what_time_has_done_since_is_looked_for_anew(looks: Looks) -> None:
    """A flip that lies behind is no next flip, also where the store still has the state from before it."""
    plan, state = Plan(segments(evening="hour() >= 18"), lateness_ms=HOUR_MS), State(0, origin_ms=START_MS)
    kept, due_ms = Aheads(), START_MS + 18 * HOUR_MS
    foretold = kept.get(b"c-1", plan, state, START_MS)
    assert foretold.flips == {"evening": Flip(due_ms, True)}
    assert kept.get(b"c-1", plan, state, due_ms - 1) is foretold
    assert looks.after == [0]
    assert all(flip.at_ms > due_ms for flip in kept.get(b"c-1", plan, state, due_ms).flips.values())
    assert looks.after == [0, 18 * HOUR_MS]


def test_what_is_kept_is_bounded_and_who_was_not_asked_for_longest_goes(looks: Looks) -> None:
    """A program that asks for a million customers, one after the other, must not fill the memory."""
    plan, state = Plan(RULES, lateness_ms=HOUR_MS), State(0, origin_ms=START_MS)
    kept = Aheads(flips_max=3 * ENTRY_WEIGHT)
    for mark in (b"1", b"2", b"3", b"1", b"4"):
        kept.get(mark, plan, state, START_MS)
        assert kept.kept <= 3 * ENTRY_WEIGHT
    assert len(looks.after) == 4
    kept.get(b"1", plan, state, START_MS)
    assert len(looks.after) == 4, "it was asked for just now"
    kept.get(b"2", plan, state, START_MS)
    assert len(looks.after) == 5, "it was asked for longest ago"


async def test_an_explanation_lets_others_have_their_turn() -> None:
    """It follows a rule on the hour of the day for two years: all readers of the process waited for it."""
    async with reading(EVENING) as desk:
        desk.shop.write("A", userId="c-1")
        await desk.shop.settle()
        committed = answers_over(load_settings(shards=SHARDS), desk.store, desk.ends).committed
        found = await committed.look_up("c-1")
        plan = await committed.plan_of(found)
        assert found.state is not None
        explaining = asyncio.create_task(committed.explain(found, START_MS))
        turns = 0
        while not explaining.done():
            await asyncio.sleep(0)
            turns += 1
        moments = 2 * 731  # the evening comes and goes
        assert turns > moments // STEPS_AT_ONCE
        [one] = explaining.result()
        flip = next_flips(plan, found.state, START_MS).flips["evening"]
        assert one.flips_at is not None
        assert (flip.enters, one.flips_at[11:16]) == (True, "18:00")
