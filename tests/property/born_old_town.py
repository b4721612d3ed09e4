"""Towns whose definitions change: the lanes of all shards, driven beside each other until one of them is where it is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from streamer.flow.amendments import Amendments
from streamer.flow.brought import brings_history, history_end
from streamer.flow.checkpoint import NOTHING_BROUGHT
from streamer.flow.lane.lane import LaneSettings, SideLane
from streamer.flow.lane.lane_plan import LanePlan, plan_lane
from streamer.flow.lane.lanes import Wanted
from streamer.flow.lane.mailbox import HELD_BYTES_MAX
from streamer.flow.relay import Relay
from streamer.language.definitions import Definitions, parse_definitions
from streamer.segments.plan.plan import Plan
from streamer.transports.memory import MemorySink
from streamer.wire import Control, LogRecord, decode_control
from tests.property.driving import never, with_purposes
from tests.property.logs import successors
from tests.property.persons import SHARDS, Act, History, histories
from tests.property.sentences import definitions
from tests.property.town import EVERYTHING, Town


@dataclass
class _Running:
    lane: SideLane
    relay: Relay


class TownLanes:
    """See ``lanes.Lanes``. ``folds`` counts how often a lane was asked for, ``waits`` how often one had to wait for another's."""

    def __init__(self, held_bytes_max: int = HELD_BYTES_MAX) -> None:
        self._held_bytes_max = held_bytes_max
        self.town: Town | None = None
        self.folds = self.waits = 0
        self._running: dict[tuple[int, int], _Running] = {}
        self._plans: dict[tuple[int, int], LanePlan] = {}

    async def at(self, wanted: Wanted) -> SideLane:
        self.folds += 1
        self._plans[wanted.shard, wanted.version] = wanted.plan
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
            plan = self._plans.get((number, version)) or self._plan(number, version)
            settings = LaneSettings(
                number, town.store, town.rules, Amendments(), never, histories=town.log, held_bytes_max=self._held_bytes_max
            )
            lane = await SideLane.open(settings, plan, version)
            relay = Relay(number, lane.store, MemorySink(town.log), topics=())
            await relay.start()
            self._running[number, version] = _Running(lane, relay)
        return self._running[number, version]

    def _plan(self, number: int, version: int) -> LanePlan:
        town, control = self._town, town_control(self._town, version)
        before, after = (town_plan(town, at) for at in (version - 1, version))
        body, lateness_ms = town.shards[number].body, town.rules.lateness_ms
        brought = body.history if brings_history(control, body) else NOTHING_BROUGHT
        history = max(body.history, history_end(control, number))
        plan = plan_lane(before, after, lateness_ms=lateness_ms, history=history, brought=brought)
        assert plan is not None, "it was asked for"
        return plan

    async def _move(self, number: int, version: int) -> bool:
        """Read ahead, fold a few records, publish; whether anything was done. A shard that has switched has sent all."""
        town = self._town
        if town.shards[number].body.version >= version:
            return False
        running = await self._run(number, version)
        if running.lane.awaits is not None:
            running.lane.listen_for(running.lane.awaits)
        ahead = town.log.fetch(number, running.lane.heard_upto, EVERYTHING)
        running.lane.hear(ahead)
        records = upto_definitions(town.log.fetch(number, running.lane.position, EVERYTHING), version)
        before = running.lane.position
        running.relay.add(await running.lane.fold(records[:3]))
        self.waits += running.lane.awaits is not None
        return bool(await running.relay.turn()) | (running.lane.position > before) | bool(ahead)


def played(history: History, kind: type[Town] = Town, held_bytes_max: int = HELD_BYTES_MAX) -> tuple[Town, TownLanes]:
    """A town that has lived a history in which definitions may change, and its lanes."""
    lanes = TownLanes(held_bytes_max)
    town = lanes.town = kind(history, lanes=lanes)
    asyncio.run(town.play())
    return town, lanes


def town_plan(town: Town, version: int) -> Plan:
    """The plan of one version of a town's definitions; 0 has none."""
    if version == 0:
        return Plan(Definitions(()), lateness_ms=town.rules.lateness_ms)
    acts = (act.body for act in town.history.acts if act.body is not None)
    sources = {1: town.history.definitions}
    for body in acts:
        if "version" in body and "model" not in body:
            sources[body["version"]] = body.get("definitions", sources[body["version"] - 1])
    return Plan(parse_definitions(with_purposes(sources[version])), lateness_ms=town.rules.lateness_ms)


def town_control(town: Town, version: int) -> Control:
    """The record by which some shard of a town comes to this version."""
    records = [record for number in range(SHARDS) for record in town.log.fetch(number, 0, EVERYTHING)]
    controls = (decode_control(record.value) for record in records if record.control)
    return next(control for control in controls if control.control == "definitions" and control.version == version)


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
