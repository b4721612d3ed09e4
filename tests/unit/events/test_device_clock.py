"""Times by the clock of a device, corrected by when it says it sent."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamer.events.adapters.device_clock import JITTER_MS, OFFSET_MAX_MS, DeviceTime, corrected, device_ms, device_ms_or_none
from streamer.units import DAY_MS

RECEIVED_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


def test_a_clock_that_is_an_hour_fast_is_put_right() -> None:
    """Believed, its events would be refused as future."""
    found = corrected(RECEIVED_MS + HOUR_MS - 5_000, RECEIVED_MS + HOUR_MS, RECEIVED_MS)
    assert found == DeviceTime(RECEIVED_MS - 5_000, -HOUR_MS)
    assert found.marks() == {"clock_offset_ms": -HOUR_MS}


def test_a_short_way_is_no_error_of_the_clock() -> None:
    """Times within one page keep their distances, however long each request was on its way."""
    assert corrected(RECEIVED_MS - 1_500, RECEIVED_MS - 1_400, RECEIVED_MS) == DeviceTime(RECEIVED_MS - 1_500)
    assert corrected(RECEIVED_MS + 1_500, RECEIVED_MS + 1_600, RECEIVED_MS) == DeviceTime(RECEIVED_MS + 1_500)


def test_a_correction_ends_at_a_day_and_says_so() -> None:
    """A telephone that was offline for a week stamped the request at its first try: a week is no error of its clock."""
    week = 7 * DAY_MS
    found = corrected(RECEIVED_MS - week - 5_000, RECEIVED_MS - week, RECEIVED_MS)
    assert found == DeviceTime(RECEIVED_MS - week - 5_000 + OFFSET_MAX_MS, OFFSET_MAX_MS, is_bounded=True)
    assert found.marks() == {"clock_offset_ms": OFFSET_MAX_MS, "clock_offset_bounded": True}


def test_nothing_happened_after_we_were_told() -> None:
    """A time that the caller gave may lie ahead, and so may one whose correction ends at a day."""
    assert corrected(RECEIVED_MS + HOUR_MS, RECEIVED_MS, RECEIVED_MS) == DeviceTime(RECEIVED_MS, -HOUR_MS)
    assert corrected(RECEIVED_MS + HOUR_MS, None, RECEIVED_MS) == DeviceTime(RECEIVED_MS, -HOUR_MS)
    far = RECEIVED_MS + 30 * DAY_MS
    assert corrected(far, far, RECEIVED_MS) == DeviceTime(RECEIVED_MS, RECEIVED_MS - far, is_bounded=True)


def test_without_a_clock_of_ours_a_device_is_believed() -> None:
    """A file that does not say when its lines were received has nothing to compare with."""
    assert corrected(RECEIVED_MS, RECEIVED_MS + HOUR_MS, None) == DeviceTime(RECEIVED_MS)


def test_a_time_without_a_zone_is_utc() -> None:
    """Older SDKs write one, and mean it so."""
    assert device_ms("2026-01-01T10:00:00.250", path="$") == device_ms("2026-01-01T10:00:00.250Z", path="$")
    assert device_ms_or_none("soon") is None
    assert device_ms("", path="$") is None


@given(st.integers(-(10**13), 10**13), st.none() | st.integers(-(10**13), 10**13), st.integers(0, 10**13))
def test_laws_of_a_corrected_time(original_ms: int, sent_ms: int | None, received_ms: int) -> None:
    """Never later than received by more than the way of a request, moved back without bound but forward by a day at most, and marked."""
    found = corrected(original_ms, sent_ms, received_ms)
    assert found.at_ms < received_ms + JITTER_MS
    assert found.at_ms == original_ms + found.offset_ms
    assert found.offset_ms <= OFFSET_MAX_MS
    assert bool(found.marks()) == bool(found.offset_ms or found.is_bounded)
