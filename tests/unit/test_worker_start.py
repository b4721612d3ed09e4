"""What an operator got wrong is said in one line, before anything is started, and never with a password in it; what the worker's parts
do when something is away or breaks."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import socket
from base64 import b64encode
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import faust
import pytest
from pydantic import SecretStr

from streamer.deployment.connecting import starting
from streamer.deployment.obedience import check_signing
from streamer.errors import SettingsError
from streamer.flow.checkpoint import CheckpointBody, encode_body
from streamer.flow.published import GivenVersions
from streamer.settings import Settings, load_settings
from streamer.signing import Keyring, Trust, signature_of
from streamer.stores.base import Commit, Position
from streamer.stores.memory import MemoryStore
from streamer.telemetry.metrics import Metrics
from streamer.transports.kafka import clients, control, topics
from streamer.worker import application
from streamer.worker.learner_service import LearnerService
from streamer.worker.process import check_port

if TYPE_CHECKING:
    from pathlib import Path


def test_a_web_port_that_is_taken_is_a_wrong_setting() -> None:
    """Two workers on one machine is the first thing that people try."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"STREAMER_WEB_PORT: cannot listen on 127\.0\.0\.1:{port}"):
            check_port(load_settings(web_port=port))
    check_port(load_settings(web_port=port))


def test_certificates_that_are_not_there_are_a_wrong_setting(tmp_path: Path) -> None:
    """``ssl`` says neither which file nor which setting."""
    settings = load_settings(kafka_security_protocol="SSL", kafka_ca_file=str(tmp_path / "ca.pem"))
    with pytest.raises(SettingsError, match=r"STREAMER_KAFKA_CA_FILE: cannot use .*ca\.pem \(No such file or directory\)"):
        clients.connection(settings)
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(SettingsError, match="STREAMER_KAFKA_CA_FILE"):
        clients.connection(settings)


async def test_a_password_that_breaks_its_address_is_not_shown() -> None:
    """Cut at its slash, the password is taken for a port and quoted by the error."""
    settings = Settings.model_construct(store=SecretStr("redis://:sekret/rest@localhost:6379"))
    with pytest.raises(SettingsError, match="STREAMER_STORE") as caught:
        async with starting(settings):
            pass
    assert "sekret" not in str(caught.value)
    assert caught.value.__suppress_context__


HELD = Keyring("shop", {"old": b"o" * 32, "new": b"n" * 32})
OLD, NEW, OTHER = (f"{key}:{b64encode(secret * 32).decode()}" for key, secret in (("old", b"o"), ("new", b"n"), ("old", b"x")))


async def _holding(*keys: str) -> MemoryStore:
    """A store in which shard 1 has come to keys that hold, and shard 0 has not begun."""
    store = MemoryStore()
    body = CheckpointBody(trust=Trust({key: HELD.check_value(key) for key in keys}))
    await store.commit(1, Commit(await store.acquire(1), Position(1, 0), b"", encode_body(body)))
    return store


@pytest.mark.parametrize(
    ("own", "says"),
    [
        ("", "signed with 'old', and there is no key here"),
        (NEW, "signs with 'new': 'old' would have to stand first"),
        (f"{NEW},{OLD}", "signs with 'new': 'old' would have to stand first"),
        (OTHER, "that key has another secret"),
    ],
)
async def test_whoever_the_shards_do_not_obey_is_told_before_anything_is_written(own: str, says: str) -> None:
    """It said that definitions were published and a customer erased, and every shard had refused it."""
    settings = load_settings(shards=2, topic_prefix="shop", **({"signing_keys": own} if own else {}))
    with pytest.raises(SettingsError, match=says):
        await check_signing(settings, await _holding("old"))
    await check_signing(settings, await _holding())


