"""``streamer dead-letters``: what was refused, and driving it through the log again once its cause is mended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, NamedTuple

import msgspec
import typer
from aiokafka.errors import KafkaError

from streamer.errors import RefusedError, SettingsError
from streamer.events.codec import decode, moment_ms
from streamer.events.dead_letter import raw_of, read_dead_letter
from streamer.events.placeholders import settle_customer
from streamer.settings import Settings, load_settings
from streamer.wire import DEAD_LETTERS, DEAD_RAW_MAX, EVENTS, DeadLetter, shard_of

from . import EXIT_CODES, EXIT_NO
from .say import say, say_json

KAFKA_SECONDS = 10.0
REDRIVEN_HEADER = "streamer-redriven"
Reason = Annotated[str | None, typer.Option("--reason", metavar="CODE", help="only letters of this reason")]
Since = Annotated[str | None, typer.Option("--since", metavar="TIME", help="only those refused at this log time or later")]
Before = Annotated[str | None, typer.Option("--before", metavar="TIME", help="only those refused before this log time")]
Shard = Annotated[int | None, typer.Option("--shard", metavar="NUMBER", help="only letters of this shard", min=0)]
Offset = Annotated[int | None, typer.Option("--offset", metavar="OFFSET", help="only the record that lay at this offset", min=0)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="Say what was refused, and send it through the log again.", no_args_is_help=True, epilog=EXIT_CODES, rich_markup_mode=None
    )
    group.command("list", epilog=EXIT_CODES, short_help="One line a letter: where it lay, and why it was refused.")(list_letters)
    group.command("show", epilog=EXIT_CODES, short_help="One letter whole, with the record as it lay.")(show)
    group.command("redrive", epilog=EXIT_CODES, short_help="Send refused records through the log again.")(redrive)
    app.add_typer(group, name="dead-letters")


class Found(NamedTuple):
    """A dead letter as it lies in its topic: ``key`` is the customer's id, where that could be read."""

    shard: int
    key: str
    letter: DeadLetter


class Wanted(NamedTuple):
    """Which letters; None where it does not matter. Times are UTC milliseconds."""

    reason: str | None = None
    since_ms: int | None = None
    before_ms: int | None = None
    shard: int | None = None
    offset: int | None = None

    def takes(self, found: Found) -> bool:
        """Whether a letter is one of them."""
        at_ms = moment_ms(found.letter.at)
        return (
            self.reason in (None, found.letter.reason)
            and (self.since_ms is None or at_ms >= self.since_ms)
            and (self.before_ms is None or at_ms < self.before_ms)
            and self.shard in (None, found.shard)
            and self.offset in (None, found.letter.origin.offset)
        )


def _wanted(reason: str | None, since: str | None, before: str | None, shard: int | None, offset: int | None) -> Wanted:
    since_ms = moment_ms(since, path="--since") if since is not None else None
    before_ms = moment_ms(before, path="--before") if before is not None else None
    return Wanted(reason, since_ms, before_ms, shard, offset)


class Line(msgspec.Struct, omit_defaults=True):
    """A letter without the record."""

    shard: int
    offset: int
    at: str
    reason: str
    path: str
    detail: str = ""
    customer: str = ""
    producer: str = ""


def _line(found: Found) -> Line:
    letter = found.letter
    return Line(found.shard, letter.origin.offset, letter.at, letter.reason, letter.path, letter.detail, found.key, letter.producer)


def list_letters(
    reason: Reason = None,
    since: Since = None,
    before: Before = None,
    shard: Shard = None,
    offset: Offset = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a letter")] = False,
) -> None:
    """One line a dead letter, oldest first within a shard: when and where it was refused, why, and who wrote it.

    Exit code 1 when there is none.
    """
    found = asyncio.run(_collect(load_settings(), _wanted(reason, since, before, shard, offset)))
    for one in map(_line, found):
        if as_json:
            say_json(one)
        else:
            producer = f", from {one.producer}" if one.producer else ""
            detail = f" ({one.detail})" if one.detail else ""
            say(f"{one.at}  shard {one.shard} offset {one.offset}  {one.reason} at {one.path}{detail}{producer}")
    if not found:
        raise typer.Exit(EXIT_NO)


def show(
    shard: Annotated[int, typer.Argument(metavar="SHARD", help="the shard in which the record lay", min=0)],
    offset: Annotated[int, typer.Argument(metavar="OFFSET", help="the offset at which it lay", min=0)],
) -> None:
    """One dead letter whole, and the record as it lay in the log. Exit code 1 when there is none of that place."""
    found = asyncio.run(_collect(load_settings(), Wanted(shard=shard, offset=offset)))
    for one in found[-1:]:
        say_json(_line(one))
        say(raw_of(one.letter).decode(errors="backslashreplace"))
    if not found:
        raise typer.Exit(EXIT_NO)


