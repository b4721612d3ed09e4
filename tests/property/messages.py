"""Messages for Hypothesis: definitions of them over any segments, and logs in which customers agree, refuse, bounce and fill carts."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from hypothesis import strategies as st

from tests.oracle.story import Record
from tests.property.driving import Case
from tests.property.logs import ANCHORS, CUSTOMERS, D, H, delays, events, steps_ms, successors
from tests.property.sentences import DURATIONS, MAIN, OTHER, Vocabulary, conditions, definitions, values

NAMES = ("one", "two", "three")
TOPICS = {"asked": "opt_in", "told": "opt_out"}
CHANNELS = ("email", "console", "own")
WINDOWS = ("1ms", "1s", "10m", "1h", "25h", "2d", "7d")
CLOCKS = ("00:00", "02:30", "03:00", "08:00", "12:15", "21:00", "23:59")
ADDRESSES = ("ada@example.org", "a@b", "a b@c.d", "", None, 5)
TOLD = (
    *("Consent Given", "Consent Given", "Consent Withdrawn", "Message Unsubscribed", "Message Bounced", "Message Failed"),
    *("Message Complained", "Message Suppressed", "Message Unsuppressed", "address"),
)

caps = st.tuples(st.integers(1, 2), st.sampled_from(WINDOWS)).map(lambda cap: f"{cap[0]} per {cap[1]}")
quiet_hours = st.tuples(st.sampled_from(CLOCKS), st.sampled_from(CLOCKS)).filter(lambda pair: pair[0] != pair[1]).map("-".join)
cart = st.fixed_dictionaries(
    {"left_of": st.sampled_from(["A", ["A", "B"]]), "by": st.sampled_from(["tag", "price"])},
    optional={
        "minus": st.just("B"),
        "until": st.sampled_from(["AB", ["AB", "B"]]),
        "keep": st.sampled_from(["flag", ["price", "items.sku"]]),
        "max": st.integers(1, 2),
    },
)


@st.composite
def facts(draw: st.DrawFn, words: Vocabulary) -> dict[str, Any]:
    """Values, numbers, times, and what is left of a cart."""
    event = '"A"' if words is MAIN else '"C"'
    chosen = draw(
        st.lists(
            st.sampled_from(
                ["value", f"count({event})", f'sum({event}, "price", within="1h")', f'avg({event}, "price")', f"last({event})", "cart"]
            ),
            max_size=3,
        )
    )
    found: dict[str, Any] = {}
    for number, what in enumerate(chosen):
        if what == "cart" and words is MAIN:
            found[f"f{number}"] = draw(cart)
        elif what != "cart":
            found[f"f{number}"] = draw(values(words)) if what == "value" else what
    return found


@st.composite
def messages(draw: st.DrawFn, segments: tuple[str, ...], words: Vocabulary = MAIN) -> dict[str, Any]:
    """One message."""
    channel, kind = draw(st.sampled_from(CHANNELS)), draw(st.sampled_from(["marketing", "marketing", "transactional"]))
    found: dict[str, Any] = {"on": draw(triggers(segments, words)), "channel": channel, "kind": kind}
    if kind == "marketing" or draw(st.integers(0, 4)) == 0:
        found["topic"] = draw(st.sampled_from(["told", "told", "asked"]))
    optional: dict[str, Any] = {
        "also": st.sampled_from([["definitions"], ["definitions", "merge"]]),
        "delay": st.sampled_from(DURATIONS),
        "require": conditions(words, segments, 1),
        "stay": st.booleans(),
        "again": st.sampled_from(["once", "always", *WINDOWS]),
        "expiry": st.sampled_from(["1ms", "1h", "25h", "7d"]),
        "address": st.sampled_from(['trait("plan")', 'latest("C", "tag")']) if words is MAIN else st.just('trait("level")'),
        "language": st.sampled_from(["language()", 'trait("plan")']) if words is MAIN else st.just('trait("level")'),
        "facts": facts(words),
        "template": st.just("other"),
        "cap": caps | st.lists(caps, min_size=1, max_size=2, unique_by=lambda cap: cap.split()[-1]),
        "quiet": quiet_hours | quiet_hours | st.just("none"),
        "holdout": st.sampled_from(["50%", "33.3%", "0%"]),
        "variants": st.sampled_from([{"b": 2, "a": 1}, {"x": 1}]),
        "priority": st.integers(-1, 1),
        "goal": st.just({"event": "AB", "within": "1h", "value": "price"}),
    }
    chance = {"delay": 5, "stay": 3, "facts": 5, "priority": 5, "quiet": 4, "cap": 4, "again": 3, "expiry": 3}
    for key, strategy in optional.items():
        if draw(st.integers(0, 9)) < chance.get(key, 2):
            found[key] = draw(strategy)
    return found


@st.composite
def triggers(draw: st.DrawFn, segments: tuple[str, ...], words: Vocabulary) -> str:
    chance = draw(st.integers(0, 5))
    if chance == 0:
        event = "A" if words is MAIN else "C"
        return draw(st.sampled_from([f'count("{event}") in [1, 3, 5]', f'count("{event}", within="1h") == 1']))
    if segments and chance > 1:
        return f'{draw(st.sampled_from(["entered", "entered", "left"]))}("{draw(st.sampled_from(segments))}")'
    return draw(conditions(words, segments, 1))


@st.composite
def with_messages(
    draw: st.DrawFn, source: dict[str, Any], words: Vocabulary = MAIN, names: tuple[str, ...] = NAMES, kept: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Definitions with messages over their segments, of some of the names and those that are kept."""
    segments = tuple(source["segments"])
    drawn = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True)) if names else []
    found = {name: draw(messages(segments, words)) for name in drawn} | (kept or {})
    channels: dict[str, Any] = {"own": draw(limits(quiet=True))}
    if draw(st.booleans()):
        channels["email"] = draw(limits(quiet=True))
    more = {"topics": TOPICS, "channels": channels, "messages": found}
    if draw(st.booleans()):
        more["message_limits"] = draw(limits(quiet=False))
    return source | more


