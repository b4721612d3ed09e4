"""``streamer send``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from . import EXIT_CODES


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("send", epilog=EXIT_CODES, short_help="Send the messages that are decided.")(send)


def send(
    templates: Annotated[Path | None, typer.Option(metavar="FOLDER", help="folder of the templates; also STREAMER_TEMPLATES")] = None,
    web_port: Annotated[
        int | None, typer.Option(metavar="PORT", help="where /metrics, /livez and /readyz are; also STREAMER_SENDER_WEB_PORT")
    ] = None,
) -> None:
    """Send the messages that are decided, by e-mail, webhook or on this terminal, and write what became of each to the log as an event.

    As many may run as there are shards; they share them out. A marketing message leaves at most once: where nobody can tell whether it
    left, it is unknown, and never sent again. A transactional one leaves at least once, under one id. Before a message leaves the committed
    state is looked at once more.

    Ctrl-C or SIGTERM ends it within ten seconds.
    """
    from streamer.stopping import Stopping

    with Stopping() as stopping:  # before anything is imported that takes its time
        from streamer.sender.process import run_sender
        from streamer.settings import load_settings
        from streamer.telemetry.log_lines import configure_logging

        from .terminal import echo

        options = {"templates": templates, "sender_web_port": web_port}
        settings = load_settings(**{name: value for name, value in options.items() if value is not None})
        configure_logging(settings.log_level)
        asyncio.run(run_sender(settings, stopping, echo))
