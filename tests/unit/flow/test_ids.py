"""The memory of message ids: nothing is applied twice, and nothing timely is refused, up to a cap that says so."""

from __future__ import annotations

from random import Random

from streamer.customers.ids import ENTRY_BYTES, IDS_MAX, digest, is_remembered, remember

DAY_MS = 86_400_000
NOW_MS = 1_772_625_600_000
LAST_MS = 253_402_300_799_999


def test_an_id_is_remembered_at_any_time_from_1970_to_9999() -> None:
    """Four bytes of seconds ended on 7 February 2106; four of minutes outlast the calendar."""
    for timestamp_ms in (0, 2**32 * 1_000 - 1, 2**32 * 1_000, LAST_MS):
        seen, lost_ms = remember(b"", digest("m"), timestamp_ms=timestamp_ms, horizon_ms=timestamp_ms - DAY_MS)
        assert (len(seen), lost_ms) == (ENTRY_BYTES, 0)
        assert is_remembered(seen, digest("m"), horizon_ms=timestamp_ms)
        assert not is_remembered(seen, digest("n"), horizon_ms=0)


def test_whatever_the_order_of_arrival_each_id_is_found_while_it_could_come_again() -> None:
    """Late events lie between those that are there already, and what is expired goes."""
    dice, seen, sent = Random(1), b"", dict[str, int]()
    for number in range(2_000):
        now = NOW_MS + number * 120_000
        sent[f"m{number}"] = now - dice.randrange(DAY_MS)
        seen, lost_ms = remember(seen, digest(f"m{number}"), timestamp_ms=sent[f"m{number}"], horizon_ms=now - DAY_MS)
        assert lost_ms == 0
    horizon_ms = NOW_MS + 1_999 * 120_000 - DAY_MS
    for name, timestamp_ms in sent.items():
        assert is_remembered(seen, digest(name), horizon_ms=horizon_ms) == (timestamp_ms // 60_000 >= horizon_ms // 60_000)
    assert len(seen) < 1_000 * ENTRY_BYTES


def test_over_the_cap_the_oldest_minute_is_forgotten_whole() -> None:
    """And what is told of it is its end: an event at or before it can no longer be told from a second delivery."""
    seen = b""
    for number in range(IDS_MAX):
        seen, lost_ms = remember(seen, digest(f"m{number}"), timestamp_ms=NOW_MS + number * 10_000, horizon_ms=0)
        assert lost_ms == 0
    seen, lost_ms = remember(seen, digest("late"), timestamp_ms=NOW_MS + 100_000, horizon_ms=0)
    assert lost_ms == NOW_MS + 59_999
    assert len(seen) == (IDS_MAX + 1 - 6) * ENTRY_BYTES
    assert not is_remembered(seen, digest("m5"), horizon_ms=0)
    assert is_remembered(seen, digest("m6"), horizon_ms=0)
    assert is_remembered(seen, digest("late"), horizon_ms=0)


def test_bytes_of_two_neighbours_are_no_id() -> None:
    """Eight bytes that begin in the middle of an entry name nobody."""
    seen = b""
    for number in range(50):
        seen, _ = remember(seen, digest(f"m{number}"), timestamp_ms=NOW_MS + number * 60_000, horizon_ms=0)
    for at in range(len(seen) - 8):
        assert is_remembered(seen, seen[at : at + 8], horizon_ms=0) == (at % ENTRY_BYTES == 4)
