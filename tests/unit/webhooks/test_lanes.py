"""Lanes keep each customer's order, lose nothing whatever is interrupted, and let one that fails hold up nobody else."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.webhooks.lanes import LANES, QUEUE_MAX, RECENT_MAX, DeliveryLane, PendingChange, ShardLanes, lane_of

CUSTOMERS = [f"c-{number}" for number in range(12)]


def pending(offset: int) -> PendingChange:
    return PendingChange(0, offset, (1, offset, 0), f"1-0-{offset}-0", 0, b"{}")


class Story:
    """A topic of changes, and a deliverer that may be interrupted at any step."""

    def __init__(self, customers: list[str]) -> None:
        self.customers = customers
        self.lanes = ShardLanes(0)
        self.delivered: list[int] = []
        self.noted = (0, "")

    def read(self) -> None:
        if self.lanes.read < len(self.customers):
            offset = self.lanes.read
            self.lanes.offer(lane_of(self.customers[offset]), pending(offset))
            self.lanes.read = offset + 1

    def deliver(self, draw: random.Random) -> None:
        ready = [lane for lane in self.lanes if lane.queue and not lane.is_blocked]
        if ready:
            lane = draw.choice(ready)
            self.delivered.append(lane.queue[0].offset)
            self.lanes.done(lane)

    def catch_up(self) -> None:
        for lane in self.lanes.missing():
            if not self.lanes.catch_up(lane):
                self.read_again(lane)

    def read_again(self, lane: DeliveryLane) -> None:
        """As out of Kafka, as far as there is room."""
        assert lane.missed is not None
        for offset in range(lane.missed, self.lanes.recent_from):
            if lane_of(self.customers[offset]) == lane.number:
                if not self.lanes.has_room(lane):
                    lane.missed = offset
                    return
                self.lanes.offer_again(lane, pending(offset))
        lane.missed = max(lane.missed, self.lanes.recent_from)

    def note(self) -> None:
        self.noted = (self.lanes.position(), self.lanes.text(0))

    def crash(self, draw: random.Random) -> None:
        """Whoever goes on is given what comes from some place on, often far behind what was read."""
        self.lanes = ShardLanes.restored(*self.noted)
        self.lanes.join(draw.randint(self.lanes.read, len(self.customers)))

    def finish(self) -> None:
        draw = random.Random(0)
        for _ in range(100 * len(self.customers) + 100):
            for lane in self.lanes:
                lane.is_blocked = False
            self.read()
            self.catch_up()
            self.deliver(draw)


@given(st.lists(st.sampled_from(CUSTOMERS), max_size=400), st.integers(0, 2**32), st.sampled_from(["read", "deliver", "crash", "even"]))
def test_nothing_is_missed_or_out_of_order_whatever_is_interrupted(customers: list[str], seed: int, mostly: str) -> None:
    """Reading, delivering, blocking, catching up, noting and crashing in any order: each change goes out, first times in order."""
    story, draw = Story(customers), random.Random(seed)
    steps = ["read", "read", "deliver", "deliver", "catch_up", "note", "crash", "block", "free", *[mostly] * 6]
    for _ in range(600):
        match draw.choice(steps):
            case "read" | "even":
                story.read()
            case "deliver":
                story.deliver(draw)
            case "catch_up":
                story.catch_up()
            case "note":
                story.note()
            case "crash":
                story.crash(draw)
            case "block":
                for lane in story.lanes:
                    lane.is_blocked = draw.random() < 0.3
            case _:
                for lane in story.lanes:
                    lane.is_blocked = False
    story.finish()
    assert set(story.delivered) == set(range(len(customers)))
    assert story.lanes.position() == len(customers)
    first_times: dict[str, list[int]] = defaultdict(list)
    for offset in dict.fromkeys(story.delivered):
        first_times[customers[offset]].append(offset)
    assert all(offsets == sorted(offsets) for offsets in first_times.values())


def test_a_lane_that_fails_costs_its_queue_and_holds_up_nobody() -> None:
    """One customer's endpoint fails for as long as it likes: all others' changes go out, and memory stays bounded."""
    failing = CUSTOMERS[0]
    other = next(name for name in CUSTOMERS if lane_of(name) != lane_of(failing))
    story = Story([failing, other] * 2_000)
    for _ in story.customers:
        story.read()
        story.lanes.lane(lane_of(failing)).is_blocked = True
        story.deliver(random.Random(0))
        story.catch_up()
    assert len(story.delivered) == 2_000
    assert story.lanes.waiting == QUEUE_MAX
    assert story.lanes.position() == 0
    assert story.lanes.blocked == 1
    story.finish()
    assert len(set(story.delivered)) == 4_000


def test_what_is_noted_fits_beside_an_offset() -> None:
    """A broker takes 4,096 bytes at most, and with all lanes behind for days it must still be told."""
    lanes = ShardLanes(0)
    lanes.read = 2**48
    for number in range(LANES):
        lane = lanes.lane(number)
        lane.missed, lane.attempts, lane.failing_since_ms = number, 9, 2**42
    text = lanes.text(2**42)
    assert len(text) < 2_048
    found = ShardLanes.restored(lanes.position(), text)
    assert [(lane.missed, lane.attempts) for lane in found] == [(number, 9) for number in range(LANES)]
    assert found.failing_since_ms // 1_000 == 2**42 // 1_000


def test_who_is_resumed_is_given_the_whole_time_anew() -> None:
    """Otherwise the first failure after it would disable it again, as five days are over."""
    lanes = ShardLanes(0)
    lane, fresh = lanes.lane(3), lanes.lane(4)
    lanes.failing_since_ms, lane.failing_since_ms, lane.attempts = 1_000, 1_000, 9
    fresh.failing_since_ms, fresh.attempts = 5_000, 1
    lanes.forget_failures(before_ms=4_000)
    assert (lanes.failing_since_ms, lane.failing_since_ms, lane.attempts) == (0, 0, 0)
    assert (fresh.failing_since_ms, fresh.attempts) == (5_000, 1)


@pytest.mark.parametrize("text", ["", "no base85 \x00", "0000", "~" * 50])
def test_a_note_that_cannot_be_read_misses_nothing(text: str) -> None:
    """All behind the offset goes out again then, under the ids that it had."""
    found = ShardLanes.restored(42, text)
    assert (found.read, found.position(), [*found]) == (42, 42, [])


def test_a_repeated_change_goes_out_once() -> None:
    """A relay that crashed writes the same position again."""
    lanes = ShardLanes(0)
    assert lanes.offer(3, pending(5)) is not None
    assert lanes.offer(3, pending(5)) is None
    assert len(lanes.lane(3).queue) == 1


def test_a_short_lack_of_room_needs_no_second_reading() -> None:
    """What was read last is at hand; only what is older than that is read from Kafka once more."""
    lanes = ShardLanes(0)
    for offset in range(QUEUE_MAX + 5):
        lanes.offer(3, pending(offset))
        lanes.read = offset + 1
    lane = lanes.lane(3)
    assert lane.missed == QUEUE_MAX
    for _ in range(QUEUE_MAX):
        lanes.done(lane)
    assert lanes.catch_up(lane)
    assert lane.missed is None
    assert [change.offset for change in lane.queue] == list(range(QUEUE_MAX, QUEUE_MAX + 5))
    for offset in range(lanes.read, lanes.read + RECENT_MAX + QUEUE_MAX):
        lanes.offer(3, pending(offset))
    for _ in range(QUEUE_MAX):
        lanes.done(lane)
    assert not lanes.catch_up(lane), "what it misses is older than what is at hand"
