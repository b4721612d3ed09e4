"""Where a shard gets the lane from that is to be joined where new definitions begin to hold."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Final, NamedTuple, Protocol

from streamer.errors import HaltError
from streamer.flow.amendments import Amendments
from streamer.flow.relay import Relay, Sink
from streamer.flow.rules import Rules
from streamer.flow.scorers import Scorers
from streamer.flow.shard_log import Log
from streamer.flow.store_session import Pause
from streamer.signing import NO_KEYS, Keyring
from streamer.stores.base import Store
from streamer.wire import LogRecord

from .hearing import Hearing
from .inherited import NOTHING, Inherited
from .lane import LaneSettings, SideLane
from .lane_plan import LanePlan
from .outside import OutsideLog, OutsideSink

BATCH_RECORDS: Final = 2_000
LOOK_SECONDS: Final = 0.1


class Wanted(NamedTuple):
    """A shard stands at definitions of ``version``, which lie at ``offset`` of its log, and wants a lane that has folded them too.

    ``inherited`` is of the shard's checkpoint.
    """

    shard: int
    plan: LanePlan
    version: int
    offset: int
    amendments: Amendments
    inherited: Inherited = NOTHING


class Lanes(Protocol):
    """Brings lanes to where they are wanted."""

    async def at(self, wanted: Wanted) -> SideLane:
        """The lane, folded up to and including the record that is named, all that it had to send published. It may take its time; asked
        again after a crash it gives the same. Raises what is ours, and OSError where the log or the broker does not answer."""
        ...


class OnTheSpot:
    """Folds where it is wanted, over a log that is read beside the shard: for rebuilds, and where nobody has folded before.

    ``store`` keeps the lanes, beside the shards that it has; ``sink`` gets what they send to other shards (None: they have it already).
    ``scorers``: see ``LaneSettings``.
    While something is awaited from another shard it is looked for behind the position, every ``LOOK_SECONDS``.
    """

    def __init__(
        self,
        store: Store,
        log: Log,
        rules: Rules,
        *,
        pause: Pause,
        keyring: Keyring = NO_KEYS,
        sink: Sink | None = None,
        scorers: Scorers | None = None,
    ) -> None:
        self._store = store
        self._log = OutsideLog(log)
        self._rules = rules
        self._pause = pause
        self._keyring = keyring
        self._scorers = scorers
        self._sink = OutsideSink(sink) if sink is not None else None

    async def at(self, wanted: Wanted) -> SideLane:
        """See ``Lanes``."""
        view = await self._log.look(wanted.shard, -1)
        settings = LaneSettings(
            wanted.shard,
            self._store,
            self._rules,
            wanted.amendments,
            self._pause,
            self._keyring,
            histories=self._log,
            is_heard=self._sink is not None,
            inherited=wanted.inherited,
            scorers=self._scorers,
        )
        lane = await SideLane.open(settings, wanted.plan, wanted.version, begin=view.begin)
        if lane.position > wanted.offset + 1:  # of a store that was rolled back, or of definitions that lay elsewhere in the log
            await lane.drop()
            lane = await SideLane.open(settings, wanted.plan, wanted.version, begin=view.begin)
        relay = Relay(wanted.shard, lane.store, self._sink, topics=()) if self._sink is not None else None
        if relay is not None:
            await relay.start()
        await _OneFold(lane, self._log, relay, self._pause).upto(wanted.offset)
        return lane


class _OneFold:
    """One lane on its way over a log."""

    def __init__(self, lane: SideLane, log: Log, relay: Relay | None, pause: Pause) -> None:
        self._lane = lane
        self._log = log
        self._relay = relay
        self._pause = pause
        self._hearing = Hearing(lane, log)

    async def upto(self, offset: int) -> None:
        """Fold all records up to and including the definitions at an offset, and publish what they say. HaltError where the log ends before
        them, or no longer has them: what was not folded of it would be joined as if it had never happened."""
        lane = self._lane
        if lane.position <= offset:
            async with aclosing(self._log.read(lane.shard, lane.position, BATCH_RECORDS)) as batches:
                async for records in batches:
                    await self._fold([record for record in records if record.offset <= offset])
                    if lane.position > offset:
                        break
                    await asyncio.sleep(0)  # the heartbeats share the loop
        if lane.position <= offset:
            raise HaltError(f"the log of shard {lane.shard} ends before the offset {offset}; its tail was lost, or this is another cluster")
        if not lane.is_done:
            raise HaltError(_why_not_done(lane, offset))
        while self._relay is not None and await self._relay.turn():
            pass

    async def _fold(self, records: Sequence[LogRecord]) -> None:
        lane = self._lane
        while records:
            entries = await lane.fold(records)
            if self._relay is not None:
                self._relay.add(entries)
                await self._relay.turn()
            records = [record for record in records if record.offset >= lane.position] if not lane.is_done else ()
            while lane.awaits is not None and not await self._hearing.has_come(lane.awaits):
                await self._pause(LOOK_SECONDS)
            await asyncio.sleep(0)  # the heartbeats share the loop


def _why_not_done(lane: SideLane, offset: int) -> str:
    if lane.begin <= offset:
        return f"shard {lane.shard}: its lane did not find its definitions at offset {offset:,}; this is a fault of this program"
    return (
        f"shard {lane.shard}: what is new in the definitions at offset {offset:,} can no longer be folded: the log begins at offset "
        f"{lane.begin:,} by now, and the store does not have what was folded of it before; run `streamer shards rebuild {lane.shard}` to "
        "begin with what the log still has"
    )
