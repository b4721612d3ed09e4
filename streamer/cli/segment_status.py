"""How far what was published is: which version holds in which shards, what their workers say of the next one, what is warming."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from time import gmtime, strftime, time
from typing import Final

import typer

from streamer.settings import Settings
from streamer.worker.status.lane_status import LaneStatus
from streamer.worker.status.publication_status import PublicationStatus, ShardVersion, Version, Warming, published_now, read_status
from streamer.worker.status.shard_notes import read_note
from streamer.worker.status.shard_state import ShardState

from . import EXIT_NO
from .checks.finding import shard_numbers
from .terminal import echo

FOLLOW_SECONDS: Final = 1.0  # between two looks of --wait


def say_status(found: PublicationStatus) -> None:
    """Print it: a line a version, one a shard that is on its way, one a clause that is warming."""
    if found.newest is None:
        echo("no definitions were published: nobody enters a segment; `streamer segments publish PATH` publishes some")
    else:
        echo(f"version {found.newest.version} ({found.newest.digest}) was published last")
    if found.shadow is not None:
        echo(f"version {found.shadow.version} ({found.shadow.digest}) is in shadow")
    by_version: defaultdict[int, list[int]] = defaultdict(list)
    for one in found.shards:
        by_version[one.version].append(one.shard)
    for version, shards in sorted(by_version.items()):
        echo(f"  {f'version {version}' if version else 'none'} holds in {shard_numbers(shards)}")
    for one in found.shards:
        if (words := _way(found, one)) is not None:
            echo(f"  shard {one.shard}: {words}")
    for clause in found.warming:
        whole = "looks back to the beginning" if clause.until is None else f"has seen its whole window from {clause.until} on"
        echo(f"  warming: {clause.clause}: events are known since {clause.since}; it {whole}")


def _way(found: PublicationStatus, one: ShardVersion) -> str | None:
    if one.lane is not None and one.lane.version > one.version:  # else its worker has yet to note that it has come there
        return f"version {one.lane.version}: {lane_words(one.lane)}"
    if found.newest is None or one.version >= found.newest.version:
        return None
    return f"version {found.newest.version}: its worker has yet to notice" if one.is_at_work else "waits for a worker"


def lane_words(lane: LaneStatus) -> str:
    """How far a shard is with a version, for a person."""
    share = f"{lane.share:.0%} of {lane.of:,} records" if lane.of else "nothing folded yet"
    match lane.state:
        case "reads":
            return "the shard first reads its log up to where that ended"
        case "folds":
            return f"folds the past, {share}{_ends(lane.ends_at_ms)}{f'; {lane.why}' if lane.why else ''}"
        case "shadow":
            return f"in shadow, {share}{_ends(lane.ends_at_ms)}"
        case "ready":
            return f"has folded the past, and waits {lane.why or 'for other shards to come as far'}"
        case "written":
            return "the record that makes it hold lies in the log"
        case "stands":
            return f"stands, {share}: {lane.why}"


def _ends(ends_at_ms: int) -> str:
    return f", ends about {strftime('%H:%M', gmtime(ends_at_ms / 1_000))} UTC" if ends_at_ms else ""


async def words_on_waiting(settings: Settings, waiting: list[int]) -> str:
    """What the shards that have yet to switch wait for."""
    store = settings.open_store()
    try:
        notes = [await read_note(store, shard) for shard in waiting]
    finally:
        await store.close()
    now_ms = int(time() * 1_000)
    if any(note is not None and not note.is_stale(now_ms) and note.status.state is not ShardState.RELEASED for note in notes):
        return "the workers fold the past for it first; `streamer segments status` says how far they are"
    return "no worker is at work: it takes effect when one comes"


async def follow(settings: Settings, version: int) -> None:
    """Return when every shard obeys a version or a newer one; how far they are goes to standard error. Exit code 1 where it is given up.

    It goes on while no worker is there.
    """
    said = ""
    while True:
        found = await read_status(settings)
        if found.newest is None or found.newest.version > version:
            echo(f"version {version} was overtaken by another publication", err=True)
            raise typer.Exit(EXIT_NO)
        if found.is_obeyed:
            echo(f"version {version} holds in all {len(found.shards)} shards", err=True)
            return
        if (line := _progress_line(found, version)) != said:
            said = line
            echo(line, err=True)
        await asyncio.sleep(FOLLOW_SECONDS)


def _progress_line(found: PublicationStatus, version: int) -> str:
    """How many shards obey, and how far the slowest of the others is."""
    behind = [one for one in found.shards if one.version < version]
    lanes = [one.lane for one in behind if one.lane is not None and one.lane.version == version]
    line = f"version {version} holds in {len(found.shards) - len(behind)} of {len(found.shards)} shards"
    if len(lanes) < len(behind):
        return f"{line}; {shard_numbers([one.shard for one in behind if one.lane is None])}: no word of a worker yet"
    slowest = min(lanes, key=lambda lane: lane.share)
    return f"{line}; the slowest: {lane_words(slowest)}"


__all__ = [
    "PublicationStatus",
    "ShardVersion",
    "Version",
    "Warming",
    "follow",
    "lane_words",
    "published_now",
    "read_status",
    "say_status",
    "words_on_waiting",
]