async def test_the_first_record_of_keys_is_signed_by_one_that_it_names() -> None:
    """Signed by another it is refused, and no key holds."""
    settings = load_settings(shards=2, topic_prefix="shop", signing_keys=f"{NEW},{OLD}")
    keyring = settings.keyring
    with pytest.raises(SettingsError, match="'old' would have to stand first"):
        await check_signing(settings, MemoryStore(), {"old": keyring.check_value("old")})
    await check_signing(settings, MemoryStore(), {key: keyring.check_value(key) for key in ("old", "new")})
    await check_signing(settings, await _holding("old", "new"), {"old": keyring.check_value("old")})


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        ("PLAINTEXT", None),
        ("SSL", ("SSL", None, None)),
        ("SASL_PLAINTEXT", ("SASL_PLAINTEXT", "SCRAM-SHA-512", False)),
        ("SASL_SSL", ("SASL_SSL", "SCRAM-SHA-512", True)),
    ],
)
def test_the_command_topic_is_read_with_the_same_credentials_as_the_log(protocol: str, expected: object) -> None:
    """Faust has clients of its own; with those in plain text a worker could not start on a cluster that is locked."""
    login = {"kafka_username": "u", "kafka_password": "sekret", "kafka_sasl_mechanism": "SCRAM-SHA-512"}
    settings = load_settings(kafka_security_protocol=protocol, **login)
    found = application._credentials(settings)
    if expected is None:
        assert found is None
        return
    assert found is not None
    is_sasl = isinstance(found, faust.SASLCredentials)
    mechanism = found.mechanism.value if is_sasl else None
    is_encrypted = found.ssl_context is not None if is_sasl else None
    assert (found.protocol.value, mechanism, is_encrypted) == expected
    assert "sekret" not in repr(found)


@pytest.mark.parametrize(("ended", "closed", "is_dead"), [(False, False, False), (True, False, True), (True, True, False)])
async def test_a_producer_whose_sender_ended_is_dead(ended: bool, closed: bool, is_dead: bool) -> None:
    """It refuses everything from then on, and its worker would look ready for ever."""
    client = clients.producer(load_settings())
    task = asyncio.get_running_loop().create_future()
    if ended:
        task.set_result(None)
    cast("Any", client._sender)._sender_task = task
    client._closed = closed
    assert clients.is_dead(client) == is_dead
    client._closed = True


async def test_a_learner_that_breaks_does_not_end_its_worker(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever owns shard 0 runs it: its fault would end one worker after the other."""
    learner = LearnerService(
        load_settings(), MemoryStore(), GivenVersions({}), cast("Any", None), Metrics(), lambda: True, cast("Any", None)
    )
    slept: list[float] = []

    async def breaks() -> None:
        raise ValueError("mila@example.com")

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        learner._stopped.set()

    monkeypatch.setattr(learner, "_learn", breaks)
    monkeypatch.setattr(learner, "sleep", sleep)
    await asyncio.wait_for(LearnerService._run.fun(learner), 5)  # type: ignore[attr-defined] - the function under mode's decorator

    said = capsys.readouterr().out
    assert slept[0] == 60
    assert "learner halted" in said
    assert "mila@example.com" not in said


async def test_a_learner_that_is_stopped_keeps_its_lesson_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """What still runs when a service has stopped is cancelled, with all that was learned since the last commit."""
    learner = LearnerService(
        load_settings(), MemoryStore(), GivenVersions({}), cast("Any", None), Metrics(), lambda: True, cast("Any", None)
    )
    begun, kept = asyncio.Event(), False

    async def learns() -> None:
        nonlocal kept
        begun.set()
        await learner._stopped.wait()
        for _ in range(20):  # a commit takes its time
            await asyncio.sleep(0)
        kept = True

    monkeypatch.setattr(learner, "_learn", learns)
    await learner.start()
    await begun.wait()
    await learner.stop()
    assert kept


async def test_two_parts_of_a_worker_that_write_at_once_do_not_pass_each_other() -> None:
    """A shard refuses a number that is not above the last one: what was signed first and came second would be lost."""
    came: list[int] = []

    class Producer:
        async def send(self, _topic: str, value: bytes, *, partition: int, headers: list[tuple[str, bytes]]) -> Any:
            if value == b"slow" and not partition:
                await asyncio.sleep(0)  # its buffer is full
                await asyncio.sleep(0)
            found = signature_of(tuple(headers))
            assert found is not None
            came.append(found.number)
            return asyncio.sleep(0)

    settings = Settings.model_validate({"signing_keys": SecretStr(f"k1:{b64encode(b'1' * 32).decode()}")})
    client = cast("Any", Producer())
    await asyncio.gather(*(control.send_control(client, settings, raw, range(2)) for raw in (b"slow", b"quick")))
    assert len(came) == 4
    assert came == sorted(came)


def test_a_topic_that_the_broker_refused_to_create_is_a_wrong_setting() -> None:
    """The client returns the refusal as a number; unread, the worker waited for a topic that never came."""
    answer = SimpleNamespace(topic_errors=[("streamer.events", 0, None), ("streamer.alerts", 36, "exists")])
    assert topics._created(answer) == ["streamer.events"]
    refused = SimpleNamespace(topic_errors=[("streamer.events", 38, "replication factor: 3 larger than available brokers: 1.")])
    with pytest.raises(SettingsError, match=r"topic streamer\.events: .* InvalidReplicationFactor.*larger than available brokers"):
        topics._created(refused)
