"""``streamer replay``: the same step over files."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from streamer.customers.state import State
from streamer.errors import SettingsError
from streamer.flow.admission import CROWDED
from streamer.flow.replay import Arrival, Replay, ReplayOutput
from streamer.flow.rules import Rules
from streamer.language.definitions import Definitions, load_definitions
from streamer.language.durations import format_duration
from streamer.messages.decision import decode_decision
from streamer.segments.library import library_path
from streamer.segments.merge import is_merge
from streamer.stores.memory import MemoryStore
from streamer.transports.files.event_files import STDIN, Meter
from streamer.values import time_text
from streamer.wire import CHANGES, DEAD_LETTERS, MESSAGES

from . import EXIT_CODES, EXIT_NO
from .event_names import suggest_event_names, suggest_trait_names
from .event_source import (
    AHEAD,
    OWN,
    PASSED_OVER,
    AheadOption,
    EventSource,
    FilesArgument,
    FormatName,
    LatenessOption,
    MappingName,
    Rejected,
    SegmentsOption,
    SortOption,
    UntilOption,
    end_ms,
    in_order,
    length_ms,
    numbered,
    refused_of,
    rejected_line,
)
from .terminal import echo, echo_json, standard_output, write_json
from .texts import Texts

if TYPE_CHECKING:
    from rich.progress import Progress

SHOWN_EVERY: Final = 1_000  # events
ACCEPTED: Final = "accepted"
SENT_ON: Final = "sent_on"  # an event of a visitor after the login: what became of it at the user is counted, too

WriteLine = Callable[[bytes], None]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("replay", epilog=EXIT_CODES, short_help="Try segments on files of events; needs no server.")(replay)


def replay(
    files: FilesArgument,
    segments: SegmentsOption = None,
    mapping: MappingName = None,
    format_name: FormatName = OWN,
    sort: SortOption = False,
    until: UntilOption = None,
    changes: Annotated[
        str | None, typer.Option(metavar="FILE", help="write each segment change here, one CloudEvent a line; - for standard output")
    ] = None,
    messages: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="write each decision about a message here, a CloudEvent a line; - for standard output"),
    ] = None,
    rejects: Annotated[
        str | None, typer.Option(metavar="FILE", help="write each refused line here with its reason, as JSON; - for standard output")
    ] = None,
    members: Annotated[
        bool, typer.Option("--members", help="print at the end who is in which segments since when, a customer a line")
    ] = False,
    lateness: LatenessOption = "24h",
    ahead: AheadOption = AHEAD,
    batch: Annotated[
        int, typer.Option(metavar="N", min=1, max=1_000_000, help="events per slice of work; changes nothing in the output")
    ] = 1_000,
    as_json: Annotated[bool, typer.Option("--json", help="the summary as one JSON object, on standard output where that is free")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="no progress bar, no summary, no hints")] = False,
) -> None:
    """Let files of events go through segment definitions, without Kafka and a store, and say what came of it.

    It is the step that workers run, so it gives the same changes. The same input gives the same bytes, whatever --batch is. Time is taken
    from each line's receivedAt, else from its timestamp. A line may hold one event, or many in a list named batch. Each event is accepted,
    a duplicate, skipped because its mapping says so, or refused for a reason; the summary counts them all. Exit code 1: there were
    events, and none was accepted.

    \b
      streamer replay events.ndjson.gz --until 30d --changes changes.ndjson
      streamer replay orders.csv --mapping my_columns.yaml --members --rejects refused.ndjson
      cat messages.ndjson | streamer replay - --format segment --changes - --quiet
    """
    source = EventSource(files, mapping, format_name, sort, length_ms(ahead, option="--ahead"))
    definitions = load_definitions(*([Path(path) for path in segments or ()] or [library_path()]))
    _check_outputs([changes, messages, rejects], [*files, *(segments or ()), *([mapping] if mapping else ())])
    rules = Rules(shards=1, lateness_ms=length_ms(lateness, option="--lateness"), placeholder_ids=source.placeholder_ids)
    texts = Texts(definitions)
    source.listeners.append(texts.note)
    task = _Task(source, texts, definitions, rules, until, batch, changes, messages, rejects, members, as_json, quiet)
    if not asyncio.run(_replay(task)):
        raise typer.Exit(EXIT_NO)


def _check_outputs(outputs: list[str | None], inputs: list[str]) -> None:
    """Refuse to write over a file that is read, or twice into one: the second would write over the first."""
    read = {Path(name).resolve() for name in inputs if name != STDIN}
    written = set[Path]()
    for out in outputs:
        if out in (None, STDIN) or Path(out).is_char_device():
            continue
        place = Path(out).resolve()
        if place in read or place in written:
            what = "read" if place in read else "written by another of the three"
            raise typer.BadParameter(f"{out} is also {what}", param_hint="--changes, --messages and --rejects")
        written.add(place)


@dataclass(frozen=True, slots=True)
class _Task:
    source: EventSource
    texts: Texts
    definitions: Definitions
    rules: Rules
    until: str | None
    batch: int
    changes: str | None
    messages: str | None
    rejects: str | None
    members: bool
    as_json: bool
    quiet: bool

    @property
    def is_stdout_taken(self) -> bool:
        """Whether something is written there that a summary would break."""
        return self.members or STDIN in (self.changes, self.messages, self.rejects)


async def _replay(task: _Task) -> bool:
    """Whether anything was accepted, or there was nothing to accept."""
    run = await Replay.begin(task.definitions, MemoryStore(), task.rules, batch=task.batch)
    with ExitStack() as stack:
        tally = ReplayCounts(_writer(stack, task.changes), _writer(stack, task.rejects), _writer(stack, task.messages))
        async for said in run.feed(_with_progress(stack, task, tally), batch=task.batch):
            tally.take(said)
        last_ms = run.body.log_time_ms
        if task.until is not None:
            async for said in run.until(end_ms(task.until, last_ms)):
                tally.take(said)
        if task.members:
            await _print_members(run)
    accepted = run.body.counts.get(ACCEPTED, 0)
    if not task.quiet:
        _summary(task, run, tally)
        for hint in _hints(task, run, tally, last_ms):
            echo(f"hint: {hint}", err=True)
    return accepted > 0 or not tally.received


class ReplayCounts:
    """Counts and writes what comes out."""

    def __init__(self, write_change: WriteLine | None, write_reject: WriteLine | None, write_decision: WriteLine | None = None) -> None:
        self.changes = 0
        self.fed = 0
        self.leap = ""  # the line that moved time furthest, and by how much
        self.leap_ms = 0
        self.skipped: Counter[str] = Counter()  # by the place in the row for which it was passed over
        self.crowded = 0  # events late only because their customer sent too many
        self.first: dict[str, Rejected] = {}  # the first that was refused for a reason
        self.reasons: Counter[str] = Counter()  # of lines that never became events; those of the step are among its own counts
        self.decisions: Counter[str] = Counter()  # what was decided of messages: ``send``, or why not
        self._write_change = write_change
        self._write_decision = write_decision
        self._write_reject = write_reject

    @property
    def received(self) -> int:
        """Everything that was there."""
        return self.fed + self.reasons.total()

    def take(self, said: ReplayOutput) -> None:
        """One output of the step. Examples for learning are nothing to a replay."""
        if said.output.topic == CHANGES:
            self.changes += not is_merge(said.output.value)
            if self._write_change is not None:
                self._write_change(said.output.value)
        elif said.output.topic == MESSAGES:
            decision = decode_decision(said.output.value)
            self.decisions[decision.data.reason or decision.outcome] += 1
            if self._write_decision is not None:
                self._write_decision(said.output.value)
        elif said.output.topic == DEAD_LETTERS:
            found = refused_of(said)
            self.crowded += CROWDED in found.detail
            self._keep(found)

    def refuse(self, found: Rejected) -> None:
        """A line that became no event."""
        self.reasons[found.reason] += 1
        if found.reason == PASSED_OVER:
            self.skipped[found.path.removeprefix("$.")] += 1
        self._keep(found)

    def _keep(self, found: Rejected) -> None:
        self.first.setdefault(found.reason, found)
        self._write(found)

    def _write(self, found: Rejected) -> None:
        if self._write_reject is not None:
            self._write_reject(rejected_line(found))


def _writer(stack: ExitStack, path: str | None) -> WriteLine | None:
    """A function that writes a line; everything is written when the stack ends."""
    if path is None:
        return None
    with _report_errors(path):
        out: IO[bytes] = standard_output() if path == STDIN else Path(path).open("wb")  # noqa: SIM115 - the stack closes it

    def write(line: bytes) -> None:
        with _report_errors(path):
            write_json(out, line)

    def finish() -> None:
        with _report_errors(path):
            out.flush() if path == STDIN else out.close()

    stack.callback(finish)
    return write


@contextmanager
def _report_errors(path: str) -> Generator[None]:
    """An output that fails is told by its name; a reader that has gone is none of that."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written: {error.strerror}") from None


