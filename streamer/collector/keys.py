"""Write keys: who may send events, and what they may say.

A browser's key can be read by whoever opens the page, so it says nothing about who sends. What it may say is fenced in instead: from which
pages, which types and names of events, how much. A server's key is a secret, and may say everything, also what
happened before the log began.

The file has the hash of a key and not the key. It is drawn at random with 128 bits, so a plain hash is enough.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from secrets import token_hex
from typing import Final, Literal

import msgspec

from streamer.errors import SettingsError
from streamer.events.codec import KINDS
from streamer.events.event import Kind
from streamer.events.sender import WRITE_KEY_HEADER
from streamer.web.secret_tables import hash_of, secret_tables
from streamer.wire import NO_LINK_HEADER, Headers

KeyKind = Literal["browser", "server"]

KEY_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
HASH: Final = re.compile(r"sha256:[0-9a-f]{64}")
ORIGIN: Final = re.compile(r"https?://(\*\.)?[a-z0-9.-]+(:[0-9]{1,5})?|null")
EVERY_NAME: Final = "*"
MONEY: Final = frozenset(  # a forged one makes a buyer of anybody, in segments and in what models learn: only where the key names it
    {"Order Completed", "Order Updated", "Order Refunded", "Order Cancelled"}
)
OUTCOMES: Final = frozenset(  # what we and providers say of messages: a forged one takes the messages of anybody
    {f"Message {word}" for word in ("Sent", "Failed", "Unknown", "Bounced", "Complained", "Suppressed", "Unsuppressed", "Unsubscribed")}
)


class WriteKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of one key. The fields of ``browser`` keys alone are those after ``hash``.

    ``origins`` are those of the pages that may use it, ``https://*.shop.example`` means any subdomain. ``types`` and ``events`` are what it
    may send, ``events`` the names of track events: none listed means all but those of ``MONEY`` and ``OUTCOMES``, ``*`` is every one.
    ``link``: whether an event with two ids makes one person of them. ``events_per_second`` and ``bytes_per_minute`` hold for each address.
    ``snowplow_app_ids``: Snowplow's trackers send no key; events of these applications count as sent with this one.
    """

    kind: KeyKind
    hash: str
    origins: tuple[str, ...] = ()
    types: tuple[Kind, ...] = ()
    events: tuple[str, ...] = ()
    link: bool = True
    events_per_second: float = 100.0
    bytes_per_minute: float = 1_000_000.0
    snowplow_app_ids: tuple[str, ...] = ()
    name: str = ""

    @property
    def is_public(self) -> bool:
        """Whether anybody can know it."""
        return self.kind == "browser"

    @property
    def headers(self) -> Headers:
        """What its records carry."""
        named = (WRITE_KEY_HEADER, self.name.encode())
        return (named,) if self.link else (named, (NO_LINK_HEADER, b"1"))


class Keys:
    """The keys of a file. Without any, everybody on this machine may say everything."""

    def __init__(self, keys: tuple[WriteKey, ...] = ()) -> None:
        self.all = keys
        self._by_hash = {key.hash: key for key in keys}
        self._by_app_id = {app_id: key for key in keys for app_id in key.snowplow_app_ids}

    @property
    def is_open(self) -> bool:
        """Whether no key is needed."""
        return not self.all

    def find(self, secret: str) -> WriteKey | None:
        """The key that this text is; None for no key of ours."""
        return self._by_hash.get(hash_of(secret))

    def of_app(self, app_id: str) -> WriteKey | None:
        """The key as which an application of Snowplow's counts."""
        return self._by_app_id.get(app_id)


def read_keys(text: str, where: str) -> Keys:
    """The keys of a TOML file; SettingsError, which names the key and the field, for anything that is not as it must be."""
    keys = tuple(_read_key(name, fields, f"{where}: [keys.{name}]") for name, fields in secret_tables(text, "keys", where).items())
    _check_unique(keys, where)
    return Keys(keys)


def _read_key(name: str, fields: object, where: str) -> WriteKey:
    if KEY_NAME.fullmatch(name) is None:
        raise SettingsError(f"{where}: expected a name of a-z, 0-9, - and _, at most 32 characters")
    try:
        key = msgspec.convert(fields, WriteKey, strict=True)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{where}: {error}") from None
    for problem in _problems(key):
        raise SettingsError(f"{where}: {problem}")
    return msgspec.structs.replace(key, name=name)


def _problems(key: WriteKey) -> list[str]:
    found: list[str] = []
    if key.name:
        found.append("name: the table's name is the key's")
    if HASH.fullmatch(key.hash) is None:
        found.append("hash: expected sha256: and 64 hexadecimal digits, as `streamer collect --new-key` prints it")
    found += [f"origins: expected such as https://shop.example, found {origin!r}" for origin in key.origins if not ORIGIN.fullmatch(origin)]
    if key.kind == "browser":
        if not key.origins and not key.snowplow_app_ids:
            found.append('origins: a browser key needs the pages that may use it, such as ["https://shop.example"]')
        if "alias" in key.types:
            found.append("types: alias makes one person of two known ones, and needs a server key")
        if key.events_per_second <= 0 or key.bytes_per_minute <= 0:
            found.append("events_per_second and bytes_per_minute: expected numbers above 0")
    elif key != WriteKey(key.kind, key.hash):
        found.append("a server key is a secret and may say everything: expected nothing but kind and hash")
    return found


def _check_unique(keys: tuple[WriteKey, ...], where: str) -> None:
    seen: dict[tuple[str, str], str] = {}
    for key in keys:
        for mark in (("hash", key.hash), *(("snowplow_app_ids", app_id) for app_id in key.snowplow_app_ids)):
            if mark in seen:
                raise SettingsError(f"{where}: [keys.{key.name}] and [keys.{seen[mark]}] have the same {mark[0]}")
            seen[mark] = key.name


def new_key(kind: KeyKind) -> tuple[str, str]:
    """A fresh key, and its table for the file."""
    secret = f"{kind[0]}k_{token_hex(16)}"
    lines = [f"[keys.{kind}]", f'kind = "{kind}"', f'hash = "{hash_of(secret)}"']
    if kind == "browser":
        lines.append('origins = ["https://shop.example"] # the pages that may use it')
        lines.append(
            f'# events = ["Product Viewed", "Product Added"] # left out: all but {", ".join(sorted(MONEY))}, and what became of messages'
        )
    return secret, "\n".join(lines)


def types_of(key: WriteKey) -> frozenset[str]:
    """The types of event that a browser key may send."""
    return frozenset(key.types) or KINDS - {"alias"}


def names_in_words(key: WriteKey) -> Mapping[str, str]:
    """What a browser key may say, for a person who looks at an installation."""
    return {
        "types": ", ".join(sorted(types_of(key))),
        "events": ", ".join(key.events) or f"all but {', '.join(sorted(MONEY))} and what became of messages",
    }
