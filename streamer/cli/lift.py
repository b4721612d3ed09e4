"""``streamer messages lift``: what messages bring about, measured by those who were held out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from streamer.errors import RefusedError, SettingsError, UnansweredError
from streamer.events.codec import decode
from streamer.language.durations import format_duration
from streamer.lift.assignment import read_assignment
from streamer.lift.report import Contrast, Lift, lifts
from streamer.lift.trial import Trial
from streamer.transports.files.event_files import STDIN
from streamer.wire import LEDGER

from . import EXIT_NO
from .event_source import (
    OWN,
    EventSource,
    FirstRefused,
    FormatName,
    MappingName,
    SegmentsOption,
    SortOption,
    UntilOption,
    begin_ms,
    end_ms,
    numbered,
)
from .terminal import echo, echo_json


def lift(
    files: Annotated[list[str] | None, typer.Argument(metavar="[FILE]...", help="files of events; none: the log of the deployment")] = None,
    message: Annotated[str | None, typer.Option(metavar="NAME", help="only this message")] = None,
    segments: SegmentsOption = None,
    ledger: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="decisions, one a line as in the topic of the ledger; left out, made by --segments"),
    ] = None,
    mapping: MappingName = None,
    format_name: FormatName = OWN,
    sort: SortOption = False,
    until: UntilOption = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="of the deployment only decisions from then on: a date, or a length back such as 90d"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a message")] = False,
) -> None:
    """Say whether messages bring about what they are sent for: how many reach the goal, of those who were sent one and of those held out.

    Both are followed from the same decision on until the window of the goal is over; who is sent one and who is held out differs by chance
    alone. Of each person the first decision on a message counts. Look as often as you like: the interval holds for all looks together (of
    messages that do nothing at most one in twenty is ever called more or fewer), and says "not known yet" until it excludes zero.

    With files the decisions are made anew by the definitions, as the workers made them, or read with --ledger. Without, the ledger of the
    deployment is read, and its log from the first decision on (see `streamer config`); on a long log --since and --message save time. With
    --since the first decision from then on counts. Exit code 1: no message with a goal was decided.

    \b
      streamer messages lift --message cart_reminder
      streamer messages lift events.ndjson.gz --segments my_segments.yaml --until 7d
    """
    if files and since is not None:
        raise typer.BadParameter("files are read whole", param_hint="--since")
    source = EventSource(files or [], mapping, format_name, sort)
    trial = asyncio.run(_of_files(source, segments, ledger, until) if files else _deployed(message, since))
    found = [one for one in lifts(trial) if message in (None, one.message)]
    for one in found:
        if as_json:
            echo_json(one)
        else:
            for line in _lines(one):
                echo(line)
    if not found:
        echo("no message with a goal was decided: a message has one where its definition says goal:", err=True)
        raise typer.Exit(EXIT_NO)


async def _deployed(message: str | None, since: str | None) -> Trial:
    from streamer.settings import load_settings
    from streamer.transports.kafka.trial_topics import read_trial

    settings = load_settings()
    try:
        return await read_trial(settings, message=message, since_ms=None if since is None else begin_ms(since))
    except UnansweredError as error:
        raise SettingsError(f"STREAMER_KAFKA: {error}") from None


async def _of_files(source: EventSource, segments: list[str] | None, ledger: list[Path] | None, until: str | None) -> Trial:
    if STDIN in source.files:
        raise typer.BadParameter("events are read twice, and standard input can be read once", param_hint="FILE")
    if (segments is None) == (ledger is None):
        raise typer.BadParameter("expected definitions that decide, or the decisions", param_hint="--segments or --ledger")
    trial = Trial()
    if ledger is not None:
        _read_ledger(trial, ledger)
    else:
        await _decide(trial, source, [Path(path) for path in segments or ()], until)
    refused = FirstRefused()
    for arrival in source.log(refused):
        trial.happen(decode(arrival.value), arrival.arrival_ms)
    for hint in refused.hints():
        echo(f"hint: {hint}", err=True)
    if until is not None:
        trial.pass_time(end_ms(until, trial.now_ms))
    return trial


def _read_ledger(trial: Trial, ledger: list[Path]) -> None:
    for path in ledger:
        try:
            lines = path.read_bytes().splitlines()
        except OSError as error:
            raise SettingsError(f"{path}: cannot be read ({type(error).__name__})") from None
        for number, line in enumerate(lines, 1):
            try:
                assignment = read_assignment(line)
            except RefusedError as error:
                raise SettingsError(f"{path}:{number}: {error.detail}") from None
            if assignment is not None:
                trial.decide(assignment)


async def _decide(trial: Trial, source: EventSource, segments: list[Path], until: str | None) -> None:
    """The decisions that the definitions make over the files."""
    from streamer.flow.replay import Replay
    from streamer.flow.rules import Rules
    from streamer.language.definitions import load_definitions
    from streamer.stores.memory import MemoryStore

    run = await Replay.begin(
        load_definitions(*segments), MemoryStore(), Rules(shards=1, placeholder_ids=source.placeholder_ids), batch=1_000
    )

    def take(topic: str, value: bytes) -> None:
        if topic == LEDGER and (assignment := read_assignment(value)) is not None:
            trial.decide(assignment)

    async for said in run.feed(source.log(lambda _: None), batch=1_000):
        take(said.output.topic, said.output.value)
    if until is not None:
        async for said in run.until(end_ms(until, run.body.log_time_ms)):
            take(said.output.topic, said.output.value)


def _lines(one: Lift) -> Iterator[str]:
    waiting = f", {numbered(one.open, 'customer')} still within it" if one.open else ""
    yield f"{one.message}: {one.goal} within {format_duration(one.within_ms)}; {numbered(one.decisions, 'decision')}{waiting}"
    for contrast in one.contrasts:
        yield f"  {_arms(contrast)}: {_difference(contrast)}"


def _arms(contrast: Contrast) -> str:
    worth = any(arm.worth for arm in (contrast.arm, contrast.against))
    return ", ".join(
        f"{arm.name} {arm.share:.2%} of {arm.customers:,}{f' (worth {arm.worth:,.2f} each)' if worth else ''}"
        for arm in (contrast.arm, contrast.against)
    )


def _difference(contrast: Contrast) -> str:
    if not contrast.arm.customers or not contrast.against.customers:
        return "nothing to compare with yet"
    relative = "" if contrast.relative is None else f" ({contrast.relative:+.0%})"
    bounds = f"surely between {100 * contrast.low:+.2f} and {100 * contrast.high:+.2f}"
    return f"{100 * contrast.difference:+.2f} points{relative}, {bounds}: {contrast.verdict}"
