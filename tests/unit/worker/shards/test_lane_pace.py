"""Lanes fold in short slices, one at a time, and wait while live traffic does."""

from __future__ import annotations

import asyncio

import pytest

from streamer.worker.shards import lane_pace
from streamer.worker.shards.lane_pace import LanePace


class Clock:
    """A clock of the test's own, and the lag of live traffic."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.lag_ms, self.waited = 0.0, 0.0, 0
        monkeypatch.setattr(lane_pace, "monotonic", lambda: self.now)
        monkeypatch.setattr(lane_pace, "LOOK_SECONDS", 0.0)
        self.pace = LanePace(self._lag)

    def _lag(self) -> float:
        self.waited += 1
        return self.lag_ms

    async def slice(self, ms_a_record: float, left: int = 10_000) -> int:
        async with self.pace.slice(left) as records:
            self.now += records * ms_a_record / 1_000
        return records


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Live traffic does not lag."""
    return Clock(monkeypatch)


async def test_a_slice_comes_to_twenty_milliseconds_whatever_a_record_costs(clock: Clock) -> None:
    """The heartbeats and live traffic share the loop."""
    for ms_a_record, fitting in ((0.02, 1_000), (0.2, 100), (0.00001, lane_pace.RECORDS_MAX), (50, lane_pace.RECORDS_MIN)):
        for _ in range(8):
            await clock.slice(ms_a_record)
        assert await clock.slice(ms_a_record) == pytest.approx(fitting, rel=0.01)


async def test_the_end_of_a_batch_does_not_make_the_next_slice_longer(clock: Clock) -> None:
    """It is over soon as it has few records, not as they are cheap."""
    for _ in range(8):
        await clock.slice(0.02)
    assert await clock.slice(0.02, left=10) == 10
    assert await clock.slice(0.02) == pytest.approx(1_000, rel=0.01)


async def test_lanes_wait_while_live_traffic_lags_and_begin_again_when_it_hardly_does(clock: Clock) -> None:
    """With one bound alone they would begin and stop with each batch."""
    lags = iter([150, 250, 150, 60, 40])
    said: list[bool] = []
    for lag_ms in lags:
        clock.lag_ms = lag_ms
        clock.pace._is_to_yield()  # pyright: ignore[reportPrivateUsage]
        said.append(clock.pace.is_yielding)
    assert said == [False, True, True, True, False]


async def test_where_the_lag_never_ends_a_slice_a_second_is_folded_all_the_same(clock: Clock) -> None:
    """A publication would otherwise never take effect in a shop that is always busy."""
    clock.lag_ms = 1_000
    folded = asyncio.create_task(clock.slice(0.0))
    for _ in range(50):
        await asyncio.sleep(0)
    assert not folded.done()
    clock.now += lane_pace.TRICKLE_SECONDS
    assert await folded == lane_pace.RECORDS_FIRST


async def test_two_lanes_take_turns_and_never_fold_at_once(clock: Clock) -> None:
    """Eight of them would hold the loop eight times as long."""
    inside, most = 0, 0

    async def fold() -> None:
        nonlocal inside, most
        for _ in range(5):
            async with clock.pace.slice(10_000):
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0)
                inside -= 1

    await asyncio.gather(fold(), fold())
    assert most == 1
