"""A real Apache Kafka broker for tests and demos: one child process on loopback, broker and controller in one (KRaft).

The jars come from Maven Central through Maven's own client, once, into ``$XDG_CACHE_HOME/streamer/kafka-<version>``
(``~/.cache`` where that is unset; about 45 MB). Java 17 or newer runs them. Rebalance, retention, restart and recovery are
Kafka's own: what the mock cluster (``mock_kafka``) cannot show.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from streamer.errors import SettingsError
from streamer.local import admin
from streamer.local.children import LOOPBACK, Child
from streamer.local.server import ServerProcess

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

ADDRESS_VARIABLE = "STREAMER_KAFKA"
KAFKA_VERSION = "4.4.0"
LOG4J_VERSION = "2.25.5"  # the one that Kafka's own pom names; without the slf4j binding the broker would fail in silence
JAVA_MIN = 17  # what a broker of Kafka 4 needs
FETCH_S = 420.0
FORMAT_S = 60.0
READY_S = 60.0
QUICK_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")  # for a process of seconds

POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>streamer</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{kafka}</version></dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>{log4j}</version>
    </dependency>
  </dependencies>
</project>
"""

LOG4J = """status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %m (%c{1})%n%ex{8}
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
"""

# One small broker: replication 1 everywhere, few threads, small buffers, no waiting for further members of a group.
# Topics are made by us and never by accident. After a kill the controller holds the dead broker's session: keep it short.
BROKER = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
    "log.cleaner.dedupe.buffer.size": "16777216",
}


