"""librdkafka's mock cluster: Kafka's protocol over TCP without Kafka, out of the ``confluent-kafka`` wheel.

For the demo and quick tests on a machine without Java. What it is not:

* It keeps everything in memory, about 5 MiB and 100,000 messages a partition (hard-coded in librdkafka); older records vanish.
* One member a consumer group: with two, a second aiokafka member is refused (SyncGroup race). One worker only.
* No CreateTopics (``create_topic`` here goes through its C interface), no topic configuration (so no ``LogAppendTime``), and
  a name that was not created is made with 4 partitions by whoever first asks for it.
* A reader of committed records also sees aborted ones, and transaction markers have no checksum.
* librdkafka calls the interface experimental.

``MockKafka`` runs it inside the calling process, in librdkafka's own threads. ``MockKafkaProcess`` runs it in a child, for a demo of
several processes. By hand: ``python -m streamer.local.mock_kafka --topic streamer.events:12`` prints its address as one JSON line, makes
a topic for each further ``name:partitions`` line on its standard input, and lives until that closes.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import json
import queue
import sys
import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from streamer.errors import SettingsError
from streamer.local.children import Child
from streamer.local.server import LocalServer, ServerProcess
from streamer.wire import HISTORY, SENDS, SINGLE_TOPICS, TOPICS, WEBHOOK_TOPICS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

GROUP_DELAY_MS = 100  # librdkafka waits 3,000 ms for further members of a group before it starts one
ERROR_TEXT_BYTES = 512
PRODUCER = 0  # rd_kafka_type_t; the mock cluster hangs on a client, whichever it is
READY_S = 20.0
MOCK_SHARDS: Final = 6  # of a log on it, which keeps 5 MiB of each
LIBRARIES = ("confluent_kafka.libs/librdkafka-*.so*", "confluent_kafka/.dylibs/librdkafka*.dylib", "confluent_kafka.libs/librdkafka*.dll")


def topics_of_a_log(prefix: str, shards: int) -> dict[str, int]:
    """The topics, with their partitions, that a log needs beforehand on a cluster whose clients cannot make any.

    >>> topics_of_a_log("shop", 6)["shop.events"], topics_of_a_log("shop", 6)["shop.definitions"]
    (6, 1)
    """
    a_shard, single = (*TOPICS, SENDS, HISTORY), (*SINGLE_TOPICS, *WEBHOOK_TOPICS)
    return {f"{prefix}.{suffix}": shards for suffix in a_shard} | {f"{prefix}.{suffix}": 1 for suffix in single}


class MockKafka(LocalServer):
    """The mock cluster in this process; use it as a context manager. What it cannot do is on the module's page.

    ``topics`` maps names to partition counts. ``group_delay_ms`` is how long a new consumer group waits for further members.
    """

    real = False

    def __init__(self, topics: Mapping[str, int] | None = None, *, brokers: int = 1, group_delay_ms: int = GROUP_DELAY_MS) -> None:
        self._topics = dict(topics or {})
        self._brokers = brokers
        self._group_delay_ms = group_delay_ms
        self._client: int | None = None
        self._cluster: int | None = None

    def start(self) -> Self:
        """Start it; a second call on a running one does nothing."""
        if self._cluster is not None:
            return self
        library = _library()
        trouble = ctypes.create_string_buffer(ERROR_TEXT_BYTES)
        settings = library.rd_kafka_conf_new()
        library.rd_kafka_conf_set(settings, b"log_level", b"3", trouble, ERROR_TEXT_BYTES)  # errors; it warns that it has no address
        self._client = library.rd_kafka_new(PRODUCER, settings, trouble, ERROR_TEXT_BYTES)
        if not self._client:
            raise SettingsError(f"librdkafka did not start: {trouble.value.decode(errors='replace')}")
        self._cluster = library.rd_kafka_mock_cluster_new(self._client, self._brokers)
        if not self._cluster:
            self.stop()
            raise SettingsError("librdkafka's mock cluster did not start")
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, self._group_delay_ms)
        for name, partitions in self._topics.items():
            self.create_topic(name, partitions)
        return self

    def stop(self) -> None:
        """End it; what it held is gone. A second call does nothing."""
        if self._cluster:
            _library().rd_kafka_mock_cluster_destroy(self._cluster)
        if self._client:
            _library().rd_kafka_destroy(self._client)
        self._cluster = self._client = None

    def create_topic(self, name: str, partitions: int, config: Mapping[str, str] | None = None) -> None:  # noqa: ARG002
        """Make a topic; one that is there already is an error. ``config`` is taken for a real broker's sake and has no effect."""
        if not self._cluster:
            raise SettingsError("the mock cluster was not started")
        code = _library().rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, self._brokers)
        if code:
            raise SettingsError(f"topic {name} could not be made: {_library().rd_kafka_err2str(code).decode()}")

    @property
    def bootstrap(self) -> str:
        """Its address, ``127.0.0.1:port`` (several, with commas, for several brokers)."""
        if not self._cluster:
            raise SettingsError("the mock cluster was not started")
        return _library().rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    @property
    def description(self) -> str:
        """One line for a report."""
        return "librdkafka's mock cluster (in memory, 5 MiB a partition, one worker)"


