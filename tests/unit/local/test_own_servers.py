"""`make servers`: what it says, and that nothing of it is left, with servers that only say that they run."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from streamer.errors import SettingsError
from streamer.local import servers
from streamer.local.apache_kafka import ApacheKafka
from streamer.local.interrupts import SIGNALS
from streamer.local.mock_kafka import MockKafkaProcess
from streamer.settings import Settings
from streamer.wire import HISTORY, SENDS, SINGLE_TOPICS, TOPICS, WEBHOOK_TOPICS


class Pretended:
    """A server that starts nothing."""

    description = "a Kafka of this test"
    version = "Valkey of this test"
    bootstrap = "127.0.0.1:19092"
    url = "redis://127.0.0.1:16379/0"

    def __init__(self, name: str, told: list[str], *, real: bool = True, at_start: Callable[[], None] = lambda: None) -> None:
        self.name, self.real, self.running = name, real, False
        self._told, self._at_start = told, at_start

    def start(self) -> None:
        self._at_start()
        self.running = True
        self._told.append(f"{self.name} starts")

    def stop(self) -> None:
        self.running = False
        self._told.append(f"{self.name} ends")

    def last_words(self) -> str:
        return "out of memory"


def run(kafka: Pretended, redis: Pretended, wait: Callable[[float], None]) -> int:
    return servers.run(cast("Any", kafka), cast("Any", redis), wait=wait)


@pytest.fixture(autouse=True)
def same_handlers() -> Iterator[None]:
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    assert [signal.getsignal(number) for number in SIGNALS] == before, "they are given back"


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_both_in_the_order_in_which_they_are_needed(number: signal.Signals, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C is how it is meant to end: no error, and nothing of ours runs on."""
    told, waits = list[str](), list[float]()

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            signal.raise_signal(number)

    assert run(Pretended("kafka", told), Pretended("redis", told), wait) == 0
    assert told == ["redis starts", "kafka starts", "kafka ends", "redis ends"]
    assert len(waits) == 3
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if not line.startswith("#")] == [
        "export STREAMER_KAFKA=127.0.0.1:19092",
        "export STREAMER_STORE=redis://127.0.0.1:16379/0",
    ]


def test_a_signal_while_they_start_ends_what_was_started(capsys: pytest.CaptureFixture[str]) -> None:
    """A broker takes seconds to start: whoever has seen enough does not wait for it."""
    told = list[str]()
    kafka = Pretended("kafka", told, at_start=lambda: signal.raise_signal(signal.SIGINT))
    assert run(kafka, Pretended("redis", told), never) == 0
    assert told == ["redis starts", "kafka ends", "redis ends"]
    assert capsys.readouterr().out == "", "nothing to export"


def test_one_that_ends_by_itself_is_said_with_its_last_words_and_ends_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    """Else the settings would lead to a server that is not there."""
    told = list[str]()
    kafka, redis = Pretended("the broker", told), Pretended("redis", told)

    def wait(_seconds: float) -> None:
        kafka.running = False

    assert run(kafka, redis, wait) == servers.EXIT_FAILED
    assert told[-2:] == ["the broker ends", "redis ends"]
    assert capsys.readouterr().err == "the broker ended by itself; its last words:\nout of memory\n"


def test_one_that_cannot_start_is_an_error_and_the_other_ends(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The line that says what to install reaches the terminal, and not as a traceback."""
    told = list[str]()

    def fail() -> None:
        raise SettingsError("no port is free")

    def own_kafka() -> Pretended:
        return Pretended("kafka", told, at_start=fail)

    monkeypatch.setattr(servers, "own_kafka", own_kafka)
    monkeypatch.setattr(servers, "RedisServer", lambda: Pretended("redis", told))
    assert servers.main([]) == servers.EXIT_FAILED
    assert told == ["redis starts", "kafka ends", "redis ends"]
    assert capsys.readouterr() == ("# starting a Kafka of this test, and Valkey of this test …\n", "no port is free\n")


def test_what_the_mock_cluster_lacks_is_in_the_settings() -> None:
    """A worker that is not told waits for markers and times that this cluster does not have."""
    kafka, redis = Pretended("kafka", [], real=False), Pretended("redis", [])
    found = servers.exports(cast("Any", kafka), cast("Any", redis))
    settings = Settings.model_validate({name.removeprefix("STREAMER_").lower(): value for name, value in found.items()})
    assert (settings.shards, settings.transactions, settings.trust_producer_time) == (servers.MOCK_SHARDS, False, True)
    assert (settings.kafka, settings.store.get_secret_value()) == (Pretended.bootstrap, Pretended.url)


def test_the_mock_cluster_has_the_topics_of_a_log_under_the_default_names() -> None:
    """It makes none later, and one that was not made would have four partitions."""
    plain = Settings.model_construct()
    made = servers.topics_of_a_log(servers.TOPIC_PREFIX, servers.MOCK_SHARDS)
    assert {made[plain.topic(suffix)] for suffix in (*TOPICS, SENDS, HISTORY)} == {servers.MOCK_SHARDS}
    assert {made[plain.topic(suffix)] for suffix in (*SINGLE_TOPICS, *WEBHOOK_TOPICS)} == {1}


def test_a_real_broker_is_taken_where_it_can_be_had_and_never_somebody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address in the shell names a Kafka that exists already: it is not ours to end."""
    monkeypatch.setenv("STREAMER_KAFKA", "kafka.example:9092")
    real = ApacheKafka()
    monkeypatch.setattr(servers, "find_own_kafka", lambda: real)
    assert servers.own_kafka() is real
    monkeypatch.setattr(servers, "find_own_kafka", lambda: None)
    assert isinstance(servers.own_kafka(), MockKafkaProcess)


def never(_seconds: float) -> None:
    pytest.fail("nothing is to wait for")
