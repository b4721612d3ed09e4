"""Propose definitions to the shards, under a number of their own.

What is published stands in the topic of definitions. The owner of each shard notices it, folds what it remembers anew over the log, and
writes the shard's own record; see ``worker.shards.proposals``. A shard without a past has nothing to fold, so that record is written here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from typing import Final, NamedTuple

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from structlog.typing import FilteringBoundLogger

from streamer.errors import SettingsError
from streamer.flow.catalog import compile_plan
from streamer.flow.checkpoint import CheckpointBody
from streamer.flow.published import Publication, Published
from streamer.language.definitions import Definitions, load_definitions, parse_definitions
from streamer.settings import Settings
from streamer.stores.base import Store
from streamer.transports.kafka.control import send_control
from streamer.transports.kafka.definitions_topic import DefinitionsTopic
from streamer.transports.kafka.log_inspector import LogInspector
from streamer.wire import definitions_control

from .connecting import starting
from .history import shards_without_past
from .obedience import check_keys, check_not_between, is_obeyed_nowhere
from .shards import ShardNow, shards_now

log: FilteringBoundLogger = structlog.get_logger("streamer.publishing")


AT_ONCE_SECONDS: Final = 60.0


class OvertakenError(SettingsError):
    """Something else was published at the same moment, so what was to be published counts for nothing."""


class Proposal(NamedTuple):
    """A publication, and whether it is new. ``waiting`` are the shards whose owners have yet to write it into their logs."""

    publication: Publication
    is_new: bool
    waiting: list[int]


async def publish_definitions(settings: Settings, client: AIOKafkaProducer, store: Store, *paths: Path, shadow: bool = False) -> Proposal:
    """``propose`` of what is in files and folders."""
    return await propose(settings, client, store, load_definitions(*paths), shadow=shadow)


async def propose(
    settings: Settings,
    client: AIOKafkaProducer,
    store: Store,
    definitions: Definitions,
    *,
    shadow: bool = False,
    over: int | None = None,
) -> Proposal:
    """Check definitions, give them a number, and propose them to every shard.

    What is to hold already is not published again. ``shadow``: they are folded beside what holds, and do not hold before they are
    published without it. ``over``: the version of which they were made (0: none); SettingsError where another was published meanwhile.
    """
    topic, shards = await _topic(settings, client, store)
    published, seen = topic.published, topic.published.end
    newest, last = published.newest, published.last
    if over is not None and over != (0 if newest is None else newest.version):
        raise SettingsError("something else was published meanwhile; look again at what would change")
    is_same = last is not None and last.digest == definitions.digest and last.is_shadow == shadow
    if is_same and last is not None and (last.is_shadow or await _is_obeyed(shards, topic, last)):
        return Proposal(last, False, [])
    if shadow and newest is not None and newest.digest == definitions.digest:
        return Proposal(newest, False, [])
    return await _publish(settings, client, shards, topic, definitions, seen, shadow=shadow)


async def at_once(settings: Settings, work: Callable[[AIOKafkaProducer, Store], Awaitable[Proposal]]) -> Proposal:
    """Do ``work`` with connections of its own, for a process that holds none to write by. A log that is not there is not begun.

    SettingsError where Kafka does not do its part within ``AT_ONCE_SECONDS``; raises HaltError, StoreError.
    """
    try:
        async with asyncio.timeout(AT_ONCE_SECONDS), starting(settings, may_begin=False) as (client, store):
            return await work(client, store)
    except (KafkaError, TimeoutError, OSError) as error:
        raise SettingsError(f"STREAMER_KAFKA: {settings.kafka} did not do its part ({type(error).__name__})") from None


async def cut_over(settings: Settings, client: AIOKafkaProducer, store: Store) -> Proposal:
    """Publish the shadow, which is no shadow from then on. SettingsError where there is none."""
    topic, shards = await _topic(settings, client, store)
    if (shadow := topic.published.shadow) is None:
        raise SettingsError("no version is in shadow; `streamer segments publish --shadow FILE` begins one")
    return await _publish_again(settings, client, shards, topic, shadow)


async def roll_back(settings: Settings, client: AIOKafkaProducer, store: Store) -> Proposal:
    """Publish what held before the newest publication, under a new number: of what was overtaken before any shard obeyed it nothing comes
    back. SettingsError where nothing held before."""
    topic, shards = await _topic(settings, client, store)
    return await _publish_again(settings, client, shards, topic, _former(topic.published))


async def give_up_shadow(settings: Settings, client: AIOKafkaProducer, store: Store) -> Proposal:
    """Publish what is to hold once more, under a new number, so that the shadow is overtaken. SettingsError where there is none."""
    topic, shards = await _topic(settings, client, store)
    if topic.published.shadow is None or (newest := topic.published.newest) is None:
        raise SettingsError("no version is in shadow, so there is nothing to give up")
    return await _publish_again(settings, client, shards, topic, newest)


async def cancel(settings: Settings, client: AIOKafkaProducer, store: Store) -> Proposal:
    """Give up the shadow; where none is, the newest publication while a shard does not obey it yet. SettingsError where all do."""
    topic, shards = await _topic(settings, client, store)
    published = topic.published
    newest, is_given_up = published.newest, published.shadow is not None
    if newest is None or (not is_given_up and all(shard.body.version >= newest.version for shard in shards)):
        raise SettingsError(
            "every shard obeys what was published last, so there is nothing to cancel; `streamer segments rollback` goes back"
        )
    return await _publish_again(settings, client, shards, topic, newest if is_given_up else _former(published))


def _former(published: Published) -> Publication:
    if published.former is None:
        raise SettingsError(
            "no other version held before the one that is to hold now, so there is nothing to go back to; "
            "`streamer segments publish FILES` publishes what never held"
        )
    return published.former


async def bring_history(settings: Settings, client: AIOKafkaProducer, store: Store, ends: Sequence[int]) -> Proposal:
    """Publish what is to hold once more, with a past that has the history of each shard below an offset. What is part of it already is not
    published again. SettingsError where nothing was published, or a version is in shadow: it would be overtaken; and where customers were
    parted: what was written of them then has no history."""
    topic, shards = await _topic(settings, client, store)
    newest = topic.published.newest
    if topic.published.shadow is not None:
        raise SettingsError("a version is in shadow; `streamer segments cut-over` or `streamer segments cancel` comes first")
    if newest is None:
        raise SettingsError(
            "nothing was published yet, so nothing could remember what is imported; `streamer segments publish` comes first"
        )
    if all(end <= there for end, there in zip_longest(ends, newest.history, fillvalue=0)):
        return Proposal(newest, False, [])
    refuse_parted(shard.body for shard in shards)
    return await _publish_again(settings, client, shards, topic, newest, history=ends)


def refuse_parted(bodies: Iterable[CheckpointBody]) -> None:
    """SettingsError where customers were parted: what was written of them then has no history, and takes the place of all they had."""
    if any(body.identity.get("parted") for body in bodies):
        raise SettingsError(
            "customers were parted (`streamer customers unmerge`) and would lose their history: none is brought in any more"
        )


async def _topic(settings: Settings, client: AIOKafkaProducer, store: Store) -> tuple[DefinitionsTopic, list[ShardNow]]:
    """What was published, and the shards, which obey what this process signs: SettingsError where one does not."""
    shards = await shards_now(settings, store)
    check_keys(settings, shards)
    topic = DefinitionsTopic(settings, client)
    await topic.refresh()
    return topic, shards


async def _publish_again(
    settings: Settings,
    client: AIOKafkaProducer,
    shards: Sequence[ShardNow],
    topic: DefinitionsTopic,
    found: Publication,
    *,
    history: Sequence[int] = (),
) -> Proposal:
    seen = topic.published.end  # what was decided was so by what lies before this
    content = await topic.vouched(found.version)
    if content is None:
        raise SettingsError(f"STREAMER_SIGNING_KEYS: version {found.version} is not signed by a key of this process; publish its files")
    return await _publish(settings, client, shards, topic, parse_definitions(content), seen, history=history)


async def _publish(
    settings: Settings,
    client: AIOKafkaProducer,
    shards: Sequence[ShardNow],
    topic: DefinitionsTopic,
    definitions: Definitions,
    seen: int,
    *,
    shadow: bool = False,
    history: Sequence[int] = (),
) -> Proposal:
    compile_plan(definitions, settings.rules)  # before anything is in the log
    newest, gives_up = topic.published.newest, 0
    if not shadow and newest is not None:
        check_not_between(shards, newest.version)
        gives_up = newest.version if is_obeyed_nowhere(shards, newest.version) else 0
    content, digest, last = definitions.content(), definitions.digest, topic.published.last
    number = 1 + max(last.version if last is not None else 0, _highest_in_force(shards))
    raw = definitions_control(content, digest, number, shadow=shadow, history=history, seen=seen, gives_up=gives_up)
    offset = await topic.append(raw)
    if (error := (await topic.refresh()).refused.get(offset)) is not None:
        raise SettingsError(f"STREAMER_SIGNING_KEYS: what was published does not count: {error.detail}; see `streamer keys list`")
    if offset in topic.published.overtaken:
        raise OvertakenError(
            "somebody else published at the same moment, so this counts for nothing; `streamer segments status` says what is to hold now: "
            "look again at what would change, and repeat the command"
        )
    mine = topic.published.upto(offset)
    if shadow:
        return Proposal(mine, True, [])
    at_once = await _shards_without_past(settings, shards) if not history else []
    await send_control(client, settings, definitions_control(content, digest, mine.version, history=mine.history), at_once)
    return Proposal(mine, True, [shard for shard in range(settings.shards) if shard not in at_once])


async def _shards_without_past(settings: Settings, shards: Sequence[ShardNow]) -> list[int]:
    inspector = LogInspector(settings)
    try:
        return await shards_without_past(shards, inspector)
    finally:
        await inspector.stop()


async def _is_obeyed(shards: Sequence[ShardNow], topic: DefinitionsTopic, newest: Publication) -> bool:
    """Whether the shards obey the newest publication, or will; not so where it is not signed and they do not have it."""
    if await topic.vouched(newest.version) is not None:
        return True
    return all(shard.body.version >= newest.version for shard in shards)


def _highest_in_force(shards: Sequence[ShardNow]) -> int:
    """The newest version that a shard has: above what the topic says only if that has lost records."""
    return max(shard.body.version for shard in shards)


async def first_definitions(settings: Settings, client: AIOKafkaProducer, store: Store) -> None:
    """Publish ``settings.segments`` if nothing was ever published: whatever was is newer, also when the store came back empty."""
    if settings.segments is None:
        return
    topic = DefinitionsTopic(settings, client)
    shards = await shards_now(settings, store)
    if (await topic.refresh()).last is None and not _highest_in_force(shards):
        with suppress(OvertakenError):  # whatever was published meanwhile is as good
            found = (await _publish(settings, client, shards, topic, load_definitions(settings.segments), topic.published.end)).publication
            log.info("definitions published", action="publish", digest=found.digest, version=found.version)


__all__ = [
    "OvertakenError",
    "Proposal",
    "at_once",
    "cancel",
    "cut_over",
    "first_definitions",
    "give_up_shadow",
    "propose",
    "publish_definitions",
    "roll_back",
]
