"""When a message is decided, and every reason for which it is not sent: worked out by hand, from the language page."""

from __future__ import annotations

import pytest

from tests.unit.messages.desk import Said, decisions, definitions, event, ms, outputs, said, traits

REMINDER = '  reminder: {for: x, on: entered("cart_left"), delay: 30m, channel: console, topic: offers%s}\n'
ADDED = "Product Added"


def reminder(more: str = "") -> str:
    """A reminder half an hour after a cart was left, which is half an hour after the last product."""
    return REMINDER % (f", {more}" if more else "")


def test_a_message_is_decided_at_its_instant_and_no_event_is_needed_for_it() -> None:
    """Half an hour until the cart counts as left, half an hour of delay: to the millisecond, while nobody does anything."""
    [told] = decisions(definitions(reminder()), [event("01T10:00", ADDED)], "02T10:00")
    assert (told.type, told.time, told.subject) == ("message.send", "2026-03-01T11:00:00.000Z", "ada")
    data = told.data
    assert (data.trigger.on, data.trigger.sequence, data.trigger.at) == ("entered cart_left", 1, "2026-03-01T10:30:00.000Z")
    assert (data.due, data.valid_until) == ("2026-03-01T11:00:00.000Z", "2026-03-02T11:00:00.000Z")
    assert (data.address, data.kind, data.channel, data.topic, data.template) == ("ada", "marketing", "console", "offers", "reminder")


def test_without_a_delay_it_is_decided_with_the_change_itself() -> None:
    """Memberships turn first, then messages: both at one instant, in this order."""
    told = outputs(
        definitions('  welcome: {for: x, on: entered("buyer"), channel: console, topic: offers}'),
        [event("01T10:00", "Order Completed")],
        "01T10:00",
    )
    assert [one.output.topic for one in told] == ["segment-changes", "messages", "ledger"]
    assert [one.output.ordinal for one in told] == [0, 1, 2]


def test_out_and_in_again_within_the_delay_is_one_message() -> None:
    """The stay that began the first is over; the one that began the second is not."""
    events = [event("01T10:00", ADDED), event("01T10:40", ADDED)]
    assert said(definitions(reminder()), events, "02T10:00") == [
        Said("01T11:00:00", "reminder", "skip", "stay"),
        Said("01T11:40:00", "reminder", "send", None),
    ]


def test_no_reminder_after_the_purchase() -> None:
    """What is in the log before the instant counts, to the millisecond: the purchase and the reminder are at the same moment."""
    rule = definitions(reminder('require: \'never("Order Completed", within="1h")\''))
    assert said(rule, [event("01T10:00", ADDED), event("01T10:59:59", "Order Completed")], "02T10:00") == [
        Said("01T11:00:00", "reminder", "skip", "require")
    ]
    assert said(rule, [event("01T10:00", ADDED), event("01T11:00", "Order Completed")], "02T10:00") == [
        Said("01T11:00:00", "reminder", "send", None)
    ], "a timer fires before the record that lets time pass it"


def test_a_message_can_wait_for_an_exit() -> None:
    """``left`` with its stay means: not entered again."""
    rule = definitions('  again: {for: x, on: left("buyer"), delay: 1h, channel: console, topic: offers}')
    assert said(rule, [event("01T10:00", "Order Completed")], "02T10:00") == [Said("01T12:00:00", "again", "send", None)]
    assert said(rule, [event("01T10:00", "Order Completed"), event("01T11:30", "Order Completed")], "02T10:00") == [
        Said("01T12:00:00", "again", "skip", "stay"),
        Said("01T13:30:00", "again", "send", None),
    ]


def test_a_condition_begins_a_message_when_it_turns_true_and_nobody_is_told_of_a_segment() -> None:
    """By an event or by time alone, as a segment would."""
    rule = definitions('  second: {for: x, on: \'count("Order Completed", within="1h") >= 2\', channel: console, topic: offers}')
    events = [
        event("01T10:00", "Order Completed"),
        event("01T10:10", "Order Completed"),
        event("01T12:00", "Order Completed"),
        event("01T12:01", "Order Completed"),
    ]
    assert said(rule, events, "02T10:00") == [Said("01T10:10:00", "second", "send", None), Said("01T12:01:00", "second", "send", None)]
    assert [one.data.trigger.sequence for one in decisions(rule, events, "02T10:00")] == [1, 3]
    segments = {one.output.value for one in outputs(rule, events, "02T10:00") if b"message:" in one.output.value}
    assert segments == set()


