"""A lane is brought to the end of its log beside live traffic, and waits for what another shard's lane has to send."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest
from aiokafka.errors import KafkaConnectionError

from streamer.errors import StoreUnavailableError
from streamer.transports.memory import MemoryLog
from streamer.wire import EVENTS
from streamer.worker.shards.lane_pace import LanePace
from streamer.worker.shards.lane_run import LaneHere, LaneUnansweredError, why_unanswered
from streamer.worker.status.lane_status import LaneStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamer.wire import LogRecord


AWAITED = (1, 7)


class WaitingLane:
    """A lane that stops in front of the third record until something has come, which lies behind the fifth."""

    def __init__(self) -> None:
        self.shard, self.position, self.awaits = 0, 0, None
        self.heard: list[int] = []
        self.is_given_up = self.is_done = False
        self.begin = self.recalled = self.left_of_history = 0

    def has_come(self, _place: tuple[int, int]) -> bool:
        return self.is_given_up or 5 in self.heard

    def listen_for(self, place: tuple[int, int]) -> None:
        assert place == AWAITED

    @property
    def heard_upto(self) -> int:
        return self.heard[-1] + 1 if self.heard else 0

    def hear(self, records: Sequence[LogRecord]) -> None:
        self.heard += [record.offset for record in records]

    def give_up(self, _place: tuple[int, int]) -> None:
        self.is_given_up = True

    async def fold(self, records: Sequence[LogRecord], _recalled_max: int) -> list[Any]:
        self.awaits = None
        for record in records:
            if record.offset == 2 and not self.has_come(AWAITED):
                self.awaits = cast("Any", AWAITED)
                break
            self.position = record.offset + 1
        return []


class NoRelay:
    """Nothing is to be published."""

    def add(self, _entries: object) -> None: ...

    async def turn(self) -> bool:
        return False


def filled(records: int) -> MemoryLog:
    log = MemoryLog(2, lambda: 1_000)
    for number in range(records):
        log.append(EVENTS, 0, b"%d" % number)
    return log


def run_over(log: MemoryLog, lane: WaitingLane, told: list[LaneStatus], upto: int = 1_000) -> LaneHere:
    pace = LanePace(lambda: 0.0, lambda: False)
    return LaneHere(cast("Any", lane), 2, log, cast("Any", NoRelay()), pace, told.append, lambda: upto)


async def test_a_lane_waits_for_what_another_has_to_send_and_says_for_whom() -> None:
    """What comes lies behind the place where it stands, so the log is read ahead; without it the past of a merged customer is half."""
    log, lane, told = filled(5), WaitingLane(), list[LaneStatus]()
    going = asyncio.create_task(run_over(log, lane, told).reach_end())
    async with asyncio.timeout(10):
        while not (told and "shard 1" in told[-1].why):  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert (lane.position, told[-1].folded, told[-1].of) == (2, 2, 5)
    log.append(EVENTS, 0, b"what was awaited")
    await going
    assert (lane.position, lane.is_given_up, told[-1].why) == (5, False, "")


async def test_what_can_no_longer_come_is_not_waited_for() -> None:
    """The log of the other shard begins behind the place of the link: its lane never comes to it."""
    log, lane, told = filled(5), WaitingLane(), list[LaneStatus]()
    look = log.look

    async def cut(shard: int, offset: int) -> Any:
        return (await look(shard, offset))._replace(begin=8) if shard == 1 else await look(shard, offset)

    cast("Any", log).look = cut
    await run_over(log, lane, told).reach_end()
    assert (lane.position, lane.is_given_up) == (5, True)


async def test_a_lane_does_not_overtake_its_shard() -> None:
    """A record at which the shard is yet to fail is passed over by an amendment, which the lane obeys as a rebuild does."""
    log, lane, told = filled(5), WaitingLane(), list[LaneStatus]()
    lane.is_given_up = True
    await run_over(log, lane, told, upto=3).reach_end()
    assert (lane.position, told[-1].folded, told[-1].of) == (3, 3, 3)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TimeoutError(), "TimeoutError: Kafka or the store did not answer in time"),
        (StoreUnavailableError("away"), "StoreUnavailableError: away"),
        (KafkaConnectionError("away"), "KafkaConnectionError: away"),
        (KafkaConnectionError(), "KafkaConnectionError"),
        (LaneUnansweredError("StoreUnavailableError: away"), "StoreUnavailableError: away"),
    ],
)
def test_what_does_not_answer_is_said_with_its_class_and_its_text_once(error: Exception, said: str) -> None:
    """A timeout has no text of its own, and what another process has said is whole: nothing is put in front of it."""
    assert why_unanswered(error) == said
