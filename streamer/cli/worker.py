"""``streamer worker`` and ``streamer config``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from . import EXIT_CODES
from .terminal import echo, echo_json

Create = Annotated[
    bool, typer.Option("--create", help="begin a new log where the cluster has another already, or a new state of a log in the store")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("worker", epilog=EXIT_CODES, short_help="Run a worker: events from Kafka in, segment changes out.")(worker)
    app.command("config", epilog=EXIT_CODES, short_help="Print the settings in force, secrets hidden.")(config)


def worker(
    segments: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="definitions (a YAML file or a folder) to publish at the start if there are none yet"),
    ] = None,
    web_port: Annotated[
        int | None, typer.Option(metavar="PORT", help="where /metrics, /livez and /readyz are; workers on one machine need one each")
    ] = None,
    create: Create = False,
) -> None:
    """Run a worker: read events from Kafka, keep what is known of customers in the store, write segment changes to Kafka.

    Any number of workers share the work, up to one per shard. Ctrl-C or SIGTERM ends one within ten seconds, with exit code 0; the others
    take over. Settings come from the environment, see `streamer config`; `streamer doctor` says what is amiss with Kafka and the store.

    The topics of a new log are made, and the worker's log says so; where the cluster has another log already, only with --create, since a
    misspelt STREAMER_TOPIC_PREFIX looks just like that. So does STREAMER_NAMESPACE where the log's state is kept under another one.
    """
    from streamer.stopping import Stopping

    with Stopping() as stopping:  # before anything is imported that takes its time
        from streamer.settings import load_settings
        from streamer.telemetry.log_lines import configure_logging
        from streamer.worker.process import run_worker

        options = {"segments": segments, "web_port": web_port, "create": create or None}
        settings = load_settings(**{name: value for name, value in options.items() if value is not None})
        configure_logging(settings.log_level)
        asyncio.run(run_worker(settings, stopping))


def config(as_json: Annotated[bool, typer.Option("--json", help="as one JSON object")] = False) -> None:
    """Print the settings in force, secrets hidden.

    A setting comes from its STREAMER_… variable in the environment, else from the TOML file that STREAMER_CONFIG names, else it has its
    default.
    """
    from streamer.settings import Settings, load_settings

    shown = load_settings().shown()
    if as_json:
        echo_json(shown)
        return
    for name, value in shown.items():
        echo(f"STREAMER_{name.upper():<24} {'' if value is None else value!s:<40} {Settings.model_fields[name].description}")
