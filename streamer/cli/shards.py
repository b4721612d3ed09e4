"""``streamer shards``: how every shard is doing, and the ways out of a halt."""

from __future__ import annotations

import asyncio
import getpass
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from time import time
from typing import Annotated

import typer
from aiokafka.errors import KafkaError

from streamer.commands import BoundArrival, Rebuild, Resume, Skip
from streamer.errors import SettingsError
from streamer.events.codec import moment_ms
from streamer.language.durations import format_duration
from streamer.settings import Settings, load_settings
from streamer.stores.base import Store
from streamer.transports.kafka.log_ends import LogEnds, read_log_ends
from streamer.transports.kafka.topics import check_topic
from streamer.wire import EVENTS
from streamer.worker.status.shard_line import ShardLine, shard_line
from streamer.worker.status.shard_state import ShardState

from . import EXIT_CODES, EXIT_NO
from .asking import WAIT_SECONDS, Wait, ask_worker
from .retell import tell_again
from .shard_clocks import say_clocks
from .shard_counts import count_records
from .terminal import echo, echo_json

KAFKA_SECONDS = 10.0
ShardArgument = Annotated[int, typer.Argument(metavar="SHARD", help="the number of the shard, from 0", min=0)]
WhyOption = Annotated[str, typer.Option("--why", metavar="TEXT", help="the reason, for whoever reads the amendment later")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="Say how every shard is doing, and take a halted one up again.",
        invoke_without_command=True,
        callback=_all,
        epilog=EXIT_CODES,
        rich_markup_mode=None,
    )
    group.command("list", epilog=EXIT_CODES, short_help="Owner, state, position and lag of every shard.")(list_shards)
    group.command("counts", epilog=EXIT_CODES, short_help="Records accepted, refused and why, in all shards.")(count_records)
    group.command("clocks", epilog=EXIT_CODES, short_help="How far devices' clocks were off in the newest events.")(say_clocks)
    group.command("resume", epilog=EXIT_CODES, short_help="Have a shard go on at a place that you choose.")(resume)
    group.command("rebuild", epilog=EXIT_CODES, short_help="Compute a shard again from its log.")(rebuild)
    group.command("retell", epilog=EXIT_CODES, short_help="Tell again what an audit found to differ.")(tell_again)
    app.add_typer(group, name="shards")


def _all(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_shards()


def list_shards(as_json: Annotated[bool, typer.Option("--json", help="one JSON object a shard")] = False) -> None:
    """Every shard: who owns it, how it is and since when, where it stands, where its log ends, and what waits to be published.

    The answer is of the moment; a state is marked as stale when the shard's worker has not confirmed it for half a minute. What keeps a
    shard from its work stands on a line below it. Exit code 1 when one is not at work.
    """
    lines = asyncio.run(_lines(load_settings()))
    for line in lines:
        if as_json:
            echo_json(line)
        else:
            _print(line)
    if not all(line.is_at_work for line in lines):
        raise typer.Exit(EXIT_NO)


def _print(line: ShardLine) -> None:
    since = f" for {format_duration(int(line.since_seconds) * 1_000)}" if line.since_seconds is not None else ""
    where = f"position {line.position:,} of {'?' if line.end is None else f'{line.end:,}'}"
    lag = "" if line.lag is None else f", {line.lag:,} behind"
    outbox = "" if line.outbox is None else f", outbox {line.outbox:,}"
    owner = f" by {line.owner}" if line.owner else ""
    echo(f"shard {line.shard:<4} {line.state}{' (stale)' if line.stale else ''}{since}{owner}; {where}{lag}{outbox}")
    if line.why:
        echo(f"           {line.why}")


async def _lines(settings: Settings) -> list[ShardLine]:
    store = settings.open_store()
    try:
        ends = await _log_ends(settings)
        return [await _line(store, shard, ends.get(shard)) for shard in range(settings.shards)]
    finally:
        await store.close()


async def _line(store: Store, shard: int, ends: LogEnds | None) -> ShardLine:
    now_ms = int(time() * 1_000)
    return await (shard_line(store, shard, now_ms) if ends is None else shard_line(store, shard, now_ms, begin=ends.begin, end=ends.end))


async def _log_ends(settings: Settings) -> dict[int, LogEnds]:
    """Where the log of each shard begins and ends; empty when Kafka does not answer, SettingsError where it has no such log."""
    try:
        async with asyncio.timeout(KAFKA_SECONDS):
            await check_topic(settings, EVENTS)
            return await read_log_ends(settings, range(settings.shards))
    except (KafkaError, TimeoutError, OSError) as error:
        echo(f"hint: Kafka at {settings.kafka} did not say where the logs end ({type(error).__name__})", err=True)
        return {}


def resume(
    shard: ShardArgument,
    why: WhyOption,
    at: Annotated[int | None, typer.Option(metavar="OFFSET", help="go on at this offset, past what lies before it", min=0)] = None,
    arrival: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="what the log has now and the shard has not read counts as arrived at this time at the latest, as 2026-01-01T00:00:00Z",
        ),
    ] = None,
    skip: Annotated[
        bool, typer.Option("--skip", help="pass over the first record at or behind the position; it becomes a dead letter")
    ] = False,
    wait: Wait = WAIT_SECONDS,
) -> None:
    """Have a shard go on at a place that you choose, by an amendment that every rebuild obeys.

    A worker writes the amendment, which says who, when and why. The shard's own worker need not be started again: it notices within its
    probe interval.

    \b
      streamer shards resume 3 --at 50000 --why "retention ran over a weekend"
      streamer shards resume 3 --skip --why "poisoned record, ticket 17"
      streamer shards resume 3 --arrival 2026-01-01T00:00:00Z --why "clock of the broker jumped"
    """
    if (at is not None) + (arrival is not None) + skip != 1:
        raise typer.BadParameter("expected one of --at, --arrival and --skip", param_hint="--at / --arrival / --skip")
    echo(ask_worker(load_settings(), _choice(shard, why, at, arrival), wait).text)


