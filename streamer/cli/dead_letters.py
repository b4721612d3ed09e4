"""``streamer dead-letters``: what was refused, and driving it through the log again once its cause is gone."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
import typer
from aiokafka.errors import KafkaError

from streamer.commands import LetterFilter, Redrive
from streamer.errors import SettingsError
from streamer.events.codec import moment_ms
from streamer.events.dead_letter import raw_of
from streamer.settings import Settings, load_settings
from streamer.transports.kafka.dead_letters_topic import FoundLetter, is_foreign, place_in_words, read_letters

from . import EXIT_CODES, EXIT_NO
from .asking import WAIT_SECONDS, Wait, ask_worker
from .terminal import echo, echo_json

ReasonOption = Annotated[str | None, typer.Option("--reason", metavar="CODE", help="only letters of this reason")]
SinceOption = Annotated[str | None, typer.Option("--since", metavar="TIME", help="only those refused at this log time or later")]
BeforeOption = Annotated[str | None, typer.Option("--before", metavar="TIME", help="only those refused before this log time")]
ShardOption = Annotated[int | None, typer.Option("--shard", metavar="NUMBER", help="only letters of this shard", min=0)]
OffsetOption = Annotated[int | None, typer.Option("--offset", metavar="OFFSET", help="only the record that lay at this offset", min=0)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="Say what was refused, and send it through the log again.", no_args_is_help=True, epilog=EXIT_CODES, rich_markup_mode=None
    )
    group.command("list", epilog=EXIT_CODES, short_help="One line a letter: where it lay, and why it was refused.")(list_letters)
    group.command("show", epilog=EXIT_CODES, short_help="One letter whole, with the record as it lay.")(show)
    group.command("redrive", epilog=EXIT_CODES, short_help="Send refused records through the log again.")(redrive)
    app.add_typer(group, name="dead-letters")


def _wanted(reason: str | None, since: str | None, before: str | None, shard: int | None, offset: int | None) -> LetterFilter:
    since_ms = moment_ms(since, path="--since") if since is not None else None
    before_ms = moment_ms(before, path="--before") if before is not None else None
    return LetterFilter(reason, since_ms, before_ms, shard, offset)


class LetterLine(msgspec.Struct, omit_defaults=True):
    """A letter without the record."""

    shard: int
    letter: int  # the offset of the letter itself, in the topic of dead letters
    offset: int | None
    at: str
    reason: str
    path: str
    detail: str = ""
    customer: str = ""
    producer: str = ""
    topic: str = ""  # of the shop, where it lay there: shard is that of the letter then
    partition: int | None = None


def _line(found: FoundLetter) -> LetterLine:
    letter = found.letter
    offset = letter.origin.offset if letter.origin is not None else None
    line = LetterLine(found.shard, found.offset, offset, letter.at, letter.reason, letter.path, letter.detail, found.key, letter.producer)
    if letter.origin is not None and is_foreign(letter):
        line.topic, line.partition = letter.origin.topic, letter.origin.partition
    return line


def list_letters(
    reason: ReasonOption = None,
    since: SinceOption = None,
    before: BeforeOption = None,
    shard: ShardOption = None,
    offset: OffsetOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a letter")] = False,
) -> None:
    """One line a dead letter, oldest first within a shard: when and where it was refused, why, and who wrote it.

    Exit code 1 when there is none.
    """
    found = asyncio.run(_collect(load_settings(), _wanted(reason, since, before, shard, offset)))
    for letter, one in zip(found, map(_line, found), strict=True):
        if as_json:
            echo_json(one)
        else:
            producer = f", from {one.producer}" if one.producer else ""
            detail = f" ({one.detail})" if one.detail else ""
            place = place_in_words(letter) + (f" (shard {one.shard} letter {one.letter})" if one.topic else "")
            echo(f"{one.at}  {place}  {one.reason} at {one.path}{detail}{producer}")
    if not found:
        raise typer.Exit(EXIT_NO)


def show(
    shard: Annotated[int, typer.Argument(metavar="SHARD", help="the shard in which the record lay", min=0)],
    offset: Annotated[int | None, typer.Argument(metavar="[OFFSET]", help="the offset at which it lay", min=0)] = None,
    letter: Annotated[
        int | None, typer.Option("--letter", metavar="OFFSET", help="the offset of the letter itself instead, as `list` says it", min=0)
    ] = None,
) -> None:
    """One dead letter whole, and the record as it came. Exit code 1 when there is none of that place.

    What a collector refused lay nowhere before, and what an ingest refused lay in a topic of the shop: name those by --letter.
    """
    if (offset is None) == (letter is None):
        raise typer.BadParameter("expected one of the two", param_hint="OFFSET / --letter")
    found = asyncio.run(_collect(load_settings(), LetterFilter(shard=shard, offset=offset)))
    if letter is not None:
        found = [one for one in found if one.offset == letter]
    for one in found[-1:]:
        echo_json(_line(one))
        echo(raw_of(one.letter).decode(errors="backslashreplace"))
    if not found:
        raise typer.Exit(EXIT_NO)


def redrive(
    reason: ReasonOption = None,
    since: SinceOption = None,
    before: BeforeOption = None,
    shard: ShardOption = None,
    offset: OffsetOption = None,
    everything: Annotated[bool, typer.Option("--all", help="all letters, where no other choice is made")] = False,
    wait: Wait = WAIT_SECONDS,
) -> None:
    """Send refused records through the log again, once what was wrong is put right: another release of streamer, or a clock that ran ahead.

    A worker does it, 100,000 records at a time at most. Each is written as it lay, into its customer's shard. It may be run twice: of a
    record that counts the message id is remembered, and its second coming is a duplicate. What cannot be accepted as it is, is not sent,
    and is said; whatever is refused again is a dead letter once more. Exit code 1 when something was not sent.
    """
    wanted = _wanted(reason, since, before, shard, offset)
    if wanted == LetterFilter() and not everything:
        raise typer.BadParameter("expected a choice of letters, or --all", param_hint="--reason / --since / --before / --shard / --offset")
    answer = ask_worker(load_settings(), Redrive(wanted), wait)
    echo(answer.text)
    if answer.notes:
        raise typer.Exit(EXIT_NO)


async def _collect(settings: Settings, wanted: LetterFilter) -> list[FoundLetter]:
    if wanted.shard is not None and wanted.shard >= settings.shards:
        raise SettingsError(f"there is no shard {wanted.shard}: STREAMER_SHARDS is {settings.shards}, they count from 0")
    try:
        return [found async for found in read_letters(settings, wanted)]
    except (KafkaError, TimeoutError, OSError) as error:
        raise SettingsError(f"STREAMER_KAFKA: no dead letters from {settings.kafka} ({type(error).__name__})") from None
