"""Put the parts together: a Faust worker that carries the segmenter as a service.

Faust gives the process its life: supervision, signals, the web port, and an agent on the low-rate command topic. The log's hot path goes
past its streams: they cost 70 to 100 microseconds an event, and drop events whose handler raised.
"""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import faust
import msgspec
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from faust.web import Request, Response

from .errors import HaltError, SettingsError, StoreUnavailableError, StreamerError, place_of
from .flow.checkpoint import CheckpointBody, decode_body
from .flow.published import Publication, encode_manifest, manifest_of
from .flow.shard import compile_plan
from .language.definitions import Definitions, load_definitions
from .settings import Settings
from .stopping import Stopping, at_most
from .stores.base import Store
from .stores.redis import RedisStore, connect
from .telemetry.metrics import Metrics
from .transports.kafka.clients import producer, ssl_context
from .transports.kafka.control import pass_on, send_control
from .transports.kafka.definitions_topic import DefinitionsTopic
from .transports.kafka.events_topic import check_events_topic
from .transports.kafka.sink import KafkaSink
from .transports.kafka.topics import check_topics, ensure_topics
from .wire import COMMANDS, DEFINITIONS, Control, Headers, definitions_control, encode_control, shard_of
from .worker.alerts import kafka_alerts
from .worker.completion import CompletionService
from .worker.learner_service import LearnerService
from .worker.segmenter import Segmenter

log: Any = structlog.get_logger("streamer.app")

REST_SECONDS: Final = 1.5  # for what is not ours to end, once ours has
CLOSE_SECONDS: Final = 0.5  # for a client to close: one whose server is away would wait for it
COMMAND_AGAIN_SECONDS: Final = 1.0
LEARNER_HOME: Final = 0  # whoever owns this shard runs the learner


@dataclass(slots=True)
class Parts:
    """What one worker consists of."""

    settings: Settings
    store: Store
    producer: AIOKafkaProducer
    metrics: Metrics
    segmenter: Segmenter
    learner: LearnerService
    completion: CompletionService


async def check_manifest(settings: Settings, topic: DefinitionsTopic, *, new_log: bool = False) -> None:
    """Write the manifest of the log, or compare with the one that is there. Raises SettingsError.

    Of two who write it at the same time the first counts, for both. ``new_log``: the settings may be of the next generation of the log.
    """
    mine = manifest_of(settings.topic_prefix, settings.rules, settings.namespace)
    published = await topic.refresh()
    if published.manifest is None or (new_log and mine.follows(published.manifest)):
        await topic.append(encode_manifest(mine))
        published = await topic.refresh()
    kept = published.manifest
    if kept is None:
        raise SettingsError(f"topic {settings.topic(DEFINITIONS)}: what was just written is not there")
    if kept.story != mine.story:
        raise SettingsError(
            f"the log was begun by a release that tells story version {kept.story}, this one tells {mine.story}: before 1.0 an upgrade "
            "that changes the story means to tell it anew; use another STREAMER_NAMESPACE and STREAMER_TOPIC_PREFIX, and write the events "
            "there again"
        )
    if mine.follows(kept):
        raise SettingsError(
            f"STREAMER_LOG_GENERATION: the log is of generation {kept.rules.log_generation}; where its topic {kept.topic} was "
            "made anew, stop all workers and begin the next one by `streamer shards rebuild --new-log`"
        )
    if differences := kept.differences(mine):
        raise SettingsError(
            f"the log was begun with other settings: {'; '.join(differences)}; these are part of the story and cannot change: "
            "set them back, or use another STREAMER_NAMESPACE and STREAMER_TOPIC_PREFIX"
        )
    if kept.namespace != mine.namespace and not settings.create:
        raise SettingsError(
            f"STREAMER_NAMESPACE: the state of this log is kept under {kept.namespace!r}, not {mine.namespace!r}; correct it, or begin "
            "another state of the same log with --create (or STREAMER_CREATE=true)"
        )


