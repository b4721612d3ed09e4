"""``streamer customers export``: all that is remembered of one customer."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated

import typer

from streamer.errors import SettingsError
from streamer.wire import CUSTOMER_CHARS_MAX, is_customer

from . import EXIT_CODES
from .terminal import echo, standard_output, write_json

if TYPE_CHECKING:
    from streamer.settings import Settings


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("export", epilog=EXIT_CODES, short_help="All that is remembered of a customer, as one JSON object.")(export)


def export(customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help="any id of theirs")]) -> None:
    """All that is remembered of a customer under any of their ids, as one JSON object on standard output.

    \b
      remembered     profile, memberships with why and why not, scores, every memory in words, other ids, messages with all their tests
      events         as they lie in the log
      history        events that were imported once the log had begun
      changes        entries, exits and joined ids
      decisions      about messages, without addresses; attempts: what senders wrote down of them
      messages       the decisions of the last 37 days, with address and facts
      dead_letters   records of theirs that were refused, their bytes in base64
      not_looked_at  what is missing or lies elsewhere, and why

    The shards of all ids are read from the first record that is kept, so it takes as long as that does: some seconds for a million records.
    No more than a batch of them is in memory. Of somebody who was erased it has what is still in the topics.

    \b
      streamer customers export c-17 > c-17.json
    """
    from streamer.settings import load_settings

    if not is_customer(customer):
        raise SettingsError(f"no customer has the id {customer!r}: expected 1 to {CUSTOMER_CHARS_MAX} characters, none that controls")
    asyncio.run(_print(load_settings(), customer))


async def _print(settings: Settings, customer: str) -> None:
    from streamer.exports.making import exported

    out = standard_output()
    async with aclosing(exported(settings, customer)) as lines:
        async for line in lines:
            write_json(out, line)
    out.flush()
    echo("what it does not have stands under not_looked_at", err=True)


__all__ = ["register"]
