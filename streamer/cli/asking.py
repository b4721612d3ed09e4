"""Commands that a worker does: what they share on the command line."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Final

import typer

from streamer.commands import Action, Answer

from . import EXIT_NO, EXIT_SETTINGS
from .terminal import echo

if TYPE_CHECKING:
    from streamer.settings import Settings

WAIT_SECONDS: Final = 20.0  # a group that just lost a worker deals its shards anew within so long

Wait = Annotated[float, typer.Option("--wait", metavar="SECONDS", help="how long to wait for a worker to begin", min=1, max=3_600)]


def ask_worker(settings: Settings, action: Action, wait_seconds: float) -> Answer:
    """What a worker said when it had done something. Where it did not, its reason is printed and the command ends: 1 where it cannot be
    done as it was asked for, 3 where a server did not do its part, 5 where no worker answered.
    """
    from streamer.deployment.asking import ask

    answer = asyncio.run(ask(settings, action, wait_seconds=wait_seconds))
    for note in answer.notes:
        echo(note, err=True)
    if answer.outcome != "done":
        echo(f"{answer.outcome} by {answer.worker}: {answer.text}", err=True)
        raise typer.Exit(EXIT_SETTINGS if answer.outcome == "failed" else EXIT_NO)
    return answer


__all__ = ["WAIT_SECONDS", "Wait", "ask_worker"]