def test_a_condition_that_time_alone_turns_begins_a_message() -> None:
    """Nobody need be in any segment."""
    rule = definitions('  asleep: {for: x, on: \'idle("*") >= "3h"\', channel: console, topic: offers}')
    assert said(rule, [event("01T10:00", ADDED)], "02T10:00") == [Said("01T13:00:00", "asleep", "send", None)]


@pytest.mark.parametrize(
    ("again", "reasons"),
    [("always", [None, None, None]), ("once", [None, "again", "again"]), ("3h", [None, "again", None])],
)
def test_how_often_a_message_may_come_again(again: str, reasons: list[str | None]) -> None:
    """A length is a window that is open behind: after exactly so long it may."""
    rule = definitions(f'  welcome: {{for: x, on: entered("buyer"), channel: console, topic: offers, again: {again}}}')
    events = [event(at, "Order Completed") for at in ("01T10:00", "01T11:30", "01T13:00")]
    assert [one.reason for one in said(rule, events, "02T10:00")] == reasons


def test_caps_are_rolling_windows_of_the_message_the_channel_and_all() -> None:
    """The first cap that is full is named; a skip takes no place; after exactly the window there is one again."""
    more = "channels: {console: {cap: 2 per 3h}}\nmessage_limits: {cap: 3 per 1d}"
    rule = definitions('  welcome: {for: x, on: entered("buyer"), channel: console, topic: offers, cap: 1 per 90m}', more)
    events = [
        event(f"01T{hour:02}:{minute:02}", "Order Completed") for hour, minute in ((10, 0), (11, 1), (12, 10), (13, 15), (15, 10), (17, 0))
    ]
    found = [(one.time[11:16], one.data.detail) for one in decisions(rule, events, "02T10:00")]
    assert found == [
        ("10:00", None),
        ("11:01", "message 1 per 1h30m"),
        ("12:10", None),
        ("13:15", "message 1 per 1h30m"),
        ("15:10", None),
        ("17:00", "global 3 per 1d"),
    ]
    edge = definitions('  welcome: {for: x, on: entered("buyer"), channel: console, topic: offers, cap: 1 per 2h}')
    for second, reason in (("11:59:59", "cap"), ("12:00:00", None)):
        told = said(edge, [event("01T10:00", "Order Completed"), event(f"01T{second}", "Order Completed")], "01T12:00")
        assert [one.reason for one in told] == [None, reason]


def test_of_two_messages_at_one_instant_the_one_of_higher_priority_takes_the_place() -> None:
    """Then by name; the place is taken at once."""
    line = '  %s: {for: x, on: entered("buyer"), channel: console, topic: offers, priority: %d}\n'
    rule = definitions(line % ("b", 5) + line % ("a", 1) + line % ("c", 5), "message_limits: {cap: 1 per 1d}")
    assert [(one.message, one.reason) for one in said(rule, [event("01T10:00", "Order Completed")], "01T10:00")] == [
        ("b", None),
        ("c", "cap"),
        ("a", "cap"),
    ]


def test_a_permanent_failure_gives_its_place_back() -> None:
    """Nobody got anything; one that may still arrive keeps it."""
    rule = definitions('  welcome: {for: x, on: entered("buyer"), channel: console, topic: offers, cap: 1 per 1d}')
    first = event("01T10:00", "Order Completed")
    [sent] = decisions(rule, [first], "01T10:00")
    later = event("01T12:00", "Order Completed")
    for permanent, reasons in ((True, [None, None]), (False, [None, "cap"])):
        failed = event("01T10:01", "Message Failed", key=sent.data.key, permanent=permanent)
        assert [one.reason for one in said(rule, [first, failed, later], "02T10:00")] == reasons


def test_quiet_hours_hold_a_message_until_they_end_in_the_customers_zone_and_then_all_is_tested_again() -> None:
    """New York is four or five hours behind UTC; on 8 March clocks go forward."""
    rule = definitions(reminder('quiet: "21:00-09:00", require: \'never("Order Completed", within="1d")\''))
    zone = traits("07T10:00", timezone="America/New_York")
    assert said(rule, [zone, event("08T01:30", ADDED)], "09T23:00") == [
        Said("08T02:30:00", "reminder", "hold", "quiet"),
        Said("08T13:00:00", "reminder", "send", None),
    ]
    bought = event("08T03:00", "Order Completed")
    assert said(rule, [zone, event("08T01:30", ADDED), bought], "09T23:00")[1:] == [Said("08T13:00:00", "reminder", "skip", "require")]