@st.composite
def limits(draw: st.DrawFn, *, quiet: bool) -> dict[str, Any]:
    optional = {"cap": caps, **({"quiet": quiet_hours} if quiet else {"holdout": st.just("20%")})}
    return draw(st.fixed_dictionaries({}, optional=optional))


@st.composite
def successors_with_messages(draw: st.DrawFn, source: dict[str, Any]) -> dict[str, Any]:
    """Other definitions: some messages stay, some with other limits or another trigger, some go, some are new."""
    new = draw(successors(source))
    segments = tuple(new["segments"])
    kept: dict[str, Any] = {}
    for name, given in source["messages"].items():
        if draw(st.integers(0, 2)) == 0 or any(f'"{other}"' in str(given) for other in source["segments"] if other not in segments):
            continue
        kept[name] = dict(given)
        if draw(st.integers(0, 2)) == 0:
            kept[name] |= draw(st.fixed_dictionaries({}, optional={"cap": caps, "priority": st.integers(-1, 1), "quiet": quiet_hours}))
        if draw(st.integers(0, 3)) == 0:
            kept[name]["on"] = draw(triggers(segments, OTHER))
    return draw(with_messages(new, OTHER, kept=kept))


def key_of(message: str, customer: str, sequence: int) -> str:
    return blake2b(f"{message}\0{customer}\0{sequence}".encode(), digest_size=16).hexdigest()


@st.composite
def told_events(draw: st.DrawFn, *customers: str) -> dict[str, Any]:
    """What people agree to and refuse, and what providers say."""
    customer, channel = draw(st.sampled_from(customers or CUSTOMERS)), draw(st.sampled_from([*CHANNELS, None]))
    name = draw(st.sampled_from(TOLD))
    if name == "address":
        return {"type": "identify", "userId": customer, "traits": {"email": draw(st.sampled_from(ADDRESSES)), "locale": "uk-UA"}}
    key = key_of(draw(st.sampled_from(NAMES)), customer, draw(st.integers(1, 3)))
    properties = {"topic": draw(st.sampled_from(["asked", "told"])), "channel": channel, "key": key, "permanent": draw(st.booleans())}
    present = {key: value for key, value in properties.items() if draw(st.integers(0, 5))}
    return {"type": "track", "event": name, "userId": customer, "properties": present}


