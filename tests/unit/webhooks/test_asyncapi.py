"""The description of topics and webhooks says what the code does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs

from streamer import __version__
from streamer.webhooks.signatures import Signatory, new_secret
from streamer.webhooks.subscription import Start, Subscription
from streamer.wire import SINGLE_TOPICS, TOPICS

SCHEMAS = Path(__file__).parents[3] / "schemas"
DOCUMENT = json.loads((SCHEMAS / "asyncapi.v1.json").read_text(encoding="utf-8"))


def references(part: Any) -> Iterator[str]:
    """Each ``$ref`` in a document, wherever it stands."""
    if isinstance(part, dict):
        for key, value in part.items():
            yield from [value] if key == "$ref" else references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def test_every_topic_of_the_log_is_described_and_no_other() -> None:
    """Whoever adds a topic describes it."""
    in_kafka = [channel for channel in DOCUMENT["channels"].values() if channel.get("servers") == [{"$ref": "#/servers/kafka"}]]
    addresses = {channel["address"] for channel in in_kafka}
    assert addresses == {f"{{prefix}}.{topic}" for topic in (*TOPICS, *SINGLE_TOPICS)}
    assert (DOCUMENT["asyncapi"], DOCUMENT["info"]["version"]) == ("3.0.0", __version__)


def test_every_reference_leads_somewhere() -> None:
    """To a part of the document, to a schema beside it, or to a part of that."""
    found = list(references(DOCUMENT))
    assert len(found) > 30, "the check reads nothing"
    for reference in found:
        file, _, path = reference.partition("#/")
        part = json.loads((SCHEMAS / file).read_text(encoding="utf-8")) if file else DOCUMENT
        for word in filter(None, path.split("/")):
            assert word in part, reference
            part = part[word]
    used = {operation["channel"]["$ref"].rpartition("/")[2] for operation in DOCUMENT["operations"].values()}
    assert used == set(DOCUMENT["channels"])


def test_the_headers_of_a_webhook_are_as_described() -> None:
    """By the code that signs, with one secret and with two."""
    schema = DOCUMENT["components"]["messages"]["webhook"]["headers"]
    one = Subscription(name="shop", id="0a1b2c3d", url="https://shop.example/", secrets=("env:SHOP",), start=Start())
    for secrets in ([new_secret()], [new_secret(), new_secret()]):
        for change_id in ("1-7-1042-0", "test-0123456789abcdef"):
            headers = Signatory(secrets).headers(one.webhook_id(change_id), 1_764_408_000_000, "{}")
            jsonschema_rs.validate(schema, headers)
            assert not jsonschema_rs.is_valid(schema, {**headers, "webhook-signature": "v1,short"})
