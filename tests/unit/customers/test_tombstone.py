"""Where a tombstone sends what comes in under an old id."""

from __future__ import annotations

import pytest

from streamer.customers.tombstone import Tombstone

pytestmark = pytest.mark.fast


def test_an_event_as_far_ahead_as_is_allowed_goes_where_its_first_delivery_went() -> None:
    """It may have come before the login that moved the pointer, whatever its clock said; a second delivery goes the same way."""
    device = Tombstone("v", 1_000, ((0, "u"),))
    assert [device.target(timestamp_ms, skew_ms=50) for timestamp_ms in (1_000, 1_050, 1_051)] == ["u", "u", "v"]


def test_of_three_users_each_has_their_own_time() -> None:
    """Also the one in between."""
    device = Tombstone("w", 2_000, ((0, "u"), (1_000, "v")))
    assert [device.target(timestamp_ms, skew_ms=50) for timestamp_ms in (1_050, 1_051, 2_050, 2_051)] == ["u", "v", "v", "w"]
