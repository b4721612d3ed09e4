"""Towns with a past: people of several ids, of whom the logs tell from some day on, and history what was before.

The same town may be told everything when it happened: history first, then what its logs have. Now and then somebody is erased: under every
id before history is brought, since an erasure is of those ids that the log ties together by then, and under any of them behind it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from hypothesis import strategies as st

from streamer.customers.memories import Distinct, Labels, Ladder, Pairs, Runs, Steps
from streamer.customers.rebase import shifted
from streamer.customers.state import NO_TIMER
from streamer.customers.tombstone import is_tombstone
from streamer.flow.lane.mailbox import HELD_BYTES_MAX
from streamer.language.definitions import parse_definitions
from streamer.transports.memory import MemoryLog
from streamer.values import time_text
from streamer.wire import ARRIVED_HEADER, COMPARED_HEADER, HISTORY, arrived_text, definitions_control
from tests.property.born_old_town import TownLanes, is_switch
from tests.property.driving import look, with_purposes
from tests.property.logs import LENGTHS, D, H
from tests.property.persons import DEVICES, KNOWN, SHARDS, Act, History, present_definitions, settling, written
from tests.property.town import Town, home

BRINGS = "history"  # an act in which what was imported becomes a part of the past
OF_WINDOWS = (Pairs, Ladder, Distinct, Labels, Runs, Steps)
BROUGHT_BY = "00ff00ff00ff00ff"


@dataclass(frozen=True)
class OldTown:
    """What happened, and before it ``past``: events of other times, in their order. One of the acts brings them."""

    history: History
    past: tuple[Act, ...]


@st.composite
def old_towns(draw: st.DrawFn, *, erases: bool = False) -> OldTown:
    """Histories whose end does not depend on when things arrived, and what was before; now and then the definitions change."""
    history = draw(settling())
    used = {event["timestamp"] for event in history.events}
    at_ms = min((*used, *(act.at_ms for act in history.acts)))
    past = list[Act]()
    for number in range(draw(st.integers(1, 8))):
        at_ms -= 1 + draw(st.sampled_from([0, 1000, *LENGTHS[:7]]))
        past.append(Act(at_ms, {**draw(written(shared=False)), "messageId": f"h{number}", "timestamp": at_ms}))
    changes = draw(st.lists(present_definitions(), max_size=2))
    bodies: list[dict[str, Any]] = [{"control": "definitions", "definitions": source} for source in changes]
    bodies.insert(draw(st.integers(0, len(bodies))), {"control": BRINGS})
    acts = list(history.acts)
    for number, place in enumerate(sorted(draw(st.lists(st.integers(1, len(acts)), min_size=len(bodies), max_size=len(bodies))))):
        acts.insert(place + number, Act(acts[place + number - 1].at_ms, {**bodies[number], "version": number + 2}))
    if erases and draw(st.booleans()):
        place, ids = draw(st.integers(1, len(acts))), draw(st.sampled_from([(*KNOWN[one], *DEVICES[one]) for one in (0, 0, 1)]))
        asked = (draw(st.sampled_from(ids)),) if any(map(_is_bringing, acts[:place])) else ids
        acts[place:place] = [Act(acts[place - 1].at_ms, {"control": "erase", "customer": id_}) for id_ in asked]
    return OldTown(replace(history, acts=tuple(acts)), tuple(reversed(past)))


class TownThatErases(Town):
    """Everything that is on its way has arrived when somebody is erased, and then their erasure has."""

    async def _do(self, act: Act) -> None:
        """See ``Town``."""
        is_erasure = act.body is not None and act.body.get("control") == "erase"
        if is_erasure:
            await self.settle()
        await super()._do(act)
        if is_erasure:
            await self.settle()


class TownWithPast(TownThatErases):
    """Everything that is on its way has arrived when history is brought in, or definitions change."""

    def __init__(self, of: OldTown, lanes: TownLanes, *, keeps_offsets: bool = False) -> None:
        super().__init__(of.history, lanes=lanes, keeps_offsets=keeps_offsets)
        self._past, self._latest = of.past, of.history.definitions

    async def _do(self, act: Act) -> None:
        """See ``Town``."""
        is_bringing = _is_bringing(act)
        if not is_bringing and not is_switch(act):
            await super()._do(act)
            return
        await self.settle()
        assert act.body is not None, "it changes what holds"
        if is_bringing:
            self._bring(act.body["version"])
        else:
            self._latest = act.body["definitions"]
            self.define(self._latest, act.body["version"])
        await self.settle()

    def _bring(self, version: int) -> None:
        for happened in self._past:
            import_event(self.log, happened, is_compared=True)
        for number in range(SHARDS):
            self.log.send_tick(number)
        parsed = parse_definitions(with_purposes(self._latest))
        ends = [self.log.end(HISTORY, number) for number in range(SHARDS)]
        self.log.send_control(definitions_control(parsed.content(), parsed.digest, version, history=ends))


def import_event(log: MemoryLog, act: Act, *, is_compared: bool = False) -> None:
    """Write an event of history behind the others. ``is_compared``: it counts also where it happened when the log had begun."""
    assert act.body is not None, "somebody did something"
    customer = act.body.get("userId") or act.body["anonymousId"]
    raw = json.dumps({**act.body, "timestamp": time_text(act.body["timestamp"])}).encode()
    headers = (ARRIVED_HEADER, arrived_text(act.at_ms, BROUGHT_BY)), *(((COMPARED_HEADER, b"1"),) if is_compared else ())
    log.append(HISTORY, home(customer), raw, key=customer.encode(), headers=headers)


def _is_bringing(act: Act) -> bool:
    return act.body is not None and act.body.get("control") == BRINGS


def as_it_happened(of: OldTown) -> History:
    """The same people, told everything when it happened."""
    changes = [act.body["definitions"] for act in of.history.acts if act.body is not None and is_switch(act)]
    acts = (act for act in of.history.acts if not _is_bringing(act) and not is_switch(act))
    return replace(of.history, definitions=changes[-1] if changes else of.history.definitions, acts=(*of.past, *acts))


class Known(NamedTuple):
    """What is known of a customer, in UTC, but for when they were joined: of memories those of no window, since of others something may be
    kept for a while that nobody asks for any more; of all of them the answers, and when time will turn one."""

    slots: Mapping[int, Any]
    inside: list[str]
    truth_bits: Mapping[int, int]
    due_ms: int


def everybody(town: Town) -> dict[str, Known]:
    """What is known of all customers of a town, found out anew as of log time."""
    found: dict[str, Known] = {}
    for number, shard in enumerate(town.shards):
        for customer, blob in asyncio.run(look(town.store, number)).states.items():
            if is_tombstone(blob):
                continue
            state, now = shard.state(blob), shard.body.log_time_ms
            shard.plan.settle(state, now - state.origin_ms)
            specs, due_ms = shard.plan.specs, shard.plan.next_due(state, now - state.origin_ms)
            found[customer] = Known(
                {
                    slot: shifted(specs[slot], data, state.origin_ms)
                    for slot, data in state.slots.items()
                    if not isinstance(specs[slot], OF_WINDOWS)
                },
                sorted(shard.plan.names[at] for at, entry in state.members.items() if entry.inside),
                state.truth_bits,
                due_ms + state.origin_ms if due_ms < NO_TIMER else NO_TIMER,
            )
    return found


def lived(of: OldTown, *, keeps_offsets: bool = False) -> tuple[Town, TownLanes]:
    """A town into which its past is brought."""
    lanes = TownLanes(held_bytes_max=of.history.end_ms % 2 * HELD_BYTES_MAX)  # every other one has no room for what others send
    town = lanes.town = TownWithPast(of, lanes, keeps_offsets=keeps_offsets)
    asyncio.run(town.play())
    return town, lanes


__all__ = ["D", "H", "OldTown", "TownWithPast", "as_it_happened", "everybody", "lived", "old_towns"]
