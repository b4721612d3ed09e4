"""What the linter points out in messages; and what it must leave alone."""

from __future__ import annotations

from typing import Any, Final

import pytest

from streamer.language.definitions import parse_definitions
from streamer.language.lint.linter import lint

SEGMENTS: Final[dict[str, str | dict[str, str]]] = {
    "cart": 'did("Product Added", within="3d") and never("Order Completed", within="3d")',
    "asleep": 'idle("*") >= "30d"',
    "nobody": "hour() == 25",
    "bought": 'did("Order Completed")',
    "written": 'did("Message Sent", where=prop("message") == "other", within="1d")',
}
TOPICS: Final = {"offers": "opt_in"}


def found(*, definitions: dict[str, Any] | None = None, **messages: dict[str, Any]) -> dict[str, list[str]]:
    """What is said of messages, channels and limits, but not of segments."""
    segments = {name: {"for": "x", "when": when} for name, when in SEGMENTS.items()}
    least = {"for": "x", "on": 'entered("cart")', "channel": "email", "topic": "offers"}
    bodies = {name: {**least, **body} for name, body in messages.items()}
    said: dict[str, list[str]] = {}
    for finding in lint(parse_definitions({"segments": segments, "topics": TOPICS, "messages": bodies, **(definitions or {})})):
        if finding.about not in SEGMENTS:
            said.setdefault(finding.about, []).append(finding.message)
    return said


def of_one(**body: Any) -> list[str]:
    return found(m=body).get("message m", [])


SUSPICIOUS: Final[list[tuple[dict[str, Any], str]]] = [
    ({"on": 'entered("nobody")'}, "is never sent: nobody can enter 'nobody'"),
    ({"on": 'left("bought")'}, "is never sent: nobody can leave 'bought'"),
    ({"on": "hour() == 25"}, "is never sent: hour() == 25 is never true"),
    ({"on": "hour() >= 0"}, "its trigger is always true: it begins once for each customer, when they first come"),
    ({"require": "hour() == 25"}, "is never sent: hour() == 25 is never true"),
    (
        {"require": 'did("Order Completed", within="1h")'},
        "is never sent: its require excludes the stay that it waits for; write stay: false if that is not meant",
    ),
    (
        {"require": 'not segment("cart")'},
        "is never sent: its require excludes the stay that it waits for; write stay: false if that is not meant",
    ),
    ({"require": 'segment("cart")'}, "its require decides nothing: it holds whenever it is asked"),
    ({"on": 'left("cart")', "require": 'not segment("cart")'}, "its require decides nothing: it holds whenever it is asked"),
    ({"delay": "3d"}, "its delay is 3d, and without another event what begins it has ended after 3d"),
    ({"delay": "1h", "stay": "false"}, "is sent 1h later whatever happens meanwhile: it has neither stay nor require"),
    (
        {"quiet": "21:00-09:00", "expiry": "4h"},
        "expires after 4h, and is held for up to 12h in its quiet hours (21:00-09:00): what is due in the first 8h of them is never sent",
    ),
    (
        {"holdout": "51%", "goal": {"event": "Order Completed", "within": "3d"}},
        "its hold-out is more than half: most customers get nothing",
    ),
    ({"holdout": "10%"}, "has a hold-out and no goal: nothing says in what the two sides differ"),
    ({"variants": {"a": "1"}}, "has one variant, which everybody gets"),
    ({"require": 'never("Order Complete")'}, 'listens to "Order Complete", which is almost "Order Completed"; did you mean that?'),
    (
        {"goal": {"event": "Order Complted", "within": "3d"}},
        'listens to "Order Complted", which is almost "Order Completed"; did you mean that?',
    ),
    (
        {"facts": {"items": {"left_of": "Product Aded", "by": "product_id"}}},
        'listens to "Product Aded", which is almost "Product Added"; did you mean that?',
    ),
    ({"require": 'never("Message sent")'}, 'listens to "Message sent", which is almost "Message Sent"; did you mean that?'),
    ({"address": 'trait("emial")'}, 'reads the trait "emial", which is almost "email"; did you mean that?'),
    ({"language": 'trait("Locale")'}, 'reads the trait "Locale", which is almost "locale"; did you mean that?'),
    ({"cap": "1 per 7d", "again": "once"}, "its cap 1 per 7d decides nothing: again: once sends it once"),
    ({"cap": ["1 per 7d", "2 per 1d"]}, "its cap 2 per 1d decides nothing: the message itself is at 1 per 7d"),
    ({"on": 'did("Message Sent", within="1d")'}, 'each send begins it anew, by the event "Message Sent": m -> m'),
]


