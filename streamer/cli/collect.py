"""``streamer collect``."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Annotated

import typer

from . import EXIT_CODES
from .terminal import echo, echo_lines


class NewKey(StrEnum):
    """What a new key is for."""

    BROWSER = "browser"
    SERVER = "server"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("collect", epilog=EXIT_CODES, short_help="Take events from SDKs by HTTP, and write them to the log.")(collect)


def collect(
    port: Annotated[int | None, typer.Option(metavar="PORT", help="where SDKs send; also STREAMER_COLLECT_PORT")] = None,
    web_port: Annotated[
        int | None, typer.Option(metavar="PORT", help="where /metrics, /livez and /readyz are; also STREAMER_COLLECT_WEB_PORT")
    ] = None,
    share_port: Annotated[
        bool, typer.Option("--share-port", help="let several collectors of this machine listen on one port, a core each")
    ] = False,
    make_key: Annotated[
        NewKey | None, typer.Option("--new-key", metavar="KIND", help="make a write key for browser or server, print it, and end")
    ] = None,
) -> None:
    """Take events by HTTP from the SDKs of Segment, RudderStack, Jitsu and Snowplow, from Google's Measurement Protocol, CloudEvents and a
    pixel, and write them to the log.

    An answer 200 means that each event is in the log, acknowledged by all replicas of Kafka, and each element that is no event is a dead
    letter and named in the answer. An answer 429 asks to come back later. Any number of collectors may run; each needs nothing but Kafka,
    and the topics, which a worker or `streamer segments publish` makes.

    Without write keys it listens on this machine alone. With STREAMER_COLLECT_KEYS, a TOML file with a table for each key, it may listen on
    STREAMER_COLLECT_HOST. --new-key prints the key itself on standard error, to be given to the SDK, and its table on standard output:

    \b
      streamer collect --new-key browser >> keys.toml

    Ctrl-C or SIGTERM ends it within ten seconds, with what it has taken in written. Its settings: STREAMER_COLLECT_… of `streamer config`.
    """
    if make_key is not None:
        _print_new_key(make_key)
        return
    from streamer.stopping import Stopping

    with Stopping() as stopping:  # before anything is imported that takes its time
        from streamer.collector.process import run_collector
        from streamer.settings import load_settings
        from streamer.telemetry.log_lines import configure_logging

        options = {"collect_port": port, "collect_web_port": web_port}
        settings = load_settings(**{name: value for name, value in options.items() if value is not None})
        configure_logging(settings.log_level)
        asyncio.run(run_collector(settings, stopping, share_port=share_port))


def _print_new_key(kind: NewKey) -> None:
    from streamer.collector.keys import new_key

    secret, table = new_key(kind.value)
    echo(f"the key, kept nowhere: {secret}", err=True)
    echo_lines(table)