def test_what_quiet_hours_would_hold_beyond_its_expiry_is_skipped_at_once() -> None:
    """Nobody waits for what can only expire."""
    rule = definitions(reminder('quiet: "21:00-09:00", expiry: 2h'))
    [told] = decisions(rule, [event("01T22:00", ADDED)], "03T10:00")
    assert (told.time[11:16], told.type, told.data.reason, told.data.detail) == ("23:00", "message.skip", "expired", "quiet")


def test_consent_is_needed_where_the_topic_says_so() -> None:
    """Opt-in needs a yes, opt-out no no; the newest counts."""
    line = '  news: {for: x, on: entered("buyer"), channel: console, topic: %s}'
    order, more = event("01T10:00", "Order Completed"), event("01T12:00", "Order Completed")

    def reasons(topic: str, *events: dict[str, object]) -> list[str | None]:
        every = sorted([order, more, *events], key=lambda one: int(str(one["timestamp"])))
        return [one.reason for one in said(definitions(line % topic), every, "02T10:00")]

    given, other = event("01T09:00", "Consent Given", topic="news"), event("01T09:00", "Consent Given", topic="news", channel="email")
    assert reasons("offers") == [None, None]
    assert reasons("news") == ["no_consent", "no_consent"]
    assert reasons("news", given) == [None, None]
    assert reasons("news", other) == ["no_consent", "no_consent"], "on another channel"
    assert reasons("news", given, event("01T11:00", "Consent Withdrawn", topic="news")) == [None, "no_consent"]
    assert reasons("offers", event("01T11:00", "Message Unsubscribed", topic="offers")) == [None, "no_consent"]
    assert reasons("offers", event("01T11:00", "Message Unsubscribed")) == [None, "no_consent"], "of everything"
    assert reasons("offers", event("01T11:00", "Message Unsubscribed", topic="news")) == [None, None]
    assert reasons("offers", event("01T09:00", "Message Unsubscribed"), event("01T11:00", "Consent Given", topic="offers")) == [
        "no_consent",
        None,
    ]


def test_a_bounced_or_complaining_address_is_left_alone_until_somebody_says_otherwise() -> None:
    """For every kind of message, on that channel alone."""
    rule = definitions('  receipt: {for: x, on: entered("buyer"), channel: console, kind: transactional}')
    order, more = event("01T10:00", "Order Completed"), event("01T12:00", "Order Completed")
    for name, detail in (("Bounced", "bounced"), ("Complained", "complained"), ("Suppressed", "suppressed")):
        said_so = event("01T09:00", f"Message {name}", channel="console", permanent=True)
        lifted = event("01T11:00", "Message Unsuppressed", channel="console")
        found = decisions(rule, [said_so, order, lifted, more], "02T10:00")
        assert [(one.data.reason, one.data.detail) for one in found] == [("suppressed", detail), (None, None)]
    soft = event("01T09:00", "Message Bounced", channel="console", permanent=False)
    elsewhere = event("01T09:01", "Message Complained", channel="email")
    assert [one.reason for one in said(rule, [soft, elsewhere, order], "01T10:30")] == [None]


def test_an_address_that_is_none_is_a_reason() -> None:
    """A header must not come out of a trait."""
    rule = definitions('  mail: {for: x, on: entered("buyer"), channel: email, topic: offers}')
    for address, reason in (
        ("ada@example.com", None),
        ("ada", "no_address"),
        ("a@b.example\nBcc: c@d", "no_address"),
        (7, "no_address"),
        (None, "no_address"),
    ):
        assert [
            one.reason for one in said(rule, [traits("01T09:00", email=address), event("01T10:00", "Order Completed")], "01T10:00")
        ] == [reason]


