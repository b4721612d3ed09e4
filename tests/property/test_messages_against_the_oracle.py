"""Which messages are sent, held and skipped, when and why: the step says exactly what the oracle says."""

from __future__ import annotations

from hypothesis import given

from tests.oracle.decisions import MessageStory
from tests.property.driving import Case, changes_by, drive
from tests.property.effort import effort
from tests.property.messages import busy_cases, message_cases
from tests.property.said import decisions_by, in_order


def told(case: Case) -> MessageStory:
    story = MessageStory(case.definitions, lateness_ms=case.lateness_ms, skew_ms=case.skew_ms)
    for record in case.records:
        story.tell(record)
    return story


@given(case=message_cases())
@effort(0.5)
def test_every_decision_with_its_instant_its_reason_and_its_facts_is_the_oracles(case: Case) -> None:
    """And the changes around them are what they would be, between the same decisions."""
    _compare(case)


@given(case=busy_cases())
@effort(0.5)
def test_caps_and_what_comes_again_are_the_oracles(case: Case) -> None:
    """Somebody goes in and out many times within the windows of caps."""
    _compare(case)


def _compare(case: Case) -> None:
    story = told(case)
    driver, _ = drive(case)
    assert in_order(decisions_by(driver), changes_by(driver)) == in_order(story.decisions, story.changes)
