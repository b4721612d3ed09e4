"""``streamer doctor``: each thing that can be wrong is found, with what to do about it.

Redis is a real one, Kafka the mock cluster; what only a real broker has (settings of topics, logins) is in ``tests/live/test_doctor.py``.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from time import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from redis import Redis

from streamer.cli.checks.broker_checks import check_transactions
from streamer.cli.checks.finding import CheckResult
from streamer.cli.checks.shard_checks import check_progress, check_signing
from streamer.cli.checks.store_checks import StoredShard
from streamer.cli.checks.worker_checks import check_workers
from streamer.deployment.manifest import check_manifest
from streamer.errors import HaltError, StoreUnavailableError
from streamer.flow.catalog import Plans
from streamer.flow.checkpoint import CheckpointBody
from streamer.flow.same_log import NOTHING, View, check_same_log
from streamer.flow.shard import Shard
from streamer.language.definitions import parse_definitions
from streamer.local.children import free_port
from streamer.local.mock_kafka import MockKafka
from streamer.settings import load_settings
from streamer.signing import Keyring, Trust
from streamer.stores.base import Checkpoint, Position
from streamer.stores.documents import definitions_document
from streamer.stores.redis import connect
from streamer.stores.redis_health import read_health
from streamer.transports.kafka import open_transactions
from streamer.transports.kafka.clients import producer
from streamer.transports.kafka.definitions_topic import DefinitionsTopic
from streamer.wire import SINGLE_TOPICS, TOPICS, LogRecord, definitions_control
from streamer.worker.status.audit_status import AuditStatus
from streamer.worker.status.readiness import ShardStatus
from streamer.worker.status.shard_notes import ShardNote, leave_note
from streamer.worker.status.shard_state import ShardState
from tests.cli.conftest import SEGMENTS, Run, ndjson

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from streamer.local.redis import RedisServer

SHARDS = 4
NOW_MS, HOUR_MS = 1_772_366_400_000, 3_600_000  # noon, 1 March 2026
DEFINITIONS = parse_definitions(SEGMENTS)


@pytest.fixture(scope="module")
def mock() -> Iterator[MockKafka]:
    """A broker that knows topics and offsets, and no more."""
    with MockKafka() as broker:
        yield broker


@pytest.fixture
def name(redis_server: RedisServer, mock: MockKafka, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The prefix and namespace of an installation whose topics are made and that nobody has begun."""
    name = tmp_path.name.replace("[", "-").replace("]", "")
    for suffix in TOPICS:
        mock.create_topic(f"{name}.{suffix}", SHARDS)
    for suffix in SINGLE_TOPICS:
        mock.create_topic(f"{name}.{suffix}", 1)
    for key, value in {
        "KAFKA": mock.bootstrap,
        "TOPIC_PREFIX": name,
        "SHARDS": str(SHARDS),
        "STORE": redis_server.url,
        "NAMESPACE": name,
    }.items():
        monkeypatch.setenv(f"STREAMER_{key}", value)
    return name


def wrong_in(run: Run, verdict: str = "wrong") -> dict[str, dict[str, Any]]:
    """What the doctor finds wrong, by name; each with what to do about it, and the exit code according to it."""
    told = run("doctor", "--json")
    found = told.lines()
    assert told.code == (1 if any(item["verdict"] == "wrong" for item in found) else 0)
    assert all(item.get("remedy") for item in found if item["verdict"] != "ok")
    return {item["name"]: item for item in found if item["verdict"] == verdict}


@contextmanager
def configured(server: RedisServer, setting: str, value: str) -> Generator[None]:
    """A setting of the server for a while."""
    with Redis.from_url(server.url) as client:
        before: Any = client.config_get(setting)
        client.config_set(setting, value)
        try:
            yield
        finally:
            client.config_set(setting, before[setting])