def redrive(
    reason: Reason = None,
    since: Since = None,
    before: Before = None,
    shard: Shard = None,
    offset: Offset = None,
    everything: Annotated[bool, typer.Option("--all", help="all letters, where no other choice is made")] = False,
) -> None:
    """Send refused records through the log again, once what was wrong is mended: another release of streamer, or a clock that ran ahead.

    Each is written as it lay, into its customer's shard. It may be run twice: of a record that counts the message id is remembered, and
    its second coming is a duplicate. What cannot be accepted as it is, is not sent, and is said; whatever is refused again is a dead letter
    once more. Exit code 1 when something was not sent.
    """
    wanted = _wanted(reason, since, before, shard, offset)
    if wanted == Wanted() and not everything:
        raise typer.BadParameter("expected a choice of letters, or --all", param_hint="--reason / --since / --before / --shard / --offset")
    settings = load_settings()
    sent, kept = asyncio.run(_redrive(settings, wanted))
    for why in kept:
        say(why, err=True)
    say(f"{sent} records are in the log again, {len(kept)} were not sent")
    if kept:
        raise typer.Exit(EXIT_NO)


async def _redrive(settings: Settings, wanted: Wanted) -> tuple[int, list[str]]:
    from streamer.transports.kafka.clients import producer

    found, placeholders = await _collect(settings, wanted), frozenset(settings.rules.placeholder_ids)
    kept, ready = list[str](), dict[bytes, tuple[str, Found]]()  # by the record: what was refused twice is sent once
    for one in found:
        try:
            customer, raw = _sendable(one, placeholders)
        except RefusedError as error:
            kept.append(f"shard {one.shard} offset {one.letter.origin.offset} would be refused again: {error}")
        else:
            ready[raw] = customer, one
    client = producer(settings)
    try:
        await client.start()
        topic = settings.topic(EVENTS)
        waiting = [
            await client.send(topic, raw, key=customer.encode(), partition=shard_of(customer, settings.shards), headers=_mark(one))
            for raw, (customer, one) in ready.items()
        ]
        for acknowledged in waiting:
            await acknowledged
    except KafkaError as error:
        raise SettingsError(f"STREAMER_KAFKA: not all was sent ({type(error).__name__}); run it again, nothing counts twice") from None
    finally:
        await client.stop()
    return len(ready), kept


def _mark(found: Found) -> list[tuple[str, bytes]]:
    """For whoever reads the log: where the record lay when it was refused."""
    return [(REDRIVEN_HEADER, b"%d-%d" % (found.shard, found.letter.origin.offset))]


def _sendable(found: Found, placeholders: frozenset[str]) -> tuple[str, bytes]:
    """The customer and the bytes of a record; RefusedError when it would be refused as it is."""
    letter, raw = found.letter, raw_of(found.letter)
    if letter.origin.topic != EVENTS or letter.reason in ("bad_control", "wrong_shard"):
        raise RefusedError(letter.reason, detail="it is no event")
    if len(raw) >= DEAD_RAW_MAX:
        raise RefusedError("too_large", detail="the letter has not all of its bytes")
    return settle_customer(decode(raw), placeholders).customer, raw


async def _collect(settings: Settings, wanted: Wanted) -> list[Found]:
    if wanted.shard is not None and wanted.shard >= settings.shards:
        raise SettingsError(f"there is no shard {wanted.shard}: STREAMER_SHARDS is {settings.shards}, they count from 0")
    try:
        return [found async for found in _letters(settings, wanted.shard) if wanted.takes(found)]
    except (KafkaError, TimeoutError, OSError) as error:
        raise SettingsError(f"STREAMER_KAFKA: no dead letters from {settings.kafka} ({type(error).__name__})") from None


async def _letters(settings: Settings, shard: int | None) -> AsyncIterator[Found]:
    """Everything in the topic of dead letters, shard by shard."""
    from streamer.transports.kafka.partition import read_partition
    from streamer.transports.kafka.topics import check_topic

    async with asyncio.timeout(KAFKA_SECONDS):
        await check_topic(settings, DEAD_LETTERS)
    for number in range(settings.shards) if shard is None else [shard]:
        async with aclosing(read_partition(settings, DEAD_LETTERS, number, stall_seconds=KAFKA_SECONDS)) as batches:
            async for records in batches:
                for record in records:
                    try:
                        yield Found(number, (record.key or b"").decode(errors="replace"), read_dead_letter(record.value or b""))
                    except RefusedError as error:
                        say(f"shard {number}: what lies at {record.offset} of the dead letters is none: {error}", err=True)
