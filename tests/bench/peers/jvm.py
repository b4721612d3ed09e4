"""The engines on Java: their jars from Maven Central, once, and the sources in ``java/``, compiled for the bench alone.

Jars and classes lie in ``.cache/peers`` beside the code. Flink's RocksDB and that of Kafka Streams have classes of the same names, so each
engine has jars of its own.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

from streamer.errors import SettingsError
from streamer.local.apache_kafka import KAFKA_VERSION, find_java

from .engines import HERE, Engine, bytes_below
from .fetching import CACHE, call

FETCH_S: Final = 420.0
COMPILE_S: Final = 120.0
FLINK_VERSION: Final = "2.2.0"
FLINK_KAFKA_VERSION: Final = "5.0.0-2.2"
COMMON: Final = (
    "com.fasterxml.jackson.core:jackson-core:2.22.0",
    "org.slf4j:slf4j-simple:1.7.36",
)
OPENED: Final = tuple(
    f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in ("lang", "util", "util.concurrent")
)  # Flink asks for them
POM: Final = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>streamer</groupId><artifactId>peers</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>{dependencies}</dependencies>
</project>
"""


class Jvm(Engine):
    """An engine whose job is a Java class of ours."""

    main: ClassVar[str] = ""
    jars: ClassVar[Sequence[str]] = ()
    cached_as: ClassVar[str] = ""
    options: ClassVar[Sequence[str]] = ()

    @classmethod
    def prepare(cls) -> None:
        """Fetch the jars where they are missing, and compile."""
        find_java()
        compiler = shutil.which("javac")
        if compiler is None:
            raise SettingsError("no javac on the path; type:\n  sudo apt-get install -y default-jdk-headless")
        jars = _fetched(cls.cached_as, [*cls.jars, *COMMON])
        classes = CACHE / f"{cls.cached_as}-classes"
        shutil.rmtree(classes, ignore_errors=True)
        classes.mkdir(parents=True)
        sources = [str(path) for path in (*cls.sources, HERE / "java" / "Progress.java")]
        call([compiler, "-proc:none", "-nowarn", "-d", str(classes), "-cp", f"{jars}/*", *sources], COMPILE_S, "javac")

    def command(self) -> list[str]:
        path = os.pathsep.join([str(CACHE / f"{self.cached_as}-classes"), f"{CACHE / self.cached_as}/*"])
        return [find_java(), "-Xmx512m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", *self.options, "-cp", path, self.main]


class KafkaStreams(Jvm):
    """Kafka Streams as one runs it where a change must not be lost or said twice."""

    name = "streams"
    guarantee = "exactly once"
    main = "StreamsJob"
    flushes_when_it_ends = True
    jars = (f"org.apache.kafka:kafka-streams:{KAFKA_VERSION}",)
    cached_as = f"kafka-streams-{KAFKA_VERSION}"
    sources = tuple(HERE / "java" / f"{name}.java" for name in ("Customer", "Event", "Change", "StreamsJob"))


class FlinkHeap(Jvm):
    """Flink with state on Java's heap and a checkpoint each second."""

    name = "flink-heap"
    guarantee = "exactly once"
    main = "FlinkJob"
    backend: ClassVar[str] = "hashmap"
    jars = (
        *(
            f"org.apache.flink:flink-{name}:{FLINK_VERSION}"
            for name in ("streaming-java", "clients", "connector-base", "statebackend-rocksdb")
        ),
        f"org.apache.flink:flink-connector-kafka:{FLINK_KAFKA_VERSION}",
    )
    cached_as = f"flink-{FLINK_VERSION}"
    options = OPENED
    sources = tuple(HERE / "java" / f"{name}.java" for name in ("Customer", "Event", "Change", "FlinkJob"))

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "JOB_BACKEND": self.backend}

    async def done(self) -> int:
        """What it has read; the last event only when all are committed."""
        committed, read = await super().done(), self.state / "progress"
        number = int.from_bytes(read.read_bytes()[:8], "big") if read.exists() else 0
        return max(committed, min(number, sum(self.ends) - 1))

    async def state_bytes(self) -> float:
        """Of the newest checkpoint; timers are in it, too."""
        found = max(self.state.glob("*/chk-*"), key=lambda folder: int(folder.name.removeprefix("chk-")), default=self.state)
        return bytes_below(found)


class FlinkRocks(FlinkHeap):
    """Flink with state in RocksDB."""

    name = "flink-rocksdb"
    backend = "rocksdb"


def _fetched(name: str, artifacts: Sequence[str]) -> Path:
    """The folder of these jars and all that they need; it appears whole or not at all."""
    folder = CACHE / name
    if folder.is_dir():
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        raise SettingsError("Maven, which fetches the jars, is missing; type:\n  sudo apt-get install -y maven")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix=".fetching-") as temporary:
        pom, jars = Path(temporary) / "pom.xml", Path(temporary) / "jars"
        pom.write_text(POM.format(dependencies="".join(map(_dependency, artifacts))))
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={jars}"]
        call([maven, "--batch-mode", "--quiet", "--strict-checksums", "--file", str(pom), *goal], FETCH_S, "Maven")
        if not folder.is_dir():
            jars.rename(folder)
    return folder


def _dependency(artifact: str) -> str:
    group, name, version = artifact.split(":")
    return f"<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>"
