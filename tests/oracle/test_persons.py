"""The oracle of persons against answers worked out by hand: who judges the step must be judged first."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from tests.oracle.courier import SHARDS, Courier, home
from tests.oracle.persons import HOPS_MAX, LINKS_MAX
from tests.oracle.test_oracle import NOON, D, H, M, event

CART_LEFT = {
    "cart_left": {
        "when": 'since(last("Added")) >= "30m" and last("Added") > last("Bought")',
        "exit": 'did("Bought", within="1h")',
    },
}
TWICE = {"twice": {"when": 'count("A") >= 2'}, "any": {"when": 'did("A")'}}


def of(anonymous: str | None, user: str | None, name: str, at_ms: int, id_: str) -> dict[str, Any]:
    """An event under one id or two."""
    ids = {"userId": user, "anonymousId": anonymous}
    return {key: value for key, value in {**event(name, at_ms, id_), **ids}.items() if value is not None}


def alias(old: str | None, user: str, at_ms: int, id_: str) -> dict[str, Any]:
    """Two known ids are one person's."""
    properties = {} if old is None else {"previousId": old}
    return {"type": "alias", "userId": user, "messageId": id_, "timestamp": at_ms, "properties": properties}


def courier(segments: dict[str, Any]) -> Courier:
    return Courier({"zone": "UTC", "segments": segments})


def said(found: Courier) -> list[tuple[Any, ...]]:
    """Each change, by its moment and customer."""
    changes = sorted(found.changes(), key=lambda each: (each.at_ms, each.customer))
    return [(each.customer, each.segment, "in" if each.entered else "out", each.at_ms - NOON, each.cause.kind) for each in changes]


def test_a_cart_that_a_visitor_filled_is_bought_after_the_login() -> None:
    """The commonest flow of any shop: nobody may be told that the cart was left."""
    town = courier(CART_LEFT)
    town.write(NOON + M, of("an-1", None, "Added", NOON + M, "1"))
    town.write(NOON + 3 * M, of("an-1", "u-1", "Seen", NOON + 3 * M, "2"))
    town.settle(NOON + 3 * M)
    town.write(NOON + 5 * M, of("an-1", "u-1", "Bought", NOON + 5 * M, "3"))
    town.tick(NOON + 3 * H)
    assert said(town) == []
    assert not town.post.undelivered()


def test_a_cart_that_a_visitor_filled_is_left_by_the_user() -> None:
    """The rule knows what happened before the login, and the reminder goes to the one name that is left."""
    town = courier(CART_LEFT)
    town.write(NOON, of("an-1", None, "Added", NOON, "1"))
    town.write(NOON + M, of("an-1", "u-1", "Seen", NOON + M, "2"))
    town.settle(NOON + M)
    town.tick(NOON + 3 * H)
    assert said(town) == [("u-1", "cart_left", "in", 30 * M, "timer")]


def test_an_old_id_leaves_and_its_survivor_enters_only_what_it_is_not_in() -> None:
    """The one is in ``any`` already; what both did together makes ``twice``."""
    town = courier(TWICE)
    town.write(NOON, of("a", None, "A", NOON, "1"))
    town.write(NOON + 1, of(None, "u", "A", NOON + 1, "2"))
    town.write(NOON + 2, of("a", "u", "B", NOON + 2, "3"))
    town.settle(NOON + 3)
    assert said(town) == [
        ("a", "any", "in", 0, "event"),
        ("u", "any", "in", 1, "event"),
        ("a", "any", "out", 3, "merge"),
        ("u", "twice", "in", 3, "merge"),
    ]
    assert {(each.customer, each.cause.old, each.cause.into) for each in town.changes() if each.cause.kind == "merge"} == {
        ("a", None, "u"),
        ("u", "a", None),
    }


