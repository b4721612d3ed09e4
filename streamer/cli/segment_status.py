"""How far what was published is: which version holds in which shards, what their workers say of the next one, what is warming."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from time import gmtime, strftime, time
from typing import Final

import msgspec
import typer
from aiokafka.errors import KafkaError

from streamer.deployment.obedience import shard_bodies
from streamer.errors import SettingsError
from streamer.flow.catalog import compile_plan, read_definitions
from streamer.flow.checkpoint import CheckpointBody
from streamer.flow.published import Published
from streamer.segments.plan.plan import warming_predicates
from streamer.settings import Settings
from streamer.stores.base import Store
from streamer.stores.documents import definitions_document
from streamer.transports.kafka.definitions_topic import read_published
from streamer.transports.kafka.topics import check_topic
from streamer.values import time_text
from streamer.wire import DEFINITIONS
from streamer.worker.status.lane_status import LaneStatus
from streamer.worker.status.shard_notes import ShardNote, read_note
from streamer.worker.status.shard_state import ShardState

from . import EXIT_NO
from .checks.finding import shard_numbers
from .terminal import echo

FOLLOW_SECONDS: Final = 1.0  # between two looks of --wait
KAFKA_SECONDS: Final = 10.0


class Version(msgspec.Struct, frozen=True):
    """A version of the definitions, by the digest of its content."""

    version: int
    digest: str


class ShardVersion(msgspec.Struct, frozen=True, omit_defaults=True):
    """One shard: the version that holds there (0: none yet), and how far its worker is with the next one. ``is_at_work``: it has one."""

    shard: int
    version: int
    is_at_work: bool
    lane: LaneStatus | None = None


class Warming(msgspec.Struct, frozen=True):
    """A clause that looks further back than events are known; ``since`` is from when on they are, in the shard that knows the least."""

    clause: str
    since: str


class PublicationStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was published last to hold, what is in shadow, and how every shard is doing with it."""

    shards: list[ShardVersion]
    newest: Version | None = None
    shadow: Version | None = None
    warming: list[Warming] = []

    @property
    def is_obeyed(self) -> bool:
        """Whether every shard obeys what was published last."""
        return self.newest is None or all(one.version >= self.newest.version for one in self.shards)


async def read_status(settings: Settings) -> PublicationStatus:
    """The status of a deployment. SettingsError where Kafka does not answer; raises what the store raises."""
    published = await published_now(settings)
    store = settings.open_store()
    try:
        bodies = await shard_bodies(settings, store)
        notes = [await read_note(store, shard) for shard in range(settings.shards)]
        warming = await _warming(settings, store, bodies)
    finally:
        await store.close()
    newest, shadow = published.newest, published.shadow
    return PublicationStatus(
        [_shard_version(shard, body, note) for shard, (body, note) in enumerate(zip(bodies, notes, strict=True))],
        Version(newest.version, newest.digest) if newest is not None else None,
        Version(shadow.version, shadow.digest) if shadow is not None else None,
        warming,
    )


async def published_now(settings: Settings) -> Published:
    """What the topic of definitions says. SettingsError where Kafka does not answer."""
    try:
        async with asyncio.timeout(KAFKA_SECONDS):
            await check_topic(settings, DEFINITIONS)
            return await read_published(settings)
    except (KafkaError, TimeoutError, OSError) as error:
        raise SettingsError(f"STREAMER_KAFKA: {settings.kafka} did not answer ({type(error).__name__})") from None


def _shard_version(shard: int, body: CheckpointBody, note: ShardNote | None) -> ShardVersion:
    if note is None or note.is_stale(int(time() * 1_000)):
        return ShardVersion(shard, body.version, False)
    return ShardVersion(shard, body.version, note.status.state is not ShardState.RELEASED, note.status.lane)


async def _warming(settings: Settings, store: Store, bodies: list[CheckpointBody]) -> list[Warming]:
    """The clauses that are warming in some shard."""
    since_ms: dict[str, int] = {}
    for shard, body in enumerate(bodies):
        content = await store.get_document(definitions_document(body.digest), shard=shard) if body.since_ms else None
        if content is not None:
            plan = compile_plan(read_definitions(content), settings.rules)
            for clause, start_ms in warming_predicates(plan, body.since_ms, body.log_time_ms).items():
                since_ms[clause] = max(start_ms, since_ms.get(clause, start_ms))
    return [Warming(clause, time_text(start_ms)) for clause, start_ms in sorted(since_ms.items())]


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
        echo(f"  warming: {clause.clause}: events are known since {clause.since}")


def _way(found: PublicationStatus, one: ShardVersion) -> str | None:
    if one.lane is not None:
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
            return "has folded the past, and waits for other shards to come as far"
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


__all__ = ["PublicationStatus", "follow", "lane_words", "published_now", "read_status", "say_status", "words_on_waiting"]