def test_who_is_held_out_passes_the_same_tests_and_takes_the_same_places() -> None:
    """The two arms can be compared from the same instant; a share of all is all."""
    line = '  offer: {for: x, on: entered("buyer"), channel: console, topic: offers, cap: 1 per 1d, holdout: %s, variants: {a: 1, b: 3}}'
    events = [event("01T10:00", "Order Completed", user=f"u-{number}") for number in range(400)]
    found = decisions(definitions(line % "25%"), events, "01T10:00")
    held_out = [one for one in found if one.data.arm == "held_out"]
    assert {(one.outcome, one.data.reason) for one in held_out} == {("skip", "holdout")}
    assert {(one.outcome, one.data.reason) for one in found if one.data.arm == "treated"} == {("send", None)}
    assert 70 <= len(held_out) <= 130
    assert 70 <= sum(one.data.variant == "a" for one in found) <= 130
    again = [event("01T12:00", "Order Completed", user=one.subject) for one in held_out[:3]]
    assert [one.data.reason for one in decisions(definitions(line % "25%"), [*events, *again], "01T12:00")[400:]] == ["cap"] * 3


def test_a_template_is_told_what_is_left_in_the_cart() -> None:
    """Newest first; what was taken out, or ordered, is not in it."""
    items = "{left_of: Product Added, minus: Product Removed, until: Order Completed, by: product_id, keep: [name, price], max: 2}"
    views = 'count("Product Viewed", within="1d")'
    rule = definitions(reminder(f"facts: {{first_name: 'trait(\"first_name\")', views: '{views}', items: {items}}}"))
    events = [
        traits("01T08:00", first_name="Ada"),
        event("01T08:30", "Product Viewed"),
        event("01T08:31", "Product Viewed"),
        event("01T09:00", ADDED, product_id="old", name="Ordered"),
        event("01T09:10", "Order Completed"),
        event("01T10:00", ADDED, product_id=1, name="Kenya", price=12.5),
        event("01T10:01", ADDED, product_id=2, name="Removed"),
        event("01T10:02", "Product Removed", product_id=2),
        event("01T10:03", ADDED, product_id=3, name="Brazil"),
        event("01T10:04", ADDED, product_id=4, name="Sumatra", price=9),
    ]
    told = [one for one in decisions(rule, events, "02T10:00") if one.outcome == "send"][-1]
    assert told.data.facts == {
        "first_name": "Ada",
        "views": 2,
        "items": [{"name": "Sumatra", "price": 9}, {"name": "Brazil", "price": None}],
    }


def test_the_ledger_has_every_decision_and_no_address() -> None:
    """It is kept long."""
    rule = definitions(reminder("facts: {first_name: 'trait(\"first_name\")'}"))
    told = outputs(rule, [traits("01T08:00", first_name="Ada Byron"), event("01T10:00", ADDED)], "02T10:00")
    sent, kept = ([one.output.value for one in told if one.output.topic == topic] for topic in ("messages", "ledger"))
    assert len(sent) == len(kept) == 1
    assert b"Ada Byron" in sent[0]
    assert b"Ada Byron" not in kept[0]
    assert b'"address"' not in kept[0]


def test_no_more_than_a_thousand_wait_for_one_customer() -> None:
    """A program that goes in and out all day must not fill a state; and there is a row that says so."""
    spaced = [{**event("01T00:00", "Viewed"), "timestamp": ms("01T00:00") + minute * 60_000} for minute in range(0, 2_100, 2)]
    busy = definitions('  late: {for: x, on: \'count("Viewed", within="2m") == 1\', delay: 20d, channel: console, topic: offers}')
    found = decisions(busy, spaced, "03T00:00")
    assert {(one.outcome, one.data.reason, one.data.detail) for one in found} == {("skip", "cap", "waiting 1000")}
    assert len(found) == len(spaced) - 1_000


def test_of_two_events_of_one_time_what_takes_away_counts() -> None:
    """A no beside a yes is a no, and what is put in and taken out at once is not in."""
    rule = definitions('  news: {for: x, on: entered("buyer"), channel: console, topic: news}')
    both = [event("01T09:00", name, topic="news") for name in ("Consent Withdrawn", "Consent Given")]
    assert [one.reason for one in said(rule, [*both, event("01T10:00", "Order Completed")], "01T10:00")] == ["no_consent"]
    items = "{left_of: Product Added, minus: Product Removed, by: product_id, keep: [product_id]}"
    cart = [event("01T09:00", name, product_id="a") for name in ("Product Removed", "Product Added")]
    [told] = decisions(definitions(reminder(f"facts: {{items: {items}}}")), cart, "01T10:00")
    assert told.data.facts == {"items": []}
