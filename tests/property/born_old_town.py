"""Towns whose definitions change: the lanes of all shards, driven beside each other until one of them is where it is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from streamer.flow.amendments import Amendments
from streamer.flow.lane.lane import LaneSettings, SideLane
from streamer.flow.lane.lane_plan import plan_lane
from streamer.flow.lane.lanes import Wanted
from streamer.flow.relay import Relay
from streamer.language.definitions import parse_definitions
from streamer.segments.plan.plan import Plan
from streamer.transports.memory import MemorySink
from streamer.wire import LogRecord, decode_control
from tests.property.driving import never, with_purposes
from tests.property.logs import successors
from tests.property.persons import SHARDS, Act, History, histories
from tests.property.sentences import definitions
from tests.property.town import EVERYTHING, Town


@dataclass
class _Running:
    lane: SideLane
    relay: Relay
    heard: int = 0


class TownLanes:
    """See ``lanes.Lanes``. ``folds`` counts how often a lane was asked for, ``waits`` how often one had to wait for another's."""

    def __init__(self) -> None:
        self.town: Town | None = None
        self.folds = self.waits = 0
        self._running: dict[tuple[int, int], _Running] = {}

    async def at(self, wanted: Wanted) -> SideLane:
        self.folds += 1
        mine = await self._run(wanted.shard, wanted.version)
        while mine.lane.position <= wanted.offset:
            moved = [await self._move(number, wanted.version) for number in range(SHARDS)]
            assert any(moved), f"lanes wait for each other: {mine.lane.awaits}"
        while await mine.relay.turn():
            pass
        return mine.lane

    def forget(self) -> None:
        """Whoever drove them is gone."""
        self._running.clear()

    @property
    def _town(self) -> Town:
        assert self.town is not None, "a town has set itself"
        return self.town

    async def _run(self, number: int, version: int) -> _Running:
        town = self._town
        if (number, version) not in self._running:
            before, after = (town_plan(town, at) for at in (version - 1, version))
            plan = plan_lane(before, after, lateness_ms=town.rules.lateness_ms)
            assert plan is not None, "it was asked for"
            lane = await SideLane.open(LaneSettings(number, town.store, town.rules, Amendments(), never), plan, version)
            relay = Relay(number, lane.store, MemorySink(town.log), topics=())
            await relay.start()
            self._running[number, version] = _Running(lane, relay)
        return self._running[number, version]

    async def _move(self, number: int, version: int) -> bool:
        """Read ahead, fold a few records, publish; whether anything was done. A shard that has switched has sent all."""
        town = self._town
        if town.shards[number].body.version >= version:
            return False
        running = await self._run(number, version)
        ahead = town.log.fetch(number, running.heard, EVERYTHING)
        running.lane.hear(ahead)
        running.heard += len(ahead)
        records = upto_definitions(town.log.fetch(number, running.lane.position, EVERYTHING), version)
        before = running.lane.position
        running.relay.add(await running.lane.fold(records[:3]))
        self.waits += running.lane.awaits is not None
        return bool(await running.relay.turn()) | (running.lane.position > before) | bool(ahead)


def played(history: History, kind: type[Town] = Town) -> tuple[Town, TownLanes]:
    """A town that has lived a history in which definitions may change, and its lanes."""
    lanes = TownLanes()
    town = lanes.town = kind(history, lanes=lanes)
    asyncio.run(town.play())
    return town, lanes


def town_plan(town: Town, version: int) -> Plan:
    """The plan of one version of a town's definitions."""
    bodies = [act.body for act in town.history.acts if act.body is not None and is_switch(act)]
    sources = [town.history.definitions, *(body["definitions"] for body in bodies)]
    return Plan(parse_definitions(with_purposes(sources[version - 1])), lateness_ms=town.rules.lateness_ms)


def is_switch(act: Act) -> bool:
    """Whether the definitions change here."""
    return act.body is not None and act.body.get("control") == "definitions"


def upto_definitions(records: Sequence[LogRecord], version: int) -> Sequence[LogRecord]:
    """Those up to and including the definitions of a version; all where these have not come."""
    for number, record in enumerate(records):
        if record.control and (control := decode_control(record.value)).control == "definitions" and control.version >= version:
            return records[: number + 1]
    return records


@st.composite
def switched_histories(draw: st.DrawFn, *, switches_max: int = 2) -> History:
    """A history in which the definitions change once or twice."""
    history = draw(histories())
    acts, source = list(history.acts), history.definitions
    for number, place in enumerate(sorted(draw(st.lists(st.integers(1, len(acts)), min_size=1, max_size=switches_max)))):
        source = draw(st.one_of(successors(source), definitions(names=("m", "a", "x"))))
        at_ms = acts[min(place + number, len(acts) - 1)].at_ms
        body: dict[str, Any] = {"control": "definitions", "version": number + 2, "definitions": source}
        acts.insert(place + number, Act(at_ms, body, draw(st.integers(0, 7))))
    return replace(history, acts=tuple(acts))


def always(history: History) -> History:
    """The same under the last definitions from the beginning. They are published as often."""
    last = next(act.body["definitions"] for act in reversed(history.acts) if act.body is not None and is_switch(act))
    acts = tuple(replace(act, body={**(act.body or {}), "definitions": last}) if is_switch(act) else act for act in history.acts)
    return replace(history, definitions=last, acts=acts)
