"""What readers get, judged by code that is not ours: a client made of the OpenAPI document, the CloudEvents SDK, AsyncAPI's own schema."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp
import jsonschema_rs
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event
from confluent_kafka import Consumer, Message

from streamer.local.apache_kafka import ApacheKafka, ExternalKafka
from streamer.local.redis import RedisServer
from streamer.server.tokens import new_token
from streamer.wire import CHANGES
from tests.clients.conftest import needs
from tests.clients.installed import node_clients, python_clients
from tests.clients.readme import ROOT
from tests.live.change_readers import ServeProcess, headers_of
from tests.live.deployment import Deployment

LIMIT_S: Final = 60
LOAD_S: Final = 3
SEGMENT: Final = "buyer"


class Told(NamedTuple):
    """What a worker said of a few seconds of a shop's life, and a server that answers."""

    shop: Deployment
    serve: ServeProcess
    token: str

    async def get(self, path: str) -> Any:
        """The JSON of an answer, read by nobody's classes."""
        headers = {"Authorization": f"Bearer {self.token}"}
        async with aiohttp.ClientSession(headers=headers) as session, session.get(f"{self.serve.url}{path}") as response:
            return _without_age(await response.json())


@pytest.fixture(scope="module")
def told(kafka: ApacheKafka | ExternalKafka, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """The worker has ended, so that two questions have one answer."""
    folder = tmp_path_factory.mktemp("judged")
    secret, table = new_token(("read",))
    tokens = folder / "tokens.toml"
    tokens.write_text(table)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STREAMER_CREATE", "true")  # a log of its own beside the others; settings read it when they are made
        shop = Deployment(kafka.bootstrap, redis_server.url, f"judged-{uuid.uuid4().hex[:8]}", folder)
        asyncio.run(asyncio.wait_for(_tell(shop), LIMIT_S))
        serve = ServeProcess(shop.settings, folder, STREAMER_SERVE_TOKENS=str(tokens))
    try:
        asyncio.run(serve.until_ready())
        yield Told(shop, serve, secret)
    finally:
        serve.child.kill()


async def _tell(shop: Deployment) -> None:
    async with shop:
        await shop.prepare()
        shop.start_worker()
        await shop.until_owned()
        await shop.load(LOAD_S)
        await shop.until_caught_up()
        assert set(await shop.stop_all()) == {0}, shop.logs()


async def test_a_client_made_of_the_document_asks_a_real_server(told: Told, tmp_path: Path) -> None:
    """Whatever its classes lose or refuse, the document does not say as it is."""
    needs(python_clients)
    await _run([sys.executable, "-m", "openapi_python_client", "generate", *_options(tmp_path)], str(python_clients()))
    records = _records(told.shop, 1)
    customer = str((records[0].key() or b"").decode())
    path = os.pathsep.join([str(tmp_path), str(python_clients()), str(ROOT)])
    said = await _run([sys.executable, "-m", "tests.clients.readers.generated", told.serve.url, told.token, customer, SEGMENT], path)
    answers: dict[str, Any] = json.loads(said)

    assert _without_age(answers["customer"]) == await told.get(f"/v1/customers/{customer}")
    assert _without_age(answers["chosen"]) == await told.get(f"/v1/customers/{customer}?segments={SEGMENT}")
    assert [one["segment"] for one in answers["explained"]["explanation"]] == [SEGMENT]
    assert answers["memberships"]["unknown"] == ["nobody"]
    assert [_without_age(one) for one in answers["memberships"]["customers"]] == [_without_age(answers["chosen"])]
    assert answers["segments"] == await told.get("/v1/segments")
    whole = await told.get(f"/v1/segments/{SEGMENT}/members?limit=1000")
    assert answers["members"] == whole["members"]
    assert len(answers["members"]) == whole["size"] > 3, "one page has all of them"
    assert answers["openapi"] == json.loads((ROOT / "schemas" / "openapi.v1.json").read_text(encoding="utf-8"))
    codes = {name: answers[name]["code"] for name in ("nobody", "unknown", "stranger")}
    assert codes == {"nobody": "unknown_customer", "unknown": "unknown_segment", "stranger": "missing_token"}


async def test_the_cloudevents_sdk_reads_changes_as_they_lie_in_kafka(told: Told) -> None:
    """What the relay wrote, headers and all: the SDK finds the form by itself, and the attributes that it asks for."""
    records = _records(told.shop, 50)
    seen = set[tuple[str, str]]()
    for record in records:
        event = from_kafka_event(KafkaMessage(headers_of(record), record.key(), record.value() or b""))
        assert event.get_specversion() == "1.0"
        assert event.get_type() in ("segment.entered", "segment.exited")
        assert event.get_subject() == event.get_extension("partitionkey") == (record.key() or b"").decode()
        assert event.get_datacontenttype() == "application/json"
        at = event.get_time()
        assert isinstance(at, datetime)
        data = event.get_data()
        assert isinstance(data, dict), "the data came as text"
        assert datetime.fromisoformat(data["at"]) <= at
        seen.add((event.get_source(), event.get_id()))
    assert len(seen) == len(records), "source and id do not name one change"


def test_the_asyncapi_document_is_one_by_the_schema_of_asyncapi() -> None:
    """Generators refuse what is none."""
    needs(node_clients)
    document = json.loads((ROOT / "schemas" / "asyncapi.v1.json").read_text(encoding="utf-8"))
    schema = json.loads((node_clients() / "@asyncapi/specs/schemas" / f"{document['asyncapi']}.json").read_text(encoding="utf-8"))
    validator = jsonschema_rs.validator_for(schema)
    assert [str(error) for error in validator.iter_errors(document)] == []
    assert not validator.is_valid({**document, "operations": {"send-changes": {"action": "shout"}}}), "it refuses nothing"


def _options(folder: Path) -> list[str]:
    document = str(ROOT / "schemas" / "openapi.v1.json")
    config = folder / "generator.yaml"
    config.write_text("post_hooks: []\n", encoding="utf-8")
    return [
        "--path",
        document,
        "--meta",
        "none",
        "--config",
        str(config),
        "--output-path",
        str(folder / "reader_client"),
        "--fail-on-warning",
    ]


def _without_age(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer but for how old it is: ticks of a worker that ends lie in the log, and time goes on."""
    return {name: value for name, value in answer.items() if name != "lag_ms"}


def _records(shop: Deployment, enough: int) -> list[Message]:
    """At least so many of the changes in Kafka, read by a client that knows nothing of ours."""
    options = {"bootstrap.servers": shop.settings.kafka, "group.id": f"judge-{uuid.uuid4().hex[:8]}", "auto.offset.reset": "earliest"}
    found: list[Message] = []
    with closing(Consumer({**options, "isolation.level": "read_committed"})) as consumer:
        consumer.subscribe([shop.settings.topic(CHANGES)])
        for _ in range(200):
            found += consumer.consume(500, 0.1)
            if len(found) >= enough:
                return found
    raise AssertionError(f"only {len(found)} of {enough} changes came")


async def _run(command: list[str], path: str) -> str:
    """What a program says that ends well."""
    process = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, "PYTHONPATH": path}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, errors = await process.communicate()
    assert process.returncode == 0, (out + errors).decode()[-4000:]
    return out.decode()
