"""``streamer segments members``: who is in a segment, or was."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Final

import typer

from streamer.values import time_text

from . import EXIT_CODES
from .event_source import begin_ms
from .terminal import echo, echo_json

if TYPE_CHECKING:
    from streamer.previews.past_members import PastMembers
    from streamer.settings import Settings

PAGE: Final = 1_000


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("members", epilog=EXIT_CODES, short_help="Who is in a segment, or was at a moment of the past.")(members)


def members(
    segment: Annotated[str, typer.Argument(metavar="NAME", help="the segment; one that is no longer defined may have a past")],
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="as of then: a moment such as 2026-01-31T12:00:00Z, or a length such as 2h for so long ago"),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", help="customers of one page", min=1, max=1_000_000)] = PAGE,
    after: Annotated[str, typer.Option(metavar="ID", help="go on behind this customer, the last one of the page before")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """The members of a segment, an id a line, in the order of their ids; what they are as of goes to standard error.

    With --at those of a moment of the past, by what was said: whoever had a change since was where the first one says, whoever had none is
    where they were. History that was imported later changes nothing of before it was. Customers go by the ids that they had then. All
    states are read, and the changes since that moment, which the topic must still keep; a page costs as much as all of them.

    \b
      streamer segments members cart_left
      streamer segments members cart_left --at 2026-01-31T12:00:00Z --limit 100
    """
    from streamer.settings import load_settings

    found = asyncio.run(_look(load_settings(), segment, None if at is None else begin_ms(at, option="--at")))
    page = [customer for customer in found.members if customer > after][:limit]
    follows = page[-1] if page and page[-1] != found.members[-1] else None
    as_of = time_text(found.at_ms)
    if as_json:
        read = {str(shard): offset for shard, offset in found.read.items()}
        echo_json({"segment": segment, "at": as_of, "members": len(found.members), "page": page, "after": follows, "read": read})
        return
    echo(f"{len(found.members):,} in {segment} at {as_of}", err=True)
    if not found.members and at is not None:
        echo("nobody had been told to be in it by then: a segment that was published later has members from its publication on", err=True)
    for customer in page:
        echo(customer)
    if follows is not None:
        echo(f"more behind --after {follows}", err=True)


async def _look(settings: Settings, segment: str, at_ms: int | None) -> PastMembers:
    from streamer.previews.past_members import members_at, members_now

    store = settings.open_store()
    try:
        return await (members_now(settings, store, segment) if at_ms is None else members_at(settings, store, segment, at_ms))
    finally:
        await store.close()


__all__ = ["register"]
