"""What happens in the simulated shop: definitions that use time in every way, and a day of events, good, bad, late and twice."""

from __future__ import annotations

from random import Random
from typing import Any, NamedTuple

import msgspec

from streamer.language.definitions import parse_definitions
from streamer.wire import Control, definitions_control, encode_control, shard_of

from .people import CALM, Ids, Manner, everybody, ids_of

SHARDS = 3
EVERYWHERE = -1  # instead of a shard: the topic of definitions
START_MS = 1_700_000_000_000
CUSTOMERS = [f"c{number}" for number in range(14)]

_FIRST = {
    "cart_left": {
        "for": "a cart left for a quarter of an hour",
        "when": 'since(last("Product Added")) >= "15m" and last("Product Added") > last("Order Completed")',
        "exit": 'since(last("Product Added")) >= "3h" or did("Order Completed", within="1h")',
    },
    "busy": {"for": "two in ten minutes", "when": 'count("Product Viewed", within="10m") >= 2', "stay": "2m"},
    "buyer": {"for": "has bought", "when": 'did("Order Completed")'},
    "quiet": {"for": "nothing for an hour", "when": 'idle("*") >= "1h"', "cooldown": "20m"},
    "spender": {"for": "much in an hour", "when": 'sum("Order Completed", "total", within="1h") >= 100'},
    "hot": {"for": "busy and has bought", "when": 'segment("busy") and segment("buyer")'},
    "wide": {"for": "several products", "when": 'distinct("Product Added", "product_id", within="30m") >= 2'},
    "stuck": {
        "for": "added and did not buy",
        "when": 'sequence("Product Added", then_not="Order Completed", wait="5m", over="1h")',
    },
    "gold": {"for": "by trait", "when": 'trait("plan") == "gold"'},
}
_SECOND = {
    **{name: body for name, body in _FIRST.items() if name not in ("wide", "gold")},
    "busy": {"for": "one in ten minutes", "when": 'count("Product Viewed", within="10m") >= 1'},
    "viewer": {"for": "looked lately", "when": 'did("Product Viewed", within="20m")'},
    "asleep": {"for": "not active in two of three hours", "when": 'active("*", each="1h", of=3) <= 1'},
}
_MESSAGES: dict[str, Any] = {
    "reminder": {
        "for": "after a quarter of an hour and five minutes",
        "on": 'entered("cart_left")',
        "delay": "5m",
        "channel": "console",
        "topic": "offers",
        "cap": "1 per 6h",
        "quiet": "22:30-22:40",
        "facts": {"items": {"left_of": "Product Added", "until": "Order Completed", "by": "product_id", "keep": "product_id"}},
    },
    "thanks": {"for": "at once", "on": 'entered("spender")', "channel": "console", "kind": "transactional", "priority": 3},
    "gone": {
        "for": "as soon as it is over",
        "on": 'left("stuck")',
        "channel": "console",
        "topic": "offers",
        "holdout": "40%",
        "delay": "2m",
    },
    "back": {"for": "once an hour", "on": 'left("quiet")', "channel": "console", "topic": "offers", "again": "1h"},
    "often": {
        "for": "a condition that events turn",
        "on": 'count("Order Completed", within="30m") >= 2',
        "channel": "console",
        "topic": "offers",
        "priority": 1,
        "variants": {"a": 1, "b": 2},
    },
    "missed": {
        "for": "a condition that time turns, and the calendar",
        "on": 'since(last("Order Completed")) >= "45m" and last("Order Completed") > last("Product Added")',
        "channel": "console",
        "topic": "offers",
        "require": 'hour() != 3 and not segment("quiet")',
        "expiry": "2h",
    },
}
_LATER: dict[str, Any] = {
    "reminder": {**_MESSAGES["reminder"], "on": 'entered("stuck")'},
    "gone": {**_MESSAGES["gone"], "also": ["definitions", "merge"], "cap": ["2 per 30m"]},
    "often": {**_MESSAGES["often"], "priority": -1},
    "missed": {**_MESSAGES["missed"], "on": 'since(last("Order Completed")) >= "50m"'},
}
_MORE: dict[str, Any] = {"topics": {"offers": "opt_out"}, "message_limits": {"cap": "3 per 2h"}}
SOURCES: list[dict[str, Any]] = [
    {"segments": _FIRST, "messages": _MESSAGES, **_MORE},
    {"segments": _SECOND, "messages": _LATER, **_MORE},
    {
        "segments": {**_FIRST, "hot": {"for": "busy buyers", "when": 'segment("busy") and not segment("quiet")'}},
        "messages": {**_MESSAGES, "thanks": {**_MESSAGES["thanks"], "on": 'left("spender")'}},
        **_MORE,
    },
]
DEFINITIONS = [parse_definitions(source) for source in SOURCES]
PAUSES = {60: Control("pause", message="reminder"), 70: Control("pause", message="*"), 75: Control("resume", message="*")}
GROWN = ("busy", "hot", "viewer")  # over a memory of one size or another: of whom is adopted meanwhile it comes with what lanes send
PRESENT = ("buyer", "spender", "stuck")  # the same in all of them, and they ask about nothing but the present


class Entry(NamedTuple):
    """One record that somebody writes, and when. ``shard`` None: a control record for all of them."""

    at_ms: int
    shard: int
    value: bytes
    is_control: bool
    kind: str


