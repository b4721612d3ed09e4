"""The oracle of messages against answers worked out by hand from LANGUAGE.md: who judges the step must be judged first."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from tests.oracle.decisions import Decision, MessageStory
from tests.oracle.story import Record
from tests.oracle.values import UNITS_MS, to_ms

S, M, H, D = UNITS_MS["s"], UNITS_MS["m"], UNITS_MS["h"], UNITS_MS["d"]
NOON = to_ms(datetime.fromisoformat("2026-03-04T12:00:00+00:00"))  # a Wednesday

SEGMENTS = {
    "left": {"when": 'since(last("Added")) >= "30m" and last("Added") > last("Order")', "exit": 'did("Order", within="1h")'},
    "member": {"when": 'trait("plan") == "gold"'},
}
MAIL: dict[str, Any] = {"on": 'entered("left")', "channel": "email", "topic": "offers"}
YES: dict[str, Any] = {"traits": {"email": "ada@example.org"}}


def event(at: int, name: str, /, *, customer: str = "ada", id_: str = "", **parts: Any) -> tuple[int, dict[str, Any]]:
    """``at`` is after noon; an event arrives when it happens."""
    kind = {"type": "identify"} if name == "identify" else {"type": "track", "event": name}
    return at, {**kind, "userId": customer, "messageId": id_ or f"{name}-{at}", "timestamp": NOON + at, **parts}


def define(at: int, version: int, messages: dict[str, Any], **more: Any) -> tuple[int, dict[str, Any]]:
    return at, {"control": "definitions", "version": version, "definitions": source(messages, **more)}


def source(messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"segments": SEGMENTS, "topics": {"offers": "opt_out", "asked": "opt_in"}, "messages": messages, **more}


def told(messages: dict[str, Any], *bodies: tuple[int, dict[str, Any]], until: int = 2 * D, **more: Any) -> list[Decision]:
    story = MessageStory(source(messages, **more))
    log = [*bodies, (until, {"control": "tick"})]
    for offset, (at, body) in enumerate(log, 1):
        story.tell(Record(offset, NOON + at, body))
    return story.decisions


def outcomes(*arguments: Any, **more: Any) -> list[tuple[str, int, str, str | None]]:
    """(message, milliseconds after noon, outcome, or the reason and its detail)"""
    return [(each.message, each.at_ms - NOON, each.reason or each.outcome, each.detail) for each in told(*arguments, **more)]


def one(given: dict[str, Any], *bodies: tuple[int, dict[str, Any]], **more: Any) -> list[tuple[int, str, str | None]]:
    """Of one message, for somebody whose address is known and who left a cart at noon."""
    cart = (event(-1, "identify", **YES), event(0, "Added"))
    log = sorted((*cart, *bodies), key=lambda body: body[0])
    return [found[1:] for found in outcomes({"mail": {**MAIL, **given}}, *log, **more)]


def test_it_is_sent_at_the_instant_of_the_change_or_so_long_after_it() -> None:
    """By the clock alone: no event comes."""
    assert one({}) == [(30 * M, "send", None)]
    assert one({"delay": "30m"}) == [(60 * M, "send", None)]


def test_whoever_buys_in_between_gets_nothing() -> None:
    """The order ends the stay; by ``require`` alone likewise; an order at the instant itself comes after the timer."""
    order = event(40 * M, "Order")
    assert one({"delay": "30m"}, order) == [(60 * M, "stay", None)]
    assert one({"delay": "30m", "stay": False}, order) == [(60 * M, "send", None)]
    assert one({"delay": "30m", "stay": False, "require": 'never("Order")'}, order) == [(60 * M, "require", None)]
    assert one({"delay": "30m"}, event(60 * M, "Order")) == [(60 * M, "send", None)]


def test_a_decision_says_what_it_is_about() -> None:
    """Trigger, key, due and the end of its validity."""
    (found,) = told({"mail": {**MAIL, "delay": "1h"}}, event(-1, "identify", **YES), event(0, "Added"))
    assert (found.sequence, found.triggered_ms, found.on) == (1, NOON + 30 * M, "entered left")
    assert (found.due, found.valid_until) == (NOON + 90 * M, NOON + 90 * M + D)
    assert (found.address, found.template, found.arm, found.zone) == ("ada@example.org", "mail", "treated", "UTC")
    assert found.key == "d0531ff2543e99f7d4dc6fb7eeb95c8a", "BLAKE2b of mail, ada and 1, each but the last ended by a NUL"


def test_out_and_in_again_is_another_message() -> None:
    """One entry is one message: the first intent finds another stay, the second its own."""
    bodies = (event(40 * M, "Order"), event(2 * H, "Added"))
    assert one({"delay": "3h"}, *bodies, until=8 * H) == [(3 * H + 30 * M, "stay", None), (5 * H + 30 * M, "send", None)]


def test_left_and_turning_conditions_trigger_too() -> None:
    """``left`` by even changes; a condition by odd turns, the first of which may be the first thing that is known."""
    mails = {"gone": {**MAIL, "on": 'left("member")'}, "turned": {**MAIL, "on": 'trait("plan") == "gold"'}}
    plans = ((0, "gold"), (H, "none"), (2 * H, "gold"))
    bodies = [event(at, "identify", traits={"plan": plan, "email": "a@b.c"}) for at, plan in plans]
    assert outcomes(mails, *bodies) == [("turned", 0, "send", None), ("gone", H, "send", None), ("turned", 2 * H, "send", None)]
    assert [found.sequence for found in told(mails, *bodies)] == [1, 2, 3]


def test_a_change_by_new_definitions_starts_nothing_unless_asked() -> None:
    """A segment that begins with its members in it is no news for them."""
    first = {"first": {**MAIL, "on": 'did("Never")'}}
    bodies = (event(0, "identify", traits={"plan": "gold", "email": "a@b.c"}), event(1, "Other"))
    for also, expected in (([], []), (["definitions"], [("mail", H, "send", None)])):
        later = {"mail": {**MAIL, "on": 'trait("plan") == "gold"', "also": also}}
        assert outcomes(first, *bodies, define(H, 2, later)) == expected


def test_expiry_ends_what_a_long_night_holds() -> None:
    """Held to the morning if it is still good by then; at the exact end of its time it is not."""
    quiet = {"quiet": "12:00-15:30"}
    assert one(quiet) == [(30 * M, "quiet", "12:00-15:30"), (3 * H + 30 * M, "send", None)]
    assert one({**quiet, "expiry": "3h"}) == [(30 * M, "expired", "quiet")]
    assert one({**quiet, "expiry": "180m1ms"})[-1] == (3 * H + 30 * M, "send", None)


def test_after_the_night_all_tests_are_made_again() -> None:
    """Who bought at night gets nothing in the morning."""
    found = one({"quiet": "12:00-15:30"}, event(2 * H, "Order"))
    assert found == [(30 * M, "quiet", "12:00-15:30"), (3 * H + 30 * M, "stay", None)]


@pytest.mark.parametrize(
    ("zone", "begin", "quiet", "until"),
    [
        ("Europe/Berlin", "2026-03-29T00:30:00+00:00", "00:00-02:30", "2026-03-29T01:00:00+00:00"),  # 02:30 is skipped: at 03:00
        ("Europe/Berlin", "2026-10-25T00:10:00+00:00", "22:00-02:30", "2026-10-25T00:30:00+00:00"),  # twice: the first of the two
        ("Europe/Berlin", "2026-10-25T00:40:00+00:00", "02:35-02:30", "2026-10-25T01:30:00+00:00"),  # which was before now: the second
        ("Africa/Cairo", "2026-04-23T21:30:00+00:00", "22:00-00:30", "2026-04-23T22:00:00+00:00"),  # midnight is skipped
        ("Asia/Kolkata", "2026-03-04T12:00:00+00:00", "17:00-18:15", "2026-03-04T12:45:00+00:00"),
    ],
)
def test_a_hold_ends_by_the_customers_clock(zone: str, begin: str, quiet: str, until: str) -> None:
    """Also where that clock is put forward over the end, or shows it twice."""
    start = to_ms(datetime.fromisoformat(begin)) - NOON
    turned = {"mail": {**MAIL, "on": 'did("Ping")', "quiet": quiet}}
    first, *_ = told(turned, event(start, "Ping", traits={"email": "a@b.c", "timezone": zone}), until=start + D)
    assert (first.outcome, first.until) == ("hold", to_ms(datetime.fromisoformat(until)))


def test_caps_are_windows_that_move_to_the_millisecond() -> None:
    """The send of noon is in the window until just before an hour later."""
    ping = {"on": 'count("Ping") in [1, 3, 5]', "cap": "1 per 1h"}
    pings = [event(at, "Ping", id_=f"{number}") for number, at in enumerate((0, 1, H - 1, H, H))]
    bodies = (event(-1, "identify", **YES), *pings)
    found = outcomes({"mail": {**MAIL, **ping}}, *bodies)
    assert found == [("mail", 0, "send", None), ("mail", H - 1, "cap", "message 1 per 1h"), ("mail", H, "send", None)]


def test_caps_of_channel_and_all_are_shared_by_priority() -> None:
    """At one instant the higher priority takes the place; what is transactional neither takes one nor needs one."""
    mails = {
        "a": {**MAIL, "priority": -1},
        "b": {**MAIL},
        "c": {"on": 'entered("left")', "channel": "email", "kind": "transactional"},
    }
    bodies = (event(-1, "identify", **YES), event(0, "Added"))
    for limits, detail in (
        ({"channels": {"email": {"cap": "1 per 25h"}}}, "channel 1 per 1d1h"),
        ({"message_limits": {"cap": ["1 per 7d"]}}, "global 1 per 7d"),
    ):
        found = outcomes(mails, *bodies, **limits)
        assert found == [("b", 30 * M, "send", None), ("c", 30 * M, "send", None), ("a", 30 * M, "cap", detail)]


def test_a_permanent_failure_gives_the_place_back() -> None:
    """Only that of its decision, and ``again`` stays."""
    mail = {**MAIL, "on": 'count("Ping") in [1, 3]', "cap": "1 per 7d"}
    (first, *_) = told({"mail": mail}, event(0, "Ping", **YES))
    pings = (event(0, "Ping", **YES), event(2, "Ping"), event(3, "Ping"))
    for key, permanent, expected in (
        (first.key, True, "send"),
        (first.key, False, "cap"),
        ("another", True, "cap"),
    ):
        failed = event(1, "Message Failed", properties={"key": key, "permanent": permanent})
        found = outcomes({"mail": mail}, pings[0], failed, *pings[1:])
        assert [each[2] for each in found] == ["send", expected]
        again = outcomes({"mail": {**mail, "again": "once"}}, pings[0], failed, *pings[1:])
        assert [each[2] for each in again] == ["send", "again"]


def test_consent_is_events() -> None:
    """The newest counts, by event time; an unsubscribe without a topic withdraws all, and a withdrawal for another channel nothing."""
    asked = {"topic": "asked"}
    assert one(asked) == [(30 * M, "no_consent", "asked")]
    yes, no = (event(at, name, properties={"topic": "asked"}) for at, name in ((1, "Consent Given"), (2, "Consent Withdrawn")))
    assert one(asked, yes) == [(30 * M, "send", None)]
    assert one(asked, yes, no) == [(30 * M, "no_consent", "asked")]
    assert one(asked, yes, event(3, "Message Unsubscribed", properties={}))[0][1] == "no_consent"
    assert one(asked, yes, event(3, "Message Unsubscribed", properties={"topic": "offers"}))[0][1] == "send"
    assert one(asked, yes, event(3, "Consent Withdrawn", properties={"topic": "asked", "channel": "webhook"}))[0][1] == "send"
    assert one(asked, event(3, "Consent Given", properties={"topic": "asked", "channel": "webhook"}))[0][1] == "no_consent"
    assert one({}, event(3, "Message Unsubscribed", properties={"topic": "offers"}))[0][1] == "no_consent"
    together = (event(1, "Consent Given", properties={"topic": "offers"}), event(1, "Consent Withdrawn", properties={"topic": "offers"}))
    assert one({}, *together)[0][1] == "no_consent", "of equal times the withdrawal counts"


def test_suppression_holds_until_it_is_taken_back() -> None:
    """For what is transactional too; only a permanent bounce counts, and only on its channel."""
    service: dict[str, Any] = {"kind": "transactional", "topic": None}
    bounced = event(1, "Message Bounced", properties={"channel": "email", "permanent": True})
    for given in ({}, service):
        assert one(given, bounced) == [(30 * M, "suppressed", "bounced")]
    for harmless in ({"channel": "email", "permanent": False}, {"channel": "webhook", "permanent": True}):
        assert one({}, event(1, "Message Bounced", properties=harmless)) == [(30 * M, "send", None)]
    back = event(2, "Message Unsuppressed", properties={"channel": "email"})
    assert one({}, bounced, back) == [(30 * M, "send", None)]
    assert one({}, bounced, back, event(3, "Message Complained", properties={"channel": "email"})) == [(30 * M, "suppressed", "complained")]


@pytest.mark.parametrize(
    ("address", "is_one"),
    [
        ("a@b", True),
        ("a@b.c", True),
        ("a b@c.d", False),
        ("a@b..c", False),
        ("a@", False),
        ("@b.c", False),
        ("a@b@c", False),
        ("a@b.c\r\nBcc: x@y.z", False),
        (f"{'a' * 64}@b.c", True),
        (f"{'a' * 65}@b.c", False),
        ("Ada <a@b.c>", False),
        (5, False),
        (None, False),
        (["a@b.c"], False),
    ],
)
def test_an_address_that_is_none_is_a_skip(address: Any, is_one: bool) -> None:
    """Nothing that could begin another header, or another recipient."""
    found = one({}, event(1, "identify", traits={"email": address}))
    assert found == [(30 * M, "send" if is_one else "no_address", None)]


def test_again_counts_sends_of_the_message() -> None:
    """A duration is half open: at its exact end it may be sent again."""
    pings = [event(at, "Ping", id_=f"p{at}") for at in (0, 1, H - 1, H)]
    mail = {**MAIL, "on": 'count("Ping") in [1, 3]'}
    bodies = (event(-1, "identify", **YES), *pings)
    assert [each[2] for each in outcomes({"mail": {**mail, "again": "once"}}, *bodies)] == ["send", "again"]
    assert [each[2] for each in outcomes({"mail": {**mail, "again": "1h"}}, *bodies)] == ["send", "again"]
    assert [each[2] for each in outcomes({"mail": {**mail, "again": "59m"}}, *bodies)] == ["send", "send"]


def test_the_hold_out_is_by_customer_and_takes_places_as_a_send_does() -> None:
    """So both arms are alike in all but the message."""
    mail = {**MAIL, "on": 'did("Ping")', "holdout": "50%", "cap": "1 per 7d"}
    people = [f"c{number}" for number in range(40)]
    found = outcomes({"mail": mail}, *(event(0, "Ping", customer=who, id_=who, **YES) for who in people))
    reasons = [reason for _, _, reason, _ in found]
    assert 8 < reasons.count("holdout") < 32
    assert reasons == [each[2] for each in outcomes({"mail": mail}, *(event(H, "Ping", customer=who, id_=who, **YES) for who in people))]
    everybody = outcomes(
        {"mail": mail}, *(event(0, "Ping", customer=who, id_=who, **YES) for who in people), message_limits={"holdout": "99.99%"}
    )
    assert {detail for *_, detail in everybody} == {"global"}


def test_pause_withdraw_erase() -> None:
    """Each ends what waits, each by its name; a resume of all takes back only a pause of all."""
    pause, resume = ((at, {"control": kind, "message": "mail"}) for at, kind in ((1, "pause"), (2, "resume")))
    assert one({}, pause) == [(30 * M, "paused", None)]
    assert one({}, pause, resume) == [(30 * M, "send", None)]
    assert one({}, pause, (2, {"control": "resume", "message": "*"})) == [(30 * M, "paused", None)]
    waiting = {"delay": "2h"}
    assert one(waiting, define(H, 2, {})) == [(150 * M, "withdrawn", None)]
    assert one(waiting, define(H, 2, {"mail": {**MAIL, "on": 'left("left")'}})) == [(H, "withdrawn", None)]
    assert one(waiting, define(H, 2, {"mail": {**MAIL, "priority": 3}})) == [(150 * M, "send", None)]
    assert one(waiting, (H, {"control": "erase", "customer": "ada"})) == [(H, "erased", None)]


def test_facts_are_what_holds_at_the_decision() -> None:
    """A value, a number, a time, and what is left of the cart: newest first, without what was taken out or ordered."""
    cart = {"left_of": "Added", "minus": "Removed", "until": "Order", "by": "id", "keep": ["name", "price.eur"], "max": 2}
    facts = {
        "who": 'trait("first_name")',
        "since": 'first("Added")',
        "sum": 'sum("Added", "price.eur")',
        "missing": 'trait("no")',
        "items": cart,
    }
    adds = [
        event(at, "Added", properties={"id": item, "name": name, "price": {"eur": 2.5}})
        for at, item, name in ((1, "x", "X"), (2, "y", "Y"), (3, 7, "Z"), (4, "x", "X2"), (6, "w", "W"))
    ]
    gone = event(5, "Removed", properties={"id": 7.0})
    (found,) = told(
        {"mail": {**MAIL, "facts": facts}}, event(-1, "identify", traits={"email": "a@b", "first_name": "Ada"}), *adds[:4], gone, adds[4]
    )
    assert found.facts == {
        "who": "Ada",
        "since": "2026-03-04T12:00:00.001Z",
        "sum": 12.5,
        "missing": None,
        "items": [{"name": "W", "price.eur": 2.5}, {"name": "X2", "price.eur": 2.5}],
    }


def test_facts_that_are_too_large_lose_the_end_of_their_longest_list() -> None:
    """What remains is at most 2,048 bytes."""
    cart = {"left_of": "Added", "by": "id", "keep": "name", "max": 5}
    adds = [event(number, "Added", properties={"id": number, "name": "n" * 500}) for number in range(1, 6)]
    (found,) = told({"mail": {**MAIL, "facts": {"items": cart}}}, event(-1, "identify", **YES), *adds)
    assert [len(item["name"]) for item in found.facts["items"]] == [500] * 3, "four would be 2,059 bytes"