def test_events_of_an_old_id_follow_it_and_count_once() -> None:
    """A second delivery meets the tombstone, is sent on, and is known there."""
    town = courier(TWICE)
    town.write(NOON, of("a", None, "A", NOON, "1"))
    town.write(NOON, of("a", "u", "B", NOON, "2"))
    town.settle(NOON)
    town.write(NOON + 1, of("a", None, "A", NOON, "1"))
    town.settle(NOON + 1)
    assert town.memberships() == {"u": ["any"]}
    assert town.counted("duplicate") == 1
    town.write(NOON + 2, of("a", None, "A", NOON + 2, "3"))
    town.settle(NOON + 2)
    assert town.memberships() == {"u": ["any", "twice"]}


def test_of_equal_times_what_the_old_id_had_comes_after_what_the_survivor_had() -> None:
    """The law of joining: at the position of the adopt, in its old order."""
    town = courier({"s": {"when": 'latest("A", "n") == 2'}, "t": {"when": 'earliest("A", "n") == 3'}})
    for number, ids in (
        (1, {"anonymous": "a", "user": None}),
        (2, {"anonymous": "a", "user": None}),
        (3, {"anonymous": None, "user": "u"}),
    ):
        town.write(NOON, {**of(**ids, name="A", at_ms=NOON, id_=str(number)), "properties": {"n": number}})
    town.write(NOON, of("a", "u", "B", NOON, "4"))
    town.settle(NOON)
    assert town.memberships() == {"u": ["s", "t"]}


def test_times_beyond_the_survivors_clock_count_as_now() -> None:
    """Two brokers' clocks differ."""
    town = courier({"s": {"when": 'did("A", within="1m")'}})
    assert home("a") != home("u")
    town.write(NOON + H, of("a", None, "A", NOON + H, "1"))
    town.write(NOON, of("a", "u", "B", NOON, "2"))
    town.settle(NOON)
    town.write(NOON + M, {"control": "tick"}, home("u"))
    assert [each[:4] for each in said(town) if each[0] == "u"] == [("u", "s", "in", 0), ("u", "s", "out", M)]


def test_an_alias_joins_two_known_ids_and_a_login_does_not() -> None:
    """A device that two people use: nothing of the first is adopted, and what nobody signed is the newest login's, by its own time."""
    town = courier(TWICE)
    for number, (ids, at) in enumerate(
        [(("a", None), 0), (("a", "u"), 0), (("a", "v"), 10 * M), (("a", None), 10 * M + 1), (("a", None), 20 * M)]
    ):
        town.write(NOON + at, of(*ids, "A", NOON + at, str(number)))
        town.settle(NOON + at)
    histories = {id_: [each.event["messageId"] for each in one.history] for story in town.stories for id_, one in story.customers.items()}
    assert histories == {"u": ["1", "0", "3"], "v": ["2", "4"]}, "within the allowed skew of the second login it is the first one's"
    town.write(NOON + H, alias("v", "u", NOON + H, "5"))
    town.settle(NOON + H)
    town.write(NOON + H, of("a", None, "A", NOON + H, "6"))
    town.settle(NOON + H)
    assert [sorted(story.customers) for story in town.stories if story.customers] == [["u"]]


@pytest.mark.parametrize("reversed_", [False, True])
def test_links_that_cross_leave_the_smallest_id(*, reversed_: bool) -> None:
    """Each drains the other; whatever arrives first, one is left, with all that both had."""
    town = courier(TWICE)
    town.write(NOON, of(None, "u", "A", NOON, "1"))
    town.write(NOON, of(None, "v", "A", NOON, "2"))
    town.write(NOON, alias("u", "v", NOON, "3"))
    town.write(NOON, alias("v", "u", NOON, "4"))
    for turn in range(20):
        town.deliver(NOON, turn + reversed_)
    town.settle(NOON)
    assert town.memberships() == {"u": ["any", "twice"]}


def test_a_chain_ends_one_hop_from_its_survivor() -> None:
    """``a`` is ``u`` is ``v``, whichever of the two was said first; nothing is lost on the way."""
    for order in (("a", "u"), ("u", "v")), (("u", "v"), ("a", "u")):
        town = courier(TWICE)
        town.write(NOON, of("a", None, "A", NOON, "1"))
        town.write(NOON, of(None, "u", "A", NOON, "2"))
        for number, (old, new) in enumerate(order):
            town.write(NOON, alias(old, new, NOON, f"l{number}"))
        town.settle(NOON)
        assert town.memberships() == {"v": ["any", "twice"]}
        assert {id_: [to for _, to in ways] for story in town.stories for id_, ways in story.tombstones.items()} == {"a": ["v"], "u": ["v"]}


