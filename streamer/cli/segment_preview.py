"""``streamer segments preview``, and what ``streamer segments publish --dry-run`` says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from streamer.errors import SettingsError
from streamer.flow.replay import Arrival
from streamer.flow.rules import Rules
from streamer.language.definitions import Definitions, load_definitions
from streamer.language.durations import parse_duration
from streamer.previews.bounds import Bounds
from streamer.previews.conclusion import Wishes
from streamer.previews.events import Apart, preview_events
from streamer.previews.processes import PROCESSES_MAX, usable_cores
from streamer.previews.result import Preview
from streamer.transports.files.event_files import STDIN

from .event_source import (
    AHEAD,
    LATENESS,
    OWN,
    AheadOption,
    EventSource,
    FirstRefused,
    FormatName,
    LatenessOption,
    MappingName,
    SortOption,
    UntilOption,
    begin_ms,
    end_ms,
    length_ms,
)
from .preview_text import difference_lines, preview_lines
from .progress_bar import progress_bar
from .terminal import echo, echo_json

ALL: Final = "100%"

ShareOption = Annotated[
    str, typer.Option("--share", metavar="PART", help="look only at this part of the customers, such as 10%; numbers then have intervals")
]
ProcessesOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        max=64,
        help=f"processes that divide the customers among them: the answer is the same; left out, one a core, {PROCESSES_MAX} at most",
    ),
]
Paths = Annotated[list[Path], typer.Argument(metavar="PATH", help="YAML files of definitions, or folders of them")]


def preview(
    paths: Paths,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", metavar="FILE", help="preview on files of events, not on the deployment's log; may be repeated"),
    ] = None,
    against: Annotated[
        list[Path] | None,
        typer.Option("--against", metavar="PATH", help="with --data, the definitions with which to compare; may be repeated"),
    ] = None,
    mapping: MappingName = None,
    format_name: FormatName = OWN,
    sort: SortOption = False,
    until: UntilOption = None,
    lateness: LatenessOption = LATENESS,
    ahead: AheadOption = AHEAD,
    share: ShareOption = ALL,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="read only what arrived since then: a date, or a length back such as 90d")
    ] = None,
    within: Annotated[
        str | None,
        typer.Option(
            metavar="BOUND",
            help="read no more than this: a number of events, for which fewer customers are looked at, or a length such as 30s, "
            "after which nothing is said",
        ),
    ] = None,
    processes: ProcessesOption = None,
    days: Annotated[int, typer.Option(metavar="N", min=1, max=366, help="days of who entered and left")] = 14,
    samples: Annotated[int, typer.Option(metavar="N", min=0, max=100, help="members shown of each segment, with their reasons")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Say whom segments would catch if they were published: before anything is written, and on customers who are there already.

    For each segment: how many are in it, who entered and left by day, who will within an hour, a day and a week if no event arrives, some
    members with their reasons, and in which other segments they are, of the same files and of those in force. For each message: to how many
    customers it would have been sent in these days had it always been defined, and what else was decided of it, by reason.

    The deployment's whole log (see `streamer config` for where it is) is told anew in memory under these definitions, and compared with
    what its store has now; with --data, files of events are. With --share only some customers are looked at: chosen by a hash of their id,
    with every other id of theirs and with whoever shared a device with them. All is exact on these, and what it says of
    all has an interval that holds the true number 95 times in 100.

    \b
      streamer segments preview my_segments.yaml
      streamer segments preview my_segments.yaml --share 5% --json
      streamer segments preview my_segments.yaml --data events.ndjson.gz --against segments_now.yaml
    """
    definitions = load_definitions(*paths)
    wishes, (events_max, seconds_max) = Wishes(share_of(share), days, samples), _bounds_of(within)
    if data:
        if since is not None:
            raise typer.BadParameter("files are read whole", param_hint="--since")
        source = EventSource(data, mapping, format_name, sort, length_ms(ahead, option="--ahead"))
        rules = Rules(shards=1, lateness_ms=length_ms(lateness, option="--lateness"), placeholder_ids=source.placeholder_ids)
        bounds, count = Bounds(events_max, seconds_max), processes or usable_cores()
        found = asyncio.run(_of_files(source, definitions, rules, wishes, bounds, against, until, count))
    else:
        if against or mapping or sort or until or format_name != OWN or lateness != LATENESS or ahead != AHEAD:
            raise typer.BadParameter(
                "without --data the log of the deployment is read, and these say nothing", param_hint="options of files"
            )
        found = _of_deployment(definitions, wishes, since, events_max, Bounds(seconds_max=seconds_max), processes)
    if as_json:
        echo_json(found)
        return
    for line in preview_lines(found):
        echo(line)


def print_difference(definitions: Definitions, share: str) -> None:
    """Say what publishing these definitions would change at once."""
    for line in difference_lines(_of_deployment(definitions, Wishes(share_of(share), days=1, samples=0, replaces=True), None)):
        echo(line)


def share_of(text: str) -> float:
    """The part that ``10%`` or ``0.1`` means."""
    number = text.removesuffix("%")
    try:
        found = float(number) / (100 if number != text else 1)
    except ValueError:
        found = 0.0
    if not 0 < found <= 1:
        raise typer.BadParameter(f"expected a part such as 10% or 0.1, found {text!r}", param_hint="--share")
    return found


def _bounds_of(within: str | None) -> tuple[int | None, float | None]:
    """How many events, or how many seconds, a text means."""
    if within is None:
        return None, None
    if within.replace("_", "").isdecimal() and int(within) > 0:
        return int(within), None
    try:
        return None, parse_duration(within) / 1_000
    except ValueError:
        message = f"expected a number of events such as 1000000, or a length such as 30s, found {within!r}"
        raise typer.BadParameter(message, param_hint="--within") from None


def _of_deployment(
    definitions: Definitions,
    wishes: Wishes,
    since: str | None,
    events_max: int | None = None,
    bounds: Bounds | None = None,
    processes: int | None = None,
) -> Preview:
    """Of at most so many events: what is left out are whole customers, and the answer says how many."""
    from streamer.previews.deployment import fitting_share, preview_deployment
    from streamer.settings import load_settings

    settings, since_ms = load_settings(), None if since is None else begin_ms(since)
    if events_max is not None:
        wishes = replace(wishes, share=min(wishes.share, asyncio.run(fitting_share(settings, events_max))))
    with progress_bar("reading the log", "records") as progress:
        count = processes or usable_cores()
        work = preview_deployment(settings, definitions, wishes, bounds or Bounds(), since_ms=since_ms, progress=progress, processes=count)
        return asyncio.run(work)


async def _of_files(
    source: EventSource,
    definitions: Definitions,
    rules: Rules,
    wishes: Wishes,
    bounds: Bounds,
    against: list[Path] | None,
    until: str | None,
    processes: int,
) -> Preview:
    before = load_definitions(*against) if against else None
    if STDIN in source.files and (wishes.share < 1 or before is not None):
        raise SettingsError("standard input can be read once: give a file, or leave --share and --against out")
    refused = FirstRefused()
    ends_at: Callable[[int], int] = int if until is None else partial(end_ms, until)
    apart = Apart(1 if STDIN in source.files else processes, partial(_read_again, source))
    found = await preview_events(
        lambda: source.log(refused), definitions, rules, wishes, bounds, against=before, until_ms=ends_at, apart=apart
    )
    for hint in refused.hints():
        echo(f"hint: {hint}", err=True)
    return found


def _read_again(source: EventSource) -> Iterable[Arrival]:
    """The same events in another process; what is refused is said by the first."""
    return source.log(lambda _: None)
