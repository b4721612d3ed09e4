"""One lane of one shard of this worker, folded beside live traffic: from where its checkpoint stands to the end of the log, and on.

It is folded here, in this process (``LaneHere``), or in another one (``lane_processes.LaneElsewhere``).
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import aclosing
from time import monotonic, time
from typing import Final

from aiokafka.errors import KafkaError

from streamer.errors import HaltError, RefusedError, SettingsError, StoreError
from streamer.flow.lane.hearing import READ_RECORDS, Hearing
from streamer.flow.lane.lane import SideLane
from streamer.flow.lane.mailbox import SentFrom
from streamer.flow.relay import Relay
from streamer.flow.shard_log import Log
from streamer.wire import LogRecord
from streamer.worker.status.lane_status import LaneState, LaneStatus

from .lane_pace import LanePace

NEAR_SECONDS: Final = 1.0  # a pass over the log that takes less ends so near to its end
LOOK_SECONDS: Final = 0.2  # between two looks for what another lane sends

UNANSWERED: Final = (KafkaError, StoreError, TimeoutError, OSError)  # what is raised where log, broker or store do not do their part
STANDING: Final = (RefusedError, HaltError, SettingsError)  # what is raised where a person must act first

Tell = Callable[[LaneStatus], None]


class LaneFaultError(Exception):
    """Our own code failed at a lane; the text says of what class the error was, and where."""


class LaneUnansweredError(ConnectionError):
    """A process that folds lanes could not go on with one; the text is whole as it is."""


def why_unanswered(error: Exception) -> str:
    """What is said of one of ``UNANSWERED``: its class and its text, which a timeout does not have."""
    name, text = type(error).__name__, str(error)
    if isinstance(error, LaneUnansweredError) or name in text:  # errors of Kafka have their class in their text
        return text
    return f"{name}: {text or 'Kafka or the store did not answer in time'}"


class LaneRun(ABC):
    """Drives one lane. Raises what store, log and broker raise; it is to be opened anew then."""

    def __init__(self) -> None:
        self.passed_at = 0.0  # when it came to the end last

    async def reach_end(self, state: LaneState = "folds") -> None:
        """Fold up to within a second of where the shard has come, and publish what that says."""
        while True:
            began = monotonic()
            await self.advance(state)
            self.passed_at = monotonic()
            if self.passed_at - began < NEAR_SECONDS:
                return

    @abstractmethod
    async def advance(self, state: LaneState) -> None:
        """Fold up to where the shard has come by now, and publish what that says."""

    @abstractmethod
    def close(self) -> None:
        """Fold no more. What is in hand may end in an error that nobody sees: whoever opens the lane next fences it."""


class LaneHere(LaneRun):
    """Drives a lane in this process. ``tell`` is told how far it is.

    ``upto`` says how far the shard itself has come, which its lane never overtakes: what is decided about a record that fails, or is to be
    passed over, is decided when the shard comes to it, and the lane obeys it too.
    """

    def __init__(self, lane: SideLane, version: int, log: Log, relay: Relay, pace: LanePace, tell: Tell, upto: Callable[[], int]) -> None:
        super().__init__()
        self._lane = lane
        self._version = version
        self._log = log
        self._relay = relay
        self._pace = pace
        self._tell = tell
        self._upto = upto
        self._hearing = Hearing(lane, log)
        self._begin = self._end = 0
        self._began_at = (monotonic(), lane.position + lane.recalled)

    async def advance(self, state: LaneState) -> None:
        """See ``LaneRun``."""
        view = await self._log.look(self._lane.shard, -1)
        self._begin, self._end = view.begin, min(view.end, self._upto())
        await self._pass(state)
        self.say(state)

    def close(self) -> None:
        """See ``LaneRun``: it folds only while somebody awaits it."""

    async def _pass(self, state: LaneState) -> None:
        """Fold what the shard has applied by now."""
        lane = self._lane
        if lane.is_done or lane.position >= self._end:
            return
        async with aclosing(self._log.read(lane.shard, lane.position, READ_RECORDS)) as batches:
            async for records in batches:
                await self._fold([record for record in records if record.offset < self._end], state)
                if records[-1].offset + 1 >= self._end:
                    break
        while await self._relay.turn():
            pass

    async def _fold(self, records: Sequence[LogRecord], state: LaneState) -> None:
        """Fold these, in slices; what that says is published before more is folded, so that nothing piles up."""
        lane, at = self._lane, 0
        while at < len(records):
            async with self._pace.slice(len(records) - at + lane.left_of_history) as most:
                entries = await lane.fold(records[at : at + most], most)
            self._relay.add(entries)
            await self._relay.turn()
            while at < len(records) and records[at].offset < lane.position:
                at += 1
            self.say(state)
            if lane.awaits is not None:
                await self._hear(lane.awaits, state)

    async def _hear(self, awaited: SentFrom, state: LaneState) -> None:
        """Read ahead until what another shard's lane is to send has come, or it is known that it never will."""
        while not self._lane.has_come(awaited):
            self.say(state, f"waits for what the lane of shard {awaited[0]} has to send")
            if not await self._hearing.has_come(awaited):
                await asyncio.sleep(LOOK_SECONDS)

    def say(self, state: LaneState, why: str = "") -> None:
        """Say how far it is."""
        done, of = max(0, self._lane.position - self._begin), max(0, self._end - self._begin)
        done, of = done + self._lane.recalled, of + self._lane.recalled + self._lane.left_of_history
        why = why or ("waits while live traffic lags" if self._pace.is_yielding else "")
        self._tell(LaneStatus(self._version, state, min(done, of), of, self._ends_at_ms(), why))

    def _ends_at_ms(self) -> int:
        """When it will have come to the end, at the pace so far; 0 where it is there, or nothing can be said yet."""
        began_at, began = self._began_at
        done = self._lane.position + self._lane.recalled - began
        left = self._end - self._lane.position + self._lane.left_of_history
        if done <= 0 or left <= 0:
            return 0
        return int((time() + left * (monotonic() - began_at) / done) * 1_000)


__all__ = ["STANDING", "UNANSWERED", "LaneFaultError", "LaneHere", "LaneRun", "LaneUnansweredError", "Tell", "why_unanswered"]
