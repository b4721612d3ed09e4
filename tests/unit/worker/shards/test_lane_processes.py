"""A worker has its lanes folded by processes that may end at any moment, and ends them itself."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from time import sleep
from types import SimpleNamespace
from typing import Any, cast

import pytest

from streamer.errors import HaltError
from streamer.flow.amendments import Amendment, Amendments
from streamer.flow.checkpoint import NOTHING_BROUGHT
from streamer.flow.lane.inherited import NOTHING
from streamer.local.children import process_exists
from streamer.settings import Settings, load_settings
from streamer.signing import Keyring
from streamer.telemetry.metrics import Metrics
from streamer.worker.shards import lane_processes
from streamer.worker.shards.background import Background
from streamer.worker.shards.lane_messages import (
    AdvanceLane,
    CloseLane,
    LaneChannel,
    LaneDone,
    LaneFailed,
    LaneFailure,
    LaneQuestion,
    LaneTold,
    LiveLag,
    OpenLane,
    read_question,
)
from streamer.worker.shards.lane_process import STARVED
from streamer.worker.shards.lane_processes import LaneProcesses
from streamer.worker.shards.lane_run import LaneFaultError, LaneUnansweredError
from streamer.worker.status.lane_status import LaneState, LaneStatus

SECONDS = 60
FAILURES: dict[LaneState, LaneFailure] = {"folds": "fault", "ready": "halt", "shadow": "unanswered"}


def answers(theirs: socket.socket, settings: Settings, *, gives_way: bool) -> None:
    """A process that says of each lane how far live traffic lags, whether it gives way, and what it was told.

    It fails at offset 7, hears nothing any more at 8, and ends at 9.
    """

    async def serve() -> None:
        channel, told, waiting = await LaneChannel.over(theirs), list[str](), list[AdvanceLane]()
        while (raw := await channel.receive()) is not None:
            question: LaneQuestion = read_question(raw)
            match question:
                case OpenLane():
                    told += [one.who for one in question.amendments]
                    channel.send(LaneDone(question.lane))
                case AdvanceLane(upto=7):
                    channel.send(LaneFailed(question.lane, FAILURES[question.state], "at 7"))
                case AdvanceLane(upto=8):
                    sleep(10 * SECONDS)  # noqa: ASYNC251 - it is to hear nothing
                case AdvanceLane(upto=9):
                    os._exit(STARVED if gives_way else 1)
                case AdvanceLane():
                    told += [one.who for one in question.amendments]
                    waiting.append(question)
                case LiveLag():
                    for asked in waiting:
                        why = f"{question.ms:g} {gives_way} {','.join(told)} {','.join(settings.keyring.secrets)}"
                        channel.send(LaneTold(asked.lane, LaneStatus(2, asked.state, why=why)))
                        channel.send(LaneDone(asked.lane))
                    waiting.clear()
                case CloseLane():
                    told.append("closed")

    asyncio.run(serve())
    os._exit(0)


class Shard:
    """As much of a shard as a lane needs. ``at`` is how far it has come."""

    def __init__(self, at: int = 3) -> None:
        self.shard, self.amendments, self.position = 0, Amendments(), SimpleNamespace(offset=at)

    def amend(self, who: str) -> None:
        self.amendments.add(Amendment("skip", 0, 1, who=who))


@asynccontextmanager
async def processes(most: int = 1) -> AsyncGenerator[LaneProcesses]:
    """Those of a worker whose live traffic lags 12 ms, and which has one key."""
    background = Background()
    keyring = Keyring("streamer", {"k1": b"x" * 32})
    found = LaneProcesses(load_settings(lane_processes=most), keyring, background, Metrics(), lambda: 12.0, work=answers)
    try:
        async with asyncio.timeout(SECONDS):
            yield found
    finally:
        await found.stop()
        background.cancel()


async def opened(found: LaneProcesses, shard: Shard, tell: Callable[[LaneStatus], None] = lambda _: None) -> Any:
    run = await found.begin(cast("Any", shard), tell)
    await run.open(b"{}", "", 0, NOTHING_BROUGHT, NOTHING)
    return run


def pid_of(run: Any) -> int:
    return run._process.pid


def counted(found: LaneProcesses) -> tuple[float | None, float | None]:
    """How many processes a scrape would say there are, and have ended by themselves."""
    registry = found._metrics.registry  # pyright: ignore[reportPrivateUsage]
    names = ("segmenter_lane_processes", "segmenter_lane_processes_ended_total")
    running, ended = map(registry.get_sample_value, names)
    return running, ended


async def until_gone(pid: int) -> None:
    while process_exists(pid):  # noqa: ASYNC110 - of another process
        await asyncio.sleep(0.01)


async def test_a_lane_elsewhere_says_how_far_it_is_and_knows_what_its_shard_has_amended(monkeypatch: pytest.MonkeyPatch) -> None:
    """It obeys what its shard does, under the same keys, and knows how far live traffic lags. Its process ends when it is not needed."""
    monkeypatch.setattr(lane_processes, "KEPT_SECONDS", 0.01)
    async with processes() as found:
        shard, told = Shard(), list[LaneStatus]()
        shard.amend("before")
        run = await opened(found, shard, told.append)
        shard.amend("meanwhile")
        assert counted(found) == (1, 0)
        await run.reach_end("folds")
        assert told == [LaneStatus(2, "folds", why="12 True before,meanwhile k1")]
        assert run.passed_at > 0
        run.close()
        await until_gone(pid_of(run))
        while counted(found) != (0, 0):  # noqa: ASYNC110 - it was not needed any more, and is no loss
            await asyncio.sleep(0.01)


async def test_a_process_is_kept_for_a_while_after_its_last_lane_and_then_given_to_nobody() -> None:
    """Two publications that follow each other cost one process; a lane that begins as one ends is not begun in that one."""
    async with processes() as found:
        run = await opened(found, Shard())
        process = run._process
        run.close()
        first = process.idle_since
        assert first
        again = await opened(found, Shard())
        again.close()
        found._end_idle(process, first)  # pyright: ignore[reportPrivateUsage]
        assert not process.is_over, "it has had a lane since"
        last = await opened(found, Shard())
        found._end_idle(process, process.idle_since)  # pyright: ignore[reportPrivateUsage]
        assert not process.is_over, "it has one"
        last.close()
        assert pid_of(again) == pid_of(last) == pid_of(run)
        found._end_idle(process, process.idle_since)  # pyright: ignore[reportPrivateUsage]
        other = await opened(found, Shard())
        await other.advance("folds")
        assert pid_of(other) != pid_of(run)
        await until_gone(pid_of(run))


async def test_errors_of_a_lane_elsewhere_say_who_must_act() -> None:
    """A person looks at one that halts, we at our own fault; neither is tried again at once, and the other lanes go on."""
    async with processes() as found:
        lane, other = await opened(found, Shard(at=7)), await opened(found, Shard())
        assert pid_of(lane) == pid_of(other), "there is one process for both"
        with pytest.raises(LaneFaultError, match="at 7"):
            await lane.advance("folds")
        with pytest.raises(HaltError, match="at 7"):
            await lane.advance("ready")
        with pytest.raises(LaneUnansweredError, match=r"^at 7$"):
            await lane.advance("shadow")
        await other.advance("folds")


async def test_a_process_that_ends_fails_its_lanes_and_the_next_one_asks_for_its_share() -> None:
    """It had next to nothing of the processors: one that gives way once more would have no more."""
    async with processes() as found:
        told = list[LaneStatus]()
        first, beside = await opened(found, Shard(at=9)), await opened(found, Shard())
        asked = asyncio.create_task(beside.advance("folds"))
        with pytest.raises(ConnectionError, match="has ended"):
            await first.advance("folds")
        with pytest.raises(ConnectionError, match="has ended"):
            await asked
        await until_gone(pid_of(first))
        while not found._fair_until:  # pyright: ignore[reportPrivateUsage]  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert counted(found) == (0, 1)
        with pytest.raises(ConnectionError, match="has ended"):
            await beside.advance("folds")
        second = await opened(found, Shard(), told.append)
        await second.advance("folds")
        assert pid_of(second) != pid_of(first)
        assert "False" in told[0].why


async def test_a_process_that_does_not_hear_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """It hangs, or gets nothing at all of the processors and cannot even end: its lanes begin anew elsewhere."""
    async with processes() as found:
        lane = await opened(found, Shard(at=8))
        monkeypatch.setattr(lane_processes, "SILENT_SECONDS", 0.3)
        with pytest.raises(ConnectionError, match="has ended"):
            await lane.advance("folds")
        await until_gone(pid_of(lane))
        while counted(found) != (0, 1):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert found._fair_until  # pyright: ignore[reportPrivateUsage]


async def test_lanes_are_dealt_to_as_many_processes_as_there_may_be_and_end_with_the_worker() -> None:
    """Twelve shards use two cores, and nothing is left behind."""
    async with processes(most=2) as found:
        runs = [await opened(found, Shard()) for _ in range(4)]
        pids = [pid_of(run) for run in runs]
        assert len(set(pids)) == 2
        assert pids.count(pids[0]) == 2
        await found.stop()
        for pid in pids:
            await until_gone(pid)
        with pytest.raises(ConnectionError, match="has ended"):
            await runs[0].advance("folds")
