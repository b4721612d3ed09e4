"""Opens the lane of a shard where its checkpoint stands, with the relay that publishes what it has to send."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from streamer.errors import UnreadableStateError
from streamer.flow.amendments import Amendments
from streamer.flow.lane.inherited import Inherited
from streamer.flow.lane.lane import LaneSettings, SideLane
from streamer.flow.lane.lane_plan import LanePlan
from streamer.flow.relay import Relay, Sink
from streamer.flow.rules import Rules
from streamer.flow.scorers import Scorers
from streamer.flow.shard_log import Log
from streamer.signing import Keyring
from streamer.stores.base import Store

from .lane_pace import LanePace
from .lane_run import LaneHere, Tell


@dataclass(frozen=True, slots=True)
class LaneOpener:
    """Opens lanes that are folded in this process, by what all of them share."""

    store: Store
    log: Log
    sink: Sink
    rules: Rules
    keyring: Keyring
    pace: LanePace
    scorers: Scorers

    async def open(
        self,
        shard: int,
        plan: LanePlan,
        version: int,
        amendments: Amendments,
        inherited: Inherited,
        tell: Tell,
        upto: Callable[[], int],
    ) -> LaneHere:
        """The lane of a shard towards definitions of ``version``; see ``LaneSettings`` and ``LaneHere`` for the rest. A lane that cannot be
        read is begun anew: it has nothing that the log has not."""
        view = await self.log.look(shard, -1)
        settings = LaneSettings(
            shard,
            self.store,
            self.rules,
            amendments,
            asyncio.sleep,
            self.keyring,
            histories=self.log,
            breather=self.pace,
            inherited=inherited,
            scorers=self.scorers,
        )
        try:
            lane = await SideLane.open(settings, plan, version, begin=view.begin)
        except UnreadableStateError:
            await self.store.lane(plan.name(version)).drop(shard)
            lane = await SideLane.open(settings, plan, version, begin=view.begin)
        relay = Relay(shard, lane.store, self.sink, topics=())
        await relay.start()
        return LaneHere(lane, version, self.log, relay, self.pace, tell, upto)


__all__ = ["LaneOpener"]
