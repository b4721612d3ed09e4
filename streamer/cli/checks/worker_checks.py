"""Checks of the workers by the notes that they leave: shards that stand still, refused records, zone data that differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from streamer.settings import Settings
from streamer.stores.base import Store
from streamer.values import time_text
from streamer.worker.status.shard_notes import ShardNote, read_note
from streamer.worker.status.shard_state import ShardState

from .finding import CheckResult, ok, shard_numbers, warning, wrong

ACQUIRING_SECONDS: Final = 30  # a rebalance, or a worker that just started


async def read_notes(settings: Settings, store: Store) -> list[ShardNote]:
    """What the owners of shards say of them."""
    found = [await read_note(store, number) for number in range(settings.shards)]
    return [note for note in found if note is not None]


def check_workers(notes: Sequence[ShardNote], settings: Settings, now_ms: int) -> Iterator[CheckResult]:
    """What the workers say: shards that do not do their work, refused records, zone data that differ."""
    fresh = [note for note in notes if not note.is_stale(now_ms)]
    gone = [note for note in notes if note.is_stale(now_ms)]
    troubles = [_trouble(note) for note in fresh if note.status.problem]
    yield from troubles
    if gone:
        yield _silent_workers(gone)
    elif notes and not troubles:
        yield ok("workers", f"{len({note.worker for note in fresh})} at work, {len(fresh)} of {settings.shards} shards with an owner")
    yield from _refused_records(fresh, settings.refused_ratio_alert)
    yield from _audit(fresh)
    yield from _zone_data(fresh)


def _silent_workers(gone: Sequence[ShardNote]) -> CheckResult:
    workers, numbers = ", ".join(sorted({note.worker for note in gone})), shard_numbers([note.status.shard for note in gone])
    since = time_text(max(note.at_ms for note in gone))
    remedy = "start workers, or see whether those that run reach the store"
    return warning("workers", f"no worker has said anything of {numbers} since {since}; the last was {workers}", remedy)


def _refused_records(fresh: Sequence[ShardNote], alert_ratio: float) -> Iterator[CheckResult]:
    if refusing := [note.status.shard for note in fresh if note.refused_ratio > alert_ratio]:
        worst = max(note.refused_ratio for note in fresh)
        found = f"up to {worst:.1%} of the newest thousand records of {shard_numbers(refusing)} are refused"
        yield warning("refused records", found, "the dead letters say which field of which producer is wrong")


def _audit(fresh: Sequence[ShardNote]) -> Iterator[CheckResult]:
    """Whether customers are compared with the log, and what that has found since the workers began."""
    audits = {note.status.shard: note.status.audit for note in fresh if note.status.audit is not None}
    if not fresh:
        return
    if not audits:
        yield ok("audit", "is off: STREAMER_AUDIT_SHARE is 0, or STREAMER_RECORD_OFFSETS off")
        return
    compared = sum(audit.compared for audit in audits.values())
    if differing := sorted(number for number, audit in audits.items() if audit.differing):
        number = sum(audit.differing for audit in audits.values())
        found = f"of {number:,} of {compared:,} customers the store has something else than the log says, in {shard_numbers(differing)}"
        remedy = "report what `streamer shards retell` says of the files in STREAMER_AUDIT_FOLDER; `streamer shards rebuild` mends a shard"
        yield wrong("audit", found, remedy)
    elif not compared and any(audit.unnoted for audit in audits.values()):
        remedy = "`streamer shards rebuild SHARD`, one after the other, notes it; or leave it, and nobody is compared"
        yield warning("audit", "compares nobody: it was not noted from the first record on where customers' records lie", remedy)
    else:
        yield ok("audit", f"{compared:,} customers compared with the log since the workers began, none differs")


def _trouble(note: ShardNote) -> CheckResult:
    status = note.status
    name = f"shard {status.shard}"
    if status.state is ShardState.ACQUIRING and status.since_seconds < ACQUIRING_SECONDS:
        return warning(name, f"{status.problem}, by {note.worker}", "nothing to do: look again in a minute")
    if status.state is ShardState.HALTED:
        return wrong(name, f"has {status.problem}", _way_out(note))
    remedy = f"repair what it names; more is in the log of {note.worker} and under its /readyz"
    return wrong(name, f"does not do its work: {status.problem}", remedy)


def _way_out(note: ShardNote) -> str:
    """A halt that names a command is ended by it, any other by repairing what it names."""
    number = note.status.shard
    if "`streamer shards " in note.status.problem:
        return f"do what it names: {note.worker} then takes the shard up by itself; `streamer shards` says how it is doing"
    return (
        f"repair what it names, then start {note.worker} again; where it is the store that is damaged, `streamer shards rebuild {number}` "
        "tells the shard anew from its log, and no worker need be started again"
    )


def _zone_data(fresh: Sequence[ShardNote]) -> Iterator[CheckResult]:
    """Workers with other zone data tell another story of the same log."""
    by_version: dict[str, set[str]] = {}
    for note in fresh:
        by_version.setdefault(note.zones, set()).add(note.worker)
    if len(by_version) < 2:
        return
    shown = "; ".join(f"{version} on {', '.join(sorted(workers))}" for version, workers in sorted(by_version.items()))
    remedy = "install the same release of streamer with its lock (requirements.lock) on all of them"
    yield wrong("zone data", f"workers have different versions of tzdata: {shown}", remedy)
