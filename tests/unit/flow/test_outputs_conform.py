"""What the code says on the wire is what the schemas promise to readers in other languages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs

from streamer.errors import StoreUnavailableError
from streamer.flow.catalog import Plans
from streamer.flow.rules import Rules
from streamer.flow.shard import Shard
from streamer.language.definitions import parse_definitions
from streamer.segments.change import decode_change, encode_json
from streamer.stores.memory import MemoryStore
from streamer.wire import CHANGES, TICK, Control, LogRecord, decode_control, definitions_control, encode_control

SCHEMAS = Path(__file__).parents[3] / "schemas"
HOUR_MS = 3_600_000
FIRST = {
    "viewer": 'count("Product Viewed", within="1h") >= 2',
    "known": 'exists(trait("plan"))',
    "listed": 'trait("tags") == "a"',
    "wide": 'distinct("Product Viewed", "product_id", within="1h") >= 2',
    "not_viewer": 'not segment("viewer")',
    "seller": 'sum("Order Completed", "total", within="30d") >= 10.5',
    "gone": 'idle("*") >= "2h"',
}
SECOND = {"known": 'trait("plan") == "gold"', "viewer": FIRST["viewer"], "fresh": 'never("Product Added", within="7d")'}


def validator(name: str) -> jsonschema_rs.Draft202012Validator:
    """A schema by its name."""
    return jsonschema_rs.Draft202012Validator(json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8")))


def definitions(segments: dict[str, str], version: int) -> bytes:
    """A control record of these segments."""
    parsed = parse_definitions({"segments": {name: {"for": "x", "when": when} for name, when in segments.items()}})
    return definitions_control(parsed.content(), parsed.digest, version)


def story() -> list[tuple[int, bytes, bool]]:
    """(hour, record, whether it is control) with every cause of a change in it."""
    done: list[tuple[int, bytes, bool]] = [(1, definitions(FIRST, 1), True)]
    for number in range(4):
        view: dict[str, Any] = {"event": "Product Viewed", "messageId": f"m-{number}", "timestamp": HOUR_MS + number}
        owner = {"userId": "c-17"} if number % 2 else {"anonymousId": "ü \U0001f6d2 " + "x" * 200}
        done.append((1, json.dumps({**view, **owner, "properties": {"product_id": number}}).encode(), False))
    plan = {"type": "identify", "messageId": "i", "userId": "c-17", "timestamp": HOUR_MS, "traits": {"plan": "p" * 600, "tags": ["a"] * 70}}
    order = {"event": "Order Completed", "messageId": "o", "userId": "c-17", "timestamp": HOUR_MS, "properties": {"total": 10.55}}
    done += [(1, json.dumps(plan).encode(), False), (1, json.dumps(order).encode(), False), (5, TICK, True)]
    done += [(6, definitions(SECOND, 2), True), (6, encode_control(Control("erase", customer="c-17")), True)]
    return done


async def test_every_change_is_as_its_schema_says() -> None:
    """A reader in another language has only the schema; every cause, and values of every kind, must fit into it."""
    rules, store, is_change = Rules(shards=1), MemoryStore(), validator("segment-change.v1")
    shard = await Shard.acquire(0, store, Plans(store, rules), rules, pause=_never)
    records = [LogRecord(offset, hour * HOUR_MS, value, control=control) for offset, (hour, value, control) in enumerate(story())]
    found = [output for _, outputs in await shard.process(records) for output in outputs]
    assert {output.topic for output in found} == {CHANGES}
    for output in found:
        is_change.validate(json.loads(output.value))
        assert encode_json(decode_change(output.value)) == output.value
    causes = {decode_change(output.value).data.cause.kind for output in found}
    assert causes == {"event", "timer", "definitions", "erase"}
    assert any(clause.warming for output in found for clause in decode_change(output.value).data.because)


def test_every_control_record_is_as_its_schema_says() -> None:
    """A broker's tool, or the next version of us, has only the schema to tell them by."""
    is_control = validator("control.v1")
    for raw in (TICK, definitions(FIRST, 1), encode_control(Control("erase", customer="c-17"))):
        is_control.validate(json.loads(raw))
        assert encode_control(decode_control(raw)) == raw


async def _never(_seconds: float) -> None:
    raise StoreUnavailableError("a store in memory does not come and go")
