"""Break the rules of side lanes that the seeded world meets too seldom to notice: each by the small log in which it shows.

What a lane has folded is compared with the same log told under the later definitions from its beginning, which no lane is part of, or with
what is right by hand.
"""

# pyright: reportPrivateUsage=false
# Whoever breaks things must reach inside.

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

import msgspec
import pytest

from streamer.customers.state import State
from streamer.events.event import Event
from streamer.flow.identity import Identity
from streamer.flow.identity_records import Adopt
from streamer.flow.lane import lane_plan, past
from streamer.flow.lane.lane import SideLane
from streamer.flow.lane.lane_step import LaneStep, _LaneIdentity, _SilentAdmission
from streamer.flow.migration import Migration
from streamer.flow.rules import Rules
from streamer.segments.plan.plan import Plan
from streamer.segments.plan.plan_change import changed_names, meaning
from streamer.wire import LogRecord
from tests.oracle.story import Record
from tests.property.born_old import from_the_beginning, known, told_case, told_each_at_last
from tests.property.driving import Case, without_positions
from tests.unit.flow.lane import test_sides as sides
from tests.unit.flow.lane.test_history import ANN, SHARDS, OldShop
from tests.unit.flow.persons import MINUTE_MS, segments

Mutant = Callable[[pytest.MonkeyPatch], None]
Law = Callable[[], None]

BEGIN_MS: Final = 1_772_625_600_000
DAY_MS: Final = 86_400_000
MUTANTS: dict[str, tuple[Mutant, Law]] = {}


def noticed_by(law: Law) -> Callable[[Mutant], Mutant]:
    """Enlist a way to break the code, with the law that notices it."""

    def enlist(function: Mutant) -> Mutant:
        MUTANTS[function.__name__] = function, law
        return function

    return enlist


# small logs


def buys(day: float, message: str, *, who: str = "ada", happened: float | None = None) -> Record:
    """Somebody buys; it arrives on a day, and ``happened`` on that or another."""
    at_ms = int(BEGIN_MS + day * DAY_MS)
    happened_ms = at_ms if happened is None else int(BEGIN_MS + happened * DAY_MS)
    return Record(0, at_ms, {"type": "track", "event": "Buy", "messageId": message, "userId": who, "timestamp": happened_ms})


def published(day: float, segments: dict[str, str]) -> Record:
    return Record(0, int(BEGIN_MS + day * DAY_MS), {"control": "definitions", "version": 2, "definitions": defined(segments)})


def defined(segments: dict[str, str]) -> dict[str, Any]:
    return {"segments": {name: {"when": when} for name, when in segments.items()}}


def shop(before: dict[str, str], *records: Record) -> Case:
    return Case(defined(before), tuple(replace(record, offset=offset) for offset, record in enumerate(records, 1)))


def is_as_if_it_had_always_held(case: Case) -> None:
    """What is known at the last record is what a full replay would know, and somebody is in a segment."""
    found, expected = told_case(case), told_case(from_the_beginning(case))
    assert found.folds == 1, "no lane was folded"
    assert sum(expected.shard.sizes.values()), "nobody is inside"
    assert known(found.shard, found.shown) == known(expected.shard, expected.shown)


# laws


def an_event_that_comes_twice_counts_once() -> None:
    """A server sent it again before anybody asked how often."""
    more = {"seen": 'did("Seen")', "bought": 'did("Buy")', "often": 'count("Buy") >= 2'}
    is_as_if_it_had_always_held(shop({"seen": more["seen"]}, buys(1, "m1"), buys(1.1, "m1"), published(2, more)))


def an_event_that_comes_too_late_counts_never() -> None:
    """A phone was without a net for a week."""
    more = {"seen": 'did("Seen")', "bought": 'did("Buy")', "often": 'count("Buy") >= 2'}
    is_as_if_it_had_always_held(shop({"seen": more["seen"]}, buys(8, "m1"), buys(9, "m2", happened=1), published(10, more)))


