"""Who sent a record that was refused, as far as that can be read: whose it is, and which program wrote it.

For dead letters and alerts: whoever corrects a producer must know which. What cannot be read is empty; nothing here raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from streamer.events.admission import TEXT_MAX
from streamer.events.codec import UNSAFE

WRITE_KEY_HEADER: Final = "write-key"  # what a collector puts beside the event: which source it came from
WRITE_KEY_SHOWN: Final = 8  # characters: enough to find the source, too few to write as it
_PLAIN: Final = re.compile(r"[A-Za-z0-9@._/+-]{1,64}")  # a name of a program, and nothing that could forge a line of a log


class Sender(NamedTuple):
    """``customer``: the id by which the record would be known. ``producer``: for a person, as ``analytics-node 2.1``."""

    customer: str = ""
    producer: str = ""


class _Peek(msgspec.Struct, rename="camel"):
    user_id: msgspec.Raw = msgspec.Raw()
    anonymous_id: msgspec.Raw = msgspec.Raw()
    context: msgspec.Raw = msgspec.Raw()


class _SenderContext(msgspec.Struct):
    library: msgspec.Raw = msgspec.Raw()


class _Library(msgspec.Struct):
    name: str = ""
    version: str = ""


_peek: Final = msgspec.json.Decoder(_Peek).decode
_context: Final = msgspec.json.Decoder(_SenderContext).decode
_library: Final = msgspec.json.Decoder(_Library).decode
_text: Final = msgspec.json.Decoder(str).decode
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def sender_of(raw: bytes, headers: Iterable[tuple[str, bytes]] = ()) -> Sender:
    """Read what can be read of a record, whatever else is wrong with it.

    >>> sender_of(b'{"userId": "c-17", "event": 5, "context": {"library": {"name": "analytics-php", "version": "3.8"}}}')
    Sender(customer='c-17', producer='analytics-php 3.8')
    """
    try:
        found = _peek(raw)
    except _UNREADABLE:
        return Sender("", _write_key(headers))
    return Sender(_id(found.user_id) or _id(found.anonymous_id), _program(found.context) or _write_key(headers))


def _id(raw: msgspec.Raw) -> str:
    try:
        text = _text(raw)
    except _UNREADABLE:
        return ""
    return text if len(text) <= TEXT_MAX and UNSAFE.search(text) is None else ""


def _program(raw: msgspec.Raw) -> str:
    try:
        library = _library(_context(raw).library)
    except _UNREADABLE:
        return ""
    if _PLAIN.fullmatch(library.name) is None:
        return ""
    return f"{library.name} {library.version}" if _PLAIN.fullmatch(library.version) is not None else library.name


def _write_key(headers: Iterable[tuple[str, bytes]]) -> str:
    for name, value in headers:
        text = value[: WRITE_KEY_SHOWN + 1].decode("ascii", "replace")
        if name.lower() == WRITE_KEY_HEADER and _PLAIN.fullmatch(text) is not None:
            return f"write key {text[:WRITE_KEY_SHOWN]}…"
    return ""
