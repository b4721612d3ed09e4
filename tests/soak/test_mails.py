"""The small form of the long run of mails."""

from __future__ import annotations

from tests.soak.mails import send_round


async def test_by_a_server_that_misbehaves_and_senders_that_are_killed_no_offer_arrives_twice() -> None:
    """4xx, 5xx, timeouts, and connections that end in the middle of a mail or before the answer, on real SMTP."""
    found = await send_round(7, 120)
    assert found["kills"] > 0, "a sender was killed"
    assert found["marketing unknown"] > 0, "somewhere nobody could tell"
    assert min(found["marketing sent"], found["transactional sent"], found["marketing failed"]) > 10, found
