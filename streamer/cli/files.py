"""``streamer replay``: the same step over a file."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any, Final

import msgspec
import typer

from streamer.customers.state import State
from streamer.errors import RefusedError, SettingsError
from streamer.events.adapters import ADAPTERS, adapt
from streamer.events.adapters.columns import Refusal, load_mapping
from streamer.events.codec import decode, encode
from streamer.events.dead_letter import raw_of, read_dead_letter
from streamer.events.event import Event
from streamer.flow.replay import Arrival, Replay, Said
from streamer.flow.step import Rules
from streamer.segments.definitions import Definitions, load_definitions
from streamer.segments.durations import parse_duration
from streamer.segments.library import library_path
from streamer.stores.memory import MemoryStore
from streamer.transports.files import STDIN, read
from streamer.values import parse_time_ms, time_text
from streamer.wire import CHANGES

MAX_MS: Final = 253_402_300_799_999


class _ReceivedAt(msgspec.Struct):
    """The one field of a line that is not the event's."""

    received_at: Any = msgspec.field(name="receivedAt", default=None)


_received_at = msgspec.json.Decoder(_ReceivedAt).decode


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line that became no event, or an event that came too late or too early."""

    line: int
    reason: str
    path: str
    detail: str
    raw: str


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("replay")(replay)


def replay(
    events: Annotated[
        list[str], typer.Argument(help="files of events: .ndjson, .csv, .parquet, each also .gz; - for standard input", show_default=False)
    ],
    segments: Annotated[
        list[Path] | None, typer.Option(help="definitions: a file or folder; left out, the library that comes with streamer")
    ] = None,
    mapping: Annotated[str | None, typer.Option(help="columns to events: a YAML file, or rees46, otto, online_retail")] = None,
    input_format: Annotated[str, typer.Option("--format", help=f"what NDJSON lines are: {', '.join(ADAPTERS)}")] = "streamer",
    until: Annotated[str | None, typer.Option(help="time goes on after the last event: a date, or a length such as 30d")] = None,
    batch: Annotated[int, typer.Option(min=1, help="records per slice; changes nothing in the output")] = 1_000,
    changes: Annotated[str | None, typer.Option(help="write changes here, one CloudEvent a line; - for standard output")] = None,
    rejects: Annotated[str | None, typer.Option(help="write refused lines here, one JSON object a line; - for standard output")] = None,
    members: Annotated[bool, typer.Option("--members", help="print who is in what at the end, one JSON object a line")] = False,
    lateness: Annotated[str, typer.Option(help="how old an event may be when it arrives")] = "24h",
    as_json: Annotated[bool, typer.Option("--json", help="the summary as JSON")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="no progress bar, no summary")] = False,
) -> None:
    """Replay files of events through segment definitions, without Kafka and Redis.

    The same input gives the same bytes, whatever --batch is. Time is taken from each line's receivedAt, else from its timestamp.
    """
    definitions = load_definitions(*(segments or [library_path()]))
    asyncio.run(
        _replay(
            _Task(events, definitions, mapping, input_format, until, batch, changes, rejects, members, _length(lateness), as_json, quiet)
        )
    )


def _length(text: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


@dataclass(frozen=True, slots=True)
class _Task:
    events: list[str]
    definitions: Definitions
    mapping: str | None
    input_format: str
    until: str | None
    batch: int
    changes: str | None
    rejects: str | None
    members: bool
    lateness_ms: int
    as_json: bool
    quiet: bool


async def _replay(task: _Task) -> None:
    if task.input_format not in ADAPTERS:
        raise typer.BadParameter(f"expected one of {', '.join(ADAPTERS)}, found {task.input_format!r}", param_hint="--format")
    run = await Replay.begin(task.definitions, MemoryStore(), Rules(shards=1, lateness_ms=task.lateness_ms), batch=task.batch)
    with ExitStack() as stack:
        write_change = _writer(stack, task.changes)
        write_reject = _writer(stack, task.rejects)
        tally = _Tally(write_change, write_reject)
        lines = _arrivals(task, tally)
        async for said in run.feed(_with_progress(lines, task), batch=task.batch):
            tally.take(said)
        if task.until is not None:
            async for said in run.until(_end(task.until, run.body.log_time_ms)):
                tally.take(said)
        if task.members:
            await _print_members(run)
    if not task.quiet:
        _summary(task, run, tally)


class _Tally:
    """Counts and writes what comes out."""

    def __init__(self, write_change: Callable[[bytes], None] | None, write_reject: Callable[[bytes], None] | None) -> None:
        self.changes = 0
        self.read = 0
        self.reasons: dict[str, int] = {}
        self._write_change = write_change
        self._write_reject = write_reject

    def take(self, said: Said) -> None:
        if said.output.topic == CHANGES:
            self.changes += 1
            if self._write_change is not None:
                self._write_change(said.output.value)
            return
        letter = read_dead_letter(said.output.value)
        self._reject(
            Rejected(said.line, letter.reason, letter.path, letter.detail, raw_of(letter).decode("utf-8", "replace")),
            counted=False,
        )

    def refuse(self, line: int, error: RefusedError, raw: bytes) -> None:
        self._reject(Rejected(line, error.reason, error.path, error.detail, raw.decode("utf-8", "replace")), counted=True)

    def skip(self, refusal: Refusal) -> None:
        raw = (
            refusal.row.decode("utf-8", "replace")
            if isinstance(refusal.row, bytes)
            else msgspec.json.encode(refusal.row, enc_hook=str).decode()
        )
        self._reject(Rejected(refusal.line, refusal.reason, refusal.path, refusal.detail, raw), counted=True)

    def _reject(self, found: Rejected, *, counted: bool) -> None:
        if counted:  # those of the step are among its own counts
            self.reasons[found.reason] = self.reasons.get(found.reason, 0) + 1
        if self._write_reject is not None:
            self._write_reject(msgspec.json.encode(found))


def _arrivals(task: _Task, tally: _Tally) -> Iterator[Arrival]:
    for path in task.events:
        yield from _of_mapping(path, task.mapping, tally) if task.mapping else _of_lines(path, task.input_format, tally)


def arrivals_of(paths: list[str], mapping: str | None) -> Iterator[Arrival]:
    """Records of files, refused lines passed over."""
    tally = _Tally(None, None)
    for path in paths:
        yield from _of_mapping(path, mapping, tally) if mapping else _of_lines(path, "streamer", tally)


def _of_mapping(path: str, name: str, tally: _Tally) -> Iterator[Arrival]:
    found = load_mapping(name)
    for item in found.numbered(read(path, file_format=found.format, columns=found.columns)):
        tally.read += 1
        if isinstance(item, Refusal):
            tally.skip(item)
        else:
            yield Arrival(tally.read, item.timestamp_ms, encode(item))


def _of_lines(path: str, name: str, tally: _Tally) -> Iterator[Arrival]:
    for line, raw in read(path):
        tally.read += 1
        if not isinstance(raw, bytes):
            raise SettingsError(f"{path}: a table of rows needs --mapping")
        try:
            event = decode(raw) if name == "streamer" else adapt(raw, format_name=name, received_ms=None)
        except RefusedError as error:
            tally.refuse(line, error, raw)
            continue
        yield Arrival(line, _arrival_ms(event, raw), encode(event))


def _arrival_ms(event: Event, raw: bytes) -> int:
    if b'"receivedAt"' in raw:
        received_ms = parse_time_ms(_received_at(raw).received_at)
        if received_ms is not None:
            return received_ms
    return event.timestamp_ms


def _end(until: str, last_ms: int) -> int:
    moment = parse_time_ms(until)
    if moment is None:
        try:
            moment = last_ms + parse_duration(until)
        except ValueError:
            raise typer.BadParameter("expected a date such as 2026-01-31, or a length such as 30d", param_hint="--until") from None
    return min(moment, MAX_MS)


def _writer(stack: ExitStack, path: str | None) -> Callable[[bytes], None] | None:
    if path is None:
        return None
    if path == STDIN:
        out: IO[bytes] = sys.stdout.buffer
    else:
        try:
            out = stack.enter_context(Path(path).open("wb"))  # noqa: SIM115 - the stack closes it
        except OSError as error:
            raise SettingsError(f"{path}: {error.strerror}") from None

    def write(line: bytes) -> None:
        out.write(line + b"\n")

    return write


def _with_progress(lines: Iterator[Arrival], task: _Task) -> Iterator[Arrival]:
    if task.quiet or not sys.stderr.isatty():
        return lines
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    def shown() -> Iterator[Arrival]:
        columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} events, log time {task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            bar = progress.add_task("", total=None)
            for count, arrival in enumerate(lines):
                if count % 1_000 == 0:
                    progress.update(bar, completed=count, description=time_text(arrival.arrival_ms))
                yield arrival

    return shown()


async def _print_members(run: Replay) -> None:
    out = sys.stdout.buffer
    async for customer, state in run.states():
        out.write(msgspec.json.encode({"customer": customer, "segments": _inside(run, state)}) + b"\n")
    out.flush()


def _inside(run: Replay, state: State) -> dict[str, str]:
    names = run.plan.names
    return {
        name: time_text(at) for name, at in sorted((names[number], entry[1]) for number, entry in state.members.items() if entry[0] % 2)
    }


def _summary(task: _Task, run: Replay, tally: _Tally) -> None:
    counts = dict(run.body.counts)
    for reason, number in tally.reasons.items():
        counts[reason] = counts.get(reason, 0) + number
    sizes = {name: size for name, size in zip(run.plan.names, run.body.sizes, strict=True) if size}
    summary = {
        "read": tally.read,
        "outcomes": dict(sorted(counts.items())),
        "changes": tally.changes,
        "log_time": time_text(run.body.log_time_ms),
        "head": run.head.hex(),
        "members": dict(sorted(sizes.items())),
    }
    if task.as_json:
        typer.echo(msgspec.json.encode(summary).decode(), err=STDIN in (task.changes, task.rejects))
        return
    lines = [f"{tally.read:,} read: {', '.join(f'{number:,} {what}' for what, number in sorted(counts.items()))}"]
    lines.append(f"{tally.changes:,} changes up to {summary['log_time']}, story {summary['head']}")
    lines += [f"  {size:>8,}  {name}" for name, size in sorted(sizes.items(), key=lambda item: (-item[1], item[0]))]
    typer.echo("\n".join(lines), err=True)
