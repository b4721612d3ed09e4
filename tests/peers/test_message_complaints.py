"""What users of other products complain of in their messages, each as a story of our coffee shop that must end otherwise.

Mautic #3669, #2215, #11763 (the same mail again and again), #2004, #9797 (overlapping schedules, two of them after a re-entry); Parcelvoy
#462 ("my users get on the same journey 4 times"); Novu #1633, #2569 (a delayed digest twice), #2808 (delivery by time zone); WooCommerce
#166, #181, #874 (a reminder after the order, because a guest became a user in between); Dittofeed #958, #1463 (a left cart cannot be
built).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
import pytest

from streamer.language.definitions import Definitions, load_definitions, parse_definitions
from streamer.segments.coffee_shop import coffee_shop_path
from tests.unit.messages.desk import Said, decisions, event, ms, said, traits

ADDED, REMOVED, ORDER = "Product Added", "Product Removed", "Order Completed"


@lru_cache(maxsize=1)
def shop() -> Definitions:
    """The coffee shop as it ships, but nobody is held out: the stories are of single people."""
    source = coffee_shop_path().read_text(encoding="utf-8")
    assert source.count("holdout:") == len(load_definitions(coffee_shop_path()).messages) + 1
    return parse_definitions(source.replace("holdout: 10%", "holdout: 0%").replace("holdout: 2%", "holdout: 0%"))


def ada(**more: Any) -> dict[str, Any]:
    return traits("01T08:00", email="ada@example.org", first_name="Ada", timezone="Europe/Berlin", **more)


def added(at: str, product: str = "guji", **more: Any) -> dict[str, Any]:
    return event(at, ADDED, product_id=product, name=product.title(), price=12.5, **more)


def reminders(*events: dict[str, Any], until: str = "06T12:00") -> list[tuple[str, str | None]]:
    """When a reminder was decided, and the reason if it was not sent."""
    return [(one.at, one.reason) for one in said(shop(), events, until) if one.message == "cart_reminder"]


def test_a_cart_that_was_left_can_be_built_and_reminds_once() -> None:
    """Half an hour without more, half an hour of patience, one mail; and none again, however long the cart stands there."""
    assert reminders(ada(), added("02T10:00")) == [("02T11:00:00", None)]


def test_no_reminder_comes_after_the_purchase() -> None:
    """Not when the order came in time, not a millisecond before it was due, and not when it came before the cart was left at all."""
    for at in ("02T10:20", "02T10:45", "02T10:59:59.999"):
        assert not [one for one in reminders(ada(), added("02T10:00"), event(at, ORDER, total=12.5)) if one[1] is None]
    assert reminders(ada(), added("02T10:00"), event("02T10:45", ORDER, total=12.5)) == [("02T11:00:00", "stay")]


def test_no_reminder_comes_when_the_guest_became_a_user_in_between_and_bought() -> None:
    """The cart is the guest's, the order the user's: they are one person from the login on."""
    guest = {**added("02T10:00"), "anonymousId": "guest-1"}
    del guest["userId"]
    login = {**traits("02T10:40", user="ada"), "anonymousId": "guest-1"}
    found = decisions(shop(), [ada(), guest, login, event("02T10:50", ORDER, total=12.5)], "06T12:00")
    assert [(one.subject, one.time, one.data.reason) for one in found] == [("guest-1", "2026-03-02T10:40:00.000Z", "merged")]


def test_in_and_out_four_times_is_no_four_mails() -> None:
    """Four carts, each emptied by an order: whoever was reminded is left alone for a day, and the cap holds for two."""
    carts = [step for hour in (8, 11, 14, 17) for step in (added(f"02T{hour:02}:00"), event(f"02T{hour + 2}:00", ORDER, total=12.5))]
    assert reminders(ada(), *carts) == [("02T09:00:00", None)]


def test_overlapping_schedules_send_one_message() -> None:
    """A cart is filled again while its reminder waits, and an event comes twice: one stay, one message."""
    again = added("02T10:45", "java")
    assert reminders(ada(), added("02T10:00"), again, dict(again)) == [("02T11:00:00", None)]


def test_how_workers_cut_the_log_sends_nothing_twice() -> None:
    """One record at a time or all at once: both say the same under the same keys, and each entry has a key of its own."""
    events = [ada(), added("02T10:00"), event("02T12:00", ORDER, total=12.5), added("05T10:00", "java")]
    whole = decisions(shop(), events, "06T12:00")
    assert decisions(shop(), events, "06T12:00", batch=1) == whole
    keys = [one.data.key for one in whole if one.outcome == "send"]
    assert len(keys) == len(set(keys)) == 2


def test_nobody_is_woken_at_three_in_the_morning() -> None:
    """What falls due at night waits for nine in the customer's own zone, and all is asked again by then."""
    night = added("02T23:30")
    assert reminders(ada(), night) == [("03T00:30:00", "quiet"), ("03T08:00:00", None)]
    assert reminders(ada(), night, event("03T06:00", ORDER, total=1)) == [("03T00:30:00", "quiet"), ("03T08:00:00", "stay")]


