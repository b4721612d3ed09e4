"""Files as a log: what a replay reads, in which order, and what it cannot read.

Memory is bounded, also where events must first be sorted: what does not fit is sorted on disk, in a file that has no name.
"""

from __future__ import annotations

import base64
import heapq
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from time import time
from typing import IO, Annotated, Final

import msgspec
import typer

from streamer.errors import RefusedError, SettingsError
from streamer.events.adapters import ADAPTERS, adapt
from streamer.events.adapters.columns import Mapping, load_mapping
from streamer.events.adapters.mapping import SHIPPED
from streamer.events.adapters.outcome import Outcome, Refusal
from streamer.events.admission import BODY_MAX_BYTES
from streamer.events.arrival import received_ms
from streamer.events.codec import decode, encode, is_batch, read_object
from streamer.events.dead_letter import raw_of, read_dead_letter
from streamer.events.event import Event
from streamer.events.placeholders import PLACEHOLDER_IDS
from streamer.flow.replay import Arrival, ReplayOutput
from streamer.flow.wild_clocks import without_wild_clocks
from streamer.language.durations import format_duration, parse_duration
from streamer.transports.files.event_files import Meter, format_of_suffix, read
from streamer.units import DAY_MS
from streamer.values import parse_time_ms
from streamer.wire import DEAD_LETTERS

OWN: Final = "streamer"
LATENESS: Final = "24h"
SORTED_AT_ONCE: Final = 200_000  # records, at 300 bytes each 60 MB
MAX_MS: Final = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z
AHEAD: Final = "366d"
AHEAD_MS: Final = 366 * DAY_MS  # longer than any shop is closed; the years that a reset clock is off are more
NAMES_MAX: Final = 1_000  # different names of events that are noted
PASSED_OVER: Final = "skipped"  # on purpose: the mapping says so

_arrival_ms = attrgetter("arrival_ms")
_to_bytes = msgspec.msgpack.Encoder().encode
_from_bytes = msgspec.msgpack.Decoder(list[Arrival]).decode


def shipped_mappings() -> str:
    """Their names, for messages."""
    return ", ".join(sorted(file.stem for file in SHIPPED.glob("*.yaml")))


FilesArgument = Annotated[
    list[str],
    typer.Argument(metavar="FILE", help=".ndjson, .jsonl, .json, .csv, .parquet; all but the last also .gz; - is standard input"),
]
SegmentsOption = Annotated[
    list[str] | None,
    typer.Option(metavar="PATH", help="definitions: a YAML file or a folder of them, may be repeated; left out, those that ship with us"),
]
MappingName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        help=f"what columns mean; CSV and Parquet need one: a YAML file (docs/mappings.md), or one of ours ({shipped_mappings()})",
    ),
]
FormatName = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="NAME",
        help="what each line of NDJSON is, a message or a batch of them, without a mapping, or beside files that the mapping is for: "
        f"{', '.join(ADAPTERS)}",
    ),
]
LatenessOption = Annotated[str, typer.Option(metavar="LENGTH", help="how old an event may be when it arrives; older ones are refused")]
AheadOption = Annotated[
    str,
    typer.Option(
        metavar="LENGTH", help="how far a line may lie ahead of the lines around it; one further ahead has a wild clock, and is refused"
    ),
]
SortOption = Annotated[bool, typer.Option("--sort", help="the files are not in the order of time: sort all events first")]
UntilOption = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="let time pass after the last event, so that windows end: a date, or a length such as 30d"),
]


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line that became no event, or an event that came too late or too early.

    ``raw`` is the line; of one that carries many events the refused one alone, and ``path`` says which it is.
    """

    file: str
    line: int
    reason: str
    path: str
    detail: str
    raw: bytes


def rejected_line(found: Rejected) -> bytes:
    """A refused line with its reason, as JSON."""
    shown: dict[str, object] = {name: getattr(found, name) for name in ("file", "line", "reason", "path", "detail")}
    try:
        shown["raw"] = found.raw.decode()
    except UnicodeDecodeError:
        shown["raw_base64"] = base64.b64encode(found.raw).decode()
    return msgspec.json.encode(shown)


def refused_of(said: ReplayOutput) -> Rejected:
    """The line behind a dead letter of the step."""
    letter = read_dead_letter(said.output.value)
    return Rejected(said.file, said.line, letter.reason, letter.path, letter.detail, raw_of(letter))


class FirstRefused:
    """Keeps the first line that was refused, so that none is passed over in silence; a mapping's own skipping is no refusal."""

    def __init__(self) -> None:
        self._first: Rejected | None = None

    def __call__(self, found: Rejected) -> None:
        """One more."""
        if self._first is None and found.reason != PASSED_OVER:
            self._first = found

    def take(self, said: ReplayOutput) -> None:
        """An output of the step, which may be an event that it refused: one that came too late is as missing as one that was none."""
        if said.output.topic == DEAD_LETTERS:
            self(refused_of(said))

    def hints(self) -> Iterator[str]:
        """Where it is and why, if there was one."""
        if (found := self._first) is not None:
            yield f"lines were refused, the first is {found.file}:{found.line}, {found.reason} at {found.path}"


