"""``streamer serve``."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Annotated

import typer

from . import EXIT_CODES
from .terminal import echo, echo_lines


class TokenRole(StrEnum):
    """What a token may."""

    READ = "read"
    WRITE = "write"
    ERASE = "erase"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve", epilog=EXIT_CODES, short_help="Answer readers by HTTP: memberships, members, changes as they come.")(serve)


def serve(
    port: Annotated[int | None, typer.Option(metavar="PORT", help="where readers ask; also STREAMER_SERVE_PORT")] = None,
    web_port: Annotated[
        int | None, typer.Option(metavar="PORT", help="where /metrics, /livez and /readyz are; also STREAMER_SERVE_WEB_PORT")
    ] = None,
    share_port: Annotated[
        bool, typer.Option("--share-port", help="let several servers of this machine listen on one port, a core each")
    ] = False,
    new_token: Annotated[
        list[TokenRole] | None,
        typer.Option("--new-token", metavar="ROLE", help="make a token for read, write or erase (may be repeated), print it, and end"),
    ] = None,
) -> None:
    """Answer readers by HTTP from what workers have committed, with its age in every answer.

    \b
      GET  /v1/customers/{id}            memberships, since when, next flips, scores; ?explain=1 says why
      POST /v1/memberships               the same of up to 100 customers
      GET  /v1/segments                  the segments in force, and their exact sizes
      GET  /v1/segments/{name}/members   the members, page by page
      GET  /v1/changes                   changes as they come, as server-sent events
      GET  /v1/openapi.json              all of it, described
      GET  /                             a page for people, with the same figures

    It owns no shard and keeps nothing, so any number may run. Without tokens it listens on this machine alone. With
    STREAMER_SERVE_TOKENS, a TOML file with a table for each token, it may listen on STREAMER_SERVE_HOST. --new-token prints the token
    itself on standard error and its table on standard output:

    \b
      streamer serve --new-token read >> tokens.toml

    Ctrl-C or SIGTERM ends it within ten seconds. Its settings: STREAMER_SERVE_… of `streamer config`.
    """
    if new_token:
        from streamer.server.tokens import new_token as make

        secret, table = make(tuple(role.value for role in dict.fromkeys(new_token)))
        echo(f"the token, kept nowhere: {secret}", err=True)
        echo_lines(table)
        return
    from streamer.stopping import Stopping

    with Stopping() as stopping:  # before anything is imported that takes its time
        from streamer.page.assembly import page_over
        from streamer.server.process import run_server
        from streamer.settings import load_settings
        from streamer.telemetry.log_lines import configure_logging

        options = {"serve_port": port, "serve_web_port": web_port}
        settings = load_settings(**{name: value for name, value in options.items() if value is not None})
        configure_logging(settings.log_level)
        asyncio.run(run_server(settings, stopping, share_port=share_port, page=page_over))