def test_everybody_has_a_night_of_their_own() -> None:
    """Nine in the morning in Kolkata is half past three in the night in Greenwich."""
    person = traits("01T08:00", email="a@example.org", timezone="Asia/Kolkata")
    assert reminders(person, added("02T20:00")) == [("02T21:00:00", "quiet"), ("03T03:30:00", None)]


def test_what_was_taken_out_of_the_cart_is_not_in_the_mail() -> None:
    """The mail shows what is left at its own instant, newest first, and no more than that."""
    events = [
        ada(),
        added("02T10:00"),
        added("02T10:01", "java"),
        event("02T10:02", REMOVED, product_id="guji"),
        added("02T10:03", "huila"),
    ]
    [sent] = [one for one in decisions(shop(), events, "06T12:00") if one.outcome == "send"]
    items: list[Any] = msgspec.to_builtins(sent)["data"]["facts"]["items"]
    assert [item["name"] for item in items] == ["Huila", "Java"]
    assert items[0] == {"name": "Huila", "price": 12.5, "image_url": None, "url": None}


def test_whoever_had_enough_gets_no_more_and_says_so_once() -> None:
    """One click, without a topic, ends them all; a mail that cannot be delivered ends those by mail."""
    for stop, reason in (
        (event("02T10:30", "Message Unsubscribed"), "no_consent"),
        (event("02T10:30", "Message Bounced", channel="email", permanent=True), "suppressed"),
        (event("02T10:30", "Message Complained", channel="email"), "suppressed"),
    ):
        assert reminders(ada(), added("02T10:00"), stop) == [("02T11:00:00", reason)]


def test_every_message_that_is_not_sent_has_a_row_that_says_why() -> None:
    """Nobody who asks "why did I not get it" is answered by silence."""
    unknown = [added("02T10:00")]
    assert reminders(*unknown) == [("02T11:00:00", "no_address")]


@pytest.mark.parametrize(("taste", "message"), [("dark", "dark_line"), ("fruit", "fruit_line")])
def test_who_likes_dark_roasts_and_who_likes_fruit_hear_of_different_lines(taste: str, message: str) -> None:
    """Each once, and only who has asked for offers."""
    product = {"product_id": "p", "name": "Sumatra", "roast": "dark" if taste == "dark" else "light", "taste": taste}
    orders = [event(at, ORDER, total=9, products=[product]) for at in ("02T10:00", "03T10:00", "04T10:00")]
    yes = event("01T09:00", "Consent Given", topic="offers")
    found = said(shop(), [ada(), yes, *orders], "06T12:00")
    assert found == [Said("03T10:00:00", message, "send", None)]
    assert said(shop(), [ada(), *orders], "06T12:00") == [Said("03T10:00:00", message, "skip", "no_consent")]
    [sent] = decisions(shop(), [ada(), yes, *orders], "06T12:00")
    assert sent.data.facts == {"first_name": "Ada", "favourite": "Sumatra"}


def test_the_moment_of_the_first_decision_is_to_the_millisecond() -> None:
    """A queue that looks every minute, or every eight hours, is what others have."""
    assert ms("02T10:00:00.007") % 1_000 == 7
    [sent] = [one for one in decisions(shop(), [ada(), added("02T10:00:00.007")], "06T12:00") if one.outcome == "send"]
    assert sent.time == "2026-03-02T11:00:00.007Z"
