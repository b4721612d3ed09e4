"""Ticks come when time changes something, and hardly ever otherwise: they lie in the log for ever."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from math import floor, inf

from hypothesis import given
from hypothesis import strategies as st

from streamer.worker.shards.broker_clock import DRIFT, BrokerClock
from streamer.worker.shards.tick_schedule import AGAIN_MS, APART_MS, BEHIND_MS, TickSchedule

HEARTBEAT_MS = 30_000
DELAY_MS = 20.0  # one way between worker and broker, at most
DAY_MS = 86_400_000
SETTLED = 2 * DELAY_MS + BEHIND_MS + 1 + HEARTBEAT_MS * 2 * DRIFT + 1  # behind its moment: the way back is not known, nor the drift

delays = st.floats(0.1, DELAY_MS)
ways = st.lists(st.tuples(delays, delays), min_size=1, max_size=12)
drifts = st.floats(-DRIFT, DRIFT)
ahead = st.floats(-DAY_MS, DAY_MS)


@dataclass
class Shop:
    """One shard between a worker and a broker, in a simulated time of the worker's clock. ``ways`` are delays there and back, in turn."""

    ways: list[tuple[float, float]]
    ahead_ms: float = 0.0
    drift: float = 0.0
    dues: list[float] = field(default_factory=list[float])  # of timers that are armed, by the broker's clock, ascending
    takes: bool = True  # the broker does
    now_ms: float = 1_000.0
    sent: list[float] = field(default_factory=list[float])
    appended: list[int] = field(default_factory=list[int])
    late: list[float] = field(default_factory=list[float])  # of each timer that fired
    schedule: TickSchedule = field(default_factory=lambda: TickSchedule(HEARTBEAT_MS))

    def broker_ms(self, now_ms: float) -> float:
        return DAY_MS * 20_000 + now_ms + self.ahead_ms + self.drift * now_ms

    def arm(self, after_ms: float) -> None:
        """A timer that is due so long after now, by the broker's clock."""
        self.dues = sorted([*self.dues, float(int(self.broker_ms(self.now_ms) + after_ms))])

    def record(self) -> None:
        """A customer's event, appended and read at once."""
        self._read(int(self.broker_ms(self.now_ms)), self.now_ms)

    def run(self, until_ms: float) -> None:
        """Send the ticks that the schedule asks for up to a moment."""
        while (at := self._next_at()) <= until_ms:
            self.now_ms = max(self.now_ms, at)
            self._tick()
        self.now_ms = max(self.now_ms, until_ms)

    def _next_at(self) -> float:
        return self.schedule.next_at(self.now_ms, int(self.dues[0]) if self.dues else None)

    def _tick(self) -> None:
        there, back = self.ways[len(self.sent) % len(self.ways)]
        self.sent.append(self.now_ms)
        self.schedule.sent(self.now_ms)
        if not self.takes:
            self.schedule.failed(self.now_ms)
            return
        arrival_ms = int(self.broker_ms(self.now_ms + there))
        self.appended.append(arrival_ms)
        self.now_ms += there + back
        self.schedule.acknowledged(self.now_ms, arrival_ms)
        self._read(arrival_ms, self.now_ms)

    def _read(self, arrival_ms: int, now_ms: float) -> None:
        self.late += [arrival_ms - due_ms for due_ms in self.dues if due_ms <= arrival_ms]
        self.dues = [due_ms for due_ms in self.dues if due_ms > arrival_ms]
        self.schedule.read(now_ms, arrival_ms)


@given(ways, ahead, drifts, st.lists(st.floats(100, 3 * HEARTBEAT_MS), max_size=30))
def test_a_timer_on_a_quiet_shard_is_passed_at_once_and_by_one_tick(
    ways: list[tuple[float, float]], ahead_ms: float, drift: float, afters: list[float]
) -> None:
    """Neither early, which would be a tick in vain, nor later than the ways to the broker and back, whatever its clock shows."""
    shop = Shop(ways, ahead_ms, drift)
    shop.run(shop.now_ms)
    first = len(shop.sent)
    for after_ms in afters:
        shop.arm(after_ms)
    shop.run(shop.now_ms + 4 * HEARTBEAT_MS)
    assert (first, shop.dues) == (1, []), "the first tick, of a shard just acquired, tells what the clock shows"
    assert all(0 <= late <= SETTLED + APART_MS for late in shop.late)
    heartbeats = 5  # at most, in that time
    assert len(shop.sent) <= first + len(set(afters)) + heartbeats


@given(ways, ahead, st.floats(100, HEARTBEAT_MS))
def test_a_lone_timer_waits_for_nothing_but_the_way(ways: list[tuple[float, float]], ahead_ms: float, after_ms: float) -> None:
    """Where nothing else has just let time pass, there is no distance to keep."""
    shop = Shop(ways, ahead_ms)
    shop.run(shop.now_ms)
    shop.arm(after_ms)
    shop.run(shop.now_ms + HEARTBEAT_MS)
    assert len(shop.late) == 1
    assert 0 <= shop.late[0] <= SETTLED


@given(ways, ahead, drifts, st.lists(st.floats(0, 500), min_size=1, max_size=200))
def test_never_more_than_twenty_ticks_a_second(ways: list[tuple[float, float]], ahead_ms: float, drift: float, afters: list[float]) -> None:
    """However many timers lie close together."""
    shop = Shop(ways, ahead_ms, drift)
    for after_ms in afters:
        shop.arm(after_ms)
    shop.run(shop.now_ms + 2_000)
    assert not shop.dues
    _never_too_close(shop)