def _choice(shard: int, why: str, at: int | None, arrival: str | None) -> Resume | BoundArrival | Skip:
    if at is not None:
        return Resume(shard, at, why)
    return BoundArrival(shard, moment_ms(arrival, path="--arrival"), why) if arrival is not None else Skip(shard, why)


def rebuild(
    shard: Annotated[int | None, typer.Argument(metavar="SHARD", help="the number of the shard, from 0", min=0)] = None,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="the reason")] = "",
    new_log: Annotated[bool, typer.Option("--new-log", help="all shards, by a topic of events that was made anew")] = False,
    wait: Wait = WAIT_SECONDS,
) -> None:
    """Compute a shard again from its log: what the store has of it is dropped, and its worker begins at the log's beginning.

    A worker does it; with --new-log this process does, as no worker may run. Nothing is published twice: readers have seen those positions.
    Where retention took the beginning of the log, the shard begins with what is left, and its customers know nothing older.

    Where the topic of events was made anew, stop all workers, set STREAMER_LOG_GENERATION one higher for every process, run this with
    --new-log instead of a shard, and start the workers: every shard begins with the new log, and readers see what it says as new. The
    definitions that were published last are written into it within a minute. Where keys sign, first start a worker and run `streamer keys
    use` again: the old log knew which keys hold.

    \b
      streamer shards rebuild 3
      STREAMER_LOG_GENERATION=2 streamer shards rebuild --new-log --why "the cluster was lost"
    """
    if (shard is None) != new_log:
        raise typer.BadParameter("expected either a shard or --new-log", param_hint="SHARD / --new-log")
    settings = load_settings()
    echo(ask_worker(settings, Rebuild(shard, why), wait).text if shard is not None else asyncio.run(_begin_new_log(settings, why)))


async def _begin_new_log(settings: Settings, why: str) -> str:
    """While no worker runs: one of the old generation would publish what readers skip."""
    from streamer.deployment.connecting import starting
    from streamer.worker.status.shard_notes import read_note

    async with _connected(settings) as store:
        for shard in range(settings.shards):
            note = await read_note(store, shard)
            if note is not None and note.status.state is not ShardState.RELEASED and not note.is_stale(int(time() * 1_000)):
                raise SettingsError(f"--new-log: {note.worker} had shard {shard} half a minute ago; stop all workers, wait, and try again")
    async with starting(settings, may_begin=False, new_log=True) as (_, store):
        await _tell_anew(settings, store, range(settings.shards), why)
    return f"generation {settings.log_generation} of the log begins: all {settings.shards} shards are told anew by it; start the workers"


async def _tell_anew(settings: Settings, store: Store, shards: Sequence[int], why: str) -> list[int]:
    """Empty shards; return where their logs begin."""
    from streamer.transports.kafka.journal import KafkaJournal
    from streamer.worker.commands.shard_orders import rebuild as tell_anew

    ends = await _log_ends(settings)
    for shard in shards:
        if shard not in ends:
            raise SettingsError(f"STREAMER_KAFKA: where the log of shard {shard} begins is not known, so nothing was dropped")
    who = _who()
    for shard in shards:
        begin = ends[shard].begin
        await tell_anew(store, lambda number: KafkaJournal.open(settings, number, who), shard, begin, who, why, settings.log_generation)
    return [ends[shard].begin for shard in shards]


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncGenerator[Store]:
    """The store, closed at the end."""
    store = settings.open_store()
    try:
        yield store
    finally:
        await store.close()


def _who() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"
