"""How far what was published is: which version holds in which shards, what their workers say of the next one, what is warming."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import time
from typing import Final

import msgspec
from aiokafka.errors import KafkaError

from streamer.deployment.shards import shard_bodies
from streamer.errors import HaltError, SettingsError
from streamer.flow.catalog import Plans
from streamer.flow.checkpoint import CheckpointBody
from streamer.flow.published import Published
from streamer.segments.plan.plan import WarmingSince, warming_predicates
from streamer.settings import Settings
from streamer.transports.kafka.definitions_topic import definitions_of, read_published
from streamer.transports.kafka.topics import check_topic
from streamer.values import time_text
from streamer.wire import DEFINITIONS

from .lane_status import LaneStatus
from .shard_notes import ShardNote, read_note
from .shard_state import ShardState

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


class Warming(msgspec.Struct, frozen=True, omit_defaults=True):
    """A clause that looks further back than events are known; ``since`` is from when on they are, in the shard that knows the least.
    From ``until`` on it has seen its whole window in every shard; left out where it looks back to the beginning."""

    clause: str
    since: str
    until: str | None = None


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


async def read_status(settings: Settings, plans: Plans | None = None) -> PublicationStatus:
    """The status of a deployment. ``plans``: of whoever asks often. SettingsError where Kafka does not answer; raises what the store
    raises."""
    published = await published_now(settings)
    store = settings.open_store()
    try:
        bodies = await shard_bodies(settings, store)
        notes = [await read_note(store, shard) for shard in range(settings.shards)]
        warming = await _warming(Plans(store, settings.rules) if plans is None else plans, bodies)
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


async def newest_content(settings: Settings) -> tuple[int, bytes]:
    """The number and the canonical JSON of what was published last to hold; 0 and nothing where nothing was. SettingsError where Kafka does
    not answer."""
    newest = (await published_now(settings)).newest
    if newest is None:
        return 0, b""
    try:
        async with asyncio.timeout(KAFKA_SECONDS):
            return newest.version, await definitions_of(settings, newest)
    except (KafkaError, TimeoutError, OSError) as error:
        raise SettingsError(f"STREAMER_KAFKA: {settings.kafka} did not answer ({type(error).__name__})") from None


def _shard_version(shard: int, body: CheckpointBody, note: ShardNote | None) -> ShardVersion:
    if note is None or note.is_stale(int(time() * 1_000)):
        return ShardVersion(shard, body.version, False)
    return ShardVersion(shard, body.version, note.status.state is not ShardState.RELEASED, note.status.lane)


async def _warming(plans: Plans, bodies: list[CheckpointBody]) -> list[Warming]:
    """The clauses that are warming in some shard whose definitions the store has."""
    found: dict[str, WarmingSince] = {}
    for shard, body in enumerate(bodies):
        if not body.since_ms:
            continue
        with suppress(HaltError):
            plan = await plans.get(body.digest, shard)
            for clause, one in warming_predicates(plan, body.since_ms, body.log_time_ms).items():
                found[clause] = max(one, found.get(clause, one), key=lambda warming: warming.since_ms)
    return [
        Warming(clause, time_text(one.since_ms), None if one.whole_ms is None else time_text(one.whole_ms))
        for clause, one in sorted(found.items())
    ]


__all__ = ["PublicationStatus", "ShardVersion", "Version", "Warming", "newest_content", "published_now", "read_status"]
