"""Whether Kafka is there is said soon, and once."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from aiokafka.errors import KafkaConnectionError

from streamer.transports.kafka.broker_watch import AWAY_SECONDS, REMIND_SECONDS, STALE_SECONDS, BrokerWatch


class Clock:
    """Seconds that pass when told to."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


async def gone() -> Mapping[int, int]:
    raise KafkaConnectionError


async def there() -> Mapping[int, int]:
    return {0: 7}


async def test_kafka_away_is_one_line_then_one_a_minute_and_one_when_it_is_back(capsys: pytest.CaptureFixture[str]) -> None:
    """46,000 lines of a library in five minutes hide that one; none at all leave a person without a word."""
    clock = Clock()
    watch = BrokerWatch("kafka:9092", clock=clock)
    for _ in range(int(AWAY_SECONDS + 2.5 * REMIND_SECONDS)):
        clock.now += 1
        await watch.look(gone)
    assert watch.is_away
    await watch.look(there)
    await watch.look(there)
    assert not watch.is_away
    assert watch.silent_seconds == 0
    said = capsys.readouterr().out
    assert (said.count("kafka is away"), said.count("kafka is still away"), said.count("kafka is back")) == (1, 2, 1)
    assert "kafka:9092" in said


async def test_one_missing_answer_is_not_away() -> None:
    """A process that was itself asleep finds its question too old."""
    clock = Clock()
    watch = BrokerWatch("kafka:9092", clock=clock)
    clock.now += 600
    await watch.look(gone)
    assert not watch.is_away


async def test_an_acknowledged_tick_shows_that_the_broker_is_there() -> None:
    """Whatever else it does not answer."""
    clock = Clock()
    watch = BrokerWatch("kafka:9092", clock=clock)
    for _ in range(60):
        clock.now += 1
        await watch.look(gone)
        watch.answered()
    assert not watch.is_away


async def test_a_broker_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A half-open connection must not hold up the watch itself."""
    monkeypatch.setattr("streamer.transports.kafka.broker_watch.ANSWER_SECONDS", 0.01)
    watch = BrokerWatch("kafka:9092")

    async def silent() -> Mapping[int, int]:
        await asyncio.Event().wait()
        raise AssertionError

    await asyncio.wait_for(watch.look(silent), 10)
    assert watch._failed == 1


async def test_the_end_of_the_log_grows_old() -> None:
    """Lag against an end of five minutes ago is no lag."""
    clock = Clock()
    watch = BrokerWatch("kafka:9092", clock=clock)
    assert watch.end(0) is None
    await watch.look(there)
    assert watch.end(0) == 7
    clock.now += STALE_SECONDS
    assert watch.end(0) is None
    await watch.look(there)
    watch.forget(0)
    assert watch.end(0) is None