async def publish_definitions(settings: Settings, client: AIOKafkaProducer, store: Store, *paths: Path) -> tuple[Publication, bool]:
    """Check definitions, give them a number, and write them into every shard; the publication, and whether it is new.

    What is in force already is not published again. Should this end between the number and the shards, their owners notice.
    """
    definitions = load_definitions(*paths)
    await check_signing(settings, store)
    topic = DefinitionsTopic(settings, client)
    newest = (await topic.refresh()).newest
    if newest is not None and newest.digest == definitions.digest and await _is_obeyed(settings, store, topic, newest):
        return newest, False
    return await _publish(settings, client, store, topic, definitions), True


async def _publish(
    settings: Settings, client: AIOKafkaProducer, store: Store, topic: DefinitionsTopic, definitions: Definitions
) -> Publication:
    compile_plan(definitions, settings.rules)  # before anything is in the log
    content, digest, newest = definitions.content(), definitions.digest, topic.published.newest
    number = 1 + max(newest.version if newest is not None else 0, await _highest_in_force(settings, store))
    offset = await topic.append(definitions_control(content, digest, number))
    if (error := (await topic.refresh()).refused.get(offset)) is not None:
        raise SettingsError(f"STREAMER_SIGNING_KEYS: what was published does not count: {error.detail}; see `streamer keys list`")
    mine = topic.published.upto(offset)
    await send_control(client, settings, definitions_control(content, digest, mine.version), range(settings.shards))
    return mine


async def _is_obeyed(settings: Settings, store: Store, topic: DefinitionsTopic, newest: Publication) -> bool:
    """Whether the shards obey the newest publication, or will; not so where it is not signed and they do not have it."""
    if await topic.vouched(newest.version) is not None:
        return True
    return all(body.version >= newest.version for body in await _bodies(settings, store))


async def _highest_in_force(settings: Settings, store: Store) -> int:
    """The newest version that a shard has: above what the topic says only if that has lost records."""
    return max(body.version for body in await _bodies(settings, store))


async def _bodies(settings: Settings, store: Store) -> list[CheckpointBody]:
    """What the store has of every shard; of one that has not begun, the beginning."""
    found = [(await store.checkpoint(shard)).body for shard in range(settings.shards)]
    return [decode_body(raw) if raw else CheckpointBody() for raw in found]


def log_topics(names: list[str]) -> None:
    """Say in the worker's log that topics were made."""
    log.info("topics made", action="topics", topics=names)


@asynccontextmanager
async def starting(
    settings: Settings, *, may_begin: bool = True, made: Callable[[list[str]], None] = log_topics, new_log: bool = False
) -> AsyncGenerator[tuple[AIOKafkaProducer, RedisStore]]:
    """A producer and a store that fit the settings, closed at the end. Raises SettingsError.

    ``may_begin``: whether a log that is not there is begun, see ``ensure_topics``; ``made`` is told the topics that were made.
    ``new_log``: whether the next generation of the log is begun, see ``check_manifest``.
    """
    store = connect(settings.redis.get_secret_value(), namespace=settings.namespace, options=settings.redis_options)
    client = producer(settings)
    try:
        if names := await _started(client, settings, may_begin=may_begin):
            made(names)
        await check_store(settings, store)
        await _check_log(settings, DefinitionsTopic(settings, client), new_log=new_log)
        yield client, store
    finally:
        for closed in (client.stop(), store.close()):
            await at_most(CLOSE_SECONDS, closed)


async def check_store(settings: Settings, store: RedisStore) -> None:
    """SettingsError unless Redis answers and may be trusted with state."""
    try:
        problems = (await store.health()).problems()
    except StoreUnavailableError as error:
        raise SettingsError(f"STREAMER_REDIS: no Redis at {settings.shown()['redis']} ({error})") from None
    if problems:
        raise SettingsError(f"STREAMER_REDIS: {'; '.join(problems)}")


