"""Whether the shards of a deployment obey what this process signs, and which definitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from streamer.errors import SettingsError
from streamer.settings import Settings
from streamer.stores.base import Store

from .history import has_past
from .shards import ShardNow, shards_now


async def check_signing(settings: Settings, store: Store, named: Mapping[str, str] = MappingProxyType({})) -> None:
    """``check_keys`` of the shards as they are now."""
    check_keys(settings, await shards_now(settings, store), named)


def check_keys(settings: Settings, shards: Sequence[ShardNow], named: Mapping[str, str] = MappingProxyType({})) -> None:
    """SettingsError where a shard would refuse what this process signs: it would say that it is done, and nobody would obey.

    ``named``: the check values of the keys that are about to hold, which count where none holds anywhere.
    """
    held = [shard.body.trust.keys for shard in shards if shard.body.trust.keys]
    for keys in held or [named]:
        if refusal := settings.keyring.refusal(keys):
            raise SettingsError(refusal)


def check_not_between(shards: Sequence[ShardNow], version: int) -> None:
    """SettingsError while some shards that have a past obey the definitions of ``version``, and others not yet.

    Whoever obeys them waits for what the lanes of the others have to send towards them. Were they overtaken now, that would never come.
    Where a shard is about to obey them, its owner and those of the others see to it that nobody leaves them out.
    """
    done, left = _by_obedience(shards, version)
    if done and left:
        raise SettingsError(
            f"version {version} holds already in {_shards(done)}, and not yet in {_shards(left)}, which have to come as far: wait for them "
            "(`streamer segments status` says what they wait for; they need their workers), then publish, or roll back"
        )


def is_obeyed_nowhere(shards: Sequence[ShardNow], version: int) -> bool:
    """Whether some shards have a past, and none of these obeys the definitions of ``version`` yet. Where no shard has one the definitions
    hold from the record on that publishing itself writes."""
    done, left = _by_obedience(shards, version)
    return bool(left) and not done


def _by_obedience(shards: Sequence[ShardNow], version: int) -> tuple[list[int], list[int]]:
    """Of the shards that have a past those that obey a version, or a newer one, and those that do not yet."""
    done, left = list[int](), list[int]()
    for number, shard in enumerate(shards):
        if has_past(shard.body):
            (done if shard.body.version >= version else left).append(number)
    return done, left


def _shards(numbers: list[int]) -> str:
    return f"shard{'s' if len(numbers) > 1 else ''} {', '.join(str(number) for number in numbers)}"
