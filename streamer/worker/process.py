"""The life of a worker process: checked, connected, run by Faust, and ended within its ten seconds."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from typing import Final

import faust
from aiokafka.errors import KafkaError

from streamer.deployment.connecting import starting
from streamer.deployment.obedience import check_signing
from streamer.deployment.publishing import first_definitions
from streamer.errors import SettingsError, place_of
from streamer.settings import Settings
from streamer.stopping import Stopping, run_until_asked
from streamer.telemetry.metrics import Metrics
from streamer.transports.kafka.sink import KafkaSink

from .application import Application, Parts, make_app
from .commands.actions import Tools
from .commands.handler import command_handler
from .learner_service import LearnerService
from .segmenter import Segmenter
from .status.alerts import kafka_alerts

REST_SECONDS: Final = 1.5  # for what is not ours to end, once ours has
LEARNER_HOME: Final = 0  # whoever owns this shard runs the learner


class _Worker(faust.Worker):
    """A Faust worker that leaves signals to ``Stopping``, and prints nothing."""

    def __init__(self, app: Application) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(app, loglevel="WARN", override_logging=False, redirect_stdouts=False, quiet=True, loop=loop)  # pyright: ignore[reportUnknownMemberType]
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
    await run_until_asked(_work(settings, stopping), stopping)


async def _work(settings: Settings, stopping: Stopping) -> None:
    """Start, run, and stop in order once cancelled."""
    check_port(settings)
    async with starting(settings) as (client, store):
        await check_signing(settings, store)
        await first_definitions(settings, client, store)
        metrics = Metrics()
        alerts = kafka_alerts(settings, client, metrics)
        segmenter = Segmenter(settings, store, client, KafkaSink(settings, client), metrics, alerts)
        topic = segmenter.definitions
        learner = LearnerService(settings, store, topic, client, metrics, lambda: segmenter.report.owns(LEARNER_HOME), alerts)
        handler = command_handler(Tools(settings, store, client), topic, alerts)
        with tempfile.TemporaryDirectory(prefix="streamer-") as folder:
            app = make_app(Parts(settings, metrics, segmenter, learner, handler), folder)
            await _run(_Worker(app), app, stopping)


async def _run(worker: _Worker, app: Application, stopping: Stopping) -> None:
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


async def _stop(worker: _Worker, app: Application, stopping: Stopping) -> None:
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