class MockKafkaProcess(ServerProcess):
    """The mock cluster in a child process that ends with us; use it as a context manager, and like ``MockKafka``."""

    real = False
    description = MockKafka.description
    name = "the mock cluster"
    folder = "mock"
    port_count = 0  # librdkafka takes its own

    def __init__(self, topics: Mapping[str, int] | None = None) -> None:
        super().__init__()
        self._topics = dict(topics or {})
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.bootstrap = ""

    def _run(self) -> None:
        topics = [part for name, partitions in self._topics.items() for part in ("--topic", f"{name}:{partitions}")]
        command = [sys.executable, "-m", "streamer.local.mock_kafka", *topics]
        self._child = Child(command, log=self.directory / "mock.log", keep_stdin=True)
        threading.Thread(target=self._listen, args=(self._child,), name="streamer-mock-kafka", daemon=True).start()
        self.bootstrap = self._next_answer()["bootstrap"]

    def create_topic(self, name: str, partitions: int, config: Mapping[str, str] | None = None) -> None:  # noqa: ARG002
        """Make a topic; one that is there already is an error. ``config`` is taken for a real broker's sake and has no effect."""
        stdin = self._started(self._child).process.stdin
        assert stdin is not None, "it is kept open"
        stdin.write(f"{name}:{partitions}\n")
        stdin.flush()
        if trouble := self._next_answer().get("error"):
            raise SettingsError(trouble)

    def _listen(self, child: Child) -> None:
        assert child.process.stdout is not None
        try:
            for line in child.process.stdout:
                self._answers.put(line)
        except ValueError:  # closed by stop()
            pass
        self._answers.put("")

    def _next_answer(self) -> dict[str, str]:
        try:
            line = self._answers.get(timeout=READY_S)
        except queue.Empty:
            line = ""
        if not line:
            last_words = self.last_words()
            self.stop()
            raise SettingsError(f"the mock cluster's process did not answer; its last words:\n{last_words}")
        return json.loads(line)


@cache
def _library() -> Any:
    """The librdkafka inside the confluent-kafka wheel, with the types of the functions used here (pointers have 64 bits)."""
    found = library_path()
    library = ctypes.CDLL(str(found))
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "rd_kafka_conf_new": (pointer, []),
        "rd_kafka_conf_set": (number, [pointer, text, text, text, ctypes.c_size_t]),
        "rd_kafka_new": (pointer, [number, pointer, text, ctypes.c_size_t]),
        "rd_kafka_destroy": (None, [pointer]),
        "rd_kafka_err2str": (text, [number]),
        "rd_kafka_mock_cluster_new": (pointer, [pointer, number]),
        "rd_kafka_mock_cluster_destroy": (None, [pointer]),
        "rd_kafka_mock_cluster_bootstraps": (text, [pointer]),
        "rd_kafka_mock_topic_create": (number, [pointer, text, number, number]),
        "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [pointer, ctypes.c_int32]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def library_path() -> Path:
    """Where the wheel keeps its librdkafka; SettingsError where there is none."""
    package = importlib.util.find_spec("confluent_kafka")
    if package is None or package.origin is None:
        raise SettingsError("the mock cluster needs confluent-kafka; type:\n  pip install confluent-kafka")
    site = Path(package.origin).parent.parent
    for pattern in LIBRARIES:
        for path in site.glob(pattern):
            return path
    raise SettingsError(f"this confluent-kafka brings no librdkafka of its own (looked in {site} for {' or '.join(LIBRARIES)})")


def _topic(text: str) -> tuple[str, int]:
    """``name:partitions``.

    >>> _topic("streamer.events:12")
    ('streamer.events', 12)
    """
    name, _, partitions = text.strip().rpartition(":")
    if not name or not partitions.isdecimal() or not int(partitions):
        raise argparse.ArgumentTypeError(f"expected name:partitions, got {text.strip()!r}")
    return name, int(partitions)


def _obey(cluster: MockKafka, line: str) -> dict[str, str]:
    try:
        name, partitions = _topic(line)
        cluster.create_topic(name, partitions)
    except (argparse.ArgumentTypeError, SettingsError) as error:
        return {"error": str(error)}
    return {"created": name}


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until standard input closes."""
    parser = argparse.ArgumentParser(
        prog="python -m streamer.local.mock_kafka", description="A Kafka in memory; lives until its standard input closes."
    )
    parser.add_argument("--topic", type=_topic, action="append", default=[], metavar="NAME:PARTITIONS")
    with MockKafka(dict(parser.parse_args(arguments).topic)) as cluster:
        sys.stdout.write(json.dumps({"bootstrap": cluster.bootstrap}) + "\n")
        sys.stdout.flush()
        for line in sys.stdin:
            sys.stdout.write(json.dumps(_obey(cluster, line)) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