class ApacheKafka(ServerProcess):
    """A Kafka broker on 127.0.0.1 with random ports; use it as a context manager.

    ``heap_mb`` bounds Java's heap (the process takes about 150 MB more). ``options`` are further lines of server.properties.
    The data lies in a temporary directory that ``stop()`` removes, unless the caller names a ``directory``. As after a loss of the
    process and not of the machine, ``kill()`` and ``restart()`` lose no acknowledged record.
    """

    real = True
    name = "the broker"
    folder = "kafka"
    port_count = 2  # the second is its controller's

    def __init__(
        self,
        *,
        version: str = KAFKA_VERSION,
        heap_mb: int = 512,
        directory: Path | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(directory)
        self.version = version
        self._heap_mb = heap_mb
        self._options = dict(options or {})
        self._java, self._jars = "", Path()

    def start(self) -> Self:
        """Fetch the jars where they are missing, start the broker and wait until it answers; a running one is left alone.

        Raises SettingsError where Java or the jars are not to be had, or the broker is not ready in time.
        """
        if not self.running:
            self._java, self._jars = find_java(), fetch_jars(self.version)
        return super().start()

    def create_topic(self, name: str, partitions: int, config: Mapping[str, str] | None = None) -> None:
        """Make a topic and wait until each partition has a leader; one that is there already is an error."""
        admin.create_topic(self.bootstrap, name, partitions, config)

    @property
    def bootstrap(self) -> str:
        """Its address, ``127.0.0.1:port``; the same after a restart."""
        return f"{LOOPBACK}:{self._started(self._ports)[0]}"

    @property
    def description(self) -> str:
        """One line for a report."""
        return f"Apache Kafka {self.version} (one KRaft broker in a process of its own)"

    def _run(self) -> None:
        settings, logging = self.directory / "server.properties", self.directory / "log4j2.properties"
        settings.write_text("".join(f"{name}={value}\n" for name, value in self._settings().items()))
        logging.write_text(LOG4J)
        java_command = (self._java, "-cp", f"{self._jars}/*", f"-Dlog4j2.configurationFile={logging}", *QUICK_JVM)
        if not (self.directory / "data" / "meta.properties").exists():
            _format_storage(java_command, settings)
        memory = ("-Xms64m", f"-Xmx{self._heap_mb}m", "-XX:+ExitOnOutOfMemoryError")
        self._child = Child([*java_command, *memory, "kafka.Kafka", str(settings)], log=self.directory / "broker.log", cwd=self.directory)
        self._child.wait_until(lambda: admin.answers(self.bootstrap), name=f"Kafka {self.version}", deadline_s=READY_S)

    def _settings(self) -> dict[str, str]:
        port, controller = self._ports
        places = {
            "listeners": f"PLAINTEXT://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller}",
            "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{port}",
            "controller.quorum.voters": f"1@{LOOPBACK}:{controller}",
            "log.dirs": str(self.directory / "data"),
        }
        return {**BROKER, **places, **self._options}


@dataclass(frozen=True, slots=True)
class ExternalKafka:
    """A broker that somebody else runs, without TLS or a password, named by an address. Entering asks whether it is there."""

    bootstrap: str

    real = True

    @property
    def description(self) -> str:
        """One line for a report."""
        return f"the Kafka at {self.bootstrap} ({ADDRESS_VARIABLE})"

    def create_topic(self, name: str, partitions: int, config: Mapping[str, str] | None = None) -> None:
        """Make a topic and wait until each partition has a leader; one that is there already is an error."""
        admin.create_topic(self.bootstrap, name, partitions, config)

    def __enter__(self) -> Self:
        if not admin.answers(self.bootstrap):
            raise SettingsError(f"{ADDRESS_VARIABLE}={self.bootstrap}: no Kafka answers there")
        return self

    def __exit__(self, *_: object) -> None:
        return


def find_kafka() -> ExternalKafka | ApacheKafka | None:
    """A real broker: the one that ``STREAMER_KAFKA`` names, else one of our own where that can be had, else None.

    Nothing is started or fetched here. A broker of our own can be had with Java and either the jars in the cache or Maven.
    """
    if address := os.environ.get(ADDRESS_VARIABLE):
        return ExternalKafka(address)
    return find_own_kafka()


def find_own_kafka() -> ApacheKafka | None:
    """A real broker to start here, not yet started; None where it cannot be had."""
    try:
        find_java()
    except SettingsError:
        return None
    return ApacheKafka() if jars_folder(KAFKA_VERSION).is_dir() or shutil.which("mvn") else None


def find_java() -> str:
    """The program: ``$JAVA_HOME/bin/java``, else the one on the path; SettingsError where it is missing or too old."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=str(Path(home) / "bin")) if home else None
    found = found or shutil.which("java")
    how = f"Kafka 4 needs Java {JAVA_MIN} or newer; type:\n  sudo apt-get install -y default-jre-headless"
    if found is None:
        raise SettingsError(f"no java on the path. {how}")
    said = _call([found, "-version"], timeout_s=30.0).output
    version = re.search(r'version "(?:1\.)?(\d+)', said)
    if version is None or int(version[1]) < JAVA_MIN:
        raise SettingsError(f"{found} is not new enough ({said.splitlines()[0] if said else 'it says nothing'}). {how}")
    return found


def jars_folder(version: str) -> Path:
    """Where the jars of this Kafka version are kept."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "streamer" / f"kafka-{version}"


def fetch_jars(version: str) -> Path:
    """The folder of the jars, fetched by Maven where it is not there; Maven checks each file's checksum.

    The folder appears whole or not at all, so a fetch that was broken off is repeated, and two at once do no harm.
    """
    folder = jars_folder(version)
    if folder.is_dir():
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        raise SettingsError(
            f"Kafka's jars are not in {folder} and Maven, which fetches them, is missing; type:\n  sudo apt-get install -y maven"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetching-") as temporary:
        pom, jars = Path(temporary) / "pom.xml", Path(temporary) / "jars"
        pom.write_text(POM.format(kafka=version, log4j=LOG4J_VERSION))
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={jars}"]
        result = _call([maven, "--batch-mode", "--quiet", "--strict-checksums", "--file", str(pom), *goal], timeout_s=FETCH_S)
        if result.status or not list(jars.glob("kafka_*.jar")):
            raise SettingsError(f"Maven could not fetch Kafka {version}:\n{_tail(result.output)}")
        try:
            jars.rename(folder)
        except OSError:
            if not folder.is_dir():  # somebody else was quicker, with the same jars
                raise
    return folder


def _format_storage(java_command: Sequence[str], settings: Path) -> None:
    drawn = b"\0" + uuid.uuid4().bytes[1:]  # one in 64 ids began with "-" otherwise, which the tool takes for an option
    cluster = base64.urlsafe_b64encode(drawn).decode().rstrip("=")
    command = [*java_command, "kafka.tools.StorageTool", "format", "--cluster-id", cluster, "--config", str(settings)]
    result = _call(command, timeout_s=FORMAT_S)
    if result.status:
        raise SettingsError(f"Kafka could not format its storage:\n{_tail(result.output)}")


@dataclass(frozen=True, slots=True)
class _Result:
    status: int
    output: str


def _call(command: Sequence[str], *, timeout_s: float) -> _Result:
    try:
        done = subprocess.run(  # noqa: S603 - the command is ours
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return _Result(-1, f"no answer within {timeout_s:g} s")
    return _Result(done.returncode, done.stdout)


def _tail(text: str, lines: int = 12) -> str:
    return "\n".join(text.splitlines()[-lines:])
