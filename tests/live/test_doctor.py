"""``streamer doctor`` against a real broker: settings of topics and logins, which the mock cluster does not know."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from typer.testing import CliRunner

from streamer.cli import command_line
from streamer.deployment.connecting import starting
from streamer.deployment.publishing import publish_definitions
from streamer.segments.library import library_path
from streamer.settings import load_settings
from streamer.wire import TOPICS

if TYPE_CHECKING:
    from streamer.local.apache_kafka import ApacheKafka, ExternalKafka
    from streamer.local.redis import RedisServer

SHARDS = 2
AS_IT_SHOULD_BE = {"message.timestamp.type": "LogAppendTime", "cleanup.policy": "delete", "retention.ms": "-1"}


@pytest.fixture
def prefix(kafka: ApacheKafka | ExternalKafka, redis_server: RedisServer, fresh_name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The settings of an installation of its own; nothing is made yet."""
    for key, value in {
        "KAFKA": kafka.bootstrap,
        "TOPIC_PREFIX": fresh_name,
        "SHARDS": str(SHARDS),
        "STORE": redis_server.url,
        "NAMESPACE": fresh_name,
    }.items():
        monkeypatch.setenv(f"STREAMER_{key}", value)
    return fresh_name


def doctor() -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """The exit code, and the checks by name."""

    result = CliRunner().invoke(command_line(), ["doctor", "--json"], catch_exceptions=False)
    found: dict[str, list[dict[str, Any]]] = {}
    for line in result.stdout.splitlines():
        check = json.loads(line)
        found.setdefault(check["name"], []).append(check)
    return result.exit_code, found


def test_what_we_make_ourselves_is_well(prefix: str) -> None:
    """A doctor that finds fault with our own topics would not be believed about others'."""

    async def begin() -> None:
        settings = load_settings()
        async with starting(settings) as (client, store):
            await publish_definitions(settings, client, store, library_path())

    asyncio.run(begin())
    code, found = doctor()
    assert code == 0, found
    assert found[f"topic {prefix}.events"] == [{"name": f"topic {prefix}.events", "verdict": "ok", "found": f"{SHARDS} partitions"}]
    [settings] = found[f"settings of topic {prefix}.events"]
    assert (settings["verdict"], settings["found"]) == ("ok", "LogAppendTime, not compacted, kept for ever")


@pytest.mark.parametrize(
    ("setting", "value", "verdict", "says"),
    [
        ("message.timestamp.type", "CreateTime", "wrong", "message.timestamp.type is CreateTime: producers' clocks would decide"),
        ("cleanup.policy", "compact", "wrong", "cleanup.policy is compact: compaction takes records out of the story"),
        ("retention.ms", "3600000", "warning", "records vanish after 1h"),
    ],
)
def test_a_topic_that_is_set_up_wrong_is_found_and_its_remedy_works(
    kafka: ApacheKafka | ExternalKafka, prefix: str, setting: str, value: str, verdict: str, says: str
) -> None:
    """Whoever follows the advice must end up with nothing to advise."""
    for suffix in TOPICS:
        kafka.create_topic(f"{prefix}.{suffix}", SHARDS, {**AS_IT_SHOULD_BE, setting: value})
    code, found = doctor()
    [check] = found[f"settings of topic {prefix}.events"]
    assert (code, check["verdict"]) == (1 if verdict == "wrong" else 0, verdict)
    assert says in check["found"]
    advice = re.search(r"--entity-name (\S+) --add-config (\S+?)(?:, or|$)", check["remedy"])
    assert advice is not None
    asyncio.run(_alter(kafka.bootstrap, advice[1], dict(part.split("=") for part in advice[2].split(","))))
    [altered] = doctor()[1][f"settings of topic {prefix}.events"]
    assert altered["verdict"] == "ok"


async def _alter(bootstrap: str, topic: str, configs: dict[str, str]) -> None:
    """What the shell command of the advice does; ours replaces all settings, so those that were right are given again."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {**AS_IT_SHOULD_BE, **configs})])
    finally:
        await admin.close()


def test_another_number_of_partitions_is_found(kafka: ApacheKafka | ExternalKafka, prefix: str) -> None:
    """The number is fixed for the life of the log."""
    kafka.create_topic(f"{prefix}.events", SHARDS + 1, AS_IT_SHOULD_BE)
    code, found = doctor()
    assert code == 1
    assert found[f"topic {prefix}.events"][0]["found"] == f"{SHARDS + 1} partitions, STREAMER_SHARDS is {SHARDS}"


def test_looking_makes_no_topic(prefix: str) -> None:
    """A broker that makes topics by itself would give them its own number of partitions and its own clock."""
    for _ in range(2):
        code, found = doctor()
        assert code == 0
        assert found[f"topic {prefix}.events"][0]["found"] == "not there yet"


def test_a_login_that_the_listener_does_not_know(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commonest slip with a hosted broker; the password that was tried is not repeated."""
    assert prefix
    for key, value in {"SECURITY_PROTOCOL": "SASL_PLAINTEXT", "USERNAME": "me", "PASSWORD": "hunter2"}.items():
        monkeypatch.setenv(f"STREAMER_KAFKA_{key}", value)
    code, found = doctor()
    assert code == 1
    [check] = found["kafka"]
    assert check["verdict"] == "wrong"
    assert "STREAMER_KAFKA_SECURITY_PROTOCOL" in check["remedy"]
    assert "hunter2" not in str(found)