def who_refers_to_what_has_changed_is_another_too() -> None:
    """Its own words are the same: whoever is in it is so since another day."""
    before = {"inner": 'count("Buy") >= 1', "outer": 'segment("inner")'}
    after = {"inner": 'count("Buy") >= 2', "outer": 'segment("inner")'}
    is_as_if_it_had_always_held(shop(before, buys(1, "m1"), buys(2, "m2"), published(3, after)))


def what_happened_long_ago_stays_where_it_was() -> None:
    """History begins before the shard had seen anybody, so the lane counts from another moment than the shard."""

    async def bring() -> None:
        rules = segments(lately='count("Order Completed", within="30d") == 2', in_time='count("Order Completed", within="50d") == 3')
        town = OldShop(rules, SHARDS)
        town.write("Order Completed", userId=ANN)
        await town.settle()
        for days_ago in (40, 20):
            town.remember(days_ago, userId=ANN)
        town.now_ms += MINUTE_MS
        town.bring(rules=rules)
        await town.settle()
        assert await town.inside(ANN) == {"lately", "in_time"}

    asyncio.run(bring())


def who_has_their_turn_later_is_judged_as_of_the_same_moment() -> None:
    """A hundred have it at each record; for whom it takes longer the segment is not over sooner."""
    case = shop({"seen": 'did("Seen")'}, buys(1, "m1"), published(2, {"lately": 'did("Buy", within="3d")'}), buys(9, "m2", who="bob"))
    at_once, at_last = told_case(case), told_each_at_last(case)
    assert at_once.shown.outputs, "nothing was said"
    assert without_positions(at_last.shown) == without_positions(at_once.shown)


# mutants


@noticed_by(an_event_that_comes_twice_counts_once)
def a_lane_has_no_ids_of_its_own(patch: pytest.MonkeyPatch) -> None:
    """What came twice counts twice in what is new."""
    admit = _SilentAdmission.admit

    def forgetful(self: _SilentAdmission, event: Event, record: LogRecord) -> tuple[State, bool] | None:
        if (state := self._states.get(event.customer)) is not None:
            state.seen = b""
        return admit(self, event, record)

    patch.setattr(_SilentAdmission, "admit", forgetful)


@noticed_by(an_event_that_comes_too_late_counts_never)
def a_lane_takes_what_came_too_late(patch: pytest.MonkeyPatch) -> None:
    """Nobody who had these definitions would have counted it."""
    init = LaneStep.__init__

    def lenient(self: LaneStep, shard: int, rules: Rules, *more: Any, **how: Any) -> None:
        init(self, shard, replace(rules, lateness_ms=30 * rules.lateness_ms), *more, **how)

    patch.setattr(LaneStep, "__init__", lenient)


@noticed_by(who_refers_to_what_has_changed_is_another_too)
def who_refers_to_what_has_changed_is_not_folded(patch: pytest.MonkeyPatch) -> None:
    """Its text is the same, and means something else."""

    def by_text_alone(before: Plan, after: Plan, models: set[str]) -> set[str]:
        texts = {rule.name: meaning(rule.segment) for rule in before.rules}
        found = changed_names(before, after, models)
        return {name for name in found if texts.get(name) != meaning(after.rules[after.numbers[name]].segment)}

    patch.setattr(lane_plan, "changed_names", by_text_alone)


@noticed_by(what_happened_long_ago_stays_where_it_was)
def a_past_is_joined_by_its_own_clock(patch: pytest.MonkeyPatch) -> None:
    """Both begin at the first event that each has seen, which need not be the same one."""
    patch.setattr(past, "shifted", lambda spec, data, by_ms: data)


