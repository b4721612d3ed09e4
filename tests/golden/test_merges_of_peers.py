"""What users of other products complain of when ids are merged, each as a small history with the answer that they expected."""

from __future__ import annotations

import pytest

from tests.unit.flow.persons import HOUR_MS, MINUTE_MS, Persons, named, segments

SEGMENTS = segments(
    viewer='did("Viewed")',
    fan='count("Viewed") >= 2',
    gold='trait("plan") == "gold"',
    left='since(last("Added")) >= "30m" and last("Added") > last("Bought")',
)
OLD, U, V = named("an", 0, 2), named("u", 1, 2), named("v", 0, 2)


@pytest.fixture
def shop() -> Persons:
    """A shop of two shards."""
    return Persons(SEGMENTS)


@pytest.mark.parametrize("nobody", ["null", "undefined", "0", "anonymous", ""])
async def test_identify_with_null_welds_no_users_together(shop: Persons, nobody: str) -> None:
    """PostHog refused to link identified users at all since ``identify(null)`` made one person of everybody who logged out."""
    pad = named("pad", 1, 2)
    for device, user in ((OLD, U), (pad, V)):
        shop.write("Viewed", anonymousId=device, userId=user)
        shop.write("Viewed", anonymousId=device, userId=nobody)
    for user in (U, V):
        shop.alias(nobody, user)
    await shop.settle()
    assert (await shop.inside(U), await shop.inside(V)) == ({"viewer", "fan"}, {"viewer", "fan"})
    assert await shop.sizes() == {"viewer": 2, "fan": 2}
    assert {(merge.data.from_, merge.data.to) for merge in shop.merges()} <= {(OLD, U), (pad, V)}, "each device with its own user alone"
    assert len(shop.reasons()) == 2, "each alias of nobody is a dead letter"


async def test_two_known_users_are_not_silently_left_apart(shop: Persons) -> None:
    """An alias either merges and says so, or is a dead letter that says why."""
    for user in (U, V):
        shop.write("Viewed", userId=user)
    shop.alias(V, U)
    shop.write("", type="alias", userId=U)
    shop.alias(U, U)
    await shop.settle()
    assert [(merge.data.from_, merge.data.to) for merge in shop.merges()] == [(V, U)]
    assert await shop.inside(U) == {"viewer", "fan"}
    assert len(shop.reasons()) == 2


async def test_the_old_person_is_said_to_have_left(shop: Persons) -> None:
    """PostHog's drain says no ``Left``: whoever keeps members has the old person for ever."""
    shop.write("Viewed", anonymousId=OLD)
    shop.write("Hello", anonymousId=OLD, userId=U)
    await shop.settle()
    assert (OLD, "viewer", "exited", "merge") in shop.said()
    assert await shop.sizes() == {"viewer": 1}


async def test_nobody_enters_again_what_they_are_in(shop: Persons) -> None:
    """Segment says Audience Entered once more after a merge, and a second message is sent."""
    shop.write("Viewed", anonymousId=OLD)
    shop.write("Viewed", userId=U)
    await shop.settle()
    shop.write("Viewed", anonymousId=OLD, userId=U)
    await shop.settle()
    assert [(customer, how) for customer, segment, how, _ in shop.said() if (customer, segment) == (U, "viewer")] == [(U, "entered")]


async def test_properties_of_the_old_person_stay(shop: Persons) -> None:
    """PostHog drops them at the merge, until the next event brings them again."""
    shop.write("", type="identify", userId=V, traits={"plan": "gold"})
    shop.write("Viewed", userId=U)
    await shop.settle()
    shop.alias(V, U)
    await shop.settle()
    assert await shop.inside(U) == {"viewer", "gold"}


async def test_users_of_a_shared_ipad_stay_two_people(shop: Persons) -> None:
    """The classic accident of Segment's graph: everybody who logged in at the counter is one profile."""
    shop.write("Viewed", anonymousId=OLD)
    shop.write("Hello", anonymousId=OLD, userId=U)
    await shop.settle()
    shop.now_ms += HOUR_MS
    shop.write("Hello", anonymousId=OLD, userId=V)
    await shop.settle()
    shop.now_ms += HOUR_MS
    shop.write("Viewed", anonymousId=OLD)
    await shop.settle()
    assert [(merge.data.from_, merge.data.to) for merge in shop.merges()] == [(OLD, U)]
    assert (await shop.inside(U), await shop.inside(V)) == ({"viewer"}, {"viewer"}), "the later view is of whoever logged in last"


async def test_what_comes_late_under_the_old_id_counts_for_the_survivor(shop: Persons) -> None:
    """A tab that was open before the login, or a phone that was away: PostHog keeps offsets of each ancestor for it, and loses some."""
    shop.write("Added", anonymousId=OLD)
    shop.write("Hello", anonymousId=OLD, userId=U)
    await shop.settle()
    shop.now_ms += MINUTE_MS
    shop.write("Bought", anonymousId=OLD)
    shop.write("Viewed", anonymousId=OLD, timestamp=shop.now_ms - 2 * MINUTE_MS)
    await shop.settle()
    shop.wait(HOUR_MS)
    await shop.settle()
    assert await shop.inside(U) == {"viewer"}
    assert "left" not in {segment for _, segment, _, _ in shop.said()}
