"""A slip in a prefix does not begin a second log: which topics a command makes, and when it only says that they are not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streamer.local.children import free_port
from streamer.local.mock_kafka import MockKafka
from streamer.transports.kafka.topics import logs_among
from tests.cli.conftest import Run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streamer.local.redis import RedisServer


@pytest.fixture(scope="module")
def mock() -> Iterator[MockKafka]:
    """A broker with one log, under the default prefix."""
    with MockKafka() as broker:
        broker.create_topic("streamer.events", 2)
        broker.create_topic("streamer.segment-changes", 2)
        yield broker


@pytest.fixture
def misspelt(mock: MockKafka, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """Settings with a slip in the prefix."""
    ours = {"KAFKA": mock.bootstrap, "TOPIC_PREFIX": "streamr", "SHARDS": "2", "STORE": redis_server.url, "WEB_PORT": str(free_port())}
    for name, value in ours.items():
        monkeypatch.setenv(f"STREAMER_{name}", value)
    return "streamr"


@pytest.mark.usefixtures("misspelt")
@pytest.mark.parametrize("command", [["segments", "publish"], ["worker", "--segments"]])
def test_a_misspelt_prefix_begins_no_second_log(run: Run, segments: Path, command: list[str]) -> None:
    """It made all topics anew and returned 0; the workers of the real log went on without the definitions."""
    told = run(*command, segments)
    assert told.code == 3
    assert "STREAMER_TOPIC_PREFIX: there is no topic streamr.events at 127.0.0.1" in told.err
    assert "logs are there under the prefix streamer" in told.err
    assert "--create (or STREAMER_CREATE=true)" in told.err


@pytest.mark.usefixtures("misspelt")
@pytest.mark.parametrize("command", [["erase", "c-17"], ["models", "unpin", "churn"]])
def test_what_only_speaks_to_a_log_never_begins_one(run: Run, command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An erasure in a log that nobody reads would be taken for done."""
    monkeypatch.setenv("STREAMER_CREATE", "true")
    told = run(*command)
    assert told.code == 3
    assert "STREAMER_TOPIC_PREFIX: there is no topic streamr.events" in told.err
    assert "--create" not in told.err


@pytest.mark.usefixtures("misspelt")
@pytest.mark.parametrize(("command", "topic"), [(["shards"], "streamr.events"), (["dead-letters", "list"], "streamr.dead-letters")])
def test_what_only_looks_at_a_log_says_that_there_is_none(run: Run, command: list[str], topic: str) -> None:
    """It spoke of a time-out after ten seconds, which sends people to look at their network."""
    told = run(*command)
    assert told.code == 3
    assert f"STREAMER_TOPIC_PREFIX: there is no topic {topic} at 127.0.0.1" in told.err
    assert "logs are there under the prefix streamer (did you mean streamer?)" in told.err


def test_a_log_is_known_by_two_of_its_topics() -> None:
    """Any shop may have a topic of events."""
    assert logs_among({"a.events", "a.segment-changes", "b.events", "c.segment-changes", "events"}) == ["a"]
