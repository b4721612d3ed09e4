"""``streamer ingest``."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from . import EXIT_CODES


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("ingest", epilog=EXIT_CODES, short_help="Read topics of a shop in their own format, and write events to the log.")(ingest)


def ingest(
    topics: Annotated[
        list[str] | None, typer.Argument(metavar="TOPIC", help="topics of the shop, by their full names; also STREAMER_INGEST_TOPICS")
    ] = None,
    format_name: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="what a message is: segment, rudderstack (as their servers deliver it), segment_sdk (as SDKs send it), snowplow, ga4, "
            "cloudevents, streamer; also STREAMER_INGEST_FORMAT",
        ),
    ] = None,
    mapping: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="a mapping instead, for messages that are rows; also STREAMER_INGEST_MAPPING")
    ] = None,
    web_port: Annotated[
        int | None, typer.Option(metavar="PORT", help="where /metrics, /livez and /readyz are; also STREAMER_INGEST_WEB_PORT")
    ] = None,
) -> None:
    """Read existing topics of a shop, message by message, and write what they tell of to the log.

    The position of its consumer group, GROUP-ingest-FORMAT, moves only once each event of a message is acknowledged by all replicas, and
    each part that is no event is a dead letter. After a crash messages are read again; their events have the same ids, and count once.
    As many may run as there are partitions. The first start begins with messages of STREAMER_LATENESS ago, as older ones would be
    refused as late.

    Topics of different formats need an ingest each. Ctrl-C or SIGTERM ends it within ten seconds, with what it has in hand written.
    """
    from streamer.stopping import Stopping

    with Stopping() as stopping:  # before anything is imported that takes its time
        from streamer.ingest.process import run_ingest
        from streamer.settings import load_settings
        from streamer.telemetry.log_lines import configure_logging

        options = {
            "ingest_topics": tuple(topics) if topics else None,
            "ingest_format": format_name,
            "ingest_mapping": mapping,
            "ingest_web_port": web_port,
        }
        settings = load_settings(**{name: value for name, value in options.items() if value is not None})
        configure_logging(settings.log_level)
        asyncio.run(run_ingest(settings, stopping))
