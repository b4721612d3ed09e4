# pyright: reportUnknownMemberType=false
"""The Faust application of a worker: its services, its agent for commands, its timers and its web pages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import faust
import structlog
from mode import ServiceT
from structlog.typing import FilteringBoundLogger

from streamer.settings import Settings
from streamer.telemetry.metrics import Metrics
from streamer.transports.kafka.clients import ssl_context
from streamer.wire import COMMANDS, Headers

from .commands.handler import CommandHandler
from .learner_service import LearnerService
from .pages import add_pages
from .segmenter import Segmenter

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.worker")

POSITIONS_SECONDS: Final = 5.0  # between two commits of the group's offsets
STORE_SECONDS: Final = 10.0  # between two looks at how the store is set up


@dataclass(slots=True)
class Parts:
    """What one worker consists of."""

    settings: Settings
    metrics: Metrics
    segmenter: Segmenter
    learner: LearnerService
    handler: CommandHandler


class Application(faust.App):
    """A Faust application that starts segmenter and learner beside its own consumer, and stops them first.

    As ordinary services they would wait until Faust has joined the group of the commands, which takes a session timeout when a worker died
    while joining it: a minute without segments for the sake of a topic on which nothing may come all day.
    """

    def __init__(self, services: Sequence[Segmenter | LearnerService], *args: Any, **kwargs: Any) -> None:
        self.services = services
        self.ours_ended = asyncio.Event()
        super().__init__(*args, **kwargs)

    def on_init_dependencies(self) -> Iterable[ServiceT]:
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
        [parts.segmenter, parts.learner],
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
    _add_commands(app, settings, parts.handler)
    _add_timers(app, parts)
    add_pages(app, parts.metrics, parts.segmenter, parts.learner)
    return app


def _credentials(settings: Settings) -> faust.SASLCredentials | faust.SSLCredentials | None:
    """The settings of ``transports.kafka.clients.connection`` as Faust wants them; None for plain text."""
    context = ssl_context(settings) if "SSL" in settings.kafka_security_protocol.removeprefix("SASL") else None
    if settings.kafka_security_protocol.startswith("SASL"):
        password = settings.kafka_password.get_secret_value() if settings.kafka_password else ""
        return faust.SASLCredentials(
            username=settings.kafka_username, password=password, ssl_context=context, mechanism=settings.kafka_sasl_mechanism
        )
    return faust.SSLCredentials(context) if context is not None else None


def _add_commands(app: faust.App, settings: Settings, handler: CommandHandler) -> None:
    """The agent that does what people ask for. It never raises: Faust passes over an event whose handler raised."""
    topic = app.topic(settings.topic(COMMANDS), value_type=bytes, value_serializer="raw", key_serializer="raw")

    @app.agent(topic, name="commands")
    async def commands(stream: Any) -> None:
        async for event in stream.events():
            await handler.handle(event.value or b"", _headers(event.headers))


def _headers(given: Mapping[str, bytes] | Sequence[tuple[str, bytes]] | None) -> Headers:
    """A record's headers as Faust gives them: names and values, or none."""
    return tuple(given.items() if isinstance(given, Mapping) else given or ())


def _add_timers(app: faust.App, parts: Parts) -> None:
    """Upkeep that may wait until Faust has its group. What guards a shard may not, and is a task of the segmenter."""
    segmenter = parts.segmenter
    _add_timer(app, "positions", POSITIONS_SECONDS, segmenter.commit_positions)
    _add_timer(app, "store", STORE_SECONDS, segmenter.store_watch.look)
    _add_timer(app, "topic", parts.settings.probe / 1_000, segmenter.log_watch.look_at_topic)


def _add_timer(app: faust.App, name: str, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    """Do ``work`` every so many seconds. An error costs one time: Faust would end the worker with it."""

    async def once() -> None:
        try:
            await work()
        except Exception as error:
            log.warning("upkeep failed", action="upkeep", what=name, why=type(error).__name__)

    app.timer(seconds, name=name, traced=False)(once)
