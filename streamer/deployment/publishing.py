"""Give definitions a number, and write them into every shard."""

from __future__ import annotations

from pathlib import Path

import structlog
from aiokafka import AIOKafkaProducer
from structlog.typing import FilteringBoundLogger

from streamer.errors import SettingsError
from streamer.flow.catalog import compile_plan
from streamer.flow.published import Publication
from streamer.language.definitions import Definitions, load_definitions
from streamer.settings import Settings
from streamer.stores.base import Store
from streamer.transports.kafka.control import send_control
from streamer.transports.kafka.definitions_topic import DefinitionsTopic
from streamer.wire import definitions_control

from .obedience import check_signing, shard_bodies

log: FilteringBoundLogger = structlog.get_logger("streamer.publishing")


async def publish_definitions(settings: Settings, client: AIOKafkaProducer, store: Store, *paths: Path) -> tuple[Publication, bool]:
    """Check definitions, give them a number, and write them into every shard; the publication, and whether it is new.

    What is in force already is not published again. Should this end between the number and the shards, their owners notice.
    """
    definitions = load_definitions(*paths)
    await check_signing(settings, store)
    topic = DefinitionsTopic(settings, client)
    newest = (await topic.refresh()).newest
    if newest is not None and newest.digest == definitions.digest and await _is_obeyed(settings, store, topic, newest):
        return newest, False
    return await _publish(settings, client, store, topic, definitions), True


async def _publish(
    settings: Settings, client: AIOKafkaProducer, store: Store, topic: DefinitionsTopic, definitions: Definitions
) -> Publication:
    compile_plan(definitions, settings.rules)  # before anything is in the log
    content, digest, newest = definitions.content(), definitions.digest, topic.published.newest
    number = 1 + max(newest.version if newest is not None else 0, await _highest_in_force(settings, store))
    offset = await topic.append(definitions_control(content, digest, number))
    if (error := (await topic.refresh()).refused.get(offset)) is not None:
        raise SettingsError(f"STREAMER_SIGNING_KEYS: what was published does not count: {error.detail}; see `streamer keys list`")
    mine = topic.published.upto(offset)
    await send_control(client, settings, definitions_control(content, digest, mine.version), range(settings.shards))
    return mine


async def _is_obeyed(settings: Settings, store: Store, topic: DefinitionsTopic, newest: Publication) -> bool:
    """Whether the shards obey the newest publication, or will; not so where it is not signed and they do not have it."""
    if await topic.vouched(newest.version) is not None:
        return True
    return all(body.version >= newest.version for body in await shard_bodies(settings, store))


async def _highest_in_force(settings: Settings, store: Store) -> int:
    """The newest version that a shard has: above what the topic says only if that has lost records."""
    return max(body.version for body in await shard_bodies(settings, store))


async def first_definitions(settings: Settings, client: AIOKafkaProducer, store: Store) -> None:
    """Publish ``settings.segments`` if nothing was ever published: whatever was is newer, also when the store came back empty."""
    if settings.segments is None:
        return
    topic = DefinitionsTopic(settings, client)
    if (await topic.refresh()).newest is None and not await _highest_in_force(settings, store):
        found = await _publish(settings, client, store, topic, load_definitions(settings.segments))
        log.info("definitions published", action="publish", digest=found.digest, version=found.version)