def script(random: Random, length: int, manner: Manner = "plain") -> list[Entry]:
    """What will be written, in order."""
    at_ms = START_MS
    found, version = _definitions(at_ms, 0, 1), 1
    changes = {random.randrange(length): number for number in random.sample((1, 2, 1), 2)} if random.random() < 0.7 else {}
    if manner == "crossing":
        changes = {random.randrange(length): number for number in (1, 2, 1, 2)}
    published = _published(random, changes) if random.random() < 0.6 else {}
    if published:
        found[:0] = [Entry(at_ms, EVERYWHERE, found[0].value, True, "definitions")]
        changes = {}
    sent: list[tuple[int, bytes]] = []
    for number in range(length):
        at_ms += _gap_ms(random)
        if (ruling := PAUSES.get(number)) is not None:
            found += [Entry(at_ms, shard, encode_control(ruling), True, ruling.control) for shard in range(SHARDS)]
        if number in changes:
            version += 1
            found += _definitions(at_ms, changes[number], version)
        for source, kind in published.get(number, ()):
            version += 1
            found.append(_publication(at_ms, source, version, kind))
        found.append(_calm(random, number, at_ms, manner) if manner in CALM else _entry(random, number, at_ms, sent, manner))
    return found


def _published(random: Random, changes: dict[int, int]) -> dict[int, list[tuple[int, str]]]:
    """What is published when, as (definitions, kind): to hold, as a shadow and to hold later, or taken back at once."""
    found: dict[int, list[tuple[int, str]]] = {}
    before = 0
    for number, source in sorted(changes.items()):
        way = random.random()
        found[number] = [(source, "shadow" if way < 0.3 else "definitions")]
        if way < 0.2:
            found.setdefault(number + random.randrange(1, 12), []).append((source, "cut-over"))
        elif way < 0.5:
            found.setdefault(number + random.randrange(3), []).append((before, "taken back"))
        before = source if way < 0.2 or way >= 0.5 else before
    return found


def _publication(at_ms: int, number: int, version: int, kind: str) -> Entry:
    definitions = DEFINITIONS[number]
    raw = definitions_control(definitions.content(), definitions.digest, version, shadow=kind == "shadow")
    return Entry(at_ms, EVERYWHERE, raw, True, kind)


def _gap_ms(random: Random) -> int:
    return random.choice((0, 10, 500, 2_000, 20_000, 120_000)) if random.random() < 0.95 else random.choice((1_200_000, 9_000_000))


def _definitions(at_ms: int, number: int, version: int) -> list[Entry]:
    definitions = DEFINITIONS[number]
    raw = definitions_control(definitions.content(), definitions.digest, version)
    return [Entry(at_ms, shard, raw, True, "definitions") for shard in range(SHARDS)]


def _calm(random: Random, number: int, at_ms: int, manner: Manner) -> Entry:
    """An event of somebody with several ids, at a time of its own that no broker's clock is behind."""
    ids = ids_of(random, manner)
    timestamp_ms = (at_ms - random.choice((1_000, 1_000, 2_000, 600_000))) // 100 * 100 + number
    return Entry(at_ms, shard_of(_customer(ids), SHARDS), _event(random, number, ids, timestamp_ms), False, "event")


def _entry(random: Random, number: int, at_ms: int, sent: list[tuple[int, bytes]], manner: Manner) -> Entry:
    ids: Ids = {"userId": random.choice(CUSTOMERS)} if manner == "plain" else ids_of(random, manner)
    customer = _customer(ids)
    shard = shard_of(customer, SHARDS)
    what = random.random()
    if what < 0.02:
        return Entry(at_ms, shard, b'{"event": ' + str(number).encode(), False, "damaged")
    if what < 0.05:
        erased = customer if manner == "plain" else random.choice(everybody())
        return Entry(at_ms, shard_of(erased, SHARDS), encode_control(Control("erase", customer=erased)), True, "erase")
    if what < 0.13 and sent:
        return Entry(at_ms, *random.choice(sent), False, "duplicate")
    late_ms = random.choice((60_000, 1_500_000, 90_000_000)) if what < 0.23 else random.randrange(2_000)
    value = _event(random, number, ids, at_ms - late_ms)
    sent.append((shard, value))
    if what > 0.96:
        return Entry(at_ms, (shard + 1) % SHARDS, value, False, "wrong shard")
    return Entry(at_ms, shard, value, False, "late" if what < 0.23 else "event")


def _customer(ids: Ids) -> str:
    return ids.get("userId") or ids["anonymousId"]


def _event(random: Random, number: int, ids: Ids, timestamp_ms: int) -> bytes:
    event: dict[str, object] = {"messageId": f"m{number}", **ids, "timestamp": timestamp_ms}
    if (previous := event.pop("previousId", None)) is not None:
        return msgspec.json.encode(event | {"type": "alias", "properties": {"previousId": previous}})
    what = random.random()
    if what < 0.1:
        event |= {"type": "identify", "traits": {"plan": random.choice(("gold", "free", None))}}
    elif what < 0.3:
        event |= {"event": "Order Completed", "properties": {"total": random.randrange(1, 120)}}
    elif what < 0.7:
        event |= {"event": "Product Added", "properties": {"product_id": f"p{random.randrange(4)}"}}
    else:
        event |= {"event": "Product Viewed"}
    return msgspec.json.encode(event)
