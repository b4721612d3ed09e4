"""How far back a deployment knows: by the log, and by imported history where retention has cut the log."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from streamer.errors import SettingsError
from streamer.previews import reach
from streamer.settings import Settings, load_settings
from streamer.stores.memory import MemoryStore
from streamer.transports.kafka.log_ends import LogEnds
from streamer.wire import ARRIVED_HEADER, EVENTS, HISTORY, arrived_text

SETTINGS = load_settings(shards=3)


@dataclass
class Raw:
    """A record as the client of Kafka gives it."""

    timestamp: int
    headers: tuple[tuple[str, bytes], ...] = ()
    offset: int = 7
    timestamp_type: int = 1
    value: bytes = b"{}"
    key: bytes = b""


def deployment(patch: pytest.MonkeyPatch, logs: dict[int, LogEnds], first_ms: dict[tuple[str, int], int], history: dict[int, int]) -> None:
    """Shards whose logs lie so, with the moments of their first records, and history below these offsets in their pasts."""

    async def ends(_settings: Settings, shards: Iterable[int], *, topic: str = EVENTS) -> dict[int, LogEnds]:
        return {shard: logs[shard] if topic == EVENTS else LogEnds(0, 9) for shard in shards}

    async def partition(_settings: Settings, topic: str, shard: int, *, begin: int, max_records: int) -> AsyncGenerator[list[Raw]]:
        assert max_records == 1
        assert begin == (logs[shard].begin if topic == EVENTS else 0)
        at_ms = first_ms[topic, shard]
        yield [Raw(at_ms) if topic == EVENTS else Raw(9_999, ((ARRIVED_HEADER, arrived_text(at_ms, "00ff00ff00ff00ff")),))]

    @asynccontextmanager
    async def store(_settings: Settings) -> AsyncGenerator[MemoryStore]:
        yield MemoryStore()

    async def in_force(_settings: Settings, _store: object) -> dict[int, int]:
        return history

    patch.setattr(reach, "read_log_ends", ends)
    patch.setattr(reach, "read_partition", partition)
    patch.setattr(reach, "store_of", store)
    patch.setattr(reach, "history_ends", in_force)


async def test_a_log_that_has_its_beginning_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing looks further back than the beginning."""
    deployment(monkeypatch, dict.fromkeys(range(3), LogEnds(0, 5)), {}, {})
    assert await reach.log_reach_ms(SETTINGS) is None


async def test_history_reaches_further_back_than_a_log_that_was_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lane folds history before the log, so what it covers is not warming; of all shards the one that knows least counts."""
    logs = {0: LogEnds(4, 9), 1: LogEnds(6, 9), 2: LogEnds(0, 9)}
    firsts = {(EVENTS, 0): 500, (EVENTS, 1): 400, (HISTORY, 0): 100, (HISTORY, 1): 50}
    deployment(monkeypatch, logs, firsts, {})
    assert await reach.log_reach_ms(SETTINGS) == 500
    deployment(monkeypatch, logs, firsts, {0: 9})
    assert await reach.log_reach_ms(SETTINGS) == 400
    deployment(monkeypatch, logs, firsts, {0: 9, 1: 9, 2: 9})
    assert await reach.log_reach_ms(SETTINGS) == 100


async def test_kafka_that_is_away_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is no proof that all is known."""

    async def away(*_: object, **__: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(reach, "read_log_ends", away)
    with pytest.raises(SettingsError, match="cannot read the log"):
        await reach.log_reach_ms(SETTINGS)