@noticed_by(who_has_their_turn_later_is_judged_as_of_the_same_moment)
def customers_are_brought_as_of_their_turn(patch: pytest.MonkeyPatch) -> None:
    """Who has their turn later is judged at another moment."""

    def bring_now(self: Migration, customer: str, state: State) -> None:
        self.in_hand = customer
        self._brought += 1
        self._bring(customer, state, self._body.log_time_ms, self.at)
        self.in_hand = ""

    patch.setattr(Migration, "bring", bring_now)


# pasts that come from other shards


@lru_cache
def person(way: Callable[[sides.Script], Awaitable[None]]) -> Law:
    """That a purchase under an old id is one of the person's, whichever way the past of the old id goes."""

    def is_one_of_the_persons() -> None:
        asyncio.run(sides.test_one_purchase_of_an_old_id_is_one_of_the_person(way, is_first=False))

    is_one_of_the_persons.__name__ = way.__name__
    return is_one_of_the_persons


@noticed_by(person(sides.drained_and_adopted_before))
def a_lane_does_not_wait_for_another(patch: pytest.MonkeyPatch) -> None:
    """The survivor's past lacks what the lane of the old id has not sent yet."""
    patch.setattr(SideLane, "_wanted", lambda self, record: None)


@noticed_by(person(sides.the_past_arrives_after_the_definitions))
def a_lane_drains_nobody(patch: pytest.MonkeyPatch) -> None:
    """What is new knows nothing of the old id."""
    patch.setattr(_LaneIdentity, "_send_side", lambda self, adopt, memories, part, parts, offset: None)


@noticed_by(person(sides.a_past_was_sent_on_before))
def a_lane_takes_from_an_adopt_what_it_has(patch: pytest.MonkeyPatch) -> None:
    """Drained under older definitions: what these have not is lost."""

    def apply_as_it_is(self: _LaneIdentity, adopt: Adopt, now: int, offset: int) -> None:
        Identity._apply_adopt(self, msgspec.structs.replace(adopt, places=[], sent_ms={}, version=self._body.version), now, offset)

    patch.setattr(_LaneIdentity, "_apply_adopt", apply_as_it_is)


@noticed_by(person(sides.what_the_lane_sends_arrives_before_the_past))
def a_past_that_comes_behind_the_definitions_is_dropped(patch: pytest.MonkeyPatch) -> None:
    """Adopted under the new ones, it lacks what is new in them."""
    patch.setattr(Identity, "_join_side", lambda self, side, state, now, offset: None)


@noticed_by(person(sides.the_past_arrives_after_the_definitions))
def a_past_counts_by_adopt_and_by_side(patch: pytest.MonkeyPatch) -> None:
    """What was remembered under the old definitions, in a memory that was folded anew, comes twice."""
    patch.setattr(Identity, "_whole", lambda self, adopt: adopt)


@noticed_by(person(sides.a_past_is_sent_on_after))
def a_tombstone_keeps_what_comes_behind_the_definitions(patch: pytest.MonkeyPatch) -> None:
    """The survivor has become an old id meanwhile."""
    patch.setattr(Identity, "_send_side_on", lambda self, side, to, hops, offset: None)


@noticed_by(person(sides.a_past_was_sent_on_before))
def a_lane_keeps_what_passes_a_tombstone(patch: pytest.MonkeyPatch) -> None:
    """Whoever the survivor has become does not get it."""
    patch.setattr(_LaneIdentity, "_pass_on", lambda self, adopt, to, walk, offset: None)


LAWS: Final = list(dict.fromkeys(law for _, law in MUTANTS.values()))


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_the_law_holds(law: Law) -> None:
    """One that always fails would notice everything."""
    law()


@pytest.mark.parametrize("name", MUTANTS)
def test_the_law_notices(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge who lets a broken rule pass proves nothing about the sound one."""
    broken, law = MUTANTS[name]
    lane_plan._planned.cache_clear()
    broken(monkeypatch)
    try:
        with pytest.raises(AssertionError):
            law()
    finally:
        lane_plan._planned.cache_clear()
