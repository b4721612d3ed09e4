"""A share of the customers: who is in it, and what it says about all."""

from __future__ import annotations

import pytest

from streamer.events.event import Event
from streamer.previews.share import Estimate, Persons, Share, estimate

pytestmark = pytest.mark.fast

NOBODY = frozenset({"null"})


def names_both(user: str, visitor: str) -> Event:
    """An event of a login."""
    return Event(message_id="1", user_id=user, anonymous_id=visitor, timestamp_ms=0)


def test_a_share_has_about_its_part_of_any_set_of_ids_and_grows_with_it() -> None:
    """A share that is chosen by what ids look like would be no sample; and who is in a small one must be in a larger one."""
    for begin in ("u", "c-", "visitor", "2026-"):
        ids = [f"{begin}{number}" for number in range(10_000)]
        small, large = ({one for one in ids if Share(part, Persons()).takes(one)} for part in (0.1, 0.3))
        assert 850 <= len(small) <= 1_150, "five standard deviations"
        assert small < large
        assert all(Share(1.0, Persons()).takes(one) for one in ids)


def test_all_ids_of_a_person_are_in_a_share_or_none() -> None:
    """Half of a person is a person who did something else."""
    persons = Persons()
    for number in range(1_000):
        persons.add(names_both(f"u{number}", f"phone-{number}"), NOBODY)
        persons.add(names_both(f"u{number}", f"laptop-{number}"), NOBODY)
        alias = Event(message_id="2", type="alias", user_id=f"new-{number}", properties={"previousId": f"u{number}"}, timestamp_ms=0)
        persons.add(alias, NOBODY)
    share = Share(0.2, persons)
    taken = {number for number in range(1_000) if share.takes(f"u{number}")}
    assert 130 <= len(taken) <= 270
    for number in range(1_000):
        for name in (f"phone-{number}", f"laptop-{number}", f"new-{number}"):
            assert share.takes(name) == (number in taken)


def test_the_order_of_logins_decides_nothing() -> None:
    """A second run that reads the shards in another order must look at the same people."""
    pairs = [("a", "d1"), ("b", "d1"), ("b", "d2"), ("c", "d2"), ("z", "d9")]
    found = []
    for order in (pairs, pairs[::-1]):
        persons = Persons()
        for user, visitor in order:
            persons.add(names_both(user, visitor), NOBODY)
        found.append({one: persons.of(one) for one in ("a", "b", "c", "d1", "d2", "z", "d9", "other")})
    assert found[0] == found[1]
    assert {found[0][one] for one in ("a", "b", "c", "d1", "d2")} == {"a"}, "who shared a device is taken together"
    assert (found[0]["d9"], found[0]["other"]) == ("d9", "other")


@pytest.mark.parametrize("true_count", [0, 3, 40, 500])
def test_the_interval_holds_the_true_number_as_often_as_it_says(true_count: int) -> None:
    """95 of 100: fewer would be a promise that is not kept. A thousand segments over people of their own, by the real hash."""
    share, held, tries = Share(0.1, Persons()), 0, 400
    for segment in range(tries):
        found = sum(share.takes(f"s{segment}-{number}") for number in range(true_count))
        guess = estimate(found, 0.1)
        assert guess.low <= guess.count <= guess.high
        assert found <= guess.low
        held += guess.low <= true_count <= guess.high
    assert held / tries >= 0.92, "three standard deviations below 95 of 100"


def test_of_everybody_a_count_is_a_count() -> None:
    """No interval where nothing was left out."""
    assert estimate(17, 1.0) == Estimate(17, 17, 17)
