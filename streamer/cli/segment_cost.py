"""``streamer segments cost``: what a segment costs an event."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from streamer.errors import SettingsError

from . import EXIT_CODES
from .terminal import echo, echo_json

if TYPE_CHECKING:
    from streamer.language.definitions import Definitions
    from streamer.previews.cost import SegmentCost
    from streamer.settings import Settings


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("cost", epilog=EXIT_CODES, short_help="What a segment costs an event.")(cost)


def cost(
    segment: Annotated[str, typer.Argument(metavar="SEGMENT", help="a segment in force")],
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """What a segment in force costs an event in processor time, and a customer in bytes.

    The newest 4,000 events of the log are told in memory under the segment alone, with the segments and models that it refers to, and
    under none, in turns; the difference is its own. It holds for this machine, while it has time. What the segment shares with others
    they pay once together, so the costs of all segments add up to more than what all of them cost.
    """
    from streamer.settings import load_settings

    found = asyncio.run(_measured(load_settings(), segment))
    if as_json:
        echo_json(found)
        return
    echo(f"{segment}: {found.us:.2f} µs an event above {found.bare_us:.2f} µs without any segment, {found.bytes:.1f} bytes a customer")
    echo(f"  measured on {found.events:,} events of {found.customers:,} customers")


async def _measured(settings: Settings, segment: str) -> SegmentCost:
    from streamer.previews.cost import cost_of, newest_events

    return await cost_of(await _in_force(settings), segment, await newest_events(settings), settings.rules)


async def _in_force(settings: Settings) -> Definitions:
    """The newest definitions that hold in any shard. SettingsError where none do; raises what reading the store may."""
    from streamer.flow.catalog import Plans
    from streamer.flow.committed import CommittedCustomers, newest_of

    store = settings.open_store()
    try:
        committed = CommittedCustomers(store, settings.rules, Plans(store, settings.rules))
        newest = newest_of(await committed.views())
        if newest is None:
            raise SettingsError(f"no definitions hold at {settings.shown()['store']}; publish some")
        return (await committed.newest_plan(newest)).definitions
    finally:
        await store.close()


__all__ = ["register"]
