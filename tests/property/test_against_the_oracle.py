"""The step says exactly what a slow recomputation of the whole log says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given

from streamer.segments.evaluate import next_flips
from tests.oracle.expressions import Asked, parse
from tests.oracle.story import Record, Story
from tests.property.driving import Case, changes_by, counts_of, drive, events_by, memberships_of, states_of
from tests.property.effort import effort
from tests.property.logs import D, cases


def told(case: Case) -> Story:
    story = Story(case.definitions, lateness_ms=case.lateness_ms, skew_ms=case.skew_ms)
    for record in case.records:
        story.tell(record)
    return story


@given(case=cases())
@effort()
def test_changes_positions_causes_memberships_and_counts_are_the_oracles(case: Case) -> None:
    """All that is said, and all that is counted."""
    story = told(case)
    driver, shard = drive(case)
    assert changes_by(driver) == story.changes
    assert memberships_of(driver, shard) == story.memberships()
    assert counts_of(shard) == dict(story.counts)


@given(case=cases(switches=False, erases=False))
@effort(0.5)
def test_the_reasons_given_are_true(case: Case) -> None:
    """Each clause holds, or does not, as the change says; no change is without one."""
    driver, _ = drive(case)
    given_for = {
        (each["subject"], each["data"]["segment"], each["data"]["sequence"]): each["data"]["because"] for each in events_by(driver)
    }
    story = Story(case.definitions, lateness_ms=case.lateness_ms, skew_ms=case.skew_ms)
    shown: list[str] = []

    def look(draft: dict[str, Any], asked: Asked) -> None:
        clauses = given_for[draft["customer"], draft["segment"], draft["sequence"]]
        assert clauses, "a change without a reason"
        for clause in clauses:
            assert asked.holds(parse(clause["clause"])) == clause["holds"], clause
            shown.append(clause["clause"])

    story.witness = look
    for record in case.records:
        story.tell(record)
    assert bool(shown) == bool(story.changes)


@given(case=cases(switches=False, records_max=8))
@effort(0.5)
def test_the_next_flips_are_what_happens_if_only_time_passes(case: Case) -> None:
    """``explain`` foretells the first change of each segment, or none."""
    case = replace(case, records=case.records[:-1]) if len(case.records) > 1 else case
    story = told(case)
    driver, shard = drive(case)
    now, horizon = shard.body.log_time_ms, 5 * D
    foretold = {
        (customer, segment, flip.at_ms, flip.enters)
        for customer, state in states_of(driver).items()
        for segment, flip in next_flips(shard.plan, state, now).flips.items()
        if flip.at_ms <= now + horizon
    }
    before = len(story.changes)
    story.tell(Record(len(case.records) + 1, now + horizon, {"control": "tick"}))
    happened: dict[tuple[str, str], tuple[int, bool]] = {}
    for change in story.changes[before:]:
        happened.setdefault((change.customer, change.segment), (change.at_ms, change.entered))
    assert foretold == {(*key, *flip) for key, flip in happened.items()}