async def check_signing(settings: Settings, store: Store, named: Mapping[str, str] = MappingProxyType({})) -> None:
    """SettingsError where a shard would refuse what this process signs: it would say that it is done, and nobody would obey.

    ``named``: the check values of the keys that are about to hold, which count where none holds anywhere.
    """
    held = [body.trust.keys for body in await _bodies(settings, store) if body.trust.keys]
    for keys in held or [named]:
        if refusal := settings.keyring.refusal(keys):
            raise SettingsError(refusal)


async def _started(client: AIOKafkaProducer, settings: Settings, *, may_begin: bool) -> list[str]:
    """Connect; the names of the topics that were made."""
    names: list[str] = []
    try:
        await client.start()
    except Exception as error:
        raise SettingsError(f"STREAMER_KAFKA: no broker at {settings.kafka} ({type(error).__name__})") from None
    try:
        names = await ensure_topics(settings, may_begin=may_begin)
    except (AttributeError, NotImplementedError):  # the embedded broker has no admin calls; its topics were made beforehand
        log.debug("no admin calls", action="topics")
    except KafkaError as error:
        raise SettingsError(f"STREAMER_KAFKA: cannot make topics at {settings.kafka} ({type(error).__name__})") from None
    try:
        await check_topics(settings, client)
        await check_events_topic(settings)
    except KafkaError as error:
        raise SettingsError(f"STREAMER_KAFKA: cannot look at the topics at {settings.kafka} ({type(error).__name__})") from None
    return names


async def _check_log(settings: Settings, topic: DefinitionsTopic, *, new_log: bool) -> None:
    try:
        await check_manifest(settings, topic, new_log=new_log)
    except HaltError as error:
        raise SettingsError(str(error)) from None
    except (KafkaError, TimeoutError) as error:
        raise SettingsError(f"STREAMER_KAFKA: cannot read the topic {settings.topic(DEFINITIONS)} ({type(error).__name__})") from None


async def first_definitions(settings: Settings, client: AIOKafkaProducer, store: Store) -> None:
    """Publish ``settings.segments`` if nothing was ever published: whatever was is newer, also when Redis came back empty."""
    if settings.segments is None:
        return
    topic = DefinitionsTopic(settings, client)
    if (await topic.refresh()).newest is None and not await _highest_in_force(settings, store):
        found = await _publish(settings, client, store, topic, load_definitions(settings.segments))
        log.info("definitions published", action="publish", digest=found.digest, version=found.version)


class _App(faust.App):
    """A Faust application that starts segmenter and learner beside its own consumer, and stops them first.

    As an ordinary service it would wait until Faust has joined the group of the command topic, which takes a session timeout when a worker
    died while joining it: a minute without segments for the sake of a topic on which nothing may come all year.
    """

    def __init__(self, services: Sequence[Any], *args: Any, **kwargs: Any) -> None:
        self.services = services
        self.ours_ended = asyncio.Event()
        super().__init__(*args, **kwargs)

    def on_init_dependencies(self) -> Iterable[Any]:
        return [*self.services, *super().on_init_dependencies()]

    async def on_stop(self) -> None:
        await asyncio.gather(*(service.stop() for service in self.services))  # at once: each may have to wait for a server that is away
        self.ours_ended.set()
        await super().on_stop()

    def unfinished(self) -> list[str]:
        """What of ours has begun and not ended yet."""
        return [type(service).__name__ for service in self.services if service.started and not service.finished.is_set()]


def make_app(parts: Parts, folder: str) -> _App:
    """The Faust application around the segmenter. ``folder`` is where Faust may keep files; it keeps none of ours."""
    settings = parts.settings
    app = _App(
        [parts.segmenter, parts.learner, parts.completion],
        f"{settings.group}-control",
        broker=[f"kafka://{address.strip()}" for address in settings.kafka.split(",")],
        env_prefix="STREAMER_FAUST_",  # Faust reads the environment over everything else: keep strangers' variables out
        datadir=folder,
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=0,
        stream_wait_empty=False,
        producer_threaded=False,
        worker_redirect_stdouts=False,
        broker_credentials=_credentials(settings),
        web_enabled=True,
        web_host=settings.web_host,
        web_bind=settings.web_host,
        web_port=settings.web_port,
        web_tables_enabled=False,
        web_router_enabled=False,
        broker_session_timeout=settings.session_timeout / 1_000,
        broker_heartbeat_interval=settings.session_timeout / 10_000,
    )
    _add_commands(app, parts)
    _add_pages(app, parts)
    return app


