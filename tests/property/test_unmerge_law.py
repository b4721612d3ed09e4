"""Joined and parted again is as never joined: memories, memberships and moments, whatever lay in two shards, came twice, or late."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streamer.customers.state import decode_state
from streamer.customers.tombstone import is_tombstone
from streamer.flow.machine import ALONE
from streamer.language.definitions import parse_definitions
from streamer.transports.memory import CONTROL
from streamer.values import time_text
from streamer.wire import EVENTS, HISTORY, NO_LINK_HEADER, definitions_control
from tests.property.born_old import Known, known
from tests.property.born_old_town import TownLanes, is_switch
from tests.property.driving import look, with_purposes
from tests.property.effort import effort
from tests.property.history import Told, known_in_utc
from tests.property.history_town import BRINGS, import_event
from tests.property.logs import ANCHORS, D, H, delays, steps_ms, successors
from tests.property.persons import DEVICES, KNOWN, SHARDS, Act, History, contents
from tests.property.sentences import definitions
from tests.property.test_folding import Picked, folded, until
from tests.property.town import EVERYTHING, Town, home
from tests.unit.flow.parting import told_apart

OLD = (DEVICES[0][0], KNOWN[0][0])  # one lives in the survivor's shard, one does not
SURVIVOR = KNOWN[0][1]
JOINS, PARTS = "joins", "parts"


class PartingTown(Town):
    """A town in which people are joined and parted; ``joins`` is whether they are."""

    def __init__(self, history: History, *, joins: bool, **options: Any) -> None:
        super().__init__(history, **options)
        self.met: Counter[str] = Counter()
        self._joins = joins

    async def _do(self, act: Act) -> None:
        match act.body:
            case {"control": "parts", "old": old}:
                if self._joins:
                    await self._part(old)
            case _:
                await super()._do(act)

    def write(self, body: dict[str, Any]) -> None:
        """See ``Town``. Where nobody is joined, the same is said and links nobody."""
        if body.get("type") == "alias" and not self._joins:
            raw = json.dumps({**body, "timestamp": time_text(body["timestamp"])}).encode()
            self.log.append(EVENTS, home(SURVIVOR), raw, key=SURVIVOR.encode(), headers=((NO_LINK_HEADER, b"1"),))
        else:
            super().write(body)

    async def _part(self, old: str) -> None:
        await self.settle()
        found = await told_apart(self.log, self.rules, self.stored, old, *self.history_in_force)
        if found is not None:
            survivor, raw = found
            self.log.append(EVENTS, home(survivor), raw, headers=CONTROL)
            await self.settle()
            self.met["parted"] += 1

    @property
    def history_in_force(self) -> tuple[list[int], int]:
        """See ``told_apart``."""
        ends = [shard.body.history for shard in self.shards]
        return (ends if any(ends) else []), max(shard.body.log_time_ms for shard in self.shards)

    async def stored(self, customer: str) -> bytes | None:
        """What the store has under an id."""
        return (await self.store.fetch(home(customer), [customer], until_ms=0, limit=0)).states[0]


@st.composite
def parted_histories(draw: st.DrawFn) -> History:
    """Two people who are joined by mistake, once or twice, and parted in the end; each goes on under their own id all the time."""
    source, old = draw(definitions(names=("m", "a"))), draw(st.sampled_from(OLD))
    lateness_ms, skew_ms = draw(st.sampled_from([86_400_000, H, 8 * D])), draw(st.sampled_from([300_000, 0]))
    now, acts, sent = draw(st.sampled_from(ANCHORS)), list[Act](), list[dict[str, Any]]()
    for number in range(draw(st.integers(4, 16))):
        now += abs(draw(steps_ms()))
        choice = draw(st.integers(0, 19))
        if choice < 3:
            acts.append(
                Act(
                    now,
                    {"type": "alias", "userId": SURVIVOR, "properties": {"previousId": old}, "messageId": f"m{number}", "timestamp": now},
                    3,
                )
            )
        elif choice < 5:
            acts.append(Act(now, {"control": PARTS, "old": old}))
        elif choice < 7 and sent:
            acts.append(Act(now, draw(st.sampled_from(sent)), draw(st.integers(0, 7))))
        else:
            timestamp = max(0, now - draw(delays(lateness_ms, skew_ms)))
            id_ = draw(st.sampled_from([{"userId": SURVIVOR}, {"userId": old} if old in KNOWN[0] else {"anonymousId": old}]))
            sent.append({**draw(contents()), **id_, "messageId": f"m{number}", "timestamp": timestamp})
            acts.append(Act(now, sent[-1], draw(st.integers(0, 7))))
    acts.append(Act(now, {"control": PARTS, "old": old}))
    return History(source, tuple(acts), now + draw(st.sampled_from([1, H, 9 * D])), lateness_ms, skew_ms)


def played(history: History, *, joins: bool, **options: Any) -> PartingTown:
    town = PartingTown(history, joins=joins, **options)
    asyncio.run(town.play())
    return town


def everybody(town: Town) -> dict[str, Known]:
    found: dict[str, Known] = {}
    for number, shard in enumerate(town.shards):
        found |= known(shard, asyncio.run(look(town.store, number)))
    return found


def sizes(town: Town) -> Counter[str]:
    return sum((Counter(shard.sizes) for shard in town.shards), Counter[str]())


def test_who_was_joined_and_parted_is_as_if_they_had_never_been() -> None:
    """To the byte, and so is what is said from then on."""
    met: Counter[str] = Counter()

    @given(history=parted_histories())
    @effort()
    def holds(history: History) -> None:
        town, other = played(history, joins=True), played(history, joins=False)
        assert everybody(town) == everybody(other)
        assert sizes(town) == sizes(other)
        met.update(town.met)
        met["adopted"] += sum(shard.body.identity.get("adopted", 0) for shard in town.shards)
        met["restored"] += sum(shard.body.identity.get("restored", 0) for shard in town.shards)
        met["inside"] += sum(len(one.inside) for one in everybody(town).values()) * town.met["parted"]

    holds()
    assert {"parted", "adopted", "restored", "inside"} == set(+met), met


def test_another_owner_after_each_step_comes_to_the_same() -> None:
    """What a commit covers, who makes it, and how much was published before, changes nothing."""
    met: Counter[str] = Counter()

    @given(history=parted_histories())
    @effort(0.3)
    def holds(history: History) -> None:
        town, other = played(history, joins=True), RestlessTown(history, joins=True, batch=1, limits=ALONE)
        asyncio.run(other.play())
        assert everybody(town) == everybody(other)
        met.update(other.met)

    holds()
    assert met["parted"], met


class RestlessTown(PartingTown):
    """Each record, and each thing that is published, is another owner's."""

    async def _process(self, number: int) -> bool:
        await self.take_over(number)
        return await super()._process(number)


