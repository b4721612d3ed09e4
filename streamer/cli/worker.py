"""``streamer worker`` and ``streamer config``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from streamer.settings import Settings, load_settings


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("worker")(worker)
    app.command("config")(config)


def worker(
    segments: Annotated[Path | None, typer.Option(help="definitions to publish at the start if the log has none")] = None,
    web_port: Annotated[int | None, typer.Option(help="port of /metrics, /livez and /readyz; one for each worker")] = None,
) -> None:
    """Run a worker. Any number of them share the shards; SIGTERM ends one within ten seconds, with exit code 0."""
    from streamer.app import configure_logging, run_worker

    given = {name: value for name, value in (("segments", segments), ("web_port", web_port)) if value is not None}
    settings = load_settings(**given)
    configure_logging(settings.log_level)
    asyncio.run(run_worker(settings))


def config(as_json: Annotated[bool, typer.Option("--json", help="as one JSON object")] = False) -> None:
    """Print the settings in force, secrets hidden. They come from STREAMER_… variables, then the TOML file named by STREAMER_CONFIG."""
    shown = load_settings().shown()
    if as_json:
        typer.echo(msgspec.json.encode(shown).decode())
        return
    for name, value in shown.items():
        typer.echo(f"STREAMER_{name.upper():<24} {'' if value is None else value!s:<40} {Settings.model_fields[name].description}")
