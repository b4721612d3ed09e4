"""``streamer import``: history of years from files."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import time
from typing import IO, TYPE_CHECKING, Annotated, Final

import typer

from streamer.errors import RefusedError, SettingsError
from streamer.events.event import Event
from streamer.flow.replay import Arrival
from streamer.imports.sifting import Sifter, name_of_import
from streamer.transports.files.event_files import STDIN, Meter
from streamer.values import parse_time_ms, time_text

from . import EXIT_CODES, EXIT_NO
from .event_source import (
    AHEAD,
    OWN,
    PASSED_OVER,
    AheadOption,
    EventSource,
    FormatName,
    MappingName,
    Rejected,
    in_order,
    length_ms,
    numbered,
    rejected_line,
)
from .progress_bar import progress_bar
from .terminal import echo, echo_json
from .worker import Create

if TYPE_CHECKING:
    from streamer.deployment.publishing import Proposal
    from streamer.imports.importer import Importer
    from streamer.imports.process import Imported

ImportedFiles = Annotated[
    list[str] | None, typer.Argument(metavar="FILE", help=".ndjson, .jsonl, .json, .csv, .parquet; all but the last also .gz")
]
SHOWN_EVERY: Final = 1_000  # lines


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import", epilog=EXIT_CODES, short_help="Bring in history from files.")(import_history)


def import_history(
    files: ImportedFiles = None,
    mapping: MappingName = None,
    format_name: FormatName = OWN,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="leave out what happened then or later, such as the day when events begin to come in")
    ] = None,
    rejects: Annotated[
        str | None, typer.Option(metavar="FILE", help="write each line that is left out here, with its reason, as JSON")
    ] = None,
    ahead: AheadOption = AHEAD,
    dedupe: Annotated[
        str,
        typer.Option(
            metavar="PROPERTY",
            help="such as order_id: an event that has it may have happened after the log began, unless that has its equal",
        ),
    ] = "",
    is_more_to_come: Annotated[
        bool, typer.Option("--more", help="other files follow: do not make it a part of the past yet, where the log has begun")
    ] = False,
    finish: Annotated[
        bool, typer.Option("--finish", help="read no files: make all that --more and collectors have brought in a part of the past")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="return when every shard has this past, where the log has begun")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="write nothing and ask no server: say what would come of the files")] = False,
    create: Create = False,
    as_json: Annotated[bool, typer.Option("--json", help="the outcome as one JSON object")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="no progress bar")] = False,
) -> None:
    """Bring in history: the orders of two years, so that a shop starts with its customers and not with nobody.

    Events count as if each had arrived when it happened. In a new log, before anything is published or an event is sent, they lie at its
    head: segments, models, explanations and `streamer segments preview` know them as any event, and `streamer segments publish`, which
    comes next, says who is in which segment then.

    Once a log has begun they go to a topic of their own, and the workers fold them with the log, beside live traffic; `streamer segments
    status` says how far they are. Each shard then has that past from one record on, and only says who is in another segment by it. It ends
    where the shard's log begins: what happened later is left out, or compared by --dedupe. Models that exist go on as they were; one whose
    `edition` is raised in the definitions learns of all of it.

    A collector takes history too (POST /v1/import, or "import": true in the body of a batch), once the log has begun and in the order of
    time; --finish makes it a part of the past.

    What cannot be an event goes to --rejects with its line and reason, and the import goes on. The same files again add nothing, so where
    it broke off, do it again; other files go on where the last ones ended in time. So files that tell of the same time come in one command,
    also CSV with --mapping beside NDJSON with --format. Exit code 1: there were lines, and nothing was brought in.

    \b
      streamer import orders_2024.csv orders_2025.csv --mapping my_columns.yaml --rejects refused.ndjson
      streamer import orders.csv clicks.ndjson --mapping my_columns.yaml --format segment
      streamer segments preview my_segments.yaml
      streamer segments publish my_segments.yaml
      streamer import --finish --wait
    """
    if finish:
        _check_alone(files, is_more_to_come=is_more_to_come, dry_run=dry_run)
        _say_proposal(asyncio.run(_finish()), wait=wait)
        return
    if not files:
        raise typer.BadParameter("expected files, or --finish where nothing more is to come", param_hint="FILE")
    if STDIN in files:
        raise SettingsError("standard input can be read once, and an import that broke off is done again: give files")
    now_ms = int(time() * 1_000)
    task = ImportTask(EventSource(files, mapping, format_name, True, length_ms(ahead, option="--ahead")), _until_ms(until, now_ms), quiet)
    name = name_of_import(files, format_name, mapping or "", until or "", dedupe)
    with _rejects_file(rejects, files) as task.rejects:
        if dry_run:
            done, proposal = asyncio.run(_try(task, name)), None
        else:
            done, proposal = asyncio.run(_import(task, name, dedupe, create=create, is_more_to_come=is_more_to_come))
    _say(task, done, "would be brought in" if dry_run else "brought in", as_json=as_json)
    if proposal is not None:
        _say_proposal(proposal, wait=wait)
    if not done.written and not done.was_there and task.reasons:
        raise typer.Exit(EXIT_NO)


def _check_alone(files: list[str] | None, *, is_more_to_come: bool, dry_run: bool) -> None:
    if files or is_more_to_come or dry_run:
        raise typer.BadParameter("it brings nothing in: leave files, --more and --dry-run out", param_hint="--finish")


def _until_ms(text: str | None, now_ms: int) -> int:
    if text is None:
        return now_ms
    found = parse_time_ms(text)
    if found is None:
        raise typer.BadParameter(f"expected a date such as 2026-01-31 or 2026-01-31T12:00:00Z, found {text!r}", param_hint="--until")
    return min(found, now_ms)


@contextmanager
def _rejects_file(name: str | None, files: list[str]) -> Generator[IO[bytes] | None]:
    if name is None:
        yield None
        return
    if Path(name).resolve() in {Path(file).resolve() for file in files}:
        raise typer.BadParameter(f"{name} is also read", param_hint="--rejects")
    try:
        with Path(name).open("wb") as out:
            yield out
    except OSError as error:
        raise SettingsError(f"{name}: cannot be written: {error.strerror}") from None


@dataclass(slots=True)
class ImportTask:
    """What is read, and what of it is left out: counted by reason, the first of each kept, and written where that is wanted."""

    source: EventSource
    until_ms: int
    quiet: bool
    rejects: IO[bytes] | None = None
    reasons: Counter[str] = field(default_factory=Counter[str])
    first: dict[str, Rejected] = field(default_factory=dict[str, Rejected])

    def leave_out(self, found: Rejected) -> None:
        """A line, or a part of one."""
        self.reasons[found.reason] += 1
        self.first.setdefault(found.reason, found)
        if self.rejects is not None:
            self.rejects.write(rejected_line(found) + b"\n")

    def refuse(self, arrival: Arrival, error: RefusedError) -> None:
        """An event that is no history."""
        self.leave_out(Rejected(arrival.file, arrival.line, error.reason, error.path, error.detail, arrival.value))

    def history(self, progress: Callable[[int, int], None]) -> Iterator[Arrival]:
        """The events that are history, in the order of time; memory is bounded."""
        meter = Meter(self.source.files)

        def shown() -> Iterator[tuple[Arrival, Event]]:
            for count, found in enumerate(self.source.read(self.leave_out, meter)):
                if count % SHOWN_EVERY == 0:
                    progress(meter.read, meter.total or 0)
                yield found

        sifted = Sifter(self.source.placeholder_ids, self.until_ms, self.refuse).sift_read(shown())
        return self.source.steady(in_order(sifted), self.leave_out)


async def _try(task: ImportTask, name: str) -> Importer:
    from streamer.imports.process import HistoryFile, try_events
    from streamer.settings import load_settings

    with progress_bar("reading", "bytes", quiet=task.quiet) as progress:
        return await try_events(load_settings().shards, HistoryFile(name, task.history(progress), task.refuse))


async def _import(task: ImportTask, name: str, dedupe: str, *, create: bool, is_more_to_come: bool) -> Imported:
    from aiokafka.errors import KafkaError

    from streamer.deployment.connecting import starting
    from streamer.imports.process import HistoryFile, import_events
    from streamer.settings import load_settings

    settings = load_settings(**({"create": True} if create else {}))
    try:
        async with starting(settings, made=_say_topics) as (client, store):
            with progress_bar("reading", "bytes", quiet=task.quiet) as progress:
                what = HistoryFile(name, task.history(progress), task.refuse, dedupe)
                return await import_events(settings, client, store, what, is_more_to_come=is_more_to_come)
    except (KafkaError, TimeoutError) as error:
        why = f"the import broke off at {settings.kafka} ({type(error).__name__}); do it again, and it goes on"
        raise SettingsError(f"STREAMER_KAFKA: {why}") from None


async def _finish() -> Proposal:
    from aiokafka.errors import KafkaError

    from streamer.deployment.connecting import starting
    from streamer.imports.process import finish_import
    from streamer.settings import load_settings

    settings = load_settings()
    try:
        async with starting(settings, may_begin=False) as (client, store):
            return await finish_import(settings, client, store)
    except (KafkaError, TimeoutError) as error:
        raise SettingsError(f"STREAMER_KAFKA: no answer at {settings.kafka} ({type(error).__name__}); do it again") from None


def _say_proposal(proposal: Proposal, *, wait: bool) -> None:
    from streamer.settings import load_settings

    from .segment_status import follow

    version = proposal.publication.version
    became = "becomes a part of the past" if proposal.is_new else "is a part of the past already"
    echo(f"it {became} with version {version}; `streamer segments status` says how far the shards are", err=True)
    if wait:
        asyncio.run(follow(load_settings(), version))


def _say_topics(names: list[str]) -> None:
    echo(f"a new log: made the topics {', '.join(names)}", err=True)


def _say(task: ImportTask, done: Importer, what: str, *, as_json: bool) -> None:
    first, last = (None if at_ms is None else time_text(at_ms) for at_ms in (done.first_ms, done.last_ms))
    left_out = dict(sorted(task.reasons.items()))
    if as_json:
        echo_json({"written": done.written, "was_there": done.was_there, "left_out": left_out, "first": first, "last": last})
        return
    between = "" if first is None else f", from {first} to {last}"
    there = f"; {done.was_there:,} were there before" if done.was_there else ""
    echo(f"{numbered(done.written, 'event')} {what}{there}{between}")
    for reason, count in left_out.items():
        found = task.first[reason]
        place = "" if reason == PASSED_OVER else f"; the first is {found.file}:{found.line} at {found.path}"
        echo(f"{count:,} left out, {reason}{place}{f': {found.detail}' if found.detail else ''}")


__all__ = ["register"]
