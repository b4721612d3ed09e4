"""``streamer customers erased``: what is left of somebody who was erased."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from streamer.errors import SettingsError
from streamer.wire import CUSTOMER_CHARS_MAX, is_customer

from . import EXIT_CODES, EXIT_NO
from .terminal import echo, echo_json

if TYPE_CHECKING:
    from streamer.exports.erasure_proof import ErasureProof
    from streamer.settings import Settings


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("erased", epilog=EXIT_CODES, short_help="What is left of somebody who was erased.")(erased)


def erased(
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help="the id that was erased, one of the person's")],
    prove: Annotated[bool, typer.Option("--prove", help="end with 1 where something is left, or nobody was erased")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Look in every place of the deployment for somebody who was erased, under one of their ids, and say what was found.

    \b
      none  nothing
      kept  of before the erasure, and what ends it: topics keep what was published
      new   of after the erasure: somebody came by the same id
      left  what must not be there; with --prove the exit code is 1 then

    The logs of all shards are read whole, so it takes as long as that does; nothing is written. Ask for each id of the person: what was
    joined is forgotten under every one, and old ids are erased behind the others, some moments later. An id that only imported history
    ties to this one is named as `other ids`, where history that came in since is remembered under it: erase it too. Backups and dumps of
    the store, and what readers of the topics keep, are not looked at; `streamer erase --help` lists them.

    \b
      streamer customers erased c-17 --prove
    """
    from streamer.settings import load_settings

    if not is_customer(customer):
        raise SettingsError(f"no customer has the id {customer!r}: expected 1 to {CUSTOMER_CHARS_MAX} characters, none that controls")
    found = asyncio.run(_look(load_settings(), customer))
    if as_json:
        echo_json({"customer": found.customer, "erased_at": found.erased_at, "holds": found.holds, "findings": found.findings})
    else:
        _echo(found)
    if prove and not found.holds:
        raise typer.Exit(EXIT_NO)


def _echo(found: ErasureProof) -> None:
    if found.erased_at is None:
        echo(f"no erasure of {found.customer} is in the log")
    else:
        shard, offset = found.erased_at
        echo(f"{found.customer} was erased by the record at offset {offset:,} of shard {shard}")
    for one in found.findings:
        echo(f"  {one.verdict:<5} {one.place:<18} {one.found:>7,}  {one.why}".rstrip())


async def _look(settings: Settings, customer: str) -> ErasureProof:
    from streamer.exports.erasure_proof import prove
    from streamer.exports.topics import KafkaReader

    store = settings.open_store()
    try:
        return await prove(settings, store, KafkaReader(settings), customer)
    finally:
        await store.close()


__all__ = ["register"]
