"""The description of the stream of changes says what the code serves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import jsonschema_rs

from streamer.server.change_stream import EVENT_STREAM, no_stream
from streamer.server.errors import AnswerError
from streamer.server.feed import entry_of
from streamer.server.openapi import OPENAPI
from streamer.server.routes import find_route
from streamer.server.stream_position import ShardPosition, StreamPosition
from streamer.settings import Settings
from streamer.transports.kafka.change_records import ChangeRecord

DOCUMENT: Final[Any] = json.loads((Path(__file__).parents[3] / "schemas" / "asyncapi.v1.json").read_text(encoding="utf-8"))


def test_the_stream_of_changes_is_described_where_it_is_served() -> None:
    """Whoever looks in this document for the ways to get changes finds all of them: Kafka, webhooks, and this one."""
    match = find_route(DOCUMENT["channels"]["changes"]["address"])
    binding = DOCUMENT["operations"]["send-changes"]["bindings"]["http"]
    assert match is not None
    assert (match.route.operation, match.route.method) == ("changes", binding["method"])
    assert set(match.route.query) == set(binding["query"]["properties"])
    fields = Settings.model_fields
    address = DOCUMENT["servers"]["readers"]["variables"]["address"]["default"]
    assert address == f"{fields['serve_host'].default}:{fields['serve_port'].default}"


def test_the_fields_of_an_event_are_as_described() -> None:
    """By the code that makes them: each type, and ids before and behind the first change of a shard."""
    schema = DOCUMENT["components"]["messages"]["stream-event"]["headers"]
    kinds = set[str]()
    for kind in ("segment.entered", "segment.exited", "customer.merged", "customer.unmerged", "something else"):
        position = StreamPosition([ShardPosition(0), ShardPosition(5, (1, 4, 0))])
        entry = entry_of(ChangeRecord(1, 5, (1, 4, 0), json.dumps({"type": kind, "data": {}}).encode()), position.text())
        lines = (entry.id + entry.event).decode().splitlines()
        fields = dict(line.split(": ", 1) for line in lines if line)
        jsonschema_rs.validate(schema, {"id": fields["id"], "event": fields["event"]})
        kinds.add(fields["event"])
    assert kinds == set(schema["properties"]["event"]["enum"])
    assert not jsonschema_rs.is_valid(schema, {"id": "1;2", "event": "segment.entered"})


def test_the_event_of_a_stream_that_cannot_be_had_is_as_described() -> None:
    """Its data is the error that others get."""
    message = DOCUMENT["components"]["messages"]["stream-unavailable"]
    body = no_stream(AnswerError("kafka_away", "come back"), EVENT_STREAM).body
    assert isinstance(body, bytes)
    fields = dict(line.split(": ", 1) for line in body.decode().splitlines() if line)
    jsonschema_rs.validate(message["headers"], {"event": fields["event"]})
    assert message["payload"]["$ref"] == "./openapi.v1.json#/components/schemas/ErrorBody"
    jsonschema_rs.validate(
        {**OPENAPI["components"]["schemas"]["ErrorBody"], "components": OPENAPI["components"]}, json.loads(fields["data"])
    )
