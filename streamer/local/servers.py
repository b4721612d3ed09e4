"""A Kafka and a Redis of one's own on loopback, in the foreground, until Ctrl-C: ``make servers``, for a machine without Docker.

The Kafka is a real broker where Java and its jars can be had, else librdkafka's mock cluster in memory, for which the settings that are
printed say what it lacks. What both keep is in a temporary directory and is gone with them.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, Final

from streamer.errors import SettingsError
from streamer.local.apache_kafka import ApacheKafka, find_own_kafka
from streamer.local.interrupts import ignore_signals, signals_as_interrupts
from streamer.local.mock_kafka import MOCK_SHARDS, MockKafkaProcess, library_path, topics_of_a_log
from streamer.local.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from streamer.local.server import ServerProcess

TOPIC_PREFIX: Final = "streamer"  # the setting's default: the mock cluster makes no topic later
LOOK_S: Final = 0.5  # between two looks whether they still run
EXIT_FAILED: Final = 3  # as for all commands: a setting, a file or a connection


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both until a signal; the exit code: 0, or 3 where one cannot be had or ended by itself, which is said on standard error."""
    parser = argparse.ArgumentParser(
        prog="make servers", description="A Kafka and a Redis on loopback, until Ctrl-C; prints the settings to export."
    )
    parser.parse_args(arguments)
    try:
        kafka, redis = own_kafka(), RedisServer()
        _say(f"# starting {kafka.description}, and {redis.version} …")
        return run(kafka, redis)
    except SettingsError as error:
        return _failed(str(error))


def own_kafka() -> ApacheKafka | MockKafkaProcess:
    """A Kafka to start here: a real one where that can be had, else the mock cluster, with the topics of a log. Never one that
    ``STREAMER_KAFKA`` names: that is somebody else's. SettingsError where neither can be had."""
    if (real := find_own_kafka()) is not None:
        return real
    library_path()  # the cluster's own process would say it in a traceback
    return MockKafkaProcess(topics_of_a_log(TOPIC_PREFIX, MOCK_SHARDS))


def run(kafka: ApacheKafka | MockKafkaProcess, redis: RedisServer, *, wait: Callable[[float], None] = time.sleep) -> int:
    """Start both, print their settings, and look now and then whether they run; ``wait`` takes seconds and lets them pass.

    0 when a signal ended it, also while they start; 3 when one ended by itself. Both are ended in each case. Call it from the main thread.
    """
    servers: tuple[ServerProcess, ...] = (redis, kafka)
    with signals_as_interrupts():
        try:
            for server in servers:
                server.start()
            _say(*lines(exports(kafka, redis)))
            while not (ended := [server for server in servers if not server.running]):
                wait(LOOK_S)
            return _failed(*(f"{server.name} ended by itself; its last words:\n{server.last_words()}" for server in ended))
        except KeyboardInterrupt:
            return 0
        finally:
            ignore_signals()
            for server in reversed(servers):
                server.stop()


def exports(kafka: ApacheKafka | MockKafkaProcess, redis: RedisServer) -> dict[str, str]:
    """The settings under which all commands find the two, once they run."""
    places = {"STREAMER_KAFKA": kafka.bootstrap, "STREAMER_STORE": redis.url}
    return places if kafka.real else places | MOCK_SETTINGS


MOCK_SETTINGS: Final = {
    "STREAMER_SHARDS": str(MOCK_SHARDS),
    "STREAMER_TRANSACTIONS": "false",  # it has no markers that a reader could check
    "STREAMER_TRUST_PRODUCER_TIME": "true",  # it has no other time
}


def lines(settings: Mapping[str, str]) -> list[str]:
    """What to paste into another shell, with what else a reader should know as comments.

    >>> lines({"STREAMER_STORE": "redis://127.0.0.1:16379/0"})[1]
    'export STREAMER_STORE=redis://127.0.0.1:16379/0'
    """
    return [
        "# both run; in another shell:",
        *(f"export {name}={value}" for name, value in settings.items()),
        "# Ctrl-C here ends both, and what they keep is gone",
    ]


def _say(*said: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in said))
    sys.stdout.flush()


def _failed(*why: str) -> int:
    sys.stderr.write("".join(f"{line}\n" for line in why))
    return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