@dataclass(frozen=True)
class EventSource:
    """What a command was told to read."""

    files: list[str]
    mapping_name: str | None = None
    format_name: str = OWN
    sort: bool = False
    ahead_ms: int = AHEAD_MS
    names: set[str] = field(default_factory=set[str], compare=False)  # of the events read so far, for hints; at most NAMES_MAX
    traits: set[str] = field(default_factory=set[str], compare=False)  # of the events read so far, likewise
    listeners: list[Callable[[Event], None]] = field(default_factory=list[Callable[[Event], None]], compare=False)  # are shown each event

    def __post_init__(self) -> None:
        if self.format_name not in ADAPTERS:
            raise typer.BadParameter(f"expected one of {', '.join(ADAPTERS)}, found {self.format_name!r}", param_hint="--format")

    @cached_property
    def mapping(self) -> Mapping | None:
        """The mapping, loaded; ``MappingError`` if it cannot be used."""
        return None if self.mapping_name is None else load_mapping(self.mapping_name)

    @property
    def placeholder_ids(self) -> tuple[str, ...]:
        """The ids that name nobody."""
        return PLACEHOLDER_IDS if self.mapping is None else self.mapping.placeholder_ids

    @property
    def is_sorted_first(self) -> bool:
        """Whether everything is read before the first event counts."""
        return self.sort or (self.mapping is not None and self.mapping.sort)

    def arrivals(self, reject: Callable[[Rejected], None], meter: Meter | None = None) -> Iterator[Arrival]:
        """The events of all files in their order, of a line with many one by one; what is none goes to ``reject``."""
        return (arrival for arrival, _ in self.read(reject, meter))

    def read(self, reject: Callable[[Rejected], None], meter: Meter | None = None) -> Iterator[tuple[Arrival, Event]]:
        """The same, each with what it says."""
        for file in self.files:
            mapping = self._mapping_of(file)
            for found in self._of_table(file, mapping, meter) if mapping else self._of_lines(file, meter):
                if isinstance(found, Rejected):
                    reject(found)
                else:
                    yield found
            if meter is not None:
                meter.next_file()

    def log(self, reject: Callable[[Rejected], None]) -> Iterator[Arrival]:
        """The events of all files in the order in which they count."""
        arrivals = self.arrivals(reject)
        return self.steady(in_order(arrivals) if self.is_sorted_first else arrivals, reject)

    def steady(self, arrivals: Iterator[Arrival], reject: Callable[[Rejected], None]) -> Iterator[Arrival]:
        """The same without lines whose clock is wild, which go to ``reject``."""

        def refuse(arrival: Arrival, by_ms: int) -> None:
            length = format_duration(max(by_ms // DAY_MS, 1) * DAY_MS)
            detail = f"{length} ahead of the lines around it, at most {format_duration(self.ahead_ms)}"
            reject(Rejected(arrival.file, arrival.line, "ahead", "$.timestamp", detail, arrival.value))

        return without_wild_clocks(arrivals, self.ahead_ms, refuse)

    def _mapping_of(self, file: str) -> Mapping | None:
        """The mapping, unless a file's suffix says that its lines are of another format: those are what --format says."""
        mapping = self.mapping
        return None if mapping is None or format_of_suffix(file) not in (None, mapping.format) else mapping

    def _of_table(self, file: str, mapping: Mapping, meter: Meter | None) -> Iterator[tuple[Arrival, Event] | Rejected]:
        rows = read(
            file,
            file_format=mapping.format,
            columns=mapping.columns,
            needed=mapping.needed,
            delimiter=mapping.delimiter,
            meter=meter,
        )
        for line, outcome in mapping.numbered(rows):
            yield self._placed(file, line, outcome)

    def _of_lines(self, file: str, meter: Meter | None) -> Iterator[tuple[Arrival, Event] | Rejected]:
        for line, raw in read(file, meter=meter):
            if not isinstance(raw, bytes):
                raise SettingsError(
                    f"{file}: rows of a table need --mapping, which says what its columns mean: {shipped_mappings()}, or a file"
                )
            if self.format_name == OWN and not _carries_many(raw):
                yield self._own(file, line, raw)
                continue
            for outcome in adapt(raw, format_name=self.format_name, received_ms=None):
                yield self._placed(file, line, outcome, raw)

    def _own(self, file: str, line: int, raw: bytes) -> tuple[Arrival, Event] | Rejected:
        """A line in our own format, byte by byte as it would lie in the log."""
        try:
            event = decode(raw)
        except RefusedError as error:
            return Rejected(file, line, error.reason, error.path, error.detail, raw)
        self._note(event)
        return Arrival(line, _moment_ms(event, raw), raw, file), event

    def _placed(self, file: str, line: int, outcome: Outcome, raw: bytes = b"") -> tuple[Arrival, Event] | Rejected:
        """What was made of a line, or of a part of it, with its place. ``raw`` is the line, where it may say when it was received."""
        if isinstance(outcome, Refusal):
            part = raw if outcome.part is None else _as_bytes(outcome.part)
            return Rejected(file, line, outcome.reason, outcome.path, outcome.detail, part)
        self._note(outcome)
        return Arrival(line, _moment_ms(outcome, raw), encode(outcome), file), outcome

    def _note(self, event: Event) -> None:
        if len(self.names) < NAMES_MAX:
            self.names.add(event.name)
        if event.traits and len(self.traits) < NAMES_MAX:
            self.traits.update(event.traits)
        for listen in self.listeners:
            listen(event)


def _carries_many(raw: bytes) -> bool:
    """Whether a line is the body of a batch request."""
    if b'"batch"' not in raw or len(raw) > BODY_MAX_BYTES:
        return False
    try:
        return is_batch(read_object(raw))
    except RefusedError:
        return False


def _as_bytes(part: dict[str, object] | bytes) -> bytes:
    """A row or an element of a batch as JSON; bytes of a CSV file that were not UTF-8 are in it as they lay there."""
    return part if isinstance(part, bytes) else json.dumps(part, ensure_ascii=False, default=str).encode("utf-8", "surrogateescape")


def _moment_ms(event: Event, raw: bytes) -> int:
    """When it arrived, as far as its line says so; else the event's own time will do."""
    received = received_ms(raw)
    return event.timestamp_ms if received is None else received


def in_order(arrivals: Iterable[Arrival], *, at_once: int = SORTED_AT_ONCE) -> Iterator[Arrival]:
    """The same by time; of equal times in the order of the files."""
    runs: list[Iterable[Arrival]] = []
    held: list[Arrival] = []
    for arrival in arrivals:
        held.append(arrival)
        if len(held) == at_once:
            runs.append(_Run(sorted(held, key=_arrival_ms)))
            held = []
    yield from heapq.merge(*runs, sorted(held, key=_arrival_ms), key=_arrival_ms)


class _Run:
    """A stretch that was sorted and put aside, to be read once from its beginning."""

    def __init__(self, arrivals: list[Arrival]) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed, and gone, when it is read or forgotten
        for start in range(0, len(arrivals), 1_000):
            block = _to_bytes(arrivals[start : start + 1_000])
            self._file.write(len(block).to_bytes(4, "big") + block)

    def __iter__(self) -> Iterator[Arrival]:
        with self._file as file:
            file.seek(0)
            while head := file.read(4):
                yield from _from_bytes(file.read(int.from_bytes(head, "big")))


def length_ms(text: str, *, option: str) -> int:
    """A length of time that was given for an option."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def begin_ms(since: str, *, option: str = "--since") -> int:
    """The moment that an option means: one that is named, or so long ago by this machine's clock."""
    moment = parse_time_ms(since)
    if moment is not None:
        return moment
    try:
        return int(time() * 1_000) - parse_duration(since)
    except ValueError:
        message = f"expected a date such as 2026-01-31 or 2026-01-31T12:00:00Z, or a length such as 90d, found {since!r}"
        raise typer.BadParameter(message, param_hint=option) from None


def end_ms(until: str, last_ms: int) -> int:
    """The moment that ``--until`` means, after ``last_ms``."""
    moment = parse_time_ms(until)
    if moment is None:
        try:
            moment = last_ms + parse_duration(until)
        except ValueError:
            message = f"expected a date such as 2026-01-31 or 2026-01-31T12:00:00Z, or a length such as 30d, found {until!r}"
            raise typer.BadParameter(message, param_hint="--until") from None
    return min(moment, MAX_MS)


def numbered(number: int, thing: str) -> str:
    """``1 change``, ``2 changes``, ``1,200 changes``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
