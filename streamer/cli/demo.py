"""``streamer demo``."""

from __future__ import annotations

from typing import Annotated

import typer

from streamer.errors import SettingsError

from . import EXIT_CODES


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo", epilog=EXIT_CODES, short_help="Watch a simulated shop, live, on this machine alone.")(demo)


def demo(
    seconds: Annotated[
        float | None,
        typer.Option(min=1, help="end after so many seconds, with a summary; else Ctrl-C ends it", show_default=False),
    ] = None,
    rate: Annotated[float, typer.Option(min=1, max=5_000, help="events a second, about")] = 200,
    customers: Annotated[int, typer.Option(min=20, max=20_000, help="how many invented customers there are")] = 600,
    seed: Annotated[int, typer.Option(help="another seed, other customers; the same seed, the same ones")] = 7,
) -> None:
    """Watch a simulated shop's customers enter and leave segments, live, on this machine alone.

    Starts an embedded Kafka (in memory), Redis and mailbox, a worker, a sender, a server with the page (its address is printed: open it
    in a browser), and a SIMULATED shop; shows events, lag, the size of segments, changes as they happen, each with its reason, messages
    that are held or skipped, and mails that arrive. It is part of a checkout of the source, where `make demo` installs what it needs; an
    installed package has no embedded servers. Without a terminal it prints lines; NO_COLOR is respected. Where the machine does not keep
    up with --rate the shop sends less and says so.

    Ctrl-C stops everything and leaves nothing behind; that is exit code 0 too. Exit code 1: worker, sender or server ended by itself, the
    worker stopped reading, or a run of 15 seconds and more on a machine that kept up did not show what it is there to show.
    """
    from rich.console import Console

    try:
        from streamer.demo.options import Options
        from streamer.demo.run import run
    except ModuleNotFoundError as error:
        if error.name != "streamer.demo":
            raise
        raise SettingsError(
            "the demo is not part of an installed package: get the source of streamer, and type `make demo` in it"
        ) from None

    raise typer.Exit(run(Options(seconds=seconds, rate=rate, customers=customers, seed=seed), Console()))
