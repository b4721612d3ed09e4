"""The processes of a worker in which its lanes are folded: begun when there is something to fold, ended when there has been nothing for a
while, and with the worker.

They take what of the processors is left over. On a machine where next to nothing is, they end, and begin anew with their share.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
from collections.abc import Callable
from itertools import count
from multiprocessing.context import SpawnProcess
from time import monotonic
from typing import Final, Protocol, Self, assert_never

import structlog
from structlog.typing import FilteringBoundLogger

from streamer.errors import HaltError
from streamer.flow.amendments import Amendment
from streamer.flow.lane.inherited import Inherited
from streamer.flow.shard import Shard
from streamer.settings import Settings
from streamer.signing import Keyring
from streamer.stopping import at_most
from streamer.telemetry.metrics import Metrics
from streamer.worker.status.lane_status import LaneState

from .background import Background
from .lane_messages import (
    AdvanceLane,
    CloseLane,
    LaneAnswer,
    LaneChannel,
    LaneDone,
    LaneFailed,
    LaneProcessWorks,
    LaneTold,
    LiveLag,
    OpenLane,
    read_answer,
)
from .lane_process import STARVED, fold_lanes
from .lane_run import LaneFaultError, LaneRun, LaneUnansweredError, Tell

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.lanes")

LAG_SECONDS: Final = 0.1  # between two words about live lag
KEPT_SECONDS: Final = 30.0  # for which a process is kept after its last lane: to begin one costs a second of a processor
SILENT_SECONDS: Final = 30.0  # for which a process that is asked for something may say nothing
FAIR_SECONDS: Final = 60.0  # after one has starved the next ones ask for their share of the processors
STOP_SECONDS: Final = 0.5  # for killed processes to be gone


class LaneWork(Protocol):
    """What a process does: ``fold_lanes``."""

    def __call__(self, theirs: socket.socket, settings: Settings, *, gives_way: bool) -> None:
        """Until the other side of the socket is closed."""
        ...


class LaneProcess:
    """One process that folds lanes, as its worker sees it. ``tells`` are told how far these are, by their numbers."""

    def __init__(self, process: SpawnProcess, channel: LaneChannel) -> None:
        self.tells: dict[int, Tell] = {}
        self.is_over = False
        self.was_stopped = False  # by us
        self.heard_at = monotonic()
        self.idle_since = 0.0  # when its last lane was closed; of no meaning while it has any
        self.pid = process.pid
        self._process = process
        self._channel = channel
        self._answers: dict[int, asyncio.Future[None]] = {}

    @classmethod
    async def begin(cls, settings: Settings, *, gives_way: bool, work: LaneWork) -> Self:
        """Begin one that does ``work``. OSError where the system has no room for it."""
        context = multiprocessing.get_context("spawn")  # a fork would have the worker's connections
        ours, theirs = socket.socketpair()
        process = context.Process(target=work, args=(theirs, settings), kwargs={"gives_way": gives_way}, daemon=True)
        try:
            process.start()
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        log.info("lane process begun", action="lanes", pid=process.pid)
        return cls(process, await LaneChannel.over(ours))

    @property
    def is_asked(self) -> bool:
        """Whether it has something to do."""
        return bool(self._answers)

    def send(self, message: CloseLane | LiveLag) -> None:
        """Say what has no answer."""
        if not self.is_over:
            self._channel.send(message)

    async def ask(self, question: OpenLane | AdvanceLane) -> None:
        """Return when it is done. LaneUnansweredError where it cannot be done now, HaltError where a person must look, LaneFaultError."""
        if self.is_over:
            raise LaneUnansweredError("the process that folded this lane has ended")
        self.heard_at = self.heard_at if self._answers else monotonic()
        answer = self._answers[question.lane] = asyncio.get_running_loop().create_future()
        self._channel.send(question)
        try:
            await answer
        finally:
            self._answers.pop(question.lane, None)

    async def listen(self) -> bool:
        """Take what it says, until it ends; whether that was because it got next to nothing of the processors."""
        try:
            while (raw := await self._channel.receive()) is not None:
                self._take(read_answer(raw))
        finally:
            self._end()
        await asyncio.to_thread(self._process.join)
        if self.was_stopped:
            return False
        is_starved = self._process.exitcode == STARVED
        why = "too little of the processors was left for it" if is_starved else ""
        log.warning("lane process ended", action="lanes", pid=self.pid, exit_code=self._process.exitcode, why=why)
        return is_starved

    def _take(self, answer: LaneAnswer) -> None:
        self.heard_at = monotonic()
        match answer:
            case LaneProcessWorks():
                pass
            case LaneTold():
                if (tell := self.tells.get(answer.lane)) is not None:
                    tell(answer.status)
            case LaneDone():
                if (waiting := self._answers.get(answer.lane)) is not None and not waiting.done():
                    waiting.set_result(None)
            case LaneFailed():
                if (waiting := self._answers.get(answer.lane)) is not None and not waiting.done():
                    waiting.set_exception(_error(answer))
            case _:
                assert_never(answer)

    def _end(self) -> None:
        if self.is_over:
            return
        self.is_over = True
        self._channel.close()
        for waiting in self._answers.values():
            if not waiting.done():
                waiting.set_exception(LaneUnansweredError("the process that folded this lane has ended; it begins anew where that was"))

    def kill(self) -> None:
        """End it now: what it has not committed is folded again. Nobody is given it any more."""
        self.was_stopped = True
        self._end()
        self._process.kill()

    async def stop(self) -> None:
        """End it now, and return when it is gone."""
        self.kill()
        await asyncio.to_thread(self._process.join)


def _error(failed: LaneFailed) -> Exception:
    match failed.failure:
        case "unanswered":
            return LaneUnansweredError(failed.text)
        case "halt":
            return HaltError(failed.text)
        case "fault":
            return LaneFaultError(failed.text)
        case _:
            assert_never(failed.failure)


class LaneElsewhere(LaneRun):
    """Drives a lane that is folded in another process."""

    def __init__(self, process: LaneProcess, number: int, shard: Shard, rest: Callable[[], None]) -> None:
        super().__init__()
        self._process = process
        self._number = number
        self._shard = shard
        self._rest = rest
        self._amended = 0  # of the shard's amendments so many were told

    async def open(self, control: bytes, before: str, history: int, brought: int, inherited: Inherited) -> None:
        """See ``lane_messages.OpenLane``."""
        shard, amendments = self._shard.shard, self._amendments()
        await self._process.ask(OpenLane(self._number, shard, control, before, history, brought, amendments, inherited))

    async def advance(self, state: LaneState) -> None:
        """See ``LaneRun``."""
        await self._process.ask(AdvanceLane(self._number, state, self._shard.position.offset, self._amendments()))

    def close(self) -> None:
        """See ``LaneRun``."""
        if self._process.tells.pop(self._number, None) is not None:
            self._process.send(CloseLane(self._number))
            self._rest()

    def _amendments(self) -> list[Amendment]:
        found = self._shard.amendments.behind(self._amended)
        self._amended += len(found)
        return found


class LaneProcesses:
    """All of one worker, ``STREAMER_LANE_PROCESSES`` at a time. ``lag_ms`` says how far live traffic is behind: lanes wait for it."""

    def __init__(
        self,
        settings: Settings,
        keyring: Keyring,
        background: Background,
        metrics: Metrics,
        lag_ms: Callable[[], float],
        *,
        work: LaneWork = fold_lanes,
    ) -> None:
        self._work = work
        self._metrics = metrics
        self._settings = settings.with_keys(keyring)
        self._most = settings.lane_processes
        self._background = background
        self._lag_ms = lag_ms
        self._numbers = count(1)
        self._choosing = asyncio.Lock()
        self._processes: list[LaneProcess] = []
        self._fair_until = 0.0  # until then processes that begin do not give way

    async def begin(self, shard: Shard, tell: Tell) -> LaneElsewhere:
        """A lane of a shard in the process that has the fewest; it is yet to be opened. OSError where none can be begun."""
        async with self._choosing:
            process, number = await self._with_fewest(), next(self._numbers)
            process.tells[number] = tell
        return LaneElsewhere(process, number, shard, lambda: self._rest(process))

    async def stop(self) -> None:
        """End all of them."""
        found, self._processes = self._processes, []
        await at_most(STOP_SECONDS, _stop_all(found))

    async def _with_fewest(self) -> LaneProcess:
        self._processes = [process for process in self._processes if not process.is_over]
        fewest = min(self._processes, key=lambda process: len(process.tells), default=None)
        if fewest is not None and (not fewest.tells or len(self._processes) == self._most):
            return fewest
        process = await LaneProcess.begin(self._settings, gives_way=monotonic() >= self._fair_until, work=self._work)
        self._processes.append(process)
        self._count()
        self._background.spawn(self._listen(process))
        self._background.spawn(self._say_lag(process))
        return process

    async def _listen(self, process: LaneProcess) -> None:
        """Until it has ended, whoever ended it."""
        is_starved = await process.listen()
        self._count()
        if not process.was_stopped:
            self._metrics.lane_processes_ended.inc()
        if is_starved:
            self._fair_until = monotonic() + FAIR_SECONDS

    def _count(self) -> None:
        self._metrics.lane_processes.set(sum(not process.is_over for process in self._processes))

    async def _say_lag(self, process: LaneProcess) -> None:
        """Say it while it is asked for something, and end it where it does not hear."""
        while not process.is_over:
            if process.is_asked:
                process.send(LiveLag(self._lag_ms()))
            await asyncio.sleep(LAG_SECONDS)
            if process.is_asked and monotonic() - process.heard_at > SILENT_SECONDS:
                self._fair_until = monotonic() + FAIR_SECONDS  # it may have got nothing at all, not even to say so
                log.warning("lane process ended", action="lanes", pid=process.pid, why="it does not hear any more")
                self._metrics.lane_processes_ended.inc()
                await process.stop()

    def _rest(self, process: LaneProcess) -> None:
        if not process.tells:
            process.idle_since = monotonic()
            asyncio.get_running_loop().call_later(KEPT_SECONDS, self._end_idle, process, process.idle_since)

    def _end_idle(self, process: LaneProcess, since: float) -> None:
        """End it where it has had no lane since that moment; ``_listen`` waits for it to be gone."""
        if not process.tells and process.idle_since == since and not process.is_over:
            process.kill()


async def _stop_all(processes: list[LaneProcess]) -> None:
    await asyncio.gather(*(process.stop() for process in processes))


__all__ = ["LaneElsewhere", "LaneProcess", "LaneProcesses"]
