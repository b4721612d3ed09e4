"""Beginning a log on a broker that has one already."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from streamer.cli import command_line
from streamer.settings import load_settings
from streamer.transports.kafka.topics import ensure_topics

if TYPE_CHECKING:
    from streamer.local.apache_kafka import ApacheKafka, ExternalKafka
    from streamer.local.redis import RedisServer


def test_a_second_log_is_begun_only_when_asked_for_and_then_said(
    kafka: ApacheKafka | ExternalKafka, redis_server: RedisServer, fresh_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A misspelt prefix made all topics anew and published into them."""
    for name, value in {"KAFKA": kafka.bootstrap, "STORE": redis_server.url, "NAMESPACE": fresh_name, "SHARDS": "2"}.items():
        monkeypatch.setenv(f"STREAMER_{name}", value)
    first = load_settings(topic_prefix=fresh_name, create=True)
    assert f"{fresh_name}.events" in asyncio.run(ensure_topics(first))
    assert asyncio.run(ensure_topics(first)) == []

    monkeypatch.delenv("STREAMER_CREATE")
    monkeypatch.setenv("STREAMER_TOPIC_PREFIX", f"{fresh_name}-x")
    runner = CliRunner()
    refused = runner.invoke(command_line(), ["segments", "publish", "streamer/segments/library"], catch_exceptions=False)
    assert refused.exit_code == 3
    assert f"there is no topic {fresh_name}-x.events" in refused.stderr

    begun = runner.invoke(command_line(), ["segments", "publish", "streamer/segments/library", "--create"], catch_exceptions=False)
    assert begun.exit_code == 0, begun.stderr
    assert f"a new log begins: made the topics {fresh_name}-x.events, " in begun.stderr
    again = runner.invoke(command_line(), ["segments", "publish", "streamer/segments/library"], catch_exceptions=False)
    assert again.exit_code == 0, "a log that is there needs no leave"
