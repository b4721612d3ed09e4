"""The messages that hold in a deployment, read from the store."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple

from streamer.language.message_specs import MessageSpec

from .terminal import echo

if TYPE_CHECKING:
    from streamer.settings import Settings


class MessagesInForce(NamedTuple):
    """Messages, and the names of those that are paused in any shard (``*``: all)."""

    messages: tuple[MessageSpec, ...]
    paused: Collection[str]


async def messages_in_force(settings: Settings) -> MessagesInForce:
    """Those of the newest definitions that hold in any shard. SettingsError where none hold, StoreError where the store does not answer."""
    from streamer.deployment.shards import shard_bodies
    from streamer.errors import SettingsError
    from streamer.flow.catalog import read_definitions
    from streamer.stores.documents import definitions_document

    store = settings.open_store()
    try:
        bodies = await shard_bodies(settings, store)
        newest, shard = max((body.version, -at) for at, body in enumerate(bodies))
        body = bodies[-shard]
        content = await store.get_document(definitions_document(body.digest), shard=-shard) if body.digest else None
        if content is None:
            raise SettingsError(f"no definitions hold at {settings.shown()['store']}; publish some, or name files")
        behind = sum(body.version < newest for body in bodies)
        if behind:
            echo(f"version {newest} does not hold yet in {behind} of {len(bodies)} shards", err=True)
        return MessagesInForce(read_definitions(content).messages, frozenset(name for body in bodies for name in body.paused))
    finally:
        await store.close()
