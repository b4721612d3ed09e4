"""What an operator's programs ask a deliverer: whether it lives, whether it delivers, and its figures."""

from __future__ import annotations

from aiohttp import web

from streamer.telemetry.webhook_metrics import WebhookMetrics
from streamer.transports.kafka.broker_watch import BrokerWatch
from streamer.web.process_pages import process_page

from .deliverer import Deliverer


class WebhookPages:
    """``/livez``, ``/readyz`` and ``/metrics``. An endpoint that fails is no problem of the process: it stands in the figures."""

    def __init__(self, deliverer: Deliverer, brokers: BrokerWatch, metrics: WebhookMetrics) -> None:
        self._deliverer = deliverer
        self._brokers = brokers
        self._metrics = metrics

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The page of a path."""
        return process_page(request.path, self.problems, self._figures)

    def problems(self) -> list[str]:
        """Why changes are not delivered at the moment."""
        return [problem for problem in (self._brokers.problem, *self._deliverer.problems()) if problem]

    def _figures(self) -> bytes:
        self._metrics.kafka_silent.set(self._brokers.silent_seconds)
        return self._metrics.text()
