# pyright: reportUnknownMemberType=false
"""The web pages of a worker."""

from __future__ import annotations

import faust
import msgspec
from faust.web import Request, Response, View

from streamer.telemetry.metrics import Metrics

from .learner_service import LearnerService
from .segmenter import Segmenter


def add_pages(app: faust.App, metrics: Metrics, segmenter: Segmenter, learner: LearnerService) -> None:
    """Add ``/metrics``, ``/livez`` and ``/readyz`` to the application's web."""

    @app.page("/metrics")
    async def show_metrics(view: View, _request: Request) -> Response:
        segmenter.report.show_now()
        metrics.learner_works.set(0 if learner.problem else 1)
        return view.bytes(metrics.text(), content_type="text/plain; version=0.0.4")

    @app.page("/livez")
    async def show_life(view: View, _request: Request) -> Response:
        return view.json({"status": "alive"})

    @app.page("/readyz")
    async def show_readiness(view: View, _request: Request) -> Response:
        found = segmenter.report.readiness(learner.problem)
        return view.json(msgspec.to_builtins(found), status=200 if found.status == "ready" else 503)
