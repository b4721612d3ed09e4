"""How topics are read."""

from __future__ import annotations

from typing import Any

import pytest

from streamer.settings import load_settings
from streamer.transports.kafka import clients as kafka_module


def test_readers_get_what_is_committed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event of an aborted transaction did not happen, and the client's own default is to hand it out."""
    made = list[dict[str, Any]]()
    monkeypatch.setattr(kafka_module, "AIOKafkaConsumer", lambda *_topics, **options: made.append(options))
    kafka_module.reader(load_settings(), "shop.events")
    assert [options["isolation_level"] for options in made] == ["read_committed"]
