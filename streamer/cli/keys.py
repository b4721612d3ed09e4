"""``streamer keys``: who may publish definitions, erase, and speak for a shard."""

from __future__ import annotations

import asyncio
import base64
from secrets import token_bytes
from typing import Annotated

import typer

from streamer.errors import SettingsError
from streamer.flow.checkpoint import CheckpointBody, decode_body
from streamer.settings import Settings, load_settings
from streamer.signing import SECRET_BYTES_MIN
from streamer.stores.base import Store
from streamer.wire import AMENDMENTS, EXAMPLES, KEY_ID, KEYS_MAX, Control, encode_control

from . import EXIT_CODES, EXIT_NO
from .terminal import echo, echo_json

UNSIGNED = "no key holds: whoever may write events may also publish definitions and erase customers"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="Say with which keys the records that rule the log are signed.",
        no_args_is_help=True,
        epilog=EXIT_CODES,
        rich_markup_mode=None,
    )
    group.command("new", epilog=EXIT_CODES, short_help="Draw a new key.")(new)
    group.command("use", epilog=EXIT_CODES, short_help="From here on these keys hold, and no others.")(use)
    group.command("list", epilog=EXIT_CODES, short_help="Say which keys hold in which shard.")(list_keys)
    app.add_typer(group, name="keys")


def new(key: Annotated[str, typer.Argument(metavar="ID", help="a name for it, such as 2026-11")]) -> None:
    """Draw a new key and print it as ID:SECRET, the form of STREAMER_SIGNING_KEYS.

    It goes to every worker and to whoever publishes, behind the keys that are there, before `streamer keys use` names it. The first key in
    the setting signs; the others are for verifying.
    """
    if KEY_ID.fullmatch(key) is None:
        raise SettingsError(f"expected an id of a-z, 0-9, - and _, at most 32 characters, found {key!r}")
    echo(f"{key}:{base64.b64encode(token_bytes(SECRET_BYTES_MIN)).decode()}")


def use(keys: Annotated[list[str], typer.Argument(metavar="ID...", help="ids of keys in STREAMER_SIGNING_KEYS")]) -> None:
    """From here on these keys hold, and no others. The record that says so is signed by the first key in STREAMER_SIGNING_KEYS.

    The first time: give the key to all workers, then use it. To change keys: add the new one behind the old one everywhere; `keys use OLD
    NEW`; put the new one first everywhere; `keys use NEW`. The old one stays in the settings as long as the log has records signed by it: a
    shard that is told anew needs it.

    The record goes into every partition where something rules the log: definitions, amendments, what the learner is told, and all shards.
    Each judges by the record that it has itself; where this was interrupted, do it again.
    """
    settings = load_settings()
    keyring = settings.keyring
    missing = [key for key in keys if key not in keyring.secrets]
    if missing:
        raise SettingsError(f"STREAMER_SIGNING_KEYS has no key {missing[0]!r}; it has {', '.join(keyring.secrets) or 'none'}")
    if len(set(keys)) > KEYS_MAX:
        raise SettingsError(f"at most {KEYS_MAX} keys can hold at a time, found {len(set(keys))}")
    asyncio.run(_use(settings, {key: keyring.check_value(key) for key in keys}))
    echo(f"{', '.join(keys)} now in {settings.shards} shards")


async def _use(settings: Settings, keys: dict[str, str]) -> None:
    from streamer.deployment.connecting import starting
    from streamer.deployment.obedience import check_signing
    from streamer.transports.kafka.control import send_control
    from streamer.transports.kafka.definitions_topic import DefinitionsTopic

    async with starting(settings, may_begin=False) as (client, store):
        await check_signing(settings, store, keys)
        raw, shards, topic = encode_control(Control("keys", keys=keys)), range(settings.shards), DefinitionsTopic(settings, client)
        offset = await topic.append(raw)
        if (error := (await topic.refresh()).refused.get(offset)) is not None:
            raise SettingsError(f"STREAMER_SIGNING_KEYS: the first key in it cannot say so: {error.detail}")
        await send_control(client, settings, raw, [0], EXAMPLES)  # where the learner hears what people say to it
        await send_control(client, settings, raw, shards, AMENDMENTS)
        await send_control(client, settings, raw, shards)


def list_keys(as_json: Annotated[bool, typer.Option("--json", help="one JSON object a shard")] = False) -> None:
    """Say which keys hold in which shard, and whether the settings here have them. Exit code 1 where none holds, or one is missing."""
    settings = load_settings()
    found = asyncio.run(_held(settings))
    own = {key: settings.keyring.check_value(key) for key in settings.keyring.secrets}
    is_well = True
    for shard, keys in found.items():
        missing = [key for key, check in keys.items() if own.get(key) != check]
        is_well = is_well and bool(keys) and not missing
        if as_json:
            echo_json({"shard": shard, "keys": list(keys), "missing": missing})
        else:
            note = f" (not in STREAMER_SIGNING_KEYS: {', '.join(missing)})" if missing else ""
            echo(f"shard {shard}: {', '.join(keys) or UNSIGNED}{note}")
    if not is_well:
        raise typer.Exit(EXIT_NO)


async def _held(settings: Settings) -> dict[int, dict[str, str]]:
    store = settings.open_store()
    try:
        return {shard: await _of(store, shard) for shard in range(settings.shards)}
    finally:
        await store.close()


async def _of(store: Store, shard: int) -> dict[str, str]:
    """The check values of the keys that hold in a shard, by their ids."""
    raw = (await store.checkpoint(shard)).body
    return (decode_body(raw) if raw else CheckpointBody()).trust.keys