async def _begin() -> None:
    """What a worker leaves that has read definitions and events in shard 0, and has published nothing."""
    settings = load_settings()
    store = connect(settings.store.get_secret_value(), namespace=settings.namespace)
    first = definitions_control(DEFINITIONS.content(), DEFINITIONS.digest, 1)
    client = producer(settings)
    await client.start()
    topic = DefinitionsTopic(settings, client)
    await check_manifest(settings, topic)
    await topic.append(first)
    await client.stop()
    for number in range(settings.shards):
        shard = await Shard.acquire(number, store, Plans(store, settings.rules), settings.rules, pause=_never)
        records = [LogRecord(0, 0, first, control=True)]
        records += [LogRecord(offset, 1_767_268_800_000, raw) for offset, raw in enumerate(ndjson().splitlines(), 1)]
        await shard.process(records)
    await store.close()


async def _never(_seconds: float) -> None:
    raise StoreUnavailableError("this store does not come and go")


# nothing wrong


@pytest.mark.usefixtures("name")
def test_a_new_installation_has_nothing_wrong(run: Run) -> None:
    """Whatever is not there yet is a warning that says what makes it."""
    told = run("doctor")
    assert told.code == 0, told.out
    assert told.out.splitlines()[-1].endswith(" 0 wrong")
    assert "warning  definitions: none were published: nobody enters a segment" in told.out
    assert "         -> streamer segments publish PATH" in told.out
    assert wrong_in(run) == {}


# Redis


