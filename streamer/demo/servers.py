"""What the demo runs on: an embedded Kafka, an embedded Redis, a real worker, sender and server for readers, five child processes on
loopback.

They end with us however we end, and so do their folders: the worker's temporary files lie in ours too.
"""

from __future__ import annotations

import base64
import os
import secrets
import sys
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from streamer.demo.seen import Numbers
from streamer.local.children import LOOPBACK, Child, TemporaryFolder, free_port
from streamer.local.mock_kafka import MOCK_SHARDS, MockKafkaProcess, library_path, topics_of_a_log
from streamer.local.redis import RedisServer
from streamer.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

STOP_S: Final = 10.0  # what worker and sender promise
ANSWER_S: Final = 2.0
NAMES: Final = {"worker": "worker", "send": "sender", "serve": "server"}  # by their commands
TEMPLATES: Final = Path(__file__).with_name("templates")


class Servers:
    """Kafka, Redis, a worker, a sender and a server with the page; ``start()`` them, and ``stop()`` them in the order in which they need
    each other."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._children: dict[str, Child] = {}  # worker, sender and server, by their commands
        self._asked: set[str] = set()  # those that are to end
        self._failed = ""  # the command of whoever ended by itself
        self.mail_port = 0  # where the sender takes mails to
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
        kafka = MockKafkaProcess(topics_of_a_log(plain.topic_prefix, MOCK_SHARDS))
        self._stack.callback(kafka.stop)
        kafka.start()
        self._settings = plain.model_copy(
            update={
                "kafka": kafka.bootstrap,
                "store": SecretStr(redis.socket_url),
                "shards": MOCK_SHARDS,
                "web_port": free_port(),
                "sender_web_port": free_port(),
                "serve_port": free_port(),
                "serve_web_port": free_port(),
                "trust_producer_time": True,
                "transactions": False,
            }
        )
        self.mail_port = free_port()

    def start_worker(self) -> None:
        """Start ``streamer worker`` as anybody would, with its settings in the environment."""
        self._start("worker", worker_environment(self.settings, os.environ, self.folder))

    def start_sender(self) -> None:
        """Start ``streamer send`` likewise. It takes mails to ``mail_port``."""
        self._start("send", sender_environment(self.settings, os.environ, self.folder, self.mail_port))

    def start_page(self) -> None:
        """Start ``streamer serve``, which shows the page, and needs no token on this machine."""
        self._start("serve", serve_environment(self.settings, os.environ, self.folder))

    def _start(self, command: str, environment: Mapping[str, str]) -> None:
        argv = [sys.executable, "-m", "streamer", command]
        self._children[command] = Child(argv, log=self.folder / f"{command}.log", env=environment)

    def stop_worker(self) -> None:
        """Ask the worker to end, as an operator would."""
        self._stop("worker")

    def stop_sender(self) -> None:
        """Ask the sender to end; what it has in hand it ends first."""
        self._stop("send")

    def stop_page(self) -> None:
        """Ask the server to end."""
        self._stop("serve")

    def _stop(self, command: str) -> None:
        self._asked.add(command)
        if (child := self._children.get(command)) is not None:
            child.stop(grace_s=STOP_S)

    def stop(self) -> None:
        """End everything and remove the folder; a second call does nothing."""
        self.stop_page()
        self.stop_sender()
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

    @property
    def page(self) -> str:
        """Where a browser sees what happens."""
        return f"http://{LOOPBACK}:{self.settings.serve_port}/"

    def trouble(self) -> str | None:
        """Why worker, sender or server are not running; None when they are, or were asked to end."""
        for command, name in NAMES.items():
            child = self._children.get(command)
            if child is not None and command not in self._asked and not child.alive:
                self._failed = command
                return f"the {name} ended by itself with status {child.process.returncode}"
        return None

    def last_words(self) -> str:
        """The end of the log of whoever ended by itself, else of the worker's."""
        failed = self._failed or "worker"
        child = self._children.get(failed)
        return f"The {NAMES[failed]}'s last words:\n{(child.log_tail() if child is not None else '') or '(none)'}"

    def are_ready(self) -> bool:
        """Whether the worker owns all shards and the sender has them. Blocks for four seconds at most."""
        numbers = self.numbers()
        return numbers is not None and numbers.owned == self.settings.shards and self._sends()

    def _sends(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self.settings.sender_web_port}/readyz", timeout=ANSWER_S):
                return True
        except OSError:  # also where the answer is that it is not ready
            return False

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


def sender_environment(settings: Settings, ours: Mapping[str, str], folder: Path, mail_port: int) -> dict[str, str]:
    """The environment of the sender: the worker's, and where its mails go."""
    return worker_environment(settings, ours, folder) | {
        "STREAMER_SENDER_WEB_PORT": str(settings.sender_web_port),
        "STREAMER_TEMPLATES": str(TEMPLATES),
        "STREAMER_SENDER_DOMAIN_RATE": "50",  # all customers have their mail at one domain
        "STREAMER_SMTP_HOST": LOOPBACK,
        "STREAMER_SMTP_PORT": str(mail_port),
        "STREAMER_SMTP_TLS": "none",
        "STREAMER_SMTP_FROM": "Simulated shop <news@shop.example>",
        "STREAMER_LINK_KEYS": f"demo:{base64.b64encode(secrets.token_bytes(32)).decode()}",
        "STREAMER_COLLECT_URL": "https://shop.example",  # links in the mails lead to nobody
    }


def serve_environment(settings: Settings, ours: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The environment of the server: the worker's, the templates of the sender, and where it listens."""
    return worker_environment(settings, ours, folder) | {
        "STREAMER_TEMPLATES": str(TEMPLATES),
        "STREAMER_SERVE_PORT": str(settings.serve_port),
        "STREAMER_SERVE_WEB_PORT": str(settings.serve_web_port),
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
