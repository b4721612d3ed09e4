"""Lanes fold in short slices, one at a time, and wait while live traffic does."""

from __future__ import annotations

import asyncio

import pytest

from streamer.worker.shards import lane_pace
from streamer.worker.shards.lane_pace import LanePace


class Clock:
    """A clock of the test's own, and the lag of live traffic."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.lag_ms, self.waited, self.live_until = 0.0, 0.0, 0, 0.0
        monkeypatch.setattr(lane_pace, "monotonic", lambda: self.now)
        monkeypatch.setattr(lane_pace, "LOOK_SECONDS", 0.0)
        monkeypatch.setattr(lane_pace, "LIVE_LOOK_SECONDS", 0.0)
        self.pace = LanePace(self._lag, self._is_live_at_work)

    def _is_live_at_work(self) -> bool:
        self.now += 0.001
        return self.now < self.live_until

    def _lag(self) -> float:
        self.waited += 1
        return self.lag_ms

    async def breathe(self, ms_a_record: float, left: int = 10_000) -> int:
        records = min(left, self.pace.begin())
        self.now += records * ms_a_record / 1_000
        await self.pace.pause(records)
        return records

    async def slice(self, left: int = 10_000) -> int:
        async with self.pace.slice(left) as records:
            return records


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Live traffic does not lag."""
    return Clock(monkeypatch)


async def test_a_lane_pauses_every_five_milliseconds_whatever_a_record_costs(clock: Clock) -> None:
    """The heartbeats and live traffic share the loop."""
    for ms_a_record, fitting in ((0.01, 500), (0.1, 50), (0.00001, lane_pace.RECORDS_MAX), (50, lane_pace.RECORDS_MIN)):
        for _ in range(8):
            await clock.breathe(ms_a_record)
        assert await clock.breathe(ms_a_record) == pytest.approx(fitting, rel=0.02)


async def test_the_end_of_a_slice_does_not_make_the_next_piece_longer(clock: Clock) -> None:
    """It is over soon as it has few records, not as they are cheap."""
    for _ in range(8):
        await clock.breathe(0.01)
    assert await clock.breathe(0.01, left=10) == 10
    assert await clock.breathe(0.01) == pytest.approx(500, rel=0.02)


async def test_a_batch_that_live_traffic_has_in_hand_goes_first(clock: Clock) -> None:
    """It waits for the store now and then, and a lane would come in between each time."""
    clock.live_until = 0.03
    await clock.breathe(0.0)
    assert clock.now == pytest.approx(clock.live_until)


async def test_a_shop_that_is_always_at_work_holds_a_lane_up_no_longer_than_so_much_a_piece(clock: Clock) -> None:
    """Its publications take effect all the same."""
    clock.live_until = 1_000.0
    await clock.breathe(0.0)
    assert clock.now == pytest.approx(lane_pace.LIVE_SECONDS, abs=0.003)


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
    folded = asyncio.create_task(clock.slice())
    for _ in range(50):
        await asyncio.sleep(0)
    assert not folded.done()
    clock.now += lane_pace.TRICKLE_SECONDS
    assert await folded == lane_pace.SLICE_RECORDS


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
