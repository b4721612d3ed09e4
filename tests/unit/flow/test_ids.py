"""The memory of message ids: nothing is applied twice, and nothing timely is refused, up to a cap that says so."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.customers.ids import ENTRY_BYTES, ID_BYTES, IDS_MAX, NARROW, digest, is_remembered, remember

DAY_MS = 86_400_000
MINUTE_MS = 60_000
NOW_MS = 1_772_625_600_000
LAST_MS = 253_402_300_799_999


class Remembered:
    """The ids of one customer under an allowed lateness."""

    def __init__(self, lateness_ms: int = DAY_MS) -> None:
        self.seen, self.floor_ms, self.horizon_ms, self._lateness_ms = b"", -1, 0, lateness_ms

    def add(self, name: str, timestamp_ms: int, now: int) -> None:
        """An accepted event."""
        self.horizon_ms = now - self._lateness_ms
        self.seen, self.floor_ms = remember(
            self.seen, digest(name), timestamp_ms=timestamp_ms, horizon_ms=self.horizon_ms, floor_ms=self.floor_ms
        )

    def has(self, name: str, horizon_ms: int | None = None) -> bool:
        """Whether a second delivery would be found."""
        horizon_ms = self.horizon_ms if horizon_ms is None else horizon_ms
        return is_remembered(self.seen, digest(name), horizon_ms=horizon_ms, floor_ms=self.floor_ms)


def test_an_id_is_remembered_at_any_time_from_1970_to_9999() -> None:
    """Two bytes of minutes begin anew each 45 days: the floor tells which of them is meant."""
    for timestamp_ms in (0, 2**16 * MINUTE_MS - 1, 2**16 * MINUTE_MS, 2**32 * 1_000, LAST_MS):
        ids = Remembered()
        ids.add("m", timestamp_ms, timestamp_ms)
        assert (len(ids.seen), ids.floor_ms) == (ENTRY_BYTES, max(-1, timestamp_ms - DAY_MS))
        assert ids.has("m", timestamp_ms)
        assert not ids.has("n", 0)
        assert not ids.has("m", timestamp_ms + MINUTE_MS)


@pytest.mark.parametrize("lateness_days", [1, 31, 44, 46, 400])
def test_whatever_the_order_of_arrival_each_id_is_found_while_it_could_come_again(lateness_days: int) -> None:
    """Late events lie between those that are there already, and what is expired goes; also where two bytes do not suffice."""
    lateness_ms = lateness_days * DAY_MS
    dice, ids, sent = Random(1), Remembered(lateness_ms), dict[str, int]()
    for number in range(2_000):
        now = NOW_MS + number * lateness_ms // 720
        sent[f"m{number}"] = now - dice.randrange(lateness_ms)
        ids.add(f"m{number}", sent[f"m{number}"], now)
        assert ids.floor_ms == ids.horizon_ms
    for name, timestamp_ms in sent.items():
        assert ids.has(name) == (timestamp_ms // MINUTE_MS >= ids.horizon_ms // MINUTE_MS)
    assert len(ids.seen) < 1_000 * (ENTRY_BYTES + (lateness_days > 45) * NARROW) + 1


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 120)), min_size=1, max_size=30))
def test_what_is_found_is_what_a_list_of_all_ids_would_find(steps: list[tuple[int, int]]) -> None:
    """By leaps of the log time up to 200 days, and timestamps up to 120 days before or behind it, as other shards send them on."""
    ids, plain, now = Remembered(60 * DAY_MS), dict[str, int](), NOW_MS
    for number, (leap, back) in enumerate(steps):
        now += leap * DAY_MS
        timestamp_ms = now + (60 - back) * DAY_MS
        if timestamp_ms <= max(now - 60 * DAY_MS, ids.floor_ms):
            continue
        ids.add(f"m{number}", timestamp_ms, now)
        plain[f"m{number}"] = timestamp_ms
        for name, at_ms in plain.items():
            assert ids.has(name) == (at_ms // MINUTE_MS >= ids.horizon_ms // MINUTE_MS)


def test_over_the_cap_the_oldest_minute_is_forgotten_whole() -> None:
    """And the floor is its end: an event at or before it can no longer be told from a second delivery."""
    ids = Remembered(40 * DAY_MS)
    for number in range(IDS_MAX):
        ids.add(f"m{number}", NOW_MS + number * 10_000, NOW_MS)
    assert ids.floor_ms == NOW_MS - 40 * DAY_MS
    ids.add("late", NOW_MS + 100_000, NOW_MS)
    assert ids.floor_ms == NOW_MS + 59_999
    assert len(ids.seen) == (IDS_MAX + 1 - 6) * ENTRY_BYTES
    assert not ids.has("m5")
    assert ids.has("m6")
    assert ids.has("late")


def test_bytes_of_two_neighbours_are_no_id() -> None:
    """Six bytes that begin in the middle of an entry name nobody."""
    ids = Remembered()
    for number in range(50):
        ids.add(f"m{number}", NOW_MS + number * 60_000, NOW_MS)
    for at in range(len(ids.seen) - ID_BYTES):
        found = is_remembered(ids.seen, ids.seen[at : at + ID_BYTES], horizon_ms=0, floor_ms=ids.floor_ms)
        assert found == (at % ENTRY_BYTES == NARROW)