def test_a_rebuild_and_a_fold_of_one_customer_come_to_the_same() -> None:
    """Neither has anything but the log; of one customer only what is noted as theirs."""
    met: Counter[str] = Counter()

    @given(history=parted_histories())
    @effort(0.3)
    def holds(history: History) -> None:
        asyncio.run(rebuilt_and_folded(history, met))

    holds()
    assert {"folded", "parted", "restored"} <= set(+met), met


async def rebuilt_and_folded(history: History, met: Counter[str]) -> None:
    town = PartingTown(history, joins=True, keeps_offsets=True)
    await town.play()
    states = [(await look(town.store, number)).states for number in range(SHARDS)]
    for number, shard in enumerate(town.shards):
        log = Picked(town.log.fetch(number, 0, EVERYTHING))
        for customer, blob in states[number].items():
            if not is_tombstone(blob):
                state = decode_state(blob)
                assert state.offsets.is_kept, customer
                assert await folded(shard, customer, blob, until(shard), log) == blob
                met["folded"] += state.parted is not None
                met["restored"] += state.lifted is not None
    await town.rebuild()
    assert [(await look(town.store, number)).states for number in range(SHARDS)] == states
    met.update(town.met)


def test_definitions_that_came_meanwhile_know_the_past_of_each() -> None:
    """They were folded over a log in which the two are one for a while; and so is what is folded after they are two again."""
    met: Counter[str] = Counter()

    @given(history=parted_histories(), places=st.lists(st.integers(1, 17), min_size=1, max_size=2, unique=True), data=st.data())
    @effort(0.4)
    def holds(history: History, places: list[int], data: st.DataObject) -> None:
        acts, source = list(history.acts), history.definitions
        for number, place in enumerate(sorted(min(place, len(acts)) for place in places)):
            source = data.draw(st.one_of(successors(source), definitions(names=("m", "a", "x"))))
            at_ms = acts[min(place + number, len(acts) - 1)].at_ms
            acts.insert(place + number, Act(at_ms, {"control": "definitions", "version": number + 2, "definitions": source}))
        switched = replace(history, acts=tuple(acts))
        (town, folds), (other, _) = with_lanes(switched, joins=True), with_lanes(switched, joins=False)
        assert everybody(town) == everybody(other)
        assert sizes(town) == sizes(other)
        met.update(town.met)
        met["folds"] += folds * bool(town.met["parted"])

    holds()
    assert {"folds", "parted"} == set(+met), met