@pytest.mark.usefixtures("name")
def test_no_redis(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commonest: it does not run, or not there."""
    monkeypatch.setenv("STREAMER_STORE", f"redis://127.0.0.1:{free_port()}/0")
    found = wrong_in(run)
    assert set(found) == {"store"}
    assert found["store"]["found"].startswith("no answer from redis://127.0.0.1:")
    assert "STREAMER_STORE" in found["store"]["remedy"]


@pytest.mark.usefixtures("name")
@pytest.mark.parametrize("login", ["", ":hunter2@", "somebody:hunter2@"])
def test_a_redis_that_wants_another_login(run: Run, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, login: str) -> None:
    """It is there and lets nobody in; the password that was tried is not repeated."""
    with configured(redis_server, "requirepass", "correct horse"):
        monkeypatch.setenv("STREAMER_STORE", f"redis://{login}{redis_server.url.removeprefix('redis://')}")
        found = wrong_in(run)
    with Redis.from_url(redis_server.url) as client:
        assert client.ping()
    assert set(found) == {"store"}
    assert "user and password" in found["store"]["remedy"]
    assert "hunter2" not in str(found)


@pytest.mark.usefixtures("name")
def test_every_command_logs_in_to_redis_as_the_worker_does(run: Run, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them left out the password, and would have left out the certificates."""
    asyncio.run(_begin())
    with configured(redis_server, "requirepass", "correct horse"):
        monkeypatch.setenv("STREAMER_STORE_PASSWORD", "correct horse")
        monkeypatch.setenv("STREAMER_STORE", redis_server.url)
        told = {command: run(*command.split()) for command in ("shards list", "keys list", "explain nobody", "models list")}
    assert not [command for command, outcome in told.items() if "Authentication" in outcome.err]
    assert told["shards list"].code == 1, "no worker has said anything of the shards"


@pytest.mark.usefixtures("name")
def test_a_redis_that_evicts(run: Run, redis_server: RedisServer) -> None:
    """A cache's setting: it would drop customers, or the position itself, without a word."""
    with configured(redis_server, "maxmemory-policy", "allkeys-lru"):
        found = wrong_in(run)
    assert "maxmemory-policy is allkeys-lru" in found["store"]["found"]
    assert "CONFIG SET maxmemory-policy noeviction" in found["store"]["remedy"]


@pytest.mark.usefixtures("name")
def test_a_redis_that_is_nearly_full(run: Run, redis_server: RedisServer) -> None:
    """Once it is full it refuses every commit, and the shop stands still; until then nothing is wrong."""
    with configured(redis_server, "maxmemory", "1mb"):
        found = wrong_in(run, "warning")
    assert "bytes are used" in found["store"]["found"]
    assert found["store"]["remedy"] == "raise maxmemory"


@pytest.mark.usefixtures("name")
def test_a_redis_that_writes_nothing_down(run: Run, redis_server: RedisServer) -> None:
    """Allowed, as the log can be replayed, but worth a thought."""
    with configured(redis_server, "appendonly", "no"):
        found = wrong_in(run, "warning")
    assert "appendonly is off" in found["store"]["found"]
    assert "appendonly yes" in found["store"]["remedy"]


def test_a_redis_that_is_old_or_a_replica() -> None:
    """Neither can be had here as a process, so what the server says of itself is given."""
    sound = {"redis_version": "7.4.1", "maxmemory_policy": "noeviction", "role": "master", "aof_enabled": "1"}
    assert read_health(sound).findings == ()
    [old] = read_health({**sound, "redis_version": "6.0.16"}).findings
    assert (old.name, old.severity, old.found) == ("old_version", "unfit", "version 6.0.16 is older than 6.2")
    [replica] = read_health({**sound, "role": "slave"}).findings
    assert (replica.name, replica.severity, replica.found) == ("replica", "danger", "role is slave: commits need the primary")


# Kafka


@pytest.mark.usefixtures("name")
def test_no_kafka(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is looked at all the same."""
    monkeypatch.setenv("STREAMER_KAFKA", f"127.0.0.1:{free_port()}")
    found = wrong_in(run)
    assert set(found) == {"kafka"}
    assert found["kafka"]["found"].startswith("no broker at 127.0.0.1:")
    assert "STREAMER_KAFKA" in found["kafka"]["remedy"]


def test_another_number_of_shards_than_the_topic_has(run: Run, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Customers would be looked for in shards where they are not."""
    monkeypatch.setenv("STREAMER_SHARDS", str(SHARDS + 1))
    found = wrong_in(run)
    assert found[f"topic {name}.events"]["found"] == f"{SHARDS} partitions, STREAMER_SHARDS is {SHARDS + 1}"
    assert f"set STREAMER_SHARDS to {SHARDS}" in found[f"topic {name}.events"]["remedy"]


@pytest.mark.usefixtures("name")
def test_topics_that_are_not_there(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first worker that is as it should be; afterwards the log is gone."""
    monkeypatch.setenv("STREAMER_TOPIC_PREFIX", "nobody-made-these")
    assert wrong_in(run) == {}
    assert wrong_in(run, "warning")["topic nobody-made-these.events"]["found"] == "not there yet"
    asyncio.run(_begin())
    found = wrong_in(run)["topic nobody-made-these.events"]
    assert found["found"] == "not there, although shards have read from it"
    assert "STREAMER_TOPIC_PREFIX" in found["remedy"]


@pytest.mark.usefixtures("name")
def test_a_log_that_ends_before_the_shards_positions(run: Run) -> None:
    """The topic was made anew under a store that remembers the old one."""
    asyncio.run(_begin())
    found = wrong_in(run)
    assert set(found) == {"shards"}
    assert found["shards"]["found"] == f"the log ends before the position of shards {', '.join(map(str, range(SHARDS)))}"


# what the store holds


@pytest.mark.usefixtures("name")
@pytest.mark.parametrize(("setting", "value"), [("LATENESS", "1h"), ("SKEW", "1m"), ("SHARDS", "5")])
def test_settings_that_the_log_was_not_begun_with(run: Run, monkeypatch: pytest.MonkeyPatch, setting: str, value: str) -> None:
    """They are part of the story: with others the same log would say something else."""
    asyncio.run(_begin())
    monkeypatch.setenv(f"STREAMER_{setting}", value)
    found = wrong_in(run)["manifest"]
    assert setting.lower() in found["found"]
    assert "set them back" in found["remedy"]


def test_definitions_that_are_lost(run: Run, redis_server: RedisServer, name: str) -> None:
    """The worker that acquires the shard would halt."""
    asyncio.run(_begin())
    with Redis.from_url(redis_server.url) as client:
        assert client.hdel(f"{{{name}:0}}:documents", definitions_document(DEFINITIONS.digest)) == 1
    found = wrong_in(run)["definitions"]
    assert DEFINITIONS.digest in found["found"]
    assert "streamer shards rebuild" in found["remedy"]


@pytest.mark.usefixtures("name")
def test_a_worker_that_does_not_run(run: Run) -> None:
    """Time stands still, and what was committed waits."""
    asyncio.run(_begin())
    found = wrong_in(run, "warning")
    assert "stands still" in found["log time"]["found"]
    assert "commits wait to be published" in found["outbox"]["found"]


def test_links_that_were_refused_are_told() -> None:
    """Two ids of one person stay apart then: nobody would see it in the segments. A day later it is no news any more."""

    def shard(number: int, refused_ms: int = 0, **identity: int) -> StoredShard:
        body = CheckpointBody(identity=identity, refused_ms=refused_ms, log_time_ms=NOW_MS)
        return StoredShard(number, Checkpoint(1, Position(5, 0), b"", b""), body)

    def found(*shards: StoredShard) -> dict[str, CheckResult]:
        return {check.name: check for check in check_progress(shards, {}, now_ms=NOW_MS, tick_ms=30_000)}

    refused = found(shard(0, linked=70), shard(1, NOW_MS - HOUR_MS, linked=1_930, link_refused=2))["linked ids"]
    said = "2,000, and 2 refused: their person had 50 new ids within 30 days; the newest at 2026-03-01T11:00:00.000Z"
    assert (refused.verdict, refused.found) == ("warning", said)
    assert "in shard 1 " in refused.remedy
    history = found(shard(0, linked=70), shard(1, NOW_MS - 24 * HOUR_MS, linked=1_930, link_refused=2))["linked ids"]
    assert (history.verdict, "2 refused" in history.found) == ("ok", True)
    assert found(shard(0, linked=70))["linked ids"].verdict == "ok"
    assert "3 messages" in found(shard(0, linked=70, seen_twice=3))["linked ids"].found
    assert "linked ids" not in found(shard(0)), "a deployment without logins has nothing to say of them"


def test_customers_who_are_set_aside_are_counted_and_unsigned_records_told() -> None:
    """Their memberships stand and no timer moves them: nobody would see it in the segments. Nor does a log without keys show by itself."""

    def shard(number: int, aside: int) -> StoredShard:
        return StoredShard(number, Checkpoint(1, Position(5, 0), b"", b""), CheckpointBody(aside=aside, log_time_ms=1_000))

    found = {check.name: check for check in check_progress([shard(0, 0), shard(1, 3)], {}, now_ms=1_500, tick_ms=30_000)}
    assert found["customers set aside"].verdict == "warning"
    assert found["customers set aside"].found == "3 in shard 1: their timers do not run"
    assert found["control records"].found.startswith("are not signed in shards 0, 1: whoever may write events")
    assert "customers set aside" not in {check.name for check in check_progress([shard(0, 0)], {}, now_ms=1_500, tick_ms=30_000)}


def test_keys_that_do_not_hold_are_told() -> None:
    """Whoever publishes or erases with them, worker or person, is refused by every shard."""
    rings = [Keyring("shop", {key: key.encode() * 32}) for key in ("a", "b")]
    held = CheckpointBody(trust=Trust({"a": rings[0].check_value("a")}), log_time_ms=1_000)
    shards = [StoredShard(number, Checkpoint(1, Position(5, 0), b"", b""), held) for number in (0, 1)]
    assert list(check_signing(rings[0], shards)) == []
    for ring in (rings[1], Keyring()):
        [check] = check_signing(ring, shards)
        assert (check.verdict, check.found.partition(":")[0]) == ("warning", "shards 0, 1 would refuse what is signed here")


# what the owners of shards say of them


def note(shard: int, problem: str = "", *, state: ShardState = ShardState.OWNED, worker: str = "host:1", **more: Any) -> ShardNote:
    """A note of this moment."""
    status = ShardStatus(shard, state, 60.0, problem)
    return msgspec.structs.replace(ShardNote(int(time() * 1_000), worker, status, zones="2026.1", refused_ratio=0.0), **more)


def told_of(run: Run, *notes: ShardNote) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code of the doctor and what it says, by name, where the owners have said this."""

    async def leave() -> None:
        settings = load_settings()
        store = connect(settings.store.get_secret_value(), namespace=settings.namespace)
        for one in notes:
            await leave_note(store, one)
        await store.close()

    asyncio.run(leave())
    told = run("doctor", "--json")
    return told.code, {item["name"]: item for item in told.lines()}


@pytest.mark.usefixtures("name")
def test_a_halted_shard_is_wrong(run: Run) -> None:
    """It said "13 ok, 0 warnings, 0 wrong" beside it, and alerts send people here first."""
    code, found = told_of(run, note(0), note(1, "halted for 1m: a hole in the log", state=ShardState.HALTED))
    assert code == 1
    assert (found["shard 1"]["verdict"], found["shard 1"]["found"]) == ("wrong", "has halted for 1m: a hole in the log")
    assert "host:1" in found["shard 1"]["remedy"]
    assert "`streamer shards rebuild 1`" in found["shard 1"]["remedy"]
    assert "workers" not in found, "nothing may say ok beside it"


def _with_audit(one: ShardNote, audit: AuditStatus | None) -> ShardNote:
    return msgspec.structs.replace(one, status=msgspec.structs.replace(one.status, audit=audit))


def test_what_the_audit_found_is_told() -> None:
    """Also that there is none, and that it cannot compare anybody."""

    def told(*audits: AuditStatus | None) -> tuple[str, str]:
        notes = [_with_audit(note(number), audit) for number, audit in enumerate(audits)]
        [found] = [check for check in check_workers(notes, load_settings(), int(time() * 1_000)) if check.name == "audit"]
        return found.verdict, found.found

    assert told(None, None) == ("ok", "is off: STREAMER_AUDIT_SHARE is 0, or STREAMER_RECORD_OFFSETS off")
    assert told(AuditStatus(5), AuditStatus(7, unnoted=1)) == (
        "ok",
        "12 customers compared with the log since the workers began, none differs",
    )
    verdict, found = told(AuditStatus(5), AuditStatus(7, 2, 40))
    assert (verdict, found) == ("wrong", "of 2 of 12 customers the store has something else than the log says, in shard 1")
    verdict, found = told(AuditStatus(unnoted=3), AuditStatus())
    assert (verdict, found.partition(":")[0]) == ("warning", "compares nobody")


@pytest.mark.usefixtures("name")
def test_a_halt_that_names_its_way_out_is_ended_by_it(run: Run) -> None:
    """Whoever starts the worker again instead meets the same halt."""
    view = View(begin=50, end=90)
    with pytest.raises(HaltError) as halt:
        check_same_log(1, 20, NOTHING, view)
    _, found = told_of(run, note(1, f"halted for 1m: {halt.value}", state=ShardState.HALTED))
    assert "`streamer shards resume 1 --at 50 --why TEXT` goes on behind the loss" in found["shard 1"]["found"]
    assert found["shard 1"]["remedy"].startswith("do what it names: host:1 then takes the shard up by itself")


async def test_an_open_transaction_is_wrong_once_it_is_longer_than_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds the ticks too: without a word the shard looks as if no time passed."""
    now_ms = int(time() * 1_000)

    async def open_since(_settings: object, shards: int) -> dict[int, tuple[int, int]]:
        assert shards == SHARDS
        return {0: (7, now_ms - 60_000), 1: (9, now_ms - 1_000)}

    monkeypatch.setattr(open_transactions, "open_since", open_since)
    [check] = await check_transactions(load_settings(), SHARDS)
    assert (check.name, check.verdict) == ("shard 0", "wrong")
    assert check.found.startswith("an open transaction holds its log at offset 7 since ")
    assert "find-hanging --topic" in check.remedy


@pytest.mark.usefixtures("name")
@pytest.mark.parametrize(
    ("state", "problem"),
    [
        (ShardState.WAITING, "waiting for 1m: no Redis"),
        (ShardState.OWNED, "the outbox is full"),
        (ShardState.OWNED, "log time stands still"),
    ],
)
def test_a_shard_that_does_not_do_its_work_is_wrong(run: Run, state: ShardState, problem: str) -> None:
    """Whatever it is that holds it up, its owner has said so."""
    code, found = told_of(run, note(2, problem, state=state))
    assert (code, found["shard 2"]["found"]) == (1, f"does not do its work: {problem}")


@pytest.mark.usefixtures("name")
def test_a_shard_that_an_open_transaction_holds_is_listed_with_it_as_why(run: Run) -> None:
    """It has an owner, and does nothing all the same."""
    told_of(run, *(note(shard) for shard in range(SHARDS)))
    assert run("shards").code == 0
    held = open_transactions.Held()
    held.see(20, 7, now=0.0)
    told_of(run, note(2, held.problem(60.0)))
    listed = run("shards", "list", "--json")
    assert listed.code == 1
    assert [line.get("why", "") for line in listed.lines()] == ["", "", held.problem(60.0), ""]


@pytest.mark.usefixtures("name")
def test_shards_with_owners_are_well(run: Run) -> None:
    """Two workers on an ordinary day."""
    code, found = told_of(run, note(0), note(1, worker="host:2"))
    assert (code, found["workers"]["verdict"]) == (0, "ok")
    assert found["workers"]["found"] == f"2 at work, 2 of {SHARDS} shards with an owner"


@pytest.mark.usefixtures("name")
def test_a_worker_that_is_gone_is_no_owner(run: Run) -> None:
    """It takes its notes with it only in that they grow old; what it said last is not how things are."""
    code, found = told_of(run, note(0, "halted", state=ShardState.HALTED, at_ms=1_767_268_800_000))
    assert (code, found["workers"]["verdict"]) == (0, "warning")
    assert "no worker has said anything of shard 0 since 2026-01-01T12:00:00" in found["workers"]["found"]
    assert "shard 0" not in found


@pytest.mark.usefixtures("name")
def test_many_refused_records_are_a_warning(run: Run) -> None:
    """Nothing stands still for them, so somebody has to be told."""
    code, found = told_of(run, note(0, refused_ratio=0.25))
    assert (code, found["refused records"]["verdict"]) == (0, "warning")
    assert "25.0%" in found["refused records"]["found"]


@pytest.mark.usefixtures("name")
def test_zone_data_that_differ_between_workers_are_wrong(run: Run) -> None:
    """Two workers would tell two stories of one log."""
    code, found = told_of(run, note(0), note(1, worker="host:2", zones="2025.2"))
    assert (code, found["zone data"]["verdict"]) == (1, "wrong")
    assert "2025.2 on host:2; 2026.1 on host:1" in found["zone data"]["found"]


# settings


@pytest.mark.parametrize(("name_of", "value"), [("SHARDS", "many"), ("STORE", "localhost"), ("TICK", "often")])
def test_settings_that_are_unusable_have_their_own_exit_code(run: Run, monkeypatch: pytest.MonkeyPatch, name_of: str, value: str) -> None:
    """Nothing could be looked at."""
    monkeypatch.setenv(f"STREAMER_{name_of}", value)
    told = run("doctor", "--json")
    assert told.code == 3
    [found] = told.lines()
    assert (found["name"], found["verdict"]) == ("settings", "wrong")
    assert f"STREAMER_{name_of}" in found["found"]
    assert "streamer config" in found["remedy"]


@pytest.mark.usefixtures("name")
@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"SHRADS": "4"}, "STREAMER_SHRADS is no setting (did you mean STREAMER_SHARDS?): nobody reads it"),
        ({"KAFKA_USERNAME": "me", "KAFKA_PASSWORD": "hunter2"}, "a Kafka user is set, and PLAINTEXT does not log in"),
    ],
)
def test_settings_that_do_nothing(run: Run, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], says: str) -> None:
    """A slip in a name is silent everywhere else."""
    for key, value in given.items():
        monkeypatch.setenv(f"STREAMER_{key}", value)
    told = run("doctor", "--json")
    assert any(item["found"] == says and item["verdict"] == "warning" for item in told.lines())
    assert "hunter2" not in told.out
