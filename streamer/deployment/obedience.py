"""Whether the shards of a deployment obey what this process signs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from streamer.errors import SettingsError
from streamer.flow.checkpoint import CheckpointBody, decode_body
from streamer.settings import Settings
from streamer.stores.base import Store


async def check_signing(settings: Settings, store: Store, named: Mapping[str, str] = MappingProxyType({})) -> None:
    """SettingsError where a shard would refuse what this process signs: it would say that it is done, and nobody would obey.

    ``named``: the check values of the keys that are about to hold, which count where none holds anywhere.
    """
    held = [body.trust.keys for body in await shard_bodies(settings, store) if body.trust.keys]
    for keys in held or [named]:
        if refusal := settings.keyring.refusal(keys):
            raise SettingsError(refusal)


async def shard_bodies(settings: Settings, store: Store) -> list[CheckpointBody]:
    """What the store has of every shard; of one that has not begun, the beginning."""
    found = [(await store.checkpoint(shard)).body for shard in range(settings.shards)]
    return [decode_body(raw) if raw else CheckpointBody() for raw in found]