class SettledTown(PartingTown):
    """All that is on its way has arrived when definitions change."""

    async def _do(self, act: Act) -> None:
        if is_switch(act):
            await self.settle()
        await super()._do(act)
        if is_switch(act):
            await self.settle()


def with_lanes(history: History, *, joins: bool) -> tuple[SettledTown, int]:
    lanes = TownLanes()
    town = lanes.town = SettledTown(history, joins=joins, lanes=lanes)
    asyncio.run(town.play())
    return town, lanes.folds


class TownWithHistory(SettledTown):
    """History is brought in before anybody is parted."""

    def __init__(self, history: History, past: Sequence[Act], **options: Any) -> None:
        super().__init__(history, **options)
        self._past = past

    async def _do(self, act: Act) -> None:
        if act.body is None or act.body.get("control") != BRINGS:
            await super()._do(act)
            return
        await self.settle()
        for happened in self._past:
            import_event(self.log, happened)
        for number in range(SHARDS):
            self.log.send_tick(number)
        parsed = parse_definitions(with_purposes(act.body["definitions"]))
        ends = [self.log.end(HISTORY, number) for number in range(SHARDS)]
        self.log.send_control(definitions_control(parsed.content(), parsed.digest, act.body["version"], history=ends))
        await self.settle()
        self.met["of history"] += sum(shard.body.history for shard in self.shards)


@st.composite
def parted_with_history(draw: st.DrawFn) -> tuple[History, list[Act]]:
    """The same with a past of each before their logs begin, brought in before they are parted first; then definitions may change."""
    history = draw(parted_histories())
    acts, source, now, past = list(history.acts), history.definitions, history.acts[0].at_ms, list[Act]()
    old = next(act.body["old"] for act in acts if act.body is not None and act.body.get("control") == PARTS)
    now = min([now, *(event["timestamp"] for event in history.events)])
    for number in range(draw(st.integers(1, 6))):
        now -= 1 + draw(st.sampled_from([0, 1_000, H, D, 9 * D]))
        id_ = draw(st.sampled_from([{"userId": SURVIVOR}, {"userId": old} if old in KNOWN[0] else {"anonymousId": old}]))
        past.append(Act(now, {**draw(contents()), **id_, "messageId": f"h{number}", "timestamp": now}))
    first = next(at for at, act in enumerate(acts) if act.body is not None and act.body.get("control") == PARTS)
    acts.insert(place := draw(st.integers(0, first)), Act(0, {"control": BRINGS, "version": 2, "definitions": source}))
    acts[place] = replace(acts[place], at_ms=acts[place + 1].at_ms)
    if draw(st.booleans()):
        body = {"control": "definitions", "version": 3, "definitions": draw(st.one_of(successors(source), definitions(names=("m", "x"))))}
        at = draw(st.integers(place + 1, len(acts)))
        acts.insert(at, Act(acts[at - 1].at_ms, body))
    return replace(history, acts=tuple(acts)), past[::-1]


def test_who_has_imported_history_is_parted_as_well() -> None:
    """Of each the history that came by their own ids, wherever the log begins; also where definitions come later."""
    met: Counter[str] = Counter()

    @given(drawn=parted_with_history())
    @effort(0.5)
    def holds(drawn: tuple[History, list[Act]]) -> None:
        towns = [lived_with_history(*drawn, joins=joins) for joins in (True, False)]
        assert in_utc(towns[0]) == in_utc(towns[1])
        assert sizes(towns[0]) == sizes(towns[1])
        asyncio.run(_fold_all(towns[0], met))
        met.update(towns[0].met)

    holds()
    assert {"parted", "of history", "folded"} <= set(+met), met


def lived_with_history(history: History, past: Sequence[Act], *, joins: bool) -> TownWithHistory:
    lanes = TownLanes()
    town = lanes.town = TownWithHistory(history, past, joins=joins, lanes=lanes, keeps_offsets=True)
    asyncio.run(town.play())
    return town


def in_utc(town: Town) -> dict[str, Any]:
    """What is known of everybody, whatever moment their clocks count from."""
    found: dict[str, Any] = {}
    for number, shard in enumerate(town.shards):
        found |= known_in_utc(Told(shard, asyncio.run(look(town.store, number))))
    return found


async def _fold_all(town: TownWithHistory, met: Counter[str]) -> None:
    for number, shard in enumerate(town.shards):
        past = await town.log.history(number, 0, EVERYTHING, EVERYTHING)
        for customer, blob in (await look(town.store, number)).states.items():
            if not is_tombstone(blob) and not shard.is_switching:
                log = Picked(town.log.fetch(number, 0, EVERYTHING), past)
                assert await folded(shard, customer, blob, until(shard), log) == blob, customer
                met["folded"] += town.met["parted"]
