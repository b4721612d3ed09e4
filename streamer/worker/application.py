"""The Faust application of a worker: its services, its agent for commands, its timers and its web pages."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import faust
import msgspec
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from structlog.typing import FilteringBoundLogger

from streamer.errors import StreamerError
from streamer.settings import Settings
from streamer.stores.base import Store
from streamer.telemetry.metrics import Metrics
from streamer.transports.kafka.clients import ssl_context
from streamer.transports.kafka.control import pass_on, send_control
from streamer.wire import COMMANDS, Control, Headers, encode_control, shard_of

from .completion import CompletionService
from .learner_service import LearnerService
from .pages import add_pages
from .segmenter import Segmenter

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.app")

COMMAND_AGAIN_SECONDS: Final = 1.0


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


class Application(faust.App):
    """A Faust application that starts segmenter and learner beside its own consumer, and stops them first.

    As an ordinary service it would wait until Faust has joined the group of the command topic, which takes a session timeout when a worker
    died while joining it: a minute without segments for the sake of a topic on which nothing may come all year.
    """

    def __init__(self, services: Sequence[Any], *args: Any, **kwargs: Any) -> None:
        self.services = services
        self.ours_ended = asyncio.Event()
        super().__init__(*args, **kwargs)

    def on_init_dependencies(self) -> Iterable[Any]:
        """What Faust starts first: ours, then its own."""
        return [*self.services, *super().on_init_dependencies()]

    async def on_stop(self) -> None:
        """Stop ours, then Faust's own."""
        await asyncio.gather(*(service.stop() for service in self.services))  # at once: each may have to wait for a server that is away
        self.ours_ended.set()
        await super().on_stop()

    def unfinished(self) -> list[str]:
        """What of ours has begun and not ended yet."""
        return [type(service).__name__ for service in self.services if service.started and not service.finished.is_set()]


def make_app(parts: Parts, folder: str) -> Application:
    """The Faust application around the segmenter. ``folder`` is where Faust may keep files; it keeps none of ours."""
    settings = parts.settings
    app = Application(
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
    add_pages(app, parts.metrics, parts.segmenter, parts.learner)
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
