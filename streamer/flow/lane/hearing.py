"""Reads the log of a shard ahead of where its lane stands, for what lanes of other shards have sent to it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Final

from streamer.flow.shard_log import Log

from .lane import SideLane
from .mailbox import SentFrom

READ_RECORDS: Final = 1_000


class Hearing:
    """What one lane is told of its log. Each record is told once, but for what had no room in the lane."""

    def __init__(self, lane: SideLane, log: Log) -> None:
        self._lane = lane
        self._log = log

    async def has_come(self, awaited: SentFrom) -> bool:
        """Tell the lane what its log has by now, up to what is ``awaited``; whether that has come, or is known never to come. Raises what
        reading the log may."""
        lane = self._lane
        lane.listen_for(awaited)
        async with aclosing(self._log.read(lane.shard, lane.heard_upto, READ_RECORDS)) as batches:
            async for records in batches:
                lane.hear(records)
                if lane.has_come(awaited):
                    return True
                await asyncio.sleep(0)  # the heartbeats share the loop
        if (await self._log.look(awaited[0], -1)).begin > awaited[1]:
            lane.give_up(awaited)
        return lane.has_come(awaited)