def test_erasing_any_id_erases_the_person() -> None:
    """Also what is on its way; whoever comes later is somebody new, and what happened before stays away."""
    for asked in ("a", "b", "u"):
        town = courier(TWICE)
        town.write(NOON, of("a", None, "A", NOON, "1"))
        town.write(NOON, of("b", None, "A", NOON, "2"))
        for number, old in enumerate("ab"):
            town.write(NOON, of(old, "u", "B", NOON, f"l{number}"))
        town.settle(NOON)
        town.write(NOON + M, {"control": "erase", "customer": asked})
        town.settle(NOON + M)
        assert town.memberships() == {}
        assert not any(story.tombstones or story.customers or story.links for story in town.stories)
        for number, id_ in enumerate("abu"):
            town.write(NOON + 2 * M, of(id_, None, "A", NOON + M, f"e{number}"))
        assert town.counted("of_erased") == 3
        town.write(NOON + 2 * M, of("a", None, "A", NOON + 2 * M, "n"))
        assert town.memberships() == {"a": ["any"]}


def test_an_adopt_that_comes_after_the_erasure_is_dropped() -> None:
    """Also when the erased person has begun anew and logged in on the same device."""
    town = courier(TWICE)
    town.write(NOON, of("a", None, "A", NOON, "1"))
    town.write(NOON, of("a", "u", "B", NOON, "2"))
    town.deliver(NOON)
    town.write(NOON + M, {"control": "erase", "customer": "u"})
    town.write(NOON + 2 * M, of("a", "u", "B", NOON + 2 * M, "3"))
    town.settle(NOON + 2 * M)
    assert town.counted("adopt_of_erased") == 1
    assert town.memberships() == {}


def test_links_are_bounded_and_what_may_not_link_does_not() -> None:
    """The event counts all the same. A month later there is room again."""
    town = courier(TWICE)
    town.write(NOON, of("x", "u", "A", NOON, "x"), may_link=False)
    town.write(NOON, of("undefined", "u", "A", NOON, "y"))
    town.write(NOON, of("u", "u", "A", NOON, "z"))
    for number in range(LINKS_MAX + 1):
        town.write(NOON, of(f"a{number}", "u", "A", NOON, f"{number}"))
    town.settle(NOON)
    assert (town.counted("links_refused"), town.counted("accepted")) == (1, LINKS_MAX + 4)
    later = NOON + 31 * D
    town.write(later, of("late", "u", "A", later, "late"))
    town.settle(later)
    assert town.counted("links_refused") == 1
    assert len(town.stories[home("u")].links["u"]) == LINKS_MAX


def test_an_alias_that_names_nobody_is_refused() -> None:
    """Without an old id, to oneself, and from or to what programs write where an id is missing."""
    town = courier(TWICE)
    for number, (old, new) in enumerate(((None, "u"), ("u", "u"), ("null", "u"), ("", "u"))):
        town.write(NOON, alias(old, new, NOON, str(number)))
    assert (town.counted("bad_alias"), town.counted("accepted")) == (4, 0)


def test_hops_bound_events() -> None:
    """Ids that lead on and on: what is sent on too often is a dead letter."""
    town = courier(TWICE)
    names = [f"u{number}" for number in range(HOPS_MAX + 2)]
    for old, new in pairwise(names):
        town.stories[home(old)].tombstones[old] = [(NOON, new)]
    town.write(NOON, of(names[1], None, "A", NOON, "1"))
    town.write(NOON, of(names[0], None, "A", NOON, "2"))
    town.settle(NOON)
    assert (town.counted("too_many_hops"), town.counted("accepted")) == (1, 1)
    assert len({home(name) for name in names}) == SHARDS
