"""``streamer explain`` and ``streamer erase``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import time
from typing import Annotated

import msgspec
import typer

from streamer.customers.state import State, decode_state
from streamer.errors import SettingsError
from streamer.flow.replay import Replay
from streamer.flow.shard import Plans
from streamer.flow.step import Rules, decode_body
from streamer.segments.change import Clause
from streamer.segments.definitions import load_definitions
from streamer.segments.explain import Explanation, explain
from streamer.segments.library import library_path
from streamer.segments.plan import Plan, warming_leaves
from streamer.settings import Settings, load_settings
from streamer.stores.memory import MemoryStore
from streamer.stores.redis import connect
from streamer.values import time_text
from streamer.wire import shard_of

from .files import arrivals_of


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("explain")(explain_customer)
    app.command("erase")(erase)


def explain_customer(
    customer: Annotated[str, typer.Argument(help="the customer's id", show_default=False)],
    events: Annotated[list[str] | None, typer.Option(help="explain from a replay of these files, not from Redis")] = None,
    segments: Annotated[list[Path] | None, typer.Option(help="definitions for the replay; left out, the library")] = None,
    mapping: Annotated[str | None, typer.Option(help="mapping of the files")] = None,
    segment: Annotated[str | None, typer.Option(help="only this segment")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a segment")] = False,
) -> None:
    """Why a customer is in a segment, or what is missing, and when that turns if nothing happens."""
    if events:
        found, now = asyncio.run(_from_files(customer, events, segments, mapping))
    else:
        found, now = asyncio.run(_from_store(customer, load_settings()))
    if segment is not None:
        found = [item for item in found if item.segment == segment]
        if not found:
            raise SettingsError(f"there is no segment {segment!r}")
    if as_json:
        for item in found:
            typer.echo(msgspec.json.encode(item).decode())
    else:
        _print(customer, found, now)


async def _from_store(customer: str, settings: Settings) -> tuple[list[Explanation], int]:
    store = connect(settings.redis.get_secret_value(), namespace=settings.namespace)
    try:
        shard = shard_of(customer, settings.shards)
        checkpoint = await store.checkpoint(shard)
        if not checkpoint.body:
            raise SettingsError(f"shard {shard} has no checkpoint at {settings.shown()['redis']}; has a worker run?")
        body = decode_body(checkpoint.body)
        blob = (await store.fetch(shard, [customer], until_ms=0, limit=0)).states[0]
        plan = await Plans(store, settings.rules).get(body.digest)
        # Time goes on while nobody writes: what is shown holds now, not at the last record.
        now = max(body.log_time_ms, min(int(time() * 1_000), body.log_time_ms + settings.tick))
        return _explained(
            plan, None if blob is None else decode_state(blob), now, frozenset(warming_leaves(plan, body.since_ms, now)), customer
        ), now
    finally:
        await store.close()


async def _from_files(customer: str, events: list[str], segments: list[Path] | None, mapping: str | None) -> tuple[list[Explanation], int]:
    definitions = load_definitions(*(segments or [library_path()]))
    run = await Replay.begin(definitions, MemoryStore(), Rules(shards=1), batch=1_000)
    async for _ in run.feed(arrivals_of(events, mapping), batch=1_000):
        pass
    now = run.body.log_time_ms
    return _explained(run.plan, await run.state(customer), now, frozenset(), customer), now


def _explained(plan: Plan, state: State | None, now: int, warming: frozenset[str], customer: str) -> list[Explanation]:
    if state is None:
        raise SettingsError(f"nothing is known of the customer {customer!r}")
    return explain(plan, state, now, warming)


def _print(customer: str, found: list[Explanation], now: int) -> None:
    typer.echo(f"{customer} at {time_text(now)}")
    for item in sorted(found, key=lambda item: not item.inside):
        word = "in    " if item.inside else "not in"
        flip = "" if item.flips_at is None else f"; {'leaves' if item.inside else 'enters'} {item.flips_at} if nothing happens"
        typer.echo(f"\n{word} {item.segment}{f' since {item.since}' if item.inside else ''}{flip}")
        typer.echo(f"       {item.purpose}")
        for clause in item.because:
            typer.echo(f"       {_clause(clause)}")
        if item.note:
            typer.echo(f"       {item.note}")


def _clause(clause: Clause) -> str:
    marks = " (warming: has not seen its whole window yet)" if clause.warming else ""
    marks += f" (approximate: up to {clause.approximate:g} events)" if clause.approximate else ""
    value = "nothing" if clause.value is None else clause.value
    return f"{'yes' if clause.holds else 'no ':<3} {clause.clause}: {value}{marks}"


def erase(customer: Annotated[str, typer.Argument(help="the customer's id", show_default=False)]) -> None:
    """Make the customer leave every segment and forget them. Their events stay in the log until its retention ends."""
    asyncio.run(_erase(customer))
    typer.echo(f"erasure of {customer} is in the log")


async def _erase(customer: str) -> None:
    from streamer.app import erase as write_erasure
    from streamer.app import starting

    settings = load_settings()
    async with starting(settings) as (client, _):
        await write_erasure(settings, client, customer)
