"""``streamer messages pause`` and ``resume``."""

from __future__ import annotations

import re
from typing import Annotated, Final

import typer

from streamer.commands import PauseMessages, ResumeMessages
from streamer.errors import SettingsError

from . import EXIT_CODES
from .asking import WAIT_SECONDS, Wait, ask_worker
from .terminal import echo

ALL: Final = "*"
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")

MessageOrAll = Annotated[str, typer.Argument(metavar="MESSAGE|all", help="the name of a message, or all")]


def register(group: typer.Typer) -> None:
    """Add the commands."""
    group.command("pause", epilog=EXIT_CODES, short_help="Send nothing of a message, or of any.")(pause)
    group.command("resume", epilog=EXIT_CODES, short_help="Send it again.")(resume)


def pause(message: MessageOrAll, wait: Wait = WAIT_SECONDS) -> None:
    """Send nothing of a message, or of any, from now on: a worker writes it into the log of every shard.

    What would be decided meanwhile is skipped, with the reason paused. What is decided and not sent yet waits in the sender, and is sent
    after `resume` if it is still right and its time is not over.
    """
    from streamer.settings import load_settings

    name = _name(message)
    echo(ask_worker(load_settings(), PauseMessages(name), wait).text)


def resume(message: MessageOrAll, wait: Wait = WAIT_SECONDS) -> None:
    """Send of a message again. `all` takes back the pause of all; a message that is paused by its name stays so."""
    from streamer.settings import load_settings

    name = _name(message)
    echo(ask_worker(load_settings(), ResumeMessages(name), wait).text)


def _name(text: str) -> str:
    if text in ("all", ALL):
        return ALL
    if _NAME.fullmatch(text) is None:
        raise SettingsError(f"expected the name of a message, or all, found {text!r}")
    return text