# progress


def _with_progress(stack: ExitStack, task: _Task, tally: ReplayCounts) -> Iterator[Arrival]:
    """The events in the order in which they count, with a bar on a terminal."""
    meter = Meter(task.source.files)
    progress = None if task.quiet or not sys.stderr.isatty() else stack.enter_context(_bar())
    arrivals = task.source.arrivals(tally.refuse, meter)
    if progress is not None:
        arrivals = _shown(progress, "reading" if task.source.is_sorted_first else "replaying", arrivals, meter)
    if task.source.is_sorted_first:
        arrivals = in_order(arrivals)
        if progress is not None:
            arrivals = _shown(progress, "replaying", arrivals, None)
    return _counted(tally, task.source.steady(arrivals, tally.refuse))


def _counted(tally: ReplayCounts, arrivals: Iterator[Arrival]) -> Iterator[Arrival]:
    newest_ms = 0
    for arrival in arrivals:
        tally.fed += 1
        if tally.fed > 1 and arrival.arrival_ms - newest_ms > tally.leap_ms:
            tally.leap, tally.leap_ms = f"{arrival.file}:{arrival.line}", arrival.arrival_ms - newest_ms
        newest_ms = max(newest_ms, arrival.arrival_ms)
        yield arrival


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[events]:,} events, {task.fields[moment]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _shown(progress: Progress, what: str, arrivals: Iterator[Arrival], meter: Meter | None) -> Iterator[Arrival]:
    """Show how far it is: by bytes read where their number is known."""
    bar = progress.add_task(what, total=None if meter is None else meter.total, events=0, moment="")
    count = 0
    for count, arrival in enumerate(arrivals, 1):
        if count % SHOWN_EVERY == 0:
            progress.update(bar, completed=0 if meter is None else meter.read, events=count, moment=time_text(arrival.arrival_ms))
        yield arrival
    progress.update(bar, completed=1, total=1, events=count)


# what is said at the end


async def _print_members(run: Replay) -> None:
    out = standard_output()
    async for customer, state in run.states():
        write_json(out, msgspec.json.encode({"customer": customer, "segments": _inside(run, state)}))
    out.flush()


def _inside(run: Replay, state: State) -> dict[str, str]:
    names = run.plan.names
    entered = {names[number]: entry.at_ms for number, entry in state.members.items() if entry.inside and number < len(names)}
    return {name: time_text(at_ms + state.origin_ms) for name, at_ms in sorted(entered.items())}


def _summary(task: _Task, run: Replay, tally: ReplayCounts) -> None:
    counts = tally.reasons + Counter(run.body.counts)
    del counts[SENT_ON]
    sizes = {name: size for name, size in zip(run.plan.names, run.body.sizes, strict=True) if size}
    if task.as_json:
        summary = {
            "received": tally.received,
            "outcomes": dict(sorted(counts.items())),
            "skipped": dict(sorted(tally.skipped.items())),
            "changes": tally.changes,
            "decisions": dict(sorted(tally.decisions.items())),
            "log_time": time_text(run.body.log_time_ms),
            "story": run.output_digest.hex(),
            "members": dict(sorted(sizes.items())),
        }
        echo_json(summary, err=task.is_stdout_taken)
        return
    outcomes = ", ".join(f"{number:,} {reason}" for reason, number in sorted(counts.items())) or "nothing to do"
    lines = [f"{tally.received:,} received: {outcomes}"]
    lines += [f"{number:,} skipped: no {column}" for column, number in sorted(tally.skipped.items())]
    if tally.fed:
        story = f", story {run.output_digest.hex()}" if run.output_digest else ""  # there is none before something is said
        lines.append(f"{numbered(tally.changes, 'change')} up to {time_text(run.body.log_time_ms)}{story}")
    if tally.decisions:
        decided = ", ".join(f"{number:,} {reason}" for reason, number in sorted(tally.decisions.items()))
        lines.append(f"{numbered(tally.decisions.total(), 'decision')} about messages: {decided}")
    lines += [f"  {size:>8,}  {name}" for name, size in sorted(sizes.items(), key=lambda item: (-item[1], item[0]))]
    for line in lines:
        echo(line, err=True)


def _hints(task: _Task, run: Replay, tally: ReplayCounts, last_ms: int) -> Iterator[str]:
    """What a newcomer would want to know about these counts."""
    late = run.body.counts.get("late", 0) - tally.crowded
    if late and not task.source.is_sorted_first:
        yield (
            f"{numbered(late, 'event')} came more than {format_duration(task.rules.lateness_ms)} after a newer one; "
            f"if the files are not in the order of time, use --sort{_leap(task, tally)}"
        )
    if tally.crowded:
        yield f"{numbered(tally.crowded, 'event')} refused as late: {CROWDED}"
    if "ahead" in tally.first:
        found, number = tally.first["ahead"], tally.reasons["ahead"]
        yield f"{numbered(number, 'line')} refused for a wild clock, the first is {found.file}:{found.line}: {found.detail} (--ahead)"
    if task.rejects is None:
        yield from _first_refused(tally)
    if task.source.mapping is not None:
        for column in task.source.mapping.unseen if tally.received else ():
            yield f"the mapping reads {column!r}, which no line had"
    if tally.received and not run.body.counts.get(ACCEPTED):
        yield "nothing was accepted; is it the right --format or --mapping? --rejects - shows each line and what is wrong with it"
    yield from suggest_event_names(task.definitions, task.source.names)
    yield from suggest_trait_names(task.definitions, task.source.traits)
    yield from task.texts.hints()
    if task.until is not None and tally.fed and run.body.log_time_ms == last_ms and end_ms(task.until, last_ms) < last_ms:
        yield f"--until {task.until} lies before the last event, {time_text(last_ms)}"


def _first_refused(tally: ReplayCounts) -> Iterator[str]:
    """Where to look, for each reason that says something of the line itself."""
    for reason, found in sorted(tally.first.items()):
        if reason not in ("late", "future", "ahead", PASSED_OVER):
            yield f"{reason}: the first is {found.file}:{found.line} at {found.path}{f': {found.detail}' if found.detail else ''}"


def _leap(task: _Task, tally: ReplayCounts) -> str:
    """The line that moved time furthest, where that is further than an event may be late: what follows it may be late for its sake."""
    if tally.leap_ms <= task.rules.lateness_ms:
        return ""
    return f"; time was moved furthest by {tally.leap}, by {format_duration(tally.leap_ms // 1_000 * 1_000)}: is its clock right?"
