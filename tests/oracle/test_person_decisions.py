"""The oracle of messages to people with several ids against answers worked out by hand: who judges the step must be judged first."""

from __future__ import annotations

from typing import Any

from tests.oracle.courier import Courier
from tests.oracle.decisions import Decision
from tests.oracle.person_decisions import PersonMessageStory
from tests.oracle.test_oracle import NOON, D, H, M
from tests.oracle.test_persons import alias, of

MAIL: dict[str, Any] = {"on": 'entered("any")', "channel": "console", "topic": "offers", "stay": False}
SEGMENTS = {"any": {"when": 'did("A", within="1h")'}, "never": {"when": 'did("Never")'}}


class MessageCourier(Courier):
    tells = PersonMessageStory


def courier(**messages: dict[str, Any]) -> MessageCourier:
    return MessageCourier({"zone": "UTC", "segments": SEGMENTS, "topics": {"offers": "opt_out"}, "messages": messages})


def decided(town: MessageCourier) -> list[tuple[Any, ...]]:
    """Each decision, by its moment and customer."""
    found: list[Decision] = []
    for story in town.stories:
        assert isinstance(story, PersonMessageStory)
        found += story.decisions
    found.sort(key=lambda each: (each.at_ms, each.customer))
    return [(each.customer, each.message, each.reason or each.outcome, each.at_ms - NOON, each.sequence) for each in found]


def test_what_waits_under_an_old_id_ends_with_it() -> None:
    """The user is in the segment by the visitor's event, but a merge by itself writes to nobody."""
    town = courier(mail={**MAIL, "delay": "30m"})
    town.write(NOON, of("a", None, "A", NOON, "1"))
    town.write(NOON + M, of("a", "u", "B", NOON + M, "2"))
    town.settle(NOON + 2 * M)
    town.tick(NOON + D)
    assert decided(town) == [("a", "mail", "merged", 2 * M, 1)]


def test_a_message_may_ask_to_be_sent_for_a_merge() -> None:
    """Then it is the survivor's own, from the moment at which the past came."""
    town = courier(mail={**MAIL, "delay": "30m", "also": "merge"})
    town.write(NOON, of("a", None, "A", NOON, "1"))
    town.write(NOON + M, of("a", "u", "B", NOON + M, "2"))
    town.settle(NOON + 2 * M)
    town.tick(NOON + D)
    assert decided(town) == [("a", "mail", "merged", 2 * M, 1), ("u", "mail", "send", 32 * M, 1)]


def test_what_was_sent_to_the_visitor_counts_for_the_user() -> None:
    """One mail in two days, whatever the person was called; ``once`` is once."""
    town = courier(capped={**MAIL, "cap": "1 per 2d"}, once={**MAIL, "again": "once"})
    town.write(NOON, of("a", None, "A", NOON, "1"))
    town.write(NOON + 2 * H, of("a", "u", "B", NOON + 2 * H, "2"))
    town.settle(NOON + 2 * H)
    town.write(NOON + D, of(None, "u", "A", NOON + D, "3"))
    town.write(NOON + 3 * D, of(None, "u", "A", NOON + 3 * D, "4"))
    sent = [("a", "capped", "send", 0, 1), ("a", "once", "send", 0, 1)]
    later = [
        ("u", "capped", "cap", D, 1),
        ("u", "once", "again", D, 1),
        ("u", "capped", "send", 3 * D, 3),
        ("u", "once", "again", 3 * D, 3),
    ]
    assert decided(town) == sent + later


def test_an_id_that_is_a_customer_again_uses_no_number_of_a_turn_twice() -> None:
    """Two ids are joined crosswise: the smaller survives, had five turns as itself, and one of them was open."""
    town = courier(turned={"on": 'count("A") in [1, 3, 5]', "channel": "console", "kind": "transactional"})
    for number in range(5):
        town.write(NOON + number, of(None, "u1", "A", NOON + number, f"a{number}"))
    town.write(NOON + 6, of(None, "u2", "B", NOON + 6, "b"))
    town.write(NOON + 7, alias("u1", "u2", NOON + 7, "x"))
    town.write(NOON + 7, alias("u2", "u1", NOON + 7, "y"))
    town.settle(NOON + 8)
    assert sum(story.met["lifted"] for story in town.stories) == 1
    town.write(NOON + H, of(None, "u1", "A", NOON + H, "c"))
    assert decided(town) == [("u1", "turned", "send", at, number) for at, number in ((0, 1), (2, 3), (4, 5))]
    story = town.stories[town.home("u1")]
    assert isinstance(story, PersonMessageStory)
    assert story.books["u1"].turns["turned"].sequence == 8, "five counts as six; true by the past of five, false at the sixth"
