"""Broken bodies for the collector, a few thousand; `python -m tests.soak bodies` goes on as long as it is asked to."""

from __future__ import annotations

from tests.soak.bodies import send_all


async def test_no_broken_body_is_an_error_of_ours_and_nothing_of_it_is_lost() -> None:
    """Each element is an event or a dead letter, and the answer says which; no answer is 500."""
    found = await send_all(seed=1, count=2_000)
    assert found["200"] > 400, "some of it must still be taken"
    assert found["400"] > 400, "and some must be broken"
    assert found["events"] > 500
    assert found["letters"] > 500