@pytest.mark.parametrize(("body", "sentence"), SUSPICIOUS, ids=[str(row[0])[:60] for row in SUSPICIOUS])
def test_a_suspicious_message_is_pointed_out(body: dict[str, Any], sentence: str) -> None:
    """A message that nobody gets is found by nobody, unless somebody looks before it is published."""
    assert of_one(**body) == [sentence]


FINE: Final[list[dict[str, Any]]] = [
    {},
    {"delay": "2d"},
    {"require": 'never("Order Completed", within="9d")'},
    {"stay": "false", "require": 'never("Order Completed", within="1h")', "delay": "1d"},
    {"kind": "transactional", "stay": "false", "delay": "1d"},
    {"quiet": "21:00-09:00", "expiry": "12h"},
    {"on": 'entered("bought")', "delay": "300d"},
    {"on": 'entered("asleep")', "delay": "60d"},
    {"cap": ["1 per 1d", "3 per 7d"]},
    {"facts": {"first_name": 'trait("first_name")', "city": 'trait("address.city")'}},
    {"on": 'entered("asleep")', "require": 'never("Message Sent", within="7d")'},
    {"on": 'idle("Message Sent") >= "7d"', "again": "once"},
    {"on": 'did("Message Sent", where=prop("channel") == "console", within="1d")'},
]


@pytest.mark.parametrize("body", FINE, ids=[str(body)[:60] for body in FINE])
def test_what_may_be_meant_is_left_alone(body: dict[str, Any]) -> None:
    """A linter that cries wolf is switched off."""
    assert of_one(**body) == []


def test_a_circle_of_messages_is_shown() -> None:
    """Two messages that follow each other never end; each alone looks right."""
    said = found(
        other={"on": 'did("Message Sent", where=prop("message") == "more", within="1d")'},
        more={"on": 'entered("written")'},
        last={"on": 'did("Message Sent", where=prop("message") == "more", within="1d")'},
    )
    assert said == {
        "message more": ['each send begins it anew, by the event "Message Sent": more -> other -> more'],
        "message other": ['each send begins it anew, by the event "Message Sent": other -> more -> other'],
    }


def test_caps_of_channels_and_of_all_are_compared() -> None:
    """A marketer who raises one cap learns which other one still holds."""
    limits: dict[str, Any] = {
        "channels": {"email": {"cap": "3 per 7d"}, "push": {"cap": "9 per 1d"}},
        "message_limits": {"cap": ["5 per 7d", "5 per 30d"]},
    }
    said = found(definitions=limits, m={"cap": "4 per 1d"}, t={"cap": "4 per 1d", "kind": "transactional", "channel": "push"})
    assert said == {
        "message m": ["its cap 4 per 1d decides nothing: the channel email is at 3 per 7d"],
        "channel push": ["its cap 9 per 1d decides nothing: all marketing is at 5 per 7d"],
        "message_limits": ["its cap 5 per 7d decides nothing: all marketing is at 5 per 30d"],
    }


def test_what_no_message_uses_is_pointed_out() -> None:
    """A cap of a channel that is misspelt holds for nothing, and nobody sees it."""
    said = found(definitions={"channels": {"emial": {"cap": "1 per 7d"}}, "topics": {"offers": "opt_in", "news": "opt_in"}}, m={})
    assert said == {"channel emial": ["no message goes out on it"], "topic news": ["no message is about it"]}


def test_the_place_of_a_message_is_said() -> None:
    """Hundreds of messages stand in files of many hands."""
    least = '{for: x, on: entered("a"), channel: email, topic: offers}'
    text = f"topics: {{offers: opt_in}}\nsegments:\n  a: {{for: x, when: hour() == 25}}\nmessages:\n  m: {least}\n"
    (finding,) = [one for one in lint(parse_definitions(text, file="shop.yaml")) if one.about == "message m"]
    assert (finding.file, finding.line) == ("shop.yaml", 5)
