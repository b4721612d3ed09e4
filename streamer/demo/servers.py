"""What the demo runs on: an embedded Kafka, an embedded Redis and a real worker, three child processes on loopback.

They end with us however we end, and so do their folders: the worker's temporary files lie in ours too.
"""

from __future__ import annotations

import os
import sys
import urllib.request
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from streamer.demo.seen import Numbers
from streamer.local.children import Child, TemporaryFolder, free_port
from streamer.local.mock_kafka import MockKafkaProcess, library_path
from streamer.local.redis import RedisServer
from streamer.settings import Settings
from streamer.wire import SINGLE_TOPICS, TOPICS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SHARDS: Final = 6  # the embedded broker keeps 5 MiB of each
WORKER_STOP_S: Final = 10.0  # what it promises
ANSWER_S: Final = 2.0


class Servers:
    """Kafka, Redis and a worker; ``start()`` them, and ``stop()`` them in the order in which they need each other."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._worker: Child | None = None
        self._settings: Settings | None = None
        self._folder: Path | None = None

    def start(self) -> None:
        """Start Kafka with our topics, Redis, and the folder for the rest. SettingsError says what to install."""
        library_path()  # the broker's own process would say it in a traceback
        folder = TemporaryFolder("demo")
        self._stack.callback(folder.remove)
        self._folder = folder.path
        redis = RedisServer(appendonly=False)
        self._stack.callback(redis.stop)  # before it starts: Ctrl-C may come in the middle of that
        redis.start()
        plain = Settings.model_construct()  # the defaults alone: a shell's settings are for another deployment
        topics = {plain.topic(suffix): SHARDS for suffix in TOPICS} | {plain.topic(suffix): 1 for suffix in SINGLE_TOPICS}
        kafka = MockKafkaProcess(topics)
        self._stack.callback(kafka.stop)
        kafka.start()
        self._settings = plain.model_copy(
            update={
                "kafka": kafka.bootstrap,
                "store": SecretStr(redis.socket_url),
                "shards": SHARDS,
                "web_port": free_port(),
                "trust_producer_time": True,
                "transactions": False,
            }
        )

    def start_worker(self) -> None:
        """Start ``streamer worker`` as anybody would, with its settings in the environment."""
        command = [sys.executable, "-m", "streamer", "worker"]
        environment = worker_environment(self.settings, os.environ, self.folder)
        self._worker = Child(command, log=self.folder / "worker.log", env=environment)

    def stop_worker(self) -> None:
        """Ask the worker to end, as an operator would."""
        if self._worker is not None:
            self._worker.stop(grace_s=WORKER_STOP_S)

    def stop(self) -> None:
        """End everything and remove the folder; a second call does nothing."""
        self.stop_worker()
        self._stack.close()

    @property
    def settings(self) -> Settings:
        """What worker, shop and reader agree on."""
        assert self._settings is not None, "start() comes first"
        return self._settings

    @property
    def folder(self) -> Path:
        """Where the logs are, until ``stop()``."""
        assert self._folder is not None, "start() comes first"
        return self._folder

    @property
    def web(self) -> str:
        """The worker's web address."""
        return f"http://{self.settings.web_host}:{self.settings.web_port}"

    def trouble(self) -> str | None:
        """Why the worker is not running; None when it is."""
        if self._worker is None or self._worker.alive:
            return None
        return f"the worker ended by itself with status {self._worker.process.returncode}"

    def worker_log_tail(self) -> str:
        """The last words of the worker."""
        return "" if self._worker is None else self._worker.log_tail()

    def numbers(self) -> Numbers | None:
        """What the worker says about itself; None where it does not answer (yet). Blocks for two seconds at most."""
        try:
            with urllib.request.urlopen(f"{self.web}/metrics", timeout=ANSWER_S) as answer:  # noqa: S310 - our own address
                return parse_numbers(answer.read().decode())
        except OSError:
            return None


def worker_environment(settings: Settings, ours: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The environment of the worker: ours, without settings of another deployment, and with those of the demo."""
    kept = {name: value for name, value in ours.items() if not name.startswith("STREAMER_")}
    return kept | {
        "STREAMER_KAFKA": settings.kafka,
        "STREAMER_STORE": settings.store.get_secret_value(),
        "STREAMER_SHARDS": str(settings.shards),
        "STREAMER_WEB_PORT": str(settings.web_port),
        "STREAMER_TRANSACTIONS": "false",  # the embedded broker has no markers that a reader could check
        "STREAMER_TRUST_PRODUCER_TIME": "true",  # the embedded broker has no other time
        "TMPDIR": str(folder),
    }


def parse_numbers(text: str) -> Numbers:
    """The few figures of the exposition format that the screen shows."""
    outcomes: dict[str, int] = {}
    members: dict[str, int] = {}
    lag = owned = 0
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "segmenter_events_total":
                outcomes[sample.labels["outcome"]] = int(sample.value)
            elif sample.name == "segmenter_segment_members":
                members[sample.labels["segment"]] = int(sample.value)
            elif sample.name == "segmenter_lag_records":
                lag += int(sample.value)
            elif sample.name == "segmenter_shard_state" and sample.labels["state"] == "owned":
                owned += int(sample.value)
    return Numbers(outcomes.get("accepted", 0), outcomes.get("duplicate", 0), outcomes.get("refused", 0), lag, owned, members)
