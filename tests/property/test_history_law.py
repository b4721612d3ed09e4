"""History that is brought into a log that has begun is as if each event of it had arrived when it happened."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.oracle.story import Change
from tests.property.born_old import CrashingWithLanes
from tests.property.driving import changes_of
from tests.property.effort import effort
from tests.property.history import (
    Brought,
    as_it_happened,
    brought_cases,
    history_of,
    known_in_utc,
    log_with,
    told,
    told_with_crashes,
)
from tests.property.test_laws import NARROW


def test_what_is_known_is_what_it_would_be_had_history_arrived_when_it_happened() -> None:
    """Where history is brought in: memories to the byte, who is inside and since when, when time will turn what, and what was seen."""
    met: Counter[str] = Counter()

    @given(brought=brought_cases())
    @effort(0.4)
    def holds(brought: Brought) -> None:
        log, expected = log_with(brought), as_it_happened(brought)
        found = told(log[: brought.brings + 2], history_of(brought), brought.case)
        assert known_in_utc(found) == expected.known
        assert found.shard.sizes == expected.sizes
        assert found.shard.body.since_ms == {}
        assert not found.shard.is_switching
        met["accepted"] += expected.accepted
        met["overlap"] += expected.overlap
        met["inside"] += sum(found.shard.sizes.values())
        met["newcomers"] += not {customer for customer in expected.known if customer not in "hi"}.issuperset(expected.known)

    holds()
    assert {"accepted", "overlap", "inside", "newcomers"} == set(+met), met


def test_what_is_said_from_then_on_is_what_would_be_said() -> None:
    """Only who is in another segment than before is said where history comes in, and behind it the same changes at the same moments."""
    met: Counter[str] = Counter()

    @given(brought=brought_cases())
    @effort(0.25)
    def holds(brought: Brought) -> None:
        log, expected = log_with(brought), as_it_happened(brought)
        at = brought.brings + 1
        found = told(log, history_of(brought), brought.case)
        without = told(log[:at], (), brought.case)
        said = list(changes_of(found.shown.outputs))
        brought_about = [change for change in said if change.cause.kind == "backfill"]
        assert {change.offset for change in brought_about} <= {at}
        before = {(one, name) for one, known in known_in_utc(without).items() for name in known.inside}
        after = {(one, name) for one, known in expected.known.items() for name in known.inside}
        assert {(one.customer, one.segment) for one in brought_about if one.entered} == after - before
        assert {(one.customer, one.segment) for one in brought_about if not one.entered} == before - after
        later = [unplaced(one) for one in said if one.offset > at]
        assert later == [unplaced(one) for one in changes_of(expected.in_the_end.shown.outputs) if one.offset >= expected.said_from]
        met["brought about"] += len(brought_about)
        met["later"] += len(later)

    holds()
    assert {"brought about", "later"} == set(+met), met


def test_a_crash_of_the_lane_or_of_the_shard_changes_nothing() -> None:
    """At any commit of either, of a record in the middle of history or among the customers: the next owner goes on, and says the same."""
    met: Counter[str] = Counter()

    @given(
        brought=brought_cases(), crashes=st.dictionaries(st.integers(2, 16), st.sampled_from(["before", "after"]), min_size=1, max_size=4)
    )
    @effort(0.3)
    def holds(brought: Brought, crashes: dict[int, str]) -> None:
        log, past = log_with(brought), history_of(brought)
        store = CrashingWithLanes(crashes)
        found = told_with_crashes(log, past, brought.case, store, NARROW)
        assert found == told(log, past, brought.case).shown
        met["in lanes"] += store.in_lanes
        met["in shards"] += store.happened - store.in_lanes

    holds()
    assert {"in lanes", "in shards"} == set(+met), met


def unplaced(change: Change) -> Change:
    """Without what counts from another beginning: its position, its number among those of its segment, and the definitions' version."""
    return replace(change, sequence=0, ordinal=0, offset=0, definitions=0)