@given(ways, ahead, st.lists(st.floats(1, 49.9), min_size=1, max_size=100), st.lists(st.floats(0, 5_000), max_size=50))
def test_while_records_flow_they_let_time_pass(
    ways: list[tuple[float, float]], ahead_ms: float, gaps: list[float], afters: list[float]
) -> None:
    """A tick for each timer of a busy shop would be most of its log."""
    shop = Shop(ways, ahead_ms)
    shop.run(shop.now_ms)
    shop.record()
    before = len(shop.sent)
    for after_ms in afters:
        shop.arm(after_ms)
    for gap_ms in gaps:
        shop.run(shop.now_ms + gap_ms)
        shop.record()
    assert len(shop.sent) == before


@given(ways, ahead, drifts, st.lists(st.floats(1, 3 * HEARTBEAT_MS), max_size=20))
def test_no_shard_is_left_alone_for_longer_than_a_heartbeat(
    ways: list[tuple[float, float]], ahead_ms: float, drift: float, gaps: list[float]
) -> None:
    """Somebody who looks must be able to tell a quiet shard from one that nobody owns."""
    shop = Shop(ways, ahead_ms, drift)
    seen = [shop.now_ms]
    shop.run(shop.now_ms)
    for gap_ms in gaps:
        shop.run(shop.now_ms + gap_ms)
        shop.record()
        seen.append(shop.now_ms)
    moments = sorted([*seen, *shop.sent])
    assert all(after - before <= HEARTBEAT_MS + 2 * DELAY_MS for before, after in pairwise(moments))
    assert len(shop.sent) <= 1 + (shop.now_ms - 1_000) / HEARTBEAT_MS, "and no more often"


@given(ways, ahead, st.lists(st.tuples(st.floats(-5_000, 5_000), st.floats(60, HEARTBEAT_MS)), max_size=20))
def test_a_clock_that_jumps_costs_a_few_ticks_and_not_a_storm(
    ways: list[tuple[float, float]], ahead_ms: float, jumps: list[tuple[float, float]]
) -> None:
    """A tick that came too early by the broker's clock is followed by the next at the difference, which is known by then."""
    shop = Shop(ways, ahead_ms)
    shop.run(shop.now_ms)
    for jump_ms, after_ms in jumps:
        shop.arm(after_ms)
        shop.ahead_ms += jump_ms
        before = len(shop.sent)
        shop.run(shop.now_ms + HEARTBEAT_MS + 6_000)
        assert not shop.dues
        assert len(shop.sent) - before <= 5, "aimed by the old clock, by what is known then, and heartbeats"
    _never_too_close(shop)


def test_where_the_broker_takes_nothing_it_is_asked_once_a_second() -> None:
    """An outage is no reason to fill a queue."""
    shop = Shop([(1, 1)], takes=False)
    shop.run(shop.now_ms + 10 * AGAIN_MS)
    assert len(shop.sent) == 11
    assert shop.schedule.unread_ms(shop.now_ms) == shop.now_ms - 1_000, "since the first try, for whoever asks how the shard is doing"
    shop.takes = True
    shop.run(shop.now_ms + AGAIN_MS)
    assert len(shop.appended) == 1
    assert shop.schedule.unread_ms(shop.now_ms) == 0


def test_what_lies_in_the_log_is_not_sent_again() -> None:
    """A shard that does not come to read its log, as its store is away, must not fill it meanwhile."""
    schedule = TickSchedule(HEARTBEAT_MS)
    schedule.sent(1_000)
    schedule.acknowledged(1_002, 50_000)
    schedule.sent(2_000)
    assert schedule.next_at(2_000, 50_900) == inf, "one is on its way"
    schedule.acknowledged(2_002, 51_001)
    assert schedule.next_at(2_002, 50_900) == 2_000 + HEARTBEAT_MS, "it passes what is due as soon as it is read"
    assert schedule.unread_ms(2_002) == 1_002


def test_without_a_heartbeat_there_are_no_ticks_at_all() -> None:
    """A log whose times are not the present's: history that is being loaded, a test."""
    assert TickSchedule(0).next_at(1_000, 5) == inf


def test_while_definitions_switch_ticks_come_as_often_as_they_may() -> None:
    """Each record carries the switch on by some customers, and on a quiet shard there is no other."""
    schedule = TickSchedule(HEARTBEAT_MS)
    schedule.read(1_000, 50_000)
    assert schedule.next_at(1_000, None, hurries=True) == 1_000 + APART_MS
    assert schedule.next_at(1_000, None) == 1_000 + HEARTBEAT_MS


@given(st.lists(st.tuples(delays, delays, st.floats(0, HEARTBEAT_MS)), min_size=1, max_size=30), ahead, drifts)
def test_the_bounds_of_a_clock_hold_it(trips: list[tuple[float, float, float]], ahead_ms: float, drift: float) -> None:
    """For certain: what rests on a likely difference is early every other time."""
    clock, now_ms = BrokerClock(), 1_000.0
    for there, back, pause in trips:
        broker_ms = floor(now_ms + there + ahead_ms + drift * (now_ms + there))  # which is below 0 where its clock is far behind
        clock.observe(now_ms, now_ms + there + back, broker_ms)
        now_ms += there + back + pause
        at = clock.ours_at(broker_ms + 10_000, now_ms)
        assert at + ahead_ms + drift * at >= broker_ms + 10_000 - abs(at - now_ms) * DRIFT
    quickest = min(there + back for there, back, _ in trips)
    true_ms = now_ms - ahead_ms - drift * now_ms
    assert clock.ours_at(now_ms, now_ms) - true_ms <= quickest + 1 + 2 * DRIFT * (now_ms - 1_000) + 1e-3, "no worse than the quickest trip"


def _never_too_close(shop: Shop) -> None:
    assert all(after - before >= APART_MS - 1e-6 for before, after in pairwise(shop.sent))
