"""Which topics are refused as a log before anything is read from them or written to them."""

from __future__ import annotations

import pytest

from streamer.settings import load_settings
from streamer.transports.kafka.events_topic import problems

RIGHT = {"message.timestamp.type": "LogAppendTime", "cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}


@pytest.mark.parametrize("found", [RIGHT, {}, {**RIGHT, "retention.ms": "1000"}])
def test_a_topic_as_it_should_be_is_a_log(found: dict[str, str]) -> None:
    """So is one whose broker does not say how it is set up; retention is a choice."""
    assert problems(load_settings(), found) == []


def test_a_topic_with_the_time_of_producers_is_refused_unless_they_are_trusted() -> None:
    """One producer three days ahead would make the events of everybody late for three days."""
    found = {**RIGHT, "message.timestamp.type": "CreateTime"}
    (said,) = problems(load_settings(topic_prefix="shop"), found)
    assert "topic shop.events: message.timestamp.type is CreateTime" in said
    assert "--add-config message.timestamp.type=LogAppendTime" in said
    assert "managed Kafka" in said
    assert "STREAMER_TRUST_PRODUCER_TIME=true" in said
    assert problems(load_settings(trust_producer_time=True), found) == []


@pytest.mark.parametrize("policy", ["compact", "compact,delete"])
def test_a_compacted_topic_is_refused(policy: str) -> None:
    """It forgets events, and nobody could tell which."""
    (said,) = problems(load_settings(trust_producer_time=True), {**RIGHT, "cleanup.policy": policy})
    assert f"cleanup.policy is {policy}" in said
