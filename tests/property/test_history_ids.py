"""Rare cases of ids in history that is brought in, each with its right value by hand: who is who, and how many orders are theirs."""

from __future__ import annotations

from typing import Any, Final

from tests.property.history_town import BRINGS, OldTown, everybody, lived
from tests.property.persons import DEVICES, KNOWN, Act, History

DAY_MS: Final = 86_400_000
BEGIN_MS: Final = 1_772_625_600_000
ANN, BERT, CLEO = KNOWN[0]
PHONE: Final = DEVICES[0][0]
ORDERS: Final = {"segments": {"a": {"when": 'count("Order") >= 1'}}}
MORE: Final = {"segments": {"a": {"when": 'count("Order") >= 1'}, "m": {"when": 'count("O*") >= 1'}}}


def act(day: int, **body: Any) -> Act:
    """An event on a day; before the first of them is history."""
    at_ms = BEGIN_MS + day * DAY_MS + len(str(body))  # at a time of its own
    return Act(at_ms, {"type": "track", "messageId": f"m{day}-{len(str(body))}", "timestamp": at_ms, **body})


def orders(day: int, **who: str) -> Act:
    return act(day, event="Order", **who)


def becomes(day: int, old: str, new: str) -> Act:
    """Somebody says that an id is another one's."""
    return act(day, type="alias", userId=new, properties={"previousId": old})


def told(past: list[Act], *acts: Act) -> list[dict[str, Any]]:
    """How many orders those have whom a town knows: once history is brought in on the day 50, and after other definitions on the day 60."""
    found: list[dict[str, Any]] = []
    before = [one for one in acts if one.at_ms < BEGIN_MS + 50 * DAY_MS]
    brings = Act(BEGIN_MS + 50 * DAY_MS, {"control": BRINGS, "version": 2})
    more = Act(BEGIN_MS + 60 * DAY_MS, {"control": "definitions", "version": 3, "definitions": MORE})
    later = [one for one in acts if one not in before]
    for changes in ([brings], [brings, more]):
        history = History(ORDERS, (*before, *changes, *later), BEGIN_MS + 99 * DAY_MS)
        town, _ = lived(OldTown(history, tuple(past)))
        assert not any(shard.body.counts.get("fault") for shard in town.shards)
        found.append({customer: sorted(one.slots.values()) for customer, one in everybody(town).items()})
    return found


def test_a_circle_of_aliases_through_an_id_that_only_history_knew() -> None:
    """History makes Bert's id one of Ann's, and the log makes Ann's one of Bert's, whom it had never seen: they are one person."""
    past = [orders(-9, userId=BERT), orders(-8, userId=ANN), becomes(-7, BERT, ANN)]
    once, twice = told(past, orders(1, userId=ANN), becomes(2, ANN, BERT), orders(3, userId=BERT))
    assert list(once.values()) == [[4]]
    assert list(twice.values()) == [[4, 4]]
    assert once.keys() == twice.keys()


def test_a_circle_of_three_of_which_history_closes_one_side() -> None:
    """Whoever goes round it comes to somebody."""
    past = [orders(-9, userId=CLEO), becomes(-8, ANN, CLEO)]
    once, twice = told(past, orders(1, userId=ANN), becomes(2, CLEO, BERT), becomes(3, BERT, ANN))
    assert (list(once.values()), list(twice.values())) == ([[2]], [[2, 2]])


def test_an_order_of_an_id_that_was_old_by_then_is_the_survivors() -> None:
    """The log lacks it, and it was compared by a property (``--dedupe``): it happened after the login, under the name of the device."""
    past = [orders(-9, anonymousId=PHONE), orders(20, anonymousId=PHONE), orders(30, anonymousId=PHONE)]
    login = act(2, event="Login", userId=ANN, anonymousId=PHONE)
    once, twice = told(past, orders(1, anonymousId=PHONE), login, orders(70, anonymousId=PHONE))
    assert once == {ANN: [5]}
    assert twice == {ANN: [5, 5]}


def test_an_order_of_an_old_id_of_whom_the_log_knew_nothing() -> None:
    """The device ordered before the log and after the login; the log has only the login."""
    past = [orders(-9, anonymousId=PHONE), orders(20, anonymousId=PHONE)]
    once, twice = told(past, act(2, event="Login", userId=ANN, anonymousId=PHONE), orders(3, userId=ANN))
    assert (once, twice) == ({ANN: [3]}, {ANN: [3, 3]})