BUSY = (
    {"when": 'count("A", within="1h") >= 1'},
    {"when": 'count("A") > 0 and last("A") > last("B")'},
    {"when": 'did("A", within="10m")', "cooldown": "10m"},
)


@st.composite
def busy_cases(draw: st.DrawFn) -> Case:
    """Somebody with an address goes in and out all the time, so that caps are full, messages come again, and places are given back."""
    segments = dict(zip(("m", "a"), draw(st.lists(st.sampled_from(BUSY), min_size=1, max_size=2)), strict=False))
    source = draw(with_messages({"zone": draw(st.sampled_from(["UTC", "Europe/Berlin"])), "segments": segments}))
    for given in source["messages"].values():
        given.update(draw(st.fixed_dictionaries({}, optional={"cap": caps, "again": st.sampled_from(WINDOWS), "topic": st.just("told")})))
        if draw(st.integers(0, 3)):
            given.pop("require", None)
            given.pop("address", None)
    now = draw(st.sampled_from(ANCHORS[:3]))
    email = {"type": "identify", "userId": "c", "traits": {"email": "c@example.org"}, "messageId": "e", "timestamp": now}
    bodies: list[tuple[int, dict[str, Any]]] = [(now, email)]
    for number in range(draw(st.integers(4, 24))):
        now += draw(st.sampled_from([0, 1, 1_000, 600_000, 1_800_000, H, H, 2 * H, D]))
        event = draw(told_events("c") if draw(st.integers(0, 3)) == 0 else busy_events)
        bodies.append((now, {**event, "messageId": f"m{number}", "timestamp": now}))
    bodies.append((now + draw(st.sampled_from([1_000, D, 9 * D])), {"control": "tick"}))
    return Case(source, tuple(Record(offset, at, body) for offset, (at, body) in enumerate(bodies, 1)))


busy_events = st.fixed_dictionaries(
    {"type": st.just("track"), "userId": st.just("c"), "event": st.sampled_from(["A", "A", "A", "B", "AB"])},
    optional={"properties": st.fixed_dictionaries({"tag": st.sampled_from(["x", "y", 1]), "price": st.sampled_from([1, 2.5])})},
)


@st.composite
def message_cases(draw: st.DrawFn, *, records_max: int = 14, switches: bool = True) -> Case:
    """Definitions with messages, and a log that ends in a long quiet stretch."""
    source = draw(with_messages(draw(definitions())))
    lateness_ms, skew_ms = draw(st.sampled_from([86_400_000, H])), draw(st.sampled_from([300_000, 0]))
    now = draw(st.sampled_from(ANCHORS[:-1]))
    arrival, bodies = now, list[tuple[int, dict[str, Any]]]()
    bodies += [
        (now, {"type": "identify", "userId": who, "messageId": f"e{who}", "timestamp": now, "traits": {"email": f"{who}@example.org"}})
        for who in CUSTOMERS[:2]
    ]
    switched = False
    for number in range(draw(st.integers(1, records_max))):
        arrival = max(0, arrival + draw(steps_ms()))
        now = max(now, arrival)
        choice = draw(st.integers(0, 19))
        if choice < 2:
            bodies.append((arrival, {"control": "tick"}))
        elif choice == 2:
            bodies.append((arrival, {"control": "erase", "customer": draw(st.sampled_from(CUSTOMERS))}))
        elif choice == 3:
            kind, name = draw(st.sampled_from(["pause", "pause", "resume"])), draw(st.sampled_from([*NAMES, "*"]))
            bodies.append((arrival, {"control": kind, "message": name}))
        elif choice == 4 and switches and not switched:
            switched = True
            new = draw(successors_with_messages(source))
            bodies.append((arrival, {"control": "definitions", "version": 2, "definitions": new}))
        else:
            event = draw(told_events() if choice < 9 else events())
            timestamp = max(0, now - draw(delays(lateness_ms, skew_ms)))
            bodies.append((arrival, {**event, "messageId": f"m{number}", "timestamp": timestamp}))
    bodies.append((now + draw(st.sampled_from([0, 1000, D, 9 * D])), {"control": "tick"}))
    records = tuple(Record(offset, at, body) for offset, (at, body) in enumerate(bodies, 1))
    return Case(source, records, lateness_ms, skew_ms)
