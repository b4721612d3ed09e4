"""Servers for whichever test asks for one, and a closing word about what was and was not tried on the real thing.

``redis_server`` is a real Redis or Valkey. ``kafka`` is a real broker: where none can be had its tests are skipped, or fail when
``STREAMER_REQUIRE_REAL=1`` (as in CI). ``broker`` is the real one, else the mock cluster. Each is started once a session, on first
use; a test that kills or pauses one brings it back.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from streamer.errors import SettingsError
from streamer.local.apache_kafka import ApacheKafka, ExternalKafka, find_kafka
from streamer.local.mock_kafka import MockKafka
from streamer.local.redis import RedisServer
from tests.lacking import missing, real_is_required
from tests.progress import ProgressLines
from tests.tiers import mark_and_order

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

NO_KAFKA = "needs a real Kafka"
EXAMPLES_VARIABLE = "STREAMER_TEST_EXAMPLES"
SERVERS_USED = pytest.StashKey[dict[str, str]]()

# The same examples on every run, and no verdict that depends on how busy the machine is.
settings.register_profile(
    "streamer",
    derandomize=True,
    deadline=None,
    max_examples=int(os.environ.get(EXAMPLES_VARIABLE, "100")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("streamer")


@pytest.fixture(scope="session")
def redis_server(pytestconfig: pytest.Config) -> Iterator[RedisServer]:
    """A real Redis-compatible server, shared: use keys of your own, or flush before you begin."""
    try:
        server = RedisServer().start()
    except SettingsError as error:
        missing(f"needs a real Redis: {error}")
    pytestconfig.stash[SERVERS_USED]["Redis"] = f"{server.version} ({server.program.name})"
    yield server
    server.stop()


@pytest.fixture(scope="session")
def real_kafka_or_why_not(pytestconfig: pytest.Config) -> Iterator[ApacheKafka | ExternalKafka | str]:
    """The real broker, else the reason why there is none."""
    found = find_kafka()
    try:
        if found is None:
            raise SettingsError(
                "neither STREAMER_KAFKA nor Java 17 with Maven; type:\n  sudo apt-get install -y default-jre-headless maven"
            )
        with found:
            pytestconfig.stash[SERVERS_USED]["Kafka"] = found.description
            yield found
    except SettingsError as error:
        if isinstance(found, ExternalKafka):
            raise  # somebody named it, so its absence is a mistake and not a lack
        yield str(error)


@pytest.fixture(scope="session")
def kafka(real_kafka_or_why_not: ApacheKafka | ExternalKafka | str) -> ApacheKafka | ExternalKafka:
    """A real Kafka broker, shared: use topics and groups of your own."""
    if isinstance(real_kafka_or_why_not, str):
        missing(f"{NO_KAFKA}: {real_kafka_or_why_not}")
    return real_kafka_or_why_not


@pytest.fixture(scope="session")
def broker(
    real_kafka_or_why_not: ApacheKafka | ExternalKafka | str, pytestconfig: pytest.Config
) -> Iterator[ApacheKafka | ExternalKafka | MockKafka]:
    """A real broker, else the mock cluster (one member a group, no topic settings), shared."""
    if not isinstance(real_kafka_or_why_not, str):
        yield real_kafka_or_why_not
        return
    if real_is_required():
        missing(f"{NO_KAFKA}: {real_kafka_or_why_not}")
    with MockKafka() as mock:
        pytestconfig.stash[SERVERS_USED]["Kafka"] = mock.description
        yield mock


def pytest_configure(config: pytest.Config) -> None:
    """Begin with no server used. One process among several leaves it to the one that gathers the reports to say how far it all is."""
    config.stash[SERVERS_USED] = {}
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(ProgressLines())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Which tests are fast, and which stay in one process."""
    mark_and_order(items)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process among several tells the one that reports which servers it used."""
    told: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if told is not None:
        told["servers"] = session.config.stash[SERVERS_USED]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """One of several processes has ended."""
    node.config.stash[SERVERS_USED].update(getattr(node, "workeroutput", {}).get("servers", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which servers were used, and which tests were not run for lack of a real broker."""
    used = config.stash[SERVERS_USED]
    skipped: list[pytest.TestReport] = terminalreporter.stats.get("skipped", [])
    lacking = sorted({report.nodeid for report in skipped if NO_KAFKA in str(report.longrepr)})
    if not used and not lacking:
        return
    terminalreporter.section("servers")
    for name in ("Kafka", "Redis"):
        terminalreporter.write_line(f"{name}: {used.get(name, 'not used')}")
    if lacking:
        terminalreporter.write_line(f"not run for lack of a real Kafka (Java 17 and Maven, or STREAMER_KAFKA): {len(lacking)}")
        for test in lacking:
            terminalreporter.write_line(f"  {test}")
