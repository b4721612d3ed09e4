"""Messages in definitions: what is left out is filled in, and what is wrong is said with its place."""

from __future__ import annotations

from streamer.language.definitions import Definitions, parse_definitions
from streamer.language.message_specs import Cap, CartFact, Goal, MessageSpec, Quiet, Trigger
from streamer.units import DAY_MS, HOUR_MS, MINUTE_MS

SEGMENTS = """
segments:
  cart_left: {for: Remind them., when: 'since(last("Product Added")) >= "30m"'}
topics: {offers: opt_in}
"""
LEAST = """
messages:
  reminder: {for: Reminds., on: entered("cart_left"), channel: email, topic: offers}
"""
FULL = """
channels:
  email: {cap: [3 per 7d, 1 per 1h], quiet: "21:00-09:00"}
message_limits: {cap: 5 per 7d, holdout: 2.5%}
messages:
  reminder:
    for: Reminds.
    on: entered("cart_left")
    also: [merge]
    delay: 30m
    require: never("Order Completed", within="1h")
    stay: false
    again: 30d
    expiry: 12h
    channel: email
    topic: offers
    facts:
      orders: count("Order Completed")
      items: {left_of: Product Added, minus: Product Removed, until: [Order Completed], by: product_id, keep: [name, price]}
    template: cart
    cap: 1 per 7d
    quiet: none
    holdout: 10%
    variants: {short: 1, long: 3}
    priority: 10
    goal: {event: Order Completed, within: 3d, value: total}
"""


def read(text: str) -> Definitions:
    return parse_definitions(SEGMENTS + text, file="shop.yaml")


def only(text: str) -> MessageSpec:
    (message,) = read(text).messages
    return message


def test_what_is_left_out_is_filled_in() -> None:
    """Five lines are a message; whoever decides need not know what a marketer left out."""
    message = only(LEAST)
    assert message.trigger == Trigger("entered", "cart_left")
    assert (message.delay_ms, message.expiry_ms, message.again_ms, message.stay) == (0, DAY_MS, 0, True)
    assert (message.kind, message.template, message.quiet, message.variants) == ("marketing", "reminder", None, ())


def test_everything_that_is_said_is_read() -> None:
    """A key that is known and not read would be a promise broken in silence."""
    definitions, message = read(FULL), only(FULL)
    assert (message.delay_ms, message.expiry_ms, message.again_ms) == (30 * MINUTE_MS, 12 * HOUR_MS, 30 * DAY_MS)
    assert (message.stay, message.template, message.priority, message.holdout_bp) == (False, "cart", 10, 1_000)
    assert (message.quiet, message.caps) == (None, (Cap(1, 7 * DAY_MS),))
    assert message.variants == (("long", 3), ("short", 1))
    assert message.goal == Goal("Order Completed", 3 * DAY_MS, ("total",))
    items = message.facts[0]
    assert items == CartFact(
        "items", ("Product Added",), ("Product Removed",), ("Order Completed",), ("product_id",), (("name",), ("price",)), 10
    )
    (email,) = definitions.channels
    assert (email.caps, email.quiet) == ((Cap(3, 7 * DAY_MS), Cap(1, HOUR_MS)), Quiet(21 * 60, 9 * 60))
    assert (definitions.message_limits.caps, definitions.message_limits.holdout_bp) == ((Cap(5, 7 * DAY_MS),), 250)


def test_the_content_reads_back_to_the_same_messages() -> None:
    """Shards read the content and not the files."""
    definitions = read(FULL)
    again = parse_definitions(definitions.content())
    assert again.content() == definitions.content()
    assert [message.expressions for message in again.messages] != []
    assert (again.channels, again.topics, again.message_limits) == (definitions.channels, definitions.topics, definitions.message_limits)


def test_definitions_without_messages_keep_their_digest() -> None:
    """A shop that sends nothing sees no new version of what it has."""
    text = 'segments: {a: {for: x, when: did("A")}}'
    assert set(parse_definitions(text).written) == set()
