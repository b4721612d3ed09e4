"""``streamer messages pause`` and ``resume``."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Annotated, Final

import typer

from streamer.commands import PauseMessages, ResumeMessages
from streamer.errors import SettingsError
from streamer.suggest import nearest

from . import EXIT_CODES
from .asking import WAIT_SECONDS, Wait, ask_worker
from .terminal import echo

if TYPE_CHECKING:
    from streamer.settings import Settings

ALL: Final = "*"
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")

MessageOrAll = Annotated[str, typer.Argument(metavar="MESSAGE|all", help="the name of a message, or all")]
Undefined = Annotated[bool, typer.Option("--undefined", help="also a message that the definitions in force do not have")]


def register(group: typer.Typer) -> None:
    """Add the commands."""
    group.command("pause", epilog=EXIT_CODES, short_help="Send nothing of a message, or of any.")(pause)
    group.command("resume", epilog=EXIT_CODES, short_help="Send it again.")(resume)


def pause(message: MessageOrAll, undefined: Undefined = False, wait: Wait = WAIT_SECONDS) -> None:
    """Send nothing of a message, or of any, from now on: a worker writes it into the log of every shard.

    What would be decided meanwhile is skipped, with the reason paused. What is decided and not sent yet waits in the sender, and is sent
    after `resume` if it is still right and its time is not over. A name that no message in force has is refused: whoever mistypes one in a
    hurry must not believe that it is paused.
    """
    from streamer.settings import load_settings

    name, settings = _name(message), load_settings()
    if name != ALL and not undefined:
        asyncio.run(_check_is_known(name, settings))
    echo(ask_worker(settings, PauseMessages(name), wait).text)


def resume(message: MessageOrAll, wait: Wait = WAIT_SECONDS) -> None:
    """Send of a message again. `all` takes back the pause of all; a message that is paused by its name stays so."""
    from streamer.settings import load_settings

    name = _name(message)
    echo(ask_worker(load_settings(), ResumeMessages(name), wait).text)


async def _check_is_known(name: str, settings: Settings) -> None:
    """SettingsError for a name that no message in force has. Where the store does not answer it is not checked: to pause is urgent."""
    from streamer.errors import StoreError

    from .messages_in_force import messages_in_force

    try:
        found = await messages_in_force(settings)
    except StoreError as error:
        echo(f"not checked whether there is a message {name!r} ({type(error).__name__})", err=True)
        return
    known = [message.name for message in found.messages]
    if name not in known:
        close = nearest(name, known)
        meant = "" if close is None else f", did you mean {close!r}?"
        raise SettingsError(f"no message in force is called {name!r}{meant} (nothing was paused; --undefined pauses it all the same)")


def _name(text: str) -> str:
    if text in ("all", ALL):
        return ALL
    if _NAME.fullmatch(text) is None:
        raise SettingsError(f"expected the name of a message, or all, found {text!r}")
    return text