def _credentials(settings: Settings) -> Any:
    """The settings of ``kafka.connection`` as Faust wants them; None for plain text."""
    context = ssl_context(settings) if "SSL" in settings.kafka_security_protocol.removeprefix("SASL") else None
    if settings.kafka_security_protocol.startswith("SASL"):
        password = settings.kafka_password.get_secret_value() if settings.kafka_password else ""
        return faust.SASLCredentials(
            username=settings.kafka_username, password=password, ssl_context=context, mechanism=settings.kafka_sasl_mechanism
        )
    return faust.SSLCredentials(context) if context is not None else None


def _add_commands(app: faust.App, parts: Parts) -> None:
    """Low-rate commands: every handler can be run twice, and none raises, since a handler that raises loses its command."""
    topic = app.topic(parts.settings.topic(COMMANDS), value_type=bytes, value_serializer="raw", key_serializer="raw")

    @app.agent(topic, name="commands")
    async def commands(stream: Any) -> None:
        async for event in stream.events():
            await obey(parts, event.value, _headers(event.headers))


def _headers(given: Any) -> Headers:
    """A record's headers as Faust gives them: names and values, or none."""
    return tuple(given.items() if isinstance(given, dict) else given or ())


class Command(msgspec.Struct):
    """What an operator's tool may ask for on the command topic.

    Where keys hold in the log, the record carries the header ``streamer-signature`` of the record that is to be written there, see
    ``erasure``. A worker passes it on and signs for nobody: the shard judges it, and refuses what is not signed or came before.
    """

    command: str
    customer: str = ""


async def obey(parts: Parts, raw: bytes, headers: Headers = ()) -> None:
    """Run a command until it is done: what is given up here is never asked for again, and it may be an erasure."""
    while True:
        try:
            return await run_command(parts, raw, headers)
        except KafkaError as error:
            log.warning("command waits for the broker", action="command", why=type(error).__name__)
            await asyncio.sleep(COMMAND_AGAIN_SECONDS)
        except (StreamerError, ValueError, OSError) as error:
            log.error("command failed", action="command", why=str(error))
            return None


async def run_command(parts: Parts, raw: bytes, headers: Headers = ()) -> None:
    """Erase a customer. ValueError for anything else."""
    command = msgspec.json.decode(raw, type=Command)
    if command.command != "erase" or not command.customer:
        raise ValueError(f"expected the command 'erase' with a customer, found {command.command!r:.40}")
    shard, record = erasure(parts.settings, command.customer)
    await pass_on(parts.producer, parts.settings, record, shard, headers)


async def erase(settings: Settings, client: AIOKafkaProducer, customer: str) -> None:
    """Write the record that makes a customer's shard forget them."""
    shard, raw = erasure(settings, customer)
    await send_control(client, settings, raw, [shard])


def erasure(settings: Settings, customer: str) -> tuple[int, bytes]:
    """The shard of a customer, and the record that makes it forget them."""
    return shard_of(customer, settings.shards), encode_control(Control("erase", customer=customer))


def _add_pages(app: faust.App, parts: Parts) -> None:
    metrics, segmenter, learner = parts.metrics, parts.segmenter, parts.learner

    @app.page("/metrics")
    async def show_metrics(view: Any, _request: Request) -> Response:
        segmenter.show_now()
        metrics.learner_works.set(0 if learner.problem else 1)
        return view.bytes(metrics.text(), content_type="text/plain; version=0.0.4")

    @app.page("/livez")
    async def show_life(view: Any, _request: Request) -> Response:
        return view.json({"status": "alive"})

    @app.page("/readyz")
    async def show_readiness(view: Any, _request: Request) -> Response:
        found = segmenter.readiness(learner.problem)
        return view.json(msgspec.to_builtins(found), status=200 if found.status == "ready" else 503)


_QUIET: Final[dict[str, Any]] = {"loglevel": "WARN", "override_logging": False, "redirect_stdouts": False, "quiet": True}


class _Worker(faust.Worker):
    """A Faust worker that leaves signals to ``Stopping``, and prints nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.spinner = None  # it writes escape codes even where there is no terminal

    def install_signal_handlers(self) -> None:
        """Signals are heard before the worker begins, and until the process ends."""


def check_port(settings: Settings) -> None:
    """SettingsError when the web port cannot be had: better before the group is joined than after."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(settings.web_host, settings.web_port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the web server does: what only lingers is no hindrance
            probe.bind(address)
    except OSError as error:
        raise SettingsError(
            f"STREAMER_WEB_PORT: cannot listen on {settings.web_host}:{settings.web_port} ({error.strerror}); "
            "workers on one machine need a port each"
        ) from None


async def run_worker(settings: Settings, stopping: Stopping) -> None:
    """Run until ``stopping`` begins; raises what stopped it otherwise. A start that is interrupted is given up."""
    work, asked = asyncio.create_task(_work(settings, stopping)), asyncio.create_task(stopping.asked())
    await asyncio.wait({work, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    work.cancel()  # does nothing when it has ended by itself
    with suppress(asyncio.CancelledError):
        await work


async def _work(settings: Settings, stopping: Stopping) -> None:
    """Start, run, and stop in order once cancelled."""
    check_port(settings)
    async with starting(settings) as (client, store):
        await check_signing(settings, store)
        await first_definitions(settings, client, store)
        metrics = Metrics()
        alerts = kafka_alerts(settings, client, metrics)
        segmenter = Segmenter(settings, store, client, KafkaSink(settings, client), metrics, alerts)
        topic = DefinitionsTopic(settings, client)
        learner = LearnerService(settings, store, topic, client, metrics, lambda: segmenter.owns(LEARNER_HOME), alerts)
        completion = CompletionService(settings, topic, client, segmenter.in_force)
        with tempfile.TemporaryDirectory(prefix="streamer-") as folder:
            app = make_app(Parts(settings, store, client, metrics, segmenter, learner, completion), folder)
            await _run(_Worker(app, **_QUIET, loop=asyncio.get_running_loop()), app, stopping)


async def _run(worker: _Worker, app: _App, stopping: Stopping) -> None:
    stopping.left = app.unfinished
    try:
        await worker.start()
    except asyncio.CancelledError:
        pass
    finally:
        crash: BaseException | None = worker.crash_reason
        if crash is not None:
            stopping.left = lambda: [f"broken by {type(crash).__name__} in {place_of(crash)}"]
        await _stop(worker, app, stopping)
    if isinstance(crash, KafkaError):
        raise SettingsError(f"STREAMER_KAFKA: {type(crash).__name__}: {crash}") from None
    if crash is not None:
        raise crash


async def _stop(worker: _Worker, app: _App, stopping: Stopping) -> None:
    """Stop all; once what is ours has ended, the rest gets ``REST_SECONDS``: Faust's own consumer cannot be stopped while it looks for its
    group, and it holds nothing of ours."""
    stopping.begin()
    stop, ours = asyncio.create_task(worker.stop()), asyncio.create_task(app.ours_ended.wait())
    await asyncio.wait({stop, ours}, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.wait({stop}, timeout=REST_SECONDS)
    ours.cancel()
    if not stop.done():
        stopping.leave()
    stop.result()


__all__ = [
    "check_manifest",
    "check_port",
    "check_signing",
    "erase",
    "first_definitions",
    "make_app",
    "publish_definitions",
    "run_command",
    "run_worker",
    "starting",
]
